//! From a contract as it was written to its checked [`Contract`]: all faults at once, each with its
//! place.
//!
//! A lower contract inherits whole tables and arrays from its parents; [`resolve`] puts them
//! together.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::sla::calendar::{Day, Period};
use crate::sla::fault::Fault;
use crate::sla::reader::{self, Faults, Need, Node, Reader};
use crate::sla::terms::{Agreement, Claim, Combine, Contract, Era, Level};

mod money;
mod objective;
mod references;
mod sections;
mod shown;
mod warnings;

pub use shown::{Section, Term, shown};
pub use warnings::warnings;

/// The schema that a contract names.
pub const SCHEMA: &str = "wanproof.contract/1";

/// The top-level tables and arrays, in the order of the format's page.
const SECTIONS: [&str; 9] = [
    "agreement",
    "service",
    "exclusion",
    "objective",
    "combine",
    "cap",
    "claim",
    "termination",
    "duty",
];

/// A contract as it was written: its syntax is right, its terms are not checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    file: String,
    table: BTreeMap<String, Node>,
}

impl Written {
    /// Reads the syntax of a contract; `file` is what faults call it.
    ///
    /// # Errors
    /// When the text is not TOML: one fault, with line and column.
    pub fn read(text: &str, file: &str) -> Result<Self, Vec<Fault>> {
        match text.parse::<toml::Table>() {
            Ok(table) => {
                let table =
                    table.into_iter().map(|(key, value)| (key, Node::from(value))).collect();
                Ok(Self { file: file.to_owned(), table })
            }
            Err(error) => {
                let place = error.span().map_or(String::new(), |span| place_of(text, span.start));
                Err(vec![Fault::new(
                    file,
                    place,
                    format!("not TOML: {}", error.message().replace('\n', "; ")),
                )])
            }
        }
    }

