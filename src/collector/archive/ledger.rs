//! What the collector writes down itself, beside what agents ship: records, which have a present state, and logs, which are only
//! added to. Both are JSON, told apart by a kind and an identifier within it; what they mean, the rooms know that keep them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::time::Wall;
use crate::collector::archive::db::args;
use crate::collector::archive::{Archive, ArchiveError};

/// What a record or a log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A version of a contract, by `id/version` (ten digits).
    Version,
    /// A verdict, by `period/contract/service`.
    Verdict,
    /// A claim, by `contract/service/period`.
    Claim,
    /// A right to terminate, by `contract/service/right/day`.
    Right,
    /// An objective in a period, by `contract/service/period/objective`.
    Period,
    /// A fact about a service, by `contract/service/source/number`.
    Fact,
    /// What was found missing or wrong, by `kind/subject`.
    Alert,
    /// A token of the API, by its name.
    Token,
    /// What an agent last said of itself, by the agent.
    Agent,
    /// An invoice, by `contract/number`.
    Invoice,
    /// The labels of an agent, by the agent.
    Labels,
    /// The outages that an agent told of, by `agent/month` in UTC.
    Outages,
    /// What has to be judged again, by `contract/service/period`.
    Dirty,
    /// The merged histograms behind a verdict, by its identifier.
    Histograms,
    /// What is to be judged anew after a hand changed what an agent may speak for, by `agent/instant`.
    Amendment,
    /// A frozen verdict that rests on what does not count any more, by its identifier.
    Undermined,
    /// How it stands with one who is told of alerts, by their name.
    Receiver,
    /// What came of a damaged database: `last`.
    Salvage,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Verdict => "verdict",
            Self::Claim => "claim",
            Self::Right => "right",
            Self::Period => "period",
            Self::Fact => "fact",
            Self::Alert => "alert",
            Self::Token => "token",
            Self::Agent => "agent",
            Self::Invoice => "invoice",
            Self::Labels => "labels",
            Self::Outages => "outages",
            Self::Dirty => "dirty",
            Self::Histograms => "histograms",
            Self::Amendment => "amendment",
            Self::Undermined => "undermined",
            Self::Receiver => "receiver",
            Self::Salvage => "salvage",
        }
    }
}

/// A record, with its identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<T> {
    /// Its identifier.
    pub id: String,
    /// What it says.
    pub body: T,
}

/// Which records are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// How their identifiers begin.
    pub prefix: &'a str,
    /// The identifier after which the page begins.
    pub after: Option<&'a str>,
    /// How many at most; all where it is absent.
    pub limit: Option<u32>,
}

impl<'a> Page<'a> {
    /// All whose identifiers begin so.
    #[must_use]
    pub const fn of(prefix: &'a str) -> Self {
        Self { prefix, after: None, limit: None }
    }
}

fn read<T: DeserializeOwned>(kind: Kind, id: &str, body: &str) -> Result<T, ArchiveError> {
    let damaged =
        |error| ArchiveError::Damaged(format!("the {} {id:?} is not as it was written: {error}", kind.word()));
    serde_json::from_str(body).map_err(damaged)
}

fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what is kept can be written")
}

impl Archive {
    /// A record.
    ///
    /// # Errors
    /// When the database fails, or it is not of this form.
    pub fn record<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> Result<Option<T>, ArchiveError> {
        let sql = "SELECT body FROM record WHERE kind = ?1 AND id = ?2";
        let body = self.db.one(sql, args![kind.word(), id], |row| row.get::<String>(0))?;
        body.map(|body| read(kind, id, &body)).transpose()
    }

    /// Records in the order of their identifiers, byte by byte.
    ///
    /// # Errors
    /// When the database fails, or one is not of this form.
    pub fn records<T: DeserializeOwned>(&self, kind: Kind, page: Page<'_>) -> Result<Vec<Record<T>>, ArchiveError> {
        let sql =
            "SELECT id, body FROM record WHERE kind = ?1 AND id >= ?2 AND id > ?3 AND id < ?4 ORDER BY id LIMIT ?5";
        // Above every identifier that begins so: nothing in one is written by a higher character.
        let end = format!("{}\u{10FFFF}", page.prefix);
        let limit = page.limit.map_or(i64::MAX, i64::from);
        self.db.all(sql, args![kind.word(), page.prefix, page.after.unwrap_or(""), &end, limit], |row| {
            let (id, body): (String, String) = (row.get(0)?, row.get(1)?);
            let body = read(kind, &id, &body)?;
            Ok(Record { id, body })
        })
    }

    /// Writes a record, in the place of one that has its identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_record(&self, kind: Kind, id: &str, body: &impl Serialize, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO record (kind, id, changed_ns, body) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (kind, id) DO UPDATE SET changed_ns = excluded.changed_ns, body = excluded.body";
        self.db.execute(sql, args![kind.word(), id, now, &written(body)])?;
        Ok(())
    }

    /// Takes a lease, or holds on to it, until an instant; false while another holder has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lease(&self, name: &str, holder: &str, until: Wall, now: Wall) -> Result<bool, ArchiveError> {
        let sql = "INSERT INTO lease (name, holder, until_ns) VALUES (?1, ?2, ?3)
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ns = excluded.until_ns
                   WHERE lease.holder = excluded.holder OR lease.until_ns < ?4";
        Ok(self.db.execute(sql, args![name, holder, until, now])? > 0)
    }

    /// Lets go of a lease, if the holder has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release(&self, name: &str, holder: &str) -> Result<(), ArchiveError> {
        self.db.execute("DELETE FROM lease WHERE name = ?1 AND holder = ?2", args![name, holder]).map(drop)
    }

    /// Takes a record away; false when there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_record(&self, kind: Kind, id: &str) -> Result<bool, ArchiveError> {
        Ok(self.db.execute("DELETE FROM record WHERE kind = ?1 AND id = ?2", args![kind.word(), id])? > 0)
    }

    /// Takes a record away if it still says this.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_record_as(&self, kind: Kind, id: &str, body: &impl Serialize) -> Result<(), ArchiveError> {
        let sql = "DELETE FROM record WHERE kind = ?1 AND id = ?2 AND body = ?3";
        self.db.execute(sql, args![kind.word(), id, &written(body)]).map(drop)
    }

    /// The entries of a log, in the order in which they were written.
    ///
    /// # Errors
    /// When the database fails, or one is not of this form.
    pub fn log<T: DeserializeOwned>(&self, kind: Kind, id: &str) -> Result<Vec<T>, ArchiveError> {
        let sql = "SELECT body FROM entry WHERE kind = ?1 AND id = ?2 ORDER BY n";
        self.db.all(sql, args![kind.word(), id], |row| read(kind, id, &row.get::<String>(0)?))
    }

    /// Adds an entry to a log. Two that add at once do not get the same number: one of them fails.
    ///
    /// # Errors
    /// When the database fails.
    pub fn append(&self, kind: Kind, id: &str, entry: &impl Serialize, now: Wall) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO entry (kind, id, n, recorded_ns, body)
                   SELECT ?1, ?2, count(*), ?3, ?4 FROM entry WHERE kind = ?1 AND id = ?2";
        self.db.execute(sql, args![kind.word(), id, now, &written(entry)])?;
        Ok(())
    }
}
