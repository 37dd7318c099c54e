//! `wanproof contract move` and `log`: the lives of versions, agreements, services, periods and
//! rights.

use clap::ValueEnum;

use crate::cli::life::{self, Written};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure};
use crate::sla::calendar::{NotAPeriod, Period};
use crate::sla::lifecycle::{CycleWord, Subject};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Move {
    /// Whose life it is
    cycle: Whose,
    /// What was done with it, such as propose, sign, take_effect; a wrong one is told what there is
    action: String,
    /// The contract's id
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    contract: String,
    /// Of a version: its number
    #[arg(long, value_name = "N", required_if_eq("cycle", "version"))]
    contract_version: Option<u32>,
    /// Of a service, period or right: the service
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "ID",
        required_if_eq_any([("cycle", "service"), ("cycle", "period"), ("cycle", "right")])
    )]
    service: Option<String>,
    /// Of a period: its name, such as 2026-11
    #[arg(long, value_name = "PERIOD", required_if_eq("cycle", "period"))]
    period: Option<String>,
    /// Of a period: the objective
    #[arg(long, value_name = "ID", required_if_eq("cycle", "period"))]
    objective: Option<String>,
    /// Of a right to terminate: its id
    #[arg(long, value_name = "ID", required_if_eq("cycle", "right"))]
    right: Option<String>,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    source: Source,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A claim has a command of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    Version,
    Agreement,
    Service,
    Period,
    Right,
}

/// Records a step.
///
/// # Errors
/// When the life cycle refuses it, with the reason, or it cannot be written.
pub(super) fn run(args: &Move) -> Result<Exit, Failure> {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let (contract, service) = (args.contract.as_str(), part(&args.service));
    let subject = match args.cycle {
        Whose::Version => Subject::version(contract, args.contract_version.unwrap_or_default()),
        Whose::Agreement => Subject::agreement(contract),
        Whose::Service => Subject::service(contract, &service),
        Whose::Period => {
            let period: Period = part(&args.period)
                .parse()
                .map_err(|error: NotAPeriod| Failure::Usage(format!("--period: {error}")))?;
            Subject::period(contract, &service, &period.to_string(), &part(&args.objective))
        }
        Whose::Right => Subject::right(contract, &service, &part(&args.right)),
    };
    life::take(&mut life::adding(&args.source)?, &subject, &args.action, &args.written, args.json)
}

/// Prints what was recorded.
///
/// # Errors
/// When it cannot be read.
pub(super) fn log(contract: Option<&str>, source: &Source, json: bool) -> Result<Exit, Failure> {
    let wanted =
        |of: &Subject| of.cycle != CycleWord::Claim && contract.is_none_or(|id| id == of.contract);
    life::print_logs(&source.store()?, wanted, json)
}
