//! Ed25519 keys (RFC 8032): the JWK that they travel as (RFC 8037), and the names that they are
//! known by.
//!
//! A key's identifier is its RFC 7638 thumbprint. Nothing here knows where a private key is kept.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::evidence::base64url::{self, NotBase64Url};
use crate::evidence::digest::Digest;

/// A key's identifier: the RFC 7638 thumbprint (SHA-256) of its JWK; its text is base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kid(Digest);

impl Kid {
    /// Takes 32 bytes as a thumbprint.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// A fingerprint to read over the telephone: the first 160 bits in RFC 4648's base32, in groups
    /// of four. It has neither 0 nor 1, and case does not matter.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut text = String::new();
        for five in self.bytes()[..20].chunks_exact(5) {
            let bits = five.iter().fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
            for at in 0..8 {
                if at % 4 == 0 && !text.is_empty() {
                    text.push('-');
                }
                text.push(char::from(LETTERS[(bits >> (35 - 5 * at) & 31) as usize]));
            }
        }
        text
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Kid {
    type Err = NotBase64Url;
    fn from_str(text: &str) -> Result<Self, NotBase64Url> {
        text.parse().map(Self)
    }
}

/// Why something is no key of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It is not a JWK, or a member is missing.
    #[error("it is not a JWK: {0}")]
    NotAJwk(String),
    /// It is of another type or curve.
    #[error("it is a JWK of kty {kty:?} and crv {crv:?}; only OKP and Ed25519 are used here")]
    OtherKind {
        /// Its key type.
        kty: String,
        /// Its curve.
        crv: String,
    },
    /// `x` or `d` is not 32 bytes in strict base64url.
    #[error("its {0:?} is not 32 bytes in strict base64url")]
    Member(&'static str),
    /// `x` is no point of the curve, or one of small order.
    #[error("its \"x\" is not a usable Ed25519 public key")]
    Weak,
    /// It has no `d`, where a private key was wanted.
    #[error("it has no \"d\": it is a public key, where a private one is wanted")]
    NotPrivate,
    /// `d` and `x` do not belong together.
    #[error("its \"d\" and its \"x\" do not belong together")]
    OtherHalf,
}

/// A JWK as it is written; members that are not known here are ignored.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    kty: String,
    crv: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// For people and for other tools; it is not read, since a key's identifier is worked out.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
}

impl Written {
    fn public(&self) -> Result<PublicKey, NotAKey> {
        if (self.kty.as_str(), self.crv.as_str()) != ("OKP", "Ed25519") {
            return Err(NotAKey::OtherKind { kty: self.kty.clone(), crv: self.crv.clone() });
        }
        let x = base64url::decode_array(&self.x).map_err(|_| NotAKey::Member("x"))?;
        PublicKey::from_bytes(x)
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    kid: Kid,
}

impl PublicKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// When they are no point of the curve, or one of small order, with which anything could be
    /// signed.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NotAKey> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NotAKey::Weak)?;
        if key.is_weak() {
            return Err(NotAKey::Weak);
        }
        // RFC 7638, section 3.2, and RFC 8037, section 2: the required members in the order of
        // their names.
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(&bytes));
        Ok(Self { key, kid: Kid(Digest::of(jwk.as_bytes())) })
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Its identifier.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// From the text of a JWK; members other than `kty`, `crv` and `x` are ignored.
    ///
    /// # Errors
    /// When it is no JWK of an Ed25519 key.
    pub fn from_jwk(text: &str) -> Result<Self, NotAKey> {
        let written: Written =
            serde_json::from_str(text).map_err(|error| NotAKey::NotAJwk(error.to_string()))?;
        written.public()
    }

    /// As the text of a JWK, with its `kid`.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        serde_json::to_string(self).expect("a JWK can be written")
    }

    /// Checks a signature by RFC 8032, strictly: one signature has one form, and no weak key is
    /// taken.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kid)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let x = base64url::encode(self.bytes());
        let kid = Some(self.kid.to_string());
        Written { kty: "OKP".into(), crv: "Ed25519".into(), x, d: None, kid }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Written::deserialize(from)?.public().map_err(serde::de::Error::custom)
    }
}

/// A private key. It is wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes())
            .expect("a derived key is not of small order");
        Self { key, public }
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its identifier.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.public.kid
    }

    /// From the text of a private JWK (RFC 8037, section 2).
    ///
    /// # Errors
    /// When it is no JWK of a private Ed25519 key, or its halves do not belong together.
    pub fn from_jwk(text: &str) -> Result<Self, NotAKey> {
        // serde_json's messages can quote the text; a private key is not quoted.
        let written: Written = serde_json::from_str(text).map_err(|error| {
            NotAKey::NotAJwk(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let public = written.public()?;
        let seed = written.d.as_deref().ok_or(NotAKey::NotPrivate)?;
        let key =
            Self::from_seed(&base64url::decode_array(seed).map_err(|_| NotAKey::Member("d"))?);
        if key.public == public { Ok(key) } else { Err(NotAKey::OtherHalf) }
    }

    /// As the text of a private JWK: only for the file that keeps it.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        let written = Written {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            x: base64url::encode(self.public.bytes()),
            d: Some(base64url::encode(&self.key.to_bytes())),
            kid: Some(self.kid().to_string()),
        };
        serde_json::to_string(&written).expect("a JWK can be written")
    }

    /// Signs (RFC 8032; the same message always gets the same signature).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, …)", self.kid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A: a private JWK, its thumbprint, a signature.
    const RFC_8037: &str = r#"{"kty":"OKP","crv":"Ed25519",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        let key = SecretKey::from_jwk(RFC_8037).unwrap();
        assert_eq!(key.kid().to_string(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.kid().fingerprint(), "sd5m-v7vj-wfkw-ngcu-b5ym-ael2-elvd-ppk4");
    }

    #[test]
    fn a_signature_is_that_of_rfc_8037() {
        let key = SecretKey::from_jwk(RFC_8037).unwrap();
        let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = key.sign(input);
        assert_eq!(
            base64url::encode(&signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert!(key.public().verifies(input, &signature));
        assert!(!key.public().verifies(b"another", &signature));
    }

    #[test]
    fn a_key_survives_its_jwk_and_is_not_printed() {
        let key = SecretKey::from_seed(&[7; 32]);
        assert_eq!(SecretKey::from_jwk(&key.to_jwk()).unwrap().public(), key.public());
        assert_eq!(PublicKey::from_jwk(&key.public().to_jwk()).unwrap(), *key.public());
        assert!(!format!("{key:?}").contains(&base64url::encode(&[7; 32])));
    }

    #[test]
    fn what_is_no_ed25519_jwk_is_refused_with_what_is_wrong() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for (text, part) in [
            ("{}".to_owned(), "not a JWK"),
            ("[1".to_owned(), "not a JWK"),
            (format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}"}}"#), "only OKP"),
            (format!(r#"{{"kty":"OKP","crv":"X25519","x":"{x}"}}"#), "only OKP"),
            (format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}="}}"#), "\"x\""),
            // The neutral point, with which any message verifies where small orders are not
            // refused.
            (format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"AQ{}"}}"#, "A".repeat(41)), "usable"),
        ] {
            let error = PublicKey::from_jwk(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(
            SecretKey::from_jwk(&SecretKey::from_seed(&[1; 32]).public().to_jwk()).err(),
            Some(NotAKey::NotPrivate)
        );
        let mixed = RFC_8037.replace("nWGx", "nWGy");
        assert_eq!(SecretKey::from_jwk(&mixed).err(), Some(NotAKey::OtherHalf));
    }
}
