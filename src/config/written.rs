//! A TOML file as it was written: each value is asked for by its key and checked where it is read,
//! faults are gathered, and what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use toml::{Table, Value};

use crate::base::text;
use crate::base::time::parse_duration;

/// What is wrong with a configuration, a line each: `agent.toml: probe "hq-icmp": cutoff 3s is
/// longer than timeout 2s`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<String>);

impl Faults {
    /// All of them in one line, for logs and the journal.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        self.0.join("; ")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// A table of the file, with its place in it.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table,
    /// How the table is called in a fault: empty for the file itself, `[store]`, `probe "hq-icmp"`.
    place: String,
    asked: RefCell<BTreeSet<&'a str>>,
    faults: Rc<Report>,
}

#[derive(Debug)]
struct Report {
    file: String,
    faults: RefCell<Vec<String>>,
}

/// Reads a file's text: `read` asks for what it needs and says what is wrong; unknown keys are
/// found afterwards.
///
/// # Errors
/// All faults together; a file that is not TOML has one, with its line.
pub fn read<T>(
    text: &str,
    file: &str,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Result<T, Faults> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return Err(Faults(vec![format!("{file}: {}", not_toml(text, &error))])),
    };
    let desk = Rc::new(Report { file: file.to_owned(), faults: RefCell::default() });
    let root = Section {
        table: &table,
        place: String::new(),
        asked: RefCell::default(),
        faults: Rc::clone(&desk),
    };
    let value = read(&root);
    drop(root);
    let faults = desk.faults.take();
    match value {
        Some(value) if faults.is_empty() => Ok(value),
        _ => Err(Faults(faults)),
    }
}

fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = error.message().replace('\n', ", ");
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

impl<'a> Section<'a> {
    /// Records a fault of this table, in words that follow its name.
    pub fn fault(&self, what: impl fmt::Display) {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        self.faults.faults.borrow_mut().push(format!("{}: {place}{what}", self.faults.file));
    }

    /// Calls the table by another name from now on.
    pub fn call(&mut self, place: String) {
        self.place = place;
    }

    /// The value of a key; asking makes it a known one.
    fn get(&self, key: &'a str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &'a str) -> bool {
        self.get(key).is_some()
    }

    fn typed<T>(
        &self,
        key: &'a str,
        expected: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let taken = take(value);
        if taken.is_none() {
            self.fault(format_args!("{key} = {} is not right: expected {expected}", shown(value)));
        }
        taken
    }

    /// A text.
    pub fn text(&self, key: &'a str) -> Option<String> {
        self.typed(key, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// A name: 1 to 200 printable characters.
    pub fn name(&self, key: &'a str) -> Option<String> {
        let name = self.text(key)?;
        if let Err(fault) = text::name(&name) {
            self.fault(format_args!("{key}: {fault}"));
        }
        Some(name)
    }

    /// A text that must be there.
    pub fn needed_text(&self, key: &'a str) -> Option<String> {
        let text = self.text(key);
        if !self.table.contains_key(key) {
            self.fault(format_args!("{key} is missing"));
        }
        text
    }

    /// True or false.
    pub fn truth(&self, key: &'a str) -> Option<bool> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A whole number within a range.
    pub fn number(&self, key: &'a str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.typed(key, &expected, |value| {
            value.as_integer().filter(|number| range.contains(number))
        })
    }

    /// A duration within a range, written as `30s`.
    pub fn duration(
        &self,
        key: &'a str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (low, high) = (
            crate::base::time::format_duration(*range.start()),
            crate::base::time::format_duration(*range.end()),
        );
        let expected = format!("a duration from {low} to {high}, such as \"30s\"");
        self.typed(key, &expected, |value| {
            parse_duration(value.as_str()?).ok().filter(|length| range.contains(length))
        })
    }

    /// A size in bytes, written as `64MiB`.
    pub fn bytes(&self, key: &'a str) -> Option<u64> {
        self.typed(key, "a size such as \"64MiB\"", |value| parse_bytes(value.as_str()?))
    }

    /// One of several words.
    pub fn one_of<T: Copy>(&self, key: &'a str, words: &[(&str, T)]) -> Option<T> {
        let expected = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        self.typed(key, &format!("one of {expected}"), |value| {
            let text = value.as_str()?;
            words.iter().find(|(word, _)| *word == text).map(|&(_, meant)| meant)
        })
    }

