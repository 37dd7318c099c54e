//! The terms of a contract, checked: what every other file of this room relies on.

use std::time::Duration;

use crate::base::decimal::{Exact, Rounding};
use crate::base::time::Wall;
use crate::sla::calendar::{Day, Every, Weekly, Zone};
use crate::sla::currency::Currency;
use crate::sla::reader::{Figure, words};

words! {
    /// How high in the hierarchy of agreements a contract stands.
    Level {
        /// For all customers of a group.
        Corporate = "corporate",
        /// For one customer.
        Customer = "customer",
        /// For services.
        Service = "service",
    }
}
words! {
    /// One of the two parties.
    Party {
        /// Who buys.
        Customer = "customer",
        /// Who sells.
        Provider = "provider",
    }
}
words! {
    /// Whose figures bind.
    MeasuredBy {
        /// The provider's.
        Provider = "provider",
        /// The customer's.
        Customer = "customer",
        /// Those that both hold.
        Joint = "joint",
    }
}
words! {
    /// What happens at the end.
    Renewal {
        /// It ends.
        None = "none",
        /// It goes on from month to month.
        MonthToMonth = "month_to_month",
    }
}
words! {
    /// From when a service's objectives are judged.
    SlaFrom {
        /// From `in_service_from`.
        Acceptance = "acceptance",
        /// From the first local month that begins at or after it.
        FirstFullMonth = "first_full_month",
    }
}
words! {
    /// Why time is excluded.
    ExclusionKind {
        /// Maintenance that was planned.
        Scheduled = "scheduled_maintenance",
        /// Maintenance that was not.
        Emergency = "emergency_maintenance",
        /// Force majeure.
        ForceMajeure = "force_majeure",
        /// The customer's doing.
        Customer = "customer_caused",
        /// A third party's doing.
        ThirdParty = "third_party",
        /// No power.
        Power = "power",
        /// No access to the site.
        AccessDenied = "access_denied",
        /// Anything else.
        Other = "other",
    }
}
words! {
    /// What an exclusion takes away.
    Removes {
        /// Downtime only.
        Downtime = "downtime",
        /// Downtime, and as much of the period.
        DowntimeAndPeriod = "downtime_and_period",
    }
}
words! {
    /// What is promised.
    Metric {
        /// The share of time that the service was not down.
        Availability = "availability",
        /// Round-trip time.
        Rtt = "rtt",
        /// Packet loss.
        Loss = "loss",
        /// What loss leaves.
        Delivery = "delivery",
        /// Variation of delay.
        Jitter = "jitter",
        /// Mean opinion score, by the simplified E-model.
        Mos = "mos",
        /// How long a restoration takes.
        TimeToRestore = "time_to_restore",
        /// How long the provider takes to tell.
        TimeToNotify = "time_to_notify",
        /// A number that the facts give.
        Count = "count",
    }
}
words! {
    /// How badly a service fails.
    Severity {
        /// Not usable.
        Total = "total",
        /// Usable, but worse than promised.
        Degraded = "degraded",
    }
}
words! {
    /// In what a target is written.
    Unit {
        /// Hundredths.
        Percent = "percent",
        /// Milliseconds.
        Ms = "ms",
        /// A plain number.
        Ratio = "ratio",
        /// Seconds.
        S = "s",
        /// How many.
        Count = "count",
    }
}
words! {
    /// How the actual must stand to the target.
    Op {
        /// At least.
        AtLeast = ">=",
        /// At most.
        AtMost = "<=",
        /// Above.
        Above = ">",
        /// Below.
        Below = "<",
    }
}
words! {
    /// What a late answer is.
    Late {
        /// Good.
        Good = "good",
        /// Failed.
        Failed = "failed",
    }
}
words! {
    /// The figure that stands for many samples.
    Statistic {
        /// Arithmetic mean of RTTs.
        Mean = "mean",
        /// Median RTT.
        P50 = "p50",
        /// RTT that 90 % stay within.
        P90 = "p90",
        /// RTT that 95 % stay within.
        P95 = "p95",
        /// RTT that 99 % stay within.
        P99 = "p99",
        /// RTT that 99.9 % stay within.
        P999 = "p999",
        /// Highest RTT.
        Max = "max",
        /// Share of RTTs above a bound.
        ShareOver = "share_over",
        /// Mean |IPDV| (RFC 5481).
        IpdvMean = "ipdv_mean",
        /// |IPDV| that 95 % stay within.
        IpdvP95 = "ipdv_p95",
        /// |IPDV| that 99 % stay within.
        IpdvP99 = "ipdv_p99",
        /// PDV above the minimum (RFC 5481) that 95 % stay within.
        PdvP95 = "pdv_p95",
        /// PDV above the minimum that 99 % stay within.
        PdvP99 = "pdv_p99",
        /// Highest interarrival jitter of RFC 3550.
        Rfc3550Max = "rfc3550_max",
    }
}

