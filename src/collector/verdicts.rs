//! The fleet's verdicts, from raw outcomes by the same rules as anywhere else; never from what
//! agents say of themselves, which is only laid beside them. A verdict is worked out when something
//! new came for its service and kept, so that a report of the fleet reads as many rows as there are
//! services.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::collector::agent_state::{self, AgentState, VerdictSaid};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::facts::{self, Source};
use crate::collector::operations::key;
use crate::collector::{lateness, removed_months};
use crate::evidence::bundle::{Basis, Reigned};
use crate::evidence::key::Kid;
use crate::evidence::register::{self, Register};
use crate::evidence::told;
use crate::measure::histogram::{Histogram, Packed};
use crate::sla::calendar::{Day, Period, Stretch, Zone};
use crate::sla::facts::Facts;
use crate::sla::judge::{InForce, judge_by, judge_within, judging, survey_within};
use crate::sla::letter;
use crate::sla::observed::{Observed, Seen};
use crate::sla::printed::Printed;
use crate::sla::reach;
use crate::sla::report::{Outcome, Report};
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Service, Side};

pub mod groups;
mod sources;

use sources::Sources;

/// So long after a period's end its last summaries are waited for; then it is judged as ended.
pub const SETTLED: std::time::Duration = std::time::Duration::from_secs(900);
/// No earlier period is looked at that ended more days before.
const LOOK_BACK: i64 = 800;

/// An outage, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutageView {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub from: Wall,
    /// When it ended; of one that lasts, until when it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub to: Wall,
    /// `provider`, `customer`, `third_party` or `unknown`.
    pub side: String,
}

/// An objective on which an agent's own verdict is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Differs {
    /// The agent.
    #[schema(value_type = String)]
    pub agent: Kid,
    /// The objective.
    pub objective: String,
    /// What it says.
    pub agent_says: String,
    /// What we say.
    pub we_say: String,
}

/// Merged RTTs by probe, as HdrHistogram's V2 in base64.
pub type Histograms = BTreeMap<String, String>;

/// A verdict of a service in a period, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Judgement {
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u32,
    /// Its level: corporate, customer or service.
    pub level: String,
    /// Who provides.
    pub provider: String,
    /// Who buys.
    pub customer: String,
    /// Whose figures bind.
    pub measured_by: String,
    /// The service.
    pub service: String,
    /// Its site.
    pub site: String,
    /// The period.
    pub period: String,
    /// The instant at which it stands.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Wall,
    /// Whether the period has ended.
    pub ended: bool,
    /// The verdict with its arithmetic, as `wanproof contract evaluate --json` prints it.
    #[schema(value_type = Option<Object>)]
    pub report: Option<Printed>,
    /// The verdict by the provider's own log, where it was imported.
    #[schema(value_type = Option<Object>)]
    pub by_provider: Option<ByProvider>,
    /// The draft of the letter that claims the credit, where one is due.
    #[serde(default)]
    pub letter: Option<String>,
    /// What was measured of outages, before exclusions and qualification.
    pub outages: Vec<OutageView>,
    /// The agents that measured, the one whose figures bind first.
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<Kid>,
    /// Objectives on which another agent that measured the same comes to another result than by the
    /// figures that bind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<Differs>,
    /// Objectives on which an agent's own verdict is not this.
    pub differs: Vec<Differs>,
    /// The merged RTTs of each probe, as HdrHistogram's V2 in base64; kept by themselves.
    #[serde(skip)]
    pub histograms: Histograms,
    /// What kept it from being judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Why it stays as it was, whatever comes: what it rests on was let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// What it rests on; kept by itself.
    #[serde(skip)]
    pub grounds: Grounds,
}

/// What the provider's own log says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ByProvider {
    /// The verdict by it.
    Report(Box<Printed>),
    /// Why it cannot be judged.
    Faults {
        /// All of them.
        faults: Vec<String>,
    },
}

