//! A task for each receiver: what is due to it is read from the database, told, and written down as
//! told. Whatever one receiver does, rounds and the other receivers go on. One replica at a time
//! tells a receiver, by a lease of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::time::{Clock, Mono, SystemClock, Wall};
use crate::collector::alerts::channel::Listener;
use crate::collector::alerts::rule::{self, Message, Setting};
use crate::collector::alerts::{self, Receiver};
use crate::collector::archive::ledger::Page;
use crate::collector::ending::last_orders;
use crate::collector::fault::Fault;
use crate::collector::lease::watch::Watch;
use crate::collector::{Collector, lease};
use crate::config::collector::{Alerts, Rate};

/// Everybody who may be told.
pub const ALL: [&str; 2] = ["webhook", "mail"];

/// How often it is looked whether something is due, where no round says so.
const LOOK: Duration = Duration::from_secs(5);
/// One who cannot be told is tried again after so long, then after twice as long, …
const FIRST: Duration = Duration::from_secs(5);
/// … and so on, up to this.
const LAST: Duration = Duration::from_secs(300);
/// So often it is tried to write down what was told, with a second between.
const WRITES: u32 = 10;

/// When to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Something was told: there may be more.
    Now,
    /// When a round says that something is new.
    News,
    /// Not before so long.
    After(Duration),
}

/// What is known of a receiver from one message to the next.
#[derive(Debug)]
struct Teller {
    whom: &'static str,
    holder: String,
    watch: Watch,
    share: Share,
    failures: u32,
}

/// Tells a receiver what is due to it until the collector stops.
pub async fn run(collector: Arc<Collector>, whom: &'static str, mut stop: watch::Receiver<bool>) {
    let mut teller = Teller {
        whom,
        holder: lease::holder(),
        watch: Watch::default(),
        share: Share::default(),
        failures: 0,
    };
    while !*stop.borrow() {
        // A message that is under way at the end may yet be written down as told.
        let went = tokio::select! {
            went = teller.go(&collector) => went,
            () = last_orders(stop.clone()) => {
                tracing::warn!(who = whom, "a message was broken off; it will be told again");
                break;
            }
        };
        let next = went.unwrap_or_else(|fault| {
            tracing::warn!(who = whom, "what is due cannot be read: {}", fault.detail());
            Next::After(LOOK)
        });
        let pause = async {
            match next {
                Next::Now => {}
                Next::News => {
                    let _ = tokio::time::timeout(LOOK, collector.news.notified()).await;
                }
                Next::After(pause) => tokio::time::sleep(pause).await,
            }
        };
        tokio::select! {
            () = pause => {}
            _ = stop.wait_for(|&stop| stop) => {}
        }
    }
    lease::release(&collector, &teller.lease(), &teller.holder).await;
}

impl Teller {
    /// What its lease is called.
    fn lease(&self) -> String {
        format!("tell/{}", self.whom)
    }

    /// Tells one message, if there is one and it may be told.
    async fn go(&mut self, collector: &Arc<Collector>) -> Result<Next, Fault> {
        let config = collector.config();
        let listeners = Listener::all(&config.alerts);
        let Some(listener) = listeners.iter().find(|listener| listener.name() == self.whom) else {
            return Ok(Next::News);
        };
        if self.next(collector, &config.alerts).await?.is_none() {
            return Ok(Next::News);
        }
        let (name, now) = (self.lease(), SystemClock.now());
        if !lease::hold(collector, &name, &self.holder, &mut self.watch, now).await? {
            return Ok(Next::After(LOOK));
        }
        // Whoever told before may have told this: what is due is read again under the lease.
        let Some((message, before)) = self.next(collector, &config.alerts).await? else {
            return Ok(Next::News);
        };
        if let Err(wait) = self.share.take(listener.rate(&config.alerts), now.mono) {
            return Ok(Next::After(wait));
        }
        match listener.tell(&message, before.dropped).await {
            Ok(()) => {
                self.failures = 0;
                collector.metrics.told(self.whom);
                self.write(collector, message).await;
                Ok(Next::Now)
            }
            Err(why) => {
                let wait = FIRST.saturating_mul(1 << self.failures.min(10)).min(LAST);
                self.failures += 1;
                let alert = message.alerts.first().map(alerts::Alert::id);
                tracing::warn!(
                    who = self.whom,
                    alert,
                    again_after = wait.as_secs(),
                    "an alert could not be told, and will be tried again: {why}"
                );
                self.fails(collector, before, why, now.wall).await?;
                Ok(Next::After(wait))
            }
        }
    }

