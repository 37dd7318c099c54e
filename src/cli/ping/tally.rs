//! What one target's probes came to.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::base::decimal::{Exact, Rounding};
use crate::measure::event::{Event, Settled, Stamp};
use crate::measure::jitter::Jitter;
use crate::measure::outcome::{Outcome, Outcomes};
use crate::sla::mos;

use super::word;

/// So many outcomes are shown in a live line.
const RECENT: usize = 30;

/// One target's figures.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) target: String,
    pub(super) address: Option<IpAddr>,
    /// Each send by its number: its outcome, and its RTT in nanoseconds.
    sends: Vec<Option<(Outcome, u64)>>,
    duplicates: u64,
    reordered: u64,
    stragglers: u64,
    kernel: u64,
}

/// One settled probe, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Reply<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    seq: Option<u16>,
    outcome: char,
    rtt_us: Option<Time>,
    stamp: Option<&'static str>,
    ttl: Option<u8>,
    bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
}

/// One target's figures, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    sent: u64,
    outcomes: String,
    duplicates: u64,
    reordered: u64,
    stragglers: u64,
    kernel_stamped: u64,
    loss_percent: f64,
    rtt_us: Option<Spread>,
    ipdv_us: Option<Ipdv>,
    pdv_us: Option<Pdv>,
    rfc3550_max_us: Option<Time>,
    mos: Option<f64>,
}

/// A time, or a mean of times, exactly: the sum in nanoseconds, and of how many it is. JSON has it
/// in microseconds as it is; people see milliseconds, rounded once to three decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time {
    sum_ns: u128,
    of: u64,
}

/// Exact figures: a percentile is the smallest value that so many are not above.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Spread {
    min: Time,
    mean: Time,
    p50: Time,
    p90: Time,
    p95: Time,
    p99: Time,
    max: Time,
}

/// How far RTTs are above the least (RFC 5481).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Pdv {
    p95: Time,
    p99: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ipdv {
    mean: Time,
    p95: Time,
    max: Time,
}

impl Time {
    const fn one(nanos: u64) -> Self {
        Self { sum_ns: nanos as u128, of: 1 }
    }

    /// The mean; [`None`] of nothing.
    fn mean(all: impl Iterator<Item = u64>) -> Option<Self> {
        let (sum_ns, of) = all.fold((0, 0), |(sum, of), nanos| (sum + u128::from(nanos), of + 1));
        (of > 0).then_some(Self { sum_ns, of })
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "exact for every single time; fifteen digits are enough for a mean"
    )]
    fn micros(self) -> f64 {
        self.sum_ns as f64 / (self.of as f64 * 1000.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.micros())
    }
}

/// In milliseconds, with three decimals; a half goes up.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = u128::from(self.of) * 1000;
        let micros = (self.sum_ns + parts / 2) / parts;
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

impl Tally {
    pub(super) fn new(target: String) -> Self {
        Self { target, ..Self::default() }
    }

    pub(super) fn settle(&mut self, settled: &Settled) {
        if settled.reason.as_ref().is_some_and(|reason| reason.kind == "stopped") {
            return;
        }
        let index = usize::try_from(settled.send).unwrap_or(usize::MAX);
        if self.sends.len() <= index {
            self.sends.resize(index + 1, None);
        }
        self.sends[index] = Some((settled.outcome, settled.rtt_ns.unwrap_or(0)));
        self.kernel += u64::from(settled.stamp == Some(Stamp::Kernel));
    }

