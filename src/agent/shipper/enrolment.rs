//! Learns the collector's keys, and asks to be let in.

use crate::evidence::answer;
use crate::evidence::enrol;
use crate::evidence::key::PublicKey;
use crate::store::keys::CollectorKeys;

use super::trouble::Trouble;
use super::{Outbox, Shipper, Shipping};

impl<O: Outbox> Shipper<O> {
    /// Asks for the collector's keys: keeps the one that it announces, and goes over to the one
    /// that it had announced when it signs with that. Gives the present one.
    pub(super) async fn look_at_keys(
        &mut self,
        collector: &PublicKey,
    ) -> Result<PublicKey, Trouble> {
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
    pub(super) async fn pin(&mut self, key: PublicKey) -> Result<(), Trouble> {
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
    pub(super) async fn meet(&mut self) -> Result<PublicKey, Trouble> {
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
    pub(super) async fn enrol(&mut self, known: Option<PublicKey>) -> Result<PublicKey, Trouble> {
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
                 of the configuration or give the new one there; else somebody is in between",
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
}
