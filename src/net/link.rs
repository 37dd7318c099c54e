//! What this host says of its links and itself: carrier and counters of interfaces, which of them
//! leads to a target, how busy the processors are. Everything is asked by netlink and read from
//! `/proc`, without privilege; where that is missing, nothing is known.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use crate::base::time::{Clock, Mono, SystemClock, Wall};
use crate::evidence::summary::{CarrierChange, LinkPart};
use crate::measure::address_kind::AddressKind;
use crate::measure::carrier::Carrier;
use crate::measure::probe::Circuit;
use crate::net::hop;
use crate::net::socket;

mod routes;

use routes::Route;

/// What the kernel tells of this thread's network namespace; `/proc/net` would be that of the
/// process's first thread.
const NET: &str = "/proc/thread-self/net";
/// How long it is relied on which interface leads to a target.
const WAY_HOLDS: Duration = Duration::from_secs(10);

/// Whether an interface has a carrier. One that was here since this process began and is gone has
/// lost it (that is how the end of a PPP or USB link looks); of one that was never here nothing is
/// known.
#[must_use]
pub fn carrier(interface: &str) -> Carrier {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    match flags(interface) {
        Ok(Some(flags)) => {
            if !seen.contains(interface) {
                seen.insert(interface.to_owned());
            }
            if flags.contains(HAS_CARRIER) { Carrier::Up } else { Carrier::Down }
        }
        Ok(None) if seen.contains(interface) => Carrier::Down,
        Ok(None) | Err(_) => Carrier::Unknown,
    }
}

/// Set up, and with a carrier below (`IFF_LOWER_UP`, netdevice(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const HAS_CARRIER: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_LOWER_UP);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const HAS_CARRIER: InterfaceFlags = InterfaceFlags::IFF_UP.union(InterfaceFlags::IFF_RUNNING);

/// The flags of an interface of this thread's network namespace; [`None`] when there is no such
/// interface. (`/sys` shows the namespace in which it was mounted, which need not be ours.)
fn flags(interface: &str) -> Result<Option<InterfaceFlags>, Errno> {
    Ok(getifaddrs()?.find(|each| each.interface_name == interface).map(|each| each.flags))
}

/// The interface that packets of a circuit leave by on their way to a target: its own; else the one
/// that has the source address that the kernel chooses, rules by mark included; else that of the
/// route in the tables.
#[must_use]
pub fn interface_towards(circuit: &Circuit, target: IpAddr) -> Option<String> {
    Addresses::default().interface_towards(circuit, target)
}

/// This host's own addresses, read when they are first needed: one reading for many targets.
#[derive(Debug, Default)]
pub struct Addresses(OnceCell<Vec<(IpAddr, String)>>);

impl Addresses {
    /// The same as [`interface_towards`], by these addresses.
    #[must_use]
    pub fn interface_towards(&self, circuit: &Circuit, target: IpAddr) -> Option<String> {
        let chosen = || self.interface_with(socket::source_by(circuit, target)?);
        let routed = || routes::best(all_routes(target), target).map(|route| route.interface);
        circuit.interface.clone().or_else(chosen).or_else(routed)
    }

    fn interface_with(&self, address: IpAddr) -> Option<String> {
        let all = self.0.get_or_init(|| {
            getifaddrs().map_or_else(|_| Vec::new(), |all| all.filter_map(own).collect())
        });
        all.iter().find(|(own, _)| *own == address).map(|(_, interface)| interface.clone())
    }
}

fn own(each: InterfaceAddress) -> Option<(IpAddr, String)> {
    let storage = each.address?;
    let address = match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => IpAddr::from(v4.ip()),
        (None, Some(v6)) => IpAddr::from(v6.ip()),
        (None, None) => return None,
    };
    Some((address, each.interface_name))
}

/// The next hop of a circuit on the way to a target; [`None`] when it is on the link itself, or no
/// route leads to it.
#[must_use]
pub fn gateway_towards(circuit: &Circuit, target: IpAddr) -> Option<IpAddr> {
    let interface = interface_towards(circuit, target)?;
    routes::best(all_routes(target).filter(|route| route.interface == interface), target)?.gateway
}

fn all_routes(target: IpAddr) -> impl Iterator<Item = Route> {
    let file = if target.is_ipv4() { "route" } else { "ipv6_route" };
    let text = fs::read_to_string(format!("{NET}/{file}")).unwrap_or_default();
    if target.is_ipv4() { routes::v4(&text).into_iter() } else { routes::v6(&text).into_iter() }
}

/// The interface that leads to a target, looked for at most every few seconds, and its carrier.
#[derive(Debug)]
pub struct Way {
    circuit: Circuit,
    found: Mutex<Option<Found>>,
}

#[derive(Debug)]
struct Found {
    at: Mono,
    target: IpAddr,
    interface: Option<String>,
    place: AddressKind,
}

impl Way {
    /// For targets of one circuit.
    #[must_use]
    pub fn new(circuit: &Circuit) -> Self {
        Self { circuit: circuit.clone(), found: Mutex::new(None) }
    }

