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
use crate::base::time::{Clock, SystemClock, Wall};
use crate::evidence::answer::{self, ContractText};
use crate::evidence::base64url;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::enrol;
use crate::evidence::key::{Kid, PublicKey};
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::receipt::{self, Subject};
use crate::evidence::request::{self, Asked};
use crate::evidence::summary;
use crate::store::keys::CollectorKeys;

mod backoff;
mod client;

use backoff::Backoff;
use client::{Client, Outcome, ShipAnswer};

pub use client::ClientFault;

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

    /// Asks for the contracts of this site. Shipping does not depend on it, so whatever goes wrong
    /// is told, and tried later.
    async fn read_contracts(&mut self, collector: &PublicKey) {
        let fault = match self.try_contracts(collector).await {
            Ok(()) => None,
            Err(trouble) => Some(trouble.what),
        };
        let pause = if fault.is_none() { CONTRACTS } else { CONTRACTS_AGAIN };
        // Not all agents of a fleet at once.
        self.contracts = Instant::now() + pause.mul_f64(0.9 + 0.2 * rand::random::<f64>());
        if let Some(fault) =
            fault.as_ref().filter(|fault| self.state.borrow().contracts.as_ref() != Some(fault))
        {
            tracing::warn!(
                collector = %self.shipping.url, "no contracts from the collector: {fault}"
            );
        }
        self.tell(|state| state.contracts = fault);
    }

    async fn try_contracts(&mut self, collector: &PublicKey) -> Result<(), Trouble> {
        // Without its keys its contracts are as good as before.
        let looked = self.look_at_keys(collector).await;
        let collector = looked.as_ref().unwrap_or(collector);
        let asked = Asked { collector: collector.kid(), method: "GET", path: client::CONTRACTS };
        let jti = base64url::encode(&rand::random::<[u8; 16]>());
        let request = request::sign(
            self.shipping.agent,
            asked,
            SystemClock.now().wall,
            &jti,
            &self.shipping.key.get(),
        );
        match self.client.contracts(&request).await? {
            Ok(answer) => {
                let said = answer::verify_contracts(&answer, collector)
                    .map_err(|fault| Trouble::new(fault.to_string()))?;
                self.outbox.keep_contracts(said.contracts).await?;
                looked.map(drop)
            }
            Err(problem) => Err(Trouble::new(problem.to_string())),
        }
    }

    /// Asks for the collector's keys: keeps the one that it announces, and goes over to the one
    /// that it had announced when it signs with that. Gives the present one.
    async fn look_at_keys(&mut self, collector: &PublicKey) -> Result<PublicKey, Trouble> {
        let answer = match self.client.keys().await? {
            Ok(answer) => answer,
            Err(problem) => return Err(Trouble::new(format!("its keys: {problem}"))),
        };
        let by_next = |next: PublicKey| Some((answer::verify_keys(&answer, &next).ok()?, next));
        let (said, present) = match answer::verify_keys(&answer, collector) {
            Ok(said) => (said, *collector),
            Err(fault) => match self.keys.next.and_then(by_next) {
                Some((said, next)) => {
                    self.pin(next).await?;
                    (said, next)
                }
                None => return Err(Trouble::new(format!("its keys are not believed: {fault}"))),
            },
        };
        if said.next != self.keys.next {
            if let Some(next) = said.next {
                tracing::info!(
                    next = %next.kid(),
                    fingerprint = next.kid().fingerprint(),
                    "the collector announced its next key"
                );
            }
            self.keys.next = said.next;
            self.outbox.keep_collector(self.keys.clone()).await?;
        }
        Ok(present)
    }

    /// Believes a collector's key from now on: the one that it had announced, or another.
    async fn pin(&mut self, key: PublicKey) -> Result<(), Trouble> {
        if self.keys.next == Some(key) {
            self.keys.follow();
            tracing::info!(
                collector = %key.kid(),
                fingerprint = key.kid().fingerprint(),
                "the collector changed its key, as it had announced"
            );
        } else {
            self.keys = CollectorKeys::of(key);
            tracing::info!(
                collector = %key.kid(),
                fingerprint = key.kid().fingerprint(),
                "the collector's key is pinned"
            );
        }
        self.collector = Some(key);
        Ok(self.outbox.keep_collector(self.keys.clone()).await?)
    }

    /// The collector's key: as configured or pinned, else by enrolling.
    async fn meet(&mut self) -> Result<PublicKey, Trouble> {
        self.keys = self.outbox.collector().await?;
        let pinned = self.keys.present;
        // What was configured may have announced what is pinned.
        let configured = self.shipping.collector.filter(|key| !self.keys.former.contains(key));
        let known = configured.or(pinned);
        let collector = match known {
            Some(key) if pinned == Some(key) => key,
            _ => self.enrol(known).await?,
        };
        self.collector = Some(collector);
        Ok(collector)
    }

    /// Enrols, and pins the collector's key if none was known.
    async fn enrol(&mut self, known: Option<PublicKey>) -> Result<PublicKey, Trouble> {
        let Shipping { site, token, key, .. } = &self.shipping;
        let enrolled =
            match self.client.enrol(enrol::sign(site, token.as_deref(), &key.get())).await? {
                Ok(enrolled) => enrolled,
                Err(problem) => {
                    return Err(Trouble::slow(format!(
                        "the collector does not enrol this agent: {problem}"
                    )));
                }
            };
        let announced = self.keys.next == Some(enrolled.jwk);
        if let Some(known) = known.filter(|known| *known != enrolled.jwk && !announced) {
            return Err(Trouble::slow(format!(
                "the collector's key is {}, but {} is trusted here: if that is right, take it out \
                    of the configuration or \
                 give the new one there; else somebody is in between",
                enrolled.jwk.kid(),
                known.kid()
            )));
        }
        if self.keys.present != Some(enrolled.jwk) {
            self.pin(enrolled.jwk).await?;
        }
        self.tell(|state| state.enrolled = Some(enrolled.state));
        match enrolled.state {
            enrol::State::Approved => Ok(enrolled.jwk),
            enrol::State::Pending => {
                self.collector = Some(enrolled.jwk);
                Err(Trouble::slow(
                    "the collector's operator has not approved this agent yet".to_owned(),
                ))
            }
        }
    }

    /// Believes and keeps what was said of each summary of a batch.
    async fn settle(
        &mut self,
        batch: Vec<Waiting>,
        results: Vec<Outcome>,
        collector: &PublicKey,
    ) -> Result<(), Trouble> {
        let (asked, answered) = (batch.len(), results.len());
        let mut answers = Vec::new();
        let mut trouble = None;
        for (waiting, result) in batch.into_iter().zip(results) {
            match self.judge(&waiting, result, collector) {
                Ok(answer) => answers.push((waiting, answer)),
                Err(fault) => trouble = trouble.or(Some(fault)),
            }
        }
        let reenrol = trouble.as_ref().is_some_and(|trouble| trouble.reenrol);
        let settled = answers.len();
        let by = |key: PublicKey| {
            answers.iter().any(|(_, answer)| {
                matches!(answer, Answer::Accepted { receipt, .. } if receipt::signer(receipt.as_bytes()) == Ok(key.kid()))
            })
        };
        let changed = self.keys.next.filter(|&next| by(next));
        if settled > 0 {
            self.outbox.settle(answers).await?;
            self.tell(|state| state.enrolled = Some(enrol::State::Approved));
        }
        if let Some(next) = changed {
            self.pin(next).await?;
        }
        if reenrol {
            // Not known there, or not any more: an enrolment may mend it, and if it does not, its
            // trouble is told.
            self.enrol(Some(*collector)).await?;
            return Err(Trouble::new(
                "the collector did not know this agent; it was enrolled again".to_owned(),
            ));
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None if answered < asked => {
                Err(Trouble::new("the collector did not answer for every summary".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// What an answer means for one summary.
    fn judge(
        &self,
        waiting: &Waiting,
        result: Outcome,
        collector: &PublicKey,
    ) -> Result<Answer, Trouble> {
        if result.digest != waiting.digest {
            return Err(Trouble::new(
                "the collector's answers are not for the summaries that were sent".to_owned(),
            ));
        }
        let Waiting { chain, seq, digest, .. } = *waiting;
        match result.said {
            Ok(receipt) => {
                // An outbox may still hold what was signed before this agent was another.
                let agent = summary::agent(&waiting.jws).unwrap_or(self.shipping.agent);
                let subject = Subject { agent, chain, seq, digest };
                // By the present key, the announced one, or a former one: a receipt that was given
                // is given again.
                let signer = receipt::signer(receipt.as_bytes()).ok();
                let key =
                    self.keys.all().find(|key| Some(key.kid()) == signer).unwrap_or(collector);
                let said = receipt::verify(receipt.as_bytes(), key)
                    .and_then(|said| said.is_for(&subject).map(|()| said))
                    .map_err(|fault| {
                        Trouble::slow(format!("a receipt is not believed: {fault}"))
                    })?;
                Ok(Answer::Accepted { receipt, received: said.received })
            }
            Err(problem) => match problem.kind() {
                Some(Kind::ChainConflict) => Ok(Answer::Conflict(problem)),
                Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported | Kind::BadSignature) => {
                    Ok(Answer::Refused(problem))
                }
                Some(Kind::UnknownAgent) => {
                    Err(Trouble { reenrol: true, ..Trouble::slow(problem.to_string()) })
                }
                Some(Kind::Revoked | Kind::Pending) => {
                    self.tell(|state| {
                        state.enrolled = (problem.kind() == Some(Kind::Pending))
                            .then_some(enrol::State::Pending);
                    });
                    Err(Trouble::slow(problem.to_string()))
                }
                _ => Err(Trouble::new(problem.to_string())),
            },
        }
    }

    /// The request was refused as a whole. What one of its summaries is to blame for is found by
    /// sending them one by one.
    async fn whole(&mut self, mut batch: Vec<Waiting>, problem: Problem) -> Result<Round, Trouble> {
        match problem.kind() {
            Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported) if self.most > 1 => {
                self.most = 1;
                Ok(Round::Shipped)
            }
            Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported) => {
                batch.truncate(1);
                let answers = batch
                    .into_iter()
                    .map(|waiting| (waiting, Answer::Refused(problem.clone())))
                    .collect();
                self.outbox.settle(answers).await?;
                Ok(Round::Shipped)
            }
            _ => {
                Err(Trouble::new(format!("the collector answered {}: {problem}", problem.status())))
            }
        }
    }
}

/// Why a round did not work.
#[derive(Debug)]
struct Trouble {
    what: String,
    at_least: Duration,
    reenrol: bool,
}

impl Trouble {
    fn new(what: String) -> Self {
        Self { what, at_least: Duration::ZERO, reenrol: false }
    }

    fn slow(what: String) -> Self {
        Self { at_least: SLOWLY, ..Self::new(what) }
    }
}

impl From<OutboxFault> for Trouble {
    fn from(fault: OutboxFault) -> Self {
        Self::new(fault.to_string())
    }
}

impl From<client::Unanswered> for Trouble {
    fn from(fault: client::Unanswered) -> Self {
        Self { at_least: fault.retry_after.unwrap_or_default(), ..Self::new(fault.what) }
    }
}
