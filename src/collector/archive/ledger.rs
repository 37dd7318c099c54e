//! What the collector writes down itself, beside what agents ship: records, which have a present
//! state, and logs, which are only added to. Both are JSON, told apart by a kind and an identifier
//! within it; what they mean, the rooms know that keep them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::time::Wall;
use crate::collector::archive::value::args;
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
    /// When an agent's links had no carrier, by `agent/month` in UTC.
    Carrier,
    /// Late summaries that somebody accepted, by `agent/chain`.
    Acceptance,
    /// The parts that PostgreSQL had of a table when it was looked last, by the table.
    Parts,
    /// What a verdict rests on, by its identifier; in its log, the verdicts that were replaced,
    /// with what they rest on.
    Grounds,
    /// What has to be judged again, by `contract/service/period`.
    Dirty,
    /// What the rounds could not do, by what it is about.
    Trouble,
    /// The merged histograms behind a verdict, by its identifier.
    Histograms,
    /// An agent that a change of the collector's key went on without, by the agent.
    LeftBehind,
    /// What is to be judged anew after a hand changed what an agent may speak for, by
    /// `agent/instant`.
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
            Self::Carrier => "carrier",
            Self::Acceptance => "acceptance",
            Self::Parts => "parts",
            Self::Grounds => "grounds",
            Self::Dirty => "dirty",
            Self::Trouble => "trouble",
            Self::Histograms => "histograms",
            Self::LeftBehind => "left-behind",
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
    let damaged = |error| {
        ArchiveError::Damaged(format!(
            "the {} {id:?} is not as it was written: {error}",
            kind.word()
        ))
    };
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
    pub fn record<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<T>, ArchiveError> {
        let sql = "SELECT body FROM record WHERE kind = ?1 AND id = ?2";
        let body = self.db.one(sql, args![kind.word(), id], |row| row.get::<String>(0))?;
        body.map(|body| read(kind, id, &body)).transpose()
    }

    /// Records in the order of their identifiers, byte by byte.
    ///
    /// # Errors
    /// When the database fails, or one is not of this form.
    pub fn records<T: DeserializeOwned>(
        &self,
        kind: Kind,
        page: Page<'_>,
    ) -> Result<Vec<Record<T>>, ArchiveError> {
        let all = self.bodies(kind, page)?.into_iter();
        all.map(|(id, body)| Ok(Record { body: read(kind, &id, &body)?, id })).collect()
    }

    /// Records as they lie there.
    fn bodies(&self, kind: Kind, page: Page<'_>) -> Result<Vec<(String, String)>, ArchiveError> {
        let sql = "SELECT id, body FROM record WHERE kind = ?1 AND id >= ?2 AND id > ?3 AND id < \
            ?4 ORDER BY id LIMIT ?5";
        // Above every identifier that begins so: nothing in one is written by a higher character.
        let end = format!("{}\u{10FFFF}", page.prefix);
        let limit = page.limit.map_or(i64::MAX, i64::from);
        let args = args![kind.word(), page.prefix, page.after.unwrap_or(""), &end, limit];
        self.db.all(sql, args, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// As [`Self::record`]; one that is not of this form is as one that is not there, and is
    /// logged.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sound_record<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
    ) -> Result<Option<T>, ArchiveError> {
        match self.record(kind, id) {
            Err(ArchiveError::Damaged(what)) => {
                tracing::warn!("a record is passed over: {what}");
                Ok(None)
            }
            other => other,
        }
    }

    /// As [`Self::records`], without those that are not of this form, which are logged: one of them
    /// does not hide the others.
    ///
    /// # Errors
    /// When the database fails.
    pub fn sound_records<T: DeserializeOwned>(
        &self,
        kind: Kind,
        page: Page<'_>,
    ) -> Result<Vec<Record<T>>, ArchiveError> {
        let all = self.bodies(kind, page)?;
        let sound = |(id, body): (String, String)| match read(kind, &id, &body) {
            Ok(body) => Some(Record { id, body }),
            Err(what) => {
                tracing::warn!("a record is passed over: {what}");
                None
            }
        };
        Ok(all.into_iter().filter_map(sound).collect())
    }

    /// The identifiers of the records of a kind that are not of this form.
    ///
    /// # Errors
    /// When the database fails.
    pub fn unsound_records<T: DeserializeOwned>(
        &self,
        kind: Kind,
    ) -> Result<Vec<String>, ArchiveError> {
        let all = self.bodies(kind, Page::default())?.into_iter();
        Ok(all.filter(|(id, body)| read::<T>(kind, id, body).is_err()).map(|(id, _)| id).collect())
    }

    /// Writes a record, in the place of one that has its identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put_record(
        &self,
        kind: Kind,
        id: &str,
        body: &impl Serialize,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO record (kind, id, changed_ns, body) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (kind, id) DO UPDATE SET changed_ns = excluded.changed_ns, body = \
            excluded.body";
        self.db.execute(sql, args![kind.word(), id, now, &written(body)])?;
        Ok(())
    }

    /// Takes a lease, or holds on to it, until an instant; false while another holder has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lease(
        &self,
        name: &str,
        holder: &str,
        until: Wall,
        now: Wall,
    ) -> Result<bool, ArchiveError> {
        let sql = "INSERT INTO lease (name, holder, until_ns) VALUES (?1, ?2, ?3)
                   ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ns = \
            excluded.until_ns
                   WHERE lease.holder = excluded.holder OR lease.until_ns < ?4";
        Ok(self.db.execute(sql, args![name, holder, until, now])? > 0)
    }

    /// Lets go of a lease, if the holder has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release(&self, name: &str, holder: &str) -> Result<(), ArchiveError> {
        self.db
            .execute("DELETE FROM lease WHERE name = ?1 AND holder = ?2", args![name, holder])
            .map(drop)
    }

    /// Who holds a lease, and until when.
    ///
    /// # Errors
    /// When the database fails.
    pub fn leased(&self, name: &str) -> Result<Option<(String, Wall)>, ArchiveError> {
        let sql = "SELECT holder, until_ns FROM lease WHERE name = ?1";
        self.db.one(sql, args![name], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Takes a lease over from a holder who does not renew it; false when he just did, or another
    /// was faster.
    ///
    /// # Errors
    /// When the database fails.
    pub fn take_lease(
        &self,
        name: &str,
        holder: &str,
        until: Wall,
        from: (&str, Wall),
    ) -> Result<bool, ArchiveError> {
        let sql = "UPDATE lease SET holder = ?2, until_ns = ?3 WHERE name = ?1 AND holder = ?4 \
            AND until_ns = ?5";
        Ok(self.db.execute(sql, args![name, holder, until, from.0, from.1])? > 0)
    }

    /// The identifiers of the records of a kind that were written later than an instant, by the
    /// clock of whoever wrote them.
    ///
    /// # Errors
    /// When the database fails.
    pub fn written_after(&self, kind: Kind, at: Wall) -> Result<Vec<String>, ArchiveError> {
        let sql = "SELECT id FROM record WHERE kind = ?1 AND changed_ns > ?2 ORDER BY id";
        self.db.all(sql, args![kind.word(), at], |row| row.get(0))
    }

    /// Takes a record away; false when there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_record(&self, kind: Kind, id: &str) -> Result<bool, ArchiveError> {
        Ok(self
            .db
            .execute("DELETE FROM record WHERE kind = ?1 AND id = ?2", args![kind.word(), id])?
            > 0)
    }

    /// Takes a record away if it still says this.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_record_as(
        &self,
        kind: Kind,
        id: &str,
        body: &impl Serialize,
    ) -> Result<(), ArchiveError> {
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
    pub fn append(
        &self,
        kind: Kind,
        id: &str,
        entry: &impl Serialize,
        now: Wall,
    ) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO entry (kind, id, n, recorded_ns, body)
                   SELECT ?1, ?2, count(*), ?3, ?4 FROM entry WHERE kind = ?1 AND id = ?2";
        self.db.execute(sql, args![kind.word(), id, now, &written(entry)])?;
        Ok(())
    }
}
