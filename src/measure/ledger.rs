//! The minute's book: takes what the prober says and makes intervals of it, in whole minutes.
//!
//! All probes share the same cuts: the ends of the UTC minutes, and the instants at which the wall
//! clock was stepped. The intervals between two cuts are siblings, and are given out together once
//! every send that was due in them is settled, so that they can be stored in one transaction and
//! summarised in order.
//!
//! Lengths come from the monotonic clock; the wall clock only labels where an interval begins.
//! While nobody knows what time it is the labels are provisional, and with each interval goes what
//! can be [labelled later](Provisional).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Now, Wall, nanos_of};
use crate::measure::event::{Event, ProbeId};
use crate::measure::histogram::Values;
use crate::measure::interval::Interval;
use crate::measure::provisional::{Provisional, SendMarks};

use per_probe::ProbeIntervals;
use stretch::{Labels, MINUTE, Stretch};

pub use settled_send::{CarrierLoss, SettledSend, TargetWord};

mod interval;
mod per_probe;
mod settled_send;
mod siblings;
mod slot;
mod stretch;

/// The wall clock has been stepped when it is this far from where the monotonic clock says that it
/// should be. An NTP daemon that slews by 500 ppm, the kernel's limit, moves it by 30 ms within a
/// minute.
pub const STEP: Duration = Duration::from_millis(100);

/// How long after a minute's end a due send of it may still be announced.
const GRACE: Duration = Duration::from_secs(1);

/// The book of all probes.
#[derive(Debug)]
pub struct Ledger {
    /// By the probe's place.
    probes: Vec<Option<ProbeIntervals>>,
    /// Cuts are due at the multiples of this, once the present interval has ended.
    every: Duration,
    /// The last reading of both clocks that is relied on for labels.
    anchor: Now,
    /// The intervals that are being filled belong to this one.
    stretch: Stretch,
    /// Finished intervals whose siblings are not all finished yet.
    finished: BTreeMap<u64, Vec<FinishedInterval>>,
    /// Whether an interval may have been finished since the last look: to look at all of them costs
    /// more than to keep them.
    ripe: bool,
    /// Up to when all were given out at the last look.
    complete: Wall,
    /// How late this program was at worst in each span that is not finished, by its number.
    late: VecDeque<(u64, Duration)>,
    /// Empty, but for the moment in which an interval is finished.
    scratch: Values,
}

/// An answer that is not the first, or not in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Duplicate,
    Reordered,
}

/// A finished interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedInterval {
    /// Which probe.
    pub probe: ProbeId,
    /// The address that it was sent to, where it was known.
    pub address: Option<IpAddr>,
    /// What it saw.
    pub interval: Interval,
    /// The same to be labelled later, where the interval's labels are provisional.
    pub provisional: Option<Box<Provisional>>,
}

/// The wall clock was stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, by the clock after the step.
    pub at: Wall,
    /// By how many nanoseconds; negative when it was set back.
    pub by_ns: i64,
}

impl Ledger {
    /// A book whose first interval begins now. It is cut at the ends of UTC minutes, or, where
    /// `every` is shorter and divides a minute, at the multiples of that.
    #[must_use]
    pub fn new(periods: impl IntoIterator<Item = Duration>, every: Duration, now: Now) -> Self {
        let every = every.min(MINUTE);
        let stretch = Stretch::new(0, Labels::Known, every, now, now.mono);
        let probes =
            periods.into_iter().map(|period| Some(ProbeIntervals::new(period, stretch))).collect();
        Self {
            probes,
            every,
            anchor: now,
            stretch,
            finished: BTreeMap::new(),
            ripe: false,
            complete: stretch.from,
            late: VecDeque::new(),
            scratch: Values::default(),
        }
    }

    /// Labels are provisional from here on, until [`Self::label_by`]; to be called before anything
    /// is due.
    pub fn hold(&mut self) {
        self.stretch.labels = Labels::Provisional;
        for open in self.probes.iter_mut().flatten().flat_map(ProbeIntervals::all_mut) {
            open.extra().marks = Some(SendMarks::default());
        }
    }

    /// The wall clock can be relied on from now on: provisional intervals end here, and what is
    /// told of their last sends from now on is by this clock.
    pub fn label_by(&mut self, now: Now) {
        let by_ns = now.wall.nanos_since(self.anchor.wall_of(now.mono));
        self.turn_to(now.mono);
        self.stretch.labels = Labels::Known;
        self.cut(now.mono, now);
        for open in self.probes.iter_mut().flatten().flat_map(ProbeIntervals::all_mut) {
            if open.marks().is_some() {
                open.from = open.from.shifted(by_ns);
            }
        }
    }

    /// Takes a probe in, at a place that [is free](Self::holds); its first interval begins now,
    /// within the present one of the others.
    pub fn add(&mut self, probe: ProbeId, period: Duration, now: Now) {
        let place = probe.0 as usize;
        if self.probes.len() <= place {
            self.probes.resize_with(place + 1, || None);
        }
        let begun = now.mono.min(self.stretch.ends);
        let from = self.anchor.wall_of(begun).floor(Duration::from_millis(1));
        self.ripe = true;
        self.probes[place] =
            Some(ProbeIntervals::new(period, Stretch { from, begun, ..self.stretch }));
    }

