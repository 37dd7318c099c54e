//! JWS in its compact form (RFC 7515), strictly, and only with Ed25519 (RFC 8037, RFC 9864).
//!
//! The key is always found by `kid` among those that the reader trusts; whatever keys a header
//! carries are not looked at.

use serde::{Deserialize, Serialize};

use crate::evidence::base64url;
use crate::evidence::json;
use crate::evidence::key::{Kid, PublicKey, SecretKey};

/// A header that is longer than this, in base64url, is refused unread.
const HEADER_LIMIT: usize = 4096;

/// What a JWS says; the header's `typ` keeps a signature over one from being taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Typ {
    /// An agent's summary.
    Summary,
    /// A collector's receipt for one.
    Receipt,
    /// An agent's wish to be enrolled.
    Enrol,
    /// A new key's consent to follow an agent's present one.
    Rotation,
    /// An agent's right to read.
    Request,
    /// The contracts that a collector hands to an agent.
    Contracts,
    /// A collector's keys.
    Keys,
    /// A party's signature of a version of a contract.
    ContractSignature,
}

impl Typ {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Summary,
        Self::Receipt,
        Self::Enrol,
        Self::Rotation,
        Self::Request,
        Self::Contracts,
        Self::Keys,
        Self::ContractSignature,
    ];

    /// Its word in the header.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Summary => "wanproof-summary+jws",
            Self::Receipt => "wanproof-receipt+jws",
            Self::Enrol => "wanproof-enrol+jws",
            Self::Rotation => "wanproof-rotation+jws",
            Self::Request => "wanproof-request+jws",
            Self::Contracts => "wanproof-contracts+jws",
            Self::Keys => "wanproof-keys+jws",
            Self::ContractSignature => "wanproof-contract-signature+jws",
        }
    }
}

/// Why bytes are no JWS that is taken here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAJws {
    /// There are not three parts.
    #[error("it is not three parts with two dots between them")]
    Parts,
    /// A part is not strict base64url.
    #[error("its {0} is not strict base64url")]
    Base64(&'static str),
    /// The header is not what every JWS here has.
    #[error("its header is not of a JWS taken here: {0}")]
    Header(String),
    /// The signature is not 64 bytes.
    #[error("its signature is not 64 bytes")]
    Signature,
}

/// The signature of a JWS is not by the key of its `kid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its signature is not by the key of its kid")]
pub struct BadSignature;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: String,
    typ: &'a str,
}

#[derive(Deserialize)]
struct ReadHeader {
    alg: String,
    kid: Kid,
    typ: String,
    #[serde(default, deserialize_with = "present")]
    crit: Option<()>,
}

/// Whatever the value is, null too: the member is there.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<()>, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| Some(()))
}

/// Signs a payload.
#[must_use]
pub fn sign(typ: Typ, payload: &[u8], key: &SecretKey) -> String {
    let mut compact = begun(typ, key);
    base64url::append(&mut compact, payload);
    signed(compact, key)
}

/// Signs the JSON of something, which is written straight into the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn sign_json(
    typ: Typ,
    payload: &impl Serialize,
    key: &SecretKey,
) -> serde_json::Result<String> {
    let mut compact = begun(typ, key);
    base64url::append_written(&mut compact, |to| serde_json::to_writer(to, payload))?;
    Ok(signed(compact, key))
}

/// The header, and the dot before the payload.
fn begun(typ: Typ, key: &SecretKey) -> String {
    let header = Header { alg: "EdDSA", kid: key.kid().to_string(), typ: typ.word() };
    let header = serde_json::to_vec(&header).expect("three texts can be written");
    base64url::encode(&header) + "."
}

/// What was begun and has its payload, with its signature.
fn signed(mut compact: String, key: &SecretKey) -> String {
    let signature = key.sign(compact.as_bytes());
    compact.push('.');
    base64url::append(&mut compact, &signature);
    compact
}

/// A JWS of the right form, whose signature is not verified yet.
#[derive(Clone, Debug)]
pub struct Unverified<'a> {
    kid: Kid,
    signed: &'a [u8],
    payload: Vec<u8>,
    signature: [u8; 64],
}

