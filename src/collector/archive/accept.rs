//! Summaries are stored in groups: what a group depends on is read at once, each is decided upon in
//! memory, in order, and what was decided is written at once. So a hundred of them cost a handful
//! of queries, and the next one of a chain costs the same however much is stored: it is checked
//! against its chain's row.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use crate::base::time::Wall;
use crate::collector::archive::agents::{AgentStatus, Right};
use crate::collector::archive::db::{Db, Row};
use crate::collector::archive::postgres::Postgres;
use crate::collector::archive::value::args;
use crate::collector::archive::{Archive, ArchiveError, lock_of};
use crate::evidence::chain::{ChainId, Dropped, Follows};
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
    /// The compact JWS, as it is stored: [`super::packed`].
    pub packed: Vec<u8>,
}

/// A summary with the receipt that it gets if it may be stored.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The summary.
    pub summary: Verified,
    received: Wall,
    receipt: String,
}

impl Arrival {
    /// Signs the receipt, which needs no database and is done on any thread. It is given to nobody
    /// unless the summary is stored with it.
    #[must_use]
    pub fn new(summary: Verified, received: Wall, collector: &SecretKey) -> Self {
        let receipt = receipt::sign(summary.subject, received, collector);
        Self { summary, received, receipt }
    }
}

/// What came of a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored now, with this receipt.
    New(String),
    /// The same bytes were stored before, with this receipt.
    Again(String),
    /// It is not stored.
    Refused(Problem),
}

impl Accepted {
    /// The receipt, or why there is none.
    ///
    /// # Errors
    /// The problem.
    pub fn said(self) -> Result<String, Problem> {
        match self {
            Self::New(receipt) | Self::Again(receipt) => Ok(receipt),
            Self::Refused(problem) => Err(problem),
        }
    }
}

/// What the next summary of a chain is checked against.
#[derive(Clone, Copy, Debug)]
struct Head {
    seq: u64,
    digest: Option<Digest>,
    span_ns: i64,
}

/// A summary that has its number.
#[derive(Clone, Debug)]
struct Numbered {
    digest: Digest,
    prev: Option<Digest>,
    receipt: String,
}

type Chain = (Kid, ChainId);
type Number = (Kid, ChainId, u64);

/// What a group depends on, and what was decided of it so far.
struct Group<'a> {
    archive: &'a Archive,
    rights: HashMap<Kid, Right>,
    heads: HashMap<Chain, Head>,
    numbers: HashMap<Number, Numbered>,
    /// The arrivals that are to be written, and when the last of each chain came.
    new: Vec<&'a Arrival>,
    moved: HashMap<Chain, Wall>,
    follows: Vec<(Chain, Follows)>,
}

impl Archive {
    /// Stores summaries with their receipts, in order, or gives the receipt that each got before,
    /// or says why not. All that they depend on is read in the same transaction. What does not fit
    /// into its chain is kept aside.
    ///
    /// # Errors
    /// When the database fails; then the transaction is to be undone.
    pub fn accept_all(&self, arrivals: &[Arrival]) -> Result<Vec<Accepted>, ArchiveError> {
        let mut group = Group::read(self, arrivals)?;
        let said =
            arrivals.iter().map(|arrival| group.accept(arrival)).collect::<Result<Vec<_>, _>>()?;
        group.write()?;
        Ok(said)
    }

    /// As [`Self::accept_all`], for one.
    ///
    /// # Errors
    /// As there.
    pub fn accept(&self, arrival: Arrival) -> Result<Accepted, ArchiveError> {
        let mut said = self.accept_all(&[arrival])?;
        Ok(said.pop().expect("there is an answer for each"))
    }
}

