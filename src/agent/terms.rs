//! The contracts that this agent judges by, and which probe measures which of their services.
//!
//! A service and a probe belong together when the contract names the probe and the agent's site is
//! the service's, or when the probe names the service. Where the two disagree, nobody could say
//! what was measured: that is a fault. A contract that came from the collector cannot stop the
//! agent: one that does not fit is left out, and told.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::agent::review::{Judged, services_of};
use crate::base::bounded;
use crate::base::time::Wall;
use crate::config::agent::AgentConfig;
use crate::config::contracts::parents_beside;
use crate::config::written::Faults;
use crate::evidence::digest::Digest;
use crate::evidence::summary::ContractRef;
use crate::measure::probe::{Probe, Role};
use crate::sla::contract::{self, Written};
use crate::sla::outage::{Rule, rules};
use crate::sla::terms::Contract;
use crate::store::contracts::{COLLECTOR, ContractFile, FILE};

/// What is said between a contract's name and why it is left out.
const NOT_JUDGED: &str = " is not judged by: ";

/// A contract, with the file that it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its terms, parents resolved.
    pub contract: Contract,
    /// The file's bytes and their digest.
    pub file: ContractFile,
}

/// A definition of an outage, for a service that is measured here.
#[derive(Debug)]
pub struct Standard {
    /// The service.
    pub service: Option<String>,
    /// The definition's name: `CONTRACT/VERSION#OBJECTIVE`, or `builtin`.
    pub definition: String,
    /// The rule.
    pub rule: Rule,
}

/// A standard, applied. Those by the builtin one share it.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What it goes by.
    pub standard: Arc<Standard>,
    /// The probes that it is applied to, by their places in the configuration.
    pub probes: Box<[usize]>,
}

/// The contracts, bound to the probes.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The contracts.
    pub contracts: Vec<Loaded>,
    /// Earlier versions of them, which judge the time in which they were in force.
    earlier: Vec<Contract>,
    /// What is watched live.
    pub watches: Vec<Watch>,
    /// What may be a mistake, though it need not be.
    pub notes: Vec<String>,
    /// The configuration's probes, each with the service that it measures.
    probes: Vec<Arc<Probe>>,
}

impl Terms {
    /// Reads the contracts that a configuration names, and binds them to its probes.
    ///
    /// # Errors
    /// All faults together.
    pub fn load(config: &AgentConfig) -> Result<Self, Faults> {
        Self::with_received(config, &[], Wall::default())
    }

    /// As [`Self::load`], together with those of `kept` that came from the collector: of each the
    /// highest version that holds `now`, unless this host's own file is of that version or a later
    /// one.
    ///
    /// # Errors
    /// All faults of the configured ones together.
    pub fn with_received(
        config: &AgentConfig,
        kept: &[ContractFile],
        now: Wall,
    ) -> Result<Self, Faults> {
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        let own = read(&config.contracts, &mut faults);
        let contracts = with_received(own, kept, now, &mut notes);
        let earlier = earlier(kept, &contracts);
        let mut bound = bind(config, contracts, now, notes, &mut faults);
        bound.earlier = earlier.into_iter().map(|contract| bound.with_probes(contract)).collect();
        if faults.is_empty() { Ok(bound) } else { Err(Faults(faults)) }
    }

    /// A contract, with the probes that name its services themselves.
    fn with_probes(&self, mut contract: Contract) -> Contract {
        for probe in &self.probes {
            if let Some(service) = &probe.service {
                contract.add_probe(service, &probe.name);
            }
        }
        contract
    }

    /// The service that a probe measures, by its place in the configuration.
    #[must_use]
    pub fn service_of(&self, probe: usize) -> Option<String> {
        self.probes.get(probe)?.service.clone()
    }

    /// The configuration's probes, each with the service that it measures.
    #[must_use]
    pub fn named(&self) -> &[Arc<Probe>] {
        &self.probes
    }

