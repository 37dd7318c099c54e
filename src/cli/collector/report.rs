//! `wanproof collector report`: the fleet's verdicts of a month, or one of them with its
//! arithmetic.

use crate::base::time::{Clock, SystemClock};
use crate::cli::collector::listing::Listing;
use crate::cli::{Exit, Failure, print};
use crate::collector::api::report as fleet_report;
use crate::collector::archive::Archive;
use crate::collector::archive::ledger::Kind;
use crate::collector::verdicts::groups::{By, GroupView};
use crate::collector::verdicts::{ByProvider, Judgement};
use crate::sla::printed::{Printed, PrintedVerdict};

/// `collector report`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Report {
    /// By what: service, site, contract, provider or level
    #[arg(long, default_value = "service")]
    by: String,
    /// The month, such as 2026-11 [default: this one]
    #[arg(long)]
    period: Option<String>,
    /// One service's verdict with its arithmetic, and the provider's log beside it
    #[arg(long, allow_hyphen_values = true, requires = "contract")]
    service: Option<String>,
    /// The contract of that service
    #[arg(long, allow_hyphen_values = true, requires = "service")]
    contract: Option<String>,
    /// Exit with 1 when anything is breached
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn report(args: &Report) -> Result<Exit, Failure> {
    let (_, archive) = args.listing.source.archive()?;
    if let (Some(contract), Some(service)) = (&args.contract, &args.service) {
        return one(args, &archive, contract, service);
    }
    let by: By = args.by.parse().map_err(Failure::Usage)?;
    let all = fleet_report(&archive, args.period.as_ref(), by)?;
    let row = |group: &GroupView| {
        let credit = group
            .credit
            .iter()
            .map(|(currency, sum)| format!("{sum} {currency}"))
            .collect::<Vec<_>>()
            .join(", ");
        // The slowest of its probes' names stands for it.
        let p95 = group.rtt_us.values().map(|each| each.p95).max();
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let p95 = p95.map_or_else(|| "-".to_owned(), |us| print::micros(us as f64));
        let counts = [
            group.services,
            group.objectives.met,
            group.objectives.breached,
            group.objectives.not_determined,
        ];
        let counts = counts.map(|count| count.to_string());
        let outages = format!(
            "{} ({})",
            group.outages,
            print::length(std::time::Duration::from_secs(group.outage_s))
        );
        [vec![group.name.clone()], counts.to_vec(), vec![outages, p95, credit]].concat()
    };
    let heading = [
        args.by.to_uppercase(),
        "SERVICES".into(),
        "MET".into(),
        "BREACHED".into(),
        "OPEN".into(),
        "OUTAGES".into(),
        "P95".into(),
        "CREDIT".into(),
    ];
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    args.listing.show(&all, &heading, row, "nothing was judged in this month yet")?;
    let breached = all.iter().any(|group| group.objectives.breached > 0);
    Ok(if args.exit_code && breached { Exit::Bad } else { Exit::Done })
}

fn one(args: &Report, archive: &Archive, contract: &str, service: &str) -> Result<Exit, Failure> {
    let period = args
        .period
        .clone()
        .unwrap_or_else(|| SystemClock.now().wall.to_string().chars().take(7).collect());
    let id = crate::collector::operations::key(&[&period, contract, service]);
    let judged: Judgement = archive.record(Kind::Verdict, &id)?.ok_or_else(|| {
        Failure::Could(format!(
            "{service} of {contract} was not judged in {period}: `wanproof collector report` \
                shows what was"
        ))
    })?;
    if args.listing.json {
        print::json(&judged)?;
    } else {
        print::line(format_args!(
            "{contract} version {}, service {service}, {period}, as of {}\n",
            judged.version, judged.as_of
        ))?;
        tell(&judged)?;
    }
    let breached = judged.report.as_ref().is_some_and(Printed::is_breached);
    Ok(if args.exit_code && breached { Exit::Bad } else { Exit::Done })
}

/// A verdict for people, and the provider's log beside it.
fn tell(judged: &Judgement) -> Result<(), Failure> {
    if let Some(report) = &judged.report {
        print::line(table(report))?;
        print::line(format_args!("\ncredit {} {}", report.credit, report.currency))?;
    }
    if let Some(why) = &judged.gone {
        print::line(format_args!("as it was judged then: {why}"))?;
    }
    for outage in &judged.outages {
        print::line(format_args!("outage {} to {}, side {}", outage.from, outage.to, outage.side))?;
    }
    for differs in &judged.differs {
        let (agent, objective) = (differs.agent, &differs.objective);
        print::line(format_args!(
            "agent {agent} says {} of {objective}, we say {}",
            print::one(&differs.agent_says),
            differs.we_say
        ))?;
    }
    for fault in &judged.faults {
        print::line(format_args!("not judged: {}", print::one(fault)))?;
    }
    match &judged.by_provider {
        Some(ByProvider::Report(theirs)) => print::line(format_args!(
            "by the provider's own log the credit is {} {}",
            theirs.credit, theirs.currency
        )),
        Some(ByProvider::Faults { faults }) => print::line(format_args!(
            "the provider's own log cannot be judged: {}",
            faults.join("; ")
        )),
        None => Ok(()),
    }
}

/// Each objective with its figures.
fn table(report: &Printed) -> String {
    let heading =
        ["OBJECTIVE", "RESULT", "ACTUAL", "TARGET", "COVERAGE", "CREDIT"].map(str::to_owned);
    let row = |each: &PrintedVerdict| {
        let actual = each.actual.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            each.id.clone(),
            each.result.to_string(),
            actual,
            each.target.clone(),
            each.coverage.clone(),
            each.credit.clone(),
        ]
    };
    print::fitted(&heading, &report.objectives.iter().map(row).collect::<Vec<_>>())
}