    /// Lets a probe go, all of whose sends are settled; its interval ends now.
    pub fn remove(&mut self, probe: ProbeId, now: Now) {
        let ends = now.mono.min(self.stretch.ends);
        self.ripe = true;
        if let Some(intervals) = self.of(probe) {
            let begun = intervals.filling.as_ref().map_or(ends, |filling| filling.begun);
            intervals.end(ends.max(begun));
        }
    }

    /// Whether a place is still in use: by a probe, or by the last intervals of one that was
    /// removed.
    #[must_use]
    pub fn holds(&self, probe: ProbeId) -> bool {
        self.probes.get(probe.0 as usize).is_some_and(Option::is_some)
    }

    /// Cuts at the multiples of another length, as in [`Self::new`], once the present interval has
    /// ended.
    pub fn cut_every(&mut self, every: Duration) {
        self.every = every.min(MINUTE);
    }

    /// Takes one event; what it settles is appended to `told`, in the order of the sends.
    pub fn apply(&mut self, event: &Event, told: &mut Vec<SettledSend>) {
        match event {
            Event::Due { probe, send, at } => {
                if *at >= self.stretch.ends {
                    self.turn_to(*at);
                }
                let ends = self.stretch.ends;
                if let Some(intervals) = self.of(*probe) {
                    intervals.due(*send, *at, ends);
                }
            }
            Event::Settled(settled) => {
                if let Some(Some(intervals)) = self.probes.get_mut(settled.probe.0 as usize) {
                    intervals.settle(settled);
                    self.ripe |= intervals.is_ripe();
                    intervals.tell(settled.probe, told);
                }
            }
            Event::Duplicate { probe, send } => self.count(*probe, *send, Again::Duplicate),
            Event::Reordered { probe, send } => self.count(*probe, *send, Again::Reordered),
            Event::Address { probe, address } => {
                let (stretch, at) = (self.stretch, self.anchor);
                if let Some(intervals) = self.of(*probe)
                    && intervals.address != *address
                {
                    intervals.moved(stretch, at, *address);
                    self.ripe = true;
                }
            }
            Event::Lag { send, .. } => match self.late.back_mut() {
                Some((span, worst)) if *span == self.stretch.number => *worst = (*worst).max(*send),
                _ => self.late.push_back((self.stretch.number, *send)),
            },
            Event::Straggler { .. } | Event::Hops { .. } | Event::Certificate { .. } => {}
        }
    }

    /// Turns the page where a minute has ended or the clock was stepped. To be called after the
    /// events up to `now` were applied.
    pub fn advance(&mut self, now: Now) -> Option<Step> {
        let by_ns = now.wall.nanos_since(self.anchor.wall_of(now.mono));
        if by_ns.unsigned_abs() >= nanos_of(STEP).unsigned_abs() {
            self.turn_to(now.mono);
            self.cut(now.mono, now);
            return Some(Step { at: now.wall, by_ns });
        }
        if now.mono >= self.stretch.ends + GRACE {
            self.turn_to(Mono::from_nanos(
                now.mono.nanos().saturating_sub(nanos_of(GRACE).unsigned_abs()),
            ));
        }
        // The clock is followed once a minute's page is turned; a slew within the minute stays
        // below a step.
        if now.mono < self.stretch.begun + self.stretch.every / 2 {
            self.anchor = now;
            self.stretch.ends = now.mono_of(self.stretch.due_end());
        }
        None
    }

    /// Ends every interval now; what is not settled then still is waited for.
    pub fn close(&mut self, now: Now) {
        // The page may have been due to be turned, but left open for sends that are announced late.
        self.turn_to(now.mono);
        self.cut(now.mono, now);
    }

    /// The wall time of a monotonic instant, by the present labels.
    #[must_use]
    pub fn label(&self, at: Mono) -> Wall {
        self.anchor.wall_of(at)
    }

    fn of(&mut self, probe: ProbeId) -> Option<&mut ProbeIntervals> {
        self.probes.get_mut(probe.0 as usize)?.as_mut()
    }

    fn count(&mut self, probe: ProbeId, send: u64, what: Again) {
        // An answer that comes after its interval was given out is beyond counting; it never
        // reopens one.
        if let Some((open, index)) = self.of(probe).and_then(|intervals| intervals.find(send)) {
            let extra = open.extra();
            let count = match what {
                Again::Duplicate => &mut extra.duplicates,
                Again::Reordered => &mut extra.reordered,
            };
            *count = count.saturating_add(1);
            match (&mut extra.marks, what) {
                (Some(marks), Again::Duplicate) => marks.duplicate(index),
                (Some(marks), Again::Reordered) => marks.reordered(index),
                (None, _) => {}
            }
        }
    }

    /// Turns the minutes' pages up to the one that holds `at`.
    fn turn_to(&mut self, at: Mono) {
        while at >= self.stretch.ends {
            let ends = self.stretch.ends;
            let due_end = self.stretch.due_end();
            self.cut(ends, Now { wall: due_end, mono: ends });
        }
    }

    /// Ends the present span at `at` and begins another, labelled by `anchor`.
    fn cut(&mut self, at: Mono, anchor: Now) {
        self.stretch =
            Stretch::new(self.stretch.number + 1, self.stretch.labels, self.every, anchor, at);
        self.anchor = anchor;
        self.ripe = true;
        for intervals in
            self.probes.iter_mut().flatten().filter(|intervals| intervals.filling.is_some())
        {
            intervals.begin(self.stretch, self.stretch.from, at);
        }
    }
}

#[cfg(test)]
mod tests;