/// What a JWS says that it is, for sorting alone: nothing else of it is checked.
#[must_use]
pub fn typ(compact: &[u8]) -> Option<Typ> {
    #[derive(Deserialize)]
    struct OnlyTyp {
        typ: String,
    }
    let header =
        compact.split(|&byte| byte == b'.').next().filter(|header| header.len() <= HEADER_LIMIT)?;
    let header: OnlyTyp = json::read(&base64url::decode(header).ok()?).ok()?;
    Typ::ALL.into_iter().find(|typ| typ.word() == header.typ)
}

/// Reads a JWS of one `typ`, without verifying its signature.
///
/// # Errors
/// When it is not three parts of strict base64url; when the header is not strict JSON, is of
/// another `alg` or `typ`, has no thumbprint as `kid`, or has `crit`, of which nothing is known
/// here.
pub fn parse(compact: &[u8], typ: Typ) -> Result<Unverified<'_>, NotAJws> {
    let mut parts = compact.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(NotAJws::Parts);
    };
    if header.len() > HEADER_LIMIT {
        return Err(NotAJws::Header(format!("it is longer than {HEADER_LIMIT} bytes")));
    }
    let signed = &compact[..header.len() + 1 + payload.len()];
    let header = base64url::decode(header).map_err(|_| NotAJws::Base64("header"))?;
    let header: ReadHeader =
        json::read(&header).map_err(|fault| NotAJws::Header(fault.to_string()))?;
    if !matches!(header.alg.as_str(), "EdDSA" | "Ed25519") {
        return Err(NotAJws::Header(format!(
            "alg is {:?}; EdDSA and Ed25519 are taken",
            short(&header.alg)
        )));
    }
    if header.typ != typ.word() {
        return Err(NotAJws::Header(format!(
            "typ is {:?}; here it is {:?}",
            short(&header.typ),
            typ.word()
        )));
    }
    if header.crit.is_some() {
        return Err(NotAJws::Header("it has crit, of which nothing is known here".to_owned()));
    }
    let signature = base64url::decode(signature).map_err(|_| NotAJws::Base64("signature"))?;
    let signature = signature.try_into().map_err(|_| NotAJws::Signature)?;
    let payload = base64url::decode(payload).map_err(|_| NotAJws::Base64("payload"))?;
    Ok(Unverified { kid: header.kid, signed, payload, signature })
}

