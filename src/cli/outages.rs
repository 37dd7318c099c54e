//! `wanproof outages`: when was the line bad?

use std::collections::BTreeMap;

use crate::agent::live::Snapshot;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::given::since;
use crate::cli::source::{self, Source};
use crate::cli::watch::Watch;
use crate::cli::{Exit, Failure, print, snapshot};
use crate::store::outages::{Outage, Shown};
use crate::store::{Store, StoreError};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    watch: Watch,
    /// How far back to look: how long ago, such as 24h or 30d, or since a time or a day in UTC,
    /// such as 2026-06-03
    #[arg(long, default_value = "30d", value_name = "WHEN", value_parser = since)]
    since: Wall,
    /// One JSON array instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    args.watch.run(|| once(args))
}

fn once(args: &Args) -> Result<Exit, Failure> {
    let from = args.since;
    let places = args.source.found()?.places;
    let store = source::read(&places.data_dir)?;
    let all = store.outages(from, Wall::from_nanos(i64::MAX))?;
    let all: Vec<Outage> = all.into_iter().map(|(_, outage)| outage).collect();
    let observed = observed(&store, &all, snapshot::ask(&places.status_socket).as_ref())?;
    if args.json {
        let observed_until = |outage: &Outage| match &observed {
            Observed::Now(_) => None,
            Observed::Until(probes) => probes.get(&outage.probe).copied(),
        };
        let each = all.iter().map(|outage| Shown::from(outage).until(observed_until(outage)));
        print::json(&each.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        print::line(format_args!("no outage since {}", print::instant(from)))?;
    } else {
        print::line(shown(&all, &observed))?;
    }
    if let Observed::Until(probes) = &observed
        && let Some(last) = probes.values().max()
    {
        let last = print::instant(*last);
        let words = format!(
            "no agent runs here: an outage without an end was observed until {last} at the latest"
        );
        let mut text = String::new();
        print::wrap(&mut text, "", "", &words);
        print::line(text.trim_end())?;
    }
    Ok(Exit::Done)
}

/// Up to when outages that have no end yet were observed.
#[derive(Debug)]
pub enum Observed {
    /// An agent runs, and observes them now.
    Now(Wall),
    /// None does. Each probe was observed until then; probes of outages that have ended are not in
    /// it.
    Until(BTreeMap<String, Wall>),
}

/// By what the running agent says, if one does.
fn observed(
    store: &Store,
    all: &[Outage],
    running: Option<&Snapshot>,
) -> Result<Observed, StoreError> {
    if running.is_some() {
        return Ok(Observed::Now(SystemClock.now().wall));
    }
    let mut probes = BTreeMap::new();
    for outage in all.iter().filter(|outage| outage.to.is_none()) {
        if !probes.contains_key(&outage.probe) {
            let until = store.observed_until(&outage.probe)?;
            probes.extend(until.map(|until| (outage.probe.clone(), until.max(outage.from))));
        }
    }
    Ok(Observed::Until(probes))
}

/// Outages as a table for people.
#[must_use]
pub fn shown(all: &[Outage], observed: &Observed) -> String {
    shown_in(print::width(), all, observed)
}

fn shown_in(columns: usize, all: &[Outage], observed: &Observed) -> String {
    let heading = ["FROM", "LASTED", "SERVICE", "PROBE", "REASON", "SIDE", "BY"].map(str::to_owned);
    let rows = all.iter().map(|outage| {
        let (until, end) = match (outage.to, observed) {
            (Some(to), _) => (to, ""),
            (None, Observed::Now(now)) => (*now, ", still down"),
            (None, Observed::Until(probes)) => {
                (probes.get(&outage.probe).copied().unwrap_or(outage.from), ", end not seen")
            }
        };
        let nanos = u64::try_from(until.nanos_since(outage.from)).unwrap_or(0);
        let lasted = print::length(std::time::Duration::from_nanos(nanos));
        vec![
            print::instant(outage.from),
            format!("{lasted}{end}"),
            outage.service.clone().unwrap_or_else(|| "-".to_owned()),
            outage.probe.clone(),
            outage.reasons().words().unwrap_or_else(|| "-".to_owned()),
            outage.side.clone(),
            outage.definition.clone(),
        ]
    });
    print::fitted_to(columns, &heading, &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outage(millis: i64, definition: &str, evidence: serde_json::Value) -> Outage {
        Outage {
            service: Some("ckt-0042".to_owned()),
            probe: "hq-icmp".to_owned(),
            definition: definition.to_owned(),
            from: Wall::from_nanos(millis * 1_000_000),
            to: Some(Wall::from_nanos(millis * 1_000_000 + 7_400_000_000)),
            side: "provider".to_owned(),
            evidence,
        }
    }

    const NOW: Observed = Observed::Now(Wall::from_secs(1_800_000_000));

    #[test]
    fn every_time_says_its_zone_however_narrow_the_terminal_is() {
        for columns in [40, 60, 80] {
            for definition in ["builtin", "acme-mpls/3#availability-of-the-circuit"] {
                let all = [1_700_000_000_412, 1_700_000_060_000]
                    .map(|at| outage(at, definition, json!({})));
                let text = shown_in(columns, &all, &NOW);
                assert!(
                    text.contains("2023-11-14 22:13:20.412Z")
                        && text.contains("2023-11-14 22:14:20Z"),
                    "{text}"
                );
                assert_eq!(print::times_without_zone(&text), [""; 0], "{text}");
            }
        }
    }

    #[test]
    fn an_outage_says_why_and_one_of_a_version_that_did_not_count_says_nothing() {
        let reasons =
            json!({"reasons": {"lost/timeout": 2, "refused/status-503": 421}, "why": "…"});
        let known = outage(1_700_000_000_000, "builtin", reasons);
        let json = serde_json::to_value(Shown::from(&known)).unwrap();
        assert_eq!(
            (&json["reason"], &json["evidence"]),
            (&"refused/status-503".into(), &known.evidence)
        );
        let old = outage(1_600_000_000_000, "builtin", json!({"why": "…"}));
        assert!(serde_json::to_value(Shown::from(&old)).unwrap().get("reason").is_none());
        let text = shown_in(80, &[old, known], &NOW);
        let unwrapped = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains("probe hq-icmp, reason -, side provider"), "{text}");
        assert!(
            unwrapped.contains(
                "probe hq-icmp, reason refused/status-503 and lost/timeout, side provider"
            ),
            "{text}"
        );
    }
}
