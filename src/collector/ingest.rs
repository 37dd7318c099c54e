//! What is done with a summary before it is stored: its form, its key, its signature, its figures,
//! in this order, the cheap and the unforgeable before the dear.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::time::Wall;
use crate::collector::Collector;
use crate::collector::archive::accept::Verified;
use crate::collector::archive::agents::{AgentStatus, KnownKey};
use crate::collector::archive::{Archive, ArchiveError, packed};
use crate::collector::body::{self, Encoding, Line, Plan, Type};
use crate::collector::caller::Caller;
use crate::collector::concurrency::Work;
use crate::collector::fault::Fault;
use crate::collector::memory_budget::Reservation;
use crate::evidence::digest::Digest;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::receipt::Subject;
use crate::evidence::rotation;
use crate::evidence::summary::{self, LIMIT, NotASummary};

/// A byte of a summary becomes at most so many while it is read: names in a set that may just have
/// grown are the worst.
pub const PARSED: usize = 12;
/// What a line's answer takes, receipt or problem, twice: by itself, and in the body.
pub const ANSWER: usize = 2 * 1024;

/// A line of a request, examined.
#[derive(Debug)]
pub struct Examined {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The key that it says signed it.
    pub kid: Option<Kid>,
    /// Whose it is, if a signature was verified: what then is counted.
    pub counts: Option<Kid>,
    /// Why it is refused.
    pub refused: Option<Problem>,
    /// What it holds, until it is taken to be stored.
    summary: Option<Verified>,
}

impl Examined {
    fn refused(digest: Digest, problem: Problem) -> Self {
        Self { digest, kid: None, counts: None, refused: Some(problem), summary: None }
    }

    /// What is to be stored, once; nothing when it is refused.
    pub fn take(&mut self) -> Option<Verified> {
        self.summary.take()
    }
}

/// Examines the summaries of one request, in their order.
#[derive(Debug)]
pub struct Examiner<'a> {
    keys: Keys<'a>,
    /// When the request came.
    now: Wall,
    done: Vec<Examined>,
}

impl<'a> Examiner<'a> {
    /// With nothing examined yet; `now` is when the request came.
    #[must_use]
    pub fn new(archive: &'a Archive, cache: &'a KeyCache, now: Wall) -> Self {
        Self { keys: Keys { archive, cache, known: HashMap::new() }, now, done: Vec::new() }
    }

    /// Examines the next line; gives how many bytes of it are kept, to be stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn line(&mut self, line: Line<'_>) -> Result<usize, ArchiveError> {
        let mut examined = match line {
            Line::Whole(line) => examine_one(line, &mut self.keys, self.now)?,
            Line::TooLong(digest, length) => Examined::refused(digest, too_large(length)),
        };
        examined.refused = examined.refused.map(|problem| problem.shortened(DETAIL));
        let kept = examined.summary.as_ref().map_or(0, |summary| summary.packed.len());
        self.done.push(examined);
        Ok(kept)
    }

    /// What came of each line.
    #[must_use]
    pub fn done(self) -> Vec<Examined> {
        self.done
    }
}

/// So many bytes of what is wrong with a line are told.
const DETAIL: usize = 256;

fn too_large(length: usize) -> Problem {
    Problem::new(Kind::TooLarge, format_args!("a summary is {length} bytes, of at most {LIMIT}"))
}

/// The keys of approved agents that were looked up before. What a key's agent may do is asked again
/// when its summary is stored, so that one that was revoked meanwhile costs a verification and gets
/// nothing.
#[derive(Debug, Default)]
pub struct KeyCache(RwLock<HashMap<Kid, KnownKey>>);

/// So many keys are kept; when there are more, all are looked up again.
const KEYS: usize = 50_000;

impl KeyCache {
    fn get(&self, kid: Kid) -> Option<KnownKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&kid).cloned()
    }

    fn keep(&self, kid: Kid, known: &KnownKey) {
        if known.standing == AgentStatus::Approved && known.last.is_none() {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= KEYS {
                all.clear();
            }
            all.insert(kid, known.clone());
        }
    }

    /// Looks a key up again the next time.
    pub fn forget(&self, kid: Kid) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&kid);
    }
}

/// The keys that a request's summaries are verified by: those of the database, and those that an
/// earlier one of the same request names as next. The latter are looked up again when they are
/// stored, and are not there if that was refused.
#[derive(Debug)]
struct Keys<'a> {
    archive: &'a Archive,
    cache: &'a KeyCache,
    known: HashMap<Kid, Option<KnownKey>>,
}

impl Keys<'_> {
    fn get(&mut self, kid: Kid) -> Result<Option<&KnownKey>, ArchiveError> {
        use std::collections::hash_map::Entry;
        Ok(match self.known.entry(kid) {
            Entry::Occupied(entry) => entry.into_mut().as_ref(),
            Entry::Vacant(entry) => {
                let known = match self.cache.get(kid) {
                    Some(known) => Some(known),
                    None => self.archive.key(kid)?.inspect(|known| self.cache.keep(kid, known)),
                };
                entry.insert(known).as_ref()
            }
        })
    }

    fn expect_next(&mut self, next: PublicKey, present: &KnownKey) {
        let next_known = KnownKey { key: next, last: None, ..present.clone() };
        let slot = self.known.entry(next.kid()).or_default();
        if slot.is_none() {
            *slot = Some(next_known);
        }
    }
}

