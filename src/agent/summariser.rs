//! Makes and signs summaries of what was written: within the writer's transaction, so that a
//! number, its summary and what it holds are on the disk together or not at all.

use std::time::Duration;

use tracing::{error, info};

use crate::agent::keys::Keys;
use crate::agent::review::{self, Judged, ReviewError};
use crate::base::time::{Clock as _, SystemClock, Wall};
use crate::evidence::chain::{ChainId, Head};
use crate::evidence::key::SecretKey;
use crate::evidence::summary::{
    self, Clock, ContractRef, Layout, LinkPart, Malformed, OutagePart, OwnLag, Signed, Summary,
    VERSION, VerdictPart,
};
use crate::store::intervals::RowId;
use crate::store::journal::Noted;
use crate::store::outages::Outage;
use crate::store::outbox::new_chain;
use crate::store::{Store, StoreError};

mod span;

use span::Span;

/// What a span's summaries say beside its intervals.
#[derive(Clone, Debug)]
pub struct SpanState {
    /// All intervals up to here were handed over.
    pub until: Wall,
    /// How the wall clock was kept, and its steps.
    pub clock: Clock,
    /// The contracts that are judged by.
    pub contracts: Vec<ContractRef>,
    /// The links that the probes leave by.
    pub link: Vec<LinkPart>,
    /// The contracts by which the last of the summaries says how their services stand; none where
    /// it says nothing of that.
    pub judged: Vec<Judged>,
    /// How late the agent itself was since the last time.
    pub own_lag_us: Option<OwnLag>,
}

/// What signs, and what does not change from one summary to the next.
#[derive(Debug)]
pub struct Summariser {
    /// The device's keys.
    pub keys: Keys,
    /// The site's name.
    pub site: String,
    /// The kernel's boot id.
    pub boot: String,
    /// A summary's span; it divides a minute or an hour.
    pub every: Duration,
}

