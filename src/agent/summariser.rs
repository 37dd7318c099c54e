//! Makes and signs summaries of what was written: within the writer's transaction, so that a
//! number, its summary and what it holds are on the disk together or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{error, info};

use crate::agent::keys::Keys;
use crate::agent::review::{self, Judged, ReviewError};
use crate::base::time::{Clock as _, SystemClock, Wall};
use crate::evidence::chain::{ChainId, Head};
use crate::evidence::key::SecretKey;
use crate::evidence::summary::{
    self, Clock, ContractRef, IntervalPart, Layout, Lengths, LinkPart, Malformed, OutagePart,
    OwnLag, Piece, ProbePart, Signed, Summary, VERSION, VerdictPart,
};
use crate::measure::interval::Interval;
use crate::store::intervals::{RowId, Series, SeriesId};
use crate::store::journal::Noted;
use crate::store::outages::Outage;
use crate::store::outbox::new_chain;
use crate::store::packed_summary::{Gathered, Made};
use crate::store::{Store, StoreError};

/// What a span's summaries say beside its intervals.
#[derive(Clone, Debug)]
pub struct SpanState {
    /// All intervals up to here were handed over.
    pub until: Wall,
    /// How the wall clock was kept, and its steps.
    pub clock: Clock,
    /// The contracts that are judged by.
    pub contracts: Vec<ContractRef>,
    /// The links that the probes leave by.
    pub link: Vec<LinkPart>,
    /// The contracts by which the last of the summaries says how their services stand; none where
    /// it says nothing of that.
    pub judged: Vec<Judged>,
    /// How late the agent itself was since the last time.
    pub own_lag_us: Option<OwnLag>,
}

/// What signs, and what does not change from one summary to the next.
#[derive(Debug)]
pub struct Summariser {
    /// The device's keys.
    pub keys: Keys,
    /// The site's name.
    pub site: String,
    /// The kernel's boot id.
    pub boot: String,
    /// A summary's span; it divides a minute or an hour.
    pub every: Duration,
}

