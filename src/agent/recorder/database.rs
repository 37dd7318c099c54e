//! The writer thread's side of the database: it takes whole sets of sibling intervals, outages and
//! notes, and writes them in few transactions. What it cannot write it keeps, tries again, and says
//! so once. A database that turns out to be damaged is set aside, and what was not written yet goes
//! into the new one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tracing::{error, info, warn};

use crate::agent::keys::Keys;
use crate::agent::outages::OutageKey;
use crate::agent::recorder::{Job, Label, Seat, Setup, Why as LabelledFor};
use crate::agent::summariser::{SpanState, Summariser};
use crate::base::text;
use crate::base::time::{Clock, Mono, Wall};
use crate::config::agent::{Keep, Term};
use crate::config::probe::settings_digest;
use crate::measure::event::ProbeId;
use crate::measure::ledger::FinishedInterval;
use crate::measure::probe::Probe;
use crate::store::contracts::ContractFile;
use crate::store::intervals::{Series, SeriesId};
use crate::store::journal::Noted;
use crate::store::outages::{Outage, OutageId};
use crate::store::provisional::Labelled;
use crate::store::retention::{Limits, Step, Why};
use crate::store::{Store, StoreError};

/// Sets of siblings that may wait while the disk cannot be written: a day of minutes.
const MOST_WAITING: usize = 1440;
/// How soon it is tried again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Sheets that are written at once: one an hour where all goes well, more after a while without.
const SHEETS: usize = 6;
/// How often what is too old or too much is looked for.
const TIDY: Duration = Duration::from_secs(60);
/// So many steps are taken then; after each, what is to be written has its turn.
const STEPS: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);
/// A commit is not put off to where the next set of siblings would come too late for it.
const SET: Duration = Duration::from_secs(60);
/// How long a set waits for the summary that is made of it, or for its siblings of a change: one
/// transaction instead of two.
const TOGETHER: Duration = Duration::from_millis(500);
/// So many sets of what was held are labelled before they are summarised, so that not all of it is
/// in memory at once.
const LABELLED: u32 = 60;

/// What the writer's thread has before it.
pub struct Database {
    clock: Box<dyn Clock + Send>,
    store: Store,
    seats: Arc<Seats>,
    /// By the place: the last address of the probe there, and what the database calls its series.
    known: Vec<Option<(Option<IpAddr>, SeriesId)>>,
    keep: Keep,
    summariser: Summariser,
    outages: HashMap<OutageKey, OutageId>,
    waiting: VecDeque<Work>,
    spans: Vec<SpanState>,
    /// What is held and can be labelled, each with what was done of it.
    labels: VecDeque<(Label, Labelled)>,
    commit_by: Option<Mono>,
    failing: bool,
    /// Sets that had to be thrown away while the disk could not be written.
    thrown: u64,
    /// Whether the outbox had to drop something the last time, and when the database last had to.
    full: bool,
    pressed: Option<Mono>,
    tidied: Mono,
    /// Its end tells others that the writer is gone.
    _present: Sender<()>,
}

/// The last probe that had each place, as it is configured and with the service that it measures.
type Seats = Vec<Option<[Arc<Probe>; 2]>>;

/// What waits to be written, in order.
enum Work {
    /// With the probes that had the places then.
    Siblings(Arc<Seats>, Vec<FinishedInterval>),
    Opened(OutageKey, Outage),
    Closed(OutageKey, Wall),
    Attributed(OutageKey, String, serde_json::Value),
    Note(Wall, Noted, String),
    EndDoubt {
        by_ns: i64,
        until: Wall,
    },
    Terms(String, Vec<ContractFile>),
}

impl Database {
    pub fn new(
        clock: Box<dyn Clock + Send>,
        store: Store,
        summariser: Summariser,
        present: Sender<()>,
    ) -> Self {
        let tidied = clock.now().mono;
        Self {
            clock,
            store,
            seats: Arc::default(),
            known: Vec::new(),
            keep: Keep::default(),
            summariser,
            outages: HashMap::new(),
            waiting: VecDeque::new(),
            spans: Vec::new(),
            labels: VecDeque::new(),
            commit_by: None,
            failing: false,
            thrown: 0,
            full: false,
            pressed: None,
            tidied,
            _present: present,
        }
    }

