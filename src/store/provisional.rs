//! What was measured before the wall clock was set: held by the boot and its monotonic clock until
//! it can be labelled, and then entered as if it had been all along.
//!
//! Outages and the journal's lines are shown at once, so they are entered with provisional labels,
//! which are moved once the clock is set; minutes are not, since they would lie across the true
//! ones.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::params;
use serde_json::json;

use crate::base::time::{Mono, Now, Wall};
use crate::measure::event::Stamp;
use crate::measure::interval::{Interval, Phase};
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::provisional::{Provisional, Sent};
use crate::store::bytes::{self, Reader, Unreadable, Writer};
use crate::store::intervals::SeriesId;
use crate::store::{Store, StoreError};

/// The version of a body's form.
const VERSION: u8 = 1;
/// Where the beginning of the doubt is kept.
const DOUBT: &str = "doubt";

const KERNEL: u64 = 1;
const REASON: u64 = 2;
const PHASES: u64 = 4;
const AGAIN: u64 = 8;

/// What an outage's evidence says of its times under the name `clock`, before the clock was set and
/// afterwards.
pub const NOT_SET: &str = "not set yet";
/// See [`NOT_SET`].
pub const SET_LATER: &str = "set later";

/// The boot during which labels are provisional, and by what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The kernel's boot id.
    pub boot: String,
    /// What a provisional label is ahead of the monotonic clock, in nanoseconds.
    pub ahead_ns: i64,
}

/// What was labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Sets of siblings.
    pub sets: u64,
    /// Those that were damaged, and so were not observed.
    pub lost: u64,
}

