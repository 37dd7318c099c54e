//! The shipper: takes what waits in the outbox to the collector, oldest first, and brings back the
//! receipts; and now and then the contracts of this site.
//!
//! It knows the wire, not the database: an [`Outbox`] is all that it asks of the store. Nothing
//! leaves the outbox before its receipt was verified, so however often either side dies, each
//! summary arrives, and is stored once.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::agent::keys::InUse;
use crate::base::time::Wall;
use crate::evidence::answer::ContractText;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::enrol;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::problem::Problem;
use crate::store::keys::CollectorKeys;

mod backoff;
mod client;
mod contracts;
mod enrolment;
mod receipts;
mod trouble;

pub use client::ClientFault;

use backoff::Backoff;
use client::{Client, ShipAnswer};
use trouble::Trouble;

/// At most so many summaries go in one request.
const BATCH_SUMMARIES: usize = 64;
/// At most so many bytes of summaries go in one request; a single one that is longer goes alone.
///
/// It is little: a request goes out as fast as the link can, and what is measured meanwhile waits
/// behind it.
const BATCH_BYTES: usize = 64 * 1024;
/// While much is waiting: so many bytes a second, before they are compressed, so that the link that
/// is measured is not filled: a quarter of a megabit a second. A month of twenty probes is shipped
/// in two hours or three.
const PACE: u64 = 32 * 1024;
/// So often the collector is asked for contracts, and so soon again when it gave none.
const CONTRACTS: Duration = Duration::from_secs(3600);
const CONTRACTS_AGAIN: Duration = Duration::from_secs(600);
/// An agent that is unknown, pending or revoked asks again so seldom, at least.
const SLOWLY: Duration = Duration::from_secs(60);

/// A summary that waits to be shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// The digest of its compact JWS.
    pub digest: Digest,
    /// Its compact JWS.
    pub jws: String,
}

/// What the collector said of a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it. The receipt was verified.
    Accepted {
        /// The receipt, a compact JWS.
        receipt: String,
        /// When the collector received the summary.
        received: Wall,
    },
    /// It will not have it, and says why; it is not to be shipped again.
    Refused(Problem),
    /// As [`Self::Refused`], because the chain does not go on from what the collector has: when the
    /// agent still writes this chain, it begins a new one.
    Conflict(Problem),
}

/// The outbox failed; it is asked again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outbox: {0}")]
pub struct OutboxFault(pub String);

/// Where the summaries wait. What the methods return may be awaited on any thread.
pub trait Outbox: Send {
    /// The oldest waiting summaries: at most `most`, and no more than `bytes` together unless it is
    /// a single one.
    fn waiting(
        &mut self,
        most: usize,
        bytes: usize,
    ) -> impl Future<Output = Result<Vec<Waiting>, OutboxFault>> + Send;

    /// Keeps what the collector said, all in one transaction.
    fn settle(
        &mut self,
        answers: Vec<(Waiting, Answer)>,
    ) -> impl Future<Output = Result<(), OutboxFault>> + Send;

    /// The collector's keys.
    fn collector(&mut self) -> impl Future<Output = Result<CollectorKeys, OutboxFault>> + Send;

    /// Keeps the contracts that the collector gave, each version for good.
    fn keep_contracts(
        &mut self,
        contracts: Vec<ContractText>,
    ) -> impl Future<Output = Result<(), OutboxFault>> + Send;

    /// Keeps the collector's keys.
    fn keep_collector(
        &mut self,
        keys: CollectorKeys,
    ) -> impl Future<Output = Result<(), OutboxFault>> + Send;
}

/// What the shipper has to know.
#[derive(Clone)]
pub struct Shipping {
    /// The collector's address, without a slash at the end.
    pub url: String,
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// The agent: the thumbprint of its first key.
    pub agent: Kid,
    /// The key in use.
    pub key: InUse,
    /// The site, told at the enrolment.
    pub site: String,
    /// The one-time token for it.
    pub token: Option<String>,
    /// The collector's key, where the configuration says it; else it is pinned at the first
    /// enrolment.
    pub collector: Option<PublicKey>,
}