    /// What a target is to this host, and the carrier of the interface that leads there now. While
    /// it is down, nothing that is handed to the kernel is sent, although the kernel may take it.
    #[must_use]
    pub fn look(&self, target: IpAddr) -> (AddressKind, Carrier) {
        let now = SystemClock.now().mono;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let known = found.take().filter(|found| found.target == target);
        let fresh = match known {
            Some(known) if now - known.at < WAY_HOLDS => known,
            // With the carrier its route may be gone: then the interface that is known is the one
            // to go on looking at.
            known => {
                let interface =
                    interface_towards(&self.circuit, target).or_else(|| known?.interface);
                Found { at: now, target, interface, place: hop::place_by(&self.circuit, target) }
            }
        };
        let carrier = fresh.interface.as_deref().map_or(Carrier::Unknown, carrier);
        let place = fresh.place;
        *found = Some(fresh);
        (place, carrier)
    }
}

/// What is told of links in a summary: looked at often, cut at each span's end.
#[derive(Debug, Default)]
pub struct Links {
    kept: BTreeMap<String, Kept>,
    cpu: Option<Cpu>,
}

#[derive(Debug)]
struct Kept {
    carrier: Carrier,
    changes: Vec<CarrierChange>,
    counters: Option<Counters>,
}

/// What an interface has counted since it was made. An interface that was made anew counts from
/// zero again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that were received damaged.
    pub rx_errors: u64,
    /// Packets that were received, and for which this host had no room.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets that were to be sent, and that this host dropped, as a full queue does.
    pub tx_dropped: u64,
}

/// More changes of one interface in a span are not told one by one; a flapping link shows by as
/// many.
const MOST_CHANGES: usize = 100;

impl Links {
    /// Looks at these interfaces and notes what changed; gives the changes. Interfaces that are not
    /// named any more are forgotten.
    pub fn look<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = &'a str>,
        at: Wall,
    ) -> Vec<(String, Carrier)> {
        let wanted: BTreeSet<&str> = interfaces.into_iter().collect();
        self.kept.retain(|name, _| wanted.contains(name.as_str()));
        self.cpu = self.cpu.or_else(Cpu::read);
        wanted.into_iter().filter_map(|name| self.note(name, carrier(name), at)).collect()
    }

    fn note(&mut self, name: &str, carrier: Carrier, at: Wall) -> Option<(String, Carrier)> {
        let Some(kept) = self.kept.get_mut(name) else {
            let kept = Kept { carrier, changes: Vec::new(), counters: Counters::read(name) };
            self.kept.insert(name.to_owned(), kept);
            return None;
        };
        if kept.carrier == carrier {
            return None;
        }
        kept.carrier = carrier;
        if kept.changes.len() < MOST_CHANGES {
            kept.changes.push(CarrierChange { at, carrier });
        }
        Some((name.to_owned(), carrier))
    }

    /// What changed did so much later: the clock that labelled it was wrong by that.
    pub fn shift(&mut self, by_ns: i64) {
        for change in self.kept.values_mut().flat_map(|kept| &mut kept.changes) {
            change.at = change.at.shifted(by_ns);
        }
    }

    /// Ends a span: what happened since the last one ended, one part for each interface.
    pub fn cut(&mut self) -> Vec<LinkPart> {
        let cpu = Cpu::read();
        let cpu_percent = self.cpu.zip(cpu).and_then(|(before, now)| now.busy_since(before));
        self.cpu = cpu;
        let part = |(name, kept): (&String, &mut Kept)| {
            let now = Counters::read(name);
            let moved = now.map(|now| now.since(kept.counters));
            kept.counters = now;
            LinkPart {
                interface: name.clone(),
                carrier: kept.carrier,
                changes: std::mem::take(&mut kept.changes),
                rx_bytes: moved.map_or(0, |moved| moved.rx_bytes),
                tx_bytes: moved.map_or(0, |moved| moved.tx_bytes),
                cpu_percent,
            }
        };
        self.kept.iter_mut().map(part).collect()
    }
}

impl Counters {
    /// Reads those of an interface of this thread's network namespace; [`None`] when there is none
    /// of that name, or the system does not tell.
    #[must_use]
    pub fn read(interface: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("{NET}/dev")).ok()?, interface)
    }

    /// From `/proc/net/dev`: two lines of headings; then of each interface eight figures of
    /// receiving and eight of sending, the first of each being bytes.
    fn parse(text: &str, interface: &str) -> Option<Self> {
        let line = text
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
        // bytes packets errs drop fifo frame compressed multicast, then bytes packets errs drop …
        let figures: Vec<u64> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let figure = |at: usize| figures.get(at).copied();
        Some(Self {
            rx_bytes: figure(0)?,
            rx_errors: figure(2)?,
            rx_dropped: figure(3)?,
            tx_bytes: figure(8)?,
            tx_errors: figure(10)?,
            tx_dropped: figure(11)?,
        })
    }

    /// What was counted since an earlier reading; all of it where there was none, or the interface
    /// was made anew.
    #[must_use]
    pub fn since(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        let moved = |of: fn(&Self) -> u64| of(&self).checked_sub(of(&before)).unwrap_or(of(&self));
        Self {
            rx_bytes: moved(|all| all.rx_bytes),
            rx_errors: moved(|all| all.rx_errors),
            rx_dropped: moved(|all| all.rx_dropped),
            tx_bytes: moved(|all| all.tx_bytes),
            tx_errors: moved(|all| all.tx_errors),
            tx_dropped: moved(|all| all.tx_dropped),
        }
    }
}