    /// The next message, and how it stands with the receiver.
    async fn next(
        &self,
        collector: &Arc<Collector>,
        of: &Alerts,
    ) -> Result<Option<(Message, Receiver)>, Fault> {
        let (whom, hold, now) = (self.whom, of.hold, SystemClock.now().wall);
        collector
            .read(move |archive| {
                let set = Setting { listening: vec![whom], hold, now };
                let due = rule::due(&alerts::open(archive, Page::default())?, whom, &set);
                let Some(message) = rule::messages(due).into_iter().next() else { return Ok(None) };
                Ok(Some((message, alerts::receiver(archive, whom)?)))
            })
            .await
    }

    /// Writes down that a message was told: were it given up, it would be told again.
    async fn write(&self, collector: &Arc<Collector>, message: Message) {
        let (whom, message) = (self.whom, Arc::new(message));
        for tried in 1..=WRITES {
            let (message, config) = (Arc::clone(&message), collector.config());
            let written = collector.change(move |archive| {
                let set = Setting::of(&config.alerts, SystemClock.now().wall);
                alerts::was_told(archive, &message, whom, &set)
            });
            match written.await {
                Ok(()) => return,
                Err(fault) => {
                    tracing::warn!(
                        who = whom,
                        tried,
                        "what was told could not be written down: {}",
                        fault.detail()
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Writes down since when it fails, and why.
    async fn fails(
        &self,
        collector: &Arc<Collector>,
        was: Receiver,
        why: String,
        now: Wall,
    ) -> Result<(), Fault> {
        if was.failing_since.is_some() {
            return Ok(());
        }
        let (whom, receiver) = (self.whom, Receiver { failing_since: Some(now), why, ..was });
        collector.change(move |archive| alerts::put_receiver(archive, whom, &receiver, now)).await
    }
}

/// Those who are told, by their names.
#[must_use]
pub fn listening(of: &Alerts) -> Vec<&'static str> {
    Listener::all(of).iter().map(Listener::name).collect()
}

impl Setting {
    /// By the configuration.
    #[must_use]
    pub fn of(alerts: &Alerts, now: Wall) -> Self {
        Self { listening: listening(alerts), hold: alerts.hold, now }
    }
}

/// How much of what may be told in a while was told.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// When it will be whole again.
    whole: Option<Mono>,
}

impl Share {
    /// Takes one message of it.
    ///
    /// # Errors
    /// When it is used up: how long to wait.
    fn take(&mut self, rate: Rate, now: Mono) -> Result<(), Duration> {
        let would = self.whole.unwrap_or(now).max(now) + rate.per / rate.count.max(1);
        let over = would.since(now + rate.per);
        if !over.is_zero() {
            return Err(over);
        }
        self.whole = Some(would);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_told_no_more_in_a_while_than_it_may_be() {
        let (mut share, rate) = (Share::default(), Rate { count: 2, per: Duration::from_secs(60) });
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        assert_eq!((share.take(rate, at(10)), share.take(rate, at(10))), (Ok(()), Ok(())));
        assert_eq!(share.take(rate, at(10)), Err(Duration::from_secs(30)));
        assert_eq!(share.take(rate, at(40)), Ok(()));
        assert_eq!(share.take(rate, at(40)), Err(Duration::from_secs(30)));
    }
}
