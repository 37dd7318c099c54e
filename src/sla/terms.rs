//! The terms of a contract, checked: what every other file of this room relies on.

use std::time::Duration;

use crate::base::decimal::Exact;
use crate::base::time::Wall;
use crate::sla::calendar::{Day, Every, Period, Weekly, Zone};
use crate::sla::currency::Currency;
use crate::sla::fault::Fault;
use crate::sla::reader::Figure;

mod members;
mod vocabulary;
pub(super) use members::{MOST as MEMBERS_AT_MOST, Members};
pub use vocabulary::*;

/// A contract, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// Between whom, from when, and by which calendar.
    pub agreement: Agreement,
    /// What was bought.
    pub services: Vec<Service>,
    /// What does not count.
    pub exclusions: Vec<Exclusion>,
    /// What was promised.
    pub objectives: Vec<Objective>,
    /// How credits are combined.
    pub combines: Vec<Combine>,
    /// How high credits go; the shortest span first.
    pub caps: Vec<Cap>,
    /// How credits are claimed.
    pub claim: Option<Claim>,
    /// When a party may leave.
    pub terminations: Vec<Termination>,
    /// What a party must do, and by when.
    pub duties: Vec<Duty>,
    /// What all of this was while earlier versions of its parents were in force, the earliest
    /// first.
    pub(super) eras: Vec<Era>,
}

/// What a contract came to until a later version of one of its parents was in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Era {
    pub(super) until: Wall,
    pub(super) contract: Result<Box<Contract>, Vec<Fault>>,
}

/// Between whom, from when, and by which calendar.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The agreement's name, the same in every version.
    pub id: String,
    /// The version, from 1.
    pub version: u32,
    /// The version that it replaces.
    pub supersedes: Option<u32>,
    /// How high it stands.
    pub level: Level,
    /// The contract of a higher level, by id.
    pub parent: Option<String>,
    /// Who sells.
    pub provider: PartyTerms,
    /// Who buys.
    pub customer: PartyTerms,
    /// When it was signed.
    pub signed: Day,
    /// From when it holds.
    pub effective_from: Wall,
    /// Until when it holds.
    pub effective_to: Option<Wall>,
    /// What happens then.
    pub renewal: Renewal,
    /// The zone of all periods, days and dates.
    pub timezone: Zone,
    /// Days that are no business days.
    pub holidays: Vec<Day>,
    /// The currency of all money.
    pub currency: Currency,
    /// Whose figures bind.
    pub measured_by: MeasuredBy,
}

/// A party's name and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyTerms {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub contact: String,
}

/// What was bought.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub site: String,
    /// Monthly recurring charge.
    pub mrc: Exact,
    /// Usage charge.
    pub usage_charge: Exact,
    /// The probes that measure it.
    pub probes: Vec<String>,
    /// From when it is in service.
    pub in_service_from: Wall,
    /// From when its objectives are judged.
    pub sla_from: SlaFrom,
    /// Services; this one is down only while all of them are.
    pub members: Vec<String>,
    /// The agent whose figures bind where several measure it: the thumbprint of its first key.
    pub witness: Option<String>,
}

/// What does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclusion {
    /// Its name.
    pub id: String,
    /// Why.
    pub kind: ExclusionKind,
    /// Only with at least this much notice.
    pub notice: Option<Duration>,
    /// Only the part inside these hours.
    pub window: Option<Weekly>,
    /// The most time that it takes from a period, the earliest.
    pub at_most: Option<Duration>,
    /// What it takes away.
    pub removes: Removes,
}