impl ByProvider {
    /// The verdict, where there is one.
    #[must_use]
    pub fn report(&self) -> Option<&Printed> {
        match self {
            Self::Report(report) => Some(report),
            Self::Faults { .. } => None,
        }
    }
}

/// What a verdict rests on: with it, and the contracts' texts and the summaries that it names,
/// anyone comes to the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grounds {
    /// Versions and summaries.
    pub basis: Basis,
    /// What each agent might speak for.
    pub register: Option<register::Written>,
    /// The digests of the contracts' files, by version.
    pub texts: BTreeMap<u32, String>,
    /// The facts as they were judged.
    pub facts: String,
    /// The provider's own log as it was judged.
    pub provider: Option<String>,
}

/// The identifier of a verdict.
#[must_use]
pub fn id_of(period: Period, contract: &str, service: &str) -> String {
    key(&[&period.to_string(), contract, service])
}

/// The agents, by what they said last, and what each may speak for.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    agents: BTreeMap<Kid, AgentState>,
    register: Register,
}

impl Fleet {
    /// Reads what every agent said last, and what each may speak for.
    ///
    /// # Errors
    /// When the database fails.
    pub fn load(archive: &Archive) -> Result<Self, ArchiveError> {
        let mut fleet = Self { register: archive.register()?, ..Self::default() };
        for (agent, state) in AgentState::all(archive)? {
            fleet.put(agent, state);
        }
        Ok(fleet)
    }

    /// Enters what an agent said last.
    pub fn put(&mut self, agent: Kid, state: AgentState) {
        self.agents.insert(agent, state);
    }

    /// Enters what each may speak for, as it is now.
    pub fn enter(&mut self, register: Register) {
        self.register = register;
    }

    /// What each may speak for.
    #[must_use]
    pub fn register(&self) -> &Register {
        &self.register
    }

    /// What an agent said last.
    #[must_use]
    pub fn get(&self, agent: Kid) -> Option<&AgentState> {
        self.agents.get(&agent)
    }

    /// Every agent that said anything.
    pub fn iter(&self) -> impl Iterator<Item = (Kid, &AgentState)> {
        self.agents.iter().map(|(agent, state)| (*agent, state))
    }

    /// The probes by which agents that are or were at a service's site may measure it: the contract
    /// names them, or they ever named the service.
    fn probes_of<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = (Kid, &'a str)> + 'a {
        self.register.ever_at(&service.site).flat_map(move |agent| {
            let state = self.agents.get(&agent);
            let by_contract = service.probes.iter().map(String::as_str);
            let own = by_contract
                .filter(move |name| state.is_some_and(|said| said.probes.contains_key(*name)));
            let named =
                state.and_then(|said| said.ever.named.get(&service.id)).into_iter().flatten();
            // What was taken before that was kept.
            let last = state.into_iter().flat_map(|said| &said.probes);
            let last = last
                .filter(|(_, of)| of.as_deref() == Some(service.id.as_str()))
                .map(|(name, _)| name);
            own.chain(named.chain(last).map(String::as_str)).map(move |name| (agent, name))
        })
    }

    /// The services of a contract that something of an agent's touches within a span.
    pub fn services_of<'a>(
        &self,
        agent: Kid,
        contract: &'a Contract,
        span: Span,
    ) -> impl Iterator<Item = &'a str> + use<'a> {
        let sites: BTreeSet<&str> =
            self.register.get(agent).map(|enrolled| enrolled.sites()).unwrap_or_default();
        let here = |site: &&str| self.register.was_at(agent, site, span);
        services_at(contract, &sites.into_iter().filter(here).collect())
    }
}

