//! The page of metrics: what it shows.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::agent::live::{Live, LiveProbe};
use crate::agent::recorder::Recorder;
use crate::measure::outcome::Outcome;
use crate::net::exposition::{Form, Kind, Page};

use super::{Book, Counts};

/// How long the database may take to answer; else the page is without it.
const STORE: Duration = Duration::from_secs(2);

/// What the page is made of.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) book: Rc<RefCell<Book>>,
    pub(super) live: Live,
    pub(super) recorder: Recorder,
}

impl Sources {
    pub(super) async fn page(&self, form: Form) -> Vec<u8> {
        let asked = self.recorder.ask(|store| Ok((store.tally()?, store.bytes()?)));
        let stored = tokio::time::timeout(STORE, asked).await.ok().and_then(Result::ok);
        let mut page = Page::new(form);
        page.family(Kind::Info, "wanproof_build", "The program.");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.probes(&mut page);
        if let Some((tally, bytes)) = stored {
            page.family(
                Kind::Gauge,
                "wanproof_outbox_summaries",
                "Summaries that wait for the collector, or were refused.",
            );
            page.sample(&[("state", "waiting")], tally.waiting);
            page.sample(&[("state", "refused")], tally.refused);
            page.family(Kind::Gauge, "wanproof_outbox_bytes", "Bytes of the summaries that wait.");
            page.sample(&[], tally.bytes);
            page.family(Kind::Gauge, "wanproof_store_bytes", "Bytes of the database in use.");
            page.sample(&[], bytes);
        }
        page.end()
    }

    /// What was counted for each probe, and what the agent says of itself.
    pub(super) fn probes(&self, page: &mut Page) {
        let (now, book) = (self.live.snapshot(), self.book.borrow());
        let probes = now.probes.iter();
        let probes: Vec<_> =
            probes.filter_map(|probe| Some((probe, book.probes.get(probe.place)?))).collect();
        outcomes(page, &probes);
        states(page, &probes);
        book.lags(page);
        page.family(Kind::StateSet, "wanproof_clock_state", "How the wall clock is kept.");
        page.states(&[], &["synchronised", "unsynchronised", "unknown"], &now.clock);
    }
}

/// What became of the sends, and why.
pub(super) fn outcomes(page: &mut Page, probes: &[(&LiveProbe, &Counts)]) {
    let help = "What became of the sends of each probe.";
    page.family(Kind::Counter, "wanproof_probe_outcomes", help);
    for (probe, counts) in probes {
        for (outcome, count) in Outcome::ALL.iter().zip(counts.outcomes) {
            page.sample(&[("probe", &probe.name), ("outcome", outcome.word())], count);
        }
    }
    if probes.iter().any(|(_, counts)| !counts.reasons.is_empty()) {
        let help = "Why sends of each probe were not answered.";
        page.family(Kind::Counter, "wanproof_probe_reasons", help);
        for (probe, counts) in probes {
            for (reason, count) in counts.reasons.ranked() {
                page.sample(&[("probe", &probe.name), ("reason", &reason)], count);
            }
        }
    }
}

/// How the probes stand: their states, their RTTs and their servers' certificates.
fn states(page: &mut Page, probes: &[(&LiveProbe, &Counts)]) {
    let words = ["up", "down", "unknown"];
    let help = "The state of each probe, by its contract.";
    page.family(Kind::StateSet, "wanproof_probe_state", help);
    for (probe, _) in probes {
        page.states(&[("probe", &probe.name)], &words, &probe.state);
    }
    let help = "Times from a send to its answer, late ones too.";
    page.family(Kind::Histogram, "wanproof_probe_rtt_seconds", help);
    for (probe, counts) in probes {
        page.histogram(&[("probe", &probe.name)], &counts.rtt);
    }
    let ending = || probes.iter().filter_map(|(probe, _)| Some((probe, probe.certificate_until?)));
    if ending().next().is_some() {
        let help = "When the certificate of each probe's server ends, in seconds since 1970.";
        page.family(Kind::Gauge, "wanproof_probe_certificate_expiry_timestamp_seconds", help);
        for (probe, until) in ending() {
            page.sample(&[("probe", &probe.name)], u64::try_from(until.secs()).unwrap_or(0));
        }
    }
}

impl Book {
    /// How late the agent was itself.
    fn lags(&self, page: &mut Page) {
        let sent = "How long after its time each batch of sends was handed over.";
        page.family(Kind::Histogram, "wanproof_send_lag_seconds", sent);
        page.histogram(&[], &self.send_lag);
        let read = "How long the oldest reply of each batch lay unread.";
        page.family(Kind::Histogram, "wanproof_receive_lag_seconds", read);
        page.histogram(&[], &self.receive_lag);
    }
}