/// What was promised, and what happens when it is not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    /// Its name.
    pub id: String,
    /// What is promised.
    pub metric: Metric,
    /// For which services; absent for all.
    pub services: Option<Vec<String>>,
    /// Only events of this severity; absent for all.
    pub severity: Option<Severity>,
    /// In what target and actual are written.
    pub unit: Unit,
    /// How the actual must stand to the target.
    pub op: Op,
    /// The target.
    pub target: Figure,
    /// How it is measured.
    pub measure: Option<Measure>,
    /// When the service is down.
    pub outage: Option<OutageTerms>,
    /// Which outages count.
    pub qualify: Option<Qualify>,
    /// Over what.
    pub aggregate: Aggregate,
    /// What a breach earns.
    pub remedy: Option<Remedy>,
}

/// How an objective is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// By which probes.
    pub probes: Vec<String>,
    /// What a late answer is.
    pub late_is: Late,
    /// Least coverage in percent.
    pub min_coverage: Exact,
    /// The figure that stands for the samples.
    pub statistic: Option<Statistic>,
    /// The bound of [`Statistic::ShareOver`].
    pub over: Option<Duration>,
    /// Whether intervals that touch downtime are left out whole.
    pub only_while_available: bool,
}

/// When the service is down, and what of that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct OutageTerms {
    /// How an outage is recognised.
    pub definition: Definition,
    /// What loss of carrier is.
    pub carrier_loss_is: CarrierLoss,
    /// What unknown time counts as.
    pub unknown_is: UnknownIs,
    /// The sides whose outages count.
    pub sides: Vec<Side>,
}

/// How an outage is recognised.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// Down from the first of `misses` failures in a row until the first of `answers` good ones in
    /// a row.
    Misses {
        /// Failures in a row that make it down.
        misses: u32,
        /// Good ones in a row that make it up.
        answers: u32,
    },
    /// An interval is down when its loss is above the threshold (the shape of ITU-T Y.1540).
    LossRatio {
        /// The interval; they begin at the multiples of it in UTC.
        interval: Duration,
        /// The threshold, from 0 to 1.
        threshold: Exact,
    },
    /// MEF 10.4: down from the first of `n` consecutive intervals above the threshold, up from the
    /// first of `n` not above it.
    Mef {
        /// The interval.
        dt: Duration,
        /// How many of them.
        n: u32,
        /// The threshold, from 0 to 1.
        threshold: Exact,
    },
    /// An interval is down when nothing in it was answered.
    TotalLoss {
        /// The interval.
        interval: Duration,
    },
    /// From ticket opened to the earlier of restored and ticket closed, less the time waiting for
    /// the customer.
    Ticket,
}

/// Which outages count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qualify {
    /// Strictly longer than this.
    pub longer_than: Option<Duration>,
    /// At least `longer_than` inside some window of this length.
    pub within: Option<Duration>,
    /// A deductible.
    pub first: Option<(Duration, FirstIs)>,
    /// Whether local midnight makes two of one.
    pub split_at: Split,
}

/// Over what an objective is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The period.
    pub every: Every,
    /// What availability is a share of: absent for the period's real length, or so many minutes.
    pub fixed_minutes: Option<Exact>,
    /// The figure that stands for several restorations or notices.
    pub statistic: Option<EventStatistic>,
    /// Only time inside counts.
    pub hours: Option<Weekly>,
    /// How the actual is rounded before it is compared.
    pub rounding: Option<(u32, RoundingWord)>,
}

/// What a breach earns.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// What it grows with.
    pub driver: Driver,
    /// What relative credits are shares of.
    pub base: Option<Base>,
    /// How it grows.
    pub form: Form,
    /// Whether an outage needs a ticket.
    pub requires_ticket: bool,
}

/// How a credit grows.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// By steps, in rising order, without overlap.
    Tiers(Vec<Tier>),
    /// By the unit.
    PerUnit {
        /// The unit's size.
        unit: Exact,
        /// How begun units count.
        rounding: UnitRounding,
        /// What each earns.
        credit: Credit,
    },
    /// By blocks, one after the other; the last repeats.
    Blocks(Vec<(Exact, Credit)>),
    /// For each of x, by the how-many-th consecutive breached period it is; the last repeats.
    Escalation(Vec<Credit>),
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Where it begins, and whether the bound itself belongs to it; absent when it has no lower
    /// bound.
    pub low: Option<(Exact, Bound)>,
    /// Where it ends; absent when it has no upper bound.
    pub high: Option<(Exact, Bound)>,
    /// What it earns.
    pub credit: Credit,
}

