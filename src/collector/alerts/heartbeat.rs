//! Whether rounds go on, and the dead man's switch: a request at regular intervals for as long as
//! they do, so that its absence tells of what this collector cannot tell itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::time::{Clock, Mono, SystemClock};
use crate::collector::Collector;
use crate::collector::alerts::channel;

/// A round may take so long, and looking be so much later than it is due, before it counts as
/// stopped.
const GRACE: Duration = Duration::from_secs(300);
/// How soon it is tried again when it may not be told, or could not.
const AGAIN: Duration = Duration::from_secs(10);

/// When rounds last went on here. Only the replica that goes round knows.
#[derive(Debug, Default)]
pub struct Heartbeat {
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    round: Option<Mono>,
    /// When it was looked, and when it will be looked again.
    look: Option<(Mono, Duration)>,
}

/// Why the dead man's switch is not told that all is well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silent {
    /// No round was made here: another replica makes them, or none does.
    #[error("this replica makes no rounds")]
    NotHere,
    /// No round came to its end.
    #[error("no round came to its end for {0} s")]
    Round(u64),
    /// It was not looked for what is missing.
    #[error("it was not looked for what is missing for {0} s")]
    Look(u64),
    /// The database cannot be used.
    #[error("the database: {0}")]
    Database(String),
    /// It could not be told.
    #[error("it could not be told: {0}")]
    Untold(String),
}

impl Heartbeat {
    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A round came to its end.
    pub fn round(&self, now: Mono) {
        self.last().round = Some(now);
    }

    /// It was looked, and will be again after so long.
    pub fn looked(&self, now: Mono, again: Duration) {
        self.last().look = Some((now, again));
    }

    /// Another replica goes round.
    pub fn gone(&self) {
        *self.last() = Last::default();
    }

    /// Whether rounds go on.
    ///
    /// # Errors
    /// When they do not: what does not.
    pub fn check(&self, now: Mono) -> Result<(), Silent> {
        let Last { round, look } = *self.last();
        let (Some(round), Some((look, again))) = (round, look) else { return Err(Silent::NotHere) };
        if now > round + GRACE {
            return Err(Silent::Round(now.since(round).as_secs()));
        }
        if now > look + again + GRACE {
            return Err(Silent::Look(now.since(look).as_secs()));
        }
        Ok(())
    }
}

/// Tells the dead man's switch until the collector stops.
pub async fn run(collector: Arc<Collector>, mut stop: watch::Receiver<bool>) {
    let mut silent = None;
    while !*stop.borrow() {
        let alerts = &collector.config().alerts;
        let mut pause = AGAIN;
        if let Some(url) = &alerts.heartbeat {
            let now = beat(&collector, url).await.err();
            pause = if now.is_none() {
                alerts.heartbeat_every
            } else {
                AGAIN.min(alerts.heartbeat_every)
            };
            match &now {
                Some(Silent::NotHere) | None => {}
                Some(why)
                    if silent.as_ref().map(std::mem::discriminant)
                        != Some(std::mem::discriminant(why)) =>
                {
                    tracing::warn!("the heartbeat is not told: {why}");
                }
                Some(_) => {}
            }
            silent = now;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|&stop| stop) => {}
        }
    }
}

async fn beat(collector: &Arc<Collector>, url: &str) -> Result<(), Silent> {
    collector.heartbeat.check(SystemClock.now().mono)?;
    collector.ready().await.map_err(|fault| Silent::Database(fault.detail().to_owned()))?;
    channel::beat(url).await.map_err(Silent::Untold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_only_while_rounds_come_to_their_end_and_it_is_looked() {
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.check(at(0)), Err(Silent::NotHere));
        heartbeat.round(at(100));
        assert_eq!(heartbeat.check(at(100)), Err(Silent::NotHere), "nobody looked yet");
        heartbeat.looked(at(100), Duration::from_secs(5));
        assert_eq!(heartbeat.check(at(400)), Ok(()));
        assert_eq!(heartbeat.check(at(401)), Err(Silent::Round(301)));
        heartbeat.round(at(404));
        assert_eq!(heartbeat.check(at(405)), Ok(()));
        assert_eq!(
            heartbeat.check(at(406)),
            Err(Silent::Look(306)),
            "it is judged, but not looked"
        );
        heartbeat.looked(at(406), Duration::from_secs(100));
        heartbeat.round(at(806));
        assert_eq!(heartbeat.check(at(806)), Ok(()));
        heartbeat.gone();
        assert_eq!(heartbeat.check(at(806)), Err(Silent::NotHere));
    }
}
