//! From facts or measurements to verdicts, in the order that the contract's format fixes: measure → qualify → aggregate →
//! compare → remedy → combine and cap, then claim.

use std::collections::BTreeMap;

use crate::base::decimal::{Exact, Rounding};
use crate::base::time::Wall;
use crate::sla::calendar::{Day, Every, Period, Stretch, Zone};
use crate::sla::facts::{Case, Facts};
use crate::sla::fault::Fault;
use crate::sla::observed::{self, Observed, Timeline};
use crate::sla::outage::Rule;
use crate::sla::report::{Outcome, Report, Verdict};
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{Contract, Objective, Renewal, RoundingWord, Service, Side, SlaFrom};
use crate::sla::words;

mod availability;
mod claims;
mod credit;
mod events;
mod exclusions;
mod names;
mod outages;
mod rights;
mod total;
mod values;

use outages::{Counting, Happening, Outage};

/// Judges facts by a contract.
///
/// # Errors
/// When the facts name what the contract has not; all at once.
pub fn evaluate(contract: &Contract, case: &Case) -> Result<Report, Vec<Fault>> {
    run(contract, &case.service, case.period, None, &case.facts)
}

/// Judges what was measured of a service in a period. The facts bring what does not come from measurement: exclusions,
/// tickets, charges, earlier periods, `as_of`; they may be empty. A measured outage takes the tickets, and the side where
/// one is said, of those of the facts' events that it overlaps.
///
/// # Errors
/// When the service is not the contract's, or the facts name what the contract has not; all at once.
pub fn judge(
    contract: &Contract,
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
) -> Result<Report, Vec<Fault>> {
    run(contract, service, period, Some(observed), facts)
}

fn run(
    contract: &Contract,
    service: &str,
    period: Period,
    observed: Option<&Observed>,
    facts: &Facts,
) -> Result<Report, Vec<Fault>> {
    let faults = names::check(contract, service, period, facts);
    let Some(service) = contract.service(service).filter(|_| faults.is_empty()) else { return Err(faults) };
    let court = Court::new(contract, service, period, observed, facts);
    let judged: Vec<Judged<'_>> = contract.objectives_of(&service.id).map(|objective| court.judge(objective)).collect();
    let total = total::of(&court, &judged);
    let mut verdicts: Vec<Verdict> = judged.iter().map(|judged| judged.verdict(&court)).collect();
    // How the credits became one stands with the last that earned any.
    if let Some(last) = judged.iter().rposition(|judged| judged.credit.is_positive()) {
        verdicts[last].steps.extend(total.steps);
    }
    Ok(Report {
        contract: contract.agreement.id.clone(),
        version: contract.agreement.version,
        service: service.id.clone(),
        period,
        objectives: verdicts,
        credit: total.paid.fixed(contract.agreement.currency.decimals, Rounding::HalfUp),
        currency: contract.agreement.currency.code.clone(),
        claim: claims::state(&court, &judged, &total.paid),
        terminations: rights::accrued(&court, &judged),
        duties: claims::duties(&court),
        measured_by: contract.agreement.measured_by,
    })
}

/// Everything that is before the judge.
struct Court<'a> {
    contract: &'a Contract,
    service: &'a Service,
    facts: &'a Facts,
    observed: Option<&'a Observed>,
    zone: &'a Zone,
    /// The period asked for.
    asked: Stretch,
    /// When the service's objectives hold.
    scope: Span,
    /// The monthly charge and the usage charge.
    mrc: Exact,
    usage: Exact,
    /// The service's time by each objective that detects outages.
    timelines: BTreeMap<&'a str, Timeline>,
}

/// An objective, judged.
struct Judged<'a> {
    objective: &'a Objective,
    stretch: Stretch,
    outcome: Outcome,
    provisional: bool,
    /// What is compared, in the objective's unit.
    actual: Option<Exact>,
    /// The same as text, before rounding.
    exact: Option<String>,
    /// Known time in percent.
    coverage: Exact,
    /// For availability: qualified downtime in the window, and what exclusions removed of it, in nanoseconds.
    downtime: Option<i128>,
    excluded: Option<i128>,
    /// For times to restore and to notify: how many are beyond the target.
    beyond: Option<u64>,
    /// What a driver may grow with.
    growth: Growth,
    /// The outages that count, those that begin in the window first of all.
    matter: Vec<Outage>,
    credit: Exact,
    steps: Vec<String>,
}