/// The beginning of a foreign text, for a message.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Unverified<'_> {
    /// Which key it says that it was signed with.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// What it says, before anybody has shown that the key's owner said it: only for a payload that
    /// brings its own key.
    #[must_use]
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Verifies the signature and gives the payload.
    ///
    /// # Errors
    /// When the key is another than `kid` says, or did not sign this.
    pub fn verify(self, key: &PublicKey) -> Result<Vec<u8>, BadSignature> {
        if key.kid() == self.kid && key.verifies(self.signed, &self.signature) {
            Ok(self.payload)
        } else {
            Err(BadSignature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[1; 32])
    }

    /// A JWS with a header of one's own, properly signed over it.
    fn with_header(header: &str, payload: &[u8]) -> String {
        let input =
            format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(payload));
        let signature = base64url::encode(&key().sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    fn read(compact: &str) -> Result<Vec<u8>, String> {
        let jws = parse(compact.as_bytes(), Typ::Summary).map_err(|fault| fault.to_string())?;
        jws.verify(key().public()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn what_was_signed_is_read_and_the_header_is_that_of_the_page() {
        let jws = sign(Typ::Summary, b"{}", &key());
        assert_eq!(read(&jws).unwrap(), b"{}");
        let header = base64url::decode(jws.split('.').next().unwrap().as_bytes()).unwrap();
        let kid = key().kid();
        assert_eq!(
            String::from_utf8(header).unwrap(),
            format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"wanproof-summary+jws"}}"#)
        );
    }

    #[test]
    fn ed25519_is_taken_as_algorithm_and_unknown_members_are_ignored() {
        let kid = key().kid();
        let header = format!(
            r#"{{"typ":"wanproof-summary+jws","kid":"{kid}","alg":"Ed25519","cty":"json"}}"#
        );
        assert_eq!(read(&with_header(&header, b"x")).unwrap(), b"x");
    }

    #[test]
    fn every_forged_header_is_refused() {
        let kid = key().kid();
        let typ = r#""typ":"wanproof-summary+jws""#;
        for (header, part) in [
            (format!(r#"{{"alg":"none","kid":"{kid}",{typ}}}"#), "alg"),
            (format!(r#"{{"alg":"HS256","kid":"{kid}",{typ}}}"#), "alg"),
            (format!(r#"{{"alg":"ES256","kid":"{kid}",{typ}}}"#), "alg"),
            (format!(r#"{{"alg":"eddsa","kid":"{kid}",{typ}}}"#), "alg"),
            (format!(r#"{{"alg":["EdDSA"],"kid":"{kid}",{typ}}}"#), "header"),
            (format!(r#"{{"kid":"{kid}",{typ}}}"#), "alg"),
            (format!(r#"{{"alg":"EdDSA",{typ}}}"#), "kid"),
            (format!(r#"{{"alg":"EdDSA","kid":"x",{typ}}}"#), "header"),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), "typ"),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"wanproof-receipt+jws"}}"#), "typ"),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#), "typ"),
            (
                format!(r#"{{"alg":"EdDSA","kid":"{kid}",{typ},"crit":["b64"],"b64":false}}"#),
                "crit",
            ),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}",{typ},"crit":[]}}"#), "crit"),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}",{typ},"crit":null}}"#), "crit"),
            (format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}",{typ}}}"#), "twice"),
            (format!(r#"{{"alg":"EdDSA","kid":"{kid}",{typ}}} "#) + "x", "header"),
            (
                format!(
                    r#"{{"alg":"EdDSA","kid":"{kid}",{typ},"x":{}}}"#,
                    "[".repeat(900) + &"]".repeat(900)
                ),
                "nested",
            ),
            (
                format!(r#"{{"alg":"EdDSA","kid":"{kid}",{typ},"x":"{}"}}"#, "x".repeat(9000)),
                "longer",
            ),
        ] {
            let error = read(&with_header(&header, b"x")).unwrap_err();
            assert!(error.contains(part), "{header}: {error}");
        }
    }

    #[test]
    fn a_foreign_key_in_the_header_is_not_looked_at() {
        let foreign = SecretKey::from_seed(&[2; 32]);
        let header = format!(
            r#"{{"alg":"EdDSA","kid":"{}","typ":"wanproof-summary+jws","jwk":{}}}"#,
            key().kid(),
            foreign.public().to_jwk()
        );
        let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(b"x"));
        let forged = format!("{input}.{}", base64url::encode(&foreign.sign(input.as_bytes())));
        assert_eq!(read(&forged), Err(BadSignature.to_string()));
    }

    #[test]
    fn every_wrong_character_at_every_place_is_found() {
        let jws = sign(Typ::Summary, br#"{"v":1,"agent":"x"}"#, &key());
        for at in 0..jws.len() {
            for to in [b'A', b'B', b'z', b'_', b'.', b'=', b'\n', b' ', 0x80] {
                let mut bytes = jws.as_bytes().to_vec();
                if bytes[at] == to {
                    continue;
                }
                bytes[at] = to;
                let read = parse(&bytes, Typ::Summary).map(|jws| jws.verify(key().public()));
                assert!(!matches!(read, Ok(Ok(_))), "byte {at} became {to}");
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_followed_by_something_is_refused() {
        let jws = sign(Typ::Summary, b"{}", &key());
        for end in 0..jws.len() {
            assert!(read(&jws[..end]).is_err(), "{end}");
        }
        for tail in ["A", "AAAA", "=", ".", ".A", "\n", "\r\n", " ", "\0"] {
            assert!(read(&format!("{jws}{tail}")).is_err(), "{tail:?}");
            assert!(read(&format!("{tail}{jws}")).is_err(), "{tail:?} before");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(&bytes, Typ::Summary).is_err());
        }
    }
}
