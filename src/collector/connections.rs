//! Who is connected, and for whom a place is made when it grows tight: so many connections in all,
//! so many from one address, and a share that only those may use who have shown before that they
//! are an agent's or an operator's. On a connection that has no request under way nobody waits:
//! those are closed first, the longest idle before all others.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Notify;

use crate::base::time::{Clock, Mono, SystemClock};
use crate::config::collector::Limits;

/// A body that has been arriving for longer makes room where there are no idle connections left.
const SLOW: Duration = Duration::from_secs(2);
/// An address is known for so long after something from it was authenticated.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// So many files are open beside the connections: the database's, the log.
const FILES: u64 = 256;
/// So many addresses are remembered.
const ADDRESSES: usize = 65_536;

/// Where connections come from: an IPv4 address, or an IPv6 network of 64 bits, of which one host
/// has as many addresses as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// Of a peer's address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// Whether somebody has shown who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repute {
    /// Not yet: anybody at all.
    Stranger,
    /// A signature of an enrolled agent or a token was verified, on this connection or lately from
    /// its address.
    Known,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub all: usize,
    /// Of strangers; what is left of all is kept for those that are known.
    pub strangers: usize,
    /// From one address.
    pub each: usize,
}

impl Bounds {
    /// A quarter of all is kept for those that are known.
    #[must_use]
    pub const fn new(all: usize, each: usize) -> Self {
        Self { all, strangers: all - all / 4, each }
    }

    /// As a configuration says, but no more than this process may have files open, with some to
    /// spare for the database.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let most = usize::try_from(files.saturating_sub(FILES)).unwrap_or(usize::MAX).max(16);
        let Limits { connections, connections_per_address, .. } = *limits;
        if most < connections {
            tracing::warn!(
                "this process may have {files} files open, so there are at most {most} \
                 connections, not {connections}: raise LimitNOFILE= of its unit, or ulimit -n"
            );
        }
        Self::new(connections.min(most), connections_per_address)
    }
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// No request is under way.
    Idle,
    /// A body is arriving.
    Arriving,
    /// Somebody waits for an answer.
    Work,
}

#[derive(Debug)]
struct Open {
    source: Source,
    repute: Repute,
    arriving: usize,
    working: usize,
    since: Mono,
    close: Arc<Notify>,
}

impl Open {
    fn at(&self) -> At {
        match (self.working, self.arriving) {
            (0, 0) => At::Idle,
            (0, _) => At::Arriving,
            _ => At::Work,
        }
    }
}

/// The connections, without sockets and clocks.
#[derive(Debug)]
struct Register {
    bounds: Bounds,
    next: u64,
    open: HashMap<u64, Open>,
    of_source: HashMap<Source, BTreeSet<u64>>,
    strangers: usize,
    /// Those on which nobody waits, in the order in which they are closed, strangers' and others'.
    idle: [BTreeSet<(At, Mono, u64)>; 2],
    known: HashMap<Source, Mono>,
}

impl Register {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next: 0,
            open: HashMap::new(),
            of_source: HashMap::new(),
            strangers: 0,
            idle: Default::default(),
            known: HashMap::new(),
        }
    }

    /// A place for a connection, if there is one or one can be made.
    fn admit(&mut self, source: Source, now: Mono) -> Option<(u64, Arc<Notify>)> {
        let repute = self.repute_of(source, now);
        let own = self.of_source.get(&source).map_or(0, BTreeSet::len);
        if own >= self.bounds.each {
            let own = self.of_source.get(&source).into_iter().flatten();
            let idlest =
                own.filter_map(|number| Some(place(*number, self.open.get(number)?))).min();
            self.close_if_idle(idlest, now)?;
        }
        if repute == Repute::Stranger && self.strangers >= self.bounds.strangers {
            self.close_if_idle(self.idlest(Repute::Stranger), now)?;
        }
        if self.open.len() >= self.bounds.all {
            let stranger = self.idlest(Repute::Stranger);
            if self.close_if_idle(stranger, now).is_none() {
                // A stranger never takes the place of one that is known.
                let known = (repute == Repute::Known).then(|| self.idlest(Repute::Known)).flatten();
                self.close_if_idle(known, now)?;
            }
        }
        let (number, close) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        let open =
            Open { source, repute, arriving: 0, working: 0, since: now, close: Arc::clone(&close) };
        self.idle[index(repute)].insert(place(number, &open));
        self.open.insert(number, open);
        self.of_source.entry(source).or_default().insert(number);
        self.strangers += usize::from(repute == Repute::Stranger);
        Some((number, close))
    }

    fn idlest(&self, repute: Repute) -> Option<(At, Mono, u64)> {
        self.idle[index(repute)].first().copied()
    }

    /// Closes a connection on which nobody waits; nothing where somebody does.
    fn close_if_idle(&mut self, place: Option<(At, Mono, u64)>, now: Mono) -> Option<()> {
        let (at, since, number) = place?;
        let may = match at {
            At::Idle => true,
            At::Arriving => now.since(since) >= SLOW,
            At::Work => false,
        };
        if !may {
            return None;
        }
        let open = self.remove(number)?;
        open.close.notify_one();
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Open> {
        let open = self.open.remove(&number)?;
        self.idle[index(open.repute)].remove(&place(number, &open));
        self.strangers -= usize::from(open.repute == Repute::Stranger);
        if let Some(own) = self.of_source.get_mut(&open.source) {
            own.remove(&number);
            if own.is_empty() {
                self.of_source.remove(&open.source);
            }
        }
        Some(open)
    }

    /// Changes what a connection is at; one that was closed meanwhile is nowhere.
    fn change(&mut self, number: u64, now: Mono, change: impl FnOnce(&mut Open)) {
        let Some(open) = self.open.get_mut(&number) else { return };
        self.idle[index(open.repute)].remove(&place(number, open));
        let before = open.repute;
        change(open);
        open.since = now;
        if open.at() != At::Work {
            self.idle[index(open.repute)].insert(place(number, open));
        }
        if before == Repute::Stranger && open.repute == Repute::Known {
            self.strangers -= 1;
        }
    }

    fn repute_of(&self, source: Source, now: Mono) -> Repute {
        match self.known.get(&source) {
            Some(&at) if now.since(at) < REMEMBERED => Repute::Known,
            _ => Repute::Stranger,
        }
    }

    fn know(&mut self, number: u64, now: Mono) {
        let Some(source) = self.open.get(&number).map(|open| open.source) else { return };
        if self.known.len() >= ADDRESSES && !self.known.contains_key(&source) {
            // The older half goes; whoever is still there is known again with its next request.
            let mut times: Vec<Mono> = self.known.values().copied().collect();
            let (_, &mut middle, _) = times.select_nth_unstable(ADDRESSES / 2);
            self.known.retain(|_, at| *at > middle);
        }
        self.known.insert(source, now);
        if self.open.get(&number).is_some_and(|open| open.repute == Repute::Stranger) {
            self.change(number, now, |open| open.repute = Repute::Known);
        }
    }
}

