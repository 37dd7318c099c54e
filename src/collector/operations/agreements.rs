//! Contracts: imported, checked, proposed, signed, brought into force, amended, ended. A version's
//! state is its log replayed; what is signed does not change any more. The files of `contracts_dir`
//! count as in force from the day that they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::archive::ledger::{Kind, Page};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::contracts;
use crate::collector::operations::agreements::signatures::{KeptSignature, SignatureView};
use crate::collector::operations::{Actor, DeskError, check_texts, key};
use crate::evidence::answer::ContractText;
use crate::evidence::digest::Digest;
use crate::evidence::key::PublicKey;
use crate::sla::contract::{self, Written};
use crate::sla::lifecycle::{
    Cycle as _, Entry, Log, Refused, Said, Version, VersionAction, VersionState,
};
use crate::sla::reader::Word as _;
use crate::sla::terms::Contract;

pub mod signatures;

/// A version of a contract, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVersion {
    /// The agreement's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// The digest of the file's bytes.
    pub sha256: String,
    /// The file.
    pub toml: String,
    /// When it was imported.
    pub imported: Wall,
    /// Who did.
    pub by: String,
    /// The parties' signatures that were verified when it was signed; none where an operator's word
    /// stands for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<KeptSignature>,
}

impl StoredVersion {
    /// When it takes effect by its own word.
    fn effective_from(&self) -> Option<Wall> {
        let file: toml::Table = self.toml.parse().ok()?;
        file.get("agreement")?.get("effective_from")?.as_str()?.parse().ok()
    }
}

/// A version of a contract, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgreementView {
    /// The agreement's id.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
    /// draft, proposed, countered, signed, in_force, superseded, ended, withdrawn, rejected or
    /// void.
    pub state: String,
    /// Since when it is in force.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub in_force_from: Option<Wall>,
    /// Until when it was.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub in_force_to: Option<Wall>,
    /// corporate, customer or service; absent where the file cannot be read together with its
    /// parents.
    pub level: Option<String>,
    /// Who provides.
    pub provider: Option<String>,
    /// Who buys.
    pub customer: Option<String>,
    /// Its services.
    pub services: Vec<String>,
    /// What may be done with it next.
    pub allowed: Vec<String>,
    /// Where it comes from: `imported`, or `file` for one of contracts_dir.
    pub source: &'static str,
    /// What is wrong with it.
    pub faults: Vec<String>,
    /// The parties' signatures of this very text and of what it inherits from, each verified with
    /// its party's key. Where there are none, that it was signed is an operator's word, who stands
    /// in the log.
    pub signatures: Vec<SignatureView>,
    /// What happened to it.
    #[schema(value_type = Vec<EntryView>)]
    pub log: Vec<Entry>,
}

/// An entry of a log, as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// What was done.
    pub action: String,
    /// When it was done, by the collector's clock; of a version that takes effect, is superseded,
    /// ends or is void: from when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Wall,
    /// When it was recorded, by the collector's clock.
    #[schema(value_type = String, format = DateTime)]
    pub recorded: Wall,
    /// Who did it: the token's name, or the user of the command.
    pub who: String,
    /// The digest of its evidence.
    pub evidence: Option<String>,
    /// What the request said of who did it and when; nobody vouches for it but who is named above.
    pub said: Option<SaidView>,
}

/// What a request said of who did something and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct SaidView {
    /// Who.
    pub who: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Wall>,
}

/// What is to be done with a version, a claim or a right.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// With `take_effect`, `supersede`, `end` and `void` of a version: from when, not later than
    /// now. Where it is absent: now, or with `take_effect` the `effective_from` of the version.
    /// With everything else: when it happened, as you say; the record's own time is the
    /// collector's.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Wall>,
    /// Who did it, as you say; the record's own actor is whose token asks.
    #[schema(min_length = 1, max_length = 200)]
    pub who: Option<String>,
    /// The digest of its evidence.
    #[schema(max_length = 200)]
    pub evidence: Option<String>,
    /// What was granted, where a claim is accepted in part: an amount.
    #[schema(max_length = 40)]
    pub amount: Option<String>,
    /// With `sign` of a version: both parties' signatures, as `wanproof contract sign` and
    /// `countersign` write them.
    pub signatures: Option<Vec<PartySignature>>,
}

