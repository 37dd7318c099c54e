//! The minute's book: takes what the prober says and makes intervals of it, in whole minutes.
//!
//! All probes share the same cuts: the ends of the UTC minutes, and the instants at which the wall
//! clock was stepped. The intervals between two cuts are siblings, and are given out together once
//! every send that was due in them is settled, so that they can be stored in one transaction and
//! summarised in order.
//!
//! Lengths come from the monotonic clock; the wall clock only labels where an interval begins.
//! While nobody knows what time it is the labels are provisional, and with each interval goes what
//! can be [labelled later](Unlabelled).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::{Mono, Now, Wall, nanos_of};
use crate::measure::event::{Event, ProbeId, Settled, Stamp};
use crate::measure::histogram::{Recorded, Values};
use crate::measure::interval::{Interval, Phase, Spread};
use crate::measure::jitter::Jitter;
use crate::measure::lag;
use crate::measure::outcome::{Outcome, Outcomes, Reason};
use crate::measure::provisional::{Provisional, Trace};

/// The wall clock has been stepped when it is this far from where the monotonic clock says that it
/// should be. An NTP daemon that slews by 500 ppm, the kernel's limit, moves it by 30 ms within a
/// minute.
pub const STEP: Duration = Duration::from_millis(100);
/// How long after a minute's end a due send of it may still be announced.
const GRACE: Duration = Duration::from_secs(1);
/// The longest interval.
const MINUTE: Duration = Duration::from_secs(60);
/// Room is made for no more sends than this at once.
const ROOM: usize = 1024;

/// The book of all probes.
#[derive(Debug)]
pub struct Ledger {
    /// By the probe's place.
    sheets: Vec<Option<Sheet>>,
    /// Cuts are due at the multiples of this, once the present interval has ended.
    every: Duration,
    /// The last reading of both clocks that is relied on for labels.
    anchor: Now,
    /// The intervals that are being filled belong to this one.
    span: Span,
    /// Finished intervals whose siblings are not all finished yet.
    finished: BTreeMap<u64, Vec<Closed>>,
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

/// What the labels are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Labels {
    /// They are the wall clock's.
    Known,
    /// They are provisional: the wall clock was not set yet.
    Provisional,
}

/// What lies between two cuts.
#[derive(Clone, Copy, Debug)]
struct Span {
    number: u64,
    labels: Labels,
    from: Wall,
    begun: Mono,
    /// Where the next cut is due, by the anchor.
    ends: Mono,
    /// Cuts are due at the multiples of this; a minute, or what divides it.
    every: Duration,
}

/// One probe's page.
#[derive(Debug)]
struct Sheet {
    period: Duration,
    /// Where it is sent to now.
    address: Option<IpAddr>,
    /// The interval that is being filled; none once the probe was removed, and its last ones wait
    /// for their siblings.
    filling: Option<Open>,
    /// Those before it that were not taken out yet, oldest first. Mostly there are none: then it
    /// holds no memory.
    ended: Vec<Ended>,
    /// Which sends have been told in order: all below this number.
    told: u64,
}

/// An interval that has begun. It is small, since there is one for each probe.
#[derive(Debug)]
struct Open {
    span: u64,
    from: Wall,
    begun: Mono,
    /// The number of the first send, where there is one.
    first_send: u64,
    first_due: Mono,
    slots: Vec<Slot>,
    unsettled: u32,
    kernel_stamped: u32,
    extra: Option<Box<Extra>>,
}

/// What most intervals have nothing of.
#[derive(Debug, Default)]
struct Extra {
    reasons: Vec<(Reason, u32)>,
    phases: Vec<(Phase, u64)>,
    duplicates: u32,
    reordered: u32,
    /// What is known of single sends, while labels are provisional.
    trace: Option<Trace>,
}

impl Extra {
    /// Counts one more send that was not answered for this reason; gives the place of the reason,
    /// which stays.
    fn count(&mut self, reason: &Reason) -> usize {
        let known = self.reasons.iter().position(|(known, _)| known == reason);
        let place = known.unwrap_or_else(|| {
            self.reasons.push((reason.clone(), 0));
            self.reasons.len() - 1
        });
        self.reasons[place].1 += 1;
        place
    }
}

/// An interval that has ended, and may wait for its last sends.
#[derive(Debug)]
struct Ended {
    open: Open,
    at: Mono,
    address: Option<IpAddr>,
}

/// A send: unsettled, or its outcome and RTT in nanoseconds. It takes five bytes, since there is
/// one for every send of a minute: the outcome's place plus one in the top three bits, the RTT
/// below them, which is a minute at most. A send without an RTT has a mark in the lowest bit (for
/// one that was not sent, whether the carrier was missing; for one that was refused, whether the
/// target itself did), and above it the place of its reason among those of the interval, plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot([u8; 5]);

impl Slot {
    const OPEN: Self = Self([0; 5]);
    const SHIFT: u32 = 37;
    const LOW: u64 = (1 << Self::SHIFT) - 1;

