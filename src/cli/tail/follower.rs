//! What has changed since the last look: outages that began, ended or got another side, lines of
//! the journal, and steps of the life cycles. It reads nothing itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::base::time::Wall;
use crate::cli::print;
use crate::sla::lifecycle::{self, Subject};
use crate::sla::reader::Word as _;
use crate::store::following::EntryId;
use crate::store::journal;
use crate::store::outages::{Outage, OutageId, Shown};

/// Outages that ended this long ago change no more.
pub const SETTLED: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What one look at the database gives.
#[derive(Debug, Default)]
pub struct Look {
    /// The lines of the journal after [`Follower::journal`].
    pub journal: Vec<(EntryId, journal::Entry)>,
    /// The outages that may still change.
    pub outages: Vec<(OutageId, Outage)>,
    /// Every step of the life cycles.
    pub life: Vec<(Subject, lifecycle::Entry)>,
    /// The service that each probe measures.
    pub owners: BTreeMap<String, Option<String>>,
}

/// A line that is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// An outage, and what became of it.
    Outage(Change, Box<Outage>),
    /// A line of the journal.
    Journal(journal::Entry),
    /// A step of a life cycle, such as a claim's.
    Life(Subject, Box<lifecycle::Entry>),
}

/// What became of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Began,
    /// Another side failed than was known.
    Side,
    /// It ended.
    Ended,
}

/// What was told of an outage.
#[derive(Debug)]
struct Known {
    probe: String,
    definition: String,
    from: Wall,
    to: Option<Wall>,
    side: String,
}

/// Knows what was told, so that nothing is told twice.
#[derive(Debug)]
pub struct Follower {
    service: Option<String>,
    journal: EntryId,
    outages: BTreeMap<OutageId, Known>,
    life: usize,
    /// The times of the last line and of the last step, by which those of another file are known.
    newest: (Option<Wall>, Option<Wall>),
    /// What was told of outages in files before this one. It may come into this one later.
    before: Vec<Known>,
    /// Whether this file was not looked at yet, and another was.
    is_other: bool,
}

impl Follower {
    /// Of everything, or of what concerns a service.
    #[must_use]
    pub fn new(service: Option<String>) -> Self {
        Self {
            service,
            journal: EntryId::default(),
            outages: BTreeMap::new(),
            life: 0,
            newest: (None, None),
            before: Vec::new(),
            is_other: false,
        }
    }

    /// The last line of the journal that was taken.
    #[must_use]
    pub const fn journal(&self) -> EntryId {
        self.journal
    }

    /// Another file is read from now on, which may hold what was told, under other numbers.
    pub fn reopened(&mut self) {
        self.before.extend(std::mem::take(&mut self.outages).into_values());
        self.is_other = true;
        (self.journal, self.life) = (EntryId::default(), 0);
    }

    /// The first look: the last so many lines, and every outage that lasts.
    pub fn begin(&mut self, look: Look, last: usize) -> Vec<Told> {
        let all = self.take(look);
        let cut = all.len().saturating_sub(last);
        let lasts = |told: &Told| matches!(told, Told::Outage(_, outage) if outage.to.is_none());
        let kept = all.into_iter().enumerate().filter(|(at, told)| *at >= cut || lasts(told));
        kept.map(|(_, told)| told).collect()
    }

    /// What is new, in the order of time.
    pub fn take(&mut self, look: Look) -> Vec<Told> {
        let mut all = Vec::new();
        let again = std::mem::take(&mut self.is_other);
        for (id, entry) in look.journal {
            self.journal = self.journal.max(id);
            if again && Some(entry.at) <= self.newest.0 {
                continue;
            }
            self.newest.0 = self.newest.0.max(Some(entry.at));
            // What it says of outages is told by the outages themselves.
            if entry.kind != journal::Noted::Outage.word()
                && self.concerns(&entry.detail, &look.owners)
            {
                all.push(Told::Journal(entry));
            }
        }
        for (subject, entry) in look.life.into_iter().skip(self.life) {
            self.life += 1;
            if again && Some(entry.recorded) <= self.newest.1 {
                continue;
            }
            self.newest.1 = self.newest.1.max(Some(entry.recorded));
            if self.service.as_ref().is_none_or(|service| subject.service == *service) {
                all.push(Told::Life(subject, Box::new(entry)));
            }
        }
        for (id, outage) in look.outages {
            // One that no contract judges has no service; its probe may have.
            let owner = || look.owners.get(&outage.probe).cloned().flatten();
            if self.service.is_none() || outage.service.clone().or_else(owner) == self.service {
                self.outage(id, outage, &mut all);
            }
        }
        all.sort_by_key(Told::at);
        all
    }