    pub fn run(mut self, inbox: &Receiver<Job>) {
        loop {
            match inbox.recv_timeout(self.patience()) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.commit_if_due();
            self.label();
            self.salvage();
            self.tidy_if_due();
        }
        self.commit();
    }

    fn mono(&self) -> Mono {
        self.clock.now().mono
    }

    fn patience(&self) -> Duration {
        if self.store.is_salvaging() && !self.failing {
            return Duration::ZERO;
        }
        match self.commit_by {
            Some(by) => by - self.mono(),
            None => TIDY,
        }
    }

    fn commit_if_due(&mut self) {
        if self.commit_by.is_some_and(|by| by <= self.mono()) {
            self.commit();
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Siblings(mut set) => {
                set.shrink_to_fit();
                self.waiting.push_back(Work::Siblings(Arc::clone(&self.seats), set));
                let now = self.mono();
                let by = *self.commit_by.get_or_insert(now + self.keep.commit);
                if by - now <= SET {
                    self.within(TOGETHER);
                }
            }
            Job::Opened(key, outage) => self.at_once(Work::Opened(key, outage)),
            Job::Closed(key, to) => self.at_once(Work::Closed(key, to)),
            Job::Attributed(key, side, evidence) => {
                self.at_once(Work::Attributed(key, side, evidence))
            }
            Job::Note(at, kind, detail) => self.at_once(Work::Note(at, kind, detail)),
            Job::Summarise(span) => {
                self.spans.push(*span);
                self.within(Duration::ZERO);
            }
            Job::EndDoubt { by_ns, until } => self.at_once(Work::EndDoubt { by_ns, until }),
            Job::Label(label) => self.labels.push_back((*label, Labelled::default())),
            Job::Reconfigure(setup) => self.configure(*setup),
            Job::Ask(question) => {
                if let Some(damage) = question(&mut self.store) {
                    self.set_aside(&damage);
                }
            }
            // What was checked may have been set aside meanwhile.
            Job::Damaged { what, file } if self.store.file() == Some(file) => {
                self.set_aside(&what);
            }
            Job::Damaged { .. } => {}
            Job::Stop => {}
        }
    }

    fn configure(&mut self, setup: Setup) {
        // What waits goes on by the seats that it came with.
        let mut seats = Seats::clone(&self.seats);
        let count = ProbeId::rows(setup.probes.iter().map(|seat| &seat.place)).max(seats.len());
        seats.resize(count, None);
        self.known.resize(count, None);
        for Seat { place, probe, named } in setup.probes {
            let (at, seat) = (place.0 as usize, Some([probe, named]));
            if seats[at] != seat {
                self.known[at] = None;
            }
            seats[at] = seat;
        }
        self.seats = Arc::new(seats);
        self.keep = setup.keep;
        self.limit_log();
        self.summariser.every = setup.every;
        self.summariser.site.clone_from(&setup.site);
        self.at_once(Work::Terms(setup.site, setup.contracts));
    }

    fn limit_log(&self) {
        if let Err(error) = self.store.limit_log(self.keep.max_bytes) {
            warn!(%error, "the database's log stays as short as it is");
        }
    }

    /// What is told at once: an outage is on the disk when it is shown.
    fn at_once(&mut self, work: Work) {
        self.waiting.push_back(work);
        self.within(Duration::ZERO);
    }

    /// Commits within so long; while the disk cannot be written, when it is tried again.
    fn within(&mut self, length: Duration) {
        if !self.failing || self.commit_by.is_none() {
            let by = self.mono() + length;
            self.commit_by = Some(self.commit_by.map_or(by, |before| before.min(by)));
        }
    }

