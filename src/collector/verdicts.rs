//! The fleet's verdicts, from raw outcomes by the same rules as anywhere else; never from what
//! agents say of themselves, which is only laid beside them. A verdict is worked out when something
//! new came for its service and kept, so that a report of the fleet reads as many rows as there are
//! services.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::facts::{self, Source};
use crate::collector::operations::key;
use crate::collector::{lateness, removed_months};
use crate::evidence::bundle::{Basis, Reigned};
use crate::evidence::key::Kid;
use crate::evidence::{register, told};
use crate::sla;
use crate::sla::as_text::word;
use crate::sla::calendar::{Period, Stretch};
use crate::sla::evaluate::{Earlier, Evaluated, EvaluationRequest};
use crate::sla::facts::Facts;
use crate::sla::judge::{InForce, Measured, judge_by, judging};
use crate::sla::letter::{self, Draft};
use crate::sla::printed::Printed;
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::{Contract, Service, Side};

mod archived;
mod fleet;
pub mod groups;
mod sources;
mod witnesses;

pub use fleet::{Fleet, services_at};

use archived::{Archived, Stopped};

/// So long after a period's end its last summaries are waited for; then it is judged as ended.
pub const SETTLED: std::time::Duration = std::time::Duration::from_secs(900);
/// An outage, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutageView {
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub from: Wall,
    /// When it ended; of one that lasts, until when it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub to: Wall,
    /// Whose side failed.
    #[serde(with = "word")]
    #[schema(value_type = String)]
    pub side: Side,
}

impl OutageView {
    fn of(measured: &Measured) -> Self {
        Self { from: measured.span.from, to: measured.span.to, side: measured.side }
    }

    fn measured(&self) -> Measured {
        Measured { span: Span::new(self.from, self.to), side: self.side }
    }
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

impl Judgement {
    /// Of a service in a period, before it is judged.
    fn begin(
        contract: &Contract,
        terms: &Service,
        month: Period,
        archived: &Archived<'_, '_>,
    ) -> Self {
        let agreement = &contract.agreement;
        Self {
            contract: agreement.id.clone(),
            version: agreement.version,
            level: agreement.level.to_string(),
            provider: agreement.provider.name.clone(),
            customer: agreement.customer.name.clone(),
            measured_by: agreement.measured_by.to_string(),
            service: terms.id.clone(),
            site: terms.site.clone(),
            period: month.to_string(),
            as_of: archived.as_of,
            ended: archived.ended,
            report: None,
            by_provider: None,
            letter: None,
            outages: Vec::new(),
            agents: archived.sources.agents(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: BTreeMap::new(),
            faults: Vec::new(),
            gone: None,
            grounds: Grounds::default(),
        }
    }

    /// That so many of the summaries that it rests on were let go.
    fn gone(self, missing: u64) -> Self {
        Self { gone: Some(removed_months::words(missing)), ..self }
    }

    /// What later periods need to know of it; absent where it could not be judged.
    fn earlier(&self) -> Option<Earlier> {
        let outages = self.outages.iter().map(OutageView::measured).collect();
        Some(Earlier::of_printed(self.report.as_ref()?, outages))
    }
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
        let agreed = self.versions(id, service, month);
        let Some(contract) = agreed.last().map(|version| &version.contract) else {
            return Ok(None);
        };
        let Some(terms) = contract.service(service) else { return Ok(None) };
        let services = [service.to_owned()];
        let mut archived = Archived::open(*self, &agreed, service, month, now, known)?;
        archived.complete(month)?;
        let mut judgement = Judgement::begin(contract, terms, month, &archived);
        // What of the period itself was let go cannot be judged anew, by whatever is left of it.
        let days = told::days(archived.stretch.span);
        let missing = removed_months::missing_of(self.archive, &judgement.agents, days)?;
        if missing > 0 {
            return Ok(Some(judgement.gone(missing)));
        }
        let own = facts::kept(self.archive, id, service, Source::Customer)?;
        let as_of = archived.as_of;
        let text = |previous: &[Earlier]| facts::text(&own, service, month, as_of, previous);
        judgement.grounds.facts = text(&[]);
        let case = match facts::case(&judgement.grounds.facts) {
            Ok(case) => case,
            Err(faults) => return Ok(Some(Judgement { faults, ..judgement })),
        };
        let part = self.fleet.register().of_sites(&sites(&agreed, service));
        judgement.grounds.basis = self.basis(&agreed, &archived)?;
        judgement.grounds.register = Some(register::Written::of(&part));
        judgement.grounds.texts = self.texts(&agreed);
        let asked = EvaluationRequest {
            versions: &agreed,
            services: &services,
            period: month,
            facts: &case.facts,
        };
        let mut evaluated = match sla::evaluate(&mut archived, &asked, effort) {
            Ok(all) => all,
            Err(Stopped::Gone(missing)) => return Ok(Some(judgement.gone(missing))),
            Err(Stopped::Archive(error)) => return Err(error),
        };
        let evaluated = evaluated.pop().expect("one service was asked for");
        judgement.grounds.facts = text(&evaluated.previous);
        match &evaluated.report {
            Ok(report) => {
                let asked = EvaluationRequest { facts: &evaluated.facts, ..asked };
                judgement.letter = letter_of(contract, report, &evaluated.facts);
                self.conclude(&mut archived, &asked, (&evaluated, report), &mut judgement)?;
            }
            Err(faults) => judgement.faults = faults.iter().map(ToString::to_string).collect(),
        }
        Ok(Some(judgement))
    }