fn index(repute: Repute) -> usize {
    match repute {
        Repute::Stranger => 0,
        Repute::Known => 1,
    }
}

fn place(number: u64, open: &Open) -> (At, Mono, u64) {
    (open.at(), open.since, number)
}

/// The connections of a collector.
#[derive(Debug)]
pub struct Connections(Mutex<Register>);

impl Connections {
    /// With nobody connected.
    #[must_use]
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Register::new(bounds))))
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with other bounds: what is open stays open.
    pub fn bound(&self, bounds: Bounds) {
        self.register().bounds = bounds;
    }

    /// How many are connected.
    #[must_use]
    pub fn count(&self) -> usize {
        self.register().open.len()
    }

    /// A place for a connection; nothing when there is none, and nobody can make room.
    #[must_use]
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Arc<Peer>> {
        let source = Source::of(address);
        let (number, close) = self.register().admit(source, SystemClock.now().mono)?;
        Some(Arc::new(Peer { connections: Arc::clone(self), number, source, close }))
    }
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub struct Peer {
    connections: Arc<Connections>,
    number: u64,
    source: Source,
    close: Arc<Notify>,
}

impl Peer {
    /// Where it comes from.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Whether who it is was shown.
    #[must_use]
    pub fn repute(&self) -> Repute {
        let register = self.connections.register();
        match register.open.get(&self.number) {
            Some(open) if open.repute == Repute::Known => Repute::Known,
            _ => register.repute_of(self.source, SystemClock.now().mono),
        }
    }

    /// A signature of an enrolled agent or a token was verified.
    pub fn authenticated(&self) {
        self.connections.register().know(self.number, SystemClock.now().mono);
    }

    /// Returns when its place is needed for another.
    pub async fn asked_to_close(&self) {
        self.close.notified().await;
    }

    /// A request begins: until it is dropped, somebody waits.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> Underway {
        self.connections
            .register()
            .change(self.number, SystemClock.now().mono, |open| open.working += 1);
        Underway { peer: Arc::clone(self) }
    }

    /// Its body begins to arrive: until this is dropped, it is the peer that is waited for.
    #[must_use]
    pub fn arriving(self: &Arc<Self>) -> Arriving {
        self.connections.register().change(self.number, SystemClock.now().mono, |open| {
            open.working = open.working.saturating_sub(1);
            open.arriving += 1;
        });
        Arriving { peer: Arc::clone(self) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.connections.register().remove(self.number);
    }
}

/// A request that is under way.
#[derive(Debug)]
pub struct Underway {
    peer: Arc<Peer>,
}

impl Drop for Underway {
    fn drop(&mut self) {
        let peer = &self.peer;
        peer.connections.register().change(peer.number, SystemClock.now().mono, |open| {
            open.working = open.working.saturating_sub(1);
        });
    }
}

