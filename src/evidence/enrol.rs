//! Enrolment: an agent shows that it has a key, and what it brings to be let in.

use serde::{Deserialize, Serialize};

use crate::base::text;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{PublicKey, SecretKey};
use crate::evidence::problem::{Kind, Problem};

/// An enrolment is never longer, in bytes.
pub const LIMIT: usize = 64 * 1024;
/// A token is never longer, in bytes.
const TEXT_LIMIT: usize = 1024;

/// What an agent says to be enrolled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The version of the format.
    v: u64,
    /// Its key, which signed this.
    pub jwk: PublicKey,
    /// Its site.
    pub site: String,
    /// A one-time token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        f.debug_struct("Enrolment")
            .field("jwk", &self.jwk)
            .field("site", &self.site)
            .field("token", &token)
            .finish()
    }
}

/// What a collector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Whether the agent may ship.
    pub state: State,
    /// The collector's key.
    pub jwk: PublicKey,
}

/// Whether an agent may ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It may.
    Approved,
    /// An operator has to approve it first.
    Pending,
}

/// Signs an enrolment.
#[must_use]
pub fn sign(site: &str, token: Option<&str>, key: &SecretKey) -> String {
    let said = Enrolment {
        v: 1,
        jwk: *key.public(),
        site: site.to_owned(),
        token: token.map(str::to_owned),
    };
    jws::sign(Typ::Enrol, &serde_json::to_vec(&said).expect("an enrolment can be written"), key)
}

/// Verifies an enrolment by the key that it brings, which must be that of its `kid`.
///
/// # Errors
/// As a problem: `malformed`, `unsupported` for another version, `bad-signature`.
pub fn verify(enrolment: &[u8]) -> Result<Enrolment, Problem> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let malformed = |fault: &dyn std::fmt::Display| Problem::new(Kind::Malformed, fault);
    let jws = jws::parse(enrolment, Typ::Enrol).map_err(|fault| malformed(&fault))?;
    let version: Version =
        json::read(jws.unverified_payload()).map_err(|fault| malformed(&fault))?;
    if version.v != 1 {
        return Err(Problem::new(
            Kind::Unsupported,
            format_args!("version {} of an enrolment; 1 is known", version.v),
        ));
    }
    let said: Enrolment =
        json::read(jws.unverified_payload()).map_err(|fault| malformed(&fault))?;
    text::name(&said.site).map_err(|fault| malformed(&format_args!("site: {fault}")))?;
    if said.token.as_ref().is_some_and(|token| token.len() > TEXT_LIMIT) {
        return Err(malformed(&format_args!("a token is at most {TEXT_LIMIT} bytes")));
    }
    if jws.kid() != said.jwk.kid() {
        return Err(Problem::new(Kind::BadSignature, "its kid is not the thumbprint of its jwk"));
    }
    jws.verify(&said.jwk).map_err(|fault| Problem::new(Kind::BadSignature, fault))?;
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrolment_shows_that_its_sender_has_the_key() {
        let key = SecretKey::from_seed(&[1; 32]);
        let said = verify(sign("leeds-01", Some("once"), &key).as_bytes()).unwrap();
        assert_eq!(
            (said.jwk, said.site.as_str(), said.token.as_deref()),
            (*key.public(), "leeds-01", Some("once"))
        );
        assert!(!format!("{said:?}").contains("once"));
    }

    #[test]
    fn a_site_is_a_name_that_can_be_shown() {
        let key = SecretKey::from_seed(&[1; 32]);
        let refused = |site: &str| {
            verify(sign(site, None, &key).as_bytes()).map_err(|problem| problem.kind())
        };
        for site in ["", "a\0b", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(201)] {
            assert_eq!(refused(site).err(), Some(Some(Kind::Malformed)), "{site:?}");
        }
        assert!(refused("पुणे-०१").is_ok());
    }

    #[test]
    fn an_enrolment_of_anothers_key_is_refused() {
        let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let said = Enrolment { v: 1, jwk: *other.public(), site: "x".to_owned(), token: None };
        let forged = jws::sign(Typ::Enrol, &serde_json::to_vec(&said).unwrap(), &key);
        assert_eq!(verify(forged.as_bytes()).unwrap_err().kind(), Some(Kind::BadSignature));
        let later = Enrolment { v: 2, jwk: *key.public(), site: "x".to_owned(), token: None };
        let later = jws::sign(Typ::Enrol, &serde_json::to_vec(&later).unwrap(), &key);
        assert_eq!(verify(later.as_bytes()).unwrap_err().kind(), Some(Kind::Unsupported));
        for bytes in
            [&b""[..], b"x", b"a.b.c", jws::sign(Typ::Enrol, b"{\"v\":1}", &key).as_bytes()]
        {
            assert_eq!(verify(bytes).unwrap_err().kind(), Some(Kind::Malformed));
        }
    }
}