    /// The contracts, each with its earlier versions and with those of its services that are
    /// measured here.
    #[must_use]
    pub fn judged(&self) -> Vec<Judged> {
        let here = |id: &String| self.probes.iter().any(|probe| probe.service.as_ref() == Some(id));
        let mut newest: BTreeMap<&str, &Contract> = BTreeMap::new();
        for Loaded { contract, .. } in &self.contracts {
            let other = newest.entry(contract.id()).or_insert(contract);
            if contract.agreement.version > other.agreement.version {
                *other = contract;
            }
        }
        let own = self.contracts.iter().map(|loaded| &loaded.contract);
        let all: Vec<&Contract> = self.earlier.iter().chain(own).collect();
        let judged = newest.into_values().map(|contract| {
            let same = |other: &&&Contract| other.id() == contract.id();
            let mut versions: Vec<Contract> =
                all.iter().filter(same).map(|other| (*other).clone()).collect();
            versions.sort_by_key(|version| version.agreement.version);
            let services = services_of(&versions, here);
            Judged::among(contract.clone(), versions, services)
        });
        judged.collect()
    }

    /// What is said of the contracts from the collector that are not judged by.
    pub fn left_out(&self) -> impl Iterator<Item = &String> {
        self.notes.iter().filter(|note| note.contains(NOT_JUDGED))
    }

    /// The contracts as summaries name them.
    #[must_use]
    pub fn references(&self) -> Vec<ContractRef> {
        let reference = |loaded: &Loaded| ContractRef {
            id: loaded.file.id.clone(),
            version: u64::from(loaded.file.version),
            sha256: loaded.file.sha256.clone(),
        };
        self.contracts.iter().map(reference).collect()
    }
}

/// Contracts from their texts: each is resolved with the others as its possible parents.
///
/// # Errors
/// All faults together, in `faults`; what is sound is given back all the same.
fn resolve(files: Vec<(String, String)>, faults: &mut Vec<String>) -> Vec<(Contract, String)> {
    let mut written: Vec<(Written, String)> = Vec::new();
    for (name, text) in files {
        match Written::read(&text, &name) {
            Ok(read) => written.push((read, text)),
            Err(found) => faults.extend(found.iter().map(ToString::to_string)),
        }
    }
    let others: Vec<Written> = written.iter().map(|(written, _)| written.clone()).collect();
    let mut contracts = Vec::new();
    for (own, text) in written {
        match contract::resolve(&own, &others) {
            Ok(contract) => contracts.push((contract, text)),
            Err(found) => faults.extend(found.iter().map(ToString::to_string)),
        }
    }
    contracts
}

fn read(paths: &[PathBuf], faults: &mut Vec<String>) -> Vec<Loaded> {
    let mut files = Vec::new();
    for path in paths {
        match bounded::read_text(path) {
            Ok(text) => files.push((path.clone(), text)),
            Err(error) => faults.push(format!("{}: it cannot be read: {error}", shown(path))),
        }
    }
    let files = with_parents(files);
    let loaded = |(contract, toml): (Contract, String)| {
        let agreement = &contract.agreement;
        let file = ContractFile {
            id: agreement.id.clone(),
            version: agreement.version,
            sha256: Digest::of(toml.as_bytes()).hex(),
            toml,
            source: FILE.to_owned(),
        };
        Loaded { contract, file }
    };
    let mut all: Vec<Loaded> = Vec::new();
    for next in resolve(files, faults).into_iter().map(loaded) {
        let same = |other: &&Loaded| {
            other.file.id == next.file.id && other.file.version == next.file.version
        };
        if all.iter().any(|other| same(&other)) {
            faults.push(format!(
                "contract {} version {} is named twice",
                next.file.id, next.file.version
            ));
        }
        all.push(next);
    }
    all
}

/// Versions of the contracts that were judged by before, as they are kept.
fn earlier(kept: &[ContractFile], contracts: &[Loaded]) -> Vec<Contract> {
    let named = |file: &ContractFile| format!("{} version {}", file.id, file.version);
    let texts = kept.iter().chain(contracts.iter().map(|loaded| &loaded.file));
    let all: Vec<Written> =
        texts.filter_map(|file| Written::read(&file.toml, &named(file)).ok()).collect();
    let replaced = |file: &&ContractFile| {
        let same = contracts
            .iter()
            .filter(|loaded| loaded.file.id == file.id)
            .map(|loaded| loaded.file.version);
        let own: Vec<u32> = same.collect();
        own.iter().max().is_some_and(|newest| file.version < *newest)
            && !own.contains(&file.version)
    };
    let read = |file: &ContractFile| {
        contract::resolve(&Written::read(&file.toml, &named(file)).ok()?, &all).ok()
    };
    kept.iter().filter(replaced).filter_map(read).collect()
}

