//! Walks a table as it was written, TOML or JSON alike, and records every fault with its place
//! instead of stopping at the first: what is missing, what is of the wrong kind, and what nobody
//! asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::base::decimal::Exact;
use crate::base::text;
use crate::base::time::{Wall, parse_duration};
use crate::sla::calendar::Day;
use crate::sla::fault::Fault;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A floating-point number, as it was written or nearly so; it is always a fault.
    Real(String),
    /// `true` or `false`.
    Truth(bool),
    /// A TOML date or time without quotes; it is always a fault.
    Moment(String),
    /// JSON's null.
    Null,
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(BTreeMap<String, Node>),
}

impl From<toml::Value> for Node {
    fn from(value: toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text),
            toml::Value::Integer(whole) => Self::Whole(whole),
            toml::Value::Float(real) => Self::Real(real.to_string()),
            toml::Value::Boolean(truth) => Self::Truth(truth),
            toml::Value::Datetime(moment) => Self::Moment(moment.to_string()),
            toml::Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            toml::Value::Table(table) => Self::Table(
                table.into_iter().map(|(key, value)| (key, Self::from(value))).collect(),
            ),
        }
    }
}

impl From<serde_json::Value> for Node {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Truth(truth),
            serde_json::Value::Number(number) => {
                number.as_i64().map_or_else(|| Self::Real(number.to_string()), Self::Whole)
            }
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(list) => {
                Self::List(list.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(table) => Self::Table(
                table.into_iter().map(|(key, value)| (key, Self::from(value))).collect(),
            ),
        }
    }
}

/// As TOML, in one line.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Display::fmt(&toml::Value::String(text.clone()), f),
            Self::Whole(whole) => fmt::Display::fmt(whole, f),
            Self::Real(text) | Self::Moment(text) => f.write_str(text),
            Self::Truth(truth) => fmt::Display::fmt(truth, f),
            Self::Null => f.write_str("null"),
            Self::List(list) => {
                let all: Vec<String> = list.iter().map(Self::to_string).collect();
                write!(f, "[{}]", all.join(", "))
            }
            Self::Table(table) => {
                let all: Vec<String> =
                    table.iter().map(|(key, node)| format!("{key} = {node}")).collect();
                write!(f, "{{ {} }}", all.join(", "))
            }
        }
    }
}

impl Node {
    /// What it is, for a fault: `the text "x"`, `an array`.
    #[must_use]
    pub fn kind(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", shortened(text)),
            Self::Whole(whole) => whole.to_string(),
            Self::Real(real) => format!("the floating-point number {real}"),
            Self::Truth(truth) => truth.to_string(),
            Self::Moment(moment) => format!("{moment} without quotes"),
            Self::Null => "null".to_owned(),
            Self::List(_) => "an array".to_owned(),
            Self::Table(_) => "a table".to_owned(),
        }
    }
}

