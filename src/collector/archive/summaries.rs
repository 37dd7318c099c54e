//! Summaries and their receipts: kept once, in one transaction with the receipt, and told apart by agent, chain and number.

use std::time::Duration;

use rusqlite::{OptionalExtension, Row, params};

use crate::base::time::Wall;
use crate::collector::archive::agents::Standing;
use crate::collector::archive::{Archive, ArchiveError, bytes, number, unsigned};
use crate::evidence::chain::{ChainId, Dropped, Follows, Gap};
use crate::evidence::digest::Digest;
use crate::evidence::key::{Kid, PublicKey, SecretKey};
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::receipt::{self, Subject};

/// Of an agent's conflicts so many are kept, so that one that is broken does not fill the disk.
const CONFLICTS: u64 = 1000;

/// A summary whose signature and payload were checked.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose, which chain, which number, which digest.
    pub subject: Subject,
    /// The key that signed it.
    pub kid: Kid,
    /// The digest of the one before.
    pub prev: Option<Digest>,
    /// Where its span begins.
    pub from: Wall,
    /// Where it ends.
    pub to: Wall,
    /// What its chain follows.
    pub follows: Option<Follows>,
    /// What was dropped.
    pub dropped: Vec<Dropped>,
    /// The key that signs from the next one on.
    pub next_key: Option<PublicKey>,
    /// The compact JWS.
    pub jws: String,
}

/// A summary that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whose, which chain, which number, which digest.
    pub subject: Subject,
    /// The compact JWS.
    pub jws: String,
    /// The receipt.
    pub receipt: String,
}

/// The last summary of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// When it was received.
    pub received: Wall,
}

/// An agent, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRow {
    /// The agent.
    pub agent: Kid,
    /// Its site.
    pub site: String,
    /// Whether it may ship.
    pub standing: Standing,
    /// When it was enrolled.
    pub enrolled: Wall,
    /// The last summary that was received.
    pub last: Option<Last>,
    /// How long the spans of its last summaries are, at most.
    pub span: Duration,
    /// What is missing, and whether the agent said that it dropped it.
    pub gaps: Vec<(ChainId, Gap, bool)>,
    /// How many summaries did not fit into their chain.
    pub conflicts: u64,
    /// Its public keys, the first one first.
    pub keys: Vec<PublicKey>,
}

impl AgentRow {
    /// Whether it may ship.
    #[must_use]
    pub fn may_ship(&self) -> bool {
        self.standing == Standing::Approved
    }
}