/// The configured contracts and those from the collector.
fn with_received(
    mut own: Vec<Loaded>,
    kept: &[ContractFile],
    now: Wall,
    notes: &mut Vec<String>,
) -> Vec<Loaded> {
    let received: Vec<&ContractFile> =
        kept.iter().filter(|file| file.source == COLLECTOR).collect();
    let named = |file: &ContractFile| {
        format!("contract {} version {} from the collector", file.id, file.version)
    };
    let texts = own.iter().map(|loaded| &loaded.file).chain(received.iter().copied());
    let all: Vec<Written> =
        texts.filter_map(|file| Written::read(&file.toml, &named(file)).ok()).collect();
    let mut chosen: BTreeMap<&str, Loaded> = BTreeMap::new();
    for file in received {
        let resolved = Written::read(&file.toml, &named(file))
            .and_then(|written| contract::resolve(&written, &all));
        let contract = match resolved {
            Ok(contract) => contract,
            Err(faults) => {
                let first = faults.first().map(ToString::to_string).unwrap_or_default();
                notes.push(format!("{}{NOT_JUDGED}{first}", named(file)));
                continue;
            }
        };
        let later =
            chosen.get(file.id.as_str()).is_some_and(|other| other.file.version > file.version);
        if contract.agreement.effective_from <= now && !later {
            chosen.insert(&file.id, Loaded { contract, file: file.clone() });
        }
    }
    for (id, next) in chosen {
        let here = own.iter().filter(|loaded| loaded.file.id == id).map(|loaded| &loaded.file);
        match here.max_by_key(|file| file.version) {
            Some(file) if file.version == next.file.version && file.sha256 != next.file.sha256 => {
                notes.push(format!(
                    "{} is another text than the file that is configured here, which holds",
                    named(&next.file)
                ));
            }
            Some(file) if file.version >= next.file.version => {}
            Some(file) => {
                notes.push(format!(
                    "{} holds instead of version {}, which is configured here",
                    named(&next.file),
                    file.version
                ));
                own.retain(|loaded| loaded.file.id != id);
                own.push(next);
            }
            None => own.push(next),
        }
    }
    own
}