/// Whether a bound belongs to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It does.
    Inclusive,
    /// It does not.
    Exclusive,
}

/// A credit as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Credit {
    /// As it was written.
    pub written: String,
    /// What it is.
    pub kind: CreditKind,
}

/// What a credit is.
#[derive(Clone, Debug, PartialEq)]
pub enum CreditKind {
    /// A share of the base.
    Share(Exact),
    /// One day of the period's length.
    PerDay,
    /// An amount in the contract's currency.
    Amount(Exact),
}

/// How credits are combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combine {
    /// Of which objectives.
    pub objectives: Vec<String>,
    /// How.
    pub rule: CombineRule,
}

/// How high credits go.
#[derive(Clone, Debug, PartialEq)]
pub struct Cap {
    /// In which span.
    pub per: SpanWord,
    /// How high.
    pub limit: Limit,
    /// As it was written.
    pub written: String,
}

/// A cap's height.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// A share of the monthly charge times the months of the span.
    Share(Exact),
    /// An amount.
    Amount(Exact),
}

/// How credits are claimed.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Whether they must be asked for.
    pub mode: ClaimMode,
    /// How soon after the event began a ticket must be opened.
    pub ticket_within: Option<Duration>,
    /// Until when a credit must be asked for; absent when it comes by itself.
    pub clock: Option<ClaimClock>,
    /// How money is rounded.
    pub rounding: RoundingWord,
    /// A rounded credit below it is not paid.
    pub minimum: Option<Exact>,
    /// How it is paid.
    pub settled: Settled,
}

/// Until when a credit must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimClock {
    /// So many …
    pub within: u32,
    /// … of these …
    pub unit: ClaimUnit,
    /// … after this.
    pub counted_from: CountedFrom,
}

/// When a party may leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Termination {
    /// Its name.
    pub id: String,
    /// Who may.
    pub by: Party,
    /// Any of these is enough.
    pub any: Vec<Condition>,
    /// For so many days after it accrued.
    pub exercise_within_days: u32,
}

/// What makes a right to terminate accrue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// So many outages, each strictly longer than this, that begin on local days fewer than so many
    /// apart.
    Events {
        /// How many.
        events: u32,
        /// How long each.
        longer_than: Duration,
        /// Within how many days.
        within_days: u32,
    },
    /// Downtime of one period above a limit.
    DowntimeOver {
        /// The limit.
        limit: Duration,
        /// The period.
        period: SpanWord,
    },
    /// So many breached periods in a row.
    Consecutive {
        /// Of which objective.
        objective: String,
        /// How many.
        consecutive: u32,
    },
    /// So many breached periods of so many.
    Times {
        /// Of which objective.
        objective: String,
        /// How many.
        times: u32,
        /// Of how many.
        of_periods: u32,
    },
}

/// What a party must do, and by when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duty {
    /// Its name.
    pub id: String,
    /// Who must.
    pub party: Party,
    /// What.
    pub what: String,
    /// How soon …
    pub within: Duration,
    /// … after what.
    pub after: After,
}

impl Service {
    /// Whether it is the service of this name, and no probe of this name is among its own.
    fn lacks(&self, id: &str, probe: &str) -> bool {
        self.id == id && !self.probes.iter().any(|known| known == probe)
    }
}

impl Contract {
    /// The contract as it judges a period: with the versions of its parents that were in force when
    /// the period began.
    ///
    /// # Errors
    /// When it has faults with those.
    pub fn of(&self, period: Period) -> Result<&Self, Vec<Fault>> {
        if self.eras.is_empty() {
            return Ok(self);
        }
        self.at(self.begin(period))
    }

