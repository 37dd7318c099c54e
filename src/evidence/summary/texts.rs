//! The texts of a summary, and its place in time: what is asked of both at the wire, and again of
//! what was stored by a program that did not ask yet.

use std::time::Duration;

use crate::base::text;
use crate::base::time::Wall;
use crate::evidence::summary::{Malformed, Summary};

/// An address, a digest, a decimal: none is longer, in bytes.
const LONGEST: usize = 4096;
/// The digest of a probe's settings is no longer, in bytes: it is kept with each of its intervals.
const DIGEST: usize = 200;
/// A summary does not begin longer before its agent was enrolled.
pub const BEFORE_ENROLMENT: Duration = Duration::from_secs(400 * 86_400);
/// A summary does not end further ahead of the clock of whoever takes it.
pub const AHEAD: Duration = Duration::from_secs(86_400);

/// Whether every name in a summary is one, and every other text is printable and of a length to be
/// shown.
///
/// # Errors
/// Says the first that is not, and where.
pub fn check_texts(summary: &Summary) -> Result<(), Malformed> {
    name("site", &summary.site)?;
    other("boot", &summary.boot)?;
    other("software", &summary.software)?;
    for contract in &summary.contracts {
        name("contracts.id", &contract.id)?;
    }
    for probe in &summary.probes {
        name("probes.name", &probe.name)?;
        name("probes.target", &probe.target)?;
        probe.service.as_deref().map_or(Ok(()), |service| name("probes.service", service))?;
        other("probes.kind", &probe.kind)?;
        bounded("probes.settings", &probe.settings, DIGEST)?;
        other("probes.address", probe.address.as_deref().unwrap_or_default())?;
        let mut reasons = probe.intervals.iter().flat_map(|interval| interval.reasons.keys());
        reasons.try_for_each(|reason| name("probes.intervals.reasons", reason))?;
    }
    for link in &summary.link {
        other("link.interface", &link.interface)?;
    }
    for outage in &summary.outages {
        name("outages.probe", &outage.probe)?;
        outage.service.as_deref().map_or(Ok(()), |service| name("outages.service", service))?;
        other("outages.definition", &outage.definition)?;
    }
    for verdict in &summary.verdicts {
        name("verdicts.contract", &verdict.contract)?;
        name("verdicts.objective", &verdict.objective)?;
        // Empty where there is none.
        if !verdict.service.is_empty() {
            name("verdicts.service", &verdict.service)?;
        }
        let figures = [&verdict.actual, &verdict.coverage].into_iter().flatten();
        for text in [&verdict.period, &verdict.result, &verdict.target].into_iter().chain(figures) {
            other("verdicts", text)?;
        }
    }
    Ok(())
}

/// Whether a span lies in the time in which whoever takes a summary can believe it: `enrolled` is
/// when its agent was, `now` what the taker's own clock says. Outside of it is the wrong clock, or
/// nothing that was ever measured.
///
/// # Errors
/// Says on which side it lies outside.
pub fn check_window(from: Wall, to: Wall, enrolled: Wall, now: Wall) -> Result<(), Malformed> {
    if from < enrolled - BEFORE_ENROLMENT {
        let what = format!(
            "{from} is more than {} days before the agent was enrolled, at {enrolled}",
            BEFORE_ENROLMENT.as_secs() / 86_400
        );
        return Err(Malformed::new("from", what));
    }
    if to > now + AHEAD {
        return Err(Malformed::new(
            "to",
            format!("{to} is more than a day ahead: here it is {now}"),
        ));
    }
    Ok(())
}

fn name(at: &str, text: &str) -> Result<(), Malformed> {
    text::name(text).map_err(|fault| Malformed::new(at, fault.to_string()))
}

fn other(at: &str, text: &str) -> Result<(), Malformed> {
    bounded(at, text, LONGEST)
}

fn bounded(at: &str, text: &str, most: usize) -> Result<(), Malformed> {
    if text.len() > most {
        return Err(Malformed::new(at, format!("it is {} bytes, of at most {most}", text.len())));
    }
    text::printable(text).map_err(|fault| Malformed::new(at, fault.to_string()))
}
