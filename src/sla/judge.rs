//! From facts or measurements to verdicts, in the order that the contract's format fixes: measure →
//! qualify → aggregate → compare → remedy → combine and cap, then claim.

use crate::base::decimal::{Exact, Rounding};
use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::sla::calendar::{Day, Period, Stretch, TZDATA};
use crate::sla::facts::{Case, Facts};
use crate::sla::fault::Fault;
use crate::sla::observed::{Observed, Timeline};
use crate::sla::report::{Budget, Down, Outcome, Report, Verdict};
use crate::sla::span::Spans;
use crate::sla::terms::{Contract, MeasuredBy, Objective, Service};
use crate::sla::words;

mod availability;
mod bounds;
mod claims;
mod credit;
mod deadlines;
mod evaluation;
mod events;
mod exclusions;
mod names;
mod outages;
mod prepass;
mod rights;
mod total;
mod values;
mod versions;

use evaluation::{Evaluation, Ground, Measurement, Timelines};
use outages::Outage;
use versions::VersionSpan;

pub use prepass::{Measured, Survey};
pub use versions::{InForce, Prepared, judge_by, judging};

/// What is asked of a contract: how a service stands in a period.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The service.
    pub service: &'a str,
    /// The period.
    pub period: Period,
    /// What does not come from measurement: exclusions, tickets, charges, earlier periods, `as_of`;
    /// they may be empty. A measured outage takes the tickets, and the side where one is said, of
    /// those of the facts' events that it overlaps.
    pub facts: &'a Facts,
    /// How long it may take.
    pub effort: &'a Effort<'a>,
}

/// Judges facts by a contract, with nothing measured.
///
/// # Errors
/// When the facts name what the contract has not; all at once.
pub fn judge_facts(contract: &Contract, case: &Case) -> Result<Report, Vec<Fault>> {
    let effort = Effort::unlimited();
    let question = Question {
        service: &case.service,
        period: case.period,
        facts: &case.facts,
        effort: &effort,
    };
    let timelines = Timelines::default();
    let measured = Measurement { observed: None, timelines: &timelines };
    run(contract, question, measured, &VersionSpan::default()).map(|judged| judged.report)
}

/// Judges what was measured of a service in a period by one version of a contract.
///
/// # Errors
/// When the service is not the contract's, or the facts name what the contract has not; all at
/// once.
pub fn judge(
    contract: &Contract,
    service: &str,
    period: Period,
    observed: &Observed,
    facts: &Facts,
) -> Result<Report, Vec<Fault>> {
    let effort = Effort::unlimited();
    let question = Question { service, period, facts, effort: &effort };
    let timelines = Timelines::of(contract.of(period)?, service, observed, &effort);
    let measured = Measurement { observed: Some(observed), timelines: &timelines };
    run(contract, question, measured, &VersionSpan::default()).map(|judged| judged.report)
}

fn run(
    contract: &Contract,
    question: Question<'_>,
    measured: Measurement<'_>,
    version_span: &VersionSpan,
) -> Result<Part, Vec<Fault>> {
    let Question { period, facts, effort, .. } = question;
    let contract = contract.of(period)?;
    // Where several versions judge, a name is known when one of them has it; that was looked at
    // before.
    let service = check(contract, question, !version_span.shared)?;
    let evaluation = Evaluation::new(contract, service, question, measured, version_span);
    let touched =
        |objective: &&Objective| !version_span.shared || !evaluation.window(objective).is_empty();
    let judged: Vec<Judged<'_>> = contract
        .objectives_of(&service.id)
        .filter(touched)
        .map_while(|objective| evaluation.judge_in_time(objective))
        .collect();
    if effort.is_spent() {
        return Err(vec![Fault::new(&facts.file, "", "it takes longer to judge than it may")]);
    }
    Ok(part(&evaluation, &judged))
}

/// The service that is asked about, where the facts are ones that it can be judged with.
fn check<'a>(
    contract: &'a Contract,
    question: Question<'_>,
    names: bool,
) -> Result<&'a Service, Vec<Fault>> {
    let Question { service, period, facts, .. } = question;
    let faults = if names { names::check(contract, service, period, facts) } else { Vec::new() };
    let Some(service) = contract.service(service).filter(|_| faults.is_empty()) else {
        return Err(faults);
    };
    bounds::check(contract, &service.id, facts).map_or(Ok(service), |fault| Err(vec![fault]))
}

