//! What becomes of a body of summaries: verified, counted for its agents, stored, answered.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::base::time::{Clock, SystemClock};
use crate::collector::archive::ArchiveError;
use crate::collector::archive::accept::{Accepted, Arrival};
use crate::collector::body::{Encoding, Type};
use crate::collector::caller::Caller;
use crate::collector::fault::Fault;
use crate::collector::ingest::{ANSWER, Examined};
use crate::collector::limits::{Counted, ROTATIONS};
use crate::collector::memory_budget::Reservation;
use crate::collector::{Collector, json};
use crate::config::collector::Limits;
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;
use crate::evidence::problem::{Kind, Problem};

impl Collector {
    /// Takes the summaries of a body, and gives the answer: a line for each, with what is reserved
    /// for it.
    pub(super) async fn take(
        self: &Arc<Self>,
        body: Vec<u8>,
        of: Type,
        encoding: Encoding,
        caller: &Caller,
        memory: Reservation,
    ) -> Result<(String, Reservation), Fault> {
        let received = SystemClock.now().wall.floor(Duration::from_millis(1));
        let (mut examined, mut memory) =
            self.examine(body, (of, encoding), (caller, received), memory).await?;
        if examined.iter().any(|each| each.counts.is_some()) {
            caller.peer.authenticated();
        }
        let sign = |summary| Arrival::new(summary, received, &self.key);
        let arrivals: Vec<Arrival> =
            examined.iter_mut().filter_map(Examined::take).map(sign).collect();
        let (counted, arrivals) = self.count_all(&examined, arrivals).await?;
        // Nothing to store costs no wait for the disk.
        let accepted =
            if arrivals.is_empty() { Vec::new() } else { self.writer()?.store(arrivals).await? };
        let mut accepted = accepted.into_iter();
        let mut again = Again::default();
        let results: Vec<(Digest, Result<String, Problem>)> = examined
            .into_iter()
            .map(|each| {
                let said = match each.refused {
                    Some(problem) => Accepted::Refused(problem),
                    None => accepted.next().expect("the writer answers for each"),
                };
                again.note(each.counts, &said);
                if let (Accepted::Refused(_), Some(kid)) = (&said, each.kid) {
                    self.keys.forget(kid);
                }
                (each.digest, said.said())
            })
            .collect();
        // What brought only what was stored is counted as that; what was counted before is given
        // back.
        for (agent, brings) in counted.into_iter().filter(|(agent, _)| again.only(*agent)) {
            let Limits { per_agent, bytes_per_agent, .. } = self.config().limits;
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            self.limiter.give_back(agent, (brings.bytes, Counted::Byte), bytes_per_agent);
            self.limiter.give_back(agent, (brings.rotations, Counted::Rotation), ROTATIONS);
            self.count(agent, Counted::Stored)?;
        }
        for (_, said) in &results {
            let kind = said.as_ref().err().and_then(Problem::kind);
            self.metrics.summary(if said.is_ok() {
                "receipt"
            } else {
                kind.map_or("other", Kind::word)
            });
        }
        memory.keep_only(ANSWER * results.len());
        Ok((results.into_iter().map(|(digest, said)| result_line(digest, said)).collect(), memory))
    }

    /// Counts a request, and the bytes that it would store, for each agent of which a signature was
    /// verified, before anything is stored; gives those that were counted as bringing something
    /// new, with what. Where a share is used up, only what is stored already may still be asked
    /// for.
    async fn count_all(
        self: &Arc<Self>,
        examined: &[Examined],
        arrivals: Vec<Arrival>,
    ) -> Result<(Vec<(Kid, Brings)>, Vec<Arrival>), Fault> {
        let agents: BTreeSet<Kid> = examined.iter().filter_map(|each| each.counts).collect();
        let refused: BTreeSet<Kid> = examined
            .iter()
            .filter(|each| each.refused.is_some())
            .filter_map(|each| each.counts)
            .collect();
        let (mut counted, mut arrivals) = (Vec::new(), arrivals);
        for agent in agents {
            let own = arrivals.iter().filter(|each| each.summary.subject.agent == agent);
            let brings = own.fold(Brings::default(), |all, each| Brings {
                bytes: all
                    .bytes
                    .saturating_add(u32::try_from(each.summary.packed.len()).unwrap_or(u32::MAX)),
                rotations: all.rotations + u32::from(each.summary.next_key.is_some()),
            });
            let too_much = match self.count_new(agent, brings) {
                Ok(()) => {
                    counted.push((agent, brings));
                    continue;
                }
                Err(too_much) => too_much,
            };
            let stored;
            (stored, arrivals) = self
                .read(move |archive| {
                    let mut own =
                        arrivals.iter().filter(|each| each.summary.subject.agent == agent);
                    let stored = own.try_fold(true, |all, each| {
                        Ok::<bool, ArchiveError>(all && archive.has(&each.summary.subject)?)
                    })?;
                    Ok((stored, arrivals))
                })
                .await?;
            if refused.contains(&agent) || !stored {
                return Err(too_much);
            }
            self.count(agent, Counted::Stored)?;
        }
        Ok((counted, arrivals))
    }

    /// Counts a request that brings something new, and what of it is to be stored.
    fn count_new(&self, agent: Kid, brings: Brings) -> Result<(), Fault> {
        self.count(agent, Counted::New)?;
        let (Limits { per_agent, bytes_per_agent: rate, .. }, now) =
            (self.config().limits, SystemClock.now().mono);
        let rotations = (brings.rotations, Counted::Rotation);
        self.limiter.count(agent, rotations, ROTATIONS, now).map_err(|wait| {
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            let what =
                format!("agent {agent} changed its key {} times within a day", ROTATIONS.count);
            tracing::warn!("{what}; it is told to come again");
            Fault::too_much(what, wait)
        })?;
        self.limiter.count(agent, (brings.bytes, Counted::Byte), rate, now).map_err(|wait| {
            self.limiter.give_back(agent, (1, Counted::New), per_agent);
            self.limiter.give_back(agent, rotations, ROTATIONS);
            let what = format!(
                "agent {agent} had {} MiB stored within a day, all that [limits] bytes_per_agent \
                    lets one agent have",
                rate.count >> 20
            );
            tracing::warn!("{what}; it is told to come again");
            Fault::too_much(what, wait)
        })
    }
}

/// What of an agent a request brings.
#[derive(Clone, Copy, Debug, Default)]
struct Brings {
    /// So many bytes to store.
    bytes: u32,
    /// So many changes of its key.
    rotations: u32,
}

/// Whether a request brought nothing of an agent but what was stored before.
#[derive(Default)]
struct Again(HashMap<Kid, bool>);

impl Again {
    fn note(&mut self, agent: Option<Kid>, said: &Accepted) {
        if let Some(agent) = agent {
            *self.0.entry(agent).or_insert(true) &= matches!(said, Accepted::Again(_));
        }
    }

    fn only(&self, agent: Kid) -> bool {
        self.0.get(&agent).is_some_and(|only| *only)
    }
}

/// A line of the answer.
fn result_line(digest: Digest, said: Result<String, Problem>) -> String {
    #[derive(Serialize)]
    struct Line {
        digest: Digest,
        #[serde(skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Problem>,
    }
    let (receipt, error) = match said {
        Ok(receipt) => (Some(receipt), None),
        Err(problem) => (None, Some(problem)),
    };
    json(&Line { digest, receipt, error }) + "\n"
}