/// How shipping goes, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the collector let this agent in.
    pub enrolled: Option<enrol::State>,
    /// What was wrong the last time; [`None`] when all is well.
    pub fault: Option<String>,
    /// Why the collector's contracts could not be read the last time.
    pub contracts: Option<String>,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Nothing waits.
    Idle,
    /// Something was settled, and more may wait.
    Shipped,
    /// It did not work; not before this time it is tried again.
    Later(Duration),
}

/// Takes summaries to the collector.
pub struct Shipper<O> {
    outbox: O,
    shipping: Shipping,
    client: Client,
    /// The collector's key by which it was met.
    collector: Option<PublicKey>,
    keys: CollectorKeys,
    backoff: Backoff,
    /// How many summaries go in one request; one, after a request was refused as a whole.
    most: usize,
    /// When the contracts are asked for again.
    contracts: Instant,
    state: watch::Sender<State>,
}

impl<O: Outbox> Shipper<O> {
    /// A shipper, which does nothing yet.
    ///
    /// # Errors
    /// When TLS cannot be set up: no certificates of the system, a `ca` that is none.
    pub fn new(outbox: O, shipping: Shipping) -> Result<Self, ClientFault> {
        let client = Client::new(&shipping.url, shipping.ca.as_deref())?;
        Ok(Self {
            outbox,
            shipping,
            client,
            collector: None,
            keys: CollectorKeys::default(),
            backoff: Backoff::default(),
            most: BATCH_SUMMARIES,
            contracts: Instant::now(),
            state: watch::Sender::new(State::default()),
        })
    }

    /// How it goes, whenever that changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Ships until `stop` becomes true or is dropped; `wake` says that something new waits. A
    /// request that is under way at that time is given up, which costs nothing: what was received
    /// is told again at the next start.
    pub async fn run(mut self, wake: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        let stopped = async move {
            let _ = stop.wait_for(|&stop| stop).await;
        };
        tokio::pin!(stopped);
        loop {
            let round = tokio::select! {
                () = &mut stopped => return,
                round = self.round() => round,
            };
            let pause = async {
                match round {
                    Round::Shipped => {}
                    Round::Idle => {
                        let _ =
                            tokio::time::timeout_at(self.contracts.into(), wake.notified()).await;
                    }
                    Round::Later(length) => tokio::time::sleep(length).await,
                }
            };
            tokio::select! {
                () = &mut stopped => return,
                () = pause => {}
            }
        }
    }

    /// One round: enrols if it must, then ships one batch.
    pub async fn round(&mut self) -> Round {
        match self.try_round().await {
            Ok(round) => {
                self.backoff.reset();
                self.tell(|state| state.fault = None);
                round
            }
            Err(trouble) => {
                let wait = self.backoff.next(rand::random(), trouble.at_least);
                let fault = trouble.what;
                if self.state.borrow().fault.as_ref() != Some(&fault) {
                    tracing::warn!(
                        collector = %self.shipping.url,
                        wait_s = wait.as_secs(),
                        "shipping waits: {fault}"
                    );
                }
                self.tell(|state| state.fault = Some(fault));
                Round::Later(wait)
            }
        }
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    async fn try_round(&mut self) -> Result<Round, Trouble> {
        let collector = match self.collector {
            Some(collector) => collector,
            None => self.meet().await?,
        };
        let batch = self.outbox.waiting(self.most, BATCH_BYTES).await?;
        if batch.is_empty() {
            if Instant::now() >= self.contracts {
                self.read_contracts(&collector).await;
            }
            return Ok(Round::Idle);
        }
        let bytes: u64 = batch.iter().map(|waiting| waiting.jws.len() as u64).sum();
        match self.client.ship(&batch).await? {
            ShipAnswer::Results(results) => {
                self.settle(batch, results, &collector).await?;
                self.most = BATCH_SUMMARIES;
                Ok(match bytes {
                    0..=4096 => Round::Shipped,
                    bytes => Round::Later(Duration::from_millis(bytes * 1000 / PACE)),
                })
            }
            ShipAnswer::Problem(problem) => self.whole(batch, problem).await,
        }
    }
}