/// The services of a contract at some sites, and those that have them as members.
pub fn services_at<'a>(
    contract: &'a Contract,
    sites: &BTreeSet<&str>,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let touched = |service: &&'a Service| sites.contains(service.site.as_str());
    let own: BTreeSet<&str> =
        contract.services.iter().filter(touched).map(|service| service.id.as_str()).collect();
    // What has it as a member is touched too.
    let above = move |service: &&'a Service| {
        own.contains(service.id.as_str())
            || contract.members_of(&service.id).is_some_and(|members| {
                members.iter().any(|member| own.contains(member.id.as_str()))
            })
    };
    contract.services.iter().filter(above).map(|service| service.id.as_str())
}

/// What a service is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    /// The database.
    pub archive: &'a Archive,
    /// The contracts.
    pub book: &'a Book,
    /// The agents.
    pub fleet: &'a Fleet,
}

impl Evaluator<'_> {
    /// Judges a service in a period, at an instant, by the versions of the contract that are in
    /// force in it. Absent where none is.
    ///
    /// # Errors
    /// When the database fails.
    pub fn judge(
        &self,
        id: &str,
        service: &str,
        month: Period,
        now: Wall,
    ) -> Result<Option<Judgement>, ArchiveError> {
        self.judge_within(id, service, month, now, &Effort::unlimited())
    }

    /// As [`Self::judge`], as long as it may take. Once the effort is spent, what this gives is not
    /// to be believed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn judge_within(
        &self,
        id: &str,
        service: &str,
        month: Period,
        now: Wall,
        effort: &Effort<'_>,
    ) -> Result<Option<Judgement>, ArchiveError> {
        let mut known = Known { earlier: BTreeMap::new(), effort };
        self.judge_knowing(id, service, month, now, &mut known)
    }

    fn judge_knowing(
        &self,
        id: &str,
        service: &str,
        month: Period,
        now: Wall,
        known: &mut Known<'_>,
    ) -> Result<Option<Judgement>, ArchiveError> {
        let effort = known.effort;
        let mut versions = self.versions(id, service, month);
        // As the contract has it: the probes that name services themselves are added to what is
        // judged by.
        let agreed = versions.clone();
        let Some(contract) = agreed.last().map(|version| &version.contract) else {
            return Ok(None);
        };
        let Some(terms) = contract.service(service) else { return Ok(None) };
        let stretch = Stretch::holding(month.every(1), month.last(), &contract.agreement.timezone);
        // Outages that are told already may have more looked at; until then, what is looked at in
        // any case.
        let base = told::reach(&agreed, month, &[]);
        let mut days = told::days(base);
        let mut sources = Sources::read(self, &agreed, service, days, effort)?;
        let heard = sources.heard().unwrap_or(stretch.span.from).min(now);
        let ended = now >= stretch.span.to + SETTLED || heard >= stretch.span.to;
        let as_of = if ended { now.max(stretch.span.to) } else { heard.max(stretch.span.from) };
        let mut sides = self.sides(&sources, service, base, as_of, Heard::Binding)?;
        let whole = told::days(told::reach(&agreed, month, &sides));
        if whole != days {
            days = whole;
            sources = Sources::read(self, &agreed, service, days, effort)?;
            sides = self.sides(&sources, service, told::span_of(days), as_of, Heard::Binding)?;
        }
        add_named(&mut versions, service, &sources);
        let previous = self.previous(&agreed, service, month, now, known)?;
        let own = facts::kept(self.archive, id, service, Source::Customer)?;
        let mut judgement = Judgement {
            contract: id.to_owned(),
            version: contract.agreement.version,
            level: contract.agreement.level.to_string(),
            provider: contract.agreement.provider.name.clone(),
            customer: contract.agreement.customer.name.clone(),
            measured_by: contract.agreement.measured_by.to_string(),
            service: service.to_owned(),
            site: terms.site.clone(),
            period: month.to_string(),
            as_of,
            ended,
            report: None,
            by_provider: None,
            letter: None,
            outages: Vec::new(),
            agents: sources.agents(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: BTreeMap::new(),
            faults: Vec::new(),
            gone: None,
            grounds: Grounds::default(),
        };
        // What of the period itself was let go cannot be judged anew, by whatever is left of it.
        let missing =
            removed_months::missing_of(self.archive, &judgement.agents, told::days(stretch.span))?;
        if missing > 0 {
            return Ok(Some(Judgement { gone: Some(removed_months::words(missing)), ..judgement }));
        }
        judgement.grounds.facts = facts::text(&own, service, month, as_of, &previous);
        let case = match facts::case(&judgement.grounds.facts) {
            Ok(case) => case,
            Err(faults) => return Ok(Some(Judgement { faults, ..judgement })),
        };
        let part = self.fleet.register().of_sites(&sites(&agreed, service));
        judgement.grounds.basis = self.basis(&agreed, &sources.binding(), days)?;
        judgement.grounds.register = Some(register::Written::of(&part));
        judgement.grounds.texts = self.texts(&agreed);
        let mut observed = sources.observed(sides);
        let surveyed =
            match survey_within(&versions, service, month, &observed, &case.facts, effort) {
                Ok(surveyed) => surveyed,
                Err(faults) => {
                    judgement.faults = faults.iter().map(ToString::to_string).collect();
                    return Ok(Some(judgement));
                }
            };
        if sources.refine(self.archive, &surveyed.boundaries)? {
            observed = sources.observed(observed.sides);
        }
        if sources.gone > 0 {
            return Ok(Some(Judgement {
                gone: Some(removed_months::words(sources.gone)),
                ..judgement
            }));
        }
        let report =
            match judge_within(&versions, service, month, Some(&observed), &case.facts, effort) {
                Ok(report) => report,
                Err(faults) => {
                    judgement.faults = faults.iter().map(ToString::to_string).collect();
                    return Ok(Some(judgement));
                }
            };
        judgement.outages = surveyed
            .outages
            .iter()
            .map(|each| OutageView {
                from: each.span.from,
                to: each.span.to,
                side: each.side.to_string(),
            })
            .collect();
        judgement.differs = self.differs(&judgement.agents, &report);
        judgement.witnesses =
            self.witnesses(&versions, service, month, &case.facts, &mut sources, &report)?;
        judgement.histograms = histograms(&observed, stretch.span);
        let theirs = facts::kept(self.archive, id, service, Source::Provider)?;
        if theirs.imported.is_some() {
            let log = facts::text(&theirs, service, month, as_of, &previous);
            judgement.by_provider = Some(by_provider(&versions, &log));
            judgement.grounds.provider = Some(log);
        }
        judgement.letter = letter::claim(contract, &report, &case.facts).ok().map(|draft| {
            format!(
                "To: {}\nFrom: {}\nSubject: {}\n\n{}",
                draft.to, draft.from, draft.subject, draft.text
            )
        });
        judgement.report = Some(Printed::from(&report));
        Ok(Some(judgement))
    }

    /// The versions that judge a period, the first in force first, with the probes that name their
    /// services themselves.
    fn versions(&self, id: &str, service: &str, month: Period) -> Vec<InForce> {
        let own = self.book.all.iter().filter(|agreed| agreed.kept.id == id);
        let of_service = own.filter_map(|agreed| {
            let (contract, (from, to)) = (agreed.contract.as_ref().ok()?, agreed.in_force?);
            contract.service(service)?;
            let span = Span::new(from, to.unwrap_or(Wall::from_nanos(i64::MAX)));
            Some(InForce { contract: contract.clone(), span })
        });
        let mut all: Vec<InForce> = of_service.collect();
        all.sort_by_key(|version| (version.span.from, version.contract.agreement.version));
        let touching = |version: &InForce| {
            let zone = &version.contract.agreement.timezone;
            !Stretch::holding(month.every(1), month.last(), zone).span.and(version.span).is_empty()
        };
        if !all.iter().any(touching) {
            return Vec::new();
        }
        judging(&all, month).cloned().collect()
    }

    /// What the agents said of whose side their outages of a service lie on, as far as they may
    /// speak for it.
    fn sides(
        &self,
        sources: &Sources<'_>,
        service: &str,
        span: Span,
        as_of: Wall,
        heard: Heard,
    ) -> Result<Vec<(Span, Side)>, ArchiveError> {
        let mut sides = Vec::new();
        let agents = sources.agents().into_iter();
        for agent in
            agents.filter(|agent| matches!(heard, Heard::Binding) || heard == Heard::Only(*agent))
        {
            for said in agent_state::outages_of(self.archive, agent, span, as_of)? {
                if said.service.as_deref() != Some(service) {
                    continue;
                }
                let speaks = sources.speaks(agent, &said.probe, (said.site.as_deref(), service));
                let Some(lasted) = speaks.within(said.span(as_of)).hull() else { continue };
                if heard != Heard::Binding || lasted.is_empty() || sources.binds(agent, lasted) {
                    sides.push((lasted, said.side()));
                }
            }
        }
        Ok(told::in_order(sides))
    }

    /// What a verdict rests on that was read from some days.
    fn basis(
        &self,
        versions: &[InForce],
        agents: &[Kid],
        days: (i64, i64),
    ) -> Result<Basis, ArchiveError> {
        let mut basis =
            Basis { versions: versions.iter().map(Reigned::of).collect(), ..Basis::default() };
        for agent in agents {
            basis.summaries.extend(self.archive.folded_numbers(*agent, days)?);
            basis.left_out.extend(self.archive.held_within(*agent, told::span_of(days))?);
        }
        basis.accepted = lateness::accepted(self.archive, &basis.summaries)?;
        Ok(basis)
    }

    /// The digests of the files of some versions.
    fn texts(&self, versions: &[InForce]) -> BTreeMap<u32, String> {
        let agreements = versions.iter().map(|version| &version.contract.agreement);
        let found =
            agreements.filter_map(|agreement| self.book.version(&agreement.id, agreement.version));
        found.map(|agreed| (agreed.kept.version, agreed.kept.sha256.clone())).collect()
    }

    /// Where another witness than the one that binds comes to another result, by all that it
    /// measured and by nothing else.
    fn witnesses(
        &self,
        versions: &[InForce],
        service: &str,
        month: Period,
        facts: &Facts,
        sources: &mut Sources<'_>,
        ours: &Report,
    ) -> Result<Vec<Differs>, ArchiveError> {
        let (span, mut all) = (told::reach(versions, month, &[]), Vec::new());
        let effort = sources.effort();
        for agent in sources.beside() {
            if effort.is_spent() {
                break;
            }
            let as_of = facts.as_of.unwrap_or(span.to);
            let sides = self.sides(sources, service, span, as_of, Heard::Only(agent))?;
            let alone = sources.alone(agent, sides.clone());
            let Ok(surveyed) = survey_within(versions, service, month, &alone, facts, effort)
            else {
                continue;
            };
            sources.refine(self.archive, &surveyed.boundaries)?;
            let alone = sources.alone(agent, sides);
            let Ok(theirs) = judge_within(versions, service, month, Some(&alone), facts, effort)
            else {
                continue;
            };
            for own in &ours.objectives {
                let same = |each: &&crate::sla::report::Verdict| {
                    (&each.id, each.version, each.period) == (&own.id, own.version, own.period)
                };
                let Some(says) =
                    theirs.objectives.iter().find(same).map(|each| each.result.to_string())
                else {
                    continue;
                };
                let (objective, we_say) = (own.id.clone(), own.result.to_string());
                if contradicts(&says, &we_say) {
                    all.push(Differs { agent, objective, agent_says: says, we_say });
                }
            }
        }
        Ok(all)
    }

    /// Earlier periods of a service as facts of a later one, as far as its terms look at any: as
    /// they were judged, or judged here from what is stored where that was not done.
    fn previous(
        &self,
        versions: &[InForce],
        service: &str,
        month: Period,
        now: Wall,
        known: &mut Known<'_>,
    ) -> Result<Vec<Value>, ArchiveError> {
        let mut wanted: BTreeSet<(Day, Period)> = BTreeSet::new();
        for version in versions {
            let earlier = reach::earlier(&version.contract, service, month);
            wanted.extend(earlier.into_iter().map(|period| (period.last(), period)));
        }
        let Some(contract) =
            versions.last().map(|version| &version.contract).filter(|_| !wanted.is_empty())
        else {
            return Ok(Vec::new());
        };
        let (Some(begun), Some(utc)) = (sources::begun(self, versions, service)?, Zone::get("UTC"))
        else {
            return Ok(Vec::new());
        };
        let begun = utc
            .day(Wall::from_secs(begun.saturating_mul(86_400)))
            .plus(-1)
            .max(month.last().plus(-LOOK_BACK));
        let mut all = Vec::new();
        for (_, earlier) in wanted.into_iter().filter(|(last, _)| *last >= begun) {
            if known.effort.is_spent() {
                break;
            }
            if !known.earlier.contains_key(&earlier) {
                let kept = self.archive.sound_record::<Judgement>(
                    Kind::Verdict,
                    &id_of(earlier, contract.id(), service),
                )?;
                let judged = match kept {
                    Some(kept) => Some(kept),
                    None => self.judge_knowing(contract.id(), service, earlier, now, known)?,
                };
                known.earlier.insert(earlier, judged.as_ref().and_then(Earlier::of));
            }
            if let Some(Some(judged)) = known.earlier.get(&earlier) {
                all.push(judged.fact(versions, earlier, month));
            }
        }
        Ok(all)
    }

    /// Where the agents' own verdicts are not ours.
    fn differs(&self, agents: &[Kid], ours: &Report) -> Vec<Differs> {
        // Of what is left out, nothing is laid beside.
        let heard = |agent: &&Kid| {
            self.fleet.register.get(**agent).is_some_and(|enrolled| enrolled.until.is_none())
        };
        let said = agents.iter().filter(heard).flat_map(|agent| {
            let state = self.fleet.get(*agent);
            state.into_iter().flat_map(|state| &state.verdicts).map(|said| (*agent, said))
        });
        said.filter_map(|(agent, said)| {
            let VerdictSaid { contract, version, service, objective, period, result } = said;
            let by = |own: &crate::sla::report::Verdict| {
                u64::from(own.version.unwrap_or(ours.version)) == *version
            };
            let own = ours.objectives.iter().find(|each| each.id == *objective && by(each))?;
            let asked = own.period.unwrap_or(ours.period).to_string();
            let same = *contract == ours.contract && *service == ours.service && *period == asked;
            let we_say = own.result.to_string();
            (same && contradicts(result, &we_say)).then(|| Differs {
                agent,
                objective: objective.clone(),
                agent_says: result.clone(),
                we_say,
            })
        })
        .collect()
    }
}