    /// What faults call it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The agreement's id, as far as it has one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.agreement_text("id")
    }

    /// The id of its parent, as far as it names one.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.agreement_text("parent")
    }

    /// Its version, as far as it has one.
    #[must_use]
    pub fn version(&self) -> Option<i64> {
        match self.agreement()?.get("version")? {
            Node::Whole(version) => Some(*version),
            Node::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// From when it holds, as far as that can be read; from ever, where it cannot.
    fn effective_from(&self) -> Wall {
        self.agreement_text("effective_from").and_then(|text| text.parse().ok()).unwrap_or(BEGIN)
    }

    fn agreement(&self) -> Option<&BTreeMap<String, Node>> {
        match self.table.get("agreement")? {
            Node::Table(agreement) => Some(agreement),
            _ => None,
        }
    }

    fn agreement_text(&self, key: &str) -> Option<&str> {
        match self.agreement()?.get(key)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Line and column of a byte of a text, both from 1.
fn place_of(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!("line {line}, column {column}")
}

/// Reads and checks a contract that stands alone, or whose parents are not at hand.
///
/// # Errors
/// All its faults.
pub fn parse(text: &str, file: &str) -> Result<Contract, Vec<Fault>> {
    resolve(&Written::read(text, file)?, &[])
}

/// Checks a contract together with its parents, which are looked for by id among `others`. A
/// parent's tables and arrays hold where the contract has none of that name. Of several versions of
/// a parent the highest holds, and for a period that began before it was in force
/// ([`Contract::of`]) the one that was then; before any was, the first.
///
/// # Errors
/// All faults, each with the file that it is in. A parent that is not found is one only when a
/// required table is then missing.
pub fn resolve(own: &Written, others: &[Written]) -> Result<Contract, Vec<Fault>> {
    let mut contract = resolved(own, others, END)?;
    contract.eras = eras(own, others);
    Ok(contract)
}

fn resolved(own: &Written, others: &[Written], at: Wall) -> Result<Contract, Vec<Fault>> {
    let faults = Faults::default();
    let line = ancestry(own, others, at, &faults);
    let contract = assemble(own, &line, &faults);
    let faults = faults.into_inner();
    match contract {
        Some(contract) if faults.is_empty() => Ok(contract),
        _ => Err(faults),
    }
}

/// What the contract came to while earlier versions of its parents were in force.
fn eras(own: &Written, others: &[Written]) -> Vec<Era> {
    let mut begins: BTreeSet<Wall> = BTreeSet::new();
    let mut open: Vec<&str> = own.parent().into_iter().collect();
    let mut met: BTreeSet<&str> = own.id().into_iter().collect();
    while let Some(id) = open.pop() {
        if met.insert(id) {
            let versions = || others.iter().filter(move |other| other.id() == Some(id));
            // One alone holds throughout.
            begins.extend(
                versions().map(Written::effective_from).filter(|_| versions().nth(1).is_some()),
            );
            open.extend(versions().filter_map(Written::parent));
        }
    }
    let mut eras: Vec<Era> = Vec::new();
    let line = |at: Wall| -> Vec<&Written> { ancestry(own, others, at, &Faults::default()).line };
    let same = |a: Wall, b: Wall| line(a).iter().zip(&line(b)).all(|(a, b)| std::ptr::eq(*a, *b));
    let mut from = BEGIN;
    for at in begins.into_iter().take(ERAS) {
        if !same(from, at) || line(from).len() != line(at).len() {
            eras.push(Era { until: at, contract: resolved(own, others, from).map(Box::new) });
            from = at;
        }
    }
    eras
}

/// So many changes of its parents are looked at, whatever lies beside a contract.
const ERAS: usize = 100;
/// Before and after everything.
const BEGIN: Wall = Wall::from_nanos(i64::MIN);
const END: Wall = Wall::from_nanos(i64::MAX);

/// The contract's parents, as [`resolve`] finds them, the nearest first; the highest versions.
#[must_use]
pub fn parents<'a>(own: &'a Written, others: &'a [Written]) -> Vec<&'a Written> {
    ancestry(own, others, END, &Faults::default()).line.split_off(1)
}

/// The contract's parents that hold for a period, the nearest first.
#[must_use]
pub fn parents_for<'a>(
    own: &'a Written,
    others: &'a [Written],
    period: Period,
) -> Vec<&'a Written> {
    // What the period's beginning is, the contract's zone says, and its rolling objectives.
    let begin = resolve(own, others).map_or(END, |contract| contract.begin(period));
    ancestry(own, others, begin, &Faults::default()).line.split_off(1)
}

/// The contract and its parents, the nearest first, and the id of the first that was not found.
struct Ancestry<'a> {
    line: Vec<&'a Written>,
    lost: Option<&'a str>,
}

impl<'a> Ancestry<'a> {
    /// The nearest that has a section.
    fn holder(&self, section: &str) -> Option<&'a Written> {
        self.line.iter().copied().find(|written| written.table.contains_key(section))
    }
}

/// The version of a contract that was in force at an instant; before any was, the first.
fn held<'a>(id: &str, all: &'a [Written], at: Wall) -> Option<&'a Written> {
    let versions = || all.iter().filter(|other| other.id() == Some(id));
    let begun = versions().filter(|version| version.effective_from() <= at);
    begun
        .max_by_key(|version| version.version())
        .or_else(|| versions().min_by_key(|version| version.effective_from()))
}

fn ancestry<'a>(
    own: &'a Written,
    others: &'a [Written],
    at: Wall,
    faults: &Faults,
) -> Ancestry<'a> {
    let mut line = vec![own];
    let mut met: BTreeSet<&str> = own.id().into_iter().collect();
    let mut next = own.parent();
    while let Some(id) = next {
        let last = line[line.len() - 1];
        if !met.insert(id) {
            faults.add(Fault::new(
                &last.file,
                "agreement.parent",
                format!("{id:?} is a parent of itself"),
            ));
            return Ancestry { line, lost: None };
        }
        let Some(parent) = held(id, others, at) else { return Ancestry { line, lost: Some(id) } };
        line.push(parent);
        next = parent.parent();
    }
    Ancestry { line, lost: None }
}

