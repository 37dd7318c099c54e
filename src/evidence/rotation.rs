//! The change of an agent's key: a summary by the present key carries the consent of the next one.

use serde::{Deserialize, Serialize};

use crate::evidence::chain::ChainId;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey, SecretKey};

#[derive(Serialize, Deserialize)]
struct Consent {
    v: u64,
    agent: Kid,
    jwk: PublicKey,
    chain: ChainId,
    seq: u64,
}

/// Why a `next_key` is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("next_key: {0}")]
pub struct NoConsent(pub String);

/// The next key's consent to sign for an agent after the summary of this number.
#[must_use]
pub fn sign(agent: Kid, chain: ChainId, seq: u64, next: &SecretKey) -> String {
    let consent = Consent { v: 1, agent, jwk: *next.public(), chain, seq };
    let payload = serde_json::to_vec(&consent).expect("a consent can be written");
    jws::sign(Typ::Rotation, &payload, next)
}

/// Verifies a consent, which must be for this agent and this summary, and gives the key.
///
/// # Errors
/// When it is no strict JWS by the key that it brings, or is for another agent or summary.
pub fn verify(consent: &str, agent: Kid, chain: ChainId, seq: u64) -> Result<PublicKey, NoConsent> {
    let fault = |what: &dyn std::fmt::Display| NoConsent(what.to_string());
    let jws = jws::parse(consent.as_bytes(), Typ::Rotation).map_err(|error| fault(&error))?;
    let said: Consent = json::read(jws.unverified_payload()).map_err(|error| fault(&error))?;
    jws.verify(&said.jwk).map_err(|error| fault(&error))?;
    if said.v != 1 {
        return Err(fault(&format_args!("it is of version {}", said.v)));
    }
    if (said.agent, said.chain, said.seq) != (agent, chain, seq) {
        return Err(fault(&"it is for another agent or another summary"));
    }
    Ok(said.jwk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_holds_for_one_agent_and_one_summary_only() {
        let (agent, next) = (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]));
        let (one, two) = (ChainId::from_bytes([1; 16]), ChainId::from_bytes([2; 16]));
        let consent = sign(agent, one, 7, &next);
        assert_eq!(verify(&consent, agent, one, 7).unwrap(), *next.public());
        assert!(verify(&consent, next.kid(), one, 7).is_err());
        assert!(verify(&consent, agent, two, 7).is_err());
        assert!(verify(&consent, agent, one, 8).is_err());
    }

    #[test]
    fn a_consent_by_another_key_than_it_brings_is_refused() {
        let (agent, next) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let chain = ChainId::from_bytes([1; 16]);
        let consent = Consent { v: 1, agent: agent.kid(), jwk: *next.public(), chain, seq: 0 };
        let payload = serde_json::to_vec(&consent).unwrap();
        let forged = jws::sign(Typ::Rotation, &payload, &agent);
        assert!(verify(&forged, agent.kid(), chain, 0).is_err());
        assert!(verify(&jws::sign(Typ::Enrol, &payload, &next), agent.kid(), chain, 0).is_err());
    }
}