/// What drivers grow with.
#[derive(Clone, Debug, Default)]
struct Growth {
    /// Qualified downtime in the window, in seconds.
    downtime: Exact,
    /// Downtime beyond what the target allows, in seconds.
    excess: Exact,
    /// Each outage that begins in the window: its length in seconds, and whether its ticket was opened in time.
    events: Vec<(Exact, bool)>,
    /// The days on which they begin.
    days: Vec<Day>,
    /// How many.
    count: Exact,
    /// Whether any of the outages has a ticket opened in time.
    ticketed: bool,
}

impl<'a> Court<'a> {
    fn new(
        contract: &'a Contract,
        service: &'a Service,
        period: Period,
        observed: Option<&'a Observed>,
        facts: &'a Facts,
    ) -> Self {
        let zone = &contract.agreement.timezone;
        let lengths = contract.objectives_of(&service.id).filter_map(|objective| match objective.aggregate.every {
            Every::Rolling(days) => Some(days),
            _ => None,
        });
        let asked = Stretch::holding(period.every(lengths.max().unwrap_or(1)), period.last(), zone);
        let mut timelines = BTreeMap::new();
        for objective in contract.objectives_of(&service.id) {
            if let (Some(observed), Some(rule), Some(measure)) = (observed, Rule::of(objective), &objective.measure) {
                let timeline = observed::timeline(observed, contract, &service.id, &measure.probes, &rule);
                timelines.insert(objective.id.as_str(), timeline);
            }
        }
        Self {
            contract,
            service,
            facts,
            observed,
            zone,
            asked,
            scope: scope(contract, service, zone),
            mrc: facts.mrc.clone().unwrap_or_else(|| service.mrc.clone()),
            usage: facts.usage.clone().unwrap_or_else(|| service.usage_charge.clone()),
            timelines,
        }
    }

