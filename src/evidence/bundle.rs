//! A claim bundle: all that a third person needs to check a verdict, in one file, the same bytes
//! from the same inputs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::receipt;
use crate::evidence::register::{self, Register};
use crate::evidence::report_page::{self, Seen, Shown};
use crate::evidence::summary::Summary;
use crate::evidence::verify::{Verdict, Verifier};
use crate::sla::calendar::Period;
use crate::sla::contract::{self, Written};
use crate::sla::facts::{self, Case};
use crate::sla::fault::Fault;
use crate::sla::judge::{InForce, judge_by, judging};
use crate::sla::reach;
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::Contract;

mod basis;
mod check;
mod spoken;
mod words;
mod zip;

pub use basis::{Accepted, Basis, Numbers, Reigned};
pub use check::check;
pub use zip::{ARCHIVE, NotAZip};

/// The member that says what each agent may speak for, by the collector's register.
const REGISTER: &str = "register.json";
/// What the facts' file is called.
const FACTS: &str = "facts.json";
/// The verdict.
const VERDICT: &str = "verdict.json";
/// The provider's own log, where there is one.
const PROVIDER: &str = "provider.json";
/// The verdict by it.
const BY_PROVIDER: &str = "provider-verdict.json";

/// What a bundle is made of.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// The contracts' files: the one that is claimed by, and those that it names as parents,
    /// perhaps others.
    pub contracts: Vec<String>,
    /// The facts' file: the period, the service, and what does not come from measurement.
    pub facts: String,
    /// Summaries, compact.
    pub summaries: Vec<String>,
    /// Receipts, compact.
    pub receipts: Vec<String>,
    /// The public keys of agents and collectors.
    pub keys: Vec<PublicKey>,
    /// What a collector's verdict rests on; without it, all that there is of the period.
    pub basis: Option<Basis>,
    /// The provider's own log, as facts of the same period and service.
    pub provider: Option<String>,
}

/// Why there is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleFault {
    /// The contract or the facts.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    /// The contract is not among those given.
    #[error("the contract {id} version {version} is not here")]
    NoContract {
        /// Its identifier.
        id: String,
        /// Its version.
        version: u64,
    },
    /// What was measured does not verify.
    #[error("the evidence does not verify, so no claim can rest on it: {0}")]
    Unproven(String),
    /// The zip.
    #[error(transparent)]
    Zip(#[from] NotAZip),
}

/// What is claimed, and of what: `claim.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    v: u64,
    contract: String,
    version: u64,
    service: String,
    period: String,
    credit: String,
    currency: String,
    software: String,
    /// What the verdict rests on, where a collector says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
    /// SHA-256 of every other member, in lowercase hexadecimal.
    members: BTreeMap<String, String>,
}

/// Which contract is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// Its identifier.
    pub id: String,
    /// Its version.
    pub version: u64,
}

/// Where the last span of some material ends, as far as it verifies: when a question about it is
/// asked.
#[must_use]
pub fn last(material: &Material) -> Option<Wall> {
    verified(material, None, None).1.iter().map(|(_, summary)| summary.to).max()
}

/// The versions of a contract among some files, by their own words.
fn versions_of(id: &str, texts: &[String]) -> Vec<InForce> {
    let read = |text: &String| Written::read(text, id).ok();
    let all: Vec<Written> = texts.iter().filter_map(read).collect();
    let own = all.iter().filter(|written| written.id() == Some(id));
    InForce::by_their_terms(
        own.filter_map(|written| contract::resolve(written, &all).ok()).collect(),
    )
}

/// The version of a contract that judges a period, or the last part of it, among some files.
#[must_use]
pub fn judging_version(id: &str, period: Period, texts: &[String]) -> Option<u64> {
    judging(&versions_of(id, texts), period)
        .last()
        .map(|version| u64::from(version.contract.agreement.version))
}

/// Makes a bundle.
///
/// # Errors
/// When the contract or the facts have faults, or the summaries and receipts do not verify by the
/// keys given.
pub fn make(which: &Which, material: &Material) -> Result<Vec<u8>, BundleFault> {
    make_by(which, material, None)
}

