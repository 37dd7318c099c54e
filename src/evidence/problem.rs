//! Problem documents (RFC 9457): what a collector says when it does not do what was asked, and what
//! that means for an agent.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The beginning of every problem's `type`.
const URN: &str = "urn:wanproof:";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:literal, $title:literal;)*) => {
        /// What kind of problem it is; its name, HTTP status and title go together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its word: what follows `urn:wanproof:` in `type`.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status that it has when it concerns a whole request.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it is, for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

kinds! {
    /// Not a strict JWS, not JSON, not of the page, or it does not add up.
    Malformed = "malformed", 400, "This is not of the wire format, or does not add up";
    /// Over a limit.
    TooLarge = "too-large", 413, "This is over a limit";
    /// Another Content-Type, Content-Encoding or version.
    Unsupported = "unsupported", 415, "This type, encoding or version is not supported";
    /// The key is not among those that are approved.
    UnknownAgent = "unknown-agent", 403, "No agent with this key is enrolled";
    /// The key was revoked.
    Revoked = "revoked", 403, "This agent's key was revoked";
    /// The agent waits to be approved.
    Pending = "pending", 403, "This agent is not approved yet";
    /// Not by the key of its `kid`, or for another agent than that key's.
    BadSignature = "bad-signature", 422, "The signature is not the agent's";
    /// Another summary has this number, or `prev` is not the digest of the one before.
    ChainConflict = "chain-conflict", 422, "This does not fit into the agent's chain";
    /// Too much at once.
    Busy = "busy", 503, "Try again later";
    /// A wrong or used token.
    BadToken = "bad-token", 403, "This enrolment token is wrong or was used";
    /// A request that reads or changes something does not show its right to.
    Unauthorized = "unauthorized", 401, "This needs a valid authorisation";
    /// The token is good, but not for this.
    Forbidden = "forbidden", 403, "This token is not good for this";
    /// It does not go together with what is there.
    Conflict = "conflict", 409, "This does not go together with what is there";
    /// It can be read, and has faults.
    Invalid = "invalid", 422, "This has faults";
    /// There is nothing of this name.
    NotFound = "not-found", 404, "There is nothing here";
    /// The method does not fit the path.
    NotAllowed = "method-not-allowed", 405, "This method is not for this path";
    /// The collector itself failed.
    Internal = "internal", 500, "The collector could not do it";
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The part of `type` after `urn:wanproof:`; one that is not known here is kept as it is.
    word: String,
    /// The kind, where it is known here.
    kind: Option<Kind>,
    /// The HTTP status.
    status: u16,
    /// What happened, for people.
    detail: String,
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl fmt::Display) -> Self {
        Self {
            word: kind.word().to_owned(),
            kind: Some(kind),
            status: kind.status(),
            detail: detail.to_string(),
        }
    }

    /// The same problem with another status: `busy` is 429 or 503.
    #[must_use]
    pub const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same problem with at most so many bytes of detail: others' texts may be quoted in it.
    #[must_use]
    pub fn shortened(mut self, bytes: usize) -> Self {
        if self.detail.len() > bytes {
            let whole = (0..=bytes).rev().find(|&at| self.detail.is_char_boundary(at)).unwrap_or(0);
            self.detail.truncate(whole);
            self.detail.push('…');
        }
        self
    }

    /// Its kind; [`None`] for one that is not known here.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What happened.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            f.write_str(&self.word)
        } else {
            write!(f, "{}: {}", self.word, self.detail)
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    r#type: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Document {
            r#type: format!("{URN}{}", self.word),
            status: self.status,
            title: self.kind.map(Kind::title).unwrap_or_default().to_owned(),
            detail: self.detail.clone(),
        }
        .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let document = Document::deserialize(from)?;
        let word = document.r#type.strip_prefix(URN).unwrap_or(&document.r#type).to_owned();
        let kind = Kind::ALL.iter().copied().find(|kind| kind.word() == word);
        let detail = if document.detail.is_empty() { document.title } else { document.detail };
        Ok(Self { word, kind, status: document.status, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_document() {
        for &kind in Kind::ALL {
            let problem = Problem::new(kind, "why");
            let text = serde_json::to_string(&problem).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem, "{text}");
        }
        assert_eq!(
            serde_json::to_string(&Problem::new(Kind::TooLarge, "2 MiB")).unwrap(),
            r#"{"type":"urn:wanproof:too-large","status":413,"title":"This is over a limit","detail":"2 MiB"}"#
        );
    }

    #[test]
    fn a_problem_of_a_later_version_is_kept_as_it_is() {
        let problem: Problem =
            serde_json::from_str(r#"{"type":"urn:wanproof:eclipse","title":"dark"}"#).unwrap();
        assert_eq!((problem.kind(), problem.to_string()), (None, "eclipse: dark".to_owned()));
    }
}