    fn judge(&self, objective: &'a Objective) -> Judged<'a> {
        use crate::sla::terms::Metric;
        let stretch = Stretch::holding(objective.aggregate.every, self.asked.last, self.zone);
        let window = stretch.span.and(self.scope);
        let mut judged = match objective.metric {
            _ if window.is_empty() => Judged::nothing(objective, stretch, self.why_nothing()),
            Metric::Availability => availability::judge(self, objective, stretch, window),
            Metric::TimeToRestore | Metric::TimeToNotify => events::judge(self, objective, stretch, window),
            Metric::Count => values::count(self, objective, stretch, window),
            Metric::Rtt | Metric::Loss | Metric::Delivery | Metric::Jitter | Metric::Mos => {
                values::judge(self, objective, stretch, window)
            }
        };
        credit::earn(self, &mut judged);
        judged
    }

    fn why_nothing(&self) -> String {
        match self.scope.is_empty() {
            true => "the service level never holds".to_owned(),
            false => format!("the service level holds from {}, and not in this period", self.scope.from),
        }
    }

    /// The instant at which a period stands, when it still runs.
    fn now(&self, window: Span) -> Option<Wall> {
        self.facts.as_of.filter(|&at| at < window.to)
    }

    /// What the facts say happened, in this period and before.
    fn told(&self) -> Vec<Happening> {
        let before = self.facts.previous.iter().flat_map(|previous| &previous.events);
        let mut all: Vec<Happening> = Vec::new();
        for event in self.facts.events.iter().chain(before) {
            all.push(Happening::of(event, self.facts.as_of));
        }
        all
    }

    /// What happened to the service, as an objective sees it.
    fn happenings(&self, objective: &Objective) -> Vec<Happening> {
        match self.timelines.get(objective.id.as_str()) {
            Some(timeline) => self.seen(timeline),
            None => self.told(),
        }
    }

    /// What happened to the service: by the first objective that looks at outcomes, else as the facts say.
    fn service_happenings(&self) -> Vec<Happening> {
        let first = self.contract.objectives_of(&self.service.id).find_map(|each| self.timelines.get(each.id.as_str()));
        first.map_or_else(|| self.told(), |timeline| self.seen(timeline))
    }

    /// Measured outages, with the sides that were recorded, and the tickets and sides of the facts' events that overlap them.
    fn seen(&self, timeline: &Timeline) -> Vec<Happening> {
        let events = self.facts.events.iter().chain(self.facts.previous.iter().flat_map(|previous| &previous.events));
        let events: Vec<_> = events.map(|event| (event, Happening::of(event, self.facts.as_of))).collect();
        let recorded = self.observed.map(|observed| observed.sides.as_slice()).unwrap_or_default();
        let known = timeline.known();
        let mut all: Vec<Happening> = Vec::new();
        for span in timeline.down.iter() {
            let common = |other: Span| span.and(other).nanos();
            let side = recorded.iter().filter(|(other, _)| common(*other) > 0).max_by_key(|(other, _)| common(*other));
            let mut seen = Happening {
                side: side.map_or(Some(Side::Unknown), |(_, side)| Some(*side)),
                ..Happening::unknown(span)
            };
            for (event, told) in events.iter().filter(|(_, told)| common(told.span) > 0) {
                seen.side = event.side.or(seen.side);
                seen.severity = event.severity.or(seen.severity);
                seen.notified = [seen.notified, told.notified].into_iter().flatten().min();
                seen.tickets.extend(told.tickets.iter().cloned());
            }
            all.push(seen);
        }
        // Before what was measured, the facts of earlier periods hold.
        all.extend(
            events
                .into_iter()
                .map(|(_, told)| told)
                .filter(|told| known.within(told.span).is_empty() && told.span.to <= self.asked.span.from),
        );
        all
    }

    /// The outages on the provider's side or of nobody's, of any severity or of one.
    fn provider_outages(&self, happenings: &[Happening], objective: Option<&Objective>) -> Vec<Outage> {
        let sides = [Side::Provider, Side::Unknown];
        let severity = objective.and_then(|objective| objective.severity);
        let counting = Counting { sides: &sides, severity, by_ticket: false };
        outages::joined(happenings, self.contract, &self.service.id, &counting)
    }

    /// How money is rounded.
    fn rounding(&self) -> Rounding {
        self.contract.claim.as_ref().map_or(RoundingWord::HalfUp, |claim| claim.rounding).how()
    }

    /// An amount in the contract's currency.
    fn money(&self, amount: &Exact) -> String {
        let currency = &self.contract.agreement.currency;
        format!("{} {}", amount.fixed(currency.decimals, self.rounding()), currency.code)
    }

    /// Whether an objective was breached in an earlier period.
    fn was_breached(&self, period: Period, objective: &str) -> bool {
        let held = self.facts.previous.iter().filter(|previous| previous.period == period);
        held.flat_map(|previous| &previous.breached).any(|id| id == objective)
    }

    /// The periods before the one that an objective is judged on, the latest first.
    fn earlier(&self, stretch: &Stretch) -> impl Iterator<Item = Period> + use<> {
        // Rolling periods are asked for by another's end when that is what is reported; their history goes by reports.
        let from = match (stretch.every, self.asked.every) {
            (Every::Rolling(_), Every::Rolling(_)) => *stretch,
            (Every::Rolling(_), _) => self.asked,
            _ => *stretch,
        };
        let days = u32::try_from(from.days()).unwrap_or(1);
        std::iter::successors(Some(from.name.before(days)), move |period| Some(period.before(days)))
    }

    /// How many periods in a row, up to the one before the judged, were breached.
    fn breached_in_a_row(&self, stretch: &Stretch, objective: &str) -> usize {
        self.earlier(stretch).take(1200).take_while(|period| self.was_breached(*period, objective)).count()
    }
}

/// When a service's objectives hold: from its beginning and the agreement's, whichever is later, to the agreement's end
/// where it is not renewed.
fn scope(contract: &Contract, service: &Service, zone: &Zone) -> Span {
    let agreement = &contract.agreement;
    let begins = match service.sla_from {
        SlaFrom::Acceptance => service.in_service_from,
        SlaFrom::FirstFullMonth => {
            let month = Stretch::holding(Every::Month, zone.day(service.in_service_from), zone);
            if month.span.from == service.in_service_from { month.span.from } else { month.span.to }
        }
    };
    let ends = match (agreement.renewal, agreement.effective_to) {
        (Renewal::None, Some(to)) => to,
        _ => Wall::from_nanos(i64::MAX),
    };
    Span::new(begins.max(agreement.effective_from), ends)
}

/// Known time in percent of the time that is judged.
fn coverage(base: &Spans, unknown: &Spans) -> Exact {
    let known = base.nanos() - base.and(unknown).nanos();
    Exact::ratio(known * 100, base.nanos()).unwrap_or_default()
}

/// The figures of an objective that is compared with its target.
struct Compared {
    outcome: Outcome,
    actual: Exact,
    steps: Vec<String>,
}

/// Rounds the actual as the contract says, and holds it against the target.
fn compare(objective: &Objective, exact: &Exact) -> Compared {
    let mut steps = Vec::new();
    let actual = match objective.aggregate.rounding {
        None => exact.clone(),
        Some((decimals, how)) => {
            let rounded = exact.round(decimals, how.how());
            let text = rounded.fixed(decimals, Rounding::HalfUp);
            steps.push(format!(
                "rounded {how} to {}: {text} {}",
                words::counted(decimals as usize, "decimal"),
                objective.unit
            ));
            rounded
        }
    };
    let met = objective.op.holds(&actual, &objective.target.value);
    let (is, outcome) = if met { ("is", Outcome::Met) } else { ("is not", Outcome::Breached) };
    let (op, target, unit) = (objective.op, &objective.target.written, objective.unit);
    steps.push(format!("{actual} {unit} {is} {op} {target} {unit}: {outcome}"));
    Compared { outcome, actual, steps }
}

impl<'a> Judged<'a> {
    /// An objective of which nothing can be said.
    fn nothing(objective: &'a Objective, stretch: Stretch, why: String) -> Self {
        Self {
            objective,
            stretch,
            outcome: Outcome::NotDetermined,
            provisional: false,
            actual: None,
            exact: None,
            coverage: Exact::zero(),
            downtime: None,
            excluded: None,
            beyond: None,
            growth: Growth::default(),
            matter: Vec::new(),
            credit: Exact::zero(),
            steps: vec![format!("{why}: {}", Outcome::NotDetermined)],
        }
    }