    /// `reason` is the place of its reason among those of the interval, if it has one.
    fn settled(settled: &Settled, target: Option<IpAddr>, reason: Option<usize>) -> Self {
        let place = Outcome::ALL
            .iter()
            .position(|&each| each == settled.outcome)
            .expect("ALL has every outcome");
        let marked = |mark: bool| {
            u64::from(mark) | reason.map_or(0, |place| (place as u64 + 1) << 1) & Self::LOW
        };
        let low = match settled.outcome {
            Outcome::Answered | Outcome::Late => settled.rtt_ns.unwrap_or(0).min(Self::LOW),
            Outcome::NotSent => marked(settled.reason.as_ref() == Some(&Reason::CARRIER)),
            Outcome::Refused => marked(settled.is_by(target)),
            Outcome::Lost | Outcome::NotObserved => marked(false),
        };
        let [_, _, _, bytes @ ..] = (((place as u64 + 1) << Self::SHIFT) | low).to_be_bytes();
        Self(bytes)
    }

    fn bits(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_be_bytes([0, 0, 0, a, b, c, d, e])
    }

    fn carrier(self) -> CarrierLoss {
        if self.outcome() == Some(Outcome::NotSent) && self.bits() & 1 != 0 {
            CarrierLoss::Yes
        } else {
            CarrierLoss::No
        }
    }

    fn word(self) -> TargetWord {
        if self.outcome() == Some(Outcome::Refused) && self.bits() & 1 != 0 {
            TargetWord::Given
        } else {
            TargetWord::None
        }
    }

    fn outcome(self) -> Option<Outcome> {
        let place =
            usize::try_from(self.bits() >> Self::SHIFT).expect("three bits").checked_sub(1)?;
        Some(Outcome::ALL[place])
    }

    /// The place of its reason among those of its interval.
    fn reason(self) -> Option<usize> {
        let outcome = self.outcome().filter(|outcome| !outcome.has_rtt());
        outcome.and_then(|_| usize::try_from((self.bits() & Self::LOW) >> 1).ok()?.checked_sub(1))
    }

    fn rtt_ns(self) -> Option<u64> {
        self.outcome().filter(|outcome| outcome.has_rtt()).map(|_| self.bits() & Self::LOW)
    }
}

/// An answer that is not the first, or not in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Duplicate,
    Reordered,
}

/// A finished interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which probe.
    pub probe: ProbeId,
    /// The address that it was sent to, where it was known.
    pub address: Option<IpAddr>,
    /// What it saw.
    pub interval: Interval,
    /// The same to be labelled later, where the interval's labels are provisional.
    pub unlabelled: Option<Box<Provisional>>,
}

/// Whether a send that was refused was refused by the target itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetWord {
    /// It was: packets went there and back.
    Given,
    /// It was not refused, or by somebody on the way.
    None,
}

/// One send's outcome, told in the order of the sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledSend {
    /// Which probe.
    pub probe: ProbeId,
    /// When it was due.
    pub due: Wall,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it was not sent for want of a carrier.
    pub carrier: CarrierLoss,
    /// Whether the target itself refused it.
    pub word: TargetWord,
    /// Why it was not answered.
    pub reason: Option<Reason>,
}