fn assemble(own: &Written, ancestry: &Ancestry<'_>, faults: &Faults) -> Option<Contract> {
    let agreement = agreement(own, ancestry, faults);
    // A contract above the services is only a template; what it lacks, those below it bring.
    let judged = agreement.as_ref().is_none_or(|agreement| agreement.level == Level::Service)
        || ancestry.holder("service").is_some();
    if judged {
        check_there_is_what_to_judge(own, ancestry, faults);
    }
    let elements = |section: &'static str| Elements::of(ancestry.holder(section), section, faults);
    let services = elements("service").read(sections::service);
    let exclusions = elements("exclusion").read(sections::exclusion);
    let objectives = elements("objective").read(objective::objective);
    let combines: Vec<Combine> = elements("combine").read_unnamed(sections::combine);
    let mut caps = elements("cap").read_unnamed(sections::cap);
    caps.sort_by_key(|cap| cap.per);
    let terminations = elements("termination").read(sections::termination);
    let duties = elements("duty").read(sections::duty);
    let claim = claim(ancestry, faults);
    let has_remedy = objectives.all.iter().any(|objective| objective.remedy.is_some());
    if judged && has_remedy && ancestry.holder("claim").is_none() {
        faults.add(missing(own, ancestry, "claim", "a contract with a remedy"));
    }
    let files =
        SECTIONS.map(|section| (section, ancestry.holder(section).unwrap_or(own).file.as_str()));
    let parts = references::Parts {
        services: &services,
        objectives: &objectives,
        combines: &combines,
        terminations: &terminations.all,
        judged,
    };
    references::check(&parts, &files, faults);
    Some(Contract {
        agreement: agreement?,
        services: services.all,
        exclusions: exclusions.all,
        objectives: objectives.all,
        combines,
        caps,
        claim,
        terminations: terminations.all,
        duties: duties.all,
        eras: Vec::new(),
    })
}

/// The contract's own agreement, with the holidays of the nearest in its line that has some. Each
/// in the line must be of a higher level than the one below it.
fn agreement(own: &Written, ancestry: &Ancestry<'_>, faults: &Faults) -> Option<Agreement> {
    let mut level_below: Option<Level> = None;
    let mut agreement: Option<Agreement> = None;
    let mut holidays: Option<Vec<Day>> = None;
    for written in &ancestry.line {
        let read = head(written, faults);
        if let (Some(read), Some(below)) = (&read, level_below)
            && read.level >= below
        {
            let what = format!(
                "{:?} is of level {}, and must be of a higher one than {below}",
                read.id, read.level
            );
            faults.add(Fault::new(&written.file, "agreement.level", what));
        }
        let has = written.agreement().is_some_and(|agreement| agreement.contains_key("holidays"));
        if holidays.is_none() && has {
            holidays = read.as_ref().map(|read| read.holidays.clone());
        }
        level_below = read.as_ref().map(|read| read.level).or(level_below);
        if agreement.is_none() && std::ptr::eq(*written, own) {
            agreement = read;
        }
    }
    if let (Some(agreement), Some(holidays)) = (&mut agreement, holidays) {
        agreement.holidays = holidays;
    }
    agreement
}

/// A contract that judges has services, and objectives for them.
fn check_there_is_what_to_judge(own: &Written, ancestry: &Ancestry<'_>, faults: &Faults) {
    for section in ["service", "objective"] {
        match ancestry.holder(section).map(|holder| (holder, &holder.table[section])) {
            None => faults.add(missing(own, ancestry, section, "a contract that judges services")),
            Some((holder, Node::List(all))) if all.is_empty() => {
                faults.add(Fault::new(&holder.file, section, "is empty: nothing could be judged"));
            }
            Some(_) => {}
        }
    }
}

/// A section that neither the contract nor any above it has.
fn missing(own: &Written, ancestry: &Ancestry<'_>, section: &str, why: &str) -> Fault {
    let what = match ancestry.lost {
        Some(parent) => {
            format!("missing: {why} needs it, and its parent {parent:?} was not found")
        }
        None => format!("missing: {why} needs it"),
    };
    Fault::new(&own.file, section, what)
}

