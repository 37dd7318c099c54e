//! The links and paths of the probes: carriers, interfaces, and what changes on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{info, warn};

use crate::base::time::Now;
use crate::net::link;
use crate::store::journal::Noted;

use super::Session;

/// How often the interfaces that lead to the targets are looked for.
const WAYS: Duration = Duration::from_secs(30);

impl Session {
    /// Notes what changed of the carriers. Which interfaces lead to the targets is looked for now
    /// and then: a route may change.
    pub(super) fn look_at_links(&mut self, now: Now) {
        let all = self.looked.is_none_or(|looked| now.mono - looked >= WAYS);
        if all {
            self.looked = Some(now.mono);
            self.moved.extend(0..self.exits.len());
        }
        let addresses = link::Addresses::default();
        for at in std::mem::take(&mut self.moved) {
            let Some(Some(exit)) = self.exits.get_mut(at) else { continue };
            let towards =
                || addresses.interface_towards(&exit.probe.circuit, self.live.address(at)?);
            // Without a carrier the route may be gone; then the interface that is known is the one
            // to go on looking at.
            if let Some(name) = exit.probe.circuit.interface.clone().or_else(towards) {
                exit.interface = Some(name);
            }
        }
        let names: BTreeSet<&str> =
            self.exits.iter().flatten().filter_map(|exit| exit.interface.as_deref()).collect();
        for (interface, carrier) in self.links.look(names, now.wall) {
            self.outages.carrier(&interface, carrier, now.wall);
            let carrier = format!("{carrier:?}").to_lowercase();
            warn!(interface, carrier, "the carrier changed");
            self.recorder.note(now.wall, Noted::Carrier, format!("{interface}: {carrier}"));
        }
    }

    /// Enters in the journal what changed on the paths.
    pub(super) fn tell_changes(&mut self, now: Now) {
        let live = &self.live;
        let name = |probe: u32| live.name(probe as usize).unwrap_or_default();
        for (kind, detail) in self.changes.lines(now.mono, name) {
            // Outages are in the log already, one by one.
            if kind != Noted::Outage {
                info!(kind = kind.word(), detail, "a path changed");
            }
            self.recorder.note(now.wall, kind, detail);
        }
    }
}
