//! The agent's loop: waits for whatever comes next, and passes it on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{Level, debug, enabled};

use crate::agent::live::Live;
use crate::agent::reload::read;
use crate::base::time::{Clock, Now, SystemClock};
use crate::measure::event::{Event, Settled};
use crate::net::clock::health;

use super::labels::clock_word;
use super::{Order, ServiceState, Session};

/// Logs what became of a send.
fn show(live: &Live, settled: &Settled) {
    let probe = live.name(settled.probe.0 as usize);
    let reason = settled.reason.as_ref().map(ToString::to_string);
    #[expect(clippy::cast_precision_loss, reason = "an RTT in nanoseconds is far below 2^53")]
    let rtt_us = settled.rtt_ns.map(|rtt| rtt as f64 / 1000.0);
    debug!(probe, send = settled.send, outcome = settled.outcome.word(), reason, rtt_us, "settled");
}

impl Session {
    /// Measures until it is told to stop.
    pub(super) async fn work(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        init: &impl Fn(ServiceState),
    ) {
        // Minutes end in time even when nothing happens.
        let mut tick = tokio::time::interval(Duration::from_millis(500));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut events = Vec::new();
        let contracts = Arc::clone(&self.contracts);
        loop {
            tokio::select! {
                () = contracts.notified() => {
                    self.take_contracts().await;
                }
                order = orders.recv() => match order {
                    Some(Order::Reload(path)) => {
                        init(ServiceState::Reloading);
                        self.read_again(path);
                    }
                    Some(Order::Stop) | None => return,
                },
                read = read(&mut self.reading) => {
                    self.reading = None;
                    self.swap(read);
                    init(ServiceState::Ready);
                }
                now = self.prober.next(&mut events) => self.take(&mut events, now),
                news = self.outages.next() => self.report(news),
                _ = tick.tick() => {
                    let reading = SystemClock.now();
                    let now = self.clock_trust.read(reading);
                    self.live.clock(clock_word(health().discipline), self.labels());
                    self.look_at_links(now);
                    self.tell_changes(now);
                    let exits = self.exits.iter().flatten();
                    let interfaces = exits.filter_map(|exit| exit.interface.as_deref());
                    let news = self.outages.tick(now, interfaces);
                    self.report(news);
                    self.end_minutes(reading);
                    if self.liveness.beats(now.mono) && !self.writer.is_finished() {
                        init(ServiceState::Alive);
                    }
                }
            }
        }
    }

    /// Books the events up to `now` and hands over what is finished.
    pub(super) fn take(&mut self, events: &mut Vec<Event>, now: Now) {
        self.book(events);
        self.end_minutes(now);
    }

    /// Books events, and judges what they settle.
    pub(super) fn book(&mut self, events: &mut Vec<Event>) {
        let now = SystemClock.now().mono;
        let shows_probes = enabled!(Level::DEBUG);
        for event in events.drain(..) {
            if shows_probes && let Event::Settled(settled) = &event {
                show(&self.live, settled);
            }
            self.ledger.apply(&event, &mut self.told);
            self.live.apply(&event);
            if let Some(metrics) = &self.metrics {
                metrics.apply(&event);
            }
            self.changes.take(&event);
            self.outages.hear(&event);
            match event {
                Event::Address { probe, .. } => _ = self.moved.insert(probe.0 as usize),
                Event::Settled(settled) => self.liveness.settled(&settled, now),
                Event::Lag { send, receive } => {
                    self.late[0].add(send);
                    receive.into_iter().for_each(|receive| self.late[1].add(receive));
                }
                _ => {}
            }
        }
        let labels = self.labels();
        let mut all = std::mem::take(&mut self.told);
        for told in all.drain(..) {
            let exits = &self.exits;
            let interface = || exits.get(told.probe.0 as usize)?.as_ref()?.interface.as_deref();
            let news = self.outages.take(&told, labels, interface);
            self.report(news);
        }
        self.told = all;
    }
}