/// A text's first 60 characters.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// All faults found so far.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    /// Records one.
    pub fn add(&self, fault: Fault) {
        self.0.borrow_mut().push(fault);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn into_inner(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// Whether a key must be there.
#[derive(Clone, Debug)]
pub enum Need {
    /// It may be absent.
    Optional,
    /// It must be there, since this needs it.
    By(String),
}

impl Need {
    /// Needed by something, if it applies; optional otherwise.
    #[must_use]
    pub fn when(applies: bool, by: impl Into<String>) -> Self {
        if applies { Self::By(by.into()) } else { Self::Optional }
    }
}

/// One table, being read.
pub struct Reader<'a> {
    table: &'a BTreeMap<String, Node>,
    file: &'a str,
    /// The object, such as `objective "avail"`; empty at the top.
    object: String,
    /// The path within it, such as `outage`.
    path: String,
    /// The number that an array's first element has in faults: people count from 1, JSON's facts
    /// from 0.
    first: usize,
    faults: &'a Faults,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Reader<'a> {
    /// The file's top.
    #[must_use]
    pub fn top(table: &'a BTreeMap<String, Node>, file: &'a str, faults: &'a Faults) -> Self {
        Self::object(table, file, String::new(), faults)
    }

    /// The same, with array elements counted from 0 in faults.
    #[must_use]
    pub fn counting_from_zero(self) -> Self {
        Self { first: 0, ..self }
    }

    /// A table that is an object of its own, such as `objective "avail"`.
    #[must_use]
    pub fn object(
        table: &'a BTreeMap<String, Node>,
        file: &'a str,
        object: String,
        faults: &'a Faults,
    ) -> Self {
        Self {
            table,
            file,
            object,
            path: String::new(),
            first: 1,
            faults,
            read: RefCell::default(),
        }
    }

    /// The place of a key of this table.
    #[must_use]
    pub fn place(&self, key: &str) -> String {
        let path = match (self.path.is_empty(), key.is_empty()) {
            (_, true) => self.path.clone(),
            (true, false) => key.to_owned(),
            (false, false) => format!("{}.{key}", self.path),
        };
        match (self.object.is_empty(), path.is_empty()) {
            (true, _) => path,
            (false, true) => self.object.clone(),
            (false, false) => format!("{}: {path}", self.object),
        }
    }

    /// Records a fault of a key; of the table itself where the key is empty.
    pub fn fault(&self, key: &str, what: impl Into<String>) {
        self.faults.add(Fault::new(self.file, self.place(key), what));
    }

    /// Whether a key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a key is there, and not null.
    #[must_use]
    pub fn gives(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|node| *node != Node::Null)
    }

    /// The value of a key as it was written; a missing one that is needed is a fault.
    pub fn node(&self, key: &'a str, need: Need) -> Option<&'a Node> {
        self.read.borrow_mut().insert(key);
        match (self.table.get(key), need) {
            (Some(Node::Null) | None, Need::By(by)) => {
                self.fault(key, format!("missing: {by} needs it"));
                None
            }
            (Some(Node::Null) | None, Need::Optional) => None,
            (Some(node), _) => Some(node),
        }
    }

    /// The value of a key, read by `read`, whose error says what would be right.
    pub fn get<T>(
        &self,
        key: &'a str,
        need: Need,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key, need)?;
        read(node).map_err(|what| self.fault(key, what)).ok()
    }

    /// An array of a key, each element read by `read`; faults name the element. Absent when any
    /// could not be read.
    pub fn list<T>(
        &self,
        key: &'a str,
        need: Need,
        read: impl Fn(&Node) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let node = self.node(key, need)?;
        let Node::List(list) = node else {
            self.fault(key, format!("expected an array, found {}", node.kind()));
            return None;
        };
        let mut all = Vec::with_capacity(list.len());
        for (number, element) in (self.first..).zip(list) {
            match read(element) {
                Ok(value) => all.push(value),
                Err(what) => self.fault(&format!("{key}[{number}]"), what),
            }
        }
        (all.len() == list.len()).then_some(all)
    }

    /// A table of a key, to be read on.
    pub fn table(&self, key: &'a str, need: Need) -> Option<Reader<'a>> {
        let node = self.node(key, need)?;
        match node {
            Node::Table(table) => Some(self.inner(key, table)),
            _ => {
                self.fault(key, format!("expected a table, found {}", node.kind()));
                None
            }
        }
    }

    /// An array of tables of a key, each to be read on; faults name the element.
    pub fn tables(&self, key: &'a str, need: Need) -> Option<Vec<Reader<'a>>> {
        let node = self.node(key, need)?;
        let Node::List(list) = node else {
            self.fault(key, format!("expected an array of tables, found {}", node.kind()));
            return None;
        };
        let mut all = Vec::with_capacity(list.len());
        for (number, element) in (self.first..).zip(list) {
            let name = format!("{key}[{number}]");
            match element {
                Node::Table(table) => all.push(self.inner(&name, table)),
                _ => self.fault(&name, format!("expected a table, found {}", element.kind())),
            }
        }
        Some(all)
    }

    fn inner(&self, key: &str, table: &'a BTreeMap<String, Node>) -> Reader<'a> {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let (file, object, faults) = (self.file, self.object.clone(), self.faults);
        Reader { table, file, object, path, first: self.first, faults, read: RefCell::default() }
    }

    /// The keys of this table, in order; all count as read.
    pub fn keys(&self) -> Vec<&'a str> {
        let keys: Vec<&str> = self.table.keys().map(String::as_str).collect();
        self.read.borrow_mut().extend(&keys);
        keys
    }

    /// Ends the reading: a key that nobody asked for is a fault.
    pub fn done(self) {
        let read = self.read.borrow();
        for key in self.table.keys().filter(|key| !read.contains(key.as_str())) {
            let known = read
                .iter()
                .filter(|known| !self.has(known))
                .min_by_key(|known| distance(known, key));
            match known.filter(|known| distance(known, key) <= 2) {
                Some(known) => self.fault(key, format!("unknown key; did you mean {known:?}?")),
                None => self.fault(key, "unknown key"),
            }
        }
    }
}

/// How many letters have to be changed, added or removed to make one word from another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}

/// A text that is not empty, of printable characters: it is shown in terminals, letters and pages.
///
/// # Errors
/// When it is anything else.
pub fn text(node: &Node) -> Result<String, String> {
    match node {
        Node::Text(text) if !text.trim().is_empty() => match text::printable(text) {
            Ok(()) => Ok(text.clone()),
            Err(fault) => Err(fault.to_string()),
        },
        Node::Text(_) => Err("is empty".to_owned()),
        _ => Err(format!("expected a text, found {}", node.kind())),
    }
}

/// A name: of a site, a probe, a party.
///
/// # Errors
/// When it is no text, or none of 1 to 200 printable characters.
pub fn name(node: &Node) -> Result<String, String> {
    let text = text(node)?;
    text::name(&text).map(|()| text).map_err(|fault| fault.to_string())
}

/// A number with the text as which it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// As it was written.
    pub written: String,
    /// Its value.
    pub value: Exact,
}

/// A decimal, written as a text or as an integer.
///
/// # Errors
/// When it is anything else; a floating-point number above all.
pub fn figure(node: &Node) -> Result<Figure, String> {
    match node {
        Node::Text(written) => match Exact::parse(written) {
            Ok(value) => Ok(Figure { written: written.clone(), value }),
            Err(fault) => Err(with_unit(written).unwrap_or_else(|| fault.to_string())),
        },
        Node::Whole(whole) => Ok(Figure { written: whole.to_string(), value: Exact::from(*whole) }),
        Node::Real(real) => {
            Err(format!("{real} is a floating-point number: write it as a text, \"{real}\""))
        }
        _ => Err(format!(
            "expected a decimal as a text, such as \"99.9\", or a whole number, found {}",
            node.kind()
        )),
    }
}

/// What to say of a number that is written with a unit, such as `4h` or `30 days`: what it is
/// counted in stands elsewhere.
fn with_unit(written: &str) -> Option<String> {
    if let Ok(length) = parse_duration(written) {
        let seconds = Exact::seconds(i128::try_from(length.as_nanos()).ok()?);
        return Some(format!(
            "{written:?} is a length of time, and here stands a plain number; in seconds it \
                is \"{seconds}\""
        ));
    }
    let end = written.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (written[..end].trim(), written[end..].trim());
    let is_unit = !unit.is_empty() && unit.chars().all(char::is_alphabetic);
    (is_unit && Exact::parse(number).is_ok()).then(|| {
        format!(
            "{written:?} is a number with a unit, and here stands a plain number: \
            write \"{number}\""
        )
    })
}

/// A decimal that is not negative.
///
/// # Errors
/// When it is anything else.
pub fn unsigned(node: &Node) -> Result<Figure, String> {
    let figure = figure(node)?;
    if figure.value.is_negative() {
        Err(format!("{} is negative", figure.written))
    } else {
        Ok(figure)
    }
}

/// A whole number within bounds.
///
/// # Errors
/// When it is anything else.
pub fn whole(low: i64, high: i64) -> impl Fn(&Node) -> Result<i64, String> {
    move |node| {
        let figure = figure(node)?;
        match figure.value.whole() {
            Some(whole) if (low..=high).contains(&whole) => Ok(whole),
            Some(whole) => Err(format!("{whole} is not from {low} to {high}")),
            None => Err(format!("{} is not a whole number", figure.written)),
        }
    }
}

/// A count that is at least one.
///
/// # Errors
/// When it is anything else.
pub fn count(node: &Node) -> Result<u32, String> {
    whole(1, 1_000_000)(node).map(|count| u32::try_from(count).unwrap_or(1))
}

/// A duration, such as `30s`.
///
/// # Errors
/// When it is anything else.
pub fn duration(node: &Node) -> Result<Duration, String> {
    match node {
        Node::Text(text) => match parse_duration(text) {
            Ok(length) if length > Duration::from_secs(86_400 * 36_600) => {
                Err(format!("{text:?} is over a hundred years"))
            }
            Ok(length) => Ok(length),
            Err(fault) => Err(fault.to_string()),
        },
        Node::Real(_) => figure(node).map(|_| Duration::ZERO),
        _ => Err(format!("expected a duration as a text, such as \"30s\", found {}", node.kind())),
    }
}

/// A duration that is longer than none.
///
/// # Errors
/// When it is anything else.
pub fn length(node: &Node) -> Result<Duration, String> {
    let length = duration(node)?;
    if length.is_zero() { Err("must be longer than no time at all".to_owned()) } else { Ok(length) }
}

/// An instant in RFC 3339.
///
/// # Errors
/// When it is anything else.
pub fn instant(node: &Node) -> Result<Wall, String> {
    match node {
        Node::Text(text) => {
            let at: Wall =
                text.parse().map_err(|fault: crate::base::time::NotATime| fault.to_string())?;
            // From 1900-01-01 to the end of 2200-12-31.
            let years = Wall::from_secs(-2_208_988_800)..Wall::from_secs(7_289_654_400);
            if years.contains(&at) {
                Ok(at)
            } else {
                Err(format!("{text:?} is not from 1900-01-01 to 2200-12-31"))
            }
        }
        Node::Moment(moment) => Err(format!("{moment} has no quotes: write \"{moment}\"")),
        _ => Err(format!(
            "expected a time as a text, such as \"2026-06-03T01:00:00Z\", found {}",
            node.kind()
        )),
    }
}

/// A date.
///
/// # Errors
/// When it is anything else.
pub fn day(node: &Node) -> Result<Day, String> {
    match node {
        Node::Text(text) => {
            text.parse().map_err(|fault: crate::sla::calendar::NotADay| fault.to_string())
        }
        Node::Moment(moment) => Err(format!("{moment} has no quotes: write \"{moment}\"")),
        _ => {
            Err(format!("expected a date as a text, such as \"2026-06-30\", found {}", node.kind()))
        }
    }
}

/// `true` or `false`.
///
/// # Errors
/// When it is anything else.
pub fn truth(node: &Node) -> Result<bool, String> {
    match node {
        Node::Truth(truth) => Ok(*truth),
        _ => Err(format!("expected true or false, found {}", node.kind())),
    }
}

/// Something that is written as one of a few words.
pub trait Word: Sized + Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];
    /// Its word.
    fn word(self) -> &'static str;
}

/// One of a few words.
///
/// # Errors
/// When it is anything else; the error lists the words.
pub fn word<T: Word>(node: &Node) -> Result<T, String> {
    let found = match node {
        Node::Text(text) => T::ALL.iter().copied().find(|each| each.word() == text),
        _ => None,
    };
    found.ok_or_else(|| {
        let words: Vec<&str> = T::ALL.iter().map(|each| each.word()).collect();
        format!("{} is not one of {}", node.kind(), words.join(", "))
    })
}

/// An enumeration whose variants are written as words.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant),+ }
        impl $crate::sla::reader::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::sla::reader::Word::word(*self))
            }
        }
    };
}
pub(crate) use words;