impl Collector {
    /// Reads the summaries of a body and verifies them, in memory that is reserved before; only
    /// what is kept of them stays reserved.
    pub(super) async fn examine(
        self: &Arc<Self>,
        body: Vec<u8>,
        (of, encoding): (Type, Encoding),
        (caller, received): (&Caller, Wall),
        mut memory: Reservation,
    ) -> Result<(Vec<Examined>, Reservation), Fault> {
        let plan = Plan::of(&body, encoding);
        let (work, needed) = match plan {
            Plan::AtOnce(length) => (Work::Short, length + PARSED * length.min(LIMIT)),
            Plan::ByPieces(beside) => (Work::Long, beside + LIMIT + PARSED * LIMIT),
        };
        // The first line's answer, and what is kept of it, cannot be waited for later.
        let mut spare = match plan {
            Plan::AtOnce(length) => ANSWER + length.min(LIMIT),
            Plan::ByPieces(_) => ANSWER + LIMIT,
        };
        memory.take(needed + spare).await?;
        let collector = Arc::clone(self);
        self.read_for(caller.repute(), work, move |archive| {
            let mut examiner = Examiner::new(archive, &collector.keys, received);
            let mut kept = 0;
            let mut take = |line: Line<'_>| {
                let own = ANSWER + examiner.line(line)?;
                match spare.checked_sub(own) {
                    Some(left) => spare = left,
                    None => memory.try_take(own)?,
                }
                kept += own;
                Ok::<(), Fault>(())
            };
            match plan {
                Plan::AtOnce(length) => {
                    let plain = body::expand(body, encoding, length)?;
                    body::lines(&plain, of)?
                        .into_iter()
                        .try_for_each(|line| take(Line::Whole(line)))?;
                }
                Plan::ByPieces(_) => body::each_line(&body, encoding, of, take)?,
            }
            memory.keep_only(kept);
            Ok((examiner.done(), memory))
        })
        .await
    }
}

fn examine_one(line: &[u8], keys: &mut Keys<'_>, now: Wall) -> Result<Examined, ArchiveError> {
    let digest = Digest::of(line);
    let refused = |problem: Problem| Examined::refused(digest, problem);
    if line.len() > LIMIT {
        return Ok(refused(too_large(line.len())));
    }
    let jws = match jws::parse(line, Typ::Summary) {
        Ok(jws) => jws,
        Err(fault) => return Ok(refused(Problem::new(Kind::Malformed, fault))),
    };
    let kid = jws.kid();
    let known = match keys.get(kid)? {
        None => {
            return Ok(refused(Problem::new(
                Kind::UnknownAgent,
                format_args!("no agent has the key {kid}"),
            )));
        }
        Some(known) => known.clone(),
    };
    match known.standing {
        AgentStatus::Approved => {}
        AgentStatus::Pending => {
            return Ok(refused(Problem::new(
                Kind::Pending,
                "an operator has to approve this agent first",
            )));
        }
        AgentStatus::Revoked => {
            return Ok(refused(Problem::new(Kind::Revoked, "this agent was revoked")));
        }
    }
    let payload = match jws.verify(&known.key) {
        Ok(payload) => payload,
        Err(fault) => return Ok(refused(Problem::new(Kind::BadSignature, fault))),
    };
    let (summary, refused) = match read(&payload, line, digest, kid, &known)
        .and_then(|read| in_time(read, &known, now))
    {
        Ok(summary) => (Some(summary), None),
        Err(problem) => (None, Some(problem)),
    };
    if let Some(Verified { next_key: Some(next), .. }) = &summary {
        keys.expect_next(*next, &known);
    }
    Ok(Examined { digest, kid: Some(kid), counts: Some(known.agent), refused, summary })
}

/// A summary whose span can be believed at all: what is dated otherwise would be folded, and its
/// months judged, for nothing.
fn in_time(read: Verified, known: &KnownKey, now: Wall) -> Result<Verified, Problem> {
    match summary::check_window(read.from, read.to, known.enrolled, now) {
        Ok(()) => Ok(read),
        Err(fault) => Err(Problem::new(Kind::Malformed, fault)),
    }
}

/// Reads a payload whose signature was verified.
fn read(
    payload: &[u8],
    line: &[u8],
    digest: Digest,
    kid: Kid,
    known: &KnownKey,
) -> Result<Verified, Problem> {
    let summary = summary::read(payload).map_err(|fault| match fault {
        NotASummary::Version(_) => Problem::new(Kind::Unsupported, fault),
        NotASummary::Malformed(fault) => Problem::new(Kind::Malformed, fault),
    })?;
    if summary.agent != known.agent {
        return Err(Problem::new(
            Kind::BadSignature,
            "its agent is not the one whose key signed it",
        ));
    }
    let malformed = |fault: &dyn std::fmt::Display| Problem::new(Kind::Malformed, fault);
    let next_key = match &summary.next_key {
        Some(consent) => Some(
            rotation::verify(consent, summary.agent, summary.chain, summary.seq)
                .map_err(|fault| malformed(&fault))?,
        ),
        None => None,
    };
    let jws = std::str::from_utf8(line).map_err(|fault| malformed(&fault))?;
    Ok(Verified {
        subject: Subject { agent: summary.agent, chain: summary.chain, seq: summary.seq, digest },
        kid,
        prev: summary.prev,
        from: summary.from,
        to: summary.to,
        follows: summary.follows,
        dropped: summary.dropped,
        next_key,
        packed: packed::pack_read(jws, payload),
    })
}
