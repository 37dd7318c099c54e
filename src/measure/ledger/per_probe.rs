//! One probe's intervals that were not given out yet.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Now, Wall};
use crate::measure::event::{ProbeId, Settled, Stamp};

use super::interval::{EndedInterval, OpenInterval, round_ms};
use super::settled_send::SettledSend;
use super::slot::Slot;
use super::stretch::Stretch;

/// Room is made for no more sends than this at once.
pub(super) const ROOM: usize = 1024;

/// One probe's page.
#[derive(Debug)]
pub(super) struct ProbeIntervals {
    pub(super) period: Duration,
    /// Where it is sent to now.
    pub(super) address: Option<IpAddr>,
    /// The interval that is being filled; none once the probe was removed, and its last ones wait
    /// for their siblings.
    pub(super) filling: Option<OpenInterval>,
    /// Those before it that were not taken out yet, oldest first. Mostly there are none: then it
    /// holds no memory.
    pub(super) ended: Vec<EndedInterval>,
    /// Which sends have been told in order: all below this number.
    pub(super) told: u64,
}

impl ProbeIntervals {
    pub(super) fn new(period: Duration, stretch: Stretch) -> Self {
        let filling = Some(OpenInterval::new(stretch, stretch.from, stretch.begun));
        Self { period, address: None, filling, ended: Vec::new(), told: 0 }
    }

    /// All intervals that were not taken out yet, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &OpenInterval> {
        self.ended.iter().map(|ended| &ended.open).chain(&self.filling)
    }

    pub(super) fn all_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut OpenInterval> {
        self.ended.iter_mut().map(|ended| &mut ended.open).chain(&mut self.filling)
    }

    pub(super) fn begin(&mut self, stretch: Stretch, from: Wall, at: Mono) {
        self.end(at);
        self.filling = Some(OpenInterval::new(stretch, from, at));
    }

    /// Ends what is being filled.
    pub(super) fn end(&mut self, at: Mono) {
        if let Some(open) = self.filling.take() {
            self.ended.reserve_exact(1);
            self.ended.push(EndedInterval { open, at, address: self.address });
        }
    }

    /// The address changed: what was sent to the old one is an interval of its own.
    pub(super) fn moved(&mut self, stretch: Stretch, now: Now, address: Option<IpAddr>) {
        if let Some(filling) = self.filling.as_ref().filter(|filling| !filling.slots.is_empty()) {
            // It begins with the next send, which is due after the last one that was announced.
            let at = filling.first_due
                + self.period * u32::try_from(filling.slots.len()).unwrap_or(u32::MAX);
            let at = at.min(stretch.ends).max(filling.begun);
            let from = now.wall_of(at).floor(Duration::from_millis(1));
            self.begin(stretch, from, at);
        }
        self.address = address;
    }

    /// `ends` is where the present span does.
    pub(super) fn due(&mut self, send: u64, at: Mono, ends: Mono) {
        let Some(filling) = &mut self.filling else { return };
        // Another probe's send may have turned the page just before this one was announced.
        let early = filling.slots.is_empty() && at < filling.begun;
        let (open, ends) = match self.ended.last_mut() {
            Some(before) if early => (&mut before.open, before.at),
            _ => (filling, ends),
        };
        if open.slots.is_empty() {
            open.first_send = send;
            open.first_due = at;
            let more = ends.since(at).as_nanos() / self.period.as_nanos().max(1);
            open.slots
                .reserve_exact(usize::try_from(more).unwrap_or(ROOM).saturating_add(1).min(ROOM));
        }
        open.slots.push(Slot::OPEN);
        open.unsettled += 1;
    }

    pub(super) fn find(&mut self, send: u64) -> Option<(&mut OpenInterval, usize)> {
        self.all_mut().rev().find_map(|open| {
            let index = usize::try_from(send.checked_sub(open.first_send)?).ok()?;
            (index < open.slots.len()).then_some((open, index))
        })
    }

    pub(super) fn settle(&mut self, settled: &Settled) {
        let target = self.address;
        let Some((open, index)) = self.find(settled.send) else { return };
        if open.slots[index] != Slot::OPEN {
            return;
        }
        let reason = settled.reason.as_ref().map(|reason| open.extra().count(reason));
        open.slots[index] = Slot::settled(settled, target, reason);
        open.unsettled -= 1;
        if settled.outcome.has_rtt() && settled.stamp == Some(Stamp::Kernel) {
            open.kernel_stamped += 1;
        }
        if !settled.phases.is_empty() {
            open.extra().phases.extend_from_slice(&settled.phases);
        }
        if let Some(marks) = open.marks() {
            marks.settled(index, settled);
        }
    }

    /// Whether the oldest interval has ended and waits for nothing.
    pub(super) fn is_ripe(&self) -> bool {
        self.ended.first().is_some_and(|oldest| oldest.open.unsettled == 0)
    }

    /// Takes out the oldest interval, where it is so.
    pub(super) fn take_ripe(&mut self) -> Option<EndedInterval> {
        let oldest = self.is_ripe().then(|| self.ended.remove(0))?;
        self.ended.shrink_to_fit();
        Some(oldest)
    }

    /// Tells what has been settled in order since the last time.
    pub(super) fn tell(&mut self, probe: ProbeId, told: &mut Vec<SettledSend>) {
        let mut next = self.told;
        'all: for open in self.all().filter(|open| !open.slots.is_empty()) {
            let Some(skip) =
                next.checked_sub(open.first_send).and_then(|skip| usize::try_from(skip).ok())
            else {
                break;
            };
            for (index, slot) in open.slots.iter().enumerate().skip(skip) {
                let Some(outcome) = slot.outcome() else { break 'all };
                let offset = self.period * u32::try_from(index).unwrap_or(u32::MAX);
                // As the interval will say it: to the millisecond.
                let due = open.from
                    + Duration::from_millis(round_ms(open.first_due - open.begun))
                    + offset;
                let reason = slot
                    .reason()
                    .and_then(|place| Some(open.extra.as_ref()?.reasons.get(place)?.0.clone()));
                told.push(SettledSend {
                    probe,
                    due,
                    outcome,
                    carrier: slot.carrier(),
                    word: slot.word(),
                    reason,
                });
                next += 1;
            }
        }
        self.told = next;
    }
}