    /// What `parse` makes of a text.
    pub fn parsed<T>(
        &self,
        key: &'a str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.typed(key, expected, |value| parse(value.as_str()?))
    }

    /// What `take` makes of a text or a whole number.
    pub fn word_or_number<T>(
        &self,
        key: &'a str,
        expected: &str,
        take: impl FnOnce(Result<&str, i64>) -> Option<T>,
    ) -> Option<T> {
        self.typed(key, expected, |value| match value {
            Value::String(text) => take(Ok(text)),
            Value::Integer(number) => take(Err(*number)),
            _ => None,
        })
    }

    /// A list of texts.
    pub fn texts(&self, key: &'a str) -> Option<Vec<String>> {
        self.typed(key, "a list of texts in quotes", |value| {
            value.as_array()?.iter().map(|each| each.as_str().map(str::to_owned)).collect()
        })
    }

    /// A list of whole numbers within a range.
    pub fn numbers(&self, key: &'a str, range: std::ops::RangeInclusive<i64>) -> Option<Vec<i64>> {
        let expected = format!("a list of whole numbers from {} to {}", range.start(), range.end());
        self.typed(key, &expected, |value| {
            value
                .as_array()?
                .iter()
                .map(|each| each.as_integer().filter(|number| range.contains(number)))
                .collect()
        })
    }

    /// A table within this one; its unknown keys are found when it is dropped.
    pub fn section(&self, key: &'a str) -> Option<Section<'a>> {
        let table = self.typed(key, "a table", Value::as_table)?;
        let place = if self.place.is_empty() {
            format!("[{key}]")
        } else {
            format!("{}: {key}", self.place)
        };
        Some(Section { table, place, asked: RefCell::default(), faults: Rc::clone(&self.faults) })
    }

    /// The tables of an array of tables, `[[key]]`; each is called by its number from 1 until it is
    /// given a name.
    pub fn sections(&self, key: &'a str) -> Vec<Section<'a>> {
        let tables = self.typed(key, &format!("tables, each begun by [[{key}]]"), |value| {
            value.as_array()?.iter().map(Value::as_table).collect::<Option<Vec<_>>>()
        });
        let numbered = tables.unwrap_or_default().into_iter().zip(1..);
        numbered
            .map(|(table, number)| Section {
                table,
                place: format!("{key} {number}"),
                asked: RefCell::default(),
                faults: Rc::clone(&self.faults),
            })
            .collect()
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.take();
        for key in self.table.keys().filter(|key| !asked.contains(key.as_str())) {
            self.fault(format_args!("{key} is no key that is known here"));
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 {
        format!("{}…", text.chars().take(60).collect::<String>())
    } else {
        text
    }
}

/// Reads a size: `4096`, `64KiB`, `256MiB`, `2GiB`; also `kB`, `MB`, `GB` for powers of ten.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_told_together_with_their_place() {
        let text = "a = 5\nextra = 1\n[store]\nlimit = \"64MB\"\nodd = true\n[[probe]]\nname \
            = \"p\"\nperiod = \"0s\"\n";
        let faults = read(text, "x.toml", |file| {
            file.text("a");
            file.needed_text("b");
            let store = file.section("store")?;
            assert_eq!(store.bytes("limit"), Some(64_000_000));
            for mut probe in file.sections("probe") {
                let name = probe.needed_text("name")?;
                probe.call(format!("probe {name:?}"));
                probe.duration("period", Duration::from_millis(10)..=Duration::from_secs(60));
            }
            Some(())
        });
        assert_eq!(
            faults.unwrap_err().0,
            [
                "x.toml: a = 5 is not right: expected a text in quotes",
                "x.toml: b is missing",
                "x.toml: probe \"p\": period = \"0s\" is not right: expected a duration from 10ms \
                    to 1m, such as \"30s\"",
                "x.toml: [store]: odd is no key that is known here",
                "x.toml: extra is no key that is known here",
            ]
        );
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_line() {
        let faults = read("a = 1\nb =\n", "x.toml", |_| Some(())).unwrap_err();
        assert!(faults.0[0].starts_with("x.toml: line 2: "), "{faults}");
    }
}
