//! Reads what the screen shows: of the database only what is new, of the running agent what it says
//! now. Verdicts, which take longest, are made aside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::agent::live::{LiveProbe, Snapshot};
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::source::{self, Found};
use crate::cli::top::history::{HOUR, History, Loss};
use crate::cli::top::model::{Budget, Detail, Frame, Row};
use crate::cli::top::words::since;
use crate::cli::{Failure, history, print, report, snapshot, status};
use crate::config::agent::{AgentConfig, Places};
use crate::draw::Band;
use crate::measure::history::{Step, settled_until};
use crate::measure::outcome::Outcomes;
use crate::measure::recent::Recent;
use crate::store::following::Mark;
use crate::store::intervals::{RowId, Series, SeriesId};
use crate::store::outages::Outage;
use crate::store::outbox::Tally;
use crate::store::{FILE, FileId, Store, StoreError};

/// Verdicts are made anew no sooner than this, and take no more than one part of [`SHARE`].
const VERDICTS: Duration = Duration::from_secs(60);
const SHARE: u32 = 200;
/// So many of the last outcomes are shown.
const RECENT: usize = Recent::MOST as usize;
/// Outages of an opened probe are looked for so far back.
const MONTH: Duration = Duration::from_secs(30 * 86_400);
/// So many of them are shown.
const OUTAGES: usize = 50;

/// What contracts make of what is stored.
#[derive(Clone, Debug, Default)]
struct Verdicts {
    budgets: BTreeMap<String, Budget>,
    deadlines: Vec<String>,
    notes: Vec<String>,
}

impl Verdicts {
    fn of(store: &Store, config: Option<&AgentConfig>, now: Wall) -> Self {
        let mut all = Self::default();
        let due = match report::due_noting(store, config, now, |note| {
            all.notes.push(note.to_owned());
        }) {
            Ok(due) => due,
            Err(failure) => {
                all.notes.push(failure.to_string());
                return all;
            }
        };
        for report in due.iter().map(|due| &due.report).filter(|report| report.ends > now) {
            for budget in report.objectives.iter().filter_map(|own| own.budget.as_ref()) {
                let whole = budget.left_s.split('.').next().unwrap_or_default();
                let seconds = whole.parse().unwrap_or(i64::MAX);
                let left = Budget { words: report::budget_left(budget), seconds };
                let kept = all.budgets.entry(report.service.clone()).or_insert(left.clone());
                if left.seconds < kept.seconds {
                    *kept = left;
                }
            }
        }
        let said =
            |(due, deadline): (&crate::agent::claims::Due, &crate::sla::deadline::Deadline)| {
                format!("{}: {} ({})", due.report.service, deadline.what, deadline.left(now))
            };
        all.deadlines = report::deadlines(&due, now).into_iter().map(said).collect();
        all
    }
}

/// A database that is open, and what was read of it.
#[derive(Debug)]
struct Open {
    store: Store,
    file: Option<FileId>,
    mark: Option<Mark>,
    last: Option<RowId>,
    series: BTreeMap<SeriesId, Series>,
    histories: BTreeMap<String, History>,
    outages: Vec<Outage>,
    tally: Option<Tally>,
    newest: Option<Wall>,
    /// Until when the intervals that were read go.
    until: Option<Wall>,
    site: String,
}

impl Open {
    fn new(store: Store) -> Self {
        Self {
            file: store.file(),
            store,
            mark: None,
            last: None,
            series: BTreeMap::new(),
            histories: BTreeMap::new(),
            outages: Vec::new(),
            tally: None,
            newest: None,
            until: None,
            site: String::new(),
        }
    }

    /// Reads what was committed since the last time.
    fn look(&mut self) -> Result<(), StoreError> {
        let mark = Some(self.store.mark()?);
        if mark == self.mark {
            return Ok(());
        }
        self.newest = self.store.newest()?;
        self.series = self.store.all_series()?;
        self.site = self.store.site()?.unwrap_or_default();
        self.outages = self.store.open_outages()?.into_iter().map(|(_, outage)| outage).collect();
        self.tally = Some(self.store.tally()?);
        if let Some(newest) = self.newest {
            let (series, histories) = (&self.series, &mut self.histories);
            // A minute may be written some minutes later.
            let from = newest - HOUR;
            let mut until = self.newest.max(self.until);
            self.last = self.store.intervals_after(self.last, from, |id, interval| {
                until = until.max(Some(interval.to()));
                if let Some(series) = series.get(&id) {
                    histories.entry(series.probe.clone()).or_default().add(interval);
                }
            })?;
            self.until = until;
        }
        self.mark = mark;
        Ok(())
    }
}