impl Store {
    /// When the newest of what is known happened: no right clock is before it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn newest(&self) -> Result<Option<Wall>, StoreError> {
        let newest: Option<i64> = self.db.query_row(
            "SELECT max(at) FROM (
                SELECT max(start_ms) * 1000000 AS at FROM block
                UNION ALL SELECT max(id) * 3600000000000 FROM hour
                UNION ALL SELECT max(id) * 86400000000000 FROM day
                UNION ALL SELECT max(at_ns) FROM event)",
            [],
            |row| row.get(0),
        )?;
        Ok(newest.map(Wall::from_nanos))
    }

    /// The doubt that holds, or held when the agent ended.
    ///
    /// # Errors
    /// When the database fails.
    pub fn doubt(&self) -> Result<Option<Doubt>, StoreError> {
        let Some(text) = self.meta(DOUBT)? else { return Ok(None) };
        let mut words = text.split(' ');
        let read = words.next().zip(words.next().and_then(|ahead| ahead.parse().ok()));
        let (boot, ahead_ns) = read.ok_or_else(|| {
            StoreError::Damaged("the doubt of the clock cannot be read".to_owned())
        })?;
        Ok(Some(Doubt { boot: boot.to_owned(), ahead_ns }))
    }

    /// Labels are provisional from here on.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_doubt(&self, doubt: &Doubt) -> Result<(), StoreError> {
        let next = |table: &str| -> Result<i64, StoreError> {
            let sql = format!("SELECT coalesce(max(id), 0) + 1 FROM {table}");
            Ok(self.db.query_row(&sql, [], |row| row.get(0))?)
        };
        let (outage, event) = (next("outage")?, next("event")?);
        self.set_meta(DOUBT, &format!("{} {} {outage} {event}", doubt.boot, doubt.ahead_ns))
    }

    /// Labels hold from here on: those of outages and of the journal's lines that were given
    /// provisionally, all of them up to `until`, are moved.
    ///
    /// # Errors
    /// When the database fails.
    pub fn end_doubt(&self, by_ns: i64, until: Wall) -> Result<(), StoreError> {
        let Some(text) = self.meta(DOUBT)? else { return Ok(()) };
        let mut words = text.split(' ').skip(2).map(|word| word.parse::<i64>().unwrap_or(i64::MAX));
        let (first_outage, first_event) =
            (words.next().unwrap_or(i64::MAX), words.next().unwrap_or(i64::MAX));
        self.move_outages(first_outage, by_ns, until, |evidence| {
            if let Some(members) = evidence.as_object_mut() {
                members.insert("clock".to_owned(), json!(SET_LATER));
            }
        })?;
        self.db.execute(
            "UPDATE event SET at_ns = at_ns + ?2 WHERE id >= ?1 AND at_ns <= ?3",
            params![first_event, by_ns, until.nanos()],
        )?;
        self.db.execute("DELETE FROM meta WHERE key = ?1", [DOUBT])?;
        Ok(())
    }

    /// Holds a whole set of siblings.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hold(&self, boot: &str, set: &[(SeriesId, &Provisional)]) -> Result<(), StoreError> {
        let mut body = Writer::default();
        for (series, one) in set {
            body.signed(series.number());
            body.part(|part| write(part, one));
        }
        let body = bytes::shut(VERSION, &body.finish(), &[]).map_err(StoreError::Unpacked)?;
        self.db
            .prepare_cached("INSERT INTO held (boot, body) VALUES (?1, ?2)")?
            .execute(params![boot, body])?;
        Ok(())
    }

    /// The boots of which something is held, in the order of their first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_boots(&self) -> Result<Vec<String>, StoreError> {
        let mut wanted = self.db.prepare("SELECT boot FROM held GROUP BY boot ORDER BY min(id)")?;
        let boots = wanted.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(boots)
    }

    /// The bytes that are held.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_bytes(&self) -> Result<u64, StoreError> {
        let bytes: i64 =
            self.db.query_row("SELECT coalesce(sum(length(body)), 0) FROM held", [], |row| {
                row.get(0)
            })?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Labels the oldest sets that are held of a boot, at most so many, by a reading of its clocks,
    /// and enters them. To be called within a transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn label_held(
        &self,
        boot: &str,
        anchor: Now,
        every: Duration,
        most: u32,
    ) -> Result<Labelled, StoreError> {
        let mut done = Labelled::default();
        let mut wanted = self
            .db
            .prepare_cached("SELECT id, body FROM held WHERE boot = ?1 ORDER BY id LIMIT ?2")?;
        let mut delete = self.db.prepare_cached("DELETE FROM held WHERE id = ?1")?;
        let rows = wanted.query_map(params![boot, most], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let rows: Vec<(i64, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
        for (id, body) in rows {
            match read(&body) {
                Ok(set) => {
                    done.sets += 1;
                    self.enter(&set, anchor, every)?;
                }
                Err(_) => done.lost += 1,
            }
            delete.execute([id])?;
        }
        Ok(done)
    }

    /// Enters a set, a block for each true minute that it touches.
    fn enter(
        &self,
        set: &[(SeriesId, Provisional)],
        anchor: Now,
        every: Duration,
    ) -> Result<(), StoreError> {
        let mut blocks: BTreeMap<Wall, Vec<(SeriesId, Interval)>> = BTreeMap::new();
        let cut = every.min(Duration::from_secs(60));
        for (series, one) in set {
            for interval in one.label(anchor, every) {
                blocks.entry(interval.from.floor(cut)).or_default().push((*series, interval));
            }
        }
        for block in blocks.values() {
            let rows: Vec<(SeriesId, &Interval)> =
                block.iter().map(|(series, interval)| (*series, interval)).collect();
            self.append_set(&rows)?;
        }
        Ok(())
    }

    /// What is held of a boot, labelled by this reading of its clocks, by the names of the probes:
    /// those intervals that end after `since`. What is damaged is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn held_intervals(
        &self,
        boot: &str,
        anchor: Now,
        since: Wall,
    ) -> Result<BTreeMap<String, Vec<Interval>>, StoreError> {
        let series = self.all_series()?;
        let since = anchor.mono_of(since);
        let mut all: BTreeMap<String, Vec<Interval>> = BTreeMap::new();
        let mut wanted =
            self.db.prepare_cached("SELECT body FROM held WHERE boot = ?1 ORDER BY id")?;
        let mut rows = wanted.query([boot])?;
        while let Some(row) = rows.next()? {
            let set = read(row.get_ref(0)?.as_blob().unwrap_or_default()).unwrap_or_default();
            for (id, one) in set.into_iter().filter(|(_, one)| one.ended > since) {
                if let Some(series) = series.get(&id) {
                    let labelled = one.label(anchor, Duration::from_secs(60));
                    all.entry(series.probe.clone()).or_default().extend(labelled);
                }
            }
        }
        Ok(all)
    }
}

/// Whether such a body can be read.
pub(in crate::store) fn check(body: &[u8]) -> Result<(), Unreadable> {
    read(body).map(drop)
}

fn write(to: &mut Writer, one: &Provisional) {
    let nanos = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    to.number(one.begun.nanos());
    to.number(nanos(one.ended - one.begun));
    to.number(nanos(one.first_due - one.begun));
    to.number(nanos(one.period));
    to.number(nanos(one.late));
    to.number(one.sends.len() as u64);
    for sent in &one.sends {
        let flags = [
            (KERNEL, sent.stamp == Stamp::Kernel),
            (REASON, sent.reason.is_some()),
            (PHASES, !sent.phases.is_empty()),
            (AGAIN, sent.duplicates != 0 || sent.reordered != 0),
        ];
        let flags: u64 = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum();
        to.number(place(sent.outcome) * 16 + flags);
        if let Some(nanos) = sent.rtt_ns {
            to.number(nanos);
        }
        if let Some(reason) = &sent.reason {
            to.number(place(reason.outcome));
            to.bytes(reason.kind.as_bytes());
        }
        if !sent.phases.is_empty() {
            to.number(sent.phases.len() as u64);
            for (phase, nanos) in &sent.phases {
                to.bytes(phase.word().as_bytes());
                to.number(*nanos);
            }
        }
        if flags & AGAIN != 0 {
            to.number(sent.duplicates.into());
            to.number(sent.reordered.into());
        }
    }
}

