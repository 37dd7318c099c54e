//! Whether the agent still does what it is for: a watchdog is told so only while sends are really
//! settled.

use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::event::Settled;
use crate::measure::outcome::Outcome;
use crate::measure::probe::Probe;

/// What a busy host may add to the time in which something must be settled.
const ALLOWANCE: Duration = Duration::from_secs(5);

/// The agent's pulse.
#[derive(Debug)]
pub(super) struct Liveness {
    /// When something was settled last, or the probes were changed.
    last: Mono,
    /// Within this time something must be settled; [`None`] without probes.
    within: Option<Duration>,
}

impl Liveness {
    pub(super) const fn new(now: Mono) -> Self {
        Self { last: now, within: None }
    }

    /// These are probed from now on. The one that is settled most often sets the time: a look-up
    /// and its request may take the timeout each.
    pub(super) fn expect(&mut self, probes: &[Arc<Probe>], now: Mono) {
        self.last = now;
        self.within = probes.iter().map(|probe| probe.period + probe.timeout * 2 + ALLOWANCE).min();
    }

    /// A send was settled. What was not observed does not count: it is what a prober that stood
    /// still says of itself.
    pub(super) fn settled(&mut self, settled: &Settled, now: Mono) {
        if settled.outcome != Outcome::NotObserved {
            self.last = self.last.max(now);
        }
    }

    /// Whether sends are settled as they should be.
    pub(super) fn beats(&self, now: Mono) -> bool {
        self.within.is_none_or(|within| now - self.last <= within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::event::ProbeId;
    use crate::measure::probe::{Circuit, Family, Role, Test};

    fn settled(outcome: Outcome) -> Settled {
        Settled {
            probe: ProbeId(0),
            send: 0,
            outcome,
            rtt_ns: None,
            stamp: None,
            reason: None,
            seq: None,
            ttl: None,
            bytes: None,
            from: None,
            phases: Vec::new(),
        }
    }

    #[test]
    fn the_pulse_stops_when_nothing_is_settled_and_goes_on_when_something_is() {
        let at = |secs: u64| Mono::from_nanos(secs * 1_000_000_000);
        let mut probe = Probe {
            name: "p".to_owned(),
            service: None,
            role: Role::Path,
            test: Test::Icmp { target: "127.0.0.1".to_owned(), size: 56 },
            family: Family::Any,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(2),
            cutoff: Duration::from_secs(2),
            circuit: Circuit::default(),
        };
        let mut liveness = Liveness::new(at(0));
        assert!(liveness.beats(at(1000)), "nothing is expected");
        liveness.expect(&[Arc::new(probe.clone())], at(1000));
        assert!(liveness.beats(at(1010)) && !liveness.beats(at(1011)));
        liveness.settled(&settled(Outcome::Lost), at(1011));
        assert!(liveness.beats(at(1021)));
        liveness.settled(&settled(Outcome::NotObserved), at(1025));
        assert!(!liveness.beats(at(1025)));
        // A probe that asks once an hour is not expected to be settled sooner.
        probe.period = Duration::from_secs(3600);
        liveness.expect(&[Arc::new(probe)], at(2000));
        assert!(liveness.beats(at(5600)) && !liveness.beats(at(5700)));
    }
}