/// Reads again and again.
#[derive(Debug)]
pub struct Reader {
    places: Places,
    config: Option<Arc<AgentConfig>>,
    open: Option<Open>,
    verdicts: Verdicts,
    /// When they were begun last, and how long they took.
    judged: Option<(Instant, Duration)>,
    judging: Option<Receiver<(Verdicts, Duration)>>,
    trouble: Option<String>,
}

impl Reader {
    /// Of the agent whose data was found.
    ///
    /// # Errors
    /// When there is no database, or it cannot be read.
    pub fn new(found: Found) -> Result<Self, Failure> {
        let store = source::read(&found.places.data_dir)?;
        Ok(Self {
            places: found.places,
            config: found.config.map(Arc::new),
            open: Some(Open::new(store)),
            verdicts: Verdicts::default(),
            judged: None,
            judging: None,
            trouble: None,
        })
    }

    /// Makes the verdicts now, and waits for them.
    pub fn judge(&mut self) {
        if let Some(open) = &self.open {
            let now = SystemClock.now().wall;
            self.verdicts = Verdicts::of(&open.store, self.config.as_deref(), now);
            self.judged = Some((Instant::now(), Duration::MAX / SHARE / 2));
        }
    }

    /// What is known now, and more of the probe that is opened.
    pub fn frame(&mut self, opened: Option<&str>) -> Frame {
        let now = SystemClock.now().wall;
        self.look();
        self.judge_aside();
        let live = snapshot::ask(&self.places.status_socket);
        let until = self.open.as_ref().and_then(|open| open.until);
        let last = if live.is_some() { now } else { until.unwrap_or(now) };
        if let Some(open) = &mut self.open {
            open.histories.values_mut().for_each(|history| history.forget(last));
        }
        let mut notes: Vec<String> = self.trouble.iter().cloned().collect();
        notes.extend(live.iter().filter(|live| live.clock_unset).map(|_| {
            "the clock is not set yet: what is measured is held, and labelled once it is".to_owned()
        }));
        notes.extend(live.as_ref().and_then(|live| live.fault.as_ref()).map(|fault| {
            format!("the last reload was refused, the old configuration holds: {fault}")
        }));
        notes.extend(self.verdicts.notes.iter().cloned());
        Frame {
            now,
            site: live.as_ref().map_or_else(|| self.site(), |live| live.site.clone()),
            software: crate::SOFTWARE.to_owned(),
            running: live.is_some(),
            observed_until: until,
            clock: live.as_ref().map_or_else(|| "unknown".to_owned(), |live| live.clock.clone()),
            rows: self.rows(live.as_ref()),
            outages: self.outages(live.is_some(), last),
            deadlines: self.verdicts.deadlines.clone(),
            outbox: self.outbox(),
            notes,
            detail: opened.and_then(|name| self.detail(name, now, last)),
        }
    }

    fn site(&self) -> String {
        self.open.as_ref().map(|open| open.site.clone()).unwrap_or_default()
    }

    /// Reads the database, another where another has its name.
    fn look(&mut self) {
        let dir: &PathBuf = &self.places.data_dir;
        if self.open.as_ref().is_some_and(|open| open.file != FileId::of(&dir.join(FILE))) {
            self.open = None;
        }
        if self.open.is_none() {
            match Store::read(dir) {
                Ok(store) => self.open = Some(Open::new(store)),
                Err(error) => self.trouble = Some(error.to_string()),
            }
        }
        if let Some(open) = &mut self.open {
            self.trouble = open.look().err().map(|error| error.to_string());
        }
    }

    /// Has verdicts made on another thread, when it is time.
    fn judge_aside(&mut self) {
        if let Some((verdicts, took)) = self.judging.as_ref().and_then(|made| made.try_recv().ok())
        {
            (self.verdicts, self.judging) = (verdicts, None);
            self.judged = Some((Instant::now(), took));
        }
        let is_time = self
            .judged
            .is_none_or(|(at, took)| at.elapsed() >= VERDICTS.max(took.saturating_mul(SHARE)));
        if self.judging.is_some() || !is_time {
            return;
        }
        let (made, taken) = channel();
        let (dir, config) = (self.places.data_dir.clone(), self.config.clone());
        let judge = move || {
            let begun = Instant::now();
            if let Ok(store) = Store::read(&dir) {
                let verdicts = Verdicts::of(&store, config.as_deref(), SystemClock.now().wall);
                let _ = made.send((verdicts, begun.elapsed()));
            }
        };
        // Without a thread there are none this time.
        self.judged = Some((Instant::now(), Duration::ZERO));
        if std::thread::Builder::new().name("verdicts".to_owned()).spawn(judge).is_ok() {
            self.judging = Some(taken);
        }
    }

