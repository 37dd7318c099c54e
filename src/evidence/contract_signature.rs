//! A version of a contract that both parties hold, provably: each party's signature over the
//! digests of the files that it consists of. The second signature, the countersignature, names the
//! first by its digest.
//!
//! A signature is a compact JWS, `typ` `wanproof-contract-signature+jws`:
//! `{"v":1,"contract":"ACME-MPLS-2026","version":3,"sha256":"hex of the file's
//! bytes","parents":[{"id","version","sha256"}], "party":"customer","name":"ACME
//! Ltd","at":"…","countersigns":"base64url(SHA-256(the first JWS)), null in the first"}`.

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::digest::Digest;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{PublicKey, SecretKey};
use crate::evidence::summary::ContractRef;
use crate::sla::reader::Word;
use crate::sla::terms::{Contract, Party};

/// The files that a version consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The version itself.
    pub own: ContractRef,
    /// What it inherits from, the nearest first: a change of it changes the terms too.
    pub parents: Vec<ContractRef>,
}

/// A party's signature of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which party.
    pub party: Party,
    /// Its name in the contract.
    pub name: String,
    /// When it signed, by its own word.
    pub at: Wall,
    /// The signature that it answers.
    pub countersigns: Option<Digest>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    v: u64,
    contract: String,
    version: u64,
    sha256: String,
    parents: Vec<ContractRef>,
    party: String,
    name: String,
    at: Wall,
    countersigns: Option<Digest>,
}

/// Why a signature is not one of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// It is no strict JWS of a contract's signature, or not by the key given.
    #[error("it is no signature of a contract by the key given: {0}")]
    Jws(String),
    /// It is of another version.
    #[error("it signs {theirs}, and this is {ours}: the two parties do not hold the same")]
    Another {
        /// What it signs.
        theirs: String,
        /// What is here.
        ours: String,
    },
    /// It names a party that the contract does not know so.
    #[error("it is signed as the {party} {name:?}, and the contract's {party} is {known:?}")]
    Stranger {
        /// As which party.
        party: Party,
        /// By which name.
        name: String,
        /// The contract's name of it.
        known: String,
    },
    /// Both are by the same party.
    #[error("both signatures are the {0}'s: the other party has to sign too")]
    Alone(Party),
    /// Both are by the same key.
    #[error("both signatures are by one key: each party has its own")]
    OneKey,
    /// The second does not answer the first.
    #[error("the second signature does not countersign the first")]
    Unanswered,
}

/// Signs a version for a party; `first` is the other party's signature that this one countersigns.
#[must_use]
pub fn sign(
    files: &Files,
    contract: &Contract,
    party: Party,
    at: Wall,
    first: Option<&str>,
    key: &SecretKey,
) -> String {
    let payload = Payload {
        v: 1,
        contract: files.own.id.clone(),
        version: files.own.version,
        sha256: files.own.sha256.clone(),
        parents: files.parents.clone(),
        party: party.word().to_owned(),
        name: name_of(contract, party).to_owned(),
        at,
        countersigns: first.map(|jws| Digest::of(jws.as_bytes())),
    };
    let payload = serde_json::to_vec(&payload).expect("texts, numbers and digests can be written");
    jws::sign(Typ::ContractSignature, &payload, key)
}

/// Verifies one signature of a version by the key that is its party's.
///
/// # Errors
/// When it is not by that key, is of another version, or of a party that the contract names
/// otherwise.
pub fn verify(
    jws: &str,
    files: &Files,
    contract: &Contract,
    key: &PublicKey,
) -> Result<Signature, NotSigned> {
    let fault = |what: &dyn std::fmt::Display| NotSigned::Jws(what.to_string());
    let read = jws::parse(jws.as_bytes(), Typ::ContractSignature).map_err(|error| fault(&error))?;
    let payload = read.verify(key).map_err(|error| fault(&error))?;
    let said: Payload = json::read(&payload).map_err(|error| fault(&error))?;
    let party = Party::ALL.iter().copied().find(|party| party.word() == said.party);
    let Some(party) = party.filter(|_| said.v == 1) else {
        return Err(fault(&"its version or its party is not known"));
    };
    let theirs = Files {
        own: ContractRef { id: said.contract, version: said.version, sha256: said.sha256 },
        parents: said.parents,
    };
    if theirs != *files {
        return Err(NotSigned::Another { theirs: told(&theirs), ours: told(files) });
    }
    let known = name_of(contract, party);
    if said.name != known {
        return Err(NotSigned::Stranger { party, name: said.name, known: known.to_owned() });
    }
    Ok(Signature { party, name: said.name, at: said.at, countersigns: said.countersigns })
}