/// A bundle, and the verdict that is in it.
#[derive(Clone, Debug)]
pub struct Made {
    /// The file.
    pub bytes: Vec<u8>,
    /// The verdict.
    pub report: Report,
}

/// Makes a bundle of what came to a collector: its register says what counts, and goes with it.
/// Agents that never were at a site of the service have no part in it.
///
/// # Errors
/// As [`make`].
pub fn make_by(
    which: &Which,
    material: &Material,
    register: Option<&Register>,
) -> Result<Vec<u8>, BundleFault> {
    make_with_report(which, material, register).map(|made| made.bytes)
}

/// As [`make_by`], and says which verdict is in it.
///
/// # Errors
/// As [`make`].
pub fn make_with_report(
    which: &Which,
    material: &Material,
    register: Option<&Register>,
) -> Result<Made, BundleFault> {
    let case = facts::parse(&material.facts, FACTS).map_err(BundleFault::Faults)?;
    let basis = material.basis.as_ref();
    let Resolved { contract, versions, files } =
        resolve(which, case.period, &material.contracts, basis)?;
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (written, text) in files {
        members.insert(contract_name(&written), text.as_bytes().to_vec());
    }
    members.insert(FACTS.to_owned(), material.facts.as_bytes().to_vec());
    let register = register.map(|register| spoken::part(register, &versions, &case.service));
    if let Some(register) = &register {
        members.insert(REGISTER.to_owned(), text_of(&register::Written::of(register)));
    }
    let (verdict, summaries) = verified(material, Some(begin(&versions, &case)), register.as_ref());
    if !verdict.ok {
        // What is wrong with a summary says more than that its receipt is for none.
        let of_summary =
            verdict.findings.iter().find(|finding| finding.file.starts_with("summary"));
        let first = of_summary.or(verdict.findings.first()).map_or_else(
            || "there is not one summary".to_owned(),
            |finding| format!("{}: {}", finding.file, finding.what),
        );
        return Err(BundleFault::Unproven(first));
    }
    let chosen = choose(&mut members, summaries, material, (&versions, &case), register.as_ref());
    let report = judged(&versions, &case, &chosen, basis).map_err(BundleFault::Faults)?;
    members.insert(VERDICT.to_owned(), verdict_text(&report));
    members.insert("report.html".to_owned(), page_text(&contract, &case, &report, &chosen));
    if let Some(log) = &material.provider {
        members.insert(PROVIDER.to_owned(), log.as_bytes().to_vec());
        if let Some(said) = by_provider(&versions, log) {
            members.insert(BY_PROVIDER.to_owned(), verdict_text(&said));
        }
    }
    let claim = claim(&report, basis, digests(&members));
    members.insert("claim.json".to_owned(), claim_text(&claim));
    Ok(Made { bytes: zip::write(&members)?, report })
}