impl Archive {
    /// Whether these very bytes are stored already.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn has(&self, of: &Subject) -> Result<bool, ArchiveError> {
        Ok(self.numbered(of)?.is_some_and(|(digest, _)| digest == of.digest))
    }

    /// The digest and the receipt of the summary that has this number.
    fn numbered(&self, of: &Subject) -> Result<Option<(Digest, String)>, ArchiveError> {
        let sql = "SELECT digest, receipt FROM summary WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        let row: Option<(Vec<u8>, String)> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![of.agent.bytes(), of.chain.bytes(), number(of.seq)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        row.map(|(digest, receipt)| Ok((Digest::from_bytes(bytes(&digest)?), receipt))).transpose()
    }

    /// Stores a summary with its receipt, or gives the receipt that it got before, or says why not. All that it depends on
    /// is read in the same transaction. What does not fit into its chain is kept aside.
    ///
    /// # Errors
    /// When SQLite fails; then nothing of it is stored.
    pub fn accept(
        &self,
        summary: &Verified,
        now: Wall,
        collector: &SecretKey,
    ) -> Result<Result<String, Problem>, ArchiveError> {
        let of = &summary.subject;
        if let Some(problem) = self.may_sign(summary)? {
            return Ok(Err(problem));
        }
        if let Some((digest, receipt)) = self.numbered(of)? {
            if digest == of.digest {
                return Ok(Ok(receipt));
            }
            return self.conflict(summary, now, "another summary has this number").map(Err);
        }
        if let Some(why) = self.misfit(summary)? {
            return self.conflict(summary, now, why).map(Err);
        }
        if let Some(next) = &summary.next_key {
            if self.key(next.kid())?.is_some() {
                let detail = "its next_key was used before, by this agent or by another";
                return Ok(Err(Problem::new(Kind::Malformed, detail)));
            }
            self.rotate(of.agent, summary.kid, next, (of.chain, of.seq))?;
        }
        let receipt = receipt::sign(*of, now, collector);
        self.db
            .prepare_cached(
                "INSERT INTO summary (agent, chain, seq, digest, prev, from_ns, to_ns, received_ns, jws, receipt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                of.agent.bytes(),
                of.chain.bytes(),
                number(of.seq),
                of.digest.bytes(),
                summary.prev.as_ref().map(Digest::bytes),
                summary.from.nanos(),
                summary.to.nanos(),
                now.nanos(),
                summary.jws,
                receipt
            ])?;
        self.note_number(of.agent, of.chain, of.seq, summary.follows.as_ref(), now)?;
        self.note_dropped(of.agent, &summary.dropped)?;
        Ok(Ok(receipt))
    }

    /// Why the key may not sign this, by what the database says now. A key that was replaced may still sign what came up to
    /// the summary that named its successor.
    fn may_sign(&self, summary: &Verified) -> Result<Option<Problem>, ArchiveError> {
        let of = &summary.subject;
        let Some(known) = self.key(summary.kid)? else {
            return Ok(Some(Problem::new(Kind::UnknownAgent, "no agent with this key is enrolled")));
        };
        let replaced = known.last.is_some_and(|(chain, seq)| chain != of.chain || of.seq > seq);
        Ok(match known.standing {
            Standing::Pending => Some(Problem::new(Kind::Pending, "an operator has to approve this agent first")),
            Standing::Revoked => Some(Problem::new(Kind::Revoked, "this agent was revoked")),
            Standing::Approved if known.agent != of.agent => {
                Some(Problem::new(Kind::BadSignature, "this key belongs to another agent"))
            }
            Standing::Approved if replaced && !self.has(of)? => {
                let detail = "this key was replaced by the agent's next one, and signs nothing after that";
                Some(Problem::new(Kind::UnknownAgent, detail))
            }
            Standing::Approved => None,
        })
    }

    /// Why a summary does not fit between those neighbours of it that are stored.
    fn misfit(&self, summary: &Verified) -> Result<Option<&'static str>, ArchiveError> {
        let of = &summary.subject;
        if let Some(before) = of.seq.checked_sub(1)
            && let Some((digest, _)) = self.numbered(&Subject { seq: before, ..*of })?
            && summary.prev != Some(digest)
        {
            return Ok(Some("its prev is not the digest of the one before"));
        }
        let sql = "SELECT prev FROM summary WHERE agent = ?1 AND chain = ?2 AND seq = ?3";
        let prev: Option<Option<Vec<u8>>> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![of.agent.bytes(), of.chain.bytes(), number(of.seq + 1)], |row| row.get(0))
            .optional()?;
        Ok(match prev {
            Some(prev) if prev.as_deref() != Some(&of.digest.bytes()[..]) => {
                Some("it is not the one that its successor names in prev")
            }
            _ => None,
        })
    }

    /// Keeps a summary aside that does not fit.
    fn conflict(&self, summary: &Verified, now: Wall, why: &'static str) -> Result<Problem, ArchiveError> {
        let of = &summary.subject;
        tracing::warn!(agent = %of.agent, chain = %of.chain, seq = of.seq, digest = %of.digest, "chain conflict: {why}");
        if self.conflicts(of.agent)? < CONFLICTS {
            self.db.execute(
                "INSERT INTO conflict (agent, chain, seq, digest, received_ns, why, jws)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                params![
                    of.agent.bytes(),
                    of.chain.bytes(),
                    number(of.seq),
                    of.digest.bytes(),
                    now.nanos(),
                    why,
                    summary.jws
                ],
            )?;
        }
        Ok(Problem::new(Kind::ChainConflict, format_args!("number {} of chain {}: {why}", of.seq, of.chain)))
    }

    fn conflicts(&self, agent: Kid) -> Result<u64, ArchiveError> {
        let sql = "SELECT count(*) FROM conflict WHERE agent = ?1";
        Ok(self.db.prepare_cached(sql)?.query_row(params![agent.bytes()], |row| unsigned(row, 0))?)
    }

    /// Every agent with what came of it, by site.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn agents(&self) -> Result<Vec<AgentRow>, ArchiveError> {
        let mut statement =
            self.db.prepare("SELECT agent, enrolled_ns FROM agent ORDER BY site, enrolled_ns, agent")?;
        let agents: Vec<(Vec<u8>, i64)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut all = Vec::new();
        for (agent, enrolled) in agents {
            let agent = Kid::from_bytes(bytes(&agent)?);
            // An agent's first key is never deleted, so what it enrolled with is still there.
            let Some(known) = self.key(agent)? else { continue };
            let (gaps, dropped) = (self.gaps(agent)?, self.dropped(agent)?);
            let told = |(chain, gap): (ChainId, Gap)| (chain, gap, gap.is_told(chain, &dropped));
            all.push(AgentRow {
                agent,
                site: known.site,
                standing: known.standing,
                enrolled: Wall::from_nanos(enrolled),
                last: self.last(agent)?,
                span: self.span(agent)?,
                gaps: gaps.into_iter().map(told).collect(),
                conflicts: self.conflicts(agent)?,
                keys: self.keys_of(agent)?,
            });
        }
        Ok(all)
    }

    /// The last summary of the chain that was written to last.
    fn last(&self, agent: Kid) -> Result<Option<Last>, ArchiveError> {
        let sql = "SELECT chain, last_seq, received_ns FROM chain WHERE agent = ?1 ORDER BY received_ns DESC LIMIT 1";
        let row: Option<(Vec<u8>, u64, i64)> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![agent.bytes()], |row| Ok((row.get(0)?, unsigned(row, 1)?, row.get(2)?)))
            .optional()?;
        let Some((chain, seq, received)) = row else { return Ok(None) };
        Ok(Some(Last { chain: ChainId::from_bytes(bytes(&chain)?), seq, received: Wall::from_nanos(received) }))
    }

    /// The longest span of the last summaries of the chain that was written to last.
    fn span(&self, agent: Kid) -> Result<Duration, ArchiveError> {
        let sql = "SELECT max(s.to_ns - s.from_ns) FROM summary s JOIN
                     (SELECT chain, last_seq FROM chain WHERE agent = ?1 ORDER BY received_ns DESC LIMIT 1) c
                   ON s.agent = ?1 AND s.chain = c.chain AND s.seq > c.last_seq - 8";
        let nanos: Option<i64> = self.db.prepare_cached(sql)?.query_row(params![agent.bytes()], |row| row.get(0))?;
        Ok(Duration::from_nanos(nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)))
    }

    /// Gives every summary that is stored to `take`, by agent, chain and number.
    ///
    /// # Errors
    /// When SQLite fails, or what `take` returns.
    pub fn each_summary<E: From<ArchiveError>>(&self, mut take: impl FnMut(Stored) -> Result<(), E>) -> Result<(), E> {
        let failed = |error: rusqlite::Error| E::from(ArchiveError::from(error));
        let sql = "SELECT agent, chain, seq, digest, jws, receipt FROM summary ORDER BY agent, chain, seq";
        let mut statement = self.db.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            take(stored(row)?)?;
        }
        Ok(())
    }
}

fn stored(row: &Row<'_>) -> Result<Stored, ArchiveError> {
    let blob = |at: usize| row.get::<_, Vec<u8>>(at);
    let subject = Subject {
        agent: Kid::from_bytes(bytes(&blob(0)?)?),
        chain: ChainId::from_bytes(bytes(&blob(1)?)?),
        seq: unsigned(row, 2)?,
        digest: Digest::from_bytes(bytes(&blob(3)?)?),
    };
    Ok(Stored { subject, jws: row.get(4)?, receipt: row.get(5)? })
}