/// The report of one version's verdicts.
fn part(evaluation: &Evaluation<'_>, judged: &[Judged<'_>]) -> Part {
    let agreement = &evaluation.contract.agreement;
    let total = total::of(evaluation, judged);
    let mut verdicts: Vec<Verdict> =
        judged.iter().map(|judged| judged.verdict(evaluation)).collect();
    // How the credits became one stands with the last that earned any.
    if let Some(last) = judged.iter().rposition(|judged| judged.credit.is_positive()) {
        verdicts[last].steps.extend(total.steps);
    }
    let mut report = Report {
        contract: agreement.id.clone(),
        version: agreement.version,
        service: evaluation.service.id.clone(),
        period: evaluation.period,
        objectives: verdicts,
        tzdata: Some(TZDATA.to_owned()),
        credit: total.paid.fixed(agreement.currency.decimals, Rounding::HalfUp),
        currency: agreement.currency.code.clone(),
        claim: claims::state(evaluation, judged, &total.paid),
        ticket: claims::first_ticket(evaluation, judged),
        terminations: rights::accrued(evaluation, judged),
        duties: claims::duties(evaluation),
        measured_by: agreement.measured_by,
        as_of: evaluation.facts.as_of,
        ends: evaluation.asked.span.to,
        deadlines: Vec::new(),
    };
    report.deadlines = deadlines::of(&report, &agreement.timezone);
    Part { report, paid: total.paid, hands_over: evaluation.hands_over() }
}

/// What one version of a contract says of a period, or of its part of it.
struct Part {
    report: Report,
    paid: Exact,
    /// Until when an outage lasted that began under it, by the objective, where that is later than
    /// the version was in force.
    hands_over: Vec<(String, Wall)>,
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
    /// For availability: qualified downtime in the window, and what exclusions removed of it, in
    /// nanoseconds.
    downtime: Option<i128>,
    excluded: Option<i128>,
    /// For times to restore and to notify: how many are beyond the target.
    beyond: Option<u64>,
    /// What a driver may grow with.
    growth: Growth,
    /// While the period runs, for availability: how much downtime is allowed, and how much of it is
    /// left.
    budget: Option<Budget>,
    /// The outages that count, those that begin in the window first of all.
    matter: Vec<Outage>,
    /// By driver `event`: those of them that earned something.
    earned: Option<Vec<usize>>,
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
    /// Each outage that begins in the window.
    events: Vec<Grown>,
    /// The days on which they begin.
    days: Vec<Day>,
    /// How many.
    count: Exact,
    /// Whether any of the outages has a ticket opened in time.
    ticketed: bool,
}

/// An outage that a credit may grow with by itself.
#[derive(Clone, Debug)]
struct Grown {
    /// Which of those that count.
    at: usize,
    /// In seconds.
    length: Exact,
    /// Whether its ticket was opened in time.
    ticketed: bool,
}

fn grown(evaluation: &Evaluation<'_>, at: usize, outage: &Outage, nanos: i128) -> Grown {
    Grown { at, length: Exact::seconds(nanos), ticketed: claims::ticketed(evaluation, outage) }
}

/// Known time in percent of the time that is judged.
fn coverage(base: &Spans, unknown: &Spans) -> Exact {
    let known = base.nanos() - base.and(unknown).nanos();
    // Where nothing is judged, nothing is known.
    Exact::ratio(known * 100, base.nanos()).unwrap_or_else(Exact::zero)
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
            budget: None,
            matter: Vec::new(),
            earned: None,
            credit: Exact::zero(),
            steps: vec![format!("{why}: {}", Outcome::NotDetermined)],
        }
    }

    fn is_breached(&self) -> bool {
        self.outcome == Outcome::Breached
    }

    fn verdict(&self, evaluation: &Evaluation<'_>) -> Verdict {
        let objective = self.objective;
        let actual = match (&self.actual, objective.aggregate.rounding) {
            (Some(actual), Some((decimals, _))) => Some(actual.fixed(decimals, Rounding::HalfUp)),
            (Some(_), None) => self.exact.clone(),
            (None, _) => None,
        };
        let seconds = |nanos: i128| Exact::seconds(nanos).trimmed(9);
        let agreement = &evaluation.contract.agreement;
        let head = format!(
            "{} version {}, objective {:?}, {} in {} ({}); the figures of {} bind",
            agreement.id,
            agreement.version,
            objective.id,
            self.stretch.every.word(),
            agreement.timezone.name(),
            self.stretch.name,
            match agreement.measured_by {
                MeasuredBy::Joint => "both parties".to_owned(),
                party => format!("the {party}"),
            }
        );
        Verdict {
            id: objective.id.clone(),
            result: self.outcome,
            provisional: self.provisional,
            period: (self.stretch.name != evaluation.asked.name).then_some(self.stretch.name),
            actual,
            exact: self.exact.clone(),
            target: objective.target.written.clone(),
            coverage: self.coverage.fixed(6, Rounding::Down),
            downtime_s: self.downtime.map(seconds),
            excluded_s: self.excluded.map(seconds),
            count: self.beyond,
            budget: self.budget.clone(),
            credit: self.credit.fixed(agreement.currency.decimals, evaluation.rounding()),
            steps: [Some(head), evaluation.told_reign(objective)]
                .into_iter()
                .flatten()
                .chain(self.steps.iter().cloned())
                .collect(),
            op: objective.op,
            unit: objective.unit,
            outages: self.matter.iter().map(down).collect(),
            version: None,
        }
    }
}

fn down(outage: &Outage) -> Down {
    let Outage { event, known, lasts, notified, .. } = *outage;
    Down { event, known, lasts, counted: outage.nanos(), tickets: outage.tickets.clone(), notified }
}