    /// The contract with the versions of its parents that were in force at an instant.
    ///
    /// # Errors
    /// When it has faults with those.
    pub fn at(&self, at: Wall) -> Result<&Self, Vec<Fault>> {
        match self.eras.iter().find(|era| at < era.until).map(|era| &era.contract) {
            None => Ok(self),
            Some(Ok(contract)) => Ok(contract),
            Some(Err(faults)) => Err(faults.clone()),
        }
    }

    /// Where a period begins, in the contract's zone; a rolling one as its longest objective has
    /// it.
    pub(super) fn begin(&self, period: Period) -> Wall {
        let lengths =
            self.objectives.iter().filter_map(|objective| match objective.aggregate.every {
                Every::Rolling(days) => Some(days),
                _ => None,
            });
        self.agreement.timezone.midnight(period.first(lengths.max().unwrap_or(1)))
    }

    /// Adds to a service a probe that names it itself, unless the contract names the probe there.
    pub fn add_probe(&mut self, service: &str, probe: &str) {
        let eras = self.eras.iter_mut().filter_map(|era| era.contract.as_mut().ok());
        let all = eras.flat_map(|contract| &mut contract.services).chain(&mut self.services);
        for own in all.filter(|own| own.lacks(service, probe)) {
            own.probes.push(probe.to_owned());
        }
    }

    /// Whether [`Self::add_probe`] has something to add.
    #[must_use]
    pub fn lacks_probe(&self, service: &str, probe: &str) -> bool {
        let eras = self.eras.iter().filter_map(|era| era.contract.as_ref().ok());
        let all = eras.flat_map(|contract| &contract.services).chain(&self.services);
        all.into_iter().any(|own| own.lacks(service, probe))
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }

    /// The service that a probe at a site measures: the contract names the probe, and the site is
    /// the service's.
    #[must_use]
    pub fn service_of(&self, probe: &str, site: &str) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.site == site && service.probes.iter().any(|name| name == probe))
    }

    /// A service and, at all depths, the services that it is down only together with, each once,
    /// members before those that they are members of; absent when it is a member of itself. Members
    /// that are no services here are left out.
    #[must_use]
    pub fn members_of(&self, id: &str) -> Option<Vec<&Service>> {
        Members::new(&self.services).of([id])
    }

    /// The same of several services.
    #[must_use]
    pub fn members_of_all<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Option<Vec<&Service>> {
        Members::new(&self.services).of(ids)
    }

    /// The objective of this name.
    #[must_use]
    pub fn objective(&self, id: &str) -> Option<&Objective> {
        self.objectives.iter().find(|objective| objective.id == id)
    }

    /// The objectives that hold for a service, in order.
    pub fn objectives_of<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = &'a Objective> + 'a {
        self.objectives.iter().filter(move |objective| objective.applies_to(service))
    }

    /// The agreement's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.agreement.id
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.agreement.version
    }
}

impl Objective {
    /// Whether it holds for a service.
    #[must_use]
    pub fn applies_to(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|id| id == service))
    }

    /// Whether its actual is a figure of samples, for which outcomes alone are not enough.
    #[must_use]
    pub fn samples(&self) -> bool {
        matches!(
            self.metric,
            Metric::Rtt | Metric::Loss | Metric::Delivery | Metric::Jitter | Metric::Mos
        )
    }

    /// Whether its outages come from probes, not from tickets.
    #[must_use]
    pub fn detects(&self) -> bool {
        self.metric == Metric::Availability
            && self.outage.as_ref().is_some_and(|outage| outage.definition != Definition::Ticket)
    }
}

impl Op {
    /// Whether the actual stands so to the target.
    #[must_use]
    pub fn holds(self, actual: &Exact, target: &Exact) -> bool {
        match self {
            Self::AtLeast => actual >= target,
            Self::AtMost => actual <= target,
            Self::Above => actual > target,
            Self::Below => actual < target,
        }
    }
}