/// Whether a send failed for want of a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarrierLoss {
    /// The interface had no carrier.
    Yes,
    /// It had one, or it is not known.
    No,
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
        let span = Span::new(0, Labels::Known, every, now, now.mono);
        let sheets = periods.into_iter().map(|period| Some(Sheet::new(period, span))).collect();
        Self {
            sheets,
            every,
            anchor: now,
            span,
            finished: BTreeMap::new(),
            ripe: false,
            complete: span.from,
            late: VecDeque::new(),
            scratch: Values::default(),
        }
    }

    /// Labels are provisional from here on, until [`Self::label_by`]; to be called before anything
    /// is due.
    pub fn hold(&mut self) {
        self.span.labels = Labels::Provisional;
        for open in self.sheets.iter_mut().flatten().flat_map(Sheet::all_mut) {
            open.extra().trace = Some(Trace::default());
        }
    }

    /// The wall clock can be relied on from now on: provisional intervals end here, and what is
    /// told of their last sends from now on is by this clock.
    pub fn label_by(&mut self, now: Now) {
        let by_ns = now.wall.nanos_since(self.anchor.wall_of(now.mono));
        self.turn_to(now.mono);
        self.span.labels = Labels::Known;
        self.cut(now.mono, now);
        for open in self.sheets.iter_mut().flatten().flat_map(Sheet::all_mut) {
            if open.trace().is_some() {
                open.from = open.from.shifted(by_ns);
            }
        }
    }

    /// Takes a probe in, at a place that [is free](Self::holds); its first interval begins now,
    /// within the present one of the others.
    pub fn add(&mut self, probe: ProbeId, period: Duration, now: Now) {
        let place = probe.0 as usize;
        if self.sheets.len() <= place {
            self.sheets.resize_with(place + 1, || None);
        }
        let begun = now.mono.min(self.span.ends);
        let from = self.anchor.wall_of(begun).floor(Duration::from_millis(1));
        self.ripe = true;
        self.sheets[place] = Some(Sheet::new(period, Span { from, begun, ..self.span }));
    }

    /// Lets a probe go, all of whose sends are settled; its interval ends now.
    pub fn remove(&mut self, probe: ProbeId, now: Now) {
        let ends = now.mono.min(self.span.ends);
        self.ripe = true;
        if let Some(sheet) = self.sheet(probe) {
            let begun = sheet.filling.as_ref().map_or(ends, |filling| filling.begun);
            sheet.end(ends.max(begun));
        }
    }

    /// Whether a place is still in use: by a probe, or by the last intervals of one that was
    /// removed.
    #[must_use]
    pub fn holds(&self, probe: ProbeId) -> bool {
        self.sheets.get(probe.0 as usize).is_some_and(Option::is_some)
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
                if *at >= self.span.ends {
                    self.turn_to(*at);
                }
                let ends = self.span.ends;
                if let Some(sheet) = self.sheet(*probe) {
                    sheet.due(*send, *at, ends);
                }
            }
            Event::Settled(settled) => {
                if let Some(Some(sheet)) = self.sheets.get_mut(settled.probe.0 as usize) {
                    sheet.settle(settled);
                    self.ripe |= sheet.is_ripe();
                    sheet.tell(settled.probe, told);
                }
            }
            Event::Duplicate { probe, send } => self.count(*probe, *send, Again::Duplicate),
            Event::Reordered { probe, send } => self.count(*probe, *send, Again::Reordered),
            Event::Address { probe, address } => {
                let (span, at) = (self.span, self.anchor);
                if let Some(sheet) = self.sheet(*probe)
                    && sheet.address != *address
                {
                    sheet.moved(span, at, *address);
                    self.ripe = true;
                }
            }
            Event::Lag { send, .. } => match self.late.back_mut() {
                Some((span, worst)) if *span == self.span.number => *worst = (*worst).max(*send),
                _ => self.late.push_back((self.span.number, *send)),
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
        if now.mono >= self.span.ends + GRACE {
            self.turn_to(Mono::from_nanos(
                now.mono.nanos().saturating_sub(nanos_of(GRACE).unsigned_abs()),
            ));
        }
        // The clock is followed once a minute's page is turned; a slew within the minute stays
        // below a step.
        if now.mono < self.span.begun + self.span.every / 2 {
            self.anchor = now;
            self.span.ends = now.mono_of(self.span.due_end());
        }
        None
    }

    /// Ends every interval now; what is not settled then still is waited for.
    pub fn close(&mut self, now: Now) {
        // The page may have been due to be turned, but left open for sends that are announced late.
        self.turn_to(now.mono);
        self.cut(now.mono, now);
    }

    /// Takes out the intervals whose siblings are all finished, oldest first. Each element is a
    /// whole set of siblings.
    pub fn finished(&mut self) -> Vec<Vec<Closed>> {
        if !std::mem::take(&mut self.ripe) {
            return Vec::new();
        }
        let Self { sheets, late, scratch, finished, .. } = self;
        let siblings = sheets.len();
        for (number, sheet) in sheets.iter_mut().enumerate() {
            let Some(sheet) = sheet else { continue };
            let probe = ProbeId(u32::try_from(number).expect("fewer than 2^32 probes"));
            while let Some(ended) = sheet.take_ripe() {
                let Ended { open, at, address } = &ended;
                // A cut just where another was: nothing was observed between the two.
                if open.slots.is_empty() && *at == open.begun {
                    continue;
                }
                let late = late
                    .iter()
                    .find(|(span, _)| *span == open.span)
                    .map_or(Duration::ZERO, |(_, worst)| *worst);
                let closed = Closed {
                    probe,
                    address: *address,
                    interval: ended.finish(sheet.period, late, scratch),
                    unlabelled: ended.unlabelled(sheet.period, late),
                };
                finished
                    .entry(open.span)
                    .or_insert_with(|| Vec::with_capacity(siblings))
                    .push(closed);
            }
        }
        let waits_for = self.fronts().map(|open| open.span).min();
        let later = match waits_for {
            Some(number) => {
                self.late.retain(|(span, _)| *span >= number);
                self.finished.split_off(&number)
            }
            None => BTreeMap::new(),
        };
        self.complete = self.fronts().map(|open| open.from).min().unwrap_or(self.span.from);
        let complete = std::mem::replace(&mut self.finished, later).into_values().collect();
        self.clear();
        complete
    }

    /// Frees the places of probes that were removed and whose intervals were all given out.
    fn clear(&mut self) {
        for (place, sheet) in self.sheets.iter_mut().enumerate() {
            let leaves = |sheet: &Sheet| sheet.filling.is_none() && sheet.ended.is_empty();
            let waits =
                || self.finished.values().flatten().any(|closed| closed.probe.0 as usize == place);
            if sheet.as_ref().is_some_and(leaves) && !waits() {
                *sheet = None;
            }
        }
    }

    /// Up to when all intervals have been given out by [`Self::finished`].
    #[must_use]
    pub const fn complete_until(&self) -> Wall {
        self.complete
    }

    /// The oldest interval of each probe that has not been given out.
    fn fronts(&self) -> impl Iterator<Item = &Open> {
        self.sheets.iter().flatten().filter_map(|sheet| sheet.all().next())
    }

    /// The wall time of a monotonic instant, by the present labels.
    #[must_use]
    pub fn label(&self, at: Mono) -> Wall {
        self.anchor.wall_of(at)
    }

    fn sheet(&mut self, probe: ProbeId) -> Option<&mut Sheet> {
        self.sheets.get_mut(probe.0 as usize)?.as_mut()
    }

    fn count(&mut self, probe: ProbeId, send: u64, what: Again) {
        // An answer that comes after its interval was given out is beyond counting; it never
        // reopens one.
        if let Some((open, index)) = self.sheet(probe).and_then(|sheet| sheet.find(send)) {
            let extra = open.extra();
            let count = match what {
                Again::Duplicate => &mut extra.duplicates,
                Again::Reordered => &mut extra.reordered,
            };
            *count = count.saturating_add(1);
            match (&mut extra.trace, what) {
                (Some(trace), Again::Duplicate) => trace.duplicate(index),
                (Some(trace), Again::Reordered) => trace.reordered(index),
                (None, _) => {}
            }
        }
    }

    /// Turns the minutes' pages up to the one that holds `at`.
    fn turn_to(&mut self, at: Mono) {
        while at >= self.span.ends {
            let ends = self.span.ends;
            let due_end = self.span.due_end();
            self.cut(ends, Now { wall: due_end, mono: ends });
        }
    }

    /// Ends the present span at `at` and begins another, labelled by `anchor`.
    fn cut(&mut self, at: Mono, anchor: Now) {
        self.span = Span::new(self.span.number + 1, self.span.labels, self.every, anchor, at);
        self.anchor = anchor;
        self.ripe = true;
        for sheet in self.sheets.iter_mut().flatten().filter(|sheet| sheet.filling.is_some()) {
            sheet.begin(self.span, self.span.from, at);
        }
    }
}