/// Enters the summaries that matter with their receipts and keys; gives what counts of those that
/// are judged.
fn choose(
    members: &mut BTreeMap<String, Vec<u8>>,
    summaries: Vec<(String, Summary)>,
    material: &Material,
    (versions, case): (&[InForce], &Case),
    register: Option<&Register>,
) -> Vec<Summary> {
    let basis = material.basis.as_ref();
    let received = spoken::received(material.receipts.iter().map(String::as_str));
    // What is left out has no part in what binds either.
    let on = basis.map(Basis::rests);
    let (rests, beside): (Vec<_>, Vec<_>) =
        summaries.into_iter().partition(|(_, summary)| on.as_ref().is_none_or(|on| on.on(summary)));
    let counted = counted(versions, case, register, &received, &rests);
    let span = reach(versions, case, counted.iter());
    let mut chosen = Vec::new();
    let mut receipts: BTreeMap<Digest, String> = BTreeMap::new();
    let mut signers: BTreeSet<Kid> = BTreeSet::new();
    let mut enter = |jws: String, summary: &Summary| {
        receipts.insert(Digest::of(jws.as_bytes()), name("receipts", summary));
        signers.extend(spoken::author(&jws).into_iter().flat_map(|(agent, kid)| [agent, kid]));
        members.insert(name("summaries", summary), jws.into_bytes());
    };
    for ((jws, summary), counted) in rests.into_iter().zip(counted) {
        let within = basis.is_some() || touches(span, &summary);
        // An earlier one that names the key of later ones shows whose they are.
        if within || (summary.next_key.is_some() && summary.to < span.from) {
            enter(jws, &summary);
            chosen.extend(Some(counted).filter(|_| within));
        }
    }
    // A collector gives those too that show that nothing is missing.
    beside.into_iter().for_each(|(jws, summary)| enter(jws, &summary));
    for receipt in &material.receipts {
        let receipt = receipt.trim_end_matches('\n');
        if let Some(place) = receipt::named(receipt).and_then(|digest| receipts.get(&digest)) {
            signers.extend(receipt::signer(receipt.as_bytes()));
            members.insert(place.clone(), receipt.as_bytes().to_vec());
        }
    }
    // Where a collector's register says who has to do with it, the keys of others are not in it.
    for key in material.keys.iter().filter(|key| register.is_none() || signers.contains(&key.kid()))
    {
        members.insert(format!("keys/{}.jwk", key.kid()), key_text(key));
    }
    chosen
}

/// Judges a service by what counts of the summaries.
fn judged(
    versions: &[InForce],
    case: &Case,
    summaries: &[Summary],
    basis: Option<&Basis>,
) -> Result<Report, Vec<Fault>> {
    let looked_at = if basis.is_some() { words::Looked::ByDay } else { words::Looked::AtAll };
    words::judged(versions, case, summaries, looked_at)
}

/// What the provider's own log says; absent where it cannot be judged.
fn by_provider(versions: &[InForce], log: &str) -> Option<Report> {
    let case = facts::parse(log, PROVIDER).ok()?;
    judge_by(versions, &case.service, case.period, None, &case.facts).ok()
}

/// SHA-256 of each member, in lowercase hexadecimal.
fn digests(members: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    members.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes).hex())).collect()
}

fn claim(report: &Report, basis: Option<&Basis>, digests: BTreeMap<String, String>) -> Claim {
    Claim {
        v: 1,
        contract: report.contract.clone(),
        version: u64::from(report.version),
        service: report.service.clone(),
        period: report.period.to_string(),
        credit: report.credit.clone(),
        currency: report.currency.clone(),
        software: crate::SOFTWARE.to_owned(),
        basis: basis.cloned(),
        members: digests,
    }
}

/// JSON for a file: in lines, so that a change of it can be seen.
fn text_of(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("these values can be written");
    text.push(b'\n');
    text
}

fn claim_text(claim: &Claim) -> Vec<u8> {
    text_of(claim)
}

fn verdict_text(report: &Report) -> Vec<u8> {
    text_of(report)
}

fn page_text(contract: &Contract, case: &Case, report: &Report, summaries: &[Summary]) -> Vec<u8> {
    let seen = Seen::of(contract, report, summaries);
    report_page::of_bundle(&Shown { contract, facts: &case.facts, report, seen: &seen })
        .into_bytes()
}

fn key_text(key: &PublicKey) -> Vec<u8> {
    let mut text = key.to_jwk().into_bytes();
    text.push(b'\n');
    text
}

/// Where a summary or its receipt lies.
fn name(folder: &str, summary: &Summary) -> String {
    format!("{folder}/{}/{}/{}.jws", summary.agent, summary.chain, summary.seq)
}

/// Where a contract lies; characters that a path must not have are left out of its name.
fn contract_name(written: &Written) -> String {
    let id = written.id().unwrap_or_default().replace(['/', '\\', '\0'], "_");
    format!("contracts/{id}-{}.toml", written.version().unwrap_or_default())
}

/// Whether a summary's span is, in part at least, in the time that matters.
fn touches(span: Span, summary: &Summary) -> bool {
    summary.from <= span.to && summary.to >= span.from
}