/// Verifies that both parties signed one version: each signature with its party's key.
///
/// # Errors
/// When either is no signature of it, both are one party's or one key's, or neither answers the
/// other.
pub fn agreed(
    signed: [(&str, &PublicKey); 2],
    files: &Files,
    contract: &Contract,
) -> Result<[Signature; 2], NotSigned> {
    let [(first, one), (second, other)] = signed;
    let (a, b) = (verify(first, files, contract, one)?, verify(second, files, contract, other)?);
    if a.party == b.party {
        return Err(NotSigned::Alone(a.party));
    }
    if one == other {
        return Err(NotSigned::OneKey);
    }
    let answers = |signature: &Signature, jws: &str| {
        signature.countersigns == Some(Digest::of(jws.as_bytes()))
    };
    match (answers(&b, first), answers(&a, second)) {
        (true, _) => Ok([a, b]),
        (false, true) => Ok([b, a]),
        (false, false) => Err(NotSigned::Unanswered),
    }
}

fn name_of(contract: &Contract, party: Party) -> &str {
    match party {
        Party::Customer => &contract.agreement.customer.name,
        Party::Provider => &contract.agreement.provider.name,
    }
}

fn told(files: &Files) -> String {
    let one = |file: &ContractRef| {
        format!("{} version {} (sha256 {})", file.id, file.version, file.sha256)
    };
    let under = files.parents.iter().map(|parent| format!(" under {}", one(parent)));
    std::iter::once(one(&files.own)).chain(under).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sla::contract;

    const AT: Wall = Wall::from_secs(1_780_000_000);

    fn contract() -> Contract {
        contract::parse(include_str!("../../tests/testdata/contracts/page.toml"), "c.toml").unwrap()
    }

    fn files(bytes: &str) -> Files {
        let reference = |id: &str, version, text: &str| ContractRef {
            id: id.to_owned(),
            version,
            sha256: Digest::of(text.as_bytes()).hex(),
        };
        Files {
            own: reference("ACME-MPLS-2026", 3, bytes),
            parents: vec![reference("ACME-MSA", 1, "parent")],
        }
    }

    fn keys() -> [SecretKey; 2] {
        [[1; 32], [2; 32]].map(|seed| SecretKey::from_seed(&seed))
    }

    #[test]
    fn both_parties_signatures_prove_one_version_in_whichever_order_they_are_given() {
        let (contract, files, [customer, provider]) = (contract(), files("terms"), keys());
        let first = sign(&files, &contract, Party::Customer, AT, None, &customer);
        let second = sign(&files, &contract, Party::Provider, AT, Some(&first), &provider);
        let signed = [(first.as_str(), customer.public()), (second.as_str(), provider.public())];
        let [a, b] = agreed(signed, &files, &contract).unwrap();
        assert_eq!(
            (a.party, a.name.as_str(), b.party, b.name.as_str()),
            (Party::Customer, "ACME Ltd", Party::Provider, "Example Carrier")
        );
        let [a, _] = agreed([signed[1], signed[0]], &files, &contract).unwrap();
        assert_eq!(a.party, Party::Customer);
    }

    #[test]
    fn a_signature_of_another_file_or_another_parent_is_none_of_this_version() {
        let (contract, files_here, [customer, _]) = (contract(), files("terms"), keys());
        let other = sign(&files("other terms"), &contract, Party::Customer, AT, None, &customer);
        let refused = verify(&other, &files_here, &contract, customer.public()).unwrap_err();
        assert!(matches!(refused, NotSigned::Another { .. }), "{refused}");
        let mut moved = files_here.clone();
        moved.parents[0].version = 2;
        let signed = sign(&moved, &contract, Party::Customer, AT, None, &customer);
        assert!(matches!(
            verify(&signed, &files_here, &contract, customer.public()),
            Err(NotSigned::Another { .. })
        ));
    }

    #[test]
    fn one_party_alone_or_one_key_for_both_or_an_unanswered_signature_prove_nothing() {
        let (contract, files, [customer, provider]) = (contract(), files("terms"), keys());
        let first = sign(&files, &contract, Party::Customer, AT, None, &customer);
        let again = sign(&files, &contract, Party::Customer, AT, Some(&first), &provider);
        let both = |a: &str, ka: &SecretKey, b: &str, kb: &SecretKey| {
            agreed([(a, ka.public()), (b, kb.public())], &files, &contract).unwrap_err()
        };
        assert_eq!(both(&first, &customer, &again, &provider), NotSigned::Alone(Party::Customer));
        let same = sign(&files, &contract, Party::Provider, AT, Some(&first), &customer);
        assert_eq!(both(&first, &customer, &same, &customer), NotSigned::OneKey);
        let apart = sign(&files, &contract, Party::Provider, AT, None, &provider);
        assert_eq!(both(&first, &customer, &apart, &provider), NotSigned::Unanswered);
        assert!(matches!(both(&first, &provider, &apart, &provider), NotSigned::Jws(_)));
    }
}