    /// Forgets outages that ended before an instant.
    pub fn forget(&mut self, before: Wall) {
        let is_kept = |known: &Known| known.to.is_none_or(|to| to > before);
        self.outages.retain(|_, known| is_kept(known));
        self.before.retain(is_kept);
    }

    fn outage(&mut self, id: OutageId, outage: Outage, all: &mut Vec<Told>) {
        let same = |known: &Known| {
            (known.probe == outage.probe && known.definition == outage.definition)
                && known.from == outage.from
        };
        let place = self.before.iter().position(same);
        let before = place.map(|place| self.before.swap_remove(place));
        let known = self.outages.remove(&id).or(before);
        let mut tell = |change| all.push(Told::Outage(change, Box::new(outage.clone())));
        match &known {
            None => tell(Change::Began),
            Some(known) if known.side != outage.side && outage.to.is_none() => tell(Change::Side),
            Some(_) => {}
        }
        if outage.to.is_some() && known.is_none_or(|known| known.to.is_none()) {
            tell(Change::Ended);
        }
        let (probe, definition) = (outage.probe, outage.definition);
        let known =
            Known { probe, definition, from: outage.from, to: outage.to, side: outage.side };
        self.outages.insert(id, known);
    }

    /// Whether a line of the journal is of the service: it names one of its probes, or none at all,
    /// as what concerns the whole agent does.
    fn concerns(&self, detail: &str, owners: &BTreeMap<String, Option<String>>) -> bool {
        let Some(service) = &self.service else { return true };
        let named = |part: &str| {
            let begins = |name: &&String| {
                let rest = part.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with(" has "))
            };
            owners.keys().find(begins).cloned()
        };
        let mut named = detail.split("; ").filter_map(named).peekable();
        named.peek().is_none() || named.any(|name| owners[&name].as_ref() == Some(service))
    }
}

impl Told {
    fn at(&self) -> Wall {
        match self {
            Self::Outage(Change::Ended, outage) => outage.to.unwrap_or(outage.from),
            Self::Outage(_, outage) => outage.from,
            Self::Journal(entry) => entry.at,
            Self::Life(_, entry) => entry.recorded,
        }
    }

    /// As one line of JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let at = self.at();
        match self {
            Self::Outage(change, outage) => json!({
                "what": "outage",
                "at": at,
                "event": change.word(),
                "outage": Shown::from(&**outage),
            }),
            Self::Journal(entry) => json!({
                "what": "journal", "at": at, "kind": entry.kind, "detail": entry.detail,
            }),
            Self::Life(of, entry) => json!({
                "what": "life", "at": at, "cycle": of.cycle.word(), "contract": of.contract,
                "service": of.service, "period": of.period, "item": of.item,
                "action": entry.action, "happened": entry.at, "who": entry.who,
            }),
        }
    }

    /// As a line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let (kind, words) = match self {
            Self::Outage(change, outage) => ("outage", told(*change, outage)),
            Self::Journal(entry) => (entry.kind.as_str(), entry.detail.clone()),
            Self::Life(of, entry) => {
                let of_what = [&of.contract, &of.service, &of.period, &of.item];
                let of_what: Vec<&str> = of_what
                    .into_iter()
                    .map(String::as_str)
                    .filter(|part| !part.is_empty())
                    .collect();
                let words = format!("{}: {} by {}", of_what.join(" "), entry.action, entry.who);
                (of.cycle.word(), words)
            }
        };
        line(self.at(), kind, &words)
    }
}

/// A line: when, of what kind, in words. It is one, however long, so that it can be looked for.
#[must_use]
pub fn line(at: Wall, kind: &str, words: &str) -> String {
    let text = format!("{:24}  {kind:10}  {words}", print::instant(at));
    print::one(text.trim_end()).into_owned()
}

impl Change {
    const fn word(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Side => "side",
            Self::Ended => "ended",
        }
    }
}

fn told(change: Change, outage: &Outage) -> String {
    let probe = match &outage.service {
        Some(service) => format!("{service}, {}", outage.probe),
        None => outage.probe.clone(),
    };
    let lasted = outage.to.map(|to| {
        let nanos = u64::try_from(to.nanos_since(outage.from)).unwrap_or(0);
        print::length(std::time::Duration::from_nanos(nanos))
    });
    let what = match (change, lasted) {
        (Change::Ended, Some(lasted)) => match outage.evidence["end"].as_str() {
            Some(end) => format!("down for {lasted}, then {end}"),
            None => format!("up again after {lasted}"),
        },
        (Change::Side, _) => "still down, its side is known".to_owned(),
        _ => "down".to_owned(),
    };
    let why = outage.reasons().words().map_or(String::new(), |words| format!(", {words}"));
    format!("{probe}: {what}{why}, side {}, by {}", outage.side, outage.definition)
}

#[cfg(test)]
mod tests;
