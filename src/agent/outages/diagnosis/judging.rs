//! Judges whose side an outage lies on, by what is seen of it.

use crate::agent::outages::key::OutageKey;
use crate::evidence::side::NextHop;
use crate::measure::carrier::Carrier;
use crate::measure::probe::Role;
use crate::net::hop::{self, FirstHop};
use crate::net::link;

use super::Diagnosis;
use super::case::{Case, word};
use super::subject::Subject;

impl Diagnosis {
    /// Looks at the next hop of an outage's probe; whether it was found silent, for the first time.
    pub(super) fn look_at_hop(&mut self, key: OutageKey) -> bool {
        let Self { cases, subjects, live, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return false };
        let Some((at, _, seen)) = &mut case.seen else { return false };
        let (Some(Some(Subject { probe, .. })), Some(to)) = (subjects.get(*at), live.address(*at))
        else {
            return false;
        };
        if seen.silent_hop.is_some() {
            return false;
        }
        if let FirstHop::Silent(hop) =
            hop::first_hop(&probe.circuit, to, hop::protocol(&probe.test, to))
        {
            seen.silent_hop = Some(NextHop { address: hop.address, interface: hop.interface });
        }
        seen.silent_hop.is_some()
    }

    /// At its end: judges an outage anew that was thought to be the path's, if the target's own
    /// word overturns that.
    pub(super) fn hear_target_out(&mut self, key: OutageKey) {
        self.count(key);
        let told =
            |case: &Case| case.seen.as_ref().is_some_and(|(_, _, seen)| seen.is_target_s_word());
        if self.cases.get(&key).is_some_and(told) {
            self.judge(key);
        }
    }

    /// Counts what became of its probe's sends, and of those of other probes of the same target,
    /// from the outage's beginning to its end.
    fn count(&mut self, key: OutageKey) {
        let Self { subjects, cases, live, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return };
        let (from, until) = case.span();
        let Some((at, _, seen)) = &mut case.seen else { return };
        let Some(Some(own)) = subjects.get(*at) else { return };
        seen.sends = own.runs.tally(from, until);
        let target = live.address(*at);
        let others =
            subjects.iter().enumerate().filter_map(|(place, other)| Some((place, other.as_ref()?)));
        let others = others.filter(|(place, other)| {
            place != at
                && target.is_some()
                && live.address(*place) == target
                && other.asks_the_same_way(own)
        });
        let tallies =
            others.map(|(_, other)| (other.probe.name.clone(), other.runs.tally(from, until)));
        seen.same_target = tallies.collect();
    }

    /// Judges by what is seen now, from the outage's beginning to its end.
    pub(super) fn judge(&mut self, key: OutageKey) {
        self.count(key);
        let Self { subjects, cases, without_carrier, .. } = self;
        let Some(case) = cases.get_mut(&key) else { return };
        let (from, until) = case.span();
        let Some((at, interface, seen)) = &mut case.seen else { return };
        let Some(Some(Subject { runs, refusals, .. })) = subjects.get(*at) else { return };
        for (by, kind) in refusals.since(from) {
            if !seen.refused_by.iter().any(|(known, said)| *known == by && said == kind) {
                seen.refused_by.push((by, kind.to_owned()));
            }
        }
        seen.carrier = match interface.as_deref() {
            _ if seen.carrier == Carrier::Down || runs.without_carrier(from, until) => {
                Carrier::Down
            }
            Some(name) if without_carrier.get(name).is_some_and(|lost| *lost >= from) => {
                Carrier::Down
            }
            // At an outage's end the carrier is that of afterwards.
            Some(name) if case.outage.to.is_none() => link::carrier(name),
            _ => seen.carrier,
        };
        let counts = |other: &&Subject| {
            let bound = other.probe.circuit.interface.as_deref();
            other.probe.role == Role::Reference
                && other.probe.name != case.outage.probe
                && bound.is_none_or(|bound| interface.as_deref().is_none_or(|own| own == bound))
        };
        let references = subjects.iter().flatten().filter(counts);
        seen.references = references
            .map(|other| (other.probe.name.clone(), other.runs.tally(from, until)))
            .collect();
        let side = word(seen.finding().side);
        let evidence = seen.evidence();
        side.clone_into(&mut case.outage.side);
        for (name, value) in evidence {
            case.enter(&name, value);
        }
    }
}