    /// Writes all that waits, and the summaries that are due, in one transaction.
    fn commit(&mut self) {
        self.commit_by = None;
        if self.waiting.is_empty() && self.spans.is_empty() {
            return;
        }
        match self.write() {
            Ok(opened) => {
                self.outages.extend(opened);
                self.waiting.clear();
                self.spans.clear();
                if std::mem::take(&mut self.failing) {
                    self.recovered();
                }
            }
            Err(error) if error.is_damage() && self.set_aside(&error.to_string()) => {
                self.within(Duration::ZERO)
            }
            Err(error) => {
                // Whatever was cached may have been rolled back.
                self.known.fill(None);
                if !std::mem::replace(&mut self.failing, true) {
                    error!(%error, "the database cannot be written; measuring goes on, and \
                        writing is tried again");
                }
                self.commit_by = Some(self.mono() + RETRY);
                while self.waiting.len() > MOST_WAITING {
                    self.waiting.pop_front();
                    self.thrown += 1;
                }
            }
        }
    }

    fn recovered(&mut self) {
        info!("the database can be written again");
        let mut detail = "the database can be written again".to_owned();
        match std::mem::take(&mut self.thrown) {
            0 => {}
            thrown => detail.push_str(&format!("; {thrown} of what waited had to be thrown away")),
        }
        self.waiting.push_back(Work::Note(self.clock.now().wall, Noted::Disk, detail));
        self.within(RETRY);
    }

    /// Begins a new database in the place of a damaged one; whether it could.
    fn set_aside(&mut self, what: &str) -> bool {
        self.known.fill(None);
        match self.store.set_aside(self.clock.now().wall, what) {
            Ok(aside) => {
                self.limit_log();
                error!(aside = %aside.display(), what, "the database was damaged: it was set \
                    aside and a new one begun");
                true
            }
            Err(error) => {
                error!(%error, what, "the database is damaged, and no new one can be begun; it is \
                    tried again");
                false
            }
        }
    }

    /// Labels what can be, some of it in each transaction, before anything else is taken: what is
    /// measured now comes after it.
    fn label(&mut self) {
        while !self.labels.is_empty() && !self.failing {
            if !self.waiting.is_empty() {
                self.commit();
                continue;
            }
            let Self { store, summariser, labels, keep, full, clock, .. } = self;
            let Some((label, all)) = labels.front_mut() else { return };
            let now = clock.now().wall;
            let (mut keys, mut done) = (summariser.keys.clone(), *all);
            let step = store.together(|store| {
                let more = label_some(store, summariser, (label, &mut done), &mut keys)?;
                fit_outbox(store, keep.outbox_bytes, full, now)?;
                if !more {
                    note_labelled(store, label, done, now)?;
                }
                Ok::<bool, StoreError>(more)
            });
            match step {
                Ok(more) => {
                    summariser.keys.committed(keys);
                    *all = done;
                    if !more {
                        labels.pop_front();
                    }
                }
                Err(error) if error.is_damage() && self.set_aside(&error.to_string()) => {}
                Err(error) => {
                    warn!(%error, "what was held cannot be labelled; it is tried again");
                    self.failing = true;
                    self.commit_by = Some(self.mono() + RETRY);
                }
            }
        }
    }

    fn salvage(&mut self) {
        if !self.store.is_salvaging() || self.failing {
            return;
        }
        match self.store.salvage() {
            Ok(None) => {}
            Ok(Some(done)) => {
                let detail = format!(
                    "{} rows of the damaged database were brought over, {} could not be read; it \
                        is kept as {}",
                    done.kept,
                    done.lost,
                    done.aside.display()
                );
                self.at_once(Work::Note(self.clock.now().wall, Noted::DatabaseSalvaged, detail));
            }
            Err(error) => {
                warn!(%error, "what is left of the damaged database cannot be written; it is \
                    tried again");
                self.failing = true;
                self.commit_by = Some(self.mono() + RETRY);
            }
        }
    }