/// A body that is arriving.
#[derive(Debug)]
pub struct Arriving {
    peer: Arc<Peer>,
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let peer = &self.peer;
        peer.connections.register().change(peer.number, SystemClock.now().mono, |open| {
            open.arriving = open.arriving.saturating_sub(1);
            open.working += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: u64) -> Mono {
        Mono::from_nanos((1_000_000 + secs) * 1_000_000_000)
    }

    fn host(number: u8) -> Source {
        Source::of(IpAddr::from([192, 0, 2, number]))
    }

    fn register(all: usize, each: usize) -> Register {
        Register::new(Bounds::new(all, each))
    }

    #[test]
    fn a_host_of_ipv6_is_its_network_and_an_ipv4_address_is_one_however_it_is_written() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn one_address_closes_its_own_idle_connection_and_nobody_elses() {
        let mut all = register(100, 3);
        let (other, _) = all.admit(host(9), at(0)).unwrap();
        let mine: Vec<u64> =
            (1..=3).map(|second| all.admit(host(1), at(second)).unwrap().0).collect();
        all.change(mine[0], at(4), |open| open.working += 1);
        all.admit(host(1), at(5)).unwrap();
        assert!(all.open.contains_key(&mine[0]), "somebody waits on it");
        assert!(!all.open.contains_key(&mine[1]), "the longest idle one");
        assert!(all.open.contains_key(&mine[2]) && all.open.contains_key(&other));
        for number in all.of_source[&host(1)].clone() {
            all.change(number, at(6), |open| open.working = 1);
        }
        assert!(all.admit(host(1), at(7)).is_none(), "on all of them somebody waits");
        all.admit(host(9), at(7)).unwrap();
    }

    #[test]
    fn strangers_make_room_for_each_other_and_never_take_the_share_of_those_that_are_known() {
        let mut all = register(8, 8);
        let (known, _) = all.admit(host(1), at(0)).unwrap();
        all.know(known, at(0));
        for number in 2..=20 {
            all.admit(host(number), at(number.into())).unwrap();
        }
        assert_eq!((all.strangers, all.open.len()), (6, 7));
        assert!(all.open.contains_key(&known), "idle for longest, and yet it stays");
        for number in all.open.keys().copied().collect::<Vec<_>>() {
            all.change(number, at(30), |open| open.working = 1);
        }
        assert!(all.admit(host(21), at(31)).is_none());
        let again = all.admit(host(1), at(31)).unwrap().0;
        assert_eq!(all.open[&again].repute, Repute::Known, "its address was remembered");
        assert!(all.admit(host(1), at(32)).is_some(), "its own idle one makes room");
        assert!(!all.open.contains_key(&again));
    }

    #[test]
    fn a_body_that_arrives_slowly_makes_room_and_a_brisk_one_stays() {
        let mut all = register(4, 4);
        let numbers: Vec<u64> =
            (1..=3).map(|number| all.admit(host(number), at(0)).unwrap().0).collect();
        for number in &numbers {
            all.change(*number, at(10), |open| open.arriving = 1);
        }
        assert!(all.admit(host(4), at(11)).is_none());
        all.admit(host(4), at(12)).unwrap();
        assert!(!all.open.contains_key(&numbers[0]));
    }

    #[test]
    fn an_address_is_forgotten_after_a_day_and_there_are_only_so_many() {
        let mut all = register(8, 8);
        let (number, _) = all.admit(host(1), at(0)).unwrap();
        all.know(number, at(0));
        all.remove(number);
        assert_eq!(all.repute_of(host(1), at(86_399)), Repute::Known);
        assert_eq!(all.repute_of(host(1), at(86_400)), Repute::Stranger);
        for number in 0..u32::try_from(ADDRESSES).unwrap() + 10 {
            let source = Source::of(IpAddr::from(number.to_be_bytes()));
            let (connection, _) = all.admit(source, at(number.into())).unwrap();
            all.know(connection, at(number.into()));
            all.remove(connection);
            assert!(all.known.len() <= ADDRESSES);
            assert_eq!(all.repute_of(source, at(number.into())), Repute::Known);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_the_bounds_hold(
            steps in prop::collection::vec((0u8..6, 0u8..5, any::<prop::sample::Index>()), 0..300),
        ) {
            let bounds = Bounds::new(8, 3);
            let mut all = Register::new(bounds);
            for (second, (what, source, which)) in (0..).zip(steps) {
                let numbers: Vec<u64> = all.open.keys().copied().collect();
                let now = at(second);
                let number =
                    if numbers.is_empty() { 0 } else { numbers[which.index(numbers.len())] };
                match what {
                    0 | 1 => drop(all.admit(host(source), now)),
                    2 => all.change(number, now, |open| open.working += 1),
                    3 => all.change(number, now, |open| (open.working, open.arriving) = (0, 1)),
                    4 => all.know(number, now),
                    _ => drop(all.remove(number)),
                }
                let strangers =
                    all.open.values().filter(|open| open.repute == Repute::Stranger).count();
                prop_assert_eq!(all.strangers, strangers);
                prop_assert!(all.open.len() <= bounds.all && strangers <= bounds.strangers);
                prop_assert!(
                    all.of_source.values().all(|own| own.len() <= bounds.each && !own.is_empty())
                );
                let idle = all.open.values().filter(|open| open.at() != At::Work).count();
                prop_assert_eq!(all.idle[0].len() + all.idle[1].len(), idle);
            }
        }
    }
}