/// The summaries with what counts of them: all, where no register says.
fn counted(
    versions: &[InForce],
    case: &Case,
    register: Option<&Register>,
    received: &spoken::Received,
    summaries: &[(String, Summary)],
) -> Vec<Summary> {
    let Some(register) = register else {
        return summaries.iter().map(|(_, summary)| summary.clone()).collect();
    };
    let all = summaries.iter().map(|(jws, summary)| (Digest::of(jws.as_bytes()), summary.clone()));
    spoken::spoken(register, versions, &case.service, received, all.collect())
}

/// Verifies what a bundle would be made of, of the agents in a register where there is one; what
/// matters begins at `since`.
fn verified(
    material: &Material,
    since: Option<Wall>,
    register: Option<&Register>,
) -> (Verdict, Vec<(String, Summary)>) {
    let own = |jws: &&String| {
        register.is_none_or(|register| {
            spoken::author(jws).is_some_and(|(agent, _)| register.get(agent).is_some())
        })
    };
    let summaries: Vec<&String> = material.summaries.iter().filter(own).collect();
    let digest = |jws: &String| Digest::of(jws.trim_end_matches('\n').as_bytes());
    let theirs: Option<BTreeSet<Digest>> =
        register.map(|_| summaries.iter().map(|jws| digest(jws)).collect());
    let of_them = |receipt: &&String| {
        let named = || receipt::named(receipt.trim_end_matches('\n'));
        theirs.as_ref().is_none_or(|theirs| named().is_some_and(|digest| theirs.contains(&digest)))
    };
    let receipts: Vec<&String> = material.receipts.iter().filter(of_them).collect();
    let mut verifier = Verifier::new();
    if let Some(since) = since {
        verifier.since(since);
    }
    material.keys.iter().for_each(|key| verifier.trust(*key));
    for (at, jws) in summaries.iter().enumerate() {
        verifier.add(&format!("summary {at}"), jws.as_bytes());
    }
    for (at, jws) in receipts.into_iter().enumerate() {
        verifier.add(&format!("receipt {at}"), jws.as_bytes());
    }
    let by_digest: BTreeMap<Digest, &String> =
        summaries.into_iter().map(|jws| (digest(jws), jws)).collect();
    let (verdict, summaries) = verifier.verdict_and_summaries();
    let mut all: Vec<(String, Summary)> = summaries
        .into_iter()
        .filter_map(|(digest, summary)| {
            Some((by_digest.get(&digest)?.trim_end_matches('\n').to_owned(), summary))
        })
        .collect();
    all.sort_by_key(|(_, summary)| (summary.agent, summary.chain, summary.seq));
    (verdict, all)
}

/// What is judged by, and the files that it rests on.
struct Resolved<'a> {
    /// The version asked for.
    contract: Contract,
    /// All versions that judge the period, up to that one.
    versions: Vec<InForce>,
    files: Vec<(Written, &'a String)>,
}