    /// Counts an answer that settles nothing, and says what it is.
    pub(super) fn count(&mut self, event: &Event) -> &'static str {
        let (count, what) = match event {
            Event::Duplicate { .. } => (&mut self.duplicates, "answered again"),
            Event::Reordered { .. } => (&mut self.reordered, "overtaken by a later one"),
            _ => (&mut self.stragglers, "answered after it was given up"),
        };
        *count += 1;
        what
    }

    pub(super) fn answered(&self) -> usize {
        self.rtts().count()
    }

    pub(super) fn reply<'a>(&'a self, settled: &Settled) -> Reply<'a> {
        Reply {
            target: &self.target,
            address: self.address,
            seq: settled.seq,
            outcome: settled.outcome.letter(),
            rtt_us: settled.rtt_ns.map(Time::one),
            stamp: settled.stamp.map(Stamp::word),
            ttl: settled.ttl,
            bytes: settled.bytes,
            reason: settled.reason.as_ref().map(ToString::to_string),
            from: settled.from.filter(|from| Some(*from) != self.address),
        }
    }

    /// One settled probe, for people.
    pub(super) fn told(&self, settled: &Settled) -> String {
        let mut line = self.target.clone();
        if let Some(address) = self.address.filter(|address| address.to_string() != self.target) {
            line.push_str(&format!(" ({address})"));
        }
        match settled.seq {
            Some(seq) => line.push_str(&format!("  seq {seq}")),
            None => line.push_str(&format!("  send {}", settled.send)),
        }
        match settled.rtt_ns {
            Some(rtt) => {
                line.push_str(&format!("  {} ms", Time::one(rtt)));
                line.extend(settled.ttl.map(|ttl| format!("  ttl {ttl}")));
                line.extend(settled.bytes.map(|bytes| format!("  {bytes} bytes")));
                if settled.outcome == Outcome::Late {
                    line.push_str("  late");
                }
                if settled.stamp == Some(Stamp::User) {
                    line.push_str("  (user-space stamp)");
                }
            }
            None => line.push_str(&format!("  {}", word(settled))),
        }
        line.extend(
            settled
                .from
                .filter(|from| Some(*from) != self.address)
                .map(|from| format!(", says {from}")),
        );
        line
    }

    pub(super) fn summary(&self) -> Summary<'_> {
        let (rtt, ipdv) = self.spreads();
        Summary {
            target: &self.target,
            address: self.address,
            sent: self.sent(),
            outcomes: self.outcomes().to_string(),
            duplicates: self.duplicates,
            reordered: self.reordered,
            stragglers: self.stragglers,
            kernel_stamped: self.kernel,
            loss_percent: self.loss_percent(3),
            rtt_us: rtt,
            ipdv_us: ipdv,
            pdv_us: self.pdv(),
            rfc3550_max_us: self.rfc3550_max(),
            mos: self.mos(),
        }
    }

    /// The cells of a live line: target, sent, lost, last, least, mean and greatest RTT, the last
    /// outcomes.
    pub(super) fn row(&self) -> Vec<String> {
        let last = self
            .sends
            .iter()
            .rev()
            .flatten()
            .find(|(outcome, _)| outcome.has_rtt())
            .map(|(_, rtt)| *rtt);
        let cell =
            |time: Option<Time>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
        let recent = self.sends.len().saturating_sub(RECENT);
        let letters = self.sends[recent..]
            .iter()
            .map(|send| send.map_or('.', |(outcome, _)| outcome.letter()));
        vec![
            self.target.clone(),
            self.sent().to_string(),
            format!("{:.1}", self.loss_percent(1)),
            cell(last.map(Time::one)),
            cell(self.rtts().min().map(Time::one)),
            cell(Time::mean(self.rtts())),
            cell(self.rtts().max().map(Time::one)),
            letters.collect(),
        ]
    }

    fn outcomes(&self) -> Outcomes {
        self.sends.iter().flatten().map(|(outcome, _)| *outcome).collect()
    }

    /// Those that were sent and observed.
    fn sent(&self) -> u64 {
        let outcomes = self.outcomes();
        outcomes.len() - outcomes.count(Outcome::NotSent) - outcomes.count(Outcome::NotObserved)
    }

    /// Of what was sent and observed, how much was not answered; in percent, rounded to so many
    /// decimals.
    fn loss_percent(&self, decimals: u32) -> f64 {
        let (sent, answered, unit) = (self.sent(), self.outcomes().with_rtt(), 10u64.pow(decimals));
        let units = ((sent - answered) * 100 * unit + sent / 2).checked_div(sent).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "at most 100,000")]
        let percent = units as f64 / unit as f64;
        percent
    }

    fn rtts(&self) -> impl Iterator<Item = u64> + '_ {
        self.sends.iter().flatten().filter(|(outcome, _)| outcome.has_rtt()).map(|(_, rtt)| *rtt)
    }

    /// The absolute differences of neighbouring sends that were both answered (RFC 5481, IPDV), in
    /// nanoseconds.
    fn differences(&self) -> impl Iterator<Item = u64> + '_ {
        let rtt = |send: &Option<(Outcome, u64)>| {
            send.filter(|(outcome, _)| outcome.has_rtt()).map(|(_, rtt)| rtt)
        };
        self.sends.windows(2).filter_map(move |pair| Some(rtt(&pair[0])?.abs_diff(rtt(&pair[1])?)))
    }

    fn pdv(&self) -> Option<Pdv> {
        let least = self.rtts().min()?;
        Sorted::of(self.rtts().map(|rtt| rtt - least).collect())
            .map(|all| Pdv { p95: all.at(95), p99: all.at(99) })
    }

    /// The highest interarrival jitter (RFC 3550, section 6.4.1).
    fn rfc3550_max(&self) -> Option<Time> {
        let mut jitter = Jitter::default();
        self.differences().map(|difference| jitter.add(difference)).max().map(Time::one)
    }

    /// The simplified E-model's score from mean RTT, mean |IPDV| and loss, with two decimals; see
    /// [`mos`].
    fn mos(&self) -> Option<f64> {
        let mean = |values: &mut dyn Iterator<Item = u64>| {
            let (count, sum) = values
                .fold((0i128, 0i128), |(count, sum), value| (count + 1, sum + i128::from(value)));
            Exact::ratio(sum, count * 1_000_000)
        };
        let latency = mean(&mut self.rtts())?;
        let jitter = mean(&mut self.differences()).unwrap_or_default();
        let (sent, answered) = (self.sent(), self.outcomes().with_rtt());
        let loss = Exact::ratio((sent - answered) * 100, sent)?;
        mos::score(&latency, &jitter, &loss).fixed(2, Rounding::HalfUp).parse().ok()
    }

    fn spreads(&self) -> (Option<Spread>, Option<Ipdv>) {
        let differences = self.differences().collect();
        let ipdv = Sorted::of(differences).map(|all| Ipdv {
            mean: all.mean(),
            p95: all.at(95),
            max: all.at(100),
        });
        let rtt = Sorted::of(self.rtts().collect()).map(|all| Spread {
            min: all.at(0),
            mean: all.mean(),
            p50: all.at(50),
            p90: all.at(90),
            p95: all.at(95),
            p99: all.at(99),
            max: all.at(100),
        });
        (rtt, ipdv)
    }
}

