//! Writes an agent's database with a made-up past that ends now, for the screens of docs/desk.md and to look at
//! pictures: `desk DIR [DAYS [LOSS]]`, LOSS in 10,000ths. Equal seeds, equal pasts.
//!
//! `hq-icmp` is slower each working day, loses a little, and was out for 40 minutes; `portal` answers late at times;
//! nothing ran for two hours.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use wanproof::base::time::{Clock, SystemClock, Wall};
use wanproof::measure::histogram::Values;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::measure::outcome::{Outcome, Outcomes};
use wanproof::store::Store;
use wanproof::store::intervals::{Series, SeriesId};
use wanproof::store::outages::Outage;

/// Sends of a probe in a minute.
const SENDS: u64 = 30;
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("a directory to write to")?);
    let days: u64 = match arguments.next() {
        Some(days) => days.to_string_lossy().parse()?,
        None => 2,
    };
    let loss: u64 = match arguments.next() {
        Some(loss) => loss.to_string_lossy().parse()?,
        None => 10,
    };
    std::fs::create_dir_all(&dir)?;
    let end = SystemClock.now().wall.floor(MINUTE);
    let (mut store, _) = Store::open(&dir, end)?;
    store.set_site("leeds-01")?;
    let series = ["hq-icmp", "portal"].map(|name| Series {
        probe: name.to_owned(),
        service: Some("ckt-0042".to_owned()),
        kind: if name == "portal" { "http" } else { "icmp" }.to_owned(),
        target: "192.0.2.1".to_owned(),
        address: "192.0.2.1".parse().ok(),
        period_ms: 2000,
        timeout_ms: 2000,
        cutoff_ms: 1000,
        settings: "1".to_owned(),
    });
    let ids = [store.series(&series[0])?, store.series(&series[1])?];
    let mut made = Made { random: 0x9e37_79b9, loss };
    let minutes = days * 1440;
    store.together(|store| -> Result<(), Box<dyn std::error::Error>> {
        for minute in (0..minutes).filter(|minute| !OFF.contains(&(minutes - minute))) {
            let at = end - MINUTE * u32::try_from(minutes - minute)?;
            let set = [made.minute(at, minutes - minute, 0), made.minute(at, minutes - minute, 1)];
            let set: Vec<(SeriesId, &Interval)> = ids.iter().copied().zip(&set).collect();
            store.append_set(&set)?;
        }
        let at = |minutes: u64| end - MINUTE * u32::try_from(minutes).unwrap_or(0);
        let outage = Outage {
            service: Some("ckt-0042".to_owned()),
            probe: "hq-icmp".to_owned(),
            definition: "builtin".to_owned(),
            from: at(DOWN.end - 1),
            to: Some(at(DOWN.start - 1)),
            side: "provider".to_owned(),
            evidence: json!({"reasons": {"lost/timeout": 1200}}),
        };
        store.open_outage(&outage)?;
        Ok(())
    })?;
    // What is older is kept by the hour, as an agent keeps it by default.
    if let Some((last, _)) = store.unsummarised()?.pop() {
        store.set_summarised(last)?;
    }
    let kept = end - MINUTE * 1440 * 90;
    while store.together(|store| store.roll_up_minutes(kept))?.is_some() {}
    Ok(())
}

/// Minutes before the end in which nothing ran, and in which the line was down.
const OFF: std::ops::Range<u64> = 1100..1220;
const DOWN: std::ops::Range<u64> = 300..340;

struct Made {
    random: u64,
    /// In 10,000ths.
    loss: u64,
}

impl Made {
    /// Marsaglia's xorshift64: the same on every host.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// What a probe saw in the minute that begins so many minutes before the end.
    fn minute(&mut self, from: Wall, before: u64, probe: u64) -> Interval {
        let hour = u64::try_from(from.secs() / 3600 % 24).unwrap_or(0);
        let busy = if (8..17).contains(&hour) { 4 - hour.abs_diff(12).min(4) } else { 0 };
        let (base_us, jitter_us) = if probe == 0 { (21_000, 350) } else { (88_000, 2500) };
        let (mut rtt, mut ipdv) = (Values::default(), Values::default());
        let (mut rtt_sum_ns, mut ipdv_sum_ns, mut last) = (0, 0, None);
        let mut outcomes = Outcomes::default();
        let mut reasons = BTreeMap::new();
        for _ in 0..SENDS {
            let down = probe == 0 && DOWN.contains(&before);
            let lost = self.draw() % 10_000 < self.loss + busy * busy * self.loss;
            if down || lost {
                outcomes.push(Outcome::Lost);
                *reasons.entry("lost/timeout".to_owned()).or_default() += 1;
                last = None;
                continue;
            }
            let tail = u64::from(self.draw().leading_zeros()) * jitter_us * (1 + busy) * 693 / 1000;
            let late = probe == 1 && self.draw() % 1000 < busy;
            let us = base_us + tail + self.draw() % jitter_us + if late { 1_000_000 } else { 0 };
            let ns = us * 1000 + self.draw() % 1000;
            outcomes.push(if late { Outcome::Late } else { Outcome::Answered });
            rtt.record_ns(ns);
            rtt_sum_ns += ns;
            if let Some(last) = last.replace(ns) {
                let differs = ns.abs_diff(last);
                ipdv.record_ns(differs);
                ipdv_sum_ns += differs;
            }
        }
        Interval {
            from,
            millis: 60_000,
            first_ms: 0,
            period_ms: 2000,
            outcomes,
            reasons,
            duplicates: 0,
            reordered: 0,
            kernel_stamped: u32::try_from(SENDS).unwrap_or(0),
            rtt: rtt.pack().map(|histogram| Spread { histogram, sum_ns: rtt_sum_ns }),
            ipdv: ipdv.pack().map(|histogram| Spread { histogram, sum_ns: ipdv_sum_ns }),
            rfc3550_max_ns: None,
            phases: BTreeMap::new(),
        }
    }
}