/// A party's signature of a version, and the key that it is by.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartySignature {
    /// The signature: a compact JWS of typ `wanproof-contract-signature+jws`.
    #[schema(max_length = 65536)]
    pub jws: String,
    /// The party's public key, as a JWK.
    #[schema(value_type = Object)]
    pub jwk: PublicKey,
}

impl Step {
    /// Right now, by whoever asks.
    #[must_use]
    pub const fn now() -> Self {
        Self { at: None, who: None, evidence: None, amount: None, signatures: None }
    }

    /// The entry that it makes in a log: who and when are the hand's; what the request says of that
    /// is kept apart.
    ///
    /// # Errors
    /// When a text in it is too long.
    pub fn entry(&self, action: &str, actor: &Actor) -> Result<Entry, DeskError> {
        check_texts(&[
            ("who", self.who.as_deref(), 200),
            ("evidence", self.evidence.as_deref(), 200),
            ("amount", self.amount.as_deref(), 40),
        ])?;
        let said = Said { who: self.who.clone(), at: self.at };
        Ok(Entry {
            action: action.to_owned(),
            at: actor.now,
            recorded: actor.now,
            who: actor.who.clone(),
            evidence: self.evidence.clone(),
            said: Some(said).filter(|said| said.who.is_some() || said.at.is_some()),
        })
    }
}

impl From<Refused> for DeskError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Nowhere { .. }
            | Refused::NotYet { .. }
            | Refused::OutOfOrder { .. }
            | Refused::Rule(_) => Self::Conflict(refused.to_string()),
            Refused::Unknown { .. } | Refused::Nobody { .. } => {
                Self::Invalid(vec![refused.to_string()])
            }
        }
    }
}

fn id_of(id: &str, version: u32) -> String {
    // Ten digits, so that identifiers sort as versions do.
    format!("{}/{version:010}", key(&[id]))
}

/// One version, with all that is known of it.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// As it is kept.
    pub kept: StoredVersion,
    /// Its terms, where it can be read together with its parents.
    pub contract: Result<Contract, Vec<String>>,
    /// What happened to it.
    pub log: Log<Version>,
    /// When it was or is in force.
    pub in_force: Option<(Wall, Option<Wall>)>,
    source: &'static str,
}

impl Agreed {
    /// Whether it was in force at an instant.
    #[must_use]
    pub fn holds(&self, at: Wall) -> bool {
        self.in_force.is_some_and(|(from, to)| from <= at && to.is_none_or(|to| at < to))
    }

    fn state(&self) -> VersionState {
        self.log.state()
    }

    /// Whether agents may have it: it is agreed on, whether it is in force yet, still, or no more.
    #[must_use]
    pub fn is_handed_out(&self) -> bool {
        let agreed = matches!(
            self.state(),
            VersionState::Signed
                | VersionState::InForce
                | VersionState::Superseded
                | VersionState::Ended
        );
        // Whoever put a file there wants it handed out.
        agreed || self.source == "file"
    }