    fn rows(&self, live: Option<&Snapshot>) -> Vec<Row> {
        let none = History::default();
        let history = |name: &str| {
            self.open.as_ref().and_then(|open| open.histories.get(name)).unwrap_or(&none)
        };
        let row = |name: &str, service: &Option<String>| {
            let history = history(name);
            Row {
                name: name.to_owned(),
                service: service.clone(),
                recent: history.recent(RECENT),
                p50_us: history.rtt_us(50),
                p95_us: history.rtt_us(95),
                minute: history.last().map(Loss::of).unwrap_or_default(),
                hour: history.loss(),
                jitter_us: history.jitter_us(),
                budget: service.as_ref().and_then(|of| self.verdicts.budgets.get(of)).cloned(),
                ..Row::default()
            }
        };
        if let Some(live) = live {
            let now = |probe: &LiveProbe| {
                let stored = row(&probe.name, &probe.service);
                // What the agent has in memory is newer than what it has written.
                let minute = probe.outcomes.parse::<Outcomes>().ok();
                let minute = minute.filter(|of| !of.is_empty()).map(|of| Loss::of(&of));
                let recent = Some(probe.recent.clone()).filter(|of| !of.is_empty());
                Row {
                    kind: probe.kind.clone(),
                    state: probe.state.clone(),
                    last_us: probe.last_rtt_us,
                    reason: probe.reason.clone(),
                    minute: minute.unwrap_or(stored.minute),
                    recent: recent.unwrap_or(stored.recent.clone()),
                    ..stored
                }
            };
            return live.probes.iter().map(now).collect();
        }
        let Some(open) = &self.open else { return Vec::new() };
        // The last series of a name is its latest.
        let latest: BTreeMap<&str, &Series> =
            open.series.values().map(|series| (series.probe.as_str(), series)).collect();
        let then = |(name, series): (&str, &Series)| Row {
            kind: series.kind.clone(),
            state: "unknown".to_owned(),
            ..row(name, &series.service)
        };
        latest.into_iter().map(then).collect()
    }

    /// The outages without an end; several definitions tell of one failure.
    fn outages(&self, running: bool, now: Wall) -> Vec<String> {
        let mut seen: Vec<(&str, Wall)> = Vec::new();
        let mut all = Vec::new();
        for outage in self.open.iter().flat_map(|open| &open.outages) {
            let key = (outage.probe.as_str(), outage.from);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let why = outage.reasons().words().map_or(String::new(), |words| format!(", {words}"));
            let lasts = since(outage.from, now);
            let lasts = if running {
                format!("down for {lasts}")
            } else {
                format!("down for {lasts} or longer, end not seen")
            };
            all.push(format!("{}: {lasts}{why}, side {}", outage.probe, outage.side));
        }
        all
    }

    fn outbox(&self) -> String {
        let ships = self.config.as_ref().is_none_or(|config| config.collector.is_some());
        match self.open.as_ref().and_then(|open| open.tally.as_ref()) {
            Some(tally) => status::outbox(tally, ships)
                .split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" "),
            None => "-".to_owned(),
        }
    }

    fn detail(&self, name: &str, now: Wall, last: Wall) -> Option<Detail> {
        let open = self.open.as_ref()?;
        let series = open.series.values().rev().find(|series| series.probe == name);
        let target = series.map(|series| {
            let address = series.address.map(|address| address.to_string());
            let address = address.filter(|address| *address != series.target);
            let address = address.map_or(String::new(), |address| format!(" at {address}"));
            let service = series.service.as_deref().unwrap_or("no service");
            format!("{} {}{address}, {service}", series.kind, series.target)
        });
        let mut outages = open.store.outages(now - MONTH, Wall::from_nanos(i64::MAX)).ok()?;
        outages.retain(|(_, outage)| outage.probe == name);
        let said = |outage: &Outage| {
            let lasted = match outage.to {
                Some(to) => since(outage.from, to),
                None => "no end yet".to_owned(),
            };
            let why = outage.reasons().words().map_or(String::new(), |words| format!(", {words}"));
            let from = print::instant(outage.from);
            format!("{from}  {lasted}, side {}{why}, by {}", outage.side, outage.definition)
        };
        let hour = history::read(&open.store, &[name], (last - HOUR, last), Step::Minute);
        let hour = hour.ok().and_then(|mut all| all.pop());
        let band = |outage: &Outage| Band {
            from: outage.from,
            to: outage.to.unwrap_or(last),
            label: outage.side.clone(),
        };
        Some(Detail {
            name: name.to_owned(),
            target: target.unwrap_or_default(),
            bands: hour.iter().flat_map(|hour| &hour.outages).map(band).collect(),
            until: hour.as_ref().map_or(last, |hour| settled_until(&hour.buckets, last)),
            buckets: hour.map(|hour| hour.buckets).unwrap_or_default(),
            minutes: open
                .histories
                .get(name)
                .map(|all| all.minutes().collect())
                .unwrap_or_default(),
            outages: outages.iter().rev().take(OUTAGES).map(|(_, outage)| said(outage)).collect(),
        })
    }
}