impl<'a> Group<'a> {
    /// Reads what the group depends on, after nobody else can change it.
    fn read(archive: &'a Archive, arrivals: &[Arrival]) -> Result<Self, ArchiveError> {
        let mut group = Self {
            archive,
            rights: HashMap::new(),
            heads: HashMap::new(),
            numbers: HashMap::new(),
            new: Vec::new(),
            moved: HashMap::new(),
            follows: Vec::new(),
        };
        let kids: BTreeSet<Kid> = arrivals.iter().map(|each| each.summary.kid).collect();
        let chains: BTreeSet<Chain> =
            arrivals.iter().map(|each| chain_of(&each.summary.subject)).collect();
        group.lock(&chains)?;
        group.read_rights(&kids)?;
        group.read_heads(&chains)?;
        // What comes in the order of its chain has no neighbours but the head and those of the
        // group.
        let mut next: HashMap<Chain, u64> =
            group.heads.iter().map(|(chain, head)| (*chain, head.seq + 1)).collect();
        let mut looked_up = |each: &Arrival| {
            let of = each.summary.subject;
            let next = next.entry(chain_of(&of)).or_default();
            let in_order = of.seq == *next;
            *next = (*next).max(of.seq + 1);
            !in_order
        };
        let around = |each: &Arrival| {
            let of = each.summary.subject;
            (of.seq.saturating_sub(1)..=of.seq + 1).map(move |seq| (of.agent, of.chain, seq))
        };
        let numbers: BTreeSet<Number> =
            arrivals.iter().filter(|each| looked_up(each)).flat_map(around).collect();
        group.read_numbers(&numbers)?;
        Ok(group)
    }

    /// Locks the agents, in an order that all keep, so that no two replicas wait for each other.
    fn lock(&self, chains: &BTreeSet<Chain>) -> Result<(), ArchiveError> {
        let Db::Postgres(db) = &self.archive.db else { return Ok(()) };
        let locks: BTreeSet<i64> = chains.iter().map(|(agent, _)| lock_of(agent.bytes())).collect();
        let locks: Vec<i64> = locks.into_iter().collect();
        db.query_with("SELECT pg_advisory_xact_lock(l) FROM unnest($1::bigint[]) AS l", &[&locks])
            .map(drop)
    }

    fn read_rights(&mut self, kids: &BTreeSet<Kid>) -> Result<(), ArchiveError> {
        match &self.archive.db {
            Db::Sqlite(_) => {
                for &kid in kids {
                    if let Some(right) = self.archive.right(kid)? {
                        self.rights.insert(kid, right);
                    }
                }
            }
            Db::Postgres(db) => self.rights = rights_of_postgres(db, kids)?,
        }
        Ok(())
    }

