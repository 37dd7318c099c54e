//! Asks the collector for its contracts.

use std::time::Instant;

use crate::base::time::{Clock, SystemClock};
use crate::evidence::answer;
use crate::evidence::base64url;
use crate::evidence::key::PublicKey;
use crate::evidence::request::{self, ReadRequest};

use super::trouble::Trouble;
use super::{CONTRACTS, CONTRACTS_AGAIN, Outbox, Shipper, client};

impl<O: Outbox> Shipper<O> {
    /// Asks for the contracts of this site. Shipping does not depend on it, so whatever goes wrong
    /// is told, and tried later.
    pub(super) async fn read_contracts(&mut self, collector: &PublicKey) {
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
        let asked =
            ReadRequest { collector: collector.kid(), method: "GET", path: client::CONTRACTS };
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
}
