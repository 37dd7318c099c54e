//! A period in which one version of a contract took the place of another: each minute is judged by
//! the version that was in force then, and an outage by the one in force when it began.
//!
//! Each version has its part of the period, as if its service had begun and ended there; an outage
//! of an availability objective that lasts when the version changes prolongs that part of its
//! objective's time, and the next version's begins when it is over. What an earlier version's part
//! earned counts as paid before where the later one's caps are applied.

use std::collections::BTreeMap;

use crate::base::decimal::{Exact, Rounding};
use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::sla::calendar::{Period, Stretch};
use crate::sla::facts::{Facts, Previous};
use crate::sla::fault::Fault;
use crate::sla::judge::{Measurement, Question, Timelines, deadlines, names, run};
use crate::sla::observed::Observed;
use crate::sla::report::{ClaimState, Report};
use crate::sla::span::Span;
use crate::sla::terms::Contract;

/// A version of a contract, and when it is in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Its terms.
    pub contract: Contract,
    /// When it is in force; its own `effective_from` and end bound it besides.
    pub span: Span,
}

impl InForce {
    /// A version that nothing came before or after.
    #[must_use]
    pub fn alone(contract: Contract) -> Self {
        Self { contract, span: VersionSpan::default().span }
    }

    /// The versions of one contract by their own words: each from its `effective_from` until a
    /// higher one begins. The first in force comes first.
    #[must_use]
    pub fn by_their_terms(mut versions: Vec<Contract>) -> Vec<Self> {
        versions.sort_by_key(|contract| contract.agreement.version);
        versions.dedup_by_key(|contract| contract.agreement.version);
        let begins: Vec<Wall> =
            versions.iter().map(|contract| contract.agreement.effective_from).collect();
        let ends = |at: usize| {
            begins[at + 1..].iter().min().copied().unwrap_or(Wall::from_nanos(i64::MAX))
        };
        let spans: Vec<Span> =
            (0..versions.len()).map(|at| Span::new(begins[at], ends(at))).collect();
        let mut all: Vec<Self> = versions
            .into_iter()
            .zip(spans)
            .map(|(contract, span)| Self { contract, span })
            .collect();
        all.sort_by_key(|version| (version.span.from, version.contract.agreement.version));
        all
    }
}

/// When a version is in force, as the judge takes it.
#[derive(Clone, Debug)]
pub(super) struct VersionSpan {
    pub(super) span: Span,
    /// Objectives whose time begins later, since an outage lasted when the version changed: by
    /// their ids.
    pub(super) begins: BTreeMap<String, Wall>,
    /// Whether there are others: then what does not touch the period is left out.
    pub(super) shared: bool,
}

impl Default for VersionSpan {
    fn default() -> Self {
        let span = Span::new(Wall::from_nanos(i64::MIN), Wall::from_nanos(i64::MAX));
        Self { span, begins: BTreeMap::new(), shared: false }
    }
}

/// Judges what was measured of a service in a period by the versions of a contract, each for its
/// part. The report is the last version's that is in force in it; verdicts by another say so.
///
/// # Errors
/// When no version has the service, or the facts name what none of them has; all at once.
pub fn judge_by(
    versions: &[InForce],
    service: &str,
    period: Period,
    observed: Option<&Observed>,
    facts: &Facts,
) -> Result<Report, Vec<Fault>> {
    let effort = Effort::unlimited();
    let question = Question { service, period, facts, effort: &effort };
    Prepared::new(versions, question, observed).judge(observed)
}

/// The versions that judge a service in a period, each with the service's time by it.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(super) question: Question<'a>,
    pub(super) versions: Vec<(&'a InForce, Timelines)>,
}

impl<'a> Prepared<'a> {
    /// Finds the versions that have the service and are in force in some of the period, else the
    /// last one, and works out the service's time by each of their objectives.
    #[must_use]
    pub fn new(
        versions: &'a [InForce],
        question: Question<'a>,
        observed: Option<&Observed>,
    ) -> Self {
        let Question { service, period, effort, .. } = question;
        let all: Vec<&InForce> =
            versions.iter().filter(|each| of(each, period).service(service).is_some()).collect();
        let mut judging: Vec<&InForce> =
            all.iter().copied().filter(|each| touches(each, period)).collect();
        if judging.is_empty() {
            judging.extend(all.last().copied().or(versions.last()));
        }
        let timelines = |version: &InForce| match (observed, version.contract.of(period)) {
            (Some(observed), Ok(contract)) => Timelines::of(contract, service, observed, effort),
            _ => Timelines::default(),
        };
        let versions = judging.into_iter().map(|version| (version, timelines(version)));
        Self { question, versions: versions.collect() }
    }

    /// Judges. What is observed may be finer than what this was made of.
    ///
    /// # Errors
    /// As [`judge_by`]; and when the effort is spent before there is a verdict.
    pub fn judge(&self, observed: Option<&Observed>) -> Result<Report, Vec<Fault>> {
        let facts = self.question.facts;
        match self.versions.as_slice() {
            [] => {
                let what = "no version of the contract is known";
                Err(vec![Fault::new(&facts.file, "service", what)])
            }
            [(InForce { contract, span }, timelines)] => {
                let version_span = VersionSpan { span: *span, ..VersionSpan::default() };
                let measured = Measurement { observed, timelines };
                run(contract, self.question, measured, &version_span).map(|judged| judged.report)
            }
            several => self.each_its_part(several, observed),
        }
    }