impl Summariser {
    /// Signs summaries of all intervals that no summary holds yet, a span at a time, and puts them
    /// into the outbox. Where a next key lies ready, the last of them names it, and `keys` are
    /// changed; that holds once the transaction is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn summarise(
        &self,
        store: &Store,
        state: &SpanState,
        keys: &mut Keys,
    ) -> Result<(), StoreError> {
        let blocks = store.unsummarised()?;
        let Some(&(last, _)) = blocks.last() else { return Ok(()) };
        let mut head = match store.head()? {
            Some(head) => head,
            None => self.begin_chain(store)?,
        };
        let begins = |block: &(RowId, Wall)| block.1.floor(self.every);
        let mut spans = blocks.chunk_by(|one, next| begins(one) == begins(next)).peekable();
        while let Some(blocks) = spans.next() {
            let is_last = spans.peek().is_none();
            let by = By {
                key: keys.key().clone(),
                next: if is_last { keys.lies_ready() } else { None },
            };
            let span = Span::of(store, (blocks[0].0, blocks[blocks.len() - 1].0))?;
            let mut besides = self.besides(store, &span, state)?;
            if is_last && !state.judged.is_empty() {
                besides.verdicts = Self::verdicts(store, state)?;
            }
            if let Some((naming, next)) = Self::sign(store, &mut head, (besides, &span), by)? {
                store.rotate(*next.public(), &naming.jws)?;
                let detail = format!(
                    "{} follows {}, as summary {} says",
                    next.kid(),
                    keys.key().kid(),
                    naming.seq
                );
                store.note(SystemClock.now().wall, Noted::KeyChanged, &detail)?;
                keys.change_to(next);
            }
            store.told_dropped()?;
        }
        store.set_summarised(last)
    }

    /// Signs a span in as many summaries as it needs, and keeps them, one after the other, so that
    /// no more than one of them is in memory. The last of them names the next key, and is given
    /// back with it.
    fn sign(
        store: &Store,
        head: &mut Head,
        (besides, span): (Summary, &Span),
        mut by: By,
    ) -> Result<Option<(Signed, SecretKey)>, StoreError> {
        let (from, to) = (besides.from, besides.to);
        let layout =
            match Layout::of(&besides, span.probes.iter().map(|(_, lengths)| lengths.clone())) {
                Ok(layout) => layout,
                Err(fault) => {
                    return Self::left_out(store, (from, to), "all", &fault).map(|()| None);
                }
            };
        for (probe, fault) in layout.left_out {
            let series = span.probes[probe].0;
            let name = store
                .series_of(&[series].into())?
                .remove(&series)
                .map(|series| series.probe)
                .unwrap_or_default();
            Self::left_out(store, (from, to), &name, &fault)?;
        }
        let mut next_part = Some(besides);
        let mut parts = layout.parts.into_iter().peekable();
        while let (Some(pieces), Some(mut part)) = (parts.next(), next_part.take()) {
            let is_last = parts.peek().is_none();
            next_part = (!is_last).then(|| summary::bare(&part));
            let (probes, made) = span.read(store, &pieces)?;
            part.probes = probes;
            Self::leave_out_faults(store, &mut part)?;
            let next = if is_last { by.next.take() } else { None };
            let signed = match &next {
                Some(next) => head.sign_with_next_key(part, &by.key, next),
                None => head.sign(part, &by.key),
            };
            match signed {
                Ok(signed) => {
                    store.keep_summary(&signed, from, to, Some(&made))?;
                    if let Some(next) = next {
                        return Ok(Some((signed, next)));
                    }
                }
                Err(fault) => Self::left_out(store, (from, to), "all", &fault)?,
            }
        }
        Ok(None)
    }

    /// What our own check refuses every collector would refuse too: such a probe is left out and
    /// told, and nothing else waits for it.
    fn leave_out_faults(store: &Store, part: &mut Summary) -> Result<(), StoreError> {
        if summary::check(part).is_ok() {
            return Ok(());
        }
        let mut kept = Vec::new();
        for probe in std::mem::take(&mut part.probes) {
            part.probes = vec![probe];
            let fault = summary::check(part).err();
            let probe = part.probes.pop().expect("it is there again");
            match fault {
                None => kept.push(probe),
                Some(fault) => Self::left_out(store, (part.from, part.to), &probe.name, &fault)?,
            }
        }
        part.probes = kept;
        Ok(())
    }

    fn left_out(
        store: &Store,
        (from, to): (Wall, Wall),
        probe: &str,
        fault: &Malformed,
    ) -> Result<(), StoreError> {
        error!(%from, %to, probe, %fault, "a part of a summary could not be made");
        let detail = format!("no summary of {from} to {to} for probe {probe}: {fault}");
        store.note(SystemClock.now().wall, Noted::SummaryFault, &detail)
    }

    /// Everything but the probes.
    fn besides(
        &self,
        store: &Store,
        span: &Span,
        state: &SpanState,
    ) -> Result<Summary, StoreError> {
        let (from, to) = span.extent.unwrap_or((state.until, state.until));
        // A slewed clock may let the last interval end some milliseconds before the span does.
        let end = from.floor(self.every) + self.every;
        let to = if end.nanos_since(to) < 1_000_000_000 && state.until >= end { end } else { to };
        let outages = store.outages(from, to)?;
        let mut clock = state.clock.clone();
        clock.steps.retain(|step| step.at >= from && step.at <= to);
        Ok(Summary {
            v: VERSION,
            agent: self.keys.agent,
            site: self.site.clone(),
            // The chain's members are set where it is signed.
            chain: ChainId::from_bytes([0; 16]),
            seq: 0,
            prev: None,
            follows: None,
            dropped: store.dropped_to_tell()?,
            from,
            to,
            boot: self.boot.clone(),
            software: crate::SOFTWARE.to_owned(),
            clock,
            contracts: state.contracts.clone(),
            probes: Vec::new(),
            link: state.link.clone(),
            outages: outages.into_iter().map(|(_, outage)| part(outage)).collect(),
            verdicts: Vec::new(),
            own_lag_us: state.own_lag_us,
            next_key: None,
        })
    }

    /// How the services stand. Where that cannot be told, what was measured is shipped all the
    /// same.
    fn verdicts(store: &Store, state: &SpanState) -> Result<Vec<VerdictPart>, StoreError> {
        match review::said(store, &state.judged, state.until) {
            Ok(said) => Ok(said),
            Err(ReviewError::Store(fault)) => Err(fault),
            Err(fault) => {
                error!(%fault, "no verdicts go with this summary");
                Ok(Vec::new())
            }
        }
    }

    fn begin_chain(&self, store: &Store) -> Result<Head, StoreError> {
        let head = store.begin_chain(new_chain()?)?;
        info!(chain = %head.chain, "a new chain of summaries begins");
        Ok(head)
    }
}