    fn is_breached(&self) -> bool {
        self.outcome == Outcome::Breached
    }

    fn verdict(&self, court: &Court<'_>) -> Verdict {
        let objective = self.objective;
        let actual = match (&self.actual, objective.aggregate.rounding) {
            (Some(actual), Some((decimals, _))) => Some(actual.fixed(decimals, Rounding::HalfUp)),
            (Some(_), None) => self.exact.clone(),
            (None, _) => None,
        };
        let seconds = |nanos: i128| Exact::seconds(nanos).trimmed(9);
        let agreement = &court.contract.agreement;
        let head = format!(
            "{} version {}, objective {:?}, {} in {} ({}); the figures of {} bind",
            agreement.id,
            agreement.version,
            objective.id,
            self.stretch.every.word(),
            agreement.timezone.name(),
            self.stretch.name,
            match agreement.measured_by {
                crate::sla::terms::MeasuredBy::Joint => "both parties".to_owned(),
                party => format!("the {party}"),
            }
        );
        Verdict {
            id: objective.id.clone(),
            result: self.outcome,
            provisional: self.provisional,
            period: (self.stretch.name != court.asked.name).then_some(self.stretch.name),
            actual,
            exact: self.exact.clone(),
            target: objective.target.written.clone(),
            coverage: self.coverage.fixed(6, Rounding::Down),
            downtime_s: self.downtime.map(seconds),
            excluded_s: self.excluded.map(seconds),
            count: self.beyond,
            credit: self.credit.fixed(agreement.currency.decimals, court.rounding()),
            steps: std::iter::once(head).chain(self.steps.iter().cloned()).collect(),
            op: objective.op,
            unit: objective.unit,
        }
    }
}

/// What an objective's time is judged over.
struct Ground {
    /// The hours that count, where not all do.
    hours: Option<Spans>,
    excluded: exclusions::ExcludedTime,
    /// The window, inside the hours, less what exclusions remove from the period.
    base: Spans,
}

impl Court<'_> {
    fn ground(&self, objective: &Objective, stretch: &Stretch, window: Span, happenings: &[Happening]) -> Ground {
        let reach = happenings
            .iter()
            .map(|each| each.span)
            .chain(self.facts.excluded.iter().map(|each| each.span))
            .fold(window, |reach, span| Span::new(reach.from.min(span.from), reach.to.max(span.to)));
        let hours = objective.aggregate.hours.as_ref().map(|hours| hours.within(reach, self.zone));
        let excluded = exclusions::excluded(self.contract, &self.facts.excluded, hours.as_ref(), stretch, self.zone);
        let inside = Spans::from(window);
        let inside = hours.as_ref().map_or(inside.clone(), |hours| inside.and(hours));
        let base = inside.minus(&excluded.period);
        Ground { hours, excluded, base }
    }

    /// Time of which nothing is known, within the ground; a known outage wins over it.
    fn unknown(&self, known: Option<&Spans>, ground: &Ground, happenings: &[Happening], now: Option<Wall>) -> Spans {
        let told: Spans = self.facts.unknown.iter().copied().collect();
        let unseen = known.map_or_else(Spans::none, |known| ground.base.minus(known));
        let down: Spans = happenings.iter().map(|each| each.span).collect();
        let unknown = ground.base.and(&told.or(&unseen)).minus(&down);
        match now {
            Some(now) => unknown.within(Span::new(Wall::from_nanos(i64::MIN), now)),
            None => unknown,
        }
    }
}
