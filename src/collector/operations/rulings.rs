//! A verdict with all that it rests on: the one place that claim, page, API and bundle are made
//! from. What a claim asked for, and what a later verdict took the place of, is kept beside the
//! present one, by number.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::summaries::Stored;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::{DeskError, key};
use crate::collector::removed_months;
use crate::collector::verdicts::{Grounds, Judgement};
use crate::evidence::bundle::{self, Made, Material, Numbers, Which};
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::register;
use crate::sla::calendar::Period;
use crate::sla::contract::{self, Written};
use crate::sla::printed::Printed;

/// A verdict, with what it rests on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ruling {
    /// The verdict.
    pub judgement: Judgement,
    /// What it rests on.
    pub grounds: Grounds,
    /// Why it is kept: absent for the present one.
    #[serde(default)]
    pub kept: Option<Keeping>,
}

/// Why a verdict is kept beside the present one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// `revise`, or what was done with the claim.
    pub why: String,
    /// When.
    pub at: Wall,
}

fn none(period: &str, contract: &str, service: &str) -> DeskError {
    DeskError::NotFound(format!("{service:?} of {contract:?} was not judged in {period:?}"))
}

/// The present verdict of a service in a period.
///
/// # Errors
/// When there is none.
pub fn present(
    archive: &Archive,
    period: &str,
    contract: &str,
    service: &str,
) -> Result<Ruling, DeskError> {
    let id = key(&[period, contract, service]);
    let judgement: Option<Judgement> = archive.record(Kind::Verdict, &id)?;
    let judgement = judgement.ok_or_else(|| none(period, contract, service))?;
    let grounds = archive.record(Kind::Grounds, &id)?.ok_or_else(|| {
        DeskError::Conflict(format!(
            "the verdict of {service} of {contract} in {period} was worked out by an earlier \
             version, which did not keep what it rests on: judge it anew (`revise` where it is \
             frozen, else the collector does so when something comes for it)"
        ))
    })?;
    Ok(Ruling { judgement, grounds, kept: None })
}

/// Those that were kept, the first one first.
///
/// # Errors
/// When the database fails.
pub fn all(
    archive: &Archive,
    period: &str,
    contract: &str,
    service: &str,
) -> Result<Vec<Ruling>, ArchiveError> {
    archive.log(Kind::Grounds, &key(&[period, contract, service]))
}

