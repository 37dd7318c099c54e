//! A claim bundle: all that a third person needs to check a verdict, in one file, the same bytes from the same inputs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::page::{self, Seen, Shown};
use crate::evidence::receipt;
use crate::evidence::register::{self, Register};
use crate::evidence::summary::{OutagePart, Side as SummarySide, Summary};
use crate::evidence::verify::{Verdict, Verifier};
use crate::measure::interval::Interval;
use crate::sla::calendar::Period;
use crate::sla::contract::{self, Written};
use crate::sla::facts::{self, Case};
use crate::sla::fault::Fault;
use crate::sla::judge::{InForce, judge_by, judging};
use crate::sla::observed::Observed;
use crate::sla::reach::needed;
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Side};

mod check;
mod spoken;
mod zip;

pub use check::check;
pub use zip::{ARCHIVE, NotAZip};

/// Which program makes this; one of another version may write `report.html` otherwise.
pub(super) const SOFTWARE: &str = concat!("wanproof ", env!("CARGO_PKG_VERSION"));

/// The member that says what each agent may speak for, by the collector's register.
const REGISTER: &str = "register.json";

/// What a bundle is made of.
#[derive(Clone, Debug, Default)]
pub struct Material {
    /// The contracts' files: the one that is claimed by, and those that it names as parents, perhaps others.
    pub contracts: Vec<String>,
    /// The facts' file: the period, the service, and what does not come from measurement.
    pub facts: String,
    /// Summaries, compact.
    pub summaries: Vec<String>,
    /// Receipts, compact.
    pub receipts: Vec<String>,
    /// The public keys of agents and collectors.
    pub keys: Vec<PublicKey>,
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

/// Where the last span of some material ends, as far as it verifies: when a question about it is asked.
#[must_use]
pub fn last(material: &Material) -> Option<Wall> {
    verified(material, None, None).1.iter().map(|(_, summary)| summary.to).max()
}

/// As [`last`], of those agents alone that a collector's register ever had at a site of a service.
#[must_use]
pub fn last_of(material: &Material, (id, service): (&str, &str), register: &Register) -> Option<Wall> {
    let part = spoken::part(register, &versions_of(id, &material.contracts), service);
    verified(material, None, Some(&part)).1.iter().map(|(_, summary)| summary.to).max()
}

/// The versions of a contract among some files, by their own words.
fn versions_of(id: &str, texts: &[String]) -> Vec<InForce> {
    let read = |text: &String| Written::read(text, id).ok();
    let all: Vec<Written> = texts.iter().filter_map(read).collect();
    let own = all.iter().filter(|written| written.id() == Some(id));
    InForce::by_their_terms(own.filter_map(|written| contract::resolve(written, &all).ok()).collect())
}

/// The version of a contract that judges a period, or the last part of it, among some files.
#[must_use]
pub fn judging_version(id: &str, period: Period, texts: &[String]) -> Option<u64> {
    judging(&versions_of(id, texts), period).last().map(|version| u64::from(version.contract.agreement.version))
}

/// Makes a bundle.
///
/// # Errors
/// When the contract or the facts have faults, or the summaries and receipts do not verify by the keys given.
pub fn make(which: &Which, material: &Material) -> Result<Vec<u8>, BundleFault> {
    make_by(which, material, None)
}

/// Makes a bundle of what came to a collector: its register says what counts, and goes with it. Agents that never were at a site of
/// the service have no part in it.
///
/// # Errors
/// As [`make`].
pub fn make_by(which: &Which, material: &Material, register: Option<&Register>) -> Result<Vec<u8>, BundleFault> {
    let case = facts::parse(&material.facts, "facts.json").map_err(BundleFault::Faults)?;
    let Resolved { contract, versions, files } = resolve(which, case.period, &material.contracts)?;
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (written, text) in files {
        members.insert(contract_name(&written), text.as_bytes().to_vec());
    }
    members.insert("facts.json".to_owned(), material.facts.as_bytes().to_vec());
    let register = register.map(|register| spoken::part(register, &versions, &case.service));
    if let Some(register) = &register {
        members.insert(REGISTER.to_owned(), text_of(&register::Written::of(register)));
    }
    let (verdict, summaries) = verified(material, Some(begin(&versions, &case)), register.as_ref());
    if !verdict.ok {
        let first = verdict.findings.first().map_or_else(
            || "there is not one summary".to_owned(),
            |finding| format!("{}: {}", finding.file, finding.what),
        );
        return Err(BundleFault::Unproven(first));
    }
    let received = spoken::received(material.receipts.iter().map(String::as_str));
    let counted = counted(&versions, &case, register.as_ref(), &received, &summaries);
    let span = reach(&versions, &case, counted.iter());
    let mut chosen = Vec::new();
    let mut receipts: BTreeMap<Digest, String> = BTreeMap::new();
    let mut signers: BTreeSet<Kid> = BTreeSet::new();
    for ((jws, summary), counted) in summaries.into_iter().zip(counted) {
        // An earlier one that names the key of later ones shows whose they are.
        let within = touches(span, &summary);
        if within || (summary.next_key.is_some() && summary.to < span.from) {
            receipts.insert(Digest::of(jws.as_bytes()), name("receipts", &summary));
            signers.extend(spoken::author(&jws).into_iter().flat_map(|(agent, kid)| [agent, kid]));
            members.insert(name("summaries", &summary), jws.into_bytes());
            chosen.extend(Some(counted).filter(|_| within));
        }
    }
    for receipt in &material.receipts {
        let receipt = receipt.trim_end_matches('\n');
        if let Some(place) = receipt::named(receipt).and_then(|digest| receipts.get(&digest)) {
            signers.extend(receipt::signer(receipt.as_bytes()));
            members.insert(place.clone(), receipt.as_bytes().to_vec());
        }
    }
    // Where a collector's register says who has to do with it, the keys of others are not in it.
    for key in material.keys.iter().filter(|key| register.is_none() || signers.contains(&key.kid())) {
        members.insert(format!("keys/{}.jwk", key.kid()), key_text(key));
    }
    let report = judged(&versions, &case, &chosen).map_err(BundleFault::Faults)?;
    members.insert("verdict.json".to_owned(), verdict_text(&report));
    members.insert("report.html".to_owned(), page_text(&contract, &case, &report, &chosen));
    let claim = claim(&report, digests(&members));
    members.insert("claim.json".to_owned(), claim_text(&claim));
    Ok(zip::write(&members)?)
}

/// SHA-256 of each member, in lowercase hexadecimal.
fn digests(members: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    members.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes).hex())).collect()
}

