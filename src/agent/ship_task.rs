//! The task that takes summaries to the collector, and how the agent speaks to it.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::error;

use crate::agent::AgentError;
use crate::agent::keys::InUse;
use crate::agent::outbox::Recorded;
use crate::agent::shipper::{Shipper, Shipping};
use crate::config::agent::AgentConfig;
use crate::evidence::key::{Kid, PublicKey};

/// The task that ships, and how it is spoken to.
pub(super) struct ShipTask {
    task: JoinHandle<()>,
    /// Told when something waits.
    pub(super) wake: Arc<Notify>,
    stop: watch::Sender<bool>,
}

impl ShipTask {
    /// Makes ready to ship, as far as the configuration wants it.
    pub(super) fn prepare(
        config: &AgentConfig,
        agent: Kid,
        key: InUse,
        outbox: Recorded,
    ) -> Result<Option<Shipper<Recorded>>, AgentError> {
        let Some(collector) = &config.collector else { return Ok(None) };
        let pinned = match &collector.key {
            Some(text) => Some(PublicKey::from_jwk(text).map_err(|error| {
                AgentError::Other(format!("[collector]: key is no public key: {error}"))
            })?),
            None => None,
        };
        let shipping = Shipping {
            url: collector.url.clone(),
            ca: collector.ca.clone(),
            agent,
            key,
            site: config.site.clone(),
            token: collector.token.as_ref().map(|token| token.0.clone()),
            collector: pinned,
        };
        let shipper = Shipper::new(outbox, shipping);
        Ok(Some(shipper.map_err(|error| AgentError::Other(error.to_string()))?))
    }

    /// Begins to ship, once whoever did it before has ended. It needs a `LocalSet`.
    pub(super) fn start(shipper: Option<Shipper<Recorded>>, before: Option<Self>) -> Option<Self> {
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let (woken, ships) = (Arc::clone(&wake), shipper.is_some());
        let task = tokio::task::spawn_local(async move {
            if let Some(before) = before {
                before.end().await;
            }
            if let Some(shipper) = shipper {
                shipper.run(woken, stopped).await;
            }
        });
        ships.then_some(Self { task, wake, stop })
    }

    /// Ends once what is under way is settled.
    pub(super) async fn end(self) {
        let _ = self.stop.send(true);
        if self.task.await.is_err() {
            error!(
                "the shipping task had failed, which is worth a report; what waits is shipped \
                    after the next start"
            );
        }
    }
}