/// How the processors of this host have spent their time since its boot, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    total: u64,
    idle: u64,
}

impl Cpu {
    /// Reads it; [`None`] where the system does not tell.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; guest time is within user's.
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = ticks.get(3)?.checked_add(ticks.get(4).copied().unwrap_or(0))?;
        Some(Self { total: ticks.iter().try_fold(0u64, |sum, &each| sum.checked_add(each))?, idle })
    }

    /// How busy they were since an earlier reading, of 100, to a tenth; [`None`] when no time
    /// passed. What a hypervisor took away counts as busy: this host could not use it.
    #[must_use]
    pub fn busy_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|&total| total > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(total);
        let tenths = u32::try_from(u128::from(total - idle) * 1000 / u128::from(total)).ok()?;
        Some(f64::from(tenths) / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_a_carrier_and_an_unknown_one_none_that_is_known() {
        assert_eq!(carrier("lo"), Carrier::Up);
        for name in ["nosuch0", "", "..", "../net/lo", "a/b"] {
            assert_eq!(carrier(name), Carrier::Unknown, "{name:?}");
        }
    }

    #[test]
    fn a_change_of_carrier_is_noted_once_and_told_with_its_span() {
        let mut links = Links::default();
        let at = Wall::from_secs;
        assert_eq!(links.note("wan0", Carrier::Up, at(1)), None);
        assert_eq!(
            links.note("wan0", Carrier::Down, at(2)),
            Some(("wan0".to_owned(), Carrier::Down))
        );
        assert_eq!(links.note("wan0", Carrier::Down, at(3)), None);
        let told = links.cut().remove(0);
        assert_eq!(told.changes, [CarrierChange { at: at(2), carrier: Carrier::Down }]);
        assert_eq!(told.carrier, Carrier::Down);
        assert_eq!(links.cut().remove(0).changes, []);
    }

    #[test]
    fn what_is_looked_at_is_what_is_named() {
        let mut links = Links::default();
        links.look(["lo", "nosuch0"], Wall::default());
        links.look(["lo"], Wall::default());
        let told = links.cut();
        assert_eq!(told.iter().map(|part| part.interface.as_str()).collect::<Vec<_>>(), ["lo"]);
        assert_eq!(told[0].carrier, Carrier::Up);
    }

    #[test]
    fn bytes_are_those_of_the_span_and_a_new_interface_counts_from_zero() {
        let at = |rx_bytes, tx_bytes| Counters { rx_bytes, tx_bytes, ..Counters::default() };
        assert_eq!(at(150, 20).since(Some(at(100, 20))), at(50, 0));
        assert_eq!(at(7, 5).since(Some(at(100, 2))), at(7, 3));
        assert_eq!(at(7, 5).since(None), at(7, 5));
    }

    #[test]
    fn the_counters_are_those_of_the_interface_of_that_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n\
            wan0: 7 1 0 0 0 0 0 0 9 2 0 0 0 0 0 0\n  wan:123456 1 2 3 0 0 0 0 654321 2 4 5 0 0 0 \
            0\n cut: 1 2 3\n";
        let wan = Counters {
            rx_bytes: 123_456,
            rx_errors: 2,
            rx_dropped: 3,
            tx_bytes: 654_321,
            tx_errors: 4,
            tx_dropped: 5,
        };
        assert_eq!(Counters::parse(text, "wan"), Some(wan));
        let wan0 = Counters { rx_bytes: 7, tx_bytes: 9, ..Counters::default() };
        assert_eq!(Counters::parse(text, "wan0"), Some(wan0));
        for name in ["cut", "lan0", "", "face |bytes packets errs"] {
            assert_eq!(Counters::parse(text, name), None, "{name:?}");
        }
    }

    #[test]
    fn the_processors_share_of_busy_time_is_told_to_a_tenth() {
        let before = Cpu::parse("cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3 4\n").unwrap();
        let now = Cpu::parse("cpu  200 0 100 1600 100 0 0 0 30 0\n").unwrap();
        assert_eq!(now.busy_since(before), Some(15.0));
        assert_eq!(before.busy_since(before), None);
        assert_eq!(before.busy_since(now), None);
        for text in ["", "cpu", "cpu  a b c d", "cpu  1 2 3", "intr 5"] {
            assert_eq!(Cpu::parse(text), None, "{text:?}");
        }
    }
}