fn claim(report: &Report, digests: BTreeMap<String, String>) -> Claim {
    Claim {
        v: 1,
        contract: report.contract.clone(),
        version: u64::from(report.version),
        service: report.service.clone(),
        period: report.period.to_string(),
        credit: report.credit.clone(),
        currency: report.currency.clone(),
        software: SOFTWARE.to_owned(),
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
    page::of_bundle(&Shown { contract, facts: &case.facts, report, seen: &seen }).into_bytes()
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
    let Some(register) = register else { return summaries.iter().map(|(_, summary)| summary.clone()).collect() };
    let all = summaries.iter().map(|(jws, summary)| (Digest::of(jws.as_bytes()), summary.clone()));
    spoken::spoken(register, versions, &case.service, received, all.collect())
}

/// Verifies what a bundle would be made of, of the agents in a register where there is one; what matters begins at `since`.
fn verified(
    material: &Material,
    since: Option<Wall>,
    register: Option<&Register>,
) -> (Verdict, Vec<(String, Summary)>) {
    let own = |jws: &&String| {
        register.is_none_or(|register| spoken::author(jws).is_some_and(|(agent, _)| register.get(agent).is_some()))
    };
    let summaries: Vec<&String> = material.summaries.iter().filter(own).collect();
    let digest = |jws: &String| Digest::of(jws.trim_end_matches('\n').as_bytes());
    let theirs: Option<BTreeSet<Digest>> = register.map(|_| summaries.iter().map(|jws| digest(jws)).collect());
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
    let by_digest: BTreeMap<Digest, &String> = summaries.into_iter().map(|jws| (digest(jws), jws)).collect();
    let (verdict, summaries) = verifier.verdict_and_summaries();
    let mut all: Vec<(String, Summary)> = summaries
        .into_iter()
        .filter_map(|(digest, summary)| Some((by_digest.get(&digest)?.trim_end_matches('\n').to_owned(), summary)))
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

/// The contract that is judged by, among some files, with the earlier versions that were in force in some of the period.
fn resolve<'a>(which: &Which, period: Period, texts: &'a [String]) -> Result<Resolved<'a>, BundleFault> {
    let mut all = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let written = Written::read(text, &format!("contract {at}")).map_err(BundleFault::Faults)?;
        all.push((written, text));
    }
    let version = |at: &usize| all[*at].0.version().and_then(|version| u64::try_from(version).ok());
    let of_it = (0..all.len()).filter(|&at| all[at].0.id() == Some(which.id.as_str()));
    let mut own: Vec<usize> = of_it.filter(|at| version(at).is_some_and(|version| version <= which.version)).collect();
    own.sort_by_key(version);
    own.dedup_by_key(|at| version(at));
    if own.last().and_then(version) != Some(which.version) {
        return Err(BundleFault::NoContract { id: which.id.clone(), version: which.version });
    }
    let mut contracts = Vec::new();
    for &at in &own {
        let line = line(&all, at, period);
        let parents: Vec<Written> = line[1..].iter().map(|&at| all[at].0.clone()).collect();
        match contract::resolve(&all[at].0, &parents) {
            Ok(contract) => contracts.push((contract, line)),
            Err(faults) if version(&at) == Some(which.version) => return Err(BundleFault::Faults(faults)),
            // What cannot be read by itself judges nothing.
            Err(_) => {}
        }
    }
    let versions = InForce::by_their_terms(contracts.iter().map(|(contract, _)| contract.clone()).collect());
    let mut chosen: Vec<InForce> = judging(&versions, period).cloned().collect();
    let asked = |contract: &Contract| u64::from(contract.agreement.version) == which.version;
    let (contract, _) = contracts.iter().find(|(contract, _)| asked(contract)).cloned().expect("it was resolved");
    // Whoever asks for a version that was not in force then wants it judged by that all the same.
    if !chosen.iter().any(|version| asked(&version.contract)) {
        chosen = vec![InForce::alone(contract.clone())];
    }
    let judges = |contract: &Contract| {
        chosen.iter().any(|version| version.contract.agreement.version == contract.agreement.version)
    };
    let mut places: Vec<usize> = Vec::new();
    for at in contracts.iter().filter(|(contract, _)| judges(contract)).flat_map(|(_, line)| line) {
        if !places.contains(at) {
            places.push(*at);
        }
    }
    let mut files: Vec<Option<(Written, &String)>> = all.into_iter().map(Some).collect();
    let files = places.into_iter().filter_map(|at| files[at].take()).collect();
    Ok(Resolved { contract, versions: chosen, files })
}