/// Values in rising order; there is one at least.
struct Sorted(Vec<u64>);

impl Sorted {
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        (!values.is_empty()).then_some(Self(values))
    }

    /// The nearest-rank percentile.
    fn at(&self, percent: usize) -> Time {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        Time::one(self.0[rank - 1])
    }

    fn mean(&self) -> Time {
        Time::mean(self.0.iter().copied()).expect("there is one at least")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.target)?;
        if let Some(address) = self.address.filter(|address| address.to_string() != self.target) {
            write!(f, " ({address})")?;
        }
        let outcomes = self.outcomes();
        write!(
            f,
            ": {} sent, {} answered, {} % lost",
            self.sent(),
            outcomes.with_rtt(),
            self.loss_percent(3)
        )?;
        for outcome in [Outcome::Late, Outcome::Refused, Outcome::NotSent, Outcome::NotObserved] {
            if outcomes.count(outcome) > 0 {
                write!(f, ", {} {}", outcomes.count(outcome), outcome.word())?;
            }
        }
        for (count, what) in [
            (self.duplicates, "duplicates"),
            (self.reordered, "reordered"),
            (self.stragglers, "too late"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        let (rtt, ipdv) = self.spreads();
        if let Some(Spread { min, mean, p50, p90, p95, p99, max }) = rtt {
            write!(f, "\n  RTT in ms: min {min}  mean {mean}  max {max}")?;
            write!(f, "\n             p50 {p50}  p90 {p90}  p95 {p95}  p99 {p99}")?;
            if self.kernel < outcomes.with_rtt() {
                write!(f, "\n  {} of {} stamped by the kernel", self.kernel, outcomes.with_rtt())?;
            }
        }
        if let Some(Ipdv { mean, p95, max }) = ipdv {
            write!(f, "\n  jitter (IPDV) in ms: mean {mean}  p95 {p95}  max {max}")?;
        }
        if let (Some(Pdv { p95, p99 }), Some(jitter)) = (self.pdv(), self.rfc3550_max()) {
            write!(f, "\n  above the least RTT (PDV) in ms: p95 {p95}  p99 {p99}")?;
            write!(f, "\n  RFC 3550 jitter in ms: at most {jitter}")?;
        }
        if let Some(mos) = self.mos() {
            write!(f, "\n  MOS {mos:.2} (simplified E-model)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::event::ProbeId;
    use crate::measure::outcome::Reason;
    use proptest::prelude::*;

    fn settled(send: u64, outcome: Outcome, rtt_ns: Option<u64>) -> Settled {
        Settled {
            probe: ProbeId(0),
            send,
            outcome,
            rtt_ns,
            stamp: rtt_ns.map(|_| Stamp::Kernel),
            reason: (outcome == Outcome::Lost).then_some(Reason::TIMEOUT),
            seq: u16::try_from(send).ok(),
            ttl: rtt_ns.map(|_| 57),
            bytes: rtt_ns.map(|_| 64),
            from: None,
            phases: Vec::new(),
        }
    }

    #[test]
    fn the_json_is_as_the_interface_says() {
        let mut tally = Tally::new("10.99.1.1".to_owned());
        tally.address = Some(IpAddr::from([10, 99, 1, 1]));
        let first = settled(0, Outcome::Answered, Some(24_012_400));
        tally.settle(&settled(2, Outcome::Lost, None));
        tally.settle(&settled(1, Outcome::Answered, Some(26_012_400)));
        tally.settle(&first);
        assert_eq!(
            serde_json::to_string(&tally.reply(&first)).unwrap(),
            "{\"target\":\"10.99.1.1\",\"address\":\"10.99.1.1\",\"seq\":0,\"outcome\":\"a\",\
             \"rtt_us\":24012.4,\"stamp\":\"kernel\",\"ttl\":57,\"bytes\":64}"
        );
        let summary = serde_json::to_value(tally.summary()).unwrap();
        assert_eq!((&summary["sent"], &summary["outcomes"]), (&3.into(), &"2a1l".into()));
        assert_eq!(summary["loss_percent"], 33.333);
        assert_eq!(
            (&summary["rtt_us"]["p50"], &summary["rtt_us"]["max"]),
            (&24012.4.into(), &26012.4.into())
        );
        assert_eq!(
            (&summary["rtt_us"]["mean"], &summary["ipdv_us"]["max"]),
            (&25012.4.into(), &2000.0.into())
        );
        assert_eq!(
            (&summary["pdv_us"]["p99"], &summary["rfc3550_max_us"]),
            (&2000.0.into(), &125.0.into())
        );
    }

    #[test]
    fn jitter_and_the_score_are_those_of_the_same_samples() {
        let mut tally = Tally::new("x".to_owned());
        for (send, ms) in (0..).zip([20, 22, 19, 25, 25]) {
            tally.settle(&settled(send, Outcome::Answered, Some(ms * 1_000_000)));
        }
        let summary = serde_json::to_value(tally.summary()).unwrap();
        assert_eq!(
            (&summary["ipdv_us"]["mean"], &summary["pdv_us"]["p95"]),
            (&2750.0.into(), &6000.0.into())
        );
        // RFC 3550: 0.125, 0.304688, 0.660645 and 0.619354 ms.
        assert_eq!(summary["rfc3550_max_us"], 660.645);
        // L = 22.2 + 5.5 + 10, R = 93.2 - 37.7 / 40 = 92.2575, MOS = 4.3899.
        assert_eq!(summary["mos"], 4.39);
        assert!(tally.to_string().lines().all(|line| line.chars().count() <= 80), "{tally}");
    }

    #[test]
    fn what_people_see_is_the_exact_figure_rounded_once() {
        let mut tally = Tally::new("x".to_owned());
        // By way of a tenth of a microsecond they would be 12.001 and 12.002; the mean is
        // 12.000949667 ms.
        for (send, nanos) in (0..).zip([12_000_450, 12_001_450, 12_000_949]) {
            tally.settle(&settled(send, Outcome::Answered, Some(nanos)));
        }
        let summary = serde_json::to_value(tally.summary()).unwrap();
        assert_eq!(
            (&summary["rtt_us"]["min"], &summary["rtt_us"]["max"]),
            (&12_000.45.into(), &12_001.45.into())
        );
        assert!(
            (summary["rtt_us"]["mean"].as_f64().unwrap() - 36_002.849 / 3.0).abs() < 1e-9,
            "{summary}"
        );
        assert!(tally.to_string().contains("min 12.000  mean 12.001  max 12.001"), "{tally}");
        assert_eq!(tally.row()[3..7], ["12.001", "12.000", "12.001", "12.001"].map(str::to_owned));
        for of in [Outcome::Answered, Outcome::Lost] {
            let mut tally = Tally::new("x".to_owned());
            (0..2019).for_each(|send| tally.settle(&settled(send, Outcome::Answered, Some(1))));
            tally.settle(&settled(2019, of, (of == Outcome::Answered).then_some(1)));
            assert_eq!(tally.row()[2], "0.0", "1 of 2020 is 0.0495 %, not 0.050");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_shown_to_the_nearest_microsecond(
            all in proptest::collection::vec(0u64..60_000_000_000, 1..9),
        ) {
            let time = Time::mean(all.iter().copied()).unwrap();
            let micros: u128 = time.to_string().replace('.', "").parse().unwrap();
            let parts = 1000 * all.len() as u128;
            let sum: u128 = all.iter().map(|&nanos| u128::from(nanos)).sum();
            prop_assert!(2 * sum.abs_diff(micros * parts) <= parts, "{time}");
            prop_assert!((time.micros() - sum as f64 / parts as f64).abs() < 1e-6);
        }
    }

    #[test]
    fn what_was_not_sent_is_no_loss() {
        let mut tally = Tally::new("x".to_owned());
        tally.settle(&settled(0, Outcome::NotSent, None));
        tally.settle(&settled(1, Outcome::NotObserved, None));
        let summary = tally.summary();
        assert_eq!((summary.sent, summary.loss_percent, summary.rtt_us), (0, 0.0, None));
        assert!(tally.to_string().contains("1 not-sent, 1 not-observed"), "{tally}");
    }
}