    /// Enters a report, with what is laid beside it.
    fn conclude(
        &self,
        archived: &mut Archived<'_, '_>,
        asked: &EvaluationRequest<'_>,
        (evaluated, report): (&Evaluated, &Report),
        judgement: &mut Judgement,
    ) -> Result<(), ArchiveError> {
        judgement.outages = evaluated.outages.iter().map(OutageView::of).collect();
        judgement.differs = witnesses::differs(self.fleet, &judgement.agents, report);
        judgement.witnesses = witnesses::beside(archived, asked, report)?;
        judgement.histograms = archived.sources.histograms(archived.stretch.span);
        let Judgement { contract, service, as_of, .. } = &*judgement;
        let theirs = facts::kept(self.archive, contract, service, Source::Provider)?;
        if theirs.imported.is_some() {
            let log = facts::text(&theirs, service, asked.period, *as_of, &evaluated.previous);
            judgement.by_provider = Some(by_provider(asked.versions, &log));
            judgement.grounds.provider = Some(log);
        }
        judgement.report = Some(Printed::from(report));
        Ok(())
    }

    /// The versions that judge a period, the first in force first.
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

    /// What a verdict rests on.
    fn basis(
        &self,
        versions: &[InForce],
        archived: &Archived<'_, '_>,
    ) -> Result<Basis, ArchiveError> {
        let (days, mut basis) = (archived.days, Basis::default());
        basis.versions = versions.iter().map(Reigned::of).collect();
        for agent in archived.sources.binding() {
            basis.summaries.extend(self.archive.folded_numbers(agent, days)?);
            basis.left_out.extend(self.archive.held_within(agent, told::span_of(days))?);
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
}

/// The sites of a service and its members.
fn sites<'a>(versions: &'a [InForce], service: &str) -> BTreeSet<&'a str> {
    register::places(versions, service).iter().map(|place| place.service.site.as_str()).collect()
}

/// The draft of the letter that claims the credit, where one is due.
fn letter_of(contract: &Contract, report: &Report, facts: &Facts) -> Option<String> {
    let Draft { to, from, subject, text } = letter::claim(contract, report, facts).ok()?;
    Some(format!("To: {to}\nFrom: {from}\nSubject: {subject}\n\n{text}"))
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
    /// Earlier periods that were looked at already; absent those that cannot be judged.
    earlier: BTreeMap<Period, Option<Earlier>>,
    /// How much may still be done.
    effort: &'a Effort<'a>,
}

/// What of its own period a report says that later ones need: the objectives that were breached,
/// and what is paid.
#[must_use]
pub fn outcome(report: &Printed) -> (Vec<String>, String) {
    let Earlier { breached, credit, .. } = Earlier::of_printed(report, Vec::new());
    (breached.into_iter().collect(), credit)
}