impl Statistic {
    /// Whether it is one of jitter; else it is one of RTT.
    #[must_use]
    pub const fn is_of_jitter(self) -> bool {
        matches!(self, Self::IpdvMean | Self::IpdvP95 | Self::IpdvP99 | Self::PdvP95 | Self::PdvP99 | Self::Rfc3550Max)
    }
}

words! {
    /// How an outage is recognised.
    DefinitionWord {
        /// Failures in a row.
        Misses = "misses",
        /// An interval's loss above a threshold.
        LossRatio = "loss_ratio",
        /// MEF 10.4's sliding window.
        Mef = "mef",
        /// An interval in which nothing was answered.
        TotalLoss = "total_loss",
        /// What the tickets say.
        Ticket = "ticket",
    }
}
words! {
    /// What loss of carrier is.
    CarrierLoss {
        /// Failure.
        Down = "down",
        /// Unknown time.
        Unknown = "unknown",
    }
}
words! {
    /// What unknown time counts as.
    UnknownIs {
        /// Unknown; it lowers coverage.
        Unknown = "unknown",
        /// Good.
        Up = "up",
        /// Downtime.
        Down = "down",
    }
}
words! {
    /// Whose side failed.
    Side {
        /// The provider's.
        Provider = "provider",
        /// The customer's.
        Customer = "customer",
        /// A third party's.
        ThirdParty = "third_party",
        /// Nobody knows.
        Unknown = "unknown",
    }
}
words! {
    /// What becomes of an outage's first part.
    FirstIs {
        /// It does not count.
        Subtracted = "subtracted",
        /// It counts only when the outage is strictly longer.
        Waived = "waived",
    }
}
words! {
    /// Whether an outage over local midnight is one or two.
    Split {
        /// One.
        None = "none",
        /// One for each local day.
        Day = "day",
    }
}
words! {
    /// What availability is a share of.
    DenominatorWord {
        /// The period's real length.
        Actual = "actual",
        /// An agreed number of minutes.
        Fixed = "fixed",
    }
}
words! {
    /// The figure that stands for several restorations or notices.
    EventStatistic {
        /// Their mean.
        Mean = "mean",
        /// The longest.
        Max = "max",
        /// Each by itself; the worst is the actual.
        Each = "each",
    }
}
words! {
    /// What a credit grows with.
    Driver {
        /// One when breached.
        Breach = "breach",
        /// Qualified downtime.
        Downtime = "downtime",
        /// Downtime beyond what the target allows.
        ExcessDowntime = "excess_downtime",
        /// Each qualified outage by itself.
        Event = "event",
        /// Days on which a qualified outage begins.
        Days = "days",
        /// The actual.
        Actual = "actual",
        /// By how much the target was missed.
        Shortfall = "shortfall",
        /// By how many percent of the target it was missed.
        ExcessPercent = "excess_percent",
        /// How many.
        Count = "count",
    }
}
words! {
    /// What a relative credit is a share of.
    Base {
        /// The monthly recurring charge.
        Mrc = "mrc",
        /// The usage charge.
        Usage = "usage",
        /// The greater of the two.
        Greater = "greater_of_mrc_and_usage",
    }
}
words! {
    /// How begun units count.
    UnitRounding {
        /// Each begun unit counts whole.
        Up = "up",
        /// Only whole units count.
        Down = "down",
        /// In proportion.
        Exact = "exact",
    }
}
words! {
    /// What a hole between two tiers earns.
    Gaps {
        /// Nothing.
        NoCredit = "no_credit",
    }
}
words! {
    /// How several credits become one.
    CombineRule {
        /// They add up.
        Sum = "sum",
        /// The highest.
        Max = "max",
        /// The first listed that earns anything.
        First = "first",
    }
}
words! {
    /// A calendar span.
    SpanWord {
        /// A month.
        Month = "month",
        /// A quarter.
        Quarter = "quarter",
        /// A year.
        Year = "year",
    }
}

impl SpanWord {
    /// As a kind of period.
    #[must_use]
    pub const fn every(self) -> Every {
        match self {
            Self::Month => Every::Month,
            Self::Quarter => Every::Quarter,
            Self::Year => Every::Year,
        }
    }
}