    fn write(&mut self) -> Result<Vec<(OutageKey, OutageId)>, StoreError> {
        let Self {
            store,
            seats,
            known,
            waiting,
            spans,
            outages,
            summariser,
            keep,
            full,
            clock,
            ..
        } = self;
        let mut opened: Vec<(OutageKey, OutageId)> = Vec::new();
        let mut keys = summariser.keys.clone();
        let written = store.together(|store| {
            for work in waiting.iter() {
                let id_of = |key: &OutageKey| match key {
                    OutageKey::Stored(id) => Some(*id),
                    OutageKey::New(_) => opened
                        .iter()
                        .find(|(of, _)| of == key)
                        .map(|&(_, id)| id)
                        .or_else(|| outages.get(key).copied()),
                };
                match work {
                    Work::Siblings(then, set) => {
                        let mut rows = Vec::with_capacity(set.len());
                        let mut held = Vec::new();
                        for closed in set {
                            let (at, address) = (closed.probe.0 as usize, closed.address);
                            let Some(Some(seat)) = then.get(at) else { continue };
                            let stays = seats[at].as_ref() == Some(seat);
                            let id = match known[at].filter(|(of, _)| stays && *of == address) {
                                Some((_, id)) => id,
                                None => store.series(&series(seat, address))?,
                            };
                            if stays {
                                known[at] = Some((address, id));
                            }
                            match &closed.provisional {
                                Some(unlabelled) => held.push((id, &**unlabelled)),
                                None => rows.push((id, &closed.interval)),
                            }
                        }
                        store.append_set(&rows)?;
                        if !held.is_empty() {
                            store.hold(&summariser.boot, &held)?;
                        }
                    }
                    Work::EndDoubt { by_ns, until } => store.end_doubt(*by_ns, *until)?,
                    Work::Opened(key, outage) => opened.push((*key, store.open_outage(outage)?)),
                    Work::Closed(key, to) => {
                        if let Some(id) = id_of(key) {
                            store.close_outage(id, *to)?;
                        }
                    }
                    Work::Attributed(key, side, evidence) => {
                        if let Some(id) = id_of(key) {
                            store.attribute_outage(id, side, evidence)?;
                        }
                    }
                    Work::Note(at, kind, detail) => store.note(*at, *kind, detail)?,
                    Work::Terms(site, contracts) => {
                        store.set_site(site)?;
                        contracts.iter().try_for_each(|contract| store.keep_contract(contract))?;
                    }
                }
            }
            for span in spans.iter() {
                summariser.summarise(store, span, &mut keys)?;
            }
            if !spans.is_empty() {
                fit_outbox(store, keep.outbox_bytes, full, clock.now().wall)?;
            }
            Ok(opened)
        });
        if written.is_ok() {
            summariser.keys.committed(keys);
        }
        written
    }

    fn tidy_if_due(&mut self) {
        let now = self.mono();
        if now - self.tidied >= TIDY && !self.store.is_salvaging() && !self.failing {
            self.tidied = now;
            self.tidy();
        }
    }

