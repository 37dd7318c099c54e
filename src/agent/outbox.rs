//! The shipper's outbox, by way of the recorder: what the shipper asks and settles goes through the one writer.

use crate::agent::recorder::{Recorder, Unanswered};
use crate::agent::shipper::{Answer, Outbox, OutboxFault, Waiting};
use crate::agent::summariser::new_chain;
use crate::base::time::{Clock, SystemClock};
use crate::evidence::key::PublicKey;
use crate::store::{Store, StoreError};

/// The outbox that the recorder keeps.
#[derive(Clone, Debug)]
pub struct Recorded(pub Recorder);

fn fault(error: Unanswered) -> OutboxFault {
    OutboxFault(error.to_string())
}

impl Outbox for Recorded {
    async fn waiting(&mut self, most: usize, bytes: usize) -> Result<Vec<Waiting>, OutboxFault> {
        let rows = self.0.ask(move |store| store.waiting(most, bytes)).await.map_err(fault)?;
        let waiting = |(entry, jws): (crate::store::outbox::Entry, String)| Waiting {
            chain: entry.chain,
            seq: entry.seq,
            digest: entry.digest,
            jws,
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    async fn settle(&mut self, answers: Vec<(Waiting, Answer)>) -> Result<(), OutboxFault> {
        self.0.ask(move |store| store.together(|store| settle(store, &answers))).await.map_err(fault)
    }

    async fn pinned(&mut self) -> Result<Option<PublicKey>, OutboxFault> {
        let text = self.0.ask(|store| store.pinned_key()).await.map_err(fault)?;
        let read =
            |text: String| PublicKey::from_jwk(&text).map_err(|error| OutboxFault(format!("the pinned key: {error}")));
        text.map(read).transpose()
    }

    async fn pin(&mut self, key: PublicKey) -> Result<(), OutboxFault> {
        let jwk = key.to_jwk();
        self.0.ask(move |store| store.pin_key(&jwk)).await.map_err(fault)
    }
}

fn settle(store: &mut Store, answers: &[(Waiting, Answer)]) -> Result<(), StoreError> {
    let now = SystemClock.now().wall;

    for (waiting, answer) in answers {
        match answer {
            Answer::Accepted { receipt, received } => store.accepted(waiting.digest, receipt, &received.to_string())?,
            Answer::Refused(problem) => {
                let why = problem.to_string();
                store.refused(waiting.digest, &why)?;
                store.note(
                    now,
                    "summary-refused",
                    &format!("summary {} of chain {}: {why}", waiting.seq, waiting.chain),
                )?;
            }
            Answer::Conflict(problem) => {
                let why = problem.to_string();
                store.refused(waiting.digest, &why)?;
                let detail = format!("summary {} of chain {}: {why}; a new chain begins", waiting.seq, waiting.chain);
                store.note(now, "chain-conflict", &detail)?;
                // Of several conflicts in one chain only the first begins another.
                if store.head()?.is_some_and(|head| head.chain == waiting.chain) {
                    store.begin_chain(new_chain()?)?;
                }
            }
        }
    }
    Ok(())
}
