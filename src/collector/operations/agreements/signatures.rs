//! What it is worth that a version is signed: both parties' signatures, verified with their keys,
//! or an operator's word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::operations::DeskError;
use crate::collector::operations::agreements::{Book, PartySignature};
use crate::evidence::contract_signature::{self, Files, NotSigned};
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::summary::ContractRef;
use crate::sla::contract::{self, Written};

/// A signature that was verified, as it is kept: anybody who has the party's key from the party can
/// verify it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSignature {
    /// Whose it is.
    pub view: SignatureView,
    /// The compact JWS.
    pub jws: String,
    /// The key that it was verified with.
    pub jwk: PublicKey,
}

/// A signature that was verified, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureView {
    /// customer or provider.
    pub party: String,
    /// Its name in the contract.
    pub name: String,
    /// When it signed, by its own word.
    #[schema(value_type = String, format = DateTime)]
    pub at: Wall,
    /// The key that it is by.
    #[schema(value_type = String)]
    pub kid: Kid,
}

/// Verifies both parties' signatures of a version.
///
/// # Errors
/// When they are not two, either is no signature of this text and its parents by its key, or
/// neither answers the other.
pub(super) fn verified(
    book: &Book,
    of: (&str, u32),
    given: &[PartySignature],
) -> Result<Vec<KeptSignature>, DeskError> {
    let refused = |why: String| DeskError::Invalid(vec![format!("signatures: {why}")]);
    let [one, other] = given else {
        return Err(refused(format!("expected both parties', and there are {}", given.len())));
    };
    let own = book.version(of.0, of.1);
    let own = own.ok_or_else(|| {
        DeskError::NotFound(format!("version {} of {:?} is not here", of.1, of.0))
    })?;
    let terms = own.contract.as_ref().map_err(|faults| DeskError::Invalid(faults.clone()))?;
    let files = files(book, of).ok_or_else(|| refused("the text cannot be read".to_owned()))?;
    let signed = [(one.jws.as_str(), &one.jwk), (other.jws.as_str(), &other.jwk)];
    let both = contract_signature::agreed(signed, &files, terms)
        .map_err(|why: NotSigned| refused(why.to_string()))?;
    // The first of them is the one that the other answers, in whichever order they came.
    let answered = both[1].countersigns;
    let (first, second) =
        if answered == Some(Digest::of(one.jws.as_bytes())) { (one, other) } else { (other, one) };
    let kept = |(each, by): (contract_signature::Signature, &PartySignature)| KeptSignature {
        view: SignatureView {
            party: each.party.to_string(),
            name: each.name,
            at: each.at,
            kid: by.jwk.kid(),
        },
        jws: by.jws.clone(),
        jwk: by.jwk,
    };
    Ok(both.into_iter().zip([first, second]).map(kept).collect())
}

/// The digests of a version's text and of those that it inherits from.
fn files(book: &Book, of: (&str, u32)) -> Option<Files> {
    let name = |id: &str, version: u32| format!("{id} version {version}");
    let read = |id: &str, version: u32, toml: &str| Written::read(toml, &name(id, version)).ok();
    let all: Vec<(Written, ContractRef)> = book
        .all
        .iter()
        .filter_map(|each| {
            let kept = &each.kept;
            let (version, sha256) = (u64::from(kept.version), kept.sha256.clone());
            let reference = ContractRef { id: kept.id.clone(), version, sha256 };
            Some((read(&kept.id, kept.version, &kept.toml)?, reference))
        })
        .collect();
    let (own, reference) =
        all.iter().find(|(_, each)| each.id == of.0 && each.version == u64::from(of.1))?;
    let others: Vec<Written> = all.iter().map(|(written, _)| written.clone()).collect();
    let parent = |parent: &Written| {
        all.iter()
            .find(|(written, _)| written.file() == parent.file())
            .map(|(_, reference)| reference.clone())
    };
    let parents: Option<Vec<ContractRef>> =
        contract::parents(own, &others).into_iter().map(parent).collect();
    Some(Files { own: reference.clone(), parents: parents? })
}