    /// As the API shows it.
    #[must_use]
    pub fn view(&self) -> AgreementView {
        let terms = self.contract.as_ref().ok();
        AgreementView {
            id: self.kept.id.clone(),
            version: self.kept.version,
            sha256: self.kept.sha256.clone(),
            state: self.state().word().to_owned(),
            in_force_from: self.in_force.map(|(from, _)| from),
            in_force_to: self.in_force.and_then(|(_, to)| to),
            level: terms.map(|terms| terms.agreement.level.to_string()),
            provider: terms.map(|terms| terms.agreement.provider.name.clone()),
            customer: terms.map(|terms| terms.agreement.customer.name.clone()),
            services: terms
                .map(|terms| terms.services.iter().map(|each| each.id.clone()).collect())
                .unwrap_or_default(),
            allowed: match self.source {
                "file" => Vec::new(),
                _ => {
                    self.log.allowed().into_iter().map(|action| action.word().to_owned()).collect()
                }
            },
            source: self.source,
            signatures: self.kept.signatures.iter().map(|each| each.view.clone()).collect(),
            faults: self.contract.as_ref().err().cloned().unwrap_or_default(),
            log: self.log.entries().to_vec(),
        }
    }
}

/// Every version of every contract that is known.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// In the order of their ids and versions.
    pub all: Vec<Agreed>,
}

