//! `wanproof status`: what is measured now, what waits, and the verdicts so far.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::claims::Due;
use crate::agent::live::{LiveProbe, Snapshot, coverage};
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::estimate::{self, Estimate};
use crate::cli::report::SoFar;
use crate::cli::snapshot::ask;
use crate::cli::source::{self, Found, Source};
use crate::cli::watch::Watch;
use crate::cli::{Exit, Failure, print, report};
use crate::config::agent::{AgentConfig, Keep};
use crate::measure::interval::Interval;
use crate::measure::outcome::Outcomes;
use crate::measure::reasons::Reasons;
use crate::store::outbox::Tally;
use crate::store::{Store, keyfile};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    watch: Watch,
    /// One JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// All that is shown.
struct Status {
    snapshot: Snapshot,
    running: bool,
    /// Until when the data of an agent that does not run goes.
    observed_until: Option<Wall>,
    tally: Tally,
    bytes: u64,
    config: Option<AgentConfig>,
    due: Vec<Due>,
    estimate: Option<Estimate>,
    now: Wall,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    args.watch.run(|| once(args))
}

fn once(args: &Args) -> Result<Exit, Failure> {
    let status = Status::read(&args.source)?;
    if args.json {
        print::json(&status.json())?
    } else {
        status.tell()?
    }
    Ok(Exit::Done)
}

impl Status {
    fn read(source: &Source) -> Result<Self, Failure> {
        let Found { places, config } = source.found()?;
        let store = source::read(&places.data_dir)?;
        let running = ask(&places.status_socket);
        let snapshot = match &running {
            Some(snapshot) => snapshot.clone(),
            None => from_store(&store, &places.data_dir)?,
        };
        // What is stored of an agent that does not run ends there.
        let observed_until = match running {
            Some(_) => None,
            None => store.newest()?,
        };
        let now = SystemClock.now().wall;
        let keep = config.as_ref().map_or_else(Keep::default, |config| config.keep);
        Ok(Self {
            snapshot,
            running: running.is_some(),
            observed_until,
            tally: store.tally()?,
            bytes: store.bytes()?,
            due: report::due(&store, config.as_ref(), now)?,
            estimate: store.rates()?.map(|rates| estimate::measured(&keep, rates)),
            config,
            now,
        })
    }

    fn max_bytes(&self) -> Option<u64> {
        self.config.as_ref().map(|config| config.keep.max_bytes)
    }

    fn json(&self) -> Value {
        let Self { snapshot, tally, now, .. } = self;
        let last_accepted = tally.last_accepted.as_ref().map(
            |(chain, seq, received)| json!({"chain": chain, "seq": seq, "received": received}),
        );
        json!({
            "agent": snapshot.agent,
            "site": snapshot.site,
            "software": snapshot.software,
            "running": self.running,
            "observed_until": self.observed_until,
            "clock": {"state": snapshot.clock, "set": !snapshot.clock_unset},
            "fault": snapshot.fault,
            "probes": snapshot.probes,
            "outbox": {
                "waiting": tally.waiting,
                "bytes": tally.bytes,
                "oldest": tally.oldest,
                "last_accepted": last_accepted,
                "refused": tally.refused,
            },
            "store": store_json(self.bytes, self.max_bytes(), self.estimate.as_ref()),
            "verdicts": SoFar::of(&self.due, *now),
            "deadlines": report::deadlines(&self.due, *now).iter().map(|(due, deadline)| json!({
                "contract": due.report.contract,
                "service": due.report.service,
                "period": due.report.period.to_string(),
                "deadline": deadline,
                "left": deadline.left(*now),
            })).collect::<Vec<Value>>(),
        })
    }

    fn tell(&self) -> Result<(), Failure> {
        let Self { snapshot, now, .. } = self;
        print::line(print::one(&headline(snapshot, self.running)))?;
        if let Some(last) = self.observed_until {
            print::line(format_args!("the last that it recorded is of {}", print::instant(last)))?;
        }
        if snapshot.clock_unset {
            print::line(
                "the clock is not set yet: what is measured is held, and labelled once it is",
            )?;
        }
        if let Some(fault) = &snapshot.fault {
            print::line(format_args!(
                "the last reload was refused, the old configuration holds:\n{fault}"
            ))?;
        }
        print::line(probes(&snapshot.probes))?;
        let remarks: Vec<String> =
            snapshot.probes.iter().flat_map(|probe| remarks(probe, *now)).collect();
        if !remarks.is_empty() {
            let mut text = String::new();
            remarks.iter().for_each(|remark| print::wrap(&mut text, "", "  ", remark));
            print::line(text.trim_end())?;
        }
        let (verdicts, deadlines) =
            (SoFar::of(&self.due, *now), report::deadlines(&self.due, *now));
        if !verdicts.is_empty() {
            print::line("")?;
            print::line(SoFar::text(&verdicts))?;
        }
        if !deadlines.is_empty() {
            print::line("")?;
            print::line(report::deadlines_text(&deadlines, *now))?;
        }
        self.tell_of_data()
    }

