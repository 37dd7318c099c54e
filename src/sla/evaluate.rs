//! From measurements to verdicts, in one order wherever the measurements are kept: the earlier
//! periods that count, the time to look at, what was measured in it, a prepass, finer measurements
//! where that asks for them, the verdict. The agent's database, the collector's and the bundle
//! implement [`Measurements`]; everything else is the same for all of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::effort::Effort;
use crate::base::time::Wall;
use crate::sla::calendar::Period;
use crate::sla::facts::Facts;
use crate::sla::fault::Fault;
use crate::sla::judge::{InForce, Measured, Prepared, Question, judging};
use crate::sla::observed::{Observed, Seen};
use crate::sla::reach;
use crate::sla::report::Report;
use crate::sla::span::Span;
use crate::sla::terms::Side;

mod earlier;

pub use earlier::Earlier;

/// Measurements of a contract's services, wherever they are kept.
pub trait Measurements {
    /// Why they cannot be read.
    type Error;

    /// The first instant of which anything is kept of a service. No period that ended before it is
    /// looked at; none at all where this is absent.
    ///
    /// # Errors
    /// When it cannot be read.
    fn begun(&mut self, _service: &str) -> Result<Option<Wall>, Self::Error> {
        Ok(None)
    }

    /// An earlier period of some services, by service; one that cannot be judged is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    fn earlier(
        &mut self,
        _services: &[String],
        _period: Period,
    ) -> Result<BTreeMap<String, Earlier>, Self::Error> {
        Ok(BTreeMap::new())
    }

    /// The recorded outages of a service that touch a span, perhaps others, and whose side failed.
    ///
    /// # Errors
    /// When they cannot be read.
    fn outages(&mut self, service: &str, span: Span) -> Result<Vec<(Span, Side)>, Self::Error>;

    /// The probes that name a service themselves within a span, beside those that its contract
    /// names.
    ///
    /// # Errors
    /// When they cannot be read.
    fn naming(&mut self, _service: &str, _span: Span) -> Result<BTreeSet<String>, Self::Error> {
        Ok(BTreeSet::new())
    }

    /// What the probes of the services measured within a span, by the probe's name. The versions
    /// have the probes of [`Self::naming`].
    ///
    /// # Errors
    /// When it cannot be read.
    fn observe(
        &mut self,
        asked: &EvaluationRequest<'_>,
        span: Span,
    ) -> Result<BTreeMap<String, Seen>, Self::Error>;

    /// Reads finer what the probes of one of the services measured, wherever a boundary cuts an
    /// interval: see [`is_cut`](crate::sla::observed::is_cut).
    ///
    /// # Errors
    /// When it cannot be read.
    fn refine(
        &mut self,
        _asked: (&[InForce], &str),
        _boundaries: &BTreeSet<Wall>,
        _seen: &mut BTreeMap<String, Seen>,
    ) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// What is asked: how some services of a contract stand in a period.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationRequest<'a> {
    /// The versions of the contract, the first in force first.
    pub versions: &'a [InForce],
    /// The services, which are read together.
    pub services: &'a [String],
    /// The period.
    pub period: Period,
    /// What does not come from measurement.
    pub facts: &'a Facts,
}

/// How a service stands, and what that rests on.
#[derive(Debug)]
pub struct Evaluated {
    /// The facts with which it was judged, earlier periods among them.
    pub facts: Facts,
    /// The earlier periods that were added to the facts.
    pub previous: Vec<Earlier>,
    /// What touches the period of the measured outages, before exclusions and qualification.
    pub outages: Vec<Measured>,
    /// The report, or all that is wrong with the facts.
    pub report: Result<Report, Vec<Fault>>,
}

/// Judges services in a period, in the order in which they are asked for. Once the effort is spent,
/// what this gives is not to be believed.
///
/// # Errors
/// When the measurements cannot be read.
pub fn evaluate<M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'_>,
    effort: &Effort<'_>,
) -> Result<Vec<Evaluated>, M::Error> {
    let previous = earlier::of(measurements, asked, effort)?;
    let span = looked_at(measurements, asked)?;
    let versions = with_naming(measurements, asked, span)?;
    let asked = EvaluationRequest { versions: &versions, ..*asked };
    let mut observed = Observed { probes: measurements.observe(&asked, span)?, sides: Vec::new() };
    let mut all = Vec::new();
    for (service, previous) in asked.services.iter().zip(previous) {
        observed.sides = measurements.outages(service, span)?;
        all.push(one(measurements, &asked, (service, previous), &mut observed, effort)?);
    }
    Ok(all)
}

/// All the time that judging the services looks at, by the outages that were recorded.
fn looked_at<M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'_>,
) -> Result<Span, M::Error> {
    let EvaluationRequest { versions, services, period, .. } = *asked;
    let reach = |outages: &[Span]| reach::by_versions(judging(versions, period), period, outages);
    let least = reach(&[]);
    let mut recorded = Vec::new();
    for service in services {
        recorded.extend(measurements.outages(service, least)?.into_iter().map(|(span, _)| span));
    }
    Ok(reach(&recorded))
}

/// The versions, with the probes that name the services and their members themselves.
fn with_naming<'a, M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'a>,
    span: Span,
) -> Result<Cow<'a, [InForce]>, M::Error> {
    let mut services: BTreeSet<&str> = asked.services.iter().map(String::as_str).collect();
    for InForce { contract, .. } in asked.versions {
        let contract = contract.of(asked.period).unwrap_or(contract);
        let members = contract.members_of_all(asked.services.iter().map(String::as_str));
        services.extend(members.into_iter().flatten().map(|member| member.id.as_str()));
    }
    let mut versions = Cow::Borrowed(asked.versions);
    for service in services {
        for probe in measurements.naming(service, span)? {
            if versions.iter().any(|version| version.contract.lacks_probe(service, &probe)) {
                for version in versions.to_mut() {
                    version.contract.add_probe(service, &probe);
                }
            }
        }
    }
    Ok(versions)
}

fn one<M: Measurements>(
    measurements: &mut M,
    asked: &EvaluationRequest<'_>,
    (service, previous): (&str, Vec<Earlier>),
    observed: &mut Observed,
    effort: &Effort<'_>,
) -> Result<Evaluated, M::Error> {
    let mut facts = asked.facts.clone();
    facts.previous.extend(previous.iter().map(Earlier::fact));
    let question = Question { service, period: asked.period, facts: &facts, effort };
    let prepared = Prepared::new(asked.versions, question, Some(observed));
    let survey = prepared.survey(observed);
    let of = (asked.versions, service);
    measurements.refine(of, &survey.boundaries, &mut observed.probes)?;
    let report = prepared.judge(Some(observed));
    Ok(Evaluated { previous, outages: survey.outages, report, facts })
}