impl Book {
    /// Reads what is kept, and the files of `contracts_dir`; one that is kept too is what it is
    /// kept as.
    ///
    /// # Errors
    /// When the database fails.
    pub fn load(archive: &Archive, directory: Option<&Path>) -> Result<Self, ArchiveError> {
        let mut all: BTreeMap<(String, u32), (StoredVersion, Log<Version>, &'static str)> =
            BTreeMap::new();
        for (id, version, toml) in directory.map(from_files).unwrap_or_default() {
            let sha256 = Digest::of(toml.as_bytes()).hex();
            let (imported, by) = (Wall::default(), "file".to_owned());
            let kept = StoredVersion {
                id: id.clone(),
                version,
                sha256,
                toml,
                imported,
                by,
                signatures: Vec::new(),
            };
            all.insert((id, version), (kept, Log::default(), "file"));
        }
        for record in archive.records::<StoredVersion>(Kind::Version, Page::default())? {
            let log = replay(archive, &record.id)?;
            all.insert(
                (record.body.id.clone(), record.body.version),
                (record.body, log, "imported"),
            );
        }
        let name = |kept: &StoredVersion| format!("{} version {}", kept.id, kept.version);
        let written: Vec<Option<Written>> =
            all.values().map(|(kept, ..)| Written::read(&kept.toml, &name(kept)).ok()).collect();
        let others: Vec<Written> = written.iter().flatten().cloned().collect();
        let mut book = Self::default();
        for ((kept, log, source), written) in all.into_values().zip(written) {
            let contract = match written {
                Some(written) => {
                    contract::resolve(&written, &others).map_err(|faults| texts(&faults))
                }
                None => Err(vec![format!("{} is not TOML", name(&kept))]),
            };
            let in_force = match source {
                "file" => {
                    contract.as_ref().ok().map(|terms| (terms.agreement.effective_from, None))
                }
                _ => log.since(VersionState::InForce).map(|from| (from, ended(&log))),
            };
            book.all.push(Agreed { kept, contract, log, in_force, source });
        }
        book.end_superseded_files();
        Ok(book)
    }

    /// A file is in force until a later version of it is.
    fn end_superseded_files(&mut self) {
        for at in 0..self.all.len() {
            let own = &self.all[at];
            let later = self.all.iter().filter(|other| {
                other.kept.id == own.kept.id
                    && other.kept.version > own.kept.version
                    && other.in_force.is_some()
            });
            let end = later.filter_map(|other| other.in_force.map(|(from, _)| from)).min();
            let (source, entries) = (own.source, own.in_force);
            if let (Some((from, None)), "file") = (entries, source) {
                self.all[at].in_force = Some((from, end));
                let words: &[&str] = if end.is_some() {
                    &["propose", "sign", "take_effect", "supersede"]
                } else {
                    &["propose", "sign", "take_effect"]
                };
                let entry = |(action, at): (&&str, Wall)| Entry {
                    action: (*action).to_owned(),
                    at,
                    recorded: at,
                    who: "contracts_dir".to_owned(),
                    evidence: None,
                    said: None,
                };
                let times = [from, from, from, end.unwrap_or(from).max(from)];
                self.all[at].log =
                    Log::replay(words.iter().zip(times).map(entry)).unwrap_or_default();
            }
        }
    }

    /// The version of each contract that is in force at an instant.
    pub fn in_force(&self, at: Wall) -> impl Iterator<Item = (&Agreed, &Contract)> {
        self.all
            .iter()
            .filter(move |agreed| agreed.holds(at))
            .filter_map(|agreed| Some((agreed, agreed.contract.as_ref().ok()?)))
    }

    /// The version of a contract that judges what begins at an instant, whatever became of it
    /// since.
    #[must_use]
    pub fn judging(&self, id: &str, at: Wall) -> Option<(&Agreed, &Contract)> {
        self.in_force(at)
            .filter(|(agreed, _)| agreed.kept.id == id)
            .max_by_key(|(agreed, _)| agreed.kept.version)
    }

    /// One version.
    #[must_use]
    pub fn version(&self, id: &str, version: u32) -> Option<&Agreed> {
        self.all.iter().find(|agreed| agreed.kept.id == id && agreed.kept.version == version)
    }

    /// What is handed to the agents of a site: each version of each contract that is agreed on and
    /// names the site, with those above it.
    #[must_use]
    pub fn of_site(&self, site: &str) -> Vec<ContractText> {
        let texts = self
            .all
            .iter()
            .filter(|agreed| agreed.is_handed_out())
            .map(|agreed| agreed.kept.toml.clone());
        contracts::concerning(texts.collect(), site)
    }
}

fn texts(faults: &[crate::sla::Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The contracts of a directory; one that cannot be read is told in the log.
fn from_files(directory: &Path) -> Vec<(String, u32, String)> {
    match contracts::all(directory) {
        Ok(all) => all
            .into_iter()
            .filter_map(|(id, version, toml)| Some((id, u32::try_from(version).ok()?, toml)))
            .collect(),
        Err(error) => {
            tracing::error!(
                directory = %directory.display(), "the contracts cannot be read: {error}"
            );
            Vec::new()
        }
    }
}

fn replay(archive: &Archive, id: &str) -> Result<Log<Version>, ArchiveError> {
    let entries: Vec<Entry> = archive.log(Kind::Version, id)?;
    Log::replay(entries)
        .map_err(|refused| ArchiveError::Damaged(format!("the log of version {id}: {refused}")))
}

fn ended(log: &Log<Version>) -> Option<Wall> {
    [VersionState::Superseded, VersionState::Ended, VersionState::Void]
        .into_iter()
        .find_map(|state| log.since(state))
}

/// Takes a version as a draft, after it was checked; a draft or a countered proposal may be
/// replaced, and the same bytes are taken again without a word.
///
/// # Errors
/// Its faults; that another text has this version, and is agreed on or put to the other party
/// already.
pub fn import(
    archive: &Archive,
    directory: Option<&Path>,
    toml: &str,
    actor: &Actor,
) -> Result<(String, u32), DeskError> {
    let written =
        Written::read(toml, "contract").map_err(|faults| DeskError::Invalid(texts(&faults)))?;
    let book = Book::load(archive, directory)?;
    let others: Vec<Written> = book
        .all
        .iter()
        .filter_map(|agreed| Written::read(&agreed.kept.toml, &agreed.kept.id).ok())
        .collect();
    let contract = contract::resolve(&written, &others)
        .map_err(|faults| DeskError::Invalid(texts(&faults)))?;
    let (id, version) = (contract.agreement.id.clone(), contract.agreement.version);
    let sha256 = Digest::of(toml.as_bytes()).hex();
    if let Some(known) = book.version(&id, version).filter(|known| known.source == "imported") {
        if known.kept.sha256 == sha256 {
            return Ok((id, version));
        }
        if !matches!(known.state(), VersionState::Draft | VersionState::Countered) {
            return Err(DeskError::Conflict(format!(
                "version {version} of {id} is {}, and another text: a version does not change any \
                    more; give the new text the next number",
                known.state()
            )));
        }
    }
    let subject = format!("{id}/{version}");
    let detail = json!({"sha256": &sha256});
    let (toml, by) = (toml.to_owned(), actor.who.clone());
    let kept = StoredVersion {
        id: id.clone(),
        version,
        sha256,
        toml,
        imported: actor.now,
        by,
        signatures: Vec::new(),
    };
    archive.put_record(Kind::Version, &id_of(&id, version), &kept, actor.now)?;
    actor.did(archive, "contract.import", &subject, detail)?;
    Ok((id, version))
}

/// Does something with a version: propose, counter, sign, take_effect, supersede, end, withdraw,
/// reject, void. It takes effect when the version itself says that it does, unless another instant
/// is named. The version that was in force before is superseded at the instant at which another
/// takes effect. With `sign` the parties' signatures may be given: each is verified, and kept.
///
/// # Errors
/// When it is not here, may not be done with it as it stands, or a signature is not one of it.
pub fn act(
    archive: &Archive,
    of: (&str, u32),
    action: &str,
    step: &Step,
    actor: &Actor,
) -> Result<VersionState, DeskError> {
    act_beside(archive, None, of, action, step, actor)
}

/// As [`act`]; `directory` has contracts that this one may inherit from.
///
/// # Errors
/// As there.
pub fn act_beside(
    archive: &Archive,
    directory: Option<&Path>,
    of: (&str, u32),
    action: &str,
    step: &Step,
    actor: &Actor,
) -> Result<VersionState, DeskError> {
    let id = id_of(of.0, of.1);
    let Some(mut kept) = archive.record::<StoredVersion>(Kind::Version, &id)? else {
        return Err(DeskError::NotFound(format!(
            "version {} of {:?} was not imported here",
            of.1, of.0
        )));
    };
    let mut log = replay(archive, &id)?;
    let mut entry = step.entry(action, actor)?;
    if let Some(from) = effect(action, step, &kept) {
        entry.at = from;
    }
    let entry = log.in_order(entry);
    let at = entry.at;
    let state = log.append(entry.clone())?;
    if let Some(given) = step.signatures.as_deref().filter(|given| !given.is_empty()) {
        if action != VersionAction::Sign.word() {
            return Err(DeskError::Invalid(vec![format!(
                "signatures: they go with sign, not with {action}"
            )]));
        }
        kept.signatures = signatures::verified(&Book::load(archive, directory)?, of, given)?;
        archive.put_record(Kind::Version, &id, &kept, actor.now)?;
    }
    if state == VersionState::InForce {
        supersede_others(archive, of, &entry, actor)?;
    }
    archive.append(Kind::Version, &id, &entry, actor.now)?;
    let proven: Vec<&SignatureView> = kept.signatures.iter().map(|each| &each.view).collect();
    let mut detail = json!({"at": at, "evidence": entry.evidence, "said": entry.said});
    if action == VersionAction::Sign.word() {
        detail["signatures"] = json!(proven);
    }
    actor.did(archive, &format!("contract.{action}"), &format!("{}/{}", of.0, of.1), detail)?;
    Ok(state)
}

/// Supersedes the versions of an agreement that are in force, by the entry that brings another
/// into force.
fn supersede_others(
    archive: &Archive,
    of: (&str, u32),
    entry: &Entry,
    actor: &Actor,
) -> Result<(), DeskError> {
    let below = format!("{}/", key(&[of.0]));
    for other in archive.records::<StoredVersion>(Kind::Version, Page::of(&below))? {
        let mut log = replay(archive, &other.id)?;
        if other.id == id_of(of.0, of.1) || log.state() != VersionState::InForce {
            continue;
        }
        if log.since(VersionState::InForce).is_some_and(|from| from > entry.at)
            || other.body.version > of.1
        {
            return Err(DeskError::Conflict(format!(
                "version {} of {} is in force since a later instant: end it first",
                other.body.version, of.0
            )));
        }
        let superseded =
            Entry { action: VersionAction::Supersede.word().to_owned(), ..entry.clone() };
        let superseded = log.in_order(superseded);
        log.append(superseded.clone())?;
        archive.append(Kind::Version, &other.id, &superseded, actor.now)?;
    }
    Ok(())
}

/// From when what is done holds, where that is a decision of its own and not the time of doing it.
fn effect(action: &str, step: &Step, kept: &StoredVersion) -> Option<Wall> {
    use VersionAction::{End, Supersede, TakeEffect, Void};
    match VersionAction::ALL.iter().find(|each| each.word() == action)? {
        TakeEffect => step.at.or_else(|| kept.effective_from()),
        Supersede | End | Void => step.at,
        _ => None,
    }
}

/// What is known of the actions of a version, for messages.
#[must_use]
pub fn actions() -> Vec<&'static str> {
    let mut all: Vec<&str> =
        Version::TRANSITIONS.iter().map(|(_, action, _)| action.word()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// How an agent's contracts differ from those that are in force for its site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// The contract.
    pub contract: String,
    /// The version in force; absent where none is.
    pub version: Option<u32>,
    /// The version that the agent judges by; absent where it does not.
    pub reported: Option<u64>,
    /// `missing`, `outdated`, `other-text` or `not-in-force`.
    pub what: String,
}

/// The contracts in force at an instant, so prepared that what an agent says is laid beside them
/// without walking through all.
#[derive(Debug)]
pub struct Served<'a> {
    /// Those with services at a site, in the book's order.
    due: BTreeMap<&'a str, Vec<&'a Agreed>>,
    /// The ids of all.
    ids: BTreeSet<&'a str>,
}

impl<'a> Served<'a> {
    /// Prepares it.
    #[must_use]
    pub fn at(book: &'a Book, at: Wall) -> Self {
        let mut due: BTreeMap<&str, Vec<&Agreed>> = BTreeMap::new();
        for (agreed, contract) in book.in_force(at) {
            let sites: BTreeSet<&str> =
                contract.services.iter().map(|service| service.site.as_str()).collect();
            sites.into_iter().for_each(|site| due.entry(site).or_default().push(agreed));
        }
        let holding = book.all.iter().filter(|agreed| agreed.holds(at));
        Self { due, ids: holding.map(|agreed| agreed.kept.id.as_str()).collect() }
    }

    /// What an agent at a site says that it judges by, laid beside what it should.
    #[must_use]
    pub fn differences(&self, site: &str, reported: &[(String, u64, String)]) -> Vec<Difference> {
        let mut by_id: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        for (id, number, sha256) in reported {
            by_id.entry(id).or_default().push((*number, sha256));
        }
        let mut all = Vec::new();
        for Agreed { kept, .. } in self.due.get(site).into_iter().flatten() {
            let own = by_id.get(kept.id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let version = Some(kept.version);
            let difference = |reported, what: &str| Difference {
                contract: kept.id.clone(),
                version,
                reported,
                what: what.to_owned(),
            };
            if own.contains(&(u64::from(kept.version), &kept.sha256)) {
                continue;
            }
            all.push(match own.iter().map(|(number, _)| *number).max() {
                None => difference(None, "missing"),
                Some(number) if number == u64::from(kept.version) => {
                    difference(Some(number), "other-text")
                }
                Some(number) => difference(Some(number), "outdated"),
            });
        }
        let mut told = BTreeSet::new();
        for (id, version, _) in reported {
            // Parents are reported too, and have no services of their own; what is not known here
            // at all is another matter.
            if !self.ids.contains(id.as_str()) && told.insert(id) {
                let what = "not-in-force".to_owned();
                all.push(Difference {
                    contract: id.clone(),
                    version: None,
                    reported: Some(*version),
                    what,
                });
            }
        }
        all
    }
}
