//! One request of an http, tcp or dns probe, on a connection of its own that leaves by the probe's
//! circuit.
//!
//! A request is settled once, by what came of it:
//!
//! | outcome | when |
//! |---|---|
//! | `a`, `t` | everything that was asked for came, before the cut-off or after it |
//! | `l` | it was incomplete at the timeout |
//! | `u` | somebody refused: a reset, an ICMP error, a TLS fault, an unexpected status or body |
//! | `n` | this host did not send it: no address, route, interface, source, permission or carrier |
//! | `x` | this process was itself stopped or suspended meanwhile |
//!
//! The waiting time runs from the beginning of the connection. Before it, the first look-up of a
//! name is waited for, at most as long again; a name that has an address costs nothing.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::time::{Clock, Mono, SystemClock, Wall, nanos_of};
use crate::measure::address_kind::AddressKind;
use crate::measure::carrier::Carrier;
use crate::measure::interval::Phase;
use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::{Attempt, Probe, Test, Tls};
use crate::net::hop::{self, FirstHop};
use crate::net::link::Way;
use crate::net::requests::heard::Heard;
use crate::net::resolve::{Resolution, Resolver, Watch};

mod connect;
mod dns;
mod heard;
mod http;
mod tcp;
mod tls;

/// When the clock that goes on in a suspend is ahead by more than this of the one that stops, or a
/// timer rings so much too late, this process did not run meanwhile, and what it saw says nothing
/// of the path.
const STALLED: Duration = Duration::from_millis(500);

/// One probe's requests, with what is made once for all of them: its name's watch, its TLS
/// settings.
#[derive(Debug)]
pub struct Requester {
    probe: Arc<Probe>,
    resolver: Resolver,
    watch: Mutex<Watch>,
    tls: tls::Settings,
    way: Way,
}

impl Requester {
    /// For an http, tcp or dns probe. Nothing is sent yet but the look-up of its name begun.
    #[must_use]
    pub fn new(probe: Arc<Probe>, resolver: &Resolver) -> Self {
        let watch = Mutex::new(resolver.watch(&probe.host(), probe.family));
        let tls = tls::Settings::new(match &probe.test {
            Test::Http(http) => &http.tls,
            _ => &Tls::None,
        });
        if matches!(&probe.test, Test::Http(http) if http.tls != Tls::None)
            && let Err(fault) = tls.ready()
        {
            tracing::warn!(probe = probe.name, %fault, "a probe has no TLS settings: it is not \
                sent until it has");
        }
        let way = Way::new(&probe.circuit);
        Self { probe, resolver: resolver.clone(), watch, tls, way }
    }

    /// What is known of the probe's name, to be watched for changes.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes one request and says what became of it: within the probe's timeout, or twice that
    /// while its name is looked up for the first time. Several may be under way at once. To be
    /// cancelled by dropping it.
    pub async fn attempt(&self) -> Attempt {
        let mut course = Course::default();
        let result = match self.address(&mut course).await {
            Ok(address) => self.exchange(address, &mut course).await,
            Err(reason) => Err(reason),
        };
        course.settle(result, &self.probe)
    }

    async fn address(&self, course: &mut Course) -> Result<IpAddr, Reason> {
        let mut watch = self.watch();
        let known = match watch.current() {
            Resolution::Pending => tokio::time::timeout(self.probe.timeout, watch.settled()).await,
            known => Ok(known),
        };
        // The histogram of look-ups gets one value for each look-up, whichever request comes after
        // it.
        if let Some(took) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).lookup_ns() {
            course.phases.push((Phase::Resolve, took));
        }
        match known {
            Ok(Resolution::Known(address)) => Ok(address),
            Ok(Resolution::Failed(failure)) => Err(failure.reason()),
            Ok(Resolution::Pending) | Err(_) => Err(Reason::NAME),
        }
    }

    async fn exchange(&self, address: IpAddr, course: &mut Course) -> Result<(), Reason> {
        course.address = Some(address);
        let (place, carrier) = self.way.look(address);
        // Loopback is only led to by who asked for it.
        if let Some(reason) = place.reason().filter(|_| place != AddressKind::Loopback) {
            return Err(reason);
        }
        if carrier == Carrier::Down {
            return Err(Reason::CARRIER);
        }
        course.begin();
        let deadline = self.probe.timeout;
        let result = tokio::time::timeout(deadline, self.request(address, course))
            .await
            .unwrap_or(Err(Reason::TIMEOUT));
        result.map_err(|reason| self.within_this_host(course, reason))
    }

    /// What a request that nobody answered came to, where that was within this host or on its link:
    /// the kernel takes what is bound to an interface although no route leads there.
    fn within_this_host(&self, course: &Course, reason: Reason) -> Reason {
        let unsaid = reason.is_by_icmp() && course.refused_by.is_none();
        match course.opening {
            Some((address, protocol)) if reason.outcome == Outcome::Lost || unsaid => {
                match hop::first_hop(&self.probe.circuit, address, protocol) {
                    FirstHop::Closed(fault) => fault,
                    FirstHop::Silent(_) => Reason::NEXT_HOP,
                    FirstHop::Open | FirstHop::Unknown => reason,
                }
            }
            _ => reason,
        }
    }

    async fn request(&self, address: IpAddr, course: &mut Course) -> Result<(), Reason> {
        let circuit = &self.probe.circuit;
        match &self.probe.test {
            Test::Tcp { port, .. } => tcp::attempt(circuit, (address, *port).into(), course).await,
            Test::Http(http) => {
                let family = self.probe.family;
                let plan =
                    http::Plan { http, circuit, family, tls: &self.tls, resolver: &self.resolver };
                plan.attempt(address, course).await
            }
            Test::Dns(dns) => {
                dns::attempt(circuit, dns.server, &dns.query, &dns.record, course).await
            }
            Test::Icmp { .. } => Err(Reason::new(Outcome::NotSent, "unsupported")),
        }
    }
}