fn read(body: &[u8]) -> Result<Vec<(SeriesId, Provisional)>, Unreadable> {
    let (version, plain) = bytes::open(body, &[])?;
    if version != VERSION {
        return Err(Unreadable("version"));
    }
    let mut reader = Reader::new(&plain);
    let mut set = Vec::new();
    while !reader.is_empty() {
        let series = SeriesId::new(reader.signed()?);
        set.push((series, back(&mut Reader::new(reader.bytes()?))?));
    }
    Ok(set)
}

fn back(from: &mut Reader<'_>) -> Result<Provisional, Unreadable> {
    let begun = Mono::from_nanos(from.number()?);
    let mut length = || from.number().map(Duration::from_nanos);
    let (ended, first_due) = (begun + length()?, begun + length()?);
    let (period, late) = (length()?, length()?);
    // What is this far apart was never measured here, and would be labelled a minute at a time.
    if ended - begun > Duration::from_secs(3600)
        || first_due - begun > Duration::from_secs(3600)
        || period.is_zero()
    {
        return Err(Unreadable("span"));
    }
    let mut sends = Vec::new();
    for _ in 0..from.number()? {
        let head = from.number()?;
        let outcome = outcome(head / 16)?;
        let mut sent = Sent::new(outcome, None);
        if outcome.has_rtt() {
            sent.rtt_ns = Some(from.number()?);
        }
        if head & KERNEL != 0 {
            sent.stamp = Stamp::Kernel;
        }
        if head & REASON != 0 {
            let of = self::outcome(from.number()?)?;
            sent.reason = Some(Reason { outcome: of, kind: from.text()?.to_owned().into() });
        }
        if head & PHASES != 0 {
            for _ in 0..from.number()? {
                let word = from.text()?;
                let phase = Phase::ALL
                    .into_iter()
                    .find(|phase| phase.word() == word)
                    .ok_or(Unreadable("phase"))?;
                sent.phases.push((phase, from.number()?));
            }
        }
        if head & AGAIN != 0 {
            (sent.duplicates, sent.reordered) = (from.narrow()?, from.narrow()?);
        }
        sends.push(sent);
    }
    Ok(Provisional { begun, ended, first_due, period, late, sends })
}

fn place(outcome: Outcome) -> u64 {
    Outcome::ALL.iter().position(|&each| each == outcome).expect("ALL has every outcome") as u64
}