    /// The outbox and the database.
    fn tell_of_data(&self) -> Result<(), Failure> {
        print::line("")?;
        let ships = self.config.as_ref().is_none_or(|config| config.collector.is_some());
        print::line(outbox(&self.tally, ships))?;
        let limit =
            self.max_bytes().map_or(String::new(), |max| format!(" of {}", print::bytes(max)));
        print::line(format_args!("store   {}{limit}", print::bytes(self.bytes)))?;
        for line in self.estimate.iter().flat_map(Estimate::words) {
            print::line(format_args!("        {line}"))?;
        }
        Ok(())
    }
}

fn store_json(bytes: u64, max_bytes: Option<u64>, estimate: Option<&Estimate>) -> Value {
    let mut store = estimate.map_or_else(|| json!({}), Estimate::json);
    store["bytes"] = json!(bytes);
    store["max_bytes"] = json!(max_bytes);
    store
}

/// What the database says of an agent that does not run.
fn from_store(store: &Store, dir: &Path) -> Result<Snapshot, Failure> {
    let all = store.all_series()?;
    let mut probes = Vec::new();
    for name in store.probes()? {
        // The last series of a name is its latest.
        let Some(series) = all.values().rev().find(|series| series.probe == name) else { continue };
        let last = store.last_interval(&name)?;
        probes.push(LiveProbe {
            place: probes.len(),
            name,
            kind: series.kind.clone(),
            service: series.service.clone(),
            state: "unknown".to_owned(),
            address: series.address,
            last_rtt_us: None,
            reason: None,
            outcomes: last
                .as_ref()
                .map(|interval| interval.outcomes.to_string())
                .unwrap_or_default(),
            reasons: last.as_ref().map(|interval| interval.reasons.clone()).unwrap_or_default(),
            recent: Outcomes::default(),
            coverage: last.as_ref().and_then(|interval| coverage(&interval.outcomes)),
            limited: last.as_ref().map_or(0, Interval::limited),
            certificate_until: None,
        });
    }
    let agent = match store.identity()? {
        Some(known) => known.agent.to_string(),
        None => keyfile::load(&dir.join(keyfile::AGENT))
            .map(|key| key.kid().to_string())
            .unwrap_or_default(),
    };
    let site = store.site()?.unwrap_or_default();
    let software = crate::SOFTWARE.to_owned();
    Ok(Snapshot {
        agent,
        site,
        software,
        clock: "unknown".to_owned(),
        clock_unset: false,
        fault: None,
        probes,
    })
}

fn headline(snapshot: &Snapshot, running: bool) -> String {
    let (site, software) = (&snapshot.site, &snapshot.software);
    match running {
        true => format!("{site}  {software}  running  clock {}", snapshot.clock),
        false => format!("{site}  {software}  NOT RUNNING: what it recorded last"),
    }
}

/// The probes as a table for people.
#[must_use]
pub fn probes(all: &[LiveProbe]) -> String {
    let heading = ["PROBE", "KIND", "SERVICE", "STATE", "RTT", "LAST INTERVAL", "COVERAGE"]
        .map(str::to_owned);
    let rows = all.iter().map(|probe| {
        vec![
            probe.name.clone(),
            probe.kind.clone(),
            probe.service.clone().unwrap_or_else(|| "-".to_owned()),
            probe.state.clone(),
            probe.last_rtt_us.map_or_else(|| "-".to_owned(), print::micros),
            shortened(&probe.outcomes, 16),
            probe
                .coverage
                .as_ref()
                .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
        ]
    });
    print::fitted(&heading, &rows.collect::<Vec<_>>())
}

/// A certificate that ends within this time is told of.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// What the table has no room for, and somebody should know.
fn remarks(probe: &LiveProbe, now: Wall) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(why(probe).map(|why| format!("{}: {why}", probe.name)));
    if let Some(until) = probe.certificate_until.filter(|&until| until < now + SOON) {
        let left = Duration::from_nanos(u64::try_from(until.nanos_since(now)).unwrap_or(0));
        let when = if left.is_zero() {
            "has ended".to_owned()
        } else {
            format!("ends in {}", print::length(left))
        };
        all.push(format!(
            "{}: its server's certificate {when} ({})",
            probe.name,
            print::instant(until)
        ));
    }
    if probe.limited > 0 {
        let sends = if probe.limited == 1 { "send" } else { "sends" };
        let what = format!("{} {sends} of its last interval", probe.limited);
        all.push(format!(
            "{}: {what} tell of this host, which was late, not of the network",
            probe.name
        ));
    }
    all
}