/// Whose word on sides is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// Each agent's, where its figures bind.
    Binding,
    /// One agent's.
    Only(Kid),
}

/// Adds the probes that name a service or a member of it themselves.
fn add_named(versions: &mut [InForce], service: &str, sources: &Sources<'_>) {
    for version in versions {
        let members = version.contract.members_of(service).unwrap_or_default();
        let own: BTreeSet<String> =
            members.iter().map(|each| each.id.clone()).chain([service.to_owned()]).collect();
        version.contract.each_service(|each| {
            if !own.contains(&each.id) {
                return;
            }
            for name in sources.named(&each.id) {
                if !each.probes.iter().any(|known| known == name) {
                    each.probes.push(name.to_owned());
                }
            }
        });
    }
}

/// Whether an agent's own verdict is a finding: it is certain of what we are not. One that is not
/// certain knows less, or a minute less, and contradicts nobody.
fn contradicts(agent_says: &str, we_say: &str) -> bool {
    agent_says != we_say && agent_says != "not_determined"
}

/// The sites of a service and its members.
fn sites<'a>(versions: &'a [InForce], service: &str) -> BTreeSet<&'a str> {
    register::places(versions, service).iter().map(|place| place.service.site.as_str()).collect()
}

/// The verdict by the provider's own log.
fn by_provider(versions: &[InForce], log: &str) -> ByProvider {
    let said = facts::case(log).and_then(|case| {
        judge_by(versions, &case.service, case.period, None, &case.facts)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    });
    match said {
        Ok(report) => ByProvider::Report(Box::new(Printed::from(&report))),
        Err(faults) => ByProvider::Faults { faults },
    }
}