/// The key that signs, and the one that follows it.
struct By {
    key: SecretKey,
    next: Option<SecretKey>,
}

/// The intervals of one span, as far as they must be known before any is signed.
struct Span {
    /// The first and the last block that holds them.
    blocks: (RowId, RowId),
    /// Where the first begins and the last ends.
    extent: Option<(Wall, Wall)>,
    /// The series that have any, and how long what is said of each is at most.
    probes: Vec<(SeriesId, Lengths)>,
}

impl Span {
    /// Looks at all intervals of these blocks, one after the other: together they may be more than
    /// a router has memory for.
    fn of(store: &Store, blocks: (RowId, RowId)) -> Result<Self, StoreError> {
        let mut extent: Option<(Wall, Wall)> = None;
        let mut intervals: BTreeMap<SeriesId, Vec<usize>> = BTreeMap::new();
        let take = |series, interval: Interval| {
            let (from, to) = (interval.from, interval.to());
            extent =
                Some(extent.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
            // Mostly it is one, and room for four is what a vector begins with.
            intervals
                .entry(series)
                .or_insert_with(|| Vec::with_capacity(1))
                .push(IntervalPart::length_at_most(interval));
        };
        store.each_interval(blocks, |_| true, take)?;
        let mut probes = Vec::with_capacity(intervals.len());
        let mut heads = BTreeMap::new();
        let head = |id, series| heads.extend([(id, summary::length(&part_of(series, Vec::new())))]);
        store.each_series(|series| intervals.contains_key(&series), head)?;
        for (series, intervals) in intervals {
            probes.extend(heads.get(&series).map(|&head| (series, Lengths { head, intervals })));
        }
        Ok(Self { blocks, extent, probes })
    }

    /// What a summary says of its probes, and what it is made of.
    fn read(&self, store: &Store, pieces: &[Piece]) -> Result<(Vec<ProbePart>, Made), StoreError> {
        let of = |piece: &Piece| self.probes[piece.probe].0;
        let (Gathered { mut series, mut intervals }, made) =
            store.gather(self.blocks, pieces.iter().map(of).collect())?;
        let part = |piece: &Piece| {
            let mut intervals = intervals.remove(&of(piece))?;
            intervals.truncate(piece.intervals.end);
            let intervals =
                intervals.into_iter().skip(piece.intervals.start).map(IntervalPart::from).collect();
            Some(part_of(series.remove(&of(piece))?, intervals))
        };
        Ok((pieces.iter().filter_map(part).collect(), made))
    }
}

/// What a summary says of a series.
fn part_of(series: Series, intervals: Vec<IntervalPart>) -> ProbePart {
    ProbePart {
        name: series.probe,
        service: series.service,
        kind: series.kind,
        target: series.target,
        address: series.address.map(|address| address.to_string()),
        period_ms: series.period_ms,
        timeout_ms: series.timeout_ms,
        cutoff_ms: series.cutoff_ms,
        settings: series.settings,
        intervals,
    }
}

/// An outage as a summary holds it.
#[must_use]
pub fn part(outage: Outage) -> OutagePart {
    let side = outage.side();
    OutagePart {
        service: outage.service,
        probe: outage.probe,
        from: outage.from,
        to: outage.to,
        definition: outage.definition,
        side,
        evidence: match outage.evidence {
            serde_json::Value::Object(members) => members,
            _ => serde_json::Map::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Mono, Now};
    use crate::evidence::chain::Dropped;
    use crate::evidence::summary::ClockStep;
    use crate::measure::clock_state::ClockState;
    use crate::measure::event::{Event, ProbeId, Settled};
    use crate::measure::ledger::Ledger;
    use crate::measure::outcome::Outcome;
    use crate::store::intervals::Series;

    const SECOND: Duration = Duration::from_secs(1);
    /// So many long words are longer than a summary may be.
    const LONG_WORDS: usize = 4096;

    /// A probe a second that is always answered, its book and its database, on clocks that a test
    /// moves.
    struct Desk {
        _dir: tempfile::TempDir,
        store: Store,
        summariser: Summariser,
        ledger: Ledger,
        now: Now,
        sent: u64,
        steps: Vec<ClockStep>,
    }

    impl Desk {
        fn new(at: i64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let now = Now { wall: Wall::from_secs(at), mono: Mono::from_nanos(1_000_000_000_000) };
            let (store, _) = Store::open(dir.path(), now.wall).unwrap();
            let keys = Keys::fixed(SecretKey::from_seed(&[7; 32]));
            let every = Duration::from_secs(300);
            let summariser = Summariser { keys, site: "s".to_owned(), boot: String::new(), every };
            let ledger = Ledger::new([SECOND], every, now);
            Self { _dir: dir, store, summariser, ledger, now, sent: 0, steps: Vec::new() }
        }

        /// Lets time pass, a probe a second.
        fn pass(&mut self, seconds: u64) {
            for _ in 0..seconds {
                let (probe, send) = (ProbeId(0), self.sent);
                let settled = Settled {
                    probe,
                    send,
                    outcome: Outcome::Answered,
                    rtt_ns: Some(5_000_000),
                    stamp: None,
                    reason: None,
                    seq: None,
                    ttl: None,
                    bytes: None,
                    from: None,
                    phases: Vec::new(),
                };
                let due = Event::Due { probe, send, at: self.now.mono + SECOND / 2 };
                for event in [due, Event::Settled(settled)] {
                    self.ledger.apply(&event, &mut Vec::new());
                }
                self.sent += 1;
                self.now = Now { wall: self.now.wall + SECOND, mono: self.now.mono + SECOND };
                self.turn();
            }
        }

        fn turn(&mut self) {
            if let Some(step) = self.ledger.advance(self.now) {
                self.steps.push(ClockStep { at: step.at, by_us: step.by_ns / 1000 });
            }
            let id = self.series("p");
            for closed in self.ledger.finished().into_iter().flatten() {
                self.store.append(id, &closed.interval).unwrap();
            }
        }

        fn series(&self, probe: &str) -> SeriesId {
            let series = Series {
                probe: probe.to_owned(),
                service: None,
                kind: "icmp".to_owned(),
                target: "127.0.0.1".to_owned(),
                address: None,
                period_ms: 1000,
                timeout_ms: 1000,
                cutoff_ms: 1000,
                settings: "x".to_owned(),
            };
            self.store.series(&series).unwrap()
        }

        /// Signs what there is; gives the spans, outcomes counted.
        fn summarise(&mut self) -> Vec<(i64, i64, u64)> {
            self.ledger.close(self.now);
            self.turn();
            let summaries = self.sign();
            assert_eq!(self.store.journal(10).unwrap(), [], "no fault was told");
            let outcomes = |summary: &Summary| {
                summary
                    .probes
                    .iter()
                    .flat_map(|probe| &probe.intervals)
                    .map(|one| one.outcomes.len())
                    .sum()
            };
            summaries
                .iter()
                .map(|summary| (summary.from.secs(), summary.to.secs(), outcomes(summary)))
                .collect()
        }

        fn sign(&self) -> Vec<Summary> {
            let state = SpanState {
                until: self.now.wall,
                clock: Clock {
                    state: ClockState::Unknown,
                    max_error_us: None,
                    steps: self.steps.clone(),
                },
                contracts: Vec::new(),
                link: Vec::new(),
                judged: Vec::new(),
                own_lag_us: None,
            };
            self.summariser
                .summarise(&self.store, &state, &mut self.summariser.keys.clone())
                .unwrap();
            let read = |(_, jws): (_, String)| {
                let payload =
                    crate::evidence::jws::parse(jws.as_bytes(), crate::evidence::jws::Typ::Summary)
                        .unwrap();
                summary::read(payload.unverified_payload()).unwrap()
            };
            self.store.waiting(100, 1 << 30).unwrap().into_iter().map(read).collect()
        }
    }

    #[test]
    fn what_no_collector_would_take_is_left_out_and_told_and_the_rest_is_signed() {
        let mut desk = Desk::new(3_000_000);
        desk.pass(63);
        let (first, _) = desk.store.unsummarised().unwrap()[0];
        let mut all = Vec::new();
        desk.store
            .each_interval((first, first), |_| true, |_, interval| all.push(interval))
            .unwrap();
        let sound = all.pop().unwrap();
        let wrong = Interval { kernel_stamped: 61, ..sound.clone() };
        let words = (0..LONG_WORDS).map(|number| (format!("lost/{number:0>250}"), 0));
        let long = Interval { reasons: words.collect(), ..sound.clone() };
        let set = [("sound", &sound), ("wrong", &wrong), ("long", &long)];
        let set: Vec<_> = set.map(|(probe, interval)| (desk.series(probe), interval)).into();
        desk.store.append_set(&set).unwrap();
        let probes = |summary: &Summary| {
            summary.probes.iter().map(|probe| probe.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(desk.sign().iter().map(probes).collect::<Vec<_>>(), [["p", "sound"]]);
        let told: Vec<String> =
            desk.store.journal(10).unwrap().into_iter().map(|line| line.detail).collect();
        assert_eq!(told.len(), 2);
        for (probe, fault) in [("wrong", "kernel_stamped"), ("long", "too long")] {
            let of = format!("for probe {probe}: ");
            assert!(
                told.iter().any(|detail| detail.contains(&of) && detail.contains(fault)),
                "{told:?}"
            );
        }
        assert_eq!(desk.store.unsummarised().unwrap(), []);
    }

    #[test]
    fn what_was_dropped_is_told_by_as_many_summaries_as_that_needs() {
        let mut desk = Desk::new(3_000_000);
        let chain = ChainId::from_bytes([9; 16]);
        let all: Vec<Dropped> =
            (0..100).map(|n| Dropped { chain, from_seq: 2 * n, to_seq: 2 * n }).collect();
        desk.store.remember_dropped(&all).unwrap();
        desk.pass(600);
        desk.ledger.close(desk.now);
        desk.turn();
        let told: Vec<Vec<Dropped>> =
            desk.sign().into_iter().map(|summary| summary.dropped).collect();
        assert_eq!(told.concat(), all);
        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36]);
    }

    #[test]
    fn spans_are_cut_at_the_multiples_of_every() {
        let mut desk = Desk::new(3_000_200);
        desk.pass(700);
        assert_eq!(
            desk.summarise(),
            [(3_000_200, 3_000_300, 100), (3_000_300, 3_000_600, 300), (3_000_600, 3_000_900, 300)]
        );
        assert_eq!(desk.store.unsummarised().unwrap(), []);
    }

    #[test]
    fn every_outcome_is_in_a_summary_though_the_clock_was_set_back_and_forth() {
        for by in [-40, 40, -7200, 7200] {
            let mut desk = Desk::new(3_000_200);
            desk.pass(130);
            desk.now.wall = desk.now.wall.shifted(by * 1_000_000_000);
            desk.turn();
            desk.pass(130);
            let total: u64 = desk.summarise().iter().map(|(_, _, outcomes)| outcomes).sum();
            assert_eq!((total, desk.steps.len()), (260, 1), "{by} s");
        }
    }
}