fn outcome(place: u64) -> Result<Outcome, Unreadable> {
    let place = usize::try_from(place).map_err(|_| Unreadable("outcome"))?;
    Outcome::ALL.get(place).copied().ok_or(Unreadable("outcome"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::intervals::Series;
    use crate::store::journal::Noted;
    use crate::store::outages::Outage;

    const BOOTED: Wall = Wall::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    fn at(mono: u64) -> Mono {
        Mono::from_nanos(mono * 1_000_000_000)
    }

    fn stretch(begun: u64, letters: &str) -> Provisional {
        let sent = |letter| {
            let outcome = Outcome::from_letter(letter).unwrap();
            let mut sent = Sent::new(outcome, outcome.has_rtt().then_some(5_000_000));
            if !outcome.has_rtt() {
                sent.reason = Some(Reason::new(outcome, "timeout"));
                (sent.duplicates, sent.reordered) = (1, 2);
            }
            sent.phases = vec![(Phase::Body, 7)];
            sent
        };
        let sends: Vec<Sent> = letters.chars().map(sent).collect();
        let ended = at(begun + sends.len() as u64);
        Provisional {
            begun: at(begun),
            ended,
            first_due: at(begun),
            period: SECOND,
            late: SECOND,
            sends,
        }
    }

    fn series(store: &Store) -> SeriesId {
        let series = Series {
            probe: "p".to_owned(),
            service: None,
            kind: "icmp".to_owned(),
            target: "192.0.2.1".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 1000,
            cutoff_ms: 1000,
            settings: String::new(),
        };
        store.series(&series).unwrap()
    }

    #[test]
    fn what_is_held_is_read_back_as_it_was_and_a_changed_byte_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BOOTED).unwrap();
        let id = series(&store);
        let one = stretch(7, "aalutnx");
        store.hold("b", &[(id, &one)]).unwrap();
        let body: Vec<u8> =
            store.db.query_row("SELECT body FROM held", [], |row| row.get(0)).unwrap();
        assert_eq!(read(&body).unwrap(), [(id, one.clone())]);
        for place in 1..body.len() {
            let mut changed = body.clone();
            changed[place] ^= 0x40;
            assert!(read(&changed).map_or(true, |read| read == [(id, one.clone())]), "{place}");
        }
    }

    #[test]
    fn minutes_and_outages_and_lines_move_to_where_they_were_once_the_clock_is_set() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BOOTED).unwrap();
        let id = series(&store);
        let true_boot = Wall::from_secs(1_780_000_010);
        let outage = |from: i64, to: Option<i64>| Outage {
            service: None,
            probe: "p".to_owned(),
            definition: "builtin".to_owned(),
            from: Wall::from_secs(from),
            to: to.map(Wall::from_secs),
            side: "unknown".to_owned(),
            evidence: json!({}),
        };
        // Two outages from before, of which one looks as if it had been within the doubt.
        store.open_outage(&outage(1_779_000_000, Some(1_779_000_060))).unwrap();
        store.open_outage(&outage(130, Some(140))).unwrap();
        store.note(Wall::from_secs(120), Noted::Stop, "before").unwrap();
        // The clock says 1970-01-01T00:01:40 at the boot.
        let doubt = Doubt { boot: "b".to_owned(), ahead_ns: BOOTED.nanos() };
        store.begin_doubt(&doubt).unwrap();
        assert_eq!(store.doubt().unwrap(), Some(doubt));
        store.note(Wall::from_secs(105), Noted::Start, "within").unwrap();
        store.hold("b", &[(id, &stretch(30, "aaaaaaaaaa"))]).unwrap();
        store.hold("b", &[(id, &stretch(40, "lllllaaaaaaaaaaaaaaa"))]).unwrap();
        store.hold("other", &[(id, &stretch(3, "a"))]).unwrap();
        store.open_outage(&outage(140, Some(145))).unwrap();
        store.open_outage(&outage(158, None)).unwrap();
        assert!(store.held_bytes().unwrap() > 0);
        assert_eq!(store.intervals("p", Wall::default(), Wall::from_nanos(i64::MAX)).unwrap(), []);

        let anchor = Now { wall: true_boot + Duration::from_secs(60), mono: at(60) };
        let recalled =
            store.held_intervals("b", anchor, true_boot + Duration::from_secs(41)).unwrap();
        assert_eq!(recalled["p"].iter().map(|one| one.outcomes.len()).sum::<u64>(), 20);
        store.end_doubt(true_boot.nanos_since(BOOTED), Wall::from_secs(160)).unwrap();
        let done = store.label_held("b", anchor, Duration::from_secs(300), 100).unwrap();
        assert_eq!(done, Labelled { sets: 2, lost: 0 });
        assert_eq!(
            (store.doubt().unwrap(), store.held_boots().unwrap()),
            (None, vec!["other".to_owned()])
        );
        let all = store.intervals("p", Wall::default(), Wall::from_nanos(i64::MAX)).unwrap();
        let of = |one: &Interval| {
            (one.from.nanos_since(true_boot) / 1_000_000_000, one.outcomes.to_string())
        };
        // 1_780_000_010 is 50 seconds into its minute.
        let expected = [(30, "10a"), (40, "5l15a")].map(|(from, runs)| (from, runs.to_owned()));
        assert_eq!(all.iter().map(of).collect::<Vec<_>>(), expected);
        let spans: Vec<(i64, Option<i64>, bool)> = store
            .outages(Wall::default(), Wall::from_nanos(i64::MAX))
            .unwrap()
            .into_iter()
            .map(|(_, one)| {
                (one.from.secs(), one.to.map(Wall::secs), one.evidence["clock"] == SET_LATER)
            })
            .collect();
        let moved = |second: i64| true_boot.secs() + second - BOOTED.secs();
        assert_eq!(
            spans,
            [
                (130, Some(140), false),
                (1_779_000_000, Some(1_779_000_060), false),
                (moved(140), Some(moved(145)), true),
                (moved(158), None, true)
            ]
        );
        let lines: Vec<i64> = store.journal(9).unwrap().iter().map(|line| line.at.secs()).collect();
        assert_eq!(lines, [120, moved(105)]);
        assert_eq!(store.newest().unwrap(), Some(Wall::from_secs(moved(105)).max(all[1].from)));
    }
}
