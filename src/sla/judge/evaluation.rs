//! Everything that is before the judge: contract, facts, measurements, and the time that they are
//! about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::decimal::{Exact, Rounding};
use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::sla::calendar::{Every, Period, Stretch, Zone};
use crate::sla::facts::{Event, Facts};
use crate::sla::judge::outages::{self, Counting, Happening, Outage};
use crate::sla::judge::{
    Judged, Question, VersionSpan, availability, credit, events, exclusions, values,
};
use crate::sla::observed::{self, Observed, Timeline};
use crate::sla::outage::Rule;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::{
    Contract, Definition, Metric, Objective, Renewal, RoundingWord, Service, Side, SlaFrom,
};

/// A service's time by each objective of a version that detects outages, by the objective's id. It
/// is worked out once, and looked at by the prepass and by the judge.
#[derive(Debug, Default)]
pub(super) struct Timelines(BTreeMap<String, Timeline>);

impl Timelines {
    pub(super) fn of(
        contract: &Contract,
        service: &str,
        observed: &Observed,
        effort: &Effort<'_>,
    ) -> Self {
        let all = contract.objectives_of(service).filter_map(|objective| {
            let (rule, measure) = (Rule::of(objective)?, objective.measure.as_ref()?);
            let timeline =
                observed::timeline(observed, contract, service, &measure.probes, &rule, effort);
            Some((objective.id.clone(), timeline))
        });
        Self(all.collect())
    }