impl Summariser {
    /// Signs summaries of all intervals that no summary holds yet, a span at a time, and puts them
    /// into the outbox. Where a next key lies ready, the last of them names it, and `keys` are
    /// changed; that holds once the transaction is committed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn summarise(
        &self,
        store: &Store,
        state: &SpanState,
        keys: &mut Keys,
    ) -> Result<(), StoreError> {
        let blocks = store.unsummarised()?;
        let Some(&(last, _)) = blocks.last() else { return Ok(()) };
        let mut head = match store.head()? {
            Some(head) => head,
            None => self.begin_chain(store)?,
        };
        let begins = |block: &(RowId, Wall)| block.1.floor(self.every);
        let mut spans = blocks.chunk_by(|one, next| begins(one) == begins(next)).peekable();
        while let Some(blocks) = spans.next() {
            let is_last = spans.peek().is_none();
            let by = By {
                key: keys.key().clone(),
                next: if is_last { keys.lies_ready() } else { None },
            };
            let span = Span::of(store, (blocks[0].0, blocks[blocks.len() - 1].0))?;
            let mut besides = self.besides(store, &span, state)?;
            if is_last && !state.judged.is_empty() {
                besides.verdicts = Self::verdicts(store, state)?;
            }
            if let Some((naming, next)) = Self::sign(store, &mut head, (besides, &span), by)? {
                store.rotate(*next.public(), &naming.jws)?;
                let detail = format!(
                    "{} follows {}, as summary {} says",
                    next.kid(),
                    keys.key().kid(),
                    naming.seq
                );
                store.note(SystemClock.now().wall, Noted::KeyChanged, &detail)?;
                keys.change_to(next);
            }
            store.told_dropped()?;
        }
        store.set_summarised(last)
    }

    /// Signs a span in as many summaries as it needs, and keeps them, one after the other, so that
    /// no more than one of them is in memory. The last of them names the next key, and is given
    /// back with it.
    fn sign(
        store: &Store,
        head: &mut Head,
        (besides, span): (Summary, &Span),
        mut by: By,
    ) -> Result<Option<(Signed, SecretKey)>, StoreError> {
        let (from, to) = (besides.from, besides.to);
        let layout =
            match Layout::of(&besides, span.probes.iter().map(|(_, lengths)| lengths.clone())) {
                Ok(layout) => layout,
                Err(fault) => {
                    return Self::left_out(store, (from, to), "all", &fault).map(|()| None);
                }
            };
        for (probe, fault) in layout.left_out {
            let series = span.probes[probe].0;
            let name = store
                .series_of(&[series].into())?
                .remove(&series)
                .map(|series| series.probe)
                .unwrap_or_default();
            Self::left_out(store, (from, to), &name, &fault)?;
        }
        let mut next_part = Some(besides);
        let mut parts = layout.parts.into_iter().peekable();
        while let (Some(pieces), Some(mut part)) = (parts.next(), next_part.take()) {
            let is_last = parts.peek().is_none();
            next_part = (!is_last).then(|| summary::bare(&part));
            let (probes, made) = span.read(store, &pieces)?;
            part.probes = probes;
            Self::leave_out_faults(store, &mut part)?;
            let next = if is_last { by.next.take() } else { None };
            let signed = match &next {
                Some(next) => head.sign_with_next_key(part, &by.key, next),
                None => head.sign(part, &by.key),
            };
            match signed {
                Ok(signed) => {
                    store.keep_summary(&signed, from, to, Some(&made))?;
                    if let Some(next) = next {
                        return Ok(Some((signed, next)));
                    }
                }
                Err(fault) => Self::left_out(store, (from, to), "all", &fault)?,
            }
        }
        Ok(None)
    }

    /// What our own check refuses every collector would refuse too: such a probe is left out and
    /// told, and nothing else waits for it.
    fn leave_out_faults(store: &Store, part: &mut Summary) -> Result<(), StoreError> {
        if summary::check(part).is_ok() {
            return Ok(());
        }
        let mut kept = Vec::new();
        for probe in std::mem::take(&mut part.probes) {
            part.probes = vec![probe];
            let fault = summary::check(part).err();
            let probe = part.probes.pop().expect("it is there again");
            match fault {
                None => kept.push(probe),
                Some(fault) => Self::left_out(store, (part.from, part.to), &probe.name, &fault)?,
            }
        }
        part.probes = kept;
        Ok(())
    }

    fn left_out(
        store: &Store,
        (from, to): (Wall, Wall),
        probe: &str,
        fault: &Malformed,
    ) -> Result<(), StoreError> {
        error!(%from, %to, probe, %fault, "a part of a summary could not be made");
        let detail = format!("no summary of {from} to {to} for probe {probe}: {fault}");
        store.note(SystemClock.now().wall, Noted::SummaryFault, &detail)
    }

    /// Everything but the probes.
    fn besides(
        &self,
        store: &Store,
        span: &Span,
        state: &SpanState,
    ) -> Result<Summary, StoreError> {
        let (from, to) = span.extent.unwrap_or((state.until, state.until));
        // A slewed clock may let the last interval end some milliseconds before the span does.
        let end = from.floor(self.every) + self.every;
        let to = if end.nanos_since(to) < 1_000_000_000 && state.until >= end { end } else { to };
        let outages = store.outages(from, to)?;
        let mut clock = state.clock.clone();
        clock.steps.retain(|step| step.at >= from && step.at <= to);
        Ok(Summary {
            v: VERSION,
            agent: self.keys.agent,
            site: self.site.clone(),
            // The chain's members are set where it is signed.
            chain: ChainId::from_bytes([0; 16]),
            seq: 0,
            prev: None,
            follows: None,
            dropped: store.dropped_to_tell()?,
            from,
            to,
            boot: self.boot.clone(),
            software: crate::SOFTWARE.to_owned(),
            clock,
            contracts: state.contracts.clone(),
            probes: Vec::new(),
            link: state.link.clone(),
            outages: outages.into_iter().map(|(_, outage)| part(outage)).collect(),
            verdicts: Vec::new(),
            own_lag_us: state.own_lag_us,
            next_key: None,
        })
    }

    /// How the services stand. Where that cannot be told, what was measured is shipped all the
    /// same.
    fn verdicts(store: &Store, state: &SpanState) -> Result<Vec<VerdictPart>, StoreError> {
        match review::said(store, &state.judged, state.until) {
            Ok(said) => Ok(said),
            Err(ReviewError::Store(fault)) => Err(fault),
            Err(fault) => {
                error!(%fault, "no verdicts go with this summary");
                Ok(Vec::new())
            }
        }
    }

    fn begin_chain(&self, store: &Store) -> Result<Head, StoreError> {
        let head = store.begin_chain(new_chain()?)?;
        info!(chain = %head.chain, "a new chain of summaries begins");
        Ok(head)
    }
}

/// The key that signs, and the one that follows it.
struct By {
    key: SecretKey,
    next: Option<SecretKey>,
}

/// An outage as a summary holds it.
#[must_use]
pub fn part(outage: Outage) -> OutagePart {
    let side = outage.side();
    OutagePart {
        service: outage.service,
        probe: outage.probe,
        from: outage.from,
        to: outage.to,
        definition: outage.definition,
        side,
        evidence: match outage.evidence {
            serde_json::Value::Object(members) => members,
            _ => serde_json::Map::new(),
        },
    }
}

#[cfg(test)]
mod tests;