words! {
    /// Whether a credit must be asked for.
    ClaimMode {
        /// It comes by itself.
        Automatic = "automatic",
        /// It must be claimed.
        OnRequest = "on_request",
    }
}
words! {
    /// In what a claim's time is counted.
    ClaimUnit {
        /// Calendar days.
        Days = "days",
        /// Monday to Friday less holidays.
        BusinessDays = "business_days",
    }
}
words! {
    /// From when a claim's time is counted.
    CountedFrom {
        /// The event's beginning.
        EventStart = "event_start",
        /// The ticket's closing.
        TicketClosed = "ticket_closed",
        /// The event's end.
        Restored = "restored",
        /// The period's last local day.
        PeriodEnd = "period_end",
    }
}
words! {
    /// How a credit is paid.
    Settled {
        /// On the next invoice.
        NextInvoice = "next_invoice",
        /// As a refund.
        Refund = "refund",
        /// As a lump.
        Lump = "lump",
    }
}
words! {
    /// From when a duty's time runs.
    After {
        /// The event's beginning.
        EventStart = "event_start",
        /// The event's end.
        EventEnd = "event_end",
        /// The period's end.
        PeriodEnd = "period_end",
    }
}
words! {
    /// Rounding, as contracts write it.
    RoundingWord {
        /// Half away from zero.
        HalfUp = "half_up",
        /// Towards zero.
        Down = "down",
        /// Half to even.
        HalfEven = "half_even",
    }
}

impl RoundingWord {
    /// As numbers are rounded.
    #[must_use]
    pub const fn how(self) -> Rounding {
        match self {
            Self::HalfUp => Rounding::HalfUp,
            Self::Down => Rounding::Down,
            Self::HalfEven => Rounding::HalfEven,
        }
    }
}

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
    /// Where each top-level table comes from: its name, and the id of the contract that holds it.
    pub origins: Vec<(&'static str, String)>,
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
    /// Down from the first of `misses` failures in a row until the first of `answers` good ones in a row.
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
    /// MEF 10.4: down from the first of `n` consecutive intervals above the threshold, up from the first of `n` not above it.
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
    /// From ticket opened to the earlier of restored and ticket closed, less the time waiting for the customer.
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
    /// Where it begins, and whether the bound itself belongs to it; absent when it has no lower bound.
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
    /// So many outages, each strictly longer than this, that begin on local days fewer than so many apart.
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

impl Contract {
    /// The service of this name.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }

    /// The service that a probe at a site measures: the contract names the probe, and the site is the service's.
    #[must_use]
    pub fn service_of(&self, probe: &str, site: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.site == site && service.probes.iter().any(|name| name == probe))
    }

    /// A service and, at all depths, the services that it is down only together with; absent when it is a member of
    /// itself. Members that are no services here are left out.
    #[must_use]
    pub fn members_of(&self, id: &str) -> Option<Vec<&Service>> {
        members_of(&self.services, id)
    }

    /// The objective of this name.
    #[must_use]
    pub fn objective(&self, id: &str) -> Option<&Objective> {
        self.objectives.iter().find(|objective| objective.id == id)
    }

    /// The objectives that hold for a service, in order.
    pub fn objectives_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Objective> + 'a {
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

/// A service and its members at all depths; absent when one of them is a member of itself.
pub(super) fn members_of<'a>(services: &'a [Service], id: &str) -> Option<Vec<&'a Service>> {
    let find = |id: &str| services.iter().find(|service| service.id == id);
    let mut all: Vec<&Service> = find(id).into_iter().collect();
    let mut next = 0;
    while let Some(service) = all.get(next).copied() {
        for member in service.members.iter().filter_map(|member| find(member)) {
            if !all.iter().any(|known| known.id == member.id) {
                all.push(member);
            }
        }
        next += 1;
    }
    // Those whose members are all placed are placed; in a ring nobody ever is.
    let mut placed: Vec<&str> = Vec::new();
    loop {
        let before = placed.len();
        for service in &all {
            let open = |member: &String| find(member).is_some() && !placed.contains(&member.as_str());
            if !placed.contains(&service.id.as_str()) && !service.members.iter().any(open) {
                placed.push(&service.id);
            }
        }
        if placed.len() == all.len() {
            return Some(all);
        }
        if placed.len() == before {
            return None;
        }
    }
}

impl Objective {
    /// Whether it holds for a service.
    #[must_use]
    pub fn applies_to(&self, service: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.iter().any(|id| id == service))
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
