//! A year as it is scripted: what each probe of each site saw in each minute. All of it follows
//! from the site's number, so that whoever reads what was shipped knows what must come out. A site
//! has its own distance and jitter, busier by day, a little loss, and some outages a year.

use std::collections::BTreeMap;

use wanproof::base::time::Wall;
use wanproof::evidence::summary::{IntervalPart, ProbePart};
use wanproof::measure::histogram::Histogram;
use wanproof::measure::outcome::{Outcome, Outcomes};

/// The year begins with 2026.
pub const BEGIN: Wall = Wall::from_secs(1_767_225_600);
/// Seconds in it.
pub const YEAR: i64 = 365 * 86_400;
/// Probes of a site.
pub const PROBES: [&str; 4] = ["hq-a", "hq-b", "cloud-a", "cloud-b"];

/// Kinds of minute: how far the target is, how busy the hour is, and some of each.
const DISTANCES: u64 = 8;
const HOURS: u64 = 4;
const ALIKE: u64 = 8;

/// A site's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site(pub u64);

/// What is random in the script, and the same in every run (splitmix64).
pub fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Site {
    /// Its name.
    pub fn name(self) -> String {
        format!("site-{:05}", self.0)
    }

    /// Its outages: from and to, in seconds of the year, in order. Everything is lost in them.
    pub fn outages(self) -> Vec<(i64, i64)> {
        let count = 1 + random(self.0 ^ 0xdead) % 6;
        let mut all: Vec<(i64, i64)> = (0..count)
            .map(|each| {
                let dice = random(self.0.wrapping_mul(1000) + each);
                let from = i64::try_from(dice % (YEAR as u64 / 60)).expect("a year is short") * 60;
                (from, from + 60 * (2 + i64::try_from((dice >> 32) % 90).expect("it is below 90")))
            })
            .collect();
        all.sort_unstable();
        all
    }

    fn is_down(self, second: i64, outages: &[(i64, i64)]) -> bool {
        outages.iter().any(|(from, to)| (*from..*to).contains(&second))
    }
}

/// The kinds of minute, made once: histograms are dear to make, and real ones are shipped.
pub struct Script {
    minutes: Vec<IntervalPart>,
}

impl Script {
    /// Makes them.
    pub fn new() -> Self {
        let all = 0..DISTANCES * HOURS * ALIKE;
        Self {
            minutes: all
                .map(|kind| minute(kind / (HOURS * ALIKE), kind / ALIKE % HOURS, random(kind)))
                .collect(),
        }
    }

    /// What a site's probes saw in the whole minutes from a second of the year on.
    pub fn probes(&self, site: Site, second: i64, minutes: i64) -> Vec<ProbePart> {
        let outages = site.outages();
        let of = |(number, name): (usize, &&str)| ProbePart {
            name: (*name).to_owned(),
            service: Some(format!("ckt-{:05}-{}", site.0, number % 2)),
            kind: "icmp".to_owned(),
            target: format!("{name}.example.net"),
            address: Some(format!("192.0.2.{}", number + 1)),
            period_ms: 1000,
            timeout_ms: 2000,
            cutoff_ms: 1000,
            settings: "8wJ0m3zq".to_owned(),
            intervals: (0..minutes)
                .map(|each| self.interval(site, number, second + 60 * each, &outages))
                .collect(),
        };
        PROBES.iter().enumerate().map(of).collect()
    }

    fn interval(
        &self,
        site: Site,
        probe: usize,
        second: i64,
        outages: &[(i64, i64)],
    ) -> IntervalPart {
        let from = Wall::from_nanos(BEGIN.nanos() + second * 1_000_000_000);
        if site.is_down(second, outages) {
            return IntervalPart { from, ..lost() };
        }
        let distance = (site.0 + probe as u64) % DISTANCES;
        let hour = second / 3600 % 24;
        let busy = match hour {
            8..=11 | 13..=16 => 3,
            12 | 17..=18 => 2,
            7 | 19..=21 => 1,
            _ => 0,
        };
        let alike = random(site.0 ^ second.cast_unsigned() ^ ((probe as u64) << 40)) % ALIKE;
        let kind = (distance * HOURS + busy) * ALIKE + alike;
        IntervalPart {
            from,
            ..self.minutes[usize::try_from(kind).expect("it is a few hundred")].clone()
        }
    }
}

/// A minute in which nothing came back.
fn lost() -> IntervalPart {
    let mut outcomes = Outcomes::default();
    outcomes.push_run(60, Outcome::Lost);
    IntervalPart { outcomes, reasons: BTreeMap::from([("lost/timeout".to_owned(), 60)]), ..empty() }
}

fn empty() -> IntervalPart {
    IntervalPart {
        from: BEGIN,
        millis: 60_000,
        first_ms: 412,
        outcomes: Outcomes::default(),
        reasons: BTreeMap::new(),
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt_us: None,
        rtt_sum_ns: None,
        ipdv_us: None,
        ipdv_sum_ns: None,
        rfc3550_max_ns: None,
        phases_us: None,
    }
}

/// A minute of 60 sends; some are lost, the more the busier it is.
fn minute(distance: u64, busy: u64, seed: u64) -> IntervalPart {
    let (mut rtts, mut ipdvs) = (Histogram::new(), Histogram::new());
    let (mut rtt_sum, mut ipdv_sum, mut last) = (0, 0, None);
    let mut made = empty();
    for send in 0..60 {
        let dice = random(seed ^ (send << 8));
        if dice % 2000 < 2 + 4 * busy {
            made.outcomes.push(Outcome::Lost);
            *made.reasons.entry("lost/timeout".to_owned()).or_default() += 1;
            last = None;
            continue;
        }
        // A base, and a queue that is mostly short: the product of two dice.
        let (one, two) = ((dice >> 16) % 1000, (dice >> 32) % 1000);
        let nanos = 4_000_000
            + 9_000_000 * distance
            + (one * two * two / 1000) * (1 + busy) * 8
            + (dice >> 48) % 1000;
        made.outcomes.push(Outcome::Answered);
        made.kernel_stamped += 1;
        rtts.record_ns(nanos);
        rtt_sum += nanos;
        if let Some(before) = last {
            let ipdv = nanos.abs_diff(before);
            ipdvs.record_ns(ipdv);
            ipdv_sum += ipdv;
            made.rfc3550_max_ns = made.rfc3550_max_ns.max(Some(ipdv / 16));
        }
        last = Some(nanos);
    }
    IntervalPart {
        rtt_us: rtts.pack(),
        rtt_sum_ns: Some(rtt_sum),
        ipdv_us: ipdvs.pack(),
        ipdv_sum_ns: Some(ipdv_sum),
        ..made
    }
}
