//! What a collector signs for those who read from it: its keys, and the contracts of an agent's
//! site.

use serde::{Deserialize, Serialize};

use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey, SecretKey};

/// A contract's version, as a collector hands it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractText {
    /// Its identifier.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of the file's bytes, in lowercase hexadecimal.
    pub sha256: String,
    /// The file.
    pub toml: String,
}

/// The contracts that concern an agent's site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contracts {
    /// The version of the format.
    v: u64,
    /// Each version of each.
    pub contracts: Vec<ContractText>,
}

/// A collector's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The version of the format.
    v: u64,
    /// The collector: its present key's identifier.
    pub collector: Kid,
    /// The present key.
    pub jwk: PublicKey,
    /// The key that comes after it, where there is one.
    #[serde(default)]
    pub next: Option<PublicKey>,
}

/// Why an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAnswer {
    /// It is not a strict JWS of such an answer.
    #[error("the collector's answer is no JWS of its kind: {0}")]
    Jws(#[from] jws::NotAJws),
    /// It is not by the key that is trusted.
    #[error("the collector's answer is not by the key that is trusted here")]
    Signature(#[from] jws::BadSignature),
    /// It is not of the page.
    #[error("the collector's answer is not of the wire format: {0}")]
    Form(String),
}

/// Signs the contracts of a site.
#[must_use]
pub fn sign_contracts(contracts: Vec<ContractText>, key: &SecretKey) -> String {
    let said = Contracts { v: 1, contracts };
    jws::sign(Typ::Contracts, &serde_json::to_vec(&said).expect("contracts can be written"), key)
}

/// Verifies the contracts of a site.
///
/// # Errors
/// When they are not by this key, or not of the page; when the digest of one is not that of its
/// text.
pub fn verify_contracts(answer: &[u8], collector: &PublicKey) -> Result<Contracts, NotAnAnswer> {
    let payload = jws::parse(answer, Typ::Contracts)?.verify(collector)?;
    let said: Contracts =
        json::read(&payload).map_err(|fault| NotAnAnswer::Form(fault.to_string()))?;
    for contract in &said.contracts {
        if crate::evidence::digest::Digest::of(contract.toml.as_bytes()).hex() != contract.sha256 {
            return Err(NotAnAnswer::Form(format!(
                "the digest of {} is not that of its text",
                contract.id
            )));
        }
    }
    Ok(said)
}

/// Signs a collector's keys by the present one.
#[must_use]
pub fn sign_keys(next: Option<PublicKey>, key: &SecretKey) -> String {
    let said = Keys { v: 1, collector: key.kid(), jwk: *key.public(), next };
    jws::sign(Typ::Keys, &serde_json::to_vec(&said).expect("keys can be written"), key)
}

/// Verifies a collector's keys by the present one.
///
/// # Errors
/// When they are not by this key, or not of the page.
pub fn verify_keys(answer: &[u8], collector: &PublicKey) -> Result<Keys, NotAnAnswer> {
    let payload = jws::parse(answer, Typ::Keys)?.verify(collector)?;
    let said: Keys = json::read(&payload).map_err(|fault| NotAnAnswer::Form(fault.to_string()))?;
    if said.collector == collector.kid() && said.jwk == *collector {
        Ok(said)
    } else {
        Err(NotAnAnswer::Form("it names another key than signed it".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::digest::Digest;

    #[test]
    fn contracts_and_keys_are_believed_only_by_the_collectors_key() {
        let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let toml = "schema = \"x\"".to_owned();
        let contract = ContractText {
            id: "A".into(),
            version: 1,
            sha256: Digest::of(toml.as_bytes()).hex(),
            toml,
        };
        let jws = sign_contracts(vec![contract.clone()], &key);
        assert_eq!(
            verify_contracts(jws.as_bytes(), key.public()).unwrap().contracts,
            std::slice::from_ref(&contract)
        );
        assert!(verify_contracts(jws.as_bytes(), other.public()).is_err());
        let altered = ContractText { toml: "schema = \"y\"".into(), ..contract };
        assert!(
            verify_contracts(sign_contracts(vec![altered], &key).as_bytes(), key.public()).is_err()
        );
        let keys = sign_keys(Some(*other.public()), &key);
        assert_eq!(verify_keys(keys.as_bytes(), key.public()).unwrap().next, Some(*other.public()));
        assert!(verify_keys(keys.as_bytes(), other.public()).is_err());
    }
}