/// Files with the parents that lie beside them, named once each.
fn with_parents(files: Vec<(PathBuf, String)>) -> Vec<(String, String)> {
    let read = |(path, text): &(PathBuf, String)| Written::read(text, &shown(path)).ok();
    let mut known: Vec<Written> = files.iter().filter_map(read).collect();
    let mut all: Vec<(String, String)> =
        files.iter().map(|(path, text)| (shown(path), text.clone())).collect();
    for (path, text) in &files {
        let Ok(own) = Written::read(text, &shown(path)) else { continue };
        for (parent, text) in parents_beside(path, &own, &known) {
            all.push((parent.file().to_owned(), text));
            known.push(parent);
        }
    }
    all
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn bind(
    config: &AgentConfig,
    mut contracts: Vec<Loaded>,
    now: Wall,
    mut notes: Vec<String>,
    faults: &mut Vec<String>,
) -> Terms {
    let mut services: Vec<Option<String>> =
        config.probes.iter().map(|probe| probe.service.clone()).collect();
    contracts.retain(|loaded| {
        let Claimed { places, elsewhere, disagreements } =
            claimed(config, &loaded.contract, &services);
        let Loaded { contract, file } = loaded;
        if file.source == COLLECTOR && !disagreements.is_empty() {
            let (id, version) = (&file.id, file.version);
            notes.extend(
                disagreements
                    .iter()
                    .map(|what| format!("contract {id} version {version}{NOT_JUDGED}{what}")),
            );
            return false;
        }
        faults.extend(disagreements);
        notes.extend(elsewhere.into_iter().map(|(service, name)| {
            format!(
                "contract {} measures service {service:?} by probe {name:?} too, which is not \
                    configured here",
                contract.agreement.id
            )
        }));
        places.into_iter().for_each(|(place, service)| services[place] = Some(service));
        true
    });
    let known = |id: &String| contracts.iter().any(|loaded| loaded.contract.service(id).is_some());
    for (probe, service) in config.probes.iter().zip(&services) {
        if let Some(id) = service
            && !contracts.is_empty()
            && !known(id)
        {
            notes.push(format!(
                "probe {:?} measures service {id:?}, which no contract here has",
                probe.name
            ));
        }
    }
    // A probe may name its service, where the contract does not name the probe.
    for (probe, service) in config.probes.iter().zip(&services) {
        let Some(service) = service else { continue };
        contracts.iter_mut().for_each(|loaded| loaded.contract.add_probe(service, &probe.name));
    }
    let watches = watches(config, &contracts, now, &services);
    let probes =
        config.probes.iter().zip(services).map(|(probe, service)| named(probe, service)).collect();
    Terms { contracts, earlier: Vec::new(), watches, notes, probes }
}

/// A probe with the service that it measures: the configuration's own where that says the same.
fn named(probe: &Arc<Probe>, service: Option<String>) -> Arc<Probe> {
    if probe.service == service {
        Arc::clone(probe)
    } else {
        Arc::new(Probe { service, ..Probe::clone(probe) })
    }
}

/// What a contract says of the probes of its site.
#[derive(Default)]
struct Claimed {
    /// By a probe's place, the service that it measures.
    places: BTreeMap<usize, String>,
    /// A service, and a probe that is not configured here: another host of the site may have it.
    elsewhere: Vec<(String, String)>,
    /// Where the probe is said to measure another service.
    disagreements: Vec<String>,
}

/// Where each probe stands in the configuration.
fn by_name(config: &AgentConfig) -> HashMap<&str, usize> {
    config.probes.iter().enumerate().map(|(at, probe)| (probe.name.as_str(), at)).collect()
}

fn claimed(config: &AgentConfig, contract: &Contract, services: &[Option<String>]) -> Claimed {
    let mut claimed = Claimed::default();
    let named = by_name(config);
    for service in contract.services.iter().filter(|service| service.site == config.site) {
        for name in &service.probes {
            let Some(&place) = named.get(name.as_str()) else {
                claimed.elsewhere.push((service.id.clone(), name.clone()));
                continue;
            };
            match claimed.places.get(&place).or(services[place].as_ref()) {
                Some(other) if *other != service.id => claimed.disagreements.push(format!(
                    "probe {name:?} measures service {other:?}, but contract {} says that it \
                        measures {:?}",
                    contract.agreement.id, service.id
                )),
                _ => {
                    claimed.places.insert(place, service.id.clone());
                }
            }
        }
    }
    claimed
}

fn watches(
    config: &AgentConfig,
    contracts: &[Loaded],
    now: Wall,
    services: &[Option<String>],
) -> Vec<Watch> {
    let named = by_name(config);
    let mut watches = Vec::new();
    let mut judged = vec![false; config.probes.len()];
    for Loaded { contract, .. } in contracts {
        let contract = contract.at(now).unwrap_or(contract);
        for service in &contract.services {
            for applied in rules(contract, &service.id) {
                let measures = |at: &usize| services[*at].as_deref() == Some(service.id.as_str());
                let places = |name: &String| named.get(name.as_str()).copied().filter(measures);
                let probes: Box<[usize]> = applied.probes.iter().filter_map(places).collect();
                if probes.is_empty() {
                    continue;
                }
                probes.iter().for_each(|&at| judged[at] = true);
                let agreement = &contract.agreement;
                let standard = Standard {
                    service: Some(service.id.clone()),
                    definition: format!(
                        "{}/{}#{}",
                        agreement.id, agreement.version, applied.objective
                    ),
                    rule: applied.rule,
                };
                watches.push(Watch { standard: Arc::new(standard), probes });
            }
        }
    }
    let builtin = Arc::new(Standard {
        service: None,
        definition: "builtin".to_owned(),
        rule: Rule::builtin(),
    });
    // A reference probe tells whose side failed; its own failures are no outage of a service.
    for (at, probe) in config.probes.iter().enumerate() {
        if !judged[at] && probe.role == Role::Path {
            watches.push(Watch { standard: Arc::clone(&builtin), probes: Box::new([at]) });
        }
    }
    watches
}