    fn each_its_part(
        &self,
        versions: &[(&InForce, Timelines)],
        observed: Option<&Observed>,
    ) -> Result<Report, Vec<Fault>> {
        let Question { period, facts, .. } = self.question;
        let unknown = unknown_names(versions, self.question);
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let mut facts = facts.clone();
        let (mut parts, mut paid) = (Vec::new(), Exact::zero());
        let mut begins: BTreeMap<String, Wall> = BTreeMap::new();
        for (InForce { contract, span }, timelines) in versions {
            let version_span = VersionSpan { span: *span, begins: begins.clone(), shared: true };
            let question = Question { facts: &facts, ..self.question };
            let measured = Measurement { observed, timelines };
            let judged = run(contract, question, measured, &version_span)?;
            for (objective, at) in judged.hands_over {
                let begin = begins.entry(objective).or_insert(at);
                *begin = (*begin).max(at);
            }
            paid = &paid + &judged.paid;
            facts.previous.push(Previous {
                period,
                breached: Vec::new(),
                credit: judged.paid,
                events: Vec::new(),
            });
            parts.push(judged.report);
        }
        let (last, _) = versions.last().expect("there are several");
        together(parts, &paid, last)
    }
}

/// The contract as it is for a period; where that cannot be read, as it is now.
fn of(version: &InForce, period: Period) -> &Contract {
    version.contract.of(period).unwrap_or(&version.contract)
}

/// The versions that judge a period: those in force in some of it, else the last.
pub fn judging(versions: &[InForce], period: Period) -> impl Iterator<Item = &InForce> {
    let any = versions.iter().any(|each| touches(each, period));
    let last = versions.last().filter(|_| !any);
    versions.iter().filter(move |each| any && touches(each, period)).chain(last)
}

/// Whether a version is in force in some of the time that judging a period is about.
fn touches(version: &InForce, period: Period) -> bool {
    let zone = &version.contract.agreement.timezone;
    let asked = Stretch::holding(period.every(1), period.last(), zone).span;
    let own = of(version, period).objectives.iter().map(|objective| &objective.aggregate.every);
    let own = own.map(|every| Stretch::holding(*every, period.last(), zone).span);
    let begins = version.span.from.max(version.contract.agreement.effective_from);
    let span = Span::new(begins, version.span.to.max(begins));
    std::iter::once(asked).chain(own).any(|stretch| !stretch.and(span).is_empty())
}

/// What the facts name and none of the versions has.
fn unknown_names(versions: &[(&InForce, Timelines)], question: Question<'_>) -> Vec<Fault> {
    let Question { service, period, facts, .. } = question;
    let mut all = versions
        .iter()
        .map(|(version, _)| names::check(of(version, period), service, period, facts));
    let Some(first) = all.next() else { return Vec::new() };
    all.fold(first, |common, faults| {
        common
            .into_iter()
            .filter(|fault| faults.iter().any(|other| other.place == fault.place))
            .collect()
    })
}

/// The parts as one report.
fn together(parts: Vec<Report>, paid: &Exact, last: &InForce) -> Result<Report, Vec<Fault>> {
    let agreement = &last.contract.agreement;
    if let Some(other) = parts.iter().find(|part| part.currency != agreement.currency.code) {
        let what = format!(
            "version {} reckons in {}, version {} in {}: a period that both touch cannot be summed",
            other.version, other.currency, agreement.version, agreement.currency.code
        );
        return Err(vec![Fault::new(&agreement.id, "agreement.currency", what)]);
    }
    let mut parts: Vec<Report> =
        parts.into_iter().filter(|part| !part.objectives.is_empty()).collect();
    let Some(mut whole) = parts.pop() else {
        return Err(vec![Fault::new(
            &agreement.id,
            "objective",
            "no version has an objective for this service",
        )]);
    };
    let claims: Vec<ClaimState> = parts
        .iter()
        .chain([&whole])
        .filter(|part| part.is_credited())
        .map(|part| part.claim.clone())
        .collect();
    let ticket_by = parts.iter().chain([&whole]).filter_map(|part| part.claim.ticket_by).min();
    whole.ticket = parts.iter().chain([&whole]).filter_map(|part| part.ticket).min();
    let open: Vec<&ClaimState> = claims.iter().filter(|claim| !claim.lapsed).collect();
    let by = match open.is_empty() {
        true => claims.iter().filter_map(|claim| claim.by).min(),
        false => open.iter().filter_map(|claim| claim.by).min(),
    };
    let lapsed = if claims.is_empty() { whole.claim.lapsed } else { open.is_empty() };
    whole.claim = ClaimState { by, ticket_by, lapsed };
    let (mut objectives, mut terminations, mut duties) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let version = part.version;
        objectives.extend(part.objectives.into_iter().map(|mut verdict| {
            verdict.version = (version != whole.version).then_some(version);
            verdict
        }));
        terminations.extend(part.terminations);
        duties.extend(part.duties);
    }
    objectives.append(&mut whole.objectives);
    for right in std::mem::take(&mut whole.terminations) {
        if terminations.iter().all(|earlier: &crate::sla::report::Right| earlier.id != right.id) {
            terminations.push(right);
        }
    }
    duties.append(&mut whole.duties);
    (whole.objectives, whole.terminations, whole.duties) = (objectives, terminations, duties);
    whole.credit = paid.fixed(agreement.currency.decimals, Rounding::HalfUp);
    whole.deadlines = deadlines::of(&whole, &agreement.timezone);
    Ok(whole)
}