/// How far a request has come. It is kept outside of what the timeout cancels.
#[derive(Debug, Default)]
struct Course {
    begun: Option<Begun>,
    /// When the answer was complete.
    ended: Option<Instant>,
    phases: Vec<(Phase, u64)>,
    bytes: Option<u32>,
    address: Option<IpAddr>,
    certificate_until: Option<Wall>,
    heard: Heard,
    /// When the latest connection was begun.
    departed: Option<Instant>,
    /// Whom something was sent to that has not answered yet, and by which IP protocol.
    opening: Option<(IpAddr, u8)>,
    /// Who sent the ICMP error that ended it.
    refused_by: Option<IpAddr>,
    /// Time within the request that is not the path's: look-ups of the names that redirects lead
    /// to.
    aside: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    /// `CLOCK_MONOTONIC`, which stops in a suspend.
    running: Instant,
    /// `CLOCK_BOOTTIME`, which goes on.
    boot: Mono,
}

impl Course {
    fn begin(&mut self) {
        self.begun = Some(Begun { running: Instant::now(), boot: SystemClock.now().mono });
    }

    /// A connection's first packet is handed to the kernel now: what this host did before the first
    /// one of all is none of the path's time. A redirect or a second question is no other
    /// beginning.
    fn departs(&mut self) {
        let first = self.departed.is_none();
        if first {
            self.begin();
        }
        self.departed = self
            .begun
            .map(|begun| begun.running)
            .filter(|_| first)
            .or_else(|| Some(Instant::now()));
    }

    /// The first packet to a host is handed to the kernel now.
    fn opens(&mut self, to: IpAddr, protocol: u8) {
        self.opening = Some((to, protocol));
    }

    /// It answered.
    fn opened(&mut self) {
        self.opening = None;
    }

    /// The answer is complete: when its last bytes came, or now if it had none.
    fn end(&mut self) {
        self.ended = Some(self.heard.latest().unwrap_or_else(Instant::now));
    }

    /// Adds to a phase what passed since `since`, and gives the instant up to which it was counted.
    /// A phase that happens again, after a redirect, is added up.
    fn passed(&mut self, phase: Phase, since: Instant) -> Instant {
        let now = Instant::now();
        self.add(phase, now - since);
        now
    }

    /// The same, up to when the latest bytes came.
    fn until_heard(&mut self, phase: Phase, since: Instant) -> Instant {
        let until = self.heard.latest().unwrap_or_else(Instant::now).max(since);
        self.add(phase, until - since);
        until
    }

    fn add(&mut self, phase: Phase, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        match self.phases.iter_mut().find(|(of, _)| *of == phase) {
            Some((_, sum)) => *sum = sum.saturating_add(nanos),
            None => self.phases.push((phase, nanos)),
        }
    }

    /// Of several certificates, after redirects, the one that ends first counts.
    fn certificate(&mut self, until: Option<Wall>) {
        self.certificate_until = self.certificate_until.into_iter().chain(until).min();
    }

    /// Whether this process was suspended or stopped since the beginning, by what the clocks say
    /// now.
    fn stalled(&self, timeout: Duration) -> bool {
        self.begun.is_some_and(|begun| {
            let running = begun.running.elapsed();
            let boot = SystemClock.now().mono - begun.boot;
            boot.saturating_sub(running) > STALLED
                || running.saturating_sub(timeout) > STALLED + self.aside
        })
    }

    fn settle(self, result: Result<(), Reason>, probe: &Probe) -> Attempt {
        let sent = !matches!(&result, Err(reason) if reason.outcome == Outcome::NotSent);
        let stalled = sent && self.stalled(probe.timeout);
        let rtt = match (self.begun, self.ended) {
            (Some(begun), Some(ended)) => {
                Some(ended.saturating_duration_since(begun.running).saturating_sub(self.aside))
            }
            _ => None,
        };
        let (outcome, reason) = match (result, rtt) {
            _ if stalled => {
                (Outcome::NotObserved, Some(Reason::new(Outcome::NotObserved, "stalled")))
            }
            (Err(reason), _) => (reason.outcome, Some(reason)),
            (Ok(()), Some(rtt)) if rtt <= probe.cutoff => (Outcome::Answered, None),
            (Ok(()), Some(rtt)) if rtt <= probe.timeout => (Outcome::Late, None),
            // It was complete, but only in the moment in which the timer was to ring.
            (Ok(()), _) => (Outcome::Lost, Some(Reason::TIMEOUT)),
        };
        let rtt_ns =
            rtt.filter(|_| outcome.has_rtt()).and_then(|rtt| u64::try_from(nanos_of(rtt)).ok());
        Attempt {
            outcome,
            rtt_ns,
            reason,
            phases: self.phases,
            bytes: self.bytes,
            address: self.address,
            refused_by: self.refused_by,
            certificate_until: self.certificate_until,
        }
    }
}

#[cfg(test)]
mod tests;