/// A contract and those that it inherits from for a period, upwards.
fn line(all: &[(Written, &String)], own: usize, period: Period) -> Vec<usize> {
    let written: Vec<Written> = all.iter().map(|(written, _)| written.clone()).collect();
    let parents = contract::parents_for(&written[own], &written, period).into_iter();
    let place = |parent: &Written| written.iter().position(|each| std::ptr::eq(each, parent));
    std::iter::once(own).chain(parents.filter_map(place)).collect()
}

/// Where the time that judging a case looks at begins, whatever the summaries tell of outages.
fn begin(versions: &[InForce], case: &Case) -> Wall {
    looked_at(versions, case, &[]).from
}

/// All the time that judging a case looks at, by what the summaries tell of outages.
fn reach<'a>(versions: &[InForce], case: &Case, summaries: impl Iterator<Item = &'a Summary> + Clone) -> Span {
    let end = summaries.clone().map(|summary| summary.to).max().unwrap_or_default();
    let all = summaries.flat_map(|summary| &summary.outages);
    let own = all.filter(|outage| outage.service.as_deref() == Some(case.service.as_str()));
    let outages: Vec<Span> = own.map(|outage| Span::new(outage.from, outage.to.unwrap_or(end))).collect();
    looked_at(versions, case, &outages)
}

