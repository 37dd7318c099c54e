//! From facts or measurements to verdicts, in the order that the contract's format fixes.

use crate::sla::calendar::Period;
use crate::sla::facts::{Case, Facts};
use crate::sla::fault::Fault;
use crate::sla::observed::Observed;
use crate::sla::report::Report;
use crate::sla::terms::Contract;

/// Judges facts by a contract.
///
/// # Errors
/// When the facts name what the contract has not, or what is not judged yet; all at once.
pub fn evaluate(contract: &Contract, case: &Case) -> Result<Report, Vec<Fault>> {
    run(contract, &case.service, case.period, None, &case.facts)
}

/// Judges what was measured of a service in a period. The facts bring what does not come from measurement: exclusions,
/// tickets, charges, earlier periods, `as_of`; they may be empty.
///
/// # Errors
/// When the service is not the contract's, or the facts name what the contract has not, or what is not judged yet.
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
    _period: Period,
    _observed: Option<&Observed>,
    facts: &Facts,
) -> Result<Report, Vec<Fault>> {
    match contract.service(service) {
        None => {
            Err(vec![Fault::new(&facts.file, "service", format!("{service:?} is no service of {:?}", contract.id()))])
        }
        Some(_) => Err(vec![Fault::new(&facts.file, "", "judging is being built")]),
    }
}