/// The contract that is judged by, among some files, with the earlier versions that were in force
/// in some of the period.
fn resolve<'a>(
    which: &Which,
    period: Period,
    texts: &'a [String],
    basis: Option<&Basis>,
) -> Result<Resolved<'a>, BundleFault> {
    let mut all = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let written =
            Written::read(text, &format!("contract {at}")).map_err(BundleFault::Faults)?;
        all.push((written, text));
    }
    let version = |at: &usize| all[*at].0.version().and_then(|version| u64::try_from(version).ok());
    let of_it = (0..all.len()).filter(|&at| all[at].0.id() == Some(which.id.as_str()));
    let mut own: Vec<usize> =
        of_it.filter(|at| version(at).is_some_and(|version| version <= which.version)).collect();
    own.sort_by_key(version);
    own.dedup_by_key(|at| version(at));
    if own.last().and_then(version) != Some(which.version) {
        return Err(BundleFault::NoContract { id: which.id.clone(), version: which.version });
    }
    let mut contracts = Vec::new();
    let written: Vec<Written> = all.iter().map(|(written, _)| written.clone()).collect();
    for &at in &own {
        let line = line(&written, at, period);
        let parents: Vec<Written> = line[1..].iter().map(|&at| all[at].0.clone()).collect();
        match contract::resolve(&all[at].0, &parents) {
            Ok(contract) => contracts.push((contract, line)),
            Err(faults) if version(&at) == Some(which.version) => {
                return Err(BundleFault::Faults(faults));
            }
            // What cannot be read by itself judges nothing.
            Err(_) => {}
        }
    }
    let mut chosen: Vec<InForce> = match basis {
        Some(basis) => reigned(which, basis, contracts.iter().map(|(contract, _)| contract))?,
        None => {
            let all = contracts.iter().map(|(contract, _)| contract.clone()).collect();
            judging(&InForce::by_their_terms(all), period).cloned().collect()
        }
    };
    let asked = |contract: &Contract| u64::from(contract.agreement.version) == which.version;
    let (contract, _) =
        contracts.iter().find(|(contract, _)| asked(contract)).cloned().expect("it was resolved");
    // Whoever asks for a version that was not in force then wants it judged by that all the same.
    if !chosen.iter().any(|version| asked(&version.contract)) {
        chosen = vec![InForce::alone(contract.clone())];
    }
    let files = files_of(&chosen, &contracts, all);
    Ok(Resolved { contract, versions: chosen, files })
}

/// The files of the versions that judge and of those above them, each once; `contracts` have their
/// places among all.
fn files_of<'a>(
    judging: &[InForce],
    contracts: &[(Contract, Vec<usize>)],
    all: Vec<(Written, &'a String)>,
) -> Vec<(Written, &'a String)> {
    let judges = |contract: &Contract| {
        judging.iter().any(|version| version.contract.version() == contract.version())
    };
    let mut met: BTreeSet<usize> = BTreeSet::new();
    let lines = contracts
        .iter()
        .filter(|(contract, _)| judges(contract))
        .flat_map(|(_, line)| line.iter().copied());
    let places: Vec<usize> = lines.filter(|at| met.insert(*at)).collect();
    let mut files: Vec<Option<(Written, &String)>> = all.into_iter().map(Some).collect();
    places.into_iter().filter_map(|at| files[at].take()).collect()
}

/// The versions that a collector judged by, when it says that they were in force.
fn reigned<'a>(
    which: &Which,
    basis: &Basis,
    contracts: impl Iterator<Item = &'a Contract> + Clone,
) -> Result<Vec<InForce>, BundleFault> {
    let with_terms = |version: &Reigned| {
        let found =
            contracts.clone().find(|contract| contract.agreement.version == version.version);
        let missing = || BundleFault::NoContract {
            id: which.id.clone(),
            version: u64::from(version.version),
        };
        Ok(version.with(found.ok_or_else(missing)?.clone()))
    };
    basis.versions.iter().map(with_terms).collect()
}

/// A contract and those that it inherits from for a period, upwards.
fn line(written: &[Written], own: usize, period: Period) -> Vec<usize> {
    let parents = contract::parents_for(&written[own], written, period).into_iter();
    let place = |parent: &Written| written.iter().position(|each| std::ptr::eq(each, parent));
    std::iter::once(own).chain(parents.filter_map(place)).collect()
}

/// Where the time that judging a case looks at begins, whatever the summaries tell of outages.
fn begin(versions: &[InForce], case: &Case) -> Wall {
    reach::by_versions(versions, case.period, &[]).from
}

/// All the time that judging a case looks at, by what the summaries tell of outages.
fn reach<'a>(
    versions: &[InForce],
    case: &Case,
    summaries: impl Iterator<Item = &'a Summary> + Clone,
) -> Span {
    let end = summaries.clone().map(|summary| summary.to).max().unwrap_or_default();
    let all = summaries.flat_map(|summary| &summary.outages);
    let own = all.filter(|outage| outage.service.as_deref() == Some(case.service.as_str()));
    let outages: Vec<Span> =
        own.map(|outage| Span::new(outage.from, outage.to.unwrap_or(end))).collect();
    reach::by_versions(versions, case.period, &outages)
}