/// What is known while a service is judged.
struct Known<'a> {
    /// Earlier periods that were looked at already.
    earlier: BTreeMap<Period, Option<Earlier>>,
    /// How much may still be done.
    effort: &'a Effort<'a>,
}

/// What a later period's verdict may need to know of an earlier one.
#[derive(Clone, Debug)]
struct Earlier {
    breached: Vec<String>,
    credit: String,
    outages: Vec<OutageView>,
}

impl Earlier {
    /// Of one that could be judged.
    fn of(judged: &Judgement) -> Option<Self> {
        let (breached, credit) = outcome(judged.report.as_ref()?);
        Some(Self { breached, credit, outages: judged.outages.clone() })
    }

    fn fact(&self, versions: &[InForce], own: Period, asked: Period) -> Value {
        let has =
            |id: &&String| versions.iter().any(|version| version.contract.objective(id).is_some());
        let breached: Vec<&String> = self.breached.iter().filter(has).collect();
        // What was paid for a period of another length is paid in those of this length already, and
        // their outages are told there.
        let alike =
            std::mem::discriminant(&own.every(1)) == std::mem::discriminant(&asked.every(1));
        let events: Vec<Value> =
            self.outages.iter().filter(|_| alike).map(|each| json!(each)).collect();
        let credit = if alike { self.credit.as_str() } else { "0" };
        json!({"period": own.to_string(), "breached": breached, "credit": credit, "events": events})
    }
}