    pub(super) fn get(&self, objective: &Objective) -> Option<&Timeline> {
        self.0.get(&objective.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the service was down by any of them.
    pub(super) fn down(&self) -> Spans {
        self.0.values().flat_map(|timeline| timeline.down.iter()).collect()
    }
}

/// What was measured, as a version of the contract takes it.
#[derive(Clone, Copy)]
pub(super) struct Measurement<'a> {
    /// Absent where facts alone are judged.
    pub(super) observed: Option<&'a Observed>,
    pub(super) timelines: &'a Timelines,
}

/// Everything that is before the judge.
pub(super) struct Evaluation<'a> {
    pub(super) contract: &'a Contract,
    pub(super) service: &'a Service,
    pub(super) facts: &'a Facts,
    pub(super) observed: Option<&'a Observed>,
    pub(super) zone: &'a Zone,
    /// The period asked for, as it was asked and as time.
    pub(super) period: Period,
    pub(super) asked: Stretch,
    /// When the service's objectives hold.
    pub(super) scope: Span,
    /// The monthly charge and the usage charge.
    pub(super) mrc: Exact,
    pub(super) usage: Exact,
    /// The service's time by each objective that detects outages.
    pub(super) timelines: &'a Timelines,
    /// When this version of the contract is in force.
    pub(super) version_span: &'a VersionSpan,
    /// What is claimed as excluded.
    pub(super) claimed: Vec<exclusions::Claimed<'a>>,
    /// What was breached in earlier periods.
    breached: BTreeMap<Period, BTreeSet<&'a str>>,
    /// How much may still be done.
    pub(super) effort: &'a Effort<'a>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        contract: &'a Contract,
        service: &'a Service,
        question: Question<'a>,
        measured: Measurement<'a>,
        version_span: &'a VersionSpan,
    ) -> Self {
        let Question { period, facts, effort, .. } = question;
        let Measurement { observed, timelines } = measured;
        let zone = &contract.agreement.timezone;
        let lengths = contract.objectives_of(&service.id).filter_map(|objective| {
            match objective.aggregate.every {
                Every::Rolling(days) => Some(days),
                _ => None,
            }
        });
        let asked = Stretch::holding(period.every(lengths.max().unwrap_or(1)), period.last(), zone);
        let mut breached: BTreeMap<Period, BTreeSet<&str>> = BTreeMap::new();
        for previous in &facts.previous {
            breached
                .entry(previous.period)
                .or_default()
                .extend(previous.breached.iter().map(String::as_str));
        }
        Self {
            claimed: exclusions::claimed(contract, &facts.excluded, zone),
            breached,
            contract,
            service,
            facts,
            observed,
            zone,
            period,
            asked,
            scope: scope(contract, service, zone).and(version_span.span),
            version_span,
            effort,
            mrc: facts.mrc.clone().unwrap_or_else(|| service.mrc.clone()),
            usage: facts.usage.clone().unwrap_or_else(|| service.usage_charge.clone()),
            timelines,
        }
    }

    /// As [`Self::judge`]; absent once it has taken longer than it may.
    pub(super) fn judge_in_time(&self, objective: &'a Objective) -> Option<Judged<'a>> {
        (!self.effort.is_spent()).then(|| self.judge(objective))
    }

    pub(super) fn judge(&self, objective: &'a Objective) -> Judged<'a> {
        let stretch = Stretch::holding(objective.aggregate.every, self.asked.last, self.zone);
        let window = self.window(objective);
        let mut judged = match objective.metric {
            _ if window.is_empty() => Judged::nothing(objective, stretch, self.why_nothing()),
            Metric::Availability => availability::judge(self, objective, stretch, window),
            Metric::TimeToRestore | Metric::TimeToNotify => {
                events::judge(self, objective, stretch, window)
            }
            Metric::Count => values::count(self, objective, stretch, window),
            Metric::Rtt | Metric::Loss | Metric::Delivery | Metric::Jitter | Metric::Mos => {
                values::judge(self, objective, stretch, window)
            }
        };
        credit::earn(self, &mut judged);
        judged
    }

    /// Whether what an objective earns over one of its own periods falls due in the period asked
    /// for: there its own ends.
    pub(super) fn is_due(&self, stretch: &Stretch) -> bool {
        self.asked.first <= stretch.last && stretch.last <= self.asked.last
    }

    /// Whether an outage is this version's: it was in force when it began. Unknown time belongs to
    /// whoever judges it.
    pub(super) fn owns(&self, outage: &Outage) -> bool {
        let begins = self.contract.agreement.effective_from.max(self.version_span.span.from);
        outage.known.is_none_or(|event| begins <= event.from)
    }

    /// The time that an objective is judged over: its period as far as the service level holds in
    /// it. Where the version changed while an outage lasted, that belongs whole to the version in
    /// force when it began.
    pub(super) fn window(&self, objective: &Objective) -> Span {
        let stretch = Stretch::holding(objective.aggregate.every, self.asked.last, self.zone);
        let window = stretch.span.and(self.scope);
        if window.is_empty() || objective.metric != Metric::Availability {
            return window;
        }
        let from = self
            .version_span
            .begins
            .get(&objective.id)
            .map_or(window.from, |&begins| begins.max(window.from));
        let to = self
            .handed_over(objective)
            .filter(|_| window.to == self.version_span.span.to)
            .unwrap_or(window.to);
        Span::new(from, to.min(stretch.span.to).max(from))
    }

    /// Until when an outage lasts that began while this version was in force, where that is no
    /// longer so at its end.
    fn handed_over(&self, objective: &Objective) -> Option<Wall> {
        let (terms, end) = (objective.outage.as_ref()?, self.version_span.span.to);
        if end == Wall::from_nanos(i64::MAX) {
            return None;
        }
        let happened: Vec<Happening> = self
            .happenings(objective)
            .into_iter()
            .filter_map(|each| each.cut(self.facts.as_of))
            .collect();
        let by_ticket = terms.definition == Definition::Ticket;
        let counting = Counting { sides: &terms.sides, severity: objective.severity, by_ticket };
        let all = outages::joined(&happened, self.contract, &self.service.id, &counting);
        let begins = self
            .version_span
            .begins
            .get(&objective.id)
            .copied()
            .unwrap_or(self.version_span.span.from);
        all.iter()
            .filter_map(|each| each.known)
            .find(|each| begins <= each.from && each.from < end && end < each.to)
            .map(|each| each.to)
    }

    /// Where each availability objective's time goes on beyond the version.
    pub(super) fn hands_over(&self) -> Vec<(String, Wall)> {
        if !self.version_span.shared {
            return Vec::new();
        }
        let all = self
            .contract
            .objectives_of(&self.service.id)
            .filter(|each| each.metric == Metric::Availability);
        all.filter_map(|each| Some((each.id.clone(), self.handed_over(each)?))).collect()
    }

    /// In words, where this version is not in force all the period: when it is.
    pub(super) fn told_reign(&self, objective: &Objective) -> Option<String> {
        let window = self.window(objective);
        (self.version_span.shared && !window.is_empty()).then(|| {
            let version = self.contract.agreement.version;
            format!(
                "version {version} is in force in a part of the period, and judges {} to {}",
                window.from, window.to
            )
        })
    }

    pub(super) fn why_nothing(&self) -> String {
        match self.scope.is_empty() {
            true => "the service level never holds".to_owned(),
            false => {
                format!("the service level holds from {}, and not in this period", self.scope.from)
            }
        }
    }

    /// The instant at which a period stands, when it still runs.
    pub(super) fn now(&self, window: Span) -> Option<Wall> {
        self.facts.as_of.filter(|&at| at < window.to)
    }

    /// What the facts say happened, in this period and before.
    fn told_events(&self) -> impl Iterator<Item = &'a Event> + use<'a> {
        let facts = self.facts;
        facts.events.iter().chain(facts.previous.iter().flat_map(|previous| &previous.events))
    }

    /// The same as it happened.
    pub(super) fn told(&self) -> Vec<Happening> {
        self.told_events().map(|event| Happening::of(event, self.facts.as_of)).collect()
    }

    /// What happened to the service, as an objective sees it.
    pub(super) fn happenings(&self, objective: &Objective) -> Vec<Happening> {
        match self.timelines.get(objective) {
            Some(timeline) => self.seen(timeline),
            None => self.told(),
        }
    }

    /// What happened to the service: by the first objective that looks at outcomes, else as the
    /// facts say.
    pub(super) fn service_happenings(&self) -> Vec<Happening> {
        let first =
            self.contract.objectives_of(&self.service.id).find_map(|each| self.timelines.get(each));
        first.map_or_else(|| self.told(), |timeline| self.seen(timeline))
    }

    /// What was measured to have happened to the service, by the first objective that looks at
    /// outcomes.
    pub(super) fn measured_happenings(&self) -> Vec<Happening> {
        let mut all = self.contract.objectives_of(&self.service.id);
        let first = all.find_map(|each| self.timelines.get(each));
        first.map_or_else(Vec::new, |timeline| self.seen(timeline))
    }

    /// The same with all that the facts say beside what was measured: of what is no outage only
    /// they tell.
    pub(super) fn all_happenings(&self) -> Vec<Happening> {
        let mut all = self.service_happenings();
        if !self.timelines.is_empty() {
            all.extend(self.told());
        }
        all
    }

    /// Measured outages, with the sides that were recorded, and the tickets and sides of the facts'
    /// events that overlap them.
    pub(super) fn seen(&self, timeline: &Timeline) -> Vec<Happening> {
        let recorded = self.observed.map(|observed| observed.sides.as_slice()).unwrap_or_default();
        let known = timeline.known();
        // What nobody saw up again still lasts.
        let last_up = timeline.up.hull().map(|hull| hull.to);
        let spans: Vec<Span> = timeline.down.iter().collect();
        // The stretches lie apart and in order: those that something overlaps are found, not looked
        // for one by one.
        let overlapped = |other: Span| {
            let first = spans.partition_point(|span| span.to <= other.from);
            let count = spans[first..]
                .iter()
                .take_while(|span| span.from < other.to && !other.is_empty())
                .count();
            first..first + count
        };
        let mut sides: Vec<Option<(i128, Side)>> = vec![None; spans.len()];
        for (other, side) in recorded {
            let range = overlapped(*other);
            if !self.effort.allows(range.len() as u64) {
                break;
            }
            for at in range {
                let common = spans[at].and(*other).nanos();
                if sides[at].is_none_or(|(longest, _)| longest <= common) {
                    sides[at] = Some((common, *side));
                }
            }
        }
        let mut all: Vec<Happening> = spans
            .iter()
            .zip(&sides)
            .map(|(span, side)| Happening {
                side: Some(side.map_or(Side::Unknown, |(_, side)| side)),
                lasts: last_up.is_none_or(|up| up <= span.from),
                ..Happening::unknown(*span)
            })
            .collect();
        for event in self.told_events() {
            let told = Happening::of(event, self.facts.as_of);
            let range = overlapped(told.span);
            if !self.effort.allows(range.len() as u64) {
                break;
            }
            for at in range {
                let seen = &mut all[at];
                seen.side = event.side.or(seen.side);
                seen.severity = event.severity.or(seen.severity);
                seen.notified = [seen.notified, told.notified].into_iter().flatten().min();
                seen.tickets.extend(told.tickets.iter().map(Arc::clone));
            }
            // Before what was measured, the facts of earlier periods hold.
            if known.within(told.span).is_empty() && told.span.to <= self.asked.span.from {
                all.push(told);
            }
        }
        all
    }

    /// The outages on the provider's side or of nobody's, of any severity or of one.
    pub(super) fn provider_outages(
        &self,
        happenings: &[Happening],
        objective: Option<&Objective>,
    ) -> Vec<Outage> {
        let sides = [Side::Provider, Side::Unknown];
        let severity = objective.and_then(|objective| objective.severity);
        let counting = Counting { sides: &sides, severity, by_ticket: false };
        outages::joined(happenings, self.contract, &self.service.id, &counting)
    }

    /// The count that the facts give of an objective: none where they are silent.
    pub(super) fn count(&self, objective: &Objective) -> Exact {
        self.facts.counts.get(&objective.id).cloned().unwrap_or_else(Exact::zero)
    }

    /// How money is rounded.
    pub(super) fn rounding(&self) -> Rounding {
        self.contract.claim.as_ref().map_or(RoundingWord::HalfUp, |claim| claim.rounding).how()
    }

    /// An amount in the contract's currency.
    pub(super) fn money(&self, amount: &Exact) -> String {
        let currency = &self.contract.agreement.currency;
        format!("{} {}", amount.fixed(currency.decimals, self.rounding()), currency.code)
    }

    /// Whether an objective was breached in an earlier period.
    pub(super) fn was_breached(&self, period: Period, objective: &str) -> bool {
        self.breached.get(&period).is_some_and(|breached| breached.contains(objective))
    }

    /// The periods before the one that an objective is judged on, the latest first.
    pub(super) fn earlier(&self, stretch: &Stretch) -> impl Iterator<Item = Period> + use<> {
        // Rolling periods are asked for by another's end when that is what is reported; their
        // history goes by reports.
        let from = match (stretch.every, self.asked.every) {
            (Every::Rolling(_), Every::Rolling(_)) => *stretch,
            (Every::Rolling(_), _) => self.asked,
            _ => *stretch,
        };
        let days = u32::try_from(from.days()).unwrap_or(1);
        std::iter::successors(Some(from.name.before(days)), move |period| Some(period.before(days)))
    }

    /// How many periods in a row, up to the one before the judged, were breached.
    pub(super) fn breached_in_a_row(&self, stretch: &Stretch, objective: &str) -> usize {
        self.earlier(stretch)
            .take(1200)
            .take_while(|period| self.was_breached(*period, objective))
            .count()
    }
}

/// When a service's objectives hold: from its beginning and the agreement's, whichever is later, to
/// the agreement's end where it is not renewed.
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

/// What an objective's time is judged over.
pub(super) struct Ground {
    /// The hours that count, where not all do.
    pub(super) hours: Option<Spans>,
    pub(super) excluded: exclusions::ExcludedTime,
    /// The window, inside the hours, less what exclusions remove from the period.
    pub(super) base: Spans,
}

impl Evaluation<'_> {
    pub(super) fn ground(
        &self,
        objective: &Objective,
        stretch: &Stretch,
        window: Span,
        happenings: &[Happening],
    ) -> Ground {
        let hours = objective.aggregate.hours.as_ref().map(|hours| {
            let tickets = happenings.iter().flat_map(|each| &each.tickets);
            let tickets = tickets
                .map(|ticket| Span::new(ticket.opened, ticket.closed.unwrap_or(ticket.opened)));
            let told = happenings
                .iter()
                .filter_map(|each| each.notified)
                .map(|told| Span::new(told, told));
            let all = happenings.iter().map(|each| each.span).chain(tickets).chain(told);
            let reach = all.fold(window, |reach, span| {
                Span::new(reach.from.min(span.from), reach.to.max(span.to))
            });
            hours.within(&reach.into(), self.zone)
        });
        let excluded = exclusions::excluded(&self.claimed, hours.as_ref(), stretch, self.zone);
        let inside = Spans::from(window);
        let inside = hours.as_ref().map_or(inside.clone(), |hours| inside.and(hours));
        let base = inside.minus(&excluded.period);
        Ground { hours, excluded, base }
    }

    /// Time of which nothing is known, within the ground; a known outage wins over it.
    pub(super) fn unknown(
        &self,
        known: Option<&Spans>,
        ground: &Ground,
        happenings: &[Happening],
        now: Option<Wall>,
    ) -> Spans {
        let told: Spans = self.facts.unknown.iter().copied().collect();
        let unseen = known.map_or_else(Spans::none, |known| ground.base.minus(known));
        let down = outages::joined(happenings, self.contract, &self.service.id, &Counting::ALL);
        let down: Spans = down.iter().flat_map(|outage| outage.parts.iter()).collect();
        let unknown = ground.base.and(&told.or(&unseen)).minus(&down);
        match now {
            Some(now) => unknown.within(Span::new(Wall::from_nanos(i64::MIN), now)),
            None => unknown,
        }
    }
}
