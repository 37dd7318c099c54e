//! A damaged SQLite database of the collector: what can be read of it is brought over to a new one,
//! which then takes its place; the damaged file is set aside, and never deleted here. A crash in
//! between loses nothing: the new file has another name until it is whole. What was received proves
//! itself: a summary is brought over if its bytes have the digest that was receipted. What is
//! missing afterwards is a gap of its chain, as if it had never come.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError, packed, schema};
use crate::config::collector::Database;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, SecretKey};
use crate::evidence::receipt::{self, Subject};
use crate::store::damaged::carve::Carver;
use crate::store::damaged::{self, Read, with};

/// What a new database is called while it is filled, …
const FILLING: &str = ".salvaging";
/// … and once it is whole.
const WHOLE: &str = ".salvaged";
/// The size of SQLite's pages, unless the file says another.
const PAGE: u32 = 4096;
/// What says nothing afterwards.
const WORTHLESS: [&str; 1] = ["lease"];
/// What is worked out from summaries, and can be again.
const FOLDED: [&str; 3] = ["folded", "folded_day", "fold"];

/// What came of a salvage. It is kept in the new database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvaged {
    /// When.
    pub at: Wall,
    /// What was wrong.
    pub what: String,
    /// The name of the damaged file, beside the database.
    pub aside: String,
    /// Rows that were brought over, by table.
    pub kept: BTreeMap<String, u64>,
    /// Rows that were there and could not be believed, by table.
    pub lost: BTreeMap<String, u64>,
    /// Tables of which a part could not be read at all.
    pub torn: Vec<String>,
    /// Summaries that are missing now and were not before.
    pub missing: u64,
}

impl Salvaged {
    /// In words.
    #[must_use]
    pub fn detail(&self) -> String {
        let kept = self.kept.get("summary").copied().unwrap_or(0);
        let mut text = format!(
            "the database was damaged ({}) and was set aside as {}; {kept} summaries were brought \
                over",
            self.what, self.aside
        );
        if self.missing > 0 {
            text.push_str(&format!(", {} are missing now, each a gap of its chain", self.missing));
        }
        let others: Vec<&str> = self
            .lost
            .keys()
            .chain(&self.torn)
            .map(String::as_str)
            .filter(|of| *of != "summary")
            .collect();
        if !others.is_empty() {
            let mut others = others;
            others.sort_unstable();
            others.dedup();
            text.push_str(&format!("; of these tables something is lost: {}", others.join(", ")));
        }
        text.push_str(
            "; compare it with a backup, and move the damaged file away when it is not \
            needed any more",
        );
        text
    }
}

/// Looks whether a database is damaged, as a whole; where it is, salvages it. Gives what came of
/// that.
///
/// # Errors
/// When it cannot be read for another reason, or no new one can be made.
pub fn mend(
    path: &Path,
    key: Option<&SecretKey>,
    now: Wall,
) -> Result<Option<Salvaged>, ArchiveError> {
    let whole = with(path, WHOLE);
    if whole.exists() {
        // A start before this one did not come to its end; what it did is whole.
        return take_place(path, &whole, now).map(Some);
    }
    let began = std::time::Instant::now();
    let found = damaged::find(path)?;
    tracing::info!(took_ms = began.elapsed().as_millis(), "the database was checked");
    let Some(what) = found else { return Ok(None) };
    tracing::error!("the database is damaged, and is salvaged now: {what}");
    let salvaged = fill(path, &what, key, now)?;
    std::fs::rename(with(path, FILLING), &whole)?;
    sync(path)?;
    let done = take_place(path, &whole, now)?;
    tracing::error!("{}", done.detail());
    debug_assert_eq!(done.kept, salvaged.kept);
    Ok(Some(done))
}

/// The last salvage of a database, if there was one.
///
/// # Errors
/// When the database fails.
pub fn last(archive: &Archive) -> Result<Option<Salvaged>, ArchiveError> {
    archive.record(Kind::Salvage, LAST)
}

const LAST: &str = "last";

/// Sets the damaged file aside, and gives its name to the new one.
fn take_place(path: &Path, whole: &Path, now: Wall) -> Result<Salvaged, ArchiveError> {
    let mut archive = Archive::open(&Database::Sqlite(whole.to_owned()))?;
    let mut salvaged = last(&archive)?.ok_or_else(|| {
        ArchiveError::Damaged(format!("{} is not what a salvage left", whole.display()))
    })?;
    let aside = path.exists().then(|| damaged::aside(path, now));
    if let Some(name) = aside.as_deref().and_then(Path::file_name) {
        salvaged.aside = name.to_string_lossy().into_owned();
        archive.write(|archive| archive.put_record(Kind::Salvage, LAST, &salvaged, now))?;
    }
    // Closed, so that nothing of it is in a log under the other name.
    drop(archive);
    if let Some(aside) = &aside {
        damaged::set_aside(path, aside)?;
    }
    std::fs::rename(whole, path)?;
    sync(path)?;
    Ok(salvaged)
}

