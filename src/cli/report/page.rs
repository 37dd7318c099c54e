//! `wanproof report --format html`: the reports as one page, with what was measured beside the
//! verdicts.

use crate::agent::summariser::part;
use crate::cli::Failure;
use crate::evidence::report_page::{self, Measuring, Seen, Shown};
use crate::measure::history::Part;
use crate::sla::facts::Facts;
use crate::sla::{Contract, Report};
use crate::store::{Grain, Store, StoreError};

/// So many lines of the journal are looked at for steps of the clock: as many as it keeps.
const LINES: u32 = 10_000;

/// The page of some reports, each with the contract that judged.
///
/// # Errors
/// When the database cannot be read.
pub(super) fn page<'a>(
    store: &Store,
    all: impl Iterator<Item = (&'a Report, &'a Contract)>,
    facts: &Facts,
) -> Result<String, Failure> {
    let could = |error: StoreError| Failure::Could(error.to_string());
    let seen = |(report, contract)| Ok((report, contract, seen(store, contract, report)?));
    let all = all.map(seen).collect::<Result<Vec<_>, _>>().map_err(could)?;
    let shown: Vec<Shown<'_>> = all
        .iter()
        .map(|(report, contract, seen)| Shown { contract, facts, report, seen })
        .collect();
    Ok(report_page::of_reports(&shown))
}

/// What is stored of a service in the time that its report is about.
fn seen(store: &Store, contract: &Contract, report: &Report) -> Result<Seen, StoreError> {
    let span = report_page::span(contract, report.period);
    let outages = store.outages(span.from, span.to)?.into_iter().map(|(_, outage)| outage);
    let own = outages.filter(|outage| outage.service.as_deref() == Some(report.service.as_str()));
    let journal = store.journal(LINES)?.into_iter();
    let steps = journal.filter(|line| line.kind == "clock-step" && span.holds(line.at));
    let mut seen = Seen::default();
    seen.outages.extend(own.map(part));
    seen.steps.extend(steps.map(|line| (line.at, line.detail)));
    let probes: Vec<&str> = report_page::probes_of(contract, &report.service).into_iter().collect();
    let mut measuring = Measuring::new(span);
    store.each_of(&probes, (span.from, span.to), Grain::Stored, |probe, interval| {
        measuring.add(probe, Part::from(&interval));
    })?;
    seen.probes = measuring.probes();
    Ok(seen)
}