impl Span {
    fn new(number: u64, labels: Labels, every: Duration, anchor: Now, begun: Mono) -> Self {
        let from = anchor.wall_of(begun).floor(Duration::from_millis(1));
        let mut span = Self { number, labels, from, begun, ends: begun, every };
        span.ends = anchor.mono_of(span.due_end());
        span
    }

    fn due_end(&self) -> Wall {
        self.from.floor(self.every) + self.every
    }
}

impl Sheet {
    fn new(period: Duration, span: Span) -> Self {
        let filling = Some(Open::new(span, span.from, span.begun));
        Self { period, address: None, filling, ended: Vec::new(), told: 0 }
    }

    /// All intervals that were not taken out yet, oldest first.
    fn all(&self) -> impl Iterator<Item = &Open> {
        self.ended.iter().map(|ended| &ended.open).chain(&self.filling)
    }

    fn all_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Open> {
        self.ended.iter_mut().map(|ended| &mut ended.open).chain(&mut self.filling)
    }

    fn begin(&mut self, span: Span, from: Wall, at: Mono) {
        self.end(at);
        self.filling = Some(Open::new(span, from, at));
    }

    /// Ends what is being filled.
    fn end(&mut self, at: Mono) {
        if let Some(open) = self.filling.take() {
            self.ended.reserve_exact(1);
            self.ended.push(Ended { open, at, address: self.address });
        }
    }

    /// The address changed: what was sent to the old one is an interval of its own.
    fn moved(&mut self, span: Span, now: Now, address: Option<IpAddr>) {
        if let Some(filling) = self.filling.as_ref().filter(|filling| !filling.slots.is_empty()) {
            // It begins with the next send, which is due after the last one that was announced.
            let at = filling.first_due
                + self.period * u32::try_from(filling.slots.len()).unwrap_or(u32::MAX);
            let at = at.min(span.ends).max(filling.begun);
            let from = now.wall_of(at).floor(Duration::from_millis(1));
            self.begin(span, from, at);
        }
        self.address = address;
    }

