//! Ends the agent: what is in the air is waited for, the last summary is signed and shipped.

use std::time::Duration;

use crate::agent::outages::Renew;
use crate::store::journal::Noted;

use super::{AgentError, FAREWELL, Session, prober};

impl Session {
    /// Ceases to send, waits for what is in the air, closes the books, signs, and ships what it
    /// can.
    pub(super) async fn end(mut self) -> Result<(), AgentError> {
        let mut events = Vec::new();
        let now = self.prober.cease(&mut events);
        self.take(&mut events, now);
        self.ledger.close(self.clock_trust.read(now));
        self.prober.part(prober::PARTING, &mut events).await;
        self.book(&mut events);
        self.hand_over();
        self.write_reasons(Renew::IfAnyChanged);
        self.changes.hurry();
        self.tell_changes(self.clock_trust.now());
        self.label_held();
        let now = self.clock_trust.now().wall;
        if !self.clock_trust.is_doubted() {
            self.summarise(now);
        }
        self.recorder.note(now, Noted::Stop, crate::SOFTWARE);
        if let Some(ship_task) = self.ship_task.take() {
            let recorder = self.recorder.clone();
            let shipped = async {
                while recorder.ask(|store| store.tally()).await.is_ok_and(|tally| tally.waiting > 0)
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let _ = tokio::time::timeout(FAREWELL, shipped).await;
            ship_task.end().await;
        }
        self.window.abort();
        if let Some(metrics) = self.metrics.take() {
            metrics.end().await;
        }
        self.recorder.stop();
        let writer = self.writer;
        // The writer's last commit may take a while on slow flash; other tasks need not run any
        // more.
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .map_err(|error| AgentError::Other(error.to_string()))?
            .map_err(|_| AgentError::Other("the writer's thread failed".to_owned()))?;
        self.hooks.end(FAREWELL).await;
        Ok(())
    }
}