    /// Rolls up and deletes what is too old, and then the oldest of what is too much, a step at a
    /// time.
    fn tidy(&mut self) {
        let now = self.clock.now().wall;
        let since = |term| match term {
            Term::For(length) => Some(now - length),
            Term::Forever => None,
        };
        let Keep { minutes, hours, days, max_bytes, .. } = self.keep;
        let sheets = self.store.together(|store| {
            if let Term::For(length) = hours {
                // Whole days, as hours are rolled up to days: what a sheet has no other does.
                store.forget_sheets((now - length).floor(DAY))?;
            }
            store.write_sheets(now, SHEETS)
        });
        if let Err(error) = sheets {
            warn!(%error, "the sheets of hours that are over could not be written; it is tried \
                again");
        }
        let limits = Limits {
            minutes: since(minutes),
            hours: since(hours),
            days: since(days),
            bytes: max_bytes,
        };
        let mut pressed = None;
        for _ in 0..STEPS {
            let step = self.store.together(|store| store.tidy(&limits));
            match step {
                Ok(None) => break,
                Ok(Some(
                    Step::Minutes(until, Why::Room)
                    | Step::Hours(until, Why::Room)
                    | Step::Days(until, Why::Room),
                )) => {
                    pressed = Some(format!(
                        "the oldest detail is rolled up before its time, now up to {until}"
                    ));
                }
                Ok(Some(Step::Summary(dropped))) => {
                    pressed = Some(format!("summary {} is dropped unshipped", dropped.from_seq));
                }
                Ok(Some(_)) => {}
                Err(error) if error.is_damage() => {
                    self.set_aside(&error.to_string());
                    return;
                }
                Err(error) => {
                    warn!(%error, "old data could not be deleted; it is tried again");
                    return;
                }
            }
        }
        let Some(what) = pressed else { return };
        // At the limit something goes every hour: it is told again after a day without.
        let mono = self.mono();
        if self.pressed.replace(mono).is_none_or(|last| mono - last > DAY) {
            warn!("the database is at its limit: {what}");
            self.at_once(Work::Note(
                now,
                Noted::StoreFull,
                format!("the database is at its limit: {what}"),
            ));
        }
    }
}

/// What the intervals of a probe at one address have in common.
fn series([probe, named]: &[Arc<Probe>; 2], address: Option<IpAddr>) -> Series {
    let millis = |length: Duration| u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
    Series {
        probe: probe.name.clone(),
        service: named.service.clone(),
        kind: probe.kind().to_owned(),
        target: text::shortened(&probe.target()),
        address,
        period_ms: probe.period_ms(),
        timeout_ms: millis(probe.timeout),
        cutoff_ms: millis(probe.cutoff),
        settings: settings_digest(probe),
    }
}

/// Labels some more of what is held of a boot; whether there is more. What it adds up to is signed
/// under the name of that boot; of this one the last of it waits for what follows it.
fn label_some(
    store: &Store,
    summariser: &mut Summariser,
    (label, all): (&Label, &mut Labelled),
    keys: &mut Keys,
) -> Result<bool, StoreError> {
    let other = label.boot != summariser.boot;
    if other {
        summariser.summarise(store, &label.span, keys)?;
    }
    let done = store.label_held(&label.boot, label.anchor, summariser.every, LABELLED)?;
    all.sets += done.sets;
    all.lost += done.lost;
    let more = done.sets + done.lost == u64::from(LABELLED);
    if more || other {
        let own = std::mem::replace(&mut summariser.boot, label.boot.clone());
        let signed = summariser.summarise(store, &label.span, keys);
        summariser.boot = own;
        signed?;
    }
    Ok(more)
}

/// Makes the outbox fit; it is told when that begins to drop something.
fn fit_outbox(store: &Store, limit: u64, full: &mut bool, now: Wall) -> Result<(), StoreError> {
    let dropped = store.fit_outbox(limit)?;
    if let Some(first) = dropped.first().filter(|_| !*full) {
        let (chain, from) = (first.chain, first.from_seq);
        warn!(%chain, from, "the outbox is full: its oldest summaries are dropped from now on");
        let detail =
            format!("the outbox is full: from summary {from} on the oldest are dropped unshipped");
        store.note(now, Noted::OutboxFull, &detail)?;
    }
    *full = !dropped.is_empty();
    Ok(())
}