    /// `ends` is where the present span does.
    fn due(&mut self, send: u64, at: Mono, ends: Mono) {
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

    fn find(&mut self, send: u64) -> Option<(&mut Open, usize)> {
        self.all_mut().rev().find_map(|open| {
            let index = usize::try_from(send.checked_sub(open.first_send)?).ok()?;
            (index < open.slots.len()).then_some((open, index))
        })
    }

    fn settle(&mut self, settled: &Settled) {
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
        if let Some(trace) = open.trace() {
            trace.settled(index, settled);
        }
    }

    /// Whether the oldest interval has ended and waits for nothing.
    fn is_ripe(&self) -> bool {
        self.ended.first().is_some_and(|oldest| oldest.open.unsettled == 0)
    }

    /// Takes out the oldest interval, where it is so.
    fn take_ripe(&mut self) -> Option<Ended> {
        let oldest = self.is_ripe().then(|| self.ended.remove(0))?;
        self.ended.shrink_to_fit();
        Some(oldest)
    }

    /// Tells what has been settled in order since the last time.
    fn tell(&mut self, probe: ProbeId, told: &mut Vec<SettledSend>) {
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

impl Open {
    fn new(span: Span, from: Wall, begun: Mono) -> Self {
        let mut open = Self {
            span: span.number,
            from,
            begun,
            first_send: 0,
            first_due: begun,
            slots: Vec::new(),
            unsettled: 0,
            kernel_stamped: 0,
            extra: None,
        };
        if span.labels == Labels::Provisional {
            open.extra().trace = Some(Trace::default());
        }
        open
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    fn trace(&mut self) -> Option<&mut Trace> {
        self.extra.as_mut()?.trace.as_mut()
    }

    /// How many sends say as much of this host as of the network, `late` being how late this
    /// program was.
    fn limited(&self, late: Duration) -> u32 {
        let reasons = self.extra.iter().flat_map(|extra| &extra.reasons);
        let missed: u32 =
            reasons.filter(|(reason, _)| lag::is_own(reason)).map(|(_, count)| count).sum();
        let rtts = self.slots.iter().filter(|slot| slot.rtt_ns().is_some()).count();
        let own = u32::try_from(rtts).unwrap_or(u32::MAX).saturating_sub(self.kernel_stamped);
        missed + if late >= lag::LIMIT { own } else { 0 }
    }
}

impl Ended {
    /// The finished interval, send by send, where its labels are provisional.
    fn unlabelled(&self, period: Duration, late: Duration) -> Option<Box<Provisional>> {
        let open = &self.open;
        let trace = open.extra.as_ref()?.trace.as_ref()?;
        let sent = |(index, slot): (usize, &Slot)| {
            trace.sent(index, slot.outcome().expect("all are settled"), slot.rtt_ns())
        };
        Some(Box::new(Provisional {
            begun: open.begun,
            ended: self.at,
            first_due: open.first_due,
            period,
            late,
            sends: open.slots.iter().enumerate().map(sent).collect(),
        }))
    }

    /// `late` is how late this program was at worst meanwhile.
    fn finish(&self, period: Duration, late: Duration, scratch: &mut Values) -> Interval {
        let open = &self.open;
        let nothing = Extra::default();
        let extra = open.extra.as_deref().unwrap_or(&nothing);
        let mut clamped = 0;
        let rtts = || open.slots.iter().filter_map(|slot| slot.rtt_ns());
        let rtt = spread(rtts(), scratch, &mut clamped);
        let neighbours = || {
            open.slots
                .windows(2)
                .filter_map(|pair| Some(pair[0].rtt_ns()?.abs_diff(pair[1].rtt_ns()?)))
        };
        let ipdv = spread(neighbours(), scratch, &mut clamped);
        let mut jitter = Jitter::default();
        let rfc3550_max_ns = neighbours().map(|difference| jitter.add(difference)).max();
        let mut phases = BTreeMap::new();
        for phase in Phase::ALL {
            let values =
                extra.phases.iter().filter(|&&(of, _)| of == phase).map(|&(_, nanos)| nanos);
            if let Some(all) = spread(values, scratch, &mut clamped) {
                phases.insert(phase, all.histogram);
            }
        }
        let mut reasons: BTreeMap<String, u32> =
            extra.reasons.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
        if clamped > 0 {
            reasons.insert("rtt/clamped".to_owned(), clamped);
        }
        let limited = open.limited(late);
        if limited > 0 {
            reasons.insert(lag::LIMITED.to_owned(), limited);
        }
        // By the wall clock's label an interval ends with its minute at the latest, even when the
        // clock was slewed.
        let room =
            u64::try_from((open.from.floor(MINUTE) + MINUTE).nanos_since(open.from) / 1_000_000)
                .unwrap_or(0);
        Interval {
            from: open.from,
            millis: u32::try_from(round_ms(self.at - open.begun).min(room))
                .expect("at most a minute"),
            first_ms: u32::try_from(round_ms(open.first_due - open.begun)).unwrap_or(0),
            period_ms: u32::try_from(period.as_millis()).unwrap_or(u32::MAX),
            outcomes: open
                .slots
                .iter()
                .map(|slot| slot.outcome().expect("all are settled"))
                .collect::<Outcomes>(),
            reasons,
            duplicates: extra.duplicates,
            reordered: extra.reordered,
            kernel_stamped: open.kernel_stamped,
            rtt,
            ipdv,
            rfc3550_max_ns,
            phases,
        }
    }
}

fn round_ms(length: Duration) -> u64 {
    u64::try_from((length.as_nanos() + 500_000) / 1_000_000).unwrap_or(u64::MAX)
}

fn spread(
    values: impl Iterator<Item = u64>,
    scratch: &mut Values,
    clamped: &mut u32,
) -> Option<Spread> {
    let mut sum_ns = 0u64;
    for value in values {
        sum_ns = sum_ns.saturating_add(value);
        if scratch.record_ns(value) == Recorded::Clamped {
            *clamped += 1;
        }
    }
    scratch.pack().map(|histogram| Spread { histogram, sum_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A book of probes with a period of a second, begun at the second `from` of an hour; the
    /// monotonic clock is at 1000 s.
    struct Desk {
        ledger: Ledger,
        start: Now,
        told: Vec<SettledSend>,
    }

    impl Desk {
        fn new(probes: usize, from: i64) -> Self {
            let start = Now {
                wall: Wall::from_secs(360_000 + from),
                mono: Mono::from_nanos(1_000_000_000_000),
            };
            Self {
                ledger: Ledger::new(vec![SECOND; probes], MINUTE, start),
                start,
                told: Vec::new(),
            }
        }

        fn mono(&self, ms: u64) -> Mono {
            self.start.mono + Duration::from_millis(ms)
        }

        fn due(&mut self, probe: u32, send: u64, ms: u64) {
            let at = self.mono(ms);
            self.ledger.apply(&Event::Due { probe: ProbeId(probe), send, at }, &mut self.told);
        }

        fn settled(probe: u32, send: u64, outcome: Outcome, rtt_ms: Option<u64>) -> Settled {
            Settled {
                probe: ProbeId(probe),
                send,
                outcome,
                rtt_ns: rtt_ms.map(|ms| ms * 1_000_000),
                stamp: rtt_ms.map(|_| Stamp::Kernel),
                reason: (outcome == Outcome::Lost).then_some(Reason::TIMEOUT),
                seq: None,
                ttl: None,
                bytes: None,
                from: None,
                phases: Vec::new(),
            }
        }

        fn settle(&mut self, probe: u32, send: u64, outcome: Outcome, rtt_ms: Option<u64>) {
            let settled = Self::settled(probe, send, outcome, rtt_ms);
            self.ledger.apply(&Event::Settled(settled), &mut self.told);
        }

        fn advance(&mut self, ms: u64) -> Option<Step> {
            let mono = self.mono(ms);
            self.ledger.advance(self.start.at(mono))
        }

        fn told(&mut self) -> String {
            self.told.drain(..).map(|told| told.outcome.letter()).collect()
        }
    }

    #[test]
    fn a_minute_is_given_out_once_every_send_of_every_probe_is_settled() {
        let mut desk = Desk::new(2, 58);
        for probe in 0..2 {
            desk.due(probe, 0, 200);
            desk.due(probe, 1, 1200);
            desk.due(probe, 2, 2200);
        }
        desk.settle(0, 0, Outcome::Answered, Some(10));
        desk.settle(0, 1, Outcome::Answered, Some(14));
        desk.settle(1, 0, Outcome::Answered, Some(10));
        desk.advance(3500);
        assert_eq!(desk.ledger.finished(), Vec::<Vec<Closed>>::new());
        assert_eq!(desk.ledger.complete_until(), desk.start.wall);
        desk.settle(1, 1, Outcome::Lost, None);
        let given = desk.ledger.finished();
        assert_eq!(given.len(), 1);
        assert_eq!(desk.ledger.complete_until(), Wall::from_secs(360_060));
        let [first, second] = &given[0][..] else { panic!("{given:?}") };
        assert_eq!(
            (first.interval.millis, first.interval.first_ms, first.interval.kernel_stamped),
            (2000, 200, 2)
        );
        assert_eq!(first.interval.outcomes.to_string(), "2a");
        assert_eq!(first.interval.rtt.as_ref().unwrap().sum_ns, 24_000_000);
        assert_eq!(first.interval.ipdv.as_ref().unwrap().sum_ns, 4_000_000);
        assert_eq!(first.interval.rfc3550_max_ns, Some(250_000));
        assert_eq!(second.interval.outcomes.to_string(), "1a1l");
        assert_eq!(second.interval.reasons, BTreeMap::from([("lost/timeout".to_owned(), 1)]));
        assert_eq!(second.interval.ipdv, None);
    }

    #[test]
    fn outcomes_are_told_in_the_order_of_their_sends_across_a_minutes_end() {
        let mut desk = Desk::new(1, 58);
        (0..4).for_each(|send| desk.due(0, send, 500 + 1000 * send));
        desk.settle(0, 1, Outcome::Answered, Some(1));
        desk.settle(0, 2, Outcome::Late, Some(1));
        assert_eq!(desk.told(), "");
        desk.settle(0, 0, Outcome::Lost, None);
        assert_eq!(
            desk.told.iter().map(|told| told.due.millis() - 360_058_000).collect::<Vec<_>>(),
            [500, 1500, 2500]
        );
        assert_eq!(
            desk.told.iter().map(|told| told.reason.clone()).collect::<Vec<_>>(),
            [Some(Reason::TIMEOUT), None, None]
        );
        assert_eq!(desk.told(), "lat");
        desk.settle(0, 3, Outcome::Answered, Some(1));
        assert_eq!(desk.told(), "a");
        assert_eq!(
            desk.ledger.finished().len(),
            1,
            "the first minute; the second is still being filled"
        );
    }

    #[test]
    fn each_send_is_told_with_its_own_reason_and_mark_in_whatever_order_they_are_settled() {
        let target = IpAddr::from([192, 0, 2, 1]);
        let status =
            |code: u16| Reason { outcome: Outcome::Refused, kind: format!("status-{code}").into() };
        let reasons = [
            status(503),
            Reason::TIMEOUT,
            Reason::new(Outcome::Refused, "prohibited"),
            Reason::CARRIER,
            Reason::new(Outcome::NotSent, "no-route"),
            status(502),
            status(503),
            Reason::new(Outcome::NotObserved, "gap"),
        ];
        let mut desk = Desk::new(1, 10);
        let address = Event::Address { probe: ProbeId(0), address: Some(target) };
        desk.ledger.apply(&address, &mut desk.told);
        (0..8).for_each(|send| desk.due(0, send, 100 + 1000 * send));
        for send in [7, 3, 5, 1, 0, 6, 4, 2u8] {
            let reason = reasons[usize::from(send)].clone();
            let mut settled = Desk::settled(0, send.into(), reason.outcome, None);
            settled.reason = Some(reason);
            desk.ledger.apply(&Event::Settled(settled), &mut desk.told);
        }
        assert_eq!(
            desk.told.iter().map(|told| told.reason.clone().unwrap()).collect::<Vec<_>>(),
            reasons
        );
        let (given, none) = (TargetWord::Given, TargetWord::None);
        let words: Vec<_> = desk.told.iter().map(|told| told.word).collect();
        assert_eq!(words, [given, none, none, none, none, given, given, none]);
        let carriers: Vec<_> =
            desk.told.iter().map(|told| told.carrier == CarrierLoss::Yes).collect();
        assert_eq!(carriers, [false, false, false, true, false, false, false, false]);
    }

    #[test]
    fn a_book_closed_just_after_a_minutes_end_is_cut_there_too() {
        let mut desk = Desk::new(1, 58);
        desk.due(0, 0, 500);
        desk.settle(0, 0, Outcome::Answered, Some(1));
        desk.advance(2400);
        let mono = desk.mono(2500);
        desk.ledger.close(desk.start.at(mono));
        let given = desk.ledger.finished();
        let spans = given
            .iter()
            .map(|set| (set[0].interval.from.millis() - 360_000_000, set[0].interval.millis));
        assert_eq!(spans.collect::<Vec<_>>(), [(58_000, 2000), (60_000, 500)]);
    }

    #[test]
    fn a_send_is_settled_once_and_a_late_answer_reopens_nothing() {
        let mut desk = Desk::new(1, 58);
        desk.due(0, 0, 100);
        desk.settle(0, 0, Outcome::Lost, None);
        desk.settle(0, 0, Outcome::Answered, Some(3));
        desk.settle(0, 7, Outcome::Answered, Some(3));
        desk.advance(3100);
        let given = desk.ledger.finished();
        assert_eq!(given[0][0].interval.outcomes.to_string(), "1l");
        assert_eq!(given[0][0].interval.rtt, None);
        desk.settle(0, 0, Outcome::Answered, Some(3));
        assert_eq!(desk.told(), "l");
    }

    #[test]
    fn a_probe_with_a_long_period_has_empty_intervals() {
        let start = Now { wall: Wall::from_secs(360_000), mono: Mono::from_nanos(0) };
        let mut ledger = Ledger::new([Duration::from_secs(150)], MINUTE, start);
        let mut told = Vec::new();
        ledger.apply(
            &Event::Due { probe: ProbeId(0), send: 0, at: Mono::from_nanos(5_000_000_000) },
            &mut told,
        );
        let settled = Settled {
            probe: ProbeId(0),
            send: 0,
            outcome: Outcome::NotSent,
            rtt_ns: None,
            stamp: None,
            reason: Some(Reason::CARRIER),
            seq: None,
            ttl: None,
            bytes: None,
            from: None,
            phases: Vec::new(),
        };
        ledger.apply(&Event::Settled(settled), &mut told);
        assert_eq!(told[0].carrier, CarrierLoss::Yes);
        let mono = Mono::from_nanos(130_000_000_000);
        ledger.advance(start.at(mono));
        let outcomes: Vec<_> = ledger
            .finished()
            .into_iter()
            .flatten()
            .map(|each| each.interval.outcomes.to_string())
            .collect();
        assert_eq!(outcomes, ["1n", ""]);
    }

    #[test]
    fn a_stepped_clock_ends_the_intervals_and_is_told() {
        for by_ns in [3_600_000_000_000, -3_600_000_000_000] {
            let mut desk = Desk::new(1, 10);
            desk.due(0, 0, 100);
            desk.settle(0, 0, Outcome::Answered, Some(3));
            let mono = desk.mono(700);
            let wall = desk.start.wall_of(mono).shifted(by_ns);
            let step = desk.ledger.advance(Now { wall, mono }).unwrap();
            assert_eq!(step, Step { at: wall, by_ns });
            desk.due(0, 1, 1100);
            desk.settle(0, 1, Outcome::Answered, Some(3));
            let given = desk.ledger.finished();
            assert_eq!(
                (given[0][0].interval.millis, given[0][0].interval.rtt.as_ref().unwrap().sum_ns),
                (700, 3_000_000)
            );
            desk.ledger.close(Now { wall: wall + SECOND, mono: mono + SECOND });
            let given = desk.ledger.finished();
            assert_eq!((given[0][0].interval.from, given[0][0].interval.first_ms), (wall, 400));
        }
    }

    #[test]
    fn a_slewed_clock_is_followed_without_a_cut() {
        let mut desk = Desk::new(1, 0);
        let mono = desk.mono(20_000);
        assert_eq!(
            desk.ledger.advance(Now { wall: desk.start.wall_of(mono).shifted(9_000_000), mono }),
            None
        );
        desk.due(0, 0, 60_000);
        desk.settle(0, 0, Outcome::Answered, Some(3));
        let given = desk.ledger.finished();
        assert_eq!((given[0][0].interval.millis, given[0][0].interval.outcomes.len()), (59_991, 0));
    }

    #[test]
    fn another_address_begins_another_interval() {
        let mut desk = Desk::new(1, 10);
        let first = Some(IpAddr::from([127, 0, 0, 1]));
        let second = Some(IpAddr::from([127, 0, 0, 2]));
        desk.ledger.apply(&Event::Address { probe: ProbeId(0), address: first }, &mut Vec::new());
        desk.due(0, 0, 100);
        desk.settle(0, 0, Outcome::Answered, Some(3));
        desk.ledger.apply(&Event::Address { probe: ProbeId(0), address: second }, &mut Vec::new());
        desk.due(0, 1, 1100);
        desk.settle(0, 1, Outcome::Lost, None);
        let mono = desk.mono(2000);
        desk.ledger.close(desk.start.at(mono));
        let given: Vec<_> = desk.ledger.finished().into_iter().flatten().collect();
        assert_eq!(given.iter().map(|each| each.address).collect::<Vec<_>>(), [first, second]);
        assert_eq!(given.iter().map(|each| each.interval.millis).collect::<Vec<_>>(), [1100, 900]);
        assert_eq!(given[1].interval.first_ms, 0);
        assert_eq!(desk.told(), "al");
    }

    #[test]
    fn sends_that_this_host_limited_are_counted_in_the_interval_in_which_it_was_late() {
        let mut desk = Desk::new(1, 57);
        let lag = |send| Event::Lag { send: Duration::from_micros(send), receive: None };
        let stamped = |desk: &mut Desk, send, stamp| {
            let mut settled = Desk::settled(0, send, Outcome::Answered, Some(3));
            settled.stamp = Some(stamp);
            desk.ledger.apply(&Event::Settled(settled), &mut desk.told);
        };
        (0..3).for_each(|send| desk.due(0, send, 100 + 1000 * send));
        stamped(&mut desk, 0, Stamp::User);
        desk.ledger.apply(&lag(5000), &mut desk.told);
        desk.ledger.apply(&lag(300), &mut desk.told);
        stamped(&mut desk, 1, Stamp::Kernel);
        let mut missed = Desk::settled(0, 2, Outcome::NotObserved, None);
        missed.reason = Some(Reason::new(Outcome::NotObserved, "late"));
        desk.ledger.apply(&Event::Settled(missed), &mut desk.told);
        // In the next minute it is not late enough.
        (3..5).for_each(|send| desk.due(0, send, 100 + 1000 * send));
        desk.ledger.apply(&lag(4999), &mut desk.told);
        stamped(&mut desk, 3, Stamp::User);
        stamped(&mut desk, 4, Stamp::User);
        let mono = desk.mono(5000);
        desk.ledger.close(desk.start.at(mono));
        let given: Vec<_> = desk.ledger.finished().into_iter().flatten().collect();
        assert_eq!(given[0].interval.limited(), 2, "one stamped by this program, one missed");
        assert_eq!(
            (given[1].interval.limited(), &given[1].interval.reasons),
            (0, &BTreeMap::new())
        );
    }

    #[test]
    fn what_took_more_than_a_minute_is_clamped_in_the_histogram_and_exact_in_the_sum() {
        let mut desk = Desk::new(1, 0);
        desk.due(0, 0, 100);
        desk.settle(0, 0, Outcome::Late, Some(61_000));
        desk.advance(62_000);
        let given = desk.ledger.finished();
        assert_eq!(given[0][0].interval.reasons["rtt/clamped"], 1);
        assert_eq!(given[0][0].interval.rtt.as_ref().unwrap().sum_ns, 61_000_000_000);
    }
}