/// Why sends were not answered: the last one, and those of the last closed interval, the most
/// frequent reason first.
fn why(probe: &LiveProbe) -> Option<String> {
    let mut all = Reasons::default();
    for (reason, count) in &probe.reasons {
        // What else an interval counts is told otherwise, or of answers.
        if let Ok(reason) = reason.parse() {
            all.count(&reason, u64::from(*count));
        }
    }
    let counted: Vec<String> =
        all.ranked().iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let last = probe.reason.iter().map(|reason| format!("last send {reason}"));
    let counted = (!counted.is_empty()).then(|| format!("last interval {}", counted.join(", ")));
    let words: Vec<String> = last.chain(counted).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn shortened(text: &str, most: usize) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else if text.chars().count() > most {
        format!("{}…", text.chars().take(most - 1).collect::<String>())
    } else {
        text.to_owned()
    }
}

/// The outbox in words.
#[must_use]
pub fn outbox(tally: &Tally, ships: bool) -> String {
    let mut text = format!("outbox  {} waiting ({})", tally.waiting, print::bytes(tally.bytes));
    if let Some(oldest) = tally.oldest {
        text.push_str(&format!(", the oldest of {}", print::instant(oldest)));
    }
    match &tally.last_accepted {
        Some((_, seq, received)) => {
            text.push_str(&format!("\n        last accepted: number {seq}, {received}"))
        }
        None if ships => text.push_str("\n        none accepted yet"),
        None => text.push_str("\n        no collector is configured: they are kept here"),
    }
    if tally.refused > 0 {
        text.push_str(&format!("\n        {} REFUSED: see wanproof outbox", tally.refused));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::agent::live::Live;
    use crate::measure::event::{Event, ProbeId, Settled};
    use crate::measure::outcome::Outcome;
    use crate::measure::probe::{Circuit, Family, Probe, Role, Test};

    fn probe(limited: u32, certificate_until: Option<i64>) -> LiveProbe {
        LiveProbe {
            place: 0,
            name: "portal".to_owned(),
            kind: "http".to_owned(),
            service: None,
            state: "up".to_owned(),
            address: None,
            last_rtt_us: None,
            reason: None,
            outcomes: "2a".to_owned(),
            reasons: BTreeMap::new(),
            recent: Outcomes::default(),
            coverage: None,
            limited,
            certificate_until: certificate_until.map(Wall::from_secs),
        }
    }

    #[test]
    fn why_a_probe_is_not_answered_stands_below_the_table() {
        let mut portal = probe(2, None);
        assert_eq!(why(&portal), None);
        portal.reasons = [
            ("refused/status-503", 11),
            ("lost/timeout", 1),
            ("own/limited", 2),
            ("rtt/clamped", 1),
        ]
        .map(|(reason, count)| (reason.to_owned(), count))
        .into();
        assert_eq!(why(&portal).unwrap(), "last interval 11 refused/status-503, 1 lost/timeout");
        portal.reason = Some("refused/certificate-expired".to_owned());
        let told = remarks(&portal, Wall::from_secs(0)).join("\n");
        assert_eq!(
            told.lines().next().unwrap(),
            "portal: last send refused/certificate-expired; last interval 11 refused/status-503, \
                1 lost/timeout"
        );
    }

    #[test]
    fn the_last_rtt_is_exact_in_json_and_rounded_once_in_the_table() {
        let kind = Test::Icmp { target: "192.0.2.1".to_owned(), size: 56 };
        let second = Duration::from_secs(1);
        let probe = Probe {
            name: "hq".to_owned(),
            service: None,
            role: Role::Path,
            test: kind,
            family: Family::Any,
            period: second,
            timeout: second,
            cutoff: second,
            circuit: Circuit::default(),
        };
        let live = Live::new("agent".to_owned());
        live.show("leeds-01", &[Arc::new(probe)], &[ProbeId(0)]);
        let settled = Settled {
            probe: ProbeId(0),
            send: 0,
            outcome: Outcome::Answered,
            // By way of 24,050.0 µs it would be 24.1 ms.
            rtt_ns: Some(24_049_960),
            stamp: None,
            reason: None,
            seq: None,
            ttl: None,
            bytes: None,
            from: None,
            phases: Vec::new(),
        };
        live.apply(&Event::Settled(settled));
        let snapshot = live.snapshot();
        assert_eq!(serde_json::to_value(&snapshot.probes).unwrap()[0]["last_rtt_us"], 24_049.96);
        assert!(probes(&snapshot.probes).contains("24.0 ms"), "{}", probes(&snapshot.probes));
    }

    #[test]
    fn a_certificate_is_told_of_when_it_ends_soon_and_a_probe_when_this_host_limited_it() {
        let now = Wall::from_secs(1_700_000_000);
        let day = 86_400;
        let told = |limited, until| remarks(&probe(limited, until), now).join("\n");
        assert_eq!(told(0, None), "");
        assert_eq!(told(0, Some(1_700_000_000 + 31 * day)), "");
        assert_eq!(
            told(0, Some(1_700_000_000 + 6 * day)),
            "portal: its server's certificate ends in 6d (2023-11-20 22:13:20Z)"
        );
        assert_eq!(
            told(3, Some(1_700_000_000 - 1)),
            "portal: its server's certificate has ended (2023-11-14 22:13:19Z)\n\
             portal: 3 sends of its last interval tell of this host, which was late, not of the \
                network"
        );
    }
}