fn note_labelled(
    store: &Store,
    label: &Label,
    done: Labelled,
    now: Wall,
) -> Result<(), StoreError> {
    let Labelled { sets, lost } = done;
    let (kind, why) = match label.why {
        LabelledFor::Set => (
            Noted::ClockSet,
            "the clock was set: what was measured before it has its true times now",
        ),
        LabelledFor::GivenUp => (
            Noted::ClockGuessed,
            "nothing set the clock: what was measured is labelled by the clock as it is",
        ),
        LabelledFor::OtherBoot if sets + lost == 0 => return Ok(()),
        LabelledFor::OtherBoot => (
            Noted::ClockGuessed,
            "the host started anew before its clock was set: what was measured is labelled by the \
                time since that boot, as \
             if it had been at 1970-01-01T00:00:00Z",
        ),
    };
    let lost = if lost == 0 { String::new() } else { format!("; {lost} more could not be read") };
    info!(kind = kind.word(), sets, why, "what was held is labelled");
    store.note(now, kind, &format!("{why} ({sets} stretches of up to a minute{lost})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{Now, SystemClock};
    use crate::evidence::key::SecretKey;
    use crate::measure::event::Event;
    use crate::measure::ledger::Ledger;
    use crate::measure::probe::{Circuit, Family, Role, Test};

    const SECOND: Duration = Duration::from_secs(1);
    const BEGIN: Wall = Wall::from_secs(1_790_000_000 / 60 * 60);

    fn seat(name: &str, service: Option<&str>) -> Seat {
        let probe = Probe {
            name: name.to_owned(),
            service: None,
            role: Role::Path,
            test: Test::Icmp { target: "192.0.2.1".to_owned(), size: 56 },
            family: Family::Any,
            period: SECOND,
            timeout: SECOND,
            cutoff: SECOND,
            circuit: Circuit::default(),
        };
        let named = Probe { service: service.map(str::to_owned), ..probe.clone() };
        Seat { place: ProbeId(0), probe: Arc::new(probe), named: Arc::new(named) }
    }

    /// A minute of the probe at the first place.
    fn minute(number: u32, address: [u8; 4]) -> Vec<FinishedInterval> {
        let from = Now { wall: BEGIN + SECOND * 60 * number, mono: Mono::default() };
        let mut ledger = Ledger::new([SECOND], SECOND * 60, from);
        ledger.apply(
            &Event::Address { probe: ProbeId(0), address: Some(address.into()) },
            &mut Vec::new(),
        );
        ledger.close(Now { wall: from.wall + SECOND * 60, mono: from.mono + SECOND * 60 });
        ledger.finished().into_iter().flatten().collect()
    }

    #[test]
    fn what_waits_is_written_of_the_probe_that_had_the_place_then() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
        let keys = Keys::fixed(SecretKey::from_seed(&[7; 32]));
        let summariser =
            Summariser { keys, site: "s".to_owned(), boot: "b".to_owned(), every: SECOND * 60 };
        let mut desk =
            Database::new(Box::new(SystemClock), store, summariser, std::sync::mpsc::channel().0);
        let setup = |seat| {
            let (site, keep) = ("s".to_owned(), Keep::default());
            Job::Reconfigure(Box::new(Setup {
                site,
                every: SECOND * 60,
                keep,
                probes: vec![seat],
                contracts: Vec::new(),
            }))
        };
        let seats = [seat("p", None), seat("p", Some("x")), seat("q", None)];
        for (seat, number) in seats.into_iter().zip(0..) {
            desk.take(setup(seat));
            desk.take(Job::Siblings(minute(number, [192, 0, 2, 1])));
        }
        desk.commit();
        for (number, last) in [(3, 1), (4, 2), (5, 1)] {
            desk.take(Job::Siblings(minute(number, [192, 0, 2, last])));
            desk.commit();
        }
        let all = desk.store.all_series().unwrap().into_values();
        let all: Vec<_> = all.map(|one| (one.probe, one.service, one.address)).collect();
        let one = |name: &str, service: Option<&str>, last| {
            (name.to_owned(), service.map(str::to_owned), Some(IpAddr::from([192, 0, 2, last])))
        };
        assert_eq!(
            all,
            [one("p", None, 1), one("p", Some("x"), 1), one("q", None, 1), one("q", None, 2)]
        );
        let count = |probe| desk.store.intervals(probe, BEGIN, BEGIN + SECOND * 600).unwrap().len();
        assert_eq!((count("p"), count("q")), (2, 4));
    }
}