fn claim(ancestry: &Ancestry<'_>, faults: &Faults) -> Option<Claim> {
    let holder = ancestry.holder("claim")?;
    let top = Reader::top(&holder.table, &holder.file, faults);
    top.table("claim", Need::Optional).and_then(sections::claim)
}

/// A file's own words: its schema, its agreement, and that it has no section that nobody knows.
fn head(written: &Written, faults: &Faults) -> Option<Agreement> {
    let top = Reader::top(&written.table, &written.file, faults);
    top.get("schema", Need::By("every contract".to_owned()), |node| match node {
        Node::Text(schema) if schema == SCHEMA => Ok(()),
        _ => Err(format!("{} is not known: this version reads {SCHEMA:?}", node.kind())),
    });
    let agreement =
        top.table("agreement", Need::By("every contract".to_owned())).and_then(sections::agreement);
    for section in SECTIONS {
        top.node(section, Need::Optional);
    }
    top.done();
    agreement
}

/// The tables of one section, wherever they are inherited from.
struct Elements<'a> {
    readers: Vec<Reader<'a>>,
    section: &'static str,
    /// Whether something stands there that is no table.
    broken: bool,
}

impl<'a> Elements<'a> {
    fn of(holder: Option<&'a Written>, section: &'static str, faults: &'a Faults) -> Self {
        let mut readers = Vec::new();
        let mut broken = false;
        let node = holder.and_then(|holder| Some((holder, holder.table.get(section)?)));
        match node {
            Some((holder, Node::List(list))) => {
                for (number, element) in (1..).zip(list) {
                    let Node::Table(table) = element else {
                        broken = true;
                        let what = format!("expected a table, found {}", element.kind());
                        faults.add(Fault::new(&holder.file, format!("{section} {number}"), what));
                        continue;
                    };
                    let object = match table.get("id") {
                        Some(Node::Text(id)) => format!("{section} {id:?}"),
                        _ => format!("{section} {number}"),
                    };
                    readers.push(Reader::object(table, &holder.file, object, faults));
                }
            }
            Some((holder, other)) => {
                let what = format!("expected [[{section}]], found {}", other.kind());
                faults.add(Fault::new(&holder.file, section, what));
            }
            None => {}
        }
        Self { readers, section, broken }
    }

    /// Reads each, and sees to it that no two have the same id.
    fn read<T>(self, read: impl Fn(&Reader<'_>) -> Option<T>) -> Named<T> {
        let mut ids = BTreeSet::new();
        let mut all = Vec::new();
        let count = self.readers.len();
        for reader in self.readers {
            if let Some(Node::Text(id)) = reader.node("id", Need::Optional)
                && !ids.insert(id.clone())
            {
                reader.fault("id", format!("another {} has this id", self.section));
            }
            all.extend(read(&reader));
            reader.done();
        }
        let complete = count > 0 && count == ids.len() && !self.broken;
        Named { all, ids, complete }
    }

    /// Reads each of those that have no id.
    fn read_unnamed<T>(self, read: impl Fn(&Reader<'_>) -> Option<T>) -> Vec<T> {
        let mut all = Vec::new();
        for reader in self.readers {
            all.extend(read(&reader));
            reader.done();
        }
        all
    }
}

/// The elements of a section that could be read, and the ids of all of them, so that one fault does
/// not beget others.
struct Named<T> {
    all: Vec<T>,
    ids: BTreeSet<String>,
    /// Whether there is any, and each has an id; else no one can say that a name is not among them.
    complete: bool,
}

/// Needed by every element of a section.
fn every(section: &str) -> Need {
    Need::By(format!("every {section}"))
}

/// An identifier: a name without spaces and quotes.
fn identifier(node: &Node) -> Result<String, String> {
    let text = reader::name(node)?;
    if text.chars().any(|c| c.is_whitespace() || c == '"') {
        return Err(format!("{} is no identifier: it may not hold spaces or quotes", node.kind()));
    }
    Ok(text)
}