/// Makes what was renamed in a directory last.
fn sync(path: &Path) -> Result<(), ArchiveError> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(parent)?.sync_all()?)
}

/// A table of the new database.
struct Table {
    name: String,
    columns: Vec<String>,
    /// The columns of its key; none where its rows have numbers.
    key: Vec<String>,
}

/// What is brought over, and how it stands.
struct Salvage<'a> {
    old: Option<Connection>,
    new: &'a Connection,
    path: &'a Path,
    key: Option<&'a SecretKey>,
    came: Salvaged,
}

/// Fills a new database with what can be read of a damaged one.
fn fill(
    path: &Path,
    what: &str,
    key: Option<&SecretKey>,
    now: Wall,
) -> Result<Salvaged, ArchiveError> {
    let filling = with(path, FILLING);
    for suffix in damaged::SUFFIXES {
        match std::fs::remove_file(with(&filling, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let old = damaged::open(path)
        .inspect_err(|error| tracing::warn!("nothing leads to its rows: {error}"))
        .ok();
    let version = old
        .as_ref()
        .and_then(|old| old.pragma_query_value(None, "user_version", |row| row.get(0)).ok());
    let new = Connection::open(&filling)?;
    // Nobody relies on it before it is whole.
    new.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    schema::make(&new, version.filter(|&version: &i64| version > 0))?;
    let came = Salvaged {
        at: now,
        what: what.to_owned(),
        aside: String::new(),
        kept: BTreeMap::new(),
        lost: BTreeMap::new(),
        torn: Vec::new(),
        missing: 0,
    };
    let mut salvage = Salvage { old, new: &new, path, key, came };
    new.execute_batch("BEGIN")?;
    for table in tables(&new)? {
        salvage.table(&table)?;
    }
    salvage.carve()?;
    salvage.refold()?;
    salvage.chains()?;
    let came = salvage.came;
    new.execute_batch("COMMIT")?;
    drop(new);
    // Brought up to date where the damaged one was of an earlier version.
    let mut archive = Archive::open(&Database::Sqlite(filling.clone()))?;
    archive.write(|archive| archive.put_record(Kind::Salvage, LAST, &came, now))?;
    drop(archive);
    File::open(&filling)?.sync_all()?;
    Ok(came)
}

fn tables(new: &Connection) -> Result<Vec<Table>, ArchiveError> {
    let mut wanted = new.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE \
            'sqlite%' ORDER BY rowid",
    )?;
    let names =
        wanted.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let of = |name: String| -> Result<Table, ArchiveError> {
        let (columns, mut places) = columns(new, &name)?;
        places.sort_unstable();
        let numbered = new.prepare(&format!("SELECT rowid FROM {name} LIMIT 0")).is_ok();
        let key = if numbered {
            Vec::new()
        } else {
            places.into_iter().map(|(_, column)| column).collect()
        };
        Ok(Table { name, columns, key })
    };
    names.into_iter().filter(|name| !WORTHLESS.contains(&name.as_str())).map(of).collect()
}

/// A table's columns, and those of its key with their places in it.
type Columns = (Vec<String>, Vec<(i64, String)>);

fn columns(db: &Connection, table: &str) -> Result<Columns, ArchiveError> {
    let mut wanted = db.prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let all =
        wanted.query_map([table], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let (mut columns, mut key) = (Vec::new(), Vec::new());
    for each in all {
        let (name, place) = each?;
        if place > 0 {
            key.push((place, name.clone()));
        }
        columns.push(name);
    }
    Ok((columns, key))
}

impl Salvage<'_> {
    /// Brings a table over.
    fn table(&mut self, table: &Table) -> Result<(), ArchiveError> {
        let Some(old) = self.old.take() else {
            self.came.torn.push(table.name.clone());
            return Ok(());
        };
        let done = self.table_from(&old, table);
        self.old = Some(old);
        done
    }

    fn table_from(&mut self, old: &Connection, table: &Table) -> Result<(), ArchiveError> {
        let read = if table.key.is_empty() {
            let mut failed = Ok(());
            let columns = table.columns.join(", ");
            let read = damaged::by_number(old, &table.name, &columns, |row| {
                if failed.is_ok() {
                    failed = self.row(table, row);
                }
            });
            failed.map(|()| read)?
        } else {
            let read = self.keyed(old, table, None)?;
            if read == Read::Part {
                // What lies between the first and the last place that cannot be read is found by
                // how its key begins.
                for first in first_of_keys(old, self.new, table)? {
                    self.keyed(old, table, Some(&first))?;
                }
            }
            read
        };
        if read == Read::Part {
            self.came.torn.push(table.name.clone());
        }
        Ok(())
    }

    /// Brings over the rows of a table without row numbers, all or those whose key begins so.
    fn keyed(
        &mut self,
        old: &Connection,
        table: &Table,
        first: Option<&Value>,
    ) -> Result<Read, ArchiveError> {
        let mut failed = Ok(());
        let columns = table.columns.join(", ");
        let read = damaged::by_key(old, &table.name, (&columns, &table.key), first, |row| {
            if failed.is_ok() {
                failed = self.row(table, Some(row));
            }
        });
        failed.map(|()| read)
    }

    /// Brings a row over, if it can be believed.
    fn row(&mut self, table: &Table, row: Option<Vec<Value>>) -> Result<(), ArchiveError> {
        let believed = match row {
            Some(row) if table.name == "summary" => self.summary(&table.columns, row),
            Some(row) if matches!(table.name.as_str(), "record" | "entry") => {
                let body = table
                    .columns
                    .iter()
                    .position(|column| column == "body")
                    .and_then(|at| row.get(at));
                let is_json = matches!(body, Some(Value::Text(text))
                    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                is_json.then_some(row)
            }
            row => row,
        };
        let Some(row) = believed else {
            *self.came.lost.entry(table.name.clone()).or_default() += 1;
            return Ok(());
        };
        let places: Vec<String> = (1..=row.len()).map(|place| format!("?{place}")).collect();
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
            table.name,
            table.columns.join(", "),
            places.join(", ")
        );
        let entered = self.new.prepare_cached(&sql)?.execute(params_from_iter(row))?;
        *self.came.kept.entry(table.name.clone()).or_default() += entered as u64;
        Ok(())
    }

    /// A summary's row, if its bytes have its digest. A receipt that is not whole is signed again:
    /// the same key gives the same receipt for the same bytes and time.
    fn summary(&self, columns: &[String], mut row: Vec<Value>) -> Option<Vec<Value>> {
        let at = |name: &str| columns.iter().position(|column| column == name);
        let blob = |row: &[Value], name: &str| match row.get(at(name)?)? {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let number = |row: &[Value], name: &str| match row.get(at(name)?)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let subject = Subject {
            agent: Kid::from_bytes(blob(&row, "agent")?.try_into().ok()?),
            chain: ChainId::from_bytes(blob(&row, "chain")?.try_into().ok()?),
            seq: u64::try_from(number(&row, "seq")?).ok()?,
            digest: Digest::from_bytes(blob(&row, "digest")?.try_into().ok()?),
        };
        let jws = packed::unpack(blob(&row, "jws")?).ok()?;
        if Digest::of(jws.as_bytes()) != subject.digest {
            return None;
        }
        let receipt = at("receipt")?;
        if let Some(key) = self.key {
            let whole = matches!(row.get(receipt)?, Value::Text(text)
                if receipt::signer(text.as_bytes()).is_ok_and(|kid| kid != key.kid())
                    || receipt::verify(text.as_bytes(), key.public())
                        .is_ok_and(|said| said.is_for(&subject).is_ok()));
            if !whole {
                let received = Wall::from_nanos(number(&row, "received_ns")?);
                row[receipt] = Value::Text(receipt::sign(subject, received, key));
            }
        }
        Some(row)
    }

    /// Summaries that no tree leads to any more, page by page.
    fn carve(&mut self) -> Result<(), ArchiveError> {
        let of = |lost: &Salvaged| {
            lost.torn.iter().any(|table| table == "summary") || lost.lost.contains_key("summary")
        };
        if !of(&self.came) {
            return Ok(());
        }
        let table = tables(self.new)?.into_iter().find(|table| table.name == "summary");
        let (Some(table), Ok(carver)) = (table, Carver::open(self.path, PAGE)) else {
            return Ok(());
        };
        for page in 0..carver.pages() {
            for (_, row) in carver.rows(page) {
                // A row of a summary has at least what makes one; what is of another table has no
                // bytes with that digest.
                if row.len() != table.columns.len() {
                    continue;
                }
                if let Some(row) = self.summary(&table.columns, row) {
                    let before = self.came.lost.get("summary").copied();
                    self.row(&table, Some(row))?;
                    match before {
                        Some(lost) => self.came.lost.insert("summary".to_owned(), lost),
                        None => self.came.lost.remove("summary"),
                    };
                }
            }
        }
        Ok(())
    }

    /// Where something of what was folded is lost, all of it is folded anew from the summaries.
    fn refold(&mut self) -> Result<(), ArchiveError> {
        let hurt = |table: &&str| {
            self.came.torn.iter().any(|torn| torn == table) || self.came.lost.contains_key(*table)
        };
        if FOLDED.iter().any(hurt) {
            for table in FOLDED {
                self.new.execute(&format!("DELETE FROM {table}"), [])?;
            }
        }
        Ok(())
    }

    /// Makes each chain's head and its gaps what the summaries that are there say.
    fn chains(&mut self) -> Result<(), ArchiveError> {
        self.new.execute(
            "INSERT OR IGNORE INTO chain (agent, chain, last_seq, received_ns, last_digest, span_ns)
             SELECT agent, chain, seq, received_ns, digest, to_ns - from_ns FROM summary s
             WHERE seq = (SELECT max(seq) FROM summary l WHERE l.agent = s.agent AND l.chain = \
                s.chain)",
            [],
        )?;
        let mut wanted = self.new.prepare("SELECT agent, chain, last_seq FROM chain")?;
        let chains = wanted.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let chains: Vec<(Vec<u8>, Vec<u8>, i64)> = chains.collect::<Result<_, _>>()?;
        for (agent, chain, last) in chains {
            self.came.missing += self.gaps(&agent, &chain, last)?;
        }
        Ok(())
    }

    /// Writes a chain's gaps anew; gives how many numbers are missing that were not before.
    fn gaps(&self, agent: &[u8], chain: &[u8], last: i64) -> Result<u64, ArchiveError> {
        let told = "SELECT COALESCE(sum(to_seq - from_seq + 1), 0) FROM gap WHERE agent = ?1 AND \
            chain = ?2";
        let before: i64 = self.new.query_row(told, params![agent, chain], |row| row.get(0))?;
        self.new
            .execute("DELETE FROM gap WHERE agent = ?1 AND chain = ?2", params![agent, chain])?;
        let mut wanted = self.new.prepare_cached(
            "SELECT seq FROM summary WHERE agent = ?1 AND chain = ?2 ORDER BY seq",
        )?;
        let mut rows = wanted.query(params![agent, chain])?;
        let mut put = self.new.prepare_cached(
            "INSERT INTO gap (agent, chain, from_seq, to_seq) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let (mut next, mut missing) = (0i64, 0i64);
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            if seq > next {
                put.execute(params![agent, chain, next, seq - 1])?;
                missing += seq - next;
            }
            next = seq.saturating_add(1);
        }
        if last >= next {
            put.execute(params![agent, chain, next, last])?;
            missing += last - next + 1;
        }
        Ok(u64::try_from(missing - before).unwrap_or(0))
    }
}

/// How the keys of a table may begin: every agent that is known, or every kind of record that is
/// found.
fn first_of_keys(
    old: &Connection,
    new: &Connection,
    table: &Table,
) -> Result<Vec<Value>, ArchiveError> {
    match table.key.first().map(String::as_str) {
        Some("agent") => {
            let mut wanted =
                new.prepare("SELECT agent FROM agent UNION SELECT agent FROM chain")?;
            Ok(wanted.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        }
        Some("kind") => Ok(kinds(old, &table.name)),
        _ => Ok(Vec::new()),
    }
}

/// The kinds of records that are found, from each letter on.
fn kinds(old: &Connection, table: &str) -> Vec<Value> {
    let sql =
        format!("SELECT kind FROM {table} WHERE kind >= ?1 AND kind < ?2 ORDER BY kind LIMIT 1");
    let Ok(mut wanted) = old.prepare(&sql) else { return Vec::new() };
    let mut all = Vec::new();
    for letter in b'a'..=b'z' {
        let (mut from, end) = (char::from(letter).to_string(), char::from(letter + 1).to_string());
        while let Ok(kind) = wanted.query_row([&from, &end], |row| row.get::<_, String>(0)) {
            from = format!("{kind}\u{1}");
            all.push(Value::Text(kind));
        }
    }
    all
}

/// Where a damaged database was set aside; absent once it was moved away.
#[must_use]
pub fn file_of(salvaged: &Salvaged, path: &Path) -> Option<PathBuf> {
    Some(path.with_file_name(&salvaged.aside)).filter(|file| file.exists())
}