/// Keeps the present verdict for good, and gives its number; absent where there is none that could
/// be kept.
///
/// # Errors
/// When the database fails.
pub fn keep(
    archive: &Archive,
    (period, contract, service): (&str, &str, &str),
    why: &str,
    now: Wall,
) -> Result<Option<u32>, ArchiveError> {
    let mut ruling = match present(archive, period, contract, service) {
        Ok(ruling) => ruling,
        Err(DeskError::Archive(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    ruling.kept = Some(Keeping { why: why.to_owned(), at: now });
    let number = all(archive, period, contract, service)?.len();
    archive.append(Kind::Grounds, &key(&[period, contract, service]), &ruling, now)?;
    Ok(u32::try_from(number).ok())
}

/// The bundle of a verdict: from the facts, contracts and summaries that it rests on, and with the
/// figures that it has, or none. `collector` are the collector's public keys.
///
/// # Errors
/// When something of what it rests on is not here any more, or gives other figures.
pub fn bundle(
    archive: &Archive,
    book: &Book,
    ruling: &Ruling,
    collector: &[PublicKey],
) -> Result<Vec<u8>, DeskError> {
    let Ruling { judgement: of, grounds, .. } = ruling;
    let Some(said) = &of.report else {
        return Err(DeskError::Conflict(format!(
            "{} could not be judged: {}",
            of.service,
            of.faults.join("; ")
        )));
    };
    let mut material = Material {
        contracts: texts(book, of, grounds)?,
        facts: grounds.facts.clone(),
        keys: collector.to_vec(),
        basis: Some(grounds.basis.clone()),
        provider: grounds.provider.clone(),
        ..Material::default()
    };
    evidence(archive, grounds, &mut material)?;
    let which = Which { id: of.contract.clone(), version: u64::from(of.version) };
    let register = grounds.register.clone().and_then(register::Written::read).ok_or_else(|| {
        ArchiveError::Damaged(format!(
            "what the verdict of {} in {} rests on has no register",
            of.service, of.period
        ))
    })?;
    let Made { bytes, report } = bundle::make_with_report(&which, &material, Some(&register))
        .map_err(|fault| {
            DeskError::Conflict(format!(
                "no bundle can be made of {} in {}: {fault}",
                of.service, of.period
            ))
        })?;
    let made = Printed::from(&report);
    if made.has_the_figures_of(said) {
        return Ok(bytes);
    }
    Err(DeskError::Conflict(format!(
        "no bundle is made: the verdict of {} in {} says {} {}, and what it rests on gives {} {} \
         by this version of the program ({}); judge it anew first",
        of.service,
        of.period,
        said.credit,
        said.currency,
        made.credit,
        made.currency,
        made.first_difference(said).unwrap_or_default(),
    )))
}

/// Whether all that a verdict rests on is still stored, so that it can be judged anew.
///
/// # Errors
/// When it is not.
pub fn check_whole(
    archive: &Archive,
    period: &str,
    contract: &str,
    service: &str,
) -> Result<(), DeskError> {
    let ruling = match present(archive, period, contract, service) {
        Ok(ruling) => ruling,
        Err(DeskError::Archive(error)) => return Err(error.into()),
        // There is nothing yet that could change.
        Err(_) => return Ok(()),
    };
    let missing = removed_months::missing(archive, &ruling.grounds.basis.summaries)?;
    if missing == 0 {
        return Ok(());
    }
    Err(DeskError::Conflict(format!(
        "{service} of {contract} in {period}: {}",
        removed_months::words(missing)
    )))
}

/// So many summaries that say nothing are put between others, to show that nothing is missing.
const BETWEEN: u64 = 1_024;

/// The contracts' files that the verdict rests on: its versions, and those above them.
fn texts(book: &Book, of: &Judgement, grounds: &Grounds) -> Result<Vec<String>, DeskError> {
    let read = |text: &str| Written::read(text, "contract").ok();
    let Ok(period) = of.period.parse::<Period>() else {
        return Err(DeskError::Invalid(vec![format!("{} is no period", of.period)]));
    };
    let all: Vec<(Written, &String)> = book
        .all
        .iter()
        .filter_map(|agreed| Some((read(&agreed.kept.toml)?, &agreed.kept.toml)))
        .collect();
    let others: Vec<Written> = all.iter().map(|(written, _)| written.clone()).collect();
    let mut chosen: Vec<String> = Vec::new();
    for (version, sha256) in &grounds.texts {
        let found =
            book.version(&of.contract, *version).filter(|agreed| agreed.kept.sha256 == *sha256);
        let Some(agreed) = found else {
            return Err(DeskError::Conflict(format!(
                "the text of {} version {version} that the verdict rests on (SHA-256 {sha256}) is \
                    not here any more: put it back",
                of.contract
            )));
        };
        let Some(own) = read(&agreed.kept.toml) else { continue };
        let above = contract::parents_for(&own, &others, period);
        let above = above.into_iter().filter_map(|parent| {
            let same = |written: &Written| {
                (written.id(), written.version()) == (parent.id(), parent.version())
            };
            all.iter().find(|(written, _)| same(written)).map(|(_, text)| (*text).clone())
        });
        for text in std::iter::once(agreed.kept.toml.clone()).chain(above) {
            if !chosen.contains(&text) {
                chosen.push(text);
            }
        }
    }
    Ok(chosen)
}

/// The summaries that a verdict rests on, those beside them that show that nothing is missing,
/// those that name its agents' keys, and the keys.
fn evidence(
    archive: &Archive,
    grounds: &Grounds,
    material: &mut Material,
) -> Result<(), DeskError> {
    let basis = &grounds.basis;
    let all: Vec<Numbers> = basis.summaries.iter().chain(&basis.left_out).copied().collect();
    let mut entered: BTreeSet<Digest> = BTreeSet::new();
    let mut enter = |stored: Stored| {
        if entered.insert(Digest::of(stored.jws.as_bytes())) {
            material.summaries.push(stored.jws);
            material.receipts.push(stored.receipt);
        }
    };
    for numbers in &all {
        let stored = archive.stored(numbers)?;
        if (stored.len() as u64) < numbers.count() {
            return Err(DeskError::Conflict(format!(
                "{} of the {} summaries {} to {} of chain {} of agent {} that the verdict rests \
                 on are not stored any more: they were let go; put them back, or make the bundle \
                 from where they were taken to",
                numbers.count() - stored.len() as u64,
                numbers.count(),
                numbers.from_seq,
                numbers.to_seq,
                numbers.chain,
                numbers.agent
            )));
        }
        stored.into_iter().for_each(&mut enter);
    }
    // What lies between says nothing that counts: it shows that nothing is missing.
    for between in between(&all) {
        if archive.count_stored(&between)? <= BETWEEN {
            archive.stored(&between)?.into_iter().for_each(&mut enter);
        }
    }
    let agents: BTreeSet<Kid> = all.iter().map(|each| each.agent).collect();
    for agent in &agents {
        archive.namings(*agent)?.into_iter().for_each(&mut enter);
    }
    for agent in agents {
        material.keys.extend(archive.keys_of(agent)?);
    }
    Ok(())
}

/// The numbers between some of a chain.
fn between(all: &[Numbers]) -> Vec<Numbers> {
    let mut sorted: Vec<Numbers> = all.to_vec();
    sorted.sort_by_key(|each| (each.agent, each.chain, each.from_seq));
    let two = sorted
        .windows(2)
        .filter(|two| (two[0].agent, two[0].chain) == (two[1].agent, two[1].chain));
    two.filter_map(|two| {
        let (from_seq, to_seq) = (two[0].to_seq.checked_add(1)?, two[1].from_seq.checked_sub(1)?);
        (from_seq <= to_seq).then_some(Numbers { from_seq, to_seq, ..two[0] })
    })
    .collect()
}
