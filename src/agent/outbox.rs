//! The shipper's outbox, by way of the recorder: what the shipper asks and settles goes through the
//! one writer.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::agent::recorder::{Recorder, Unanswered};
use crate::agent::shipper::{Answer, Outbox, OutboxFault, Waiting};
use crate::base::time::{Clock, SystemClock};
use crate::evidence::answer::ContractText;
use crate::evidence::key::PublicKey;
use crate::sla::contract::Written;
use crate::store::contracts::{COLLECTOR, ContractFile, Received};
use crate::store::journal::Noted;
use crate::store::keys::CollectorKeys;
use crate::store::outbox::new_chain;
use crate::store::{Store, StoreError};

/// The outbox that the recorder keeps.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The recorder.
    pub recorder: Recorder,
    /// Is told whenever the collector gave its contracts.
    pub contracts: Arc<Notify>,
}

fn fault(error: Unanswered) -> OutboxFault {
    OutboxFault(error.to_string())
}

impl Outbox for Recorded {
    async fn waiting(&mut self, most: usize, bytes: usize) -> Result<Vec<Waiting>, OutboxFault> {
        let rows =
            self.recorder.ask(move |store| store.waiting(most, bytes)).await.map_err(fault)?;
        let waiting = |(entry, jws): (crate::store::outbox::Entry, String)| Waiting {
            chain: entry.chain,
            seq: entry.seq,
            digest: entry.digest,
            jws,
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    async fn settle(&mut self, answers: Vec<(Waiting, Answer)>) -> Result<(), OutboxFault> {
        self.recorder
            .ask(move |store| store.together(|store| settle(store, &answers)))
            .await
            .map_err(fault)
    }

    async fn collector(&mut self) -> Result<CollectorKeys, OutboxFault> {
        self.recorder.ask(|store| store.collector_keys()).await.map_err(fault)
    }

    async fn keep_collector(&mut self, keys: CollectorKeys) -> Result<(), OutboxFault> {
        let keep = move |store: &mut Store| store.together(|store| keep_collector(store, &keys));
        self.recorder.ask(keep).await.map_err(fault)
    }

    async fn keep_contracts(&mut self, contracts: Vec<ContractText>) -> Result<(), OutboxFault> {
        let keep =
            move |store: &mut Store| store.together(|store| keep_contracts(store, contracts));
        self.recorder.ask(keep).await.map_err(fault)?;
        self.contracts.notify_one();
        Ok(())
    }
}

/// Keeps the collector's keys, and notes what changed.
fn keep_collector(store: &Store, keys: &CollectorKeys) -> Result<(), StoreError> {
    let before = store.collector_keys()?;
    store.keep_collector_keys(keys)?;
    let now = SystemClock.now().wall;
    let kid = |key: &PublicKey| key.kid().to_string();
    if let (Some(old), Some(new)) = (&before.present, &keys.present)
        && old != new
    {
        let how =
            if keys.former.contains(old) { "as announced" } else { "by this host's configuration" };
        store.note(
            now,
            Noted::CollectorKey,
            &format!("{} instead of {}, {how}", kid(new), kid(old)),
        )?;
    }
    if let Some(next) = keys.next.as_ref().filter(|next| before.next.as_ref() != Some(next)) {
        store.note(
            now,
            Noted::CollectorKey,
            &format!("{} is announced as the next one", kid(next)),
        )?;
    }
    Ok(())
}

/// Keeps what is new; what is not what it says that it is, or is another text of a known version,
/// is told.
fn keep_contracts(store: &mut Store, contracts: Vec<ContractText>) -> Result<(), StoreError> {
    let now = SystemClock.now().wall;
    for ContractText { id, version, sha256, toml } in contracts {
        let written = Written::read(&toml, &id).ok();
        let is_it = |written: &Written| {
            written.id() == Some(id.as_str())
                && written.version().is_some_and(|own| u64::try_from(own) == Ok(version))
        };
        let (Some(_), Ok(number)) = (written.filter(is_it), u32::try_from(version)) else {
            store.note(
                now,
                Noted::ContractRefused,
                &format!("{id} version {version}: the text is of another contract"),
            )?;
            continue;
        };
        let file = ContractFile { id, version: number, sha256, toml, source: COLLECTOR.to_owned() };
        let said = format!("{} version {version}, SHA-256 {}", file.id, file.sha256);
        match store.receive_contract(&file)? {
            Received::New => {
                tracing::info!(id = file.id, version, "a contract came from the collector");
                store.note(now, Noted::Contract, &said)?;
            }
            Received::Known => {}
            Received::Other => {
                let kept = "another text of this version is kept, and versions do not change";
                tracing::warn!(
                    id = file.id,
                    version,
                    "a contract from the collector is not taken: {kept}"
                );
                store.note(now, Noted::ContractRefused, &format!("{said}: {kept}"))?;
            }
        }
    }
    Ok(())
}

fn settle(store: &mut Store, answers: &[(Waiting, Answer)]) -> Result<(), StoreError> {
    let now = SystemClock.now().wall;

    for (waiting, answer) in answers {
        let which = (waiting.chain, waiting.seq, waiting.digest);
        match answer {
            Answer::Accepted { receipt, received } => {
                store.accepted(which, receipt, &received.to_string())?
            }
            Answer::Refused(problem) => {
                let why = problem.to_string();
                store.refused(which, &why)?;
                store.note(
                    now,
                    Noted::SummaryRefused,
                    &format!("summary {} of chain {}: {why}", waiting.seq, waiting.chain),
                )?;
            }
            Answer::Conflict(problem) => {
                let why = problem.to_string();
                store.refused(which, &why)?;
                let detail = format!(
                    "summary {} of chain {}: {why}; a new chain begins",
                    waiting.seq, waiting.chain
                );
                store.note(now, Noted::ChainConflict, &detail)?;
                // Of several conflicts in one chain only the first begins another.
                if store.head()?.is_some_and(|head| head.chain == waiting.chain) {
                    store.begin_chain(new_chain()?)?;
                }
            }
        }
    }
    Ok(())
}