/// What of its own period a verdict says that later ones may need: the objectives that were
/// breached, and what is paid.
#[must_use]
pub fn outcome(report: &Printed) -> (Vec<String>, String) {
    let own = report.objectives.iter().filter(|each| each.period.is_none() && !each.provisional);
    let breached = own.filter(|each| each.result == Outcome::Breached).map(|each| each.id.clone());
    let breached: BTreeSet<String> = breached.collect();
    (breached.into_iter().collect(), report.credit.clone())
}

/// The RTTs of each probe within a span, merged.
fn histograms(observed: &Observed, span: Span) -> BTreeMap<String, String> {
    let merged = |seen: &Seen| -> Option<Packed> {
        let mut all: Option<Histogram> = None;
        for interval in
            seen.intervals.iter().filter(|each| span.holds(each.from) && each.to() <= span.to)
        {
            if let Some(read) = interval.rtt.as_ref().and_then(|rtt| rtt.histogram.unpack().ok()) {
                match &mut all {
                    Some(all) => all.merge(&read),
                    None => all = Some(read),
                }
            }
        }
        all?.pack()
    };
    observed
        .probes
        .iter()
        .filter_map(|(name, seen)| Some((name.clone(), merged(seen)?.to_base64())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::contradicts;

    #[test]
    fn an_agent_that_is_certain_of_what_we_are_not_is_a_finding_and_one_that_knows_less_is_none() {
        assert!(contradicts("met", "breached"));
        assert!(contradicts("breached", "not_determined"));
        assert!(!contradicts("not_determined", "breached"));
        assert!(!contradicts("met", "met"));
    }
}