    fn read_heads(&mut self, chains: &BTreeSet<Chain>) -> Result<(), ArchiveError> {
        let read = |row: &Row<'_>| {
            Ok(Head { seq: row.get(0)?, digest: row.get(1)?, span_ns: row.get(2)? })
        };
        match &self.archive.db {
            db @ Db::Sqlite(_) => {
                let sql = "SELECT last_seq, last_digest, span_ns FROM chain WHERE agent = ?1 AND \
                    chain = ?2";
                for chain in chains {
                    if let Some(head) = db.one(sql, args![&chain.0, &chain.1], read)? {
                        self.heads.insert(*chain, head);
                    }
                }
            }
            Db::Postgres(db) => {
                let sql = "SELECT c.last_seq, c.last_digest, c.span_ns, c.agent, c.chain
                           FROM unnest($1::bytea[], $2::bytea[]) AS w (agent, chain)
                           JOIN chain c ON c.agent = w.agent AND c.chain = w.chain";
                let agents: Vec<&[u8]> =
                    chains.iter().map(|(agent, _)| &agent.bytes()[..]).collect();
                let names: Vec<&[u8]> =
                    chains.iter().map(|(_, chain)| &chain.bytes()[..]).collect();
                for row in db.query_with(sql, &[&agents, &names])? {
                    let row = Row::Postgres(&row);
                    self.heads.insert((row.get(3)?, row.get(4)?), read(&row)?);
                }
            }
        }
        Ok(())
    }

    fn read_numbers(&mut self, numbers: &BTreeSet<Number>) -> Result<(), ArchiveError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let read = |row: &Row<'_>| {
            Ok(Numbered { digest: row.get(0)?, prev: row.get(1)?, receipt: row.get(2)? })
        };
        match &self.archive.db {
            db @ Db::Sqlite(_) => {
                let sql = "SELECT digest, prev, receipt FROM summary WHERE agent = ?1 AND chain = \
                    ?2 AND seq = ?3";
                for number in numbers {
                    if let Some(found) = db.one(sql, args![&number.0, &number.1, number.2], read)? {
                        self.numbers.insert(*number, found);
                    }
                }
            }
            Db::Postgres(db) => {
                let sql = "SELECT s.digest, s.prev, s.receipt, s.agent, s.chain, s.seq
                           FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) AS w (agent, \
                    chain, seq)
                           JOIN summary s ON s.agent = w.agent AND s.chain = w.chain AND s.seq = \
                    w.seq";
                let agents: Vec<&[u8]> =
                    numbers.iter().map(|(agent, ..)| &agent.bytes()[..]).collect();
                let chains: Vec<&[u8]> =
                    numbers.iter().map(|(_, chain, _)| &chain.bytes()[..]).collect();
                let seqs: Vec<i64> = numbers.iter().map(|(.., seq)| seq.cast_signed()).collect();
                for row in db.query_with(sql, &[&agents, &chains, &seqs])? {
                    let row = Row::Postgres(&row);
                    self.numbers.insert((row.get(3)?, row.get(4)?, row.get(5)?), read(&row)?);
                }
            }
        }
        Ok(())
    }

    /// Decides upon one, after those before it.
    fn accept(&mut self, arrival: &'a Arrival) -> Result<Accepted, ArchiveError> {
        let summary = &arrival.summary;
        let of = summary.subject;
        if let Some(problem) = self.may_not_sign(summary) {
            return Ok(Accepted::Refused(problem));
        }
        if let Some(found) = self.numbers.get(&(of.agent, of.chain, of.seq)) {
            if found.digest == of.digest {
                return Ok(Accepted::Again(found.receipt.clone()));
            }
            return self
                .conflict(arrival, "another summary has this number")
                .map(Accepted::Refused);
        }
        if let Some(why) = self.misfit(summary) {
            return self.conflict(arrival, why).map(Accepted::Refused);
        }
        if let Some(next) = &summary.next_key
            && let Some(problem) = self.rotate(summary, next)?
        {
            return Ok(Accepted::Refused(problem));
        }
        self.enter(arrival)?;
        Ok(Accepted::New(arrival.receipt.clone()))
    }

    /// Why the key may not sign this, by what the database says now. A key that was replaced may
    /// still sign what came up to the summary that named its successor.
    fn may_not_sign(&self, summary: &Verified) -> Option<Problem> {
        let of = &summary.subject;
        let Some(right) = self.rights.get(&summary.kid) else {
            return Some(Problem::new(Kind::UnknownAgent, "no agent with this key is enrolled"));
        };
        let replaced = right.last.is_some_and(|(chain, seq)| chain != of.chain || of.seq > seq);
        match right.standing {
            AgentStatus::Pending => {
                Some(Problem::new(Kind::Pending, "an operator has to approve this agent first"))
            }
            AgentStatus::Revoked => Some(Problem::new(Kind::Revoked, "this agent was revoked")),
            AgentStatus::Approved if right.agent != of.agent => {
                Some(Problem::new(Kind::BadSignature, "this key belongs to another agent"))
            }
            AgentStatus::Approved if replaced && !self.has(of) => {
                let detail =
                    "this key was replaced by the agent's next one, and signs nothing after that";
                Some(Problem::new(Kind::UnknownAgent, detail))
            }
            AgentStatus::Approved => None,
        }
    }

    /// Whether these very bytes are stored already.
    fn has(&self, of: &Subject) -> bool {
        self.numbers
            .get(&(of.agent, of.chain, of.seq))
            .is_some_and(|found| found.digest == of.digest)
    }

    /// Why a summary does not fit between those neighbours of it that are stored.
    fn misfit(&self, summary: &Verified) -> Option<&'static str> {
        let of = &summary.subject;
        let before = of.seq.checked_sub(1).and_then(|before| {
            let head = self.heads.get(&chain_of(of)).filter(|head| head.seq == before);
            let found = self.numbers.get(&(of.agent, of.chain, before)).map(|found| found.digest);
            found.or(head.and_then(|head| head.digest))
        });
        if before.is_some_and(|before| summary.prev != Some(before)) {
            return Some("its prev is not the digest of the one before");
        }
        let after = self.numbers.get(&(of.agent, of.chain, of.seq + 1));
        if after.is_some_and(|after| after.prev != Some(of.digest)) {
            return Some("it is not the one that its successor names in prev");
        }
        None
    }

    /// Keeps a summary aside that does not fit.
    fn conflict(&self, arrival: &Arrival, why: &'static str) -> Result<Problem, ArchiveError> {
        let of = &arrival.summary.subject;
        tracing::warn!(
            agent = %of.agent,
            chain = %of.chain,
            seq = of.seq,
            digest = %of.digest,
            "chain conflict: {why}"
        );
        if self.archive.conflicts(of.agent)? < CONFLICTS {
            let sql = "INSERT INTO conflict (agent, chain, seq, digest, received_ns, why, jws)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
            let args = args![
                &of.agent,
                &of.chain,
                of.seq,
                &of.digest,
                arrival.received,
                why,
                &arrival.summary.packed
            ];
            self.archive.db.execute(sql, args)?;
        }
        Ok(Problem::new(
            Kind::ChainConflict,
            format_args!("number {} of chain {}: {why}", of.seq, of.chain),
        ))
    }

    /// From the next summary on another key signs; or why it may not.
    fn rotate(
        &mut self,
        summary: &Verified,
        next: &PublicKey,
    ) -> Result<Option<Problem>, ArchiveError> {
        let of = &summary.subject;
        // It may be the first key of an agent that is being enrolled at this moment.
        self.archive.lock(next.kid().bytes())?;
        if self.archive.key(next.kid())?.is_some() {
            let detail = "its next_key was used before, by this agent or by another";
            return Ok(Some(Problem::new(Kind::Malformed, detail)));
        }
        self.archive.rotate(of.agent, summary.kid, next, (of.chain, of.seq))?;
        if let Some(present) = self.rights.get_mut(&summary.kid) {
            let following = Right { last: None, ..*present };
            present.last = Some((of.chain, of.seq));
            self.rights.insert(next.kid(), following);
        }
        Ok(None)
    }

    /// Enters a summary that fits: its number, the chain's head, a gap before it or less of one
    /// that it lies in.
    fn enter(&mut self, arrival: &'a Arrival) -> Result<(), ArchiveError> {
        let summary = &arrival.summary;
        let of = summary.subject;
        let chain = chain_of(&of);
        let span_ns = summary.to.nanos_since(summary.from).max(0);
        let expected = self.heads.get(&chain).map_or(0, |head| head.seq + 1);
        if of.seq > expected {
            self.archive.put_gap(of.agent, of.chain, expected, of.seq - 1)?;
        }
        if of.seq < expected {
            // What was not missing was folded already, and let go since.
            if self.archive.shrink_gap(of.agent, of.chain, of.seq)? {
                self.archive.note_late(of.agent, of.chain, of.seq)?;
            }
        } else {
            let next = Head { seq: of.seq, digest: Some(of.digest), span_ns };
            match self.heads.entry(chain) {
                Entry::Occupied(mut entry) => {
                    // A span may be short, at a stop or a start; only when they stay short is that
                    // how long they are.
                    let before = entry.get().span_ns;
                    entry.insert(Head { span_ns: span_ns.max(before - before / 8), ..next });
                }
                Entry::Vacant(entry) => {
                    entry.insert(next);
                }
            }
        }
        self.moved.insert(chain, arrival.received);
        let numbered =
            Numbered { digest: of.digest, prev: summary.prev, receipt: arrival.receipt.clone() };
        self.numbers.insert((of.agent, of.chain, of.seq), numbered);
        self.new.push(arrival);
        if let Some(follows) = summary.follows {
            self.follows.push((chain, follows));
        }
        self.archive.note_dropped(of.agent, &summary.dropped)
    }

    /// Writes what was decided.
    fn write(self) -> Result<(), ArchiveError> {
        match &self.archive.db {
            db @ Db::Sqlite(_) => self.write_each(db)?,
            Db::Postgres(db) => self.write_at_once(db)?,
        }
        for ((agent, chain), follows) in &self.follows {
            self.archive.note_follows(*agent, *chain, follows)?;
        }
        Ok(())
    }

    fn write_each(&self, db: &Db) -> Result<(), ArchiveError> {
        let sql = "INSERT INTO summary (agent, chain, seq, digest, prev, from_ns, to_ns, \
            received_ns, jws, receipt)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        for Arrival { summary, received, receipt } in &self.new {
            let of = &summary.subject;
            let (prev, from, to) = (summary.prev.as_ref(), summary.from, summary.to);
            db.execute(
                sql,
                args![
                    &of.agent,
                    &of.chain,
                    of.seq,
                    &of.digest,
                    prev,
                    from,
                    to,
                    *received,
                    &summary.packed,
                    receipt
                ],
            )?;
        }
        let sql = "INSERT INTO chain (agent, chain, last_seq, last_digest, span_ns, received_ns, \
            first_ns)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (agent, chain) DO UPDATE SET \
            last_seq = excluded.last_seq,
                   last_digest = excluded.last_digest, span_ns = excluded.span_ns, received_ns = \
            excluded.received_ns";
        for (chain, received) in &self.moved {
            let head = &self.heads[chain];
            let digest = head.digest.as_ref();
            db.execute(sql, args![&chain.0, &chain.1, head.seq, digest, head.span_ns, *received])?;
        }
        Ok(())
    }

    fn write_at_once(&self, db: &Postgres) -> Result<(), ArchiveError> {
        if !self.new.is_empty() {
            let of = |each: &&'a Arrival| each.summary.subject;
            let agents = column(&self.new, |each| &each.summary.subject.agent.bytes()[..]);
            let chains = column(&self.new, |each| &each.summary.subject.chain.bytes()[..]);
            let seqs = column(&self.new, |each| of(each).seq.cast_signed());
            let digests = column(&self.new, |each| &each.summary.subject.digest.bytes()[..]);
            let prevs =
                column(&self.new, |each| each.summary.prev.as_ref().map(|prev| &prev.bytes()[..]));
            let froms = column(&self.new, |each| each.summary.from.nanos());
            let tos = column(&self.new, |each| each.summary.to.nanos());
            let received = column(&self.new, |each| each.received.nanos());
            let packed = column(&self.new, |each| each.summary.packed.as_slice());
            let receipts = column(&self.new, |each| each.receipt.as_str());
            db.execute_with(
                "INSERT INTO summary (agent, chain, seq, digest, prev, from_ns, to_ns, \
                    received_ns, jws, receipt)
                 SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bytea[], \
                    $5::bytea[], $6::bigint[],
                                      $7::bigint[], $8::bigint[], $9::bytea[], $10::text[])",
                &[
                    &agents, &chains, &seqs, &digests, &prevs, &froms, &tos, &received, &packed,
                    &receipts,
                ],
            )?;
        }
        if !self.moved.is_empty() {
            let moved: Vec<(&Chain, &Wall, &Head)> = self
                .moved
                .iter()
                .map(|(chain, received)| (chain, received, &self.heads[chain]))
                .collect();
            let agents = column(&moved, |((agent, _), ..)| &agent.bytes()[..]);
            let chains = column(&moved, |((_, chain), ..)| &chain.bytes()[..]);
            let seqs = column(&moved, |(.., head)| head.seq.cast_signed());
            let digests =
                column(&moved, |(.., head)| head.digest.as_ref().map(|digest| &digest.bytes()[..]));
            let spans = column(&moved, |(.., head)| head.span_ns);
            let received = column(&moved, |(_, received, _)| received.nanos());
            db.execute_with(
                "INSERT INTO chain (agent, chain, last_seq, last_digest, span_ns, received_ns, \
                    first_ns)
                 SELECT w.*, w.received FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], \
                    $4::bytea[], $5::bigint[], $6::bigint[])
                     AS w (agent, chain, seq, digest, span, received)
                 ON CONFLICT (agent, chain) DO UPDATE SET last_seq = excluded.last_seq, \
                    last_digest = excluded.last_digest,
                 span_ns = excluded.span_ns, received_ns = excluded.received_ns",
                &[&agents, &chains, &seqs, &digests, &spans, &received],
            )?;
        }
        Ok(())
    }
}

fn chain_of(of: &Subject) -> Chain {
    (of.agent, of.chain)
}

fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn rights_of_postgres(
    db: &Postgres,
    kids: &BTreeSet<Kid>,
) -> Result<HashMap<Kid, Right>, ArchiveError> {
    let sql = "SELECT k.agent, a.state, k.last_chain, k.last_seq, k.kid
               FROM agent_key k JOIN agent a ON a.agent = k.agent WHERE k.kid = ANY($1::bytea[])";
    let kids: Vec<&[u8]> = kids.iter().map(|kid| &kid.bytes()[..]).collect();
    let rows = db.query_with(sql, &[&kids])?;
    rows.iter().map(Row::Postgres).map(|row| Ok((row.get(4)?, Right::of(&row)?))).collect()
}