fn looked_at(versions: &[InForce], case: &Case, outages: &[Span]) -> Span {
    let all = versions.iter().map(|version| needed(&version.contract, case.period, outages.iter().copied()));
    let all = all.reduce(|one, other| Span::new(one.from.min(other.from), one.to.max(other.to)));
    all.expect("there is always a version")
}

/// Judges a service by the intervals and outages of summaries.
fn judged(versions: &[InForce], case: &Case, summaries: &[Summary]) -> Result<Report, Vec<Fault>> {
    let versions: Vec<InForce> = versions
        .iter()
        .map(|version| InForce { contract: with_probes(&version.contract, summaries), span: version.span })
        .collect();
    let observed = observed(&versions, &case.service, summaries);
    judge_by(&versions, &case.service, case.period, Some(&observed), &case.facts)
}

/// The contract, with the probes that name its services in the summaries.
fn with_probes(contract: &Contract, summaries: &[Summary]) -> Contract {
    let mut contract = contract.clone();
    for probe in summaries.iter().flat_map(|summary| &summary.probes) {
        let Some(of) = &probe.service else { continue };
        contract.each_service(|service| {
            if service.id == *of && !service.probes.contains(&probe.name) {
                service.probes.push(probe.name.clone());
            }
        });
    }
    contract
}

/// What the summaries say of a service and its members.
fn observed(versions: &[InForce], service: &str, summaries: &[Summary]) -> Observed {
    let contracts = || versions.iter().map(|version| &version.contract);
    let wanted: BTreeSet<(&str, &str)> = contracts()
        .flat_map(|contract| {
            contract.service(service).into_iter().chain(contract.members_of(service).unwrap_or_default())
        })
        .flat_map(|each| each.probes.iter().map(|probe| (probe.as_str(), each.site.as_str())))
        .collect();
    let mut observed = Observed::default();
    let mut sides: BTreeMap<(&str, &str, Wall), &OutagePart> = BTreeMap::new();
    for summary in summaries {
        let carrier_down = summary.carrier_down();
        for probe in &summary.probes {
            let named = probe.service.as_deref();
            let of_service = named.is_some_and(|of| contracts().any(|contract| contract.service(of).is_some()));
            if wanted.contains(&(probe.name.as_str(), summary.site.as_str()))
                || (of_service && wanted.iter().any(|(name, _)| *name == probe.name))
            {
                let seen = observed.probes.entry(probe.name.clone()).or_default();
                if !carrier_down.is_empty() {
                    seen.carrier_down = seen.carrier_down.or(&carrier_down);
                }
                seen.intervals.extend(probe.intervals().filter_map(Result::ok));
            }
        }
        // Later summaries know more of an outage than earlier ones.
        for outage in summary.outages.iter().filter(|outage| outage.service.as_deref() == Some(service)) {
            sides.insert((&outage.probe, &outage.definition, outage.from), outage);
        }
    }
    for seen in observed.probes.values_mut() {
        seen.intervals.sort_by_key(|interval: &Interval| interval.from);
    }
    let end = summaries.iter().map(|summary| summary.to).max().unwrap_or_default();
    observed.sides = sides
        .into_values()
        .map(|outage| {
            let side = match outage.side {
                SummarySide::Provider => Side::Provider,
                SummarySide::Customer => Side::Customer,
                SummarySide::Unknown => Side::Unknown,
            };
            (Span::new(outage.from, outage.to.unwrap_or(end.max(outage.from))), side)
        })
        .collect();
    observed
}
