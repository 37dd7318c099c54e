//! The receipt: a collector's signature over a summary's digest and the time at which it arrived.

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey, SecretKey};

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of the format.
    v: u64,
    /// The collector: its key's identifier.
    pub collector: Kid,
    /// Whose summary it is.
    pub agent: Kid,
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// The digest of its compact JWS.
    pub digest: Digest,
    /// When it arrived: the summary was not made later.
    pub received: Wall,
}

/// What a receipt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Whose summary it is.
    pub agent: Kid,
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// The digest of its compact JWS.
    pub digest: Digest,
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReceipt {
    /// It is not a strict JWS of a receipt.
    #[error("the receipt is no JWS of a receipt: {0}")]
    Jws(#[from] jws::NotAJws),
    /// It is signed by another key than the collector's.
    #[error("the receipt is by the key {0}, which is not the collector's that is trusted here")]
    OtherKey(Kid),
    /// The signature is wrong.
    #[error("the receipt's signature is wrong")]
    Signature,
    /// It is not of the page.
    #[error("the receipt is not of the wire format: {0}")]
    Form(String),
    /// It names another collector than signed it.
    #[error("the receipt names the collector {said}, but {signed} signed it")]
    OtherCollector {
        /// Which it names.
        said: Kid,
        /// Which signed.
        signed: Kid,
    },
    /// It is for another summary.
    #[error("the receipt is for another summary: number {seq} of chain {chain}")]
    OtherSummary {
        /// Which chain.
        chain: ChainId,
        /// Which number.
        seq: u64,
    },
}

/// Signs a receipt.
#[must_use]
pub fn sign(of: Subject, received: Wall, key: &SecretKey) -> String {
    let Subject { agent, chain, seq, digest } = of;
    let receipt = Receipt { v: 1, collector: key.kid(), agent, chain, seq, digest, received };
    jws::sign(Typ::Receipt, &serde_json::to_vec(&receipt).expect("a receipt can be written"), key)
}

/// Which key a receipt says that it was signed with.
///
/// # Errors
/// When it is not a strict JWS of a receipt.
pub fn signer(receipt: &[u8]) -> Result<Kid, NotAReceipt> {
    Ok(jws::parse(receipt, Typ::Receipt)?.kid())
}

/// Which summary a receipt says that it is for, by its digest: to sort receipts, before they are
/// verified.
#[must_use]
pub fn named(receipt: &str) -> Option<Digest> {
    #[derive(Deserialize)]
    struct Only {
        digest: Digest,
    }
    let jws = jws::parse(receipt.as_bytes(), Typ::Receipt).ok()?;
    json::read(jws.unverified_payload()).ok().map(|Only { digest }| digest)
}

/// Which summary a receipt says that it is for, by its digest, and when that arrived; before it is
/// verified, or after.
#[must_use]
pub fn arrived(receipt: &str) -> Option<(Digest, Wall)> {
    #[derive(Deserialize)]
    struct Only {
        digest: Digest,
        received: Wall,
    }
    let jws = jws::parse(receipt.as_bytes(), Typ::Receipt).ok()?;
    json::read(jws.unverified_payload()).ok().map(|Only { digest, received }| (digest, received))
}

/// Verifies a receipt by a collector's key.
///
/// # Errors
/// When it is no strict JWS of a receipt by this key, or not of the page.
pub fn verify(receipt: &[u8], collector: &PublicKey) -> Result<Receipt, NotAReceipt> {
    let jws = jws::parse(receipt, Typ::Receipt)?;
    if jws.kid() != collector.kid() {
        return Err(NotAReceipt::OtherKey(jws.kid()));
    }
    let payload = jws.verify(collector).map_err(|_| NotAReceipt::Signature)?;
    let said: Receipt =
        json::read(&payload).map_err(|fault| NotAReceipt::Form(fault.to_string()))?;
    if said.v != 1 {
        return Err(NotAReceipt::Form(format!("it is of version {}", said.v)));
    }
    if said.collector != collector.kid() {
        return Err(NotAReceipt::OtherCollector { said: said.collector, signed: collector.kid() });
    }
    Ok(said)
}

impl Receipt {
    /// Checks that it is for this summary.
    ///
    /// # Errors
    /// When it is for another.
    pub fn is_for(&self, of: &Subject) -> Result<(), NotAReceipt> {
        let said =
            Subject { agent: self.agent, chain: self.chain, seq: self.seq, digest: self.digest };
        if said == *of {
            Ok(())
        } else {
            Err(NotAReceipt::OtherSummary { chain: self.chain, seq: self.seq })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        let agent = SecretKey::from_seed(&[1; 32]).kid();
        Subject {
            agent,
            chain: ChainId::from_bytes([3; 16]),
            seq: 7,
            digest: Digest::of(b"summary"),
        }
    }

    #[test]
    fn a_receipt_is_believed_only_by_its_collectors_key_and_for_its_summary() {
        let (collector, other) = (SecretKey::from_seed(&[2; 32]), SecretKey::from_seed(&[4; 32]));
        let at = "2026-11-23T10:05:02Z".parse().unwrap();
        let jws = sign(subject(), at, &collector);
        let receipt = verify(jws.as_bytes(), collector.public()).unwrap();
        assert_eq!(receipt.received, at);
        receipt.is_for(&subject()).unwrap();
        for wrong in [
            Subject { seq: 8, ..subject() },
            Subject { digest: Digest::of(b"another"), ..subject() },
            Subject { agent: other.kid(), ..subject() },
            Subject { chain: ChainId::from_bytes([4; 16]), ..subject() },
        ] {
            assert!(receipt.is_for(&wrong).is_err());
        }
        assert_eq!(
            verify(jws.as_bytes(), other.public()),
            Err(NotAReceipt::OtherKey(collector.kid()))
        );
    }

    #[test]
    fn a_receipt_that_names_another_collector_than_signed_it_is_refused() {
        let (collector, other) = (SecretKey::from_seed(&[2; 32]), SecretKey::from_seed(&[4; 32]));
        let Subject { agent, chain, seq, digest } = subject();
        let said = Receipt {
            v: 1,
            collector: other.kid(),
            agent,
            chain,
            seq,
            digest,
            received: Wall::from_secs(0),
        };
        let jws = jws::sign(Typ::Receipt, &serde_json::to_vec(&said).unwrap(), &collector);
        assert!(matches!(
            verify(jws.as_bytes(), collector.public()),
            Err(NotAReceipt::OtherCollector { .. })
        ));
    }
}
