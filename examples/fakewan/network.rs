//! The network itself: reads packets from the device, decides, and hands the replies over when
//! their time has come.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::{read, write};
use tun_rs::SyncDevice;
use wanproof::base::time::{Clock as _, Now, SystemClock};

use crate::fate::{Fate, Proto};
use crate::log::{Kind, Line, Note, Payload, What};
use crate::packet::{self, Body, Error, Port, Seen};
use crate::recorder::Recorder;
use crate::scenario::{Refusal, Rules, Scenario, Since};

/// So many nanoseconds before its time a reply is rehearsed.
const AHEAD: u64 = 12_000;
/// After so many nanoseconds without a reply the next one is rehearsed.
const COLD: u64 = 50_000;

/// How the network waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It sleeps until there is something to do; the system's timer decides how punctual it is.
    Sleep,
    /// It never sleeps.
    Spin,
}

/// How it runs.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub wait: Wait,
    /// What is later than this, in nanoseconds, is marked.
    pub late_over: u64,
    /// The built-in HTTP server's port.
    pub http: Option<u16>,
}

/// An address that packets came for.
#[derive(Default)]
struct Known {
    /// The place of its rules.
    rules: Option<usize>,
    /// When its first packet came, in nanoseconds since the boot.
    first: u64,
    /// How many packets came, by protocol.
    counts: [u64; 3],
}

/// A reply that waits for its time.
struct Waiting {
    due: u64,
    order: u64,
    packet: Vec<u8>,
    line: Line,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    /// The heap gives its greatest: the earliest, and of equals the first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// The network.
pub struct Network<'a> {
    scenario: &'a Scenario,
    device: &'a SyncDevice,
    manner: Manner,
    start: Now,
    recorder: Recorder,
    known: HashMap<IpAddr, Known>,
    waiting: BinaryHeap<Waiting>,
    /// How many packets arrived.
    pub packets: u64,
    order: u64,
    /// When the device was last found empty, in nanoseconds since the boot.
    emptied: u64,
    /// When a packet was last written to it.
    handed: u64,
}

impl<'a> Network<'a> {
    pub fn new(
        scenario: &'a Scenario,
        device: &'a SyncDevice,
        manner: Manner,
        recorder: Recorder,
    ) -> Self {
        let start = SystemClock.now();
        let known = HashMap::new();
        let (waiting, emptied) = (BinaryHeap::with_capacity(4096), start.mono.nanos());
        Self {
            scenario,
            device,
            manner,
            start,
            recorder,
            known,
            waiting,
            packets: 0,
            order: 0,
            emptied,
            handed: 0,
        }
    }

    /// When it began.
    pub fn start(&self) -> Now {
        self.start
    }

    pub fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    pub fn finish(self) -> Result<(), String> {
        self.recorder.finish()
    }

    /// Runs until `until`, in nanoseconds since the boot, or until `stop` says so, which is asked
    /// some hundred times a second at most; `wake` are descriptors that end a sleep.
    pub fn run(
        &mut self,
        until: u64,
        wake: &[BorrowedFd<'_>],
        mut stop: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let mut buffer = vec![0; 1 << 16];
        let mut asked = 0;
        loop {
            let now = SystemClock.now();
            let mono = now.mono.nanos();
            if mono >= until {
                return Ok(());
            }
            if mono.saturating_sub(asked) > 10_000_000 {
                asked = mono;
                self.recorder.hand_over();
                if stop() {
                    return Ok(());
                }
            }
            self.send_due(mono)?;
            if self.manner.wait == Wait::Spin {
                self.rehearse(mono);
            }
            match read(self.device, &mut buffer) {
                Ok(length) => {
                    let arrived = SystemClock.now();
                    self.take(&buffer[..length], arrived);
                }
                Err(Errno::EAGAIN) => {
                    self.emptied = mono;
                    if self.manner.wait == Wait::Sleep {
                        self.sleep(until, wake)?;
                        asked = 0;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(fault) => return Err(format!("the device cannot be read: {fault}")),
            }
        }
    }

    fn sleep(&self, until: u64, wake: &[BorrowedFd<'_>]) -> Result<(), String> {
        let next = self.waiting.peek().map_or(until, |waiting| waiting.due.min(until));
        let length = next.saturating_sub(SystemClock.now().mono.nanos()).min(100_000_000);
        let length = TimeSpec::from_duration(std::time::Duration::from_nanos(length));
        let mut polled: Vec<PollFd<'_>> =
            wake.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        polled.push(PollFd::new(self.device.as_fd(), PollFlags::POLLIN));
        match ppoll(&mut polled, Some(length), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(fault) => Err(format!("poll failed: {fault}")),
        }
    }

    /// The kernel's way from the device to the stamp takes some µs when its code and data lie in no
    /// cache, which is neither the path's time nor the prober's. It is gone once before, by a part
    /// of the packet: IP drops what is shorter than it says.
    fn rehearse(&mut self, now: u64) {
        let Some(next) = self.waiting.peek() else { return };
        if next.due <= now + AHEAD && now.saturating_sub(self.handed) > COLD {
            // What the kernel says of it is of no interest.
            _ = write(self.device, &next.packet[..next.packet.len() - 1]);
            self.handed = now;
        }
    }

    /// Hands over what is due.
    fn send_due(&mut self, now: u64) -> Result<(), String> {
        while self.waiting.peek().is_some_and(|waiting| waiting.due <= now) {
            let Waiting { due, packet, mut line, .. } =
                self.waiting.pop().expect("there is a first");
            let sent = SystemClock.now().mono.nanos();
            match write(self.device, &packet) {
                // The kernel refuses what it cannot use, such as while the device is down.
                Ok(_) | Err(Errno::EIO | Errno::EINVAL | Errno::ENOBUFS | Errno::EAGAIN) => {}
                Err(fault) => return Err(format!("the device cannot be written: {fault}")),
            }
            let done = SystemClock.now().mono.nanos();
            self.handed = done;
            line.held = Some(sent.saturating_sub(line.mono));
            line.lag = Some(sent.saturating_sub(due));
            line.took = Some(done.saturating_sub(sent));
            let limit = self.manner.late_over;
            line.late = line.lag.max(line.unread) > Some(limit)
                || line.took > Some(limit.saturating_mul(3));
            self.recorder.line(&line);
        }
        Ok(())
    }

    /// Decides what becomes of a packet.
    fn take(&mut self, bytes: &[u8], arrived: Now) {
        let mono = arrived.mono.nanos();
        let Some(seen) = packet::read(bytes) else { return };
        let number = self.packets;
        self.packets += 1;
        let unread = (self.manner.wait == Wait::Spin).then(|| mono.saturating_sub(self.emptied));
        let payload = seen.body.payload().unwrap_or(bytes.len());
        let (kind, id, seq, note) = match seen.body {
            Body::Echo { id, seq, .. } if seen.to.is_ipv4() => {
                (Kind::Icmp4, id, seq, Note::default())
            }
            Body::Echo { id, seq, .. } => (Kind::Icmp6, id, seq, Note::default()),
            Body::Tcp { from, to, flags, .. } => {
                (Kind::Tcp, from, to, Note::new(packet::flag_letters(flags).as_bytes()))
            }
            Body::Udp { from, to, .. } => (Kind::Udp, from, to, Note::default()),
            Body::Other => (Kind::Other, 0, 0, Note::default()),
        };
        let line = Line {
            number,
            wall: arrived.wall.nanos(),
            mono,
            kind,
            from: seen.from,
            to: seen.to,
            id,
            seq,
            size: u32::try_from(bytes.len() - payload).unwrap_or(u32::MAX),
            ttl: seen.ttl,
            what: What::Ignored,
            by: None,
            note,
            planned: None,
            held: None,
            unread,
            lag: None,
            took: None,
            late: unread > Some(self.manner.late_over),
            payload: Payload::new(&bytes[payload..]),
        };
        let known = self.known.entry(seen.to).or_insert_with(|| Known {
            rules: self.scenario.rules_of(seen.to),
            first: mono,
            counts: [0; 3],
        });
        let Some(rules) = known.rules.map(|place| &self.scenario.rules[place]) else {
            return self.recorder.line(&line);
        };
        let since = match rules.since {
            Since::Start => self.start.mono.nanos(),
            Since::FirstPacket => known.first,
        };
        let at = mono.saturating_sub(since);
        match self.decide(rules, bytes, &seen, at, line.clone()) {
            Decision::Silent(what) => self.recorder.line(&Line { what, ..line }),
            Decision::Reply(replies) => {
                for (packet, line) in replies {
                    self.order += 1;
                    let due = mono + line.planned.unwrap_or(0);
                    self.waiting.push(Waiting { due, order: self.order, packet, line });
                }
            }
        }
    }

    fn decide(
        &mut self,
        rules: &Rules,
        bytes: &[u8],
        seen: &Seen,
        at: u64,
        line: Line,
    ) -> Decision {
        if let Some(decision) = self.of_server(rules, bytes, seen, at, &line) {
            return decision;
        }
        let hops = rules.path.len();
        let ttl = usize::from(seen.ttl);
        let said = |by: IpAddr, error: Error, after: u64, line: Line| {
            let reply_ttl = if by == seen.to { rules.reply_ttl } else { 64 };
            let what =
                if error == EXPIRED && by != seen.to { What::Expired } else { What::Refused };
            let note = match error {
                Error::Refusal(refusal) => Note::new(refusal.word().as_bytes()),
                Error::TooBig { .. } => Note::new(b"packet-too-big"),
            };
            let packet = packet::icmp_error(bytes, seen, by, error, reply_ttl);
            Decision::one(packet, Line { what, by: Some(by), note, planned: Some(after), ..line })
        };
        let part = |hop: usize| rules.delay(at) / (hops as u64 + 1) * hop as u64;
        if ttl <= hops {
            if rules.down_from_hop(at).is_some_and(|down| ttl >= down) {
                return Decision::Silent(What::Outage);
            }
            return said(rules.path[ttl.max(1) - 1], EXPIRED, part(ttl), line);
        }
        if let Some(mtu) =
            rules.path_mtu.filter(|mtu| bytes.len() > usize::from(*mtu) && seen.whole)
        {
            return said(
                rules.path.first().copied().unwrap_or(seen.to),
                Error::TooBig { mtu },
                part(1),
                line,
            );
        }
        let proto = match seen.body {
            Body::Echo { .. } => Proto::Echo,
            Body::Tcp { .. } => Proto::Tcp,
            Body::Udp { .. } => Proto::Udp,
            Body::Other => return Decision::Silent(What::Ignored),
        };
        let known = self.known.get_mut(&seen.to).expect("it was entered when the packet came");
        let count = known.counts[proto as usize];
        known.counts[proto as usize] += 1;
        let (after, again, held_back) =
            match rules.fate(self.scenario.seed, seen.to, proto, count, at) {
                Fate::Lost => return Decision::Silent(What::Lost),
                Fate::Outage => return Decision::Silent(What::Outage),
                Fate::Refused { after, refusal: Refusal::Reset } if proto == Proto::Tcp => {
                    return refused_by_reset(rules, bytes, seen, after, line);
                }
                Fate::Refused { after, refusal } => {
                    let by = rules.path.last().copied().unwrap_or(seen.to);
                    return said(by, Error::Refusal(refusal), after, line);
                }
                Fate::Answered { after, again, held_back } => (after, again, held_back),
            };
        let packet = match seen.body {
            Body::Echo { .. } => packet::echo_reply(bytes, seen, rules.reply_ttl),
            Body::Tcp { to, .. } | Body::Udp { to, .. } => {
                match self.server_behind(rules, proto, to) {
                    Some(server) => packet::handed_on(
                        bytes,
                        seen,
                        Port::Destination(server),
                        seen.ttl.saturating_sub(1).max(1),
                    ),
                    None if proto == Proto::Tcp => {
                        return refused_by_reset(rules, bytes, seen, after, line);
                    }
                    None => {
                        return said(
                            seen.to,
                            Error::Refusal(Refusal::PortUnreachable),
                            after,
                            line,
                        );
                    }
                }
            }
            Body::Other => return Decision::Silent(What::Ignored),
        };
        let note = if held_back { Note::new(b"held-back") } else { line.note };
        let first =
            Line { what: What::Answered, by: Some(seen.to), note, planned: Some(after), ..line };
        let second = again.map(|again| {
            let line = Line { what: What::Duplicate, planned: Some(again), ..first.clone() };
            (packet.clone(), line)
        });
        Decision::Reply([Some((packet, first)), second].into_iter().flatten().collect())
    }

    /// A server's packet on its way to the client: it is handed on at once, unless there is an
    /// outage.
    fn of_server(
        &self,
        rules: &Rules,
        bytes: &[u8],
        seen: &Seen,
        at: u64,
        line: &Line,
    ) -> Option<Decision> {
        let (proto, from, kind) = match seen.body {
            Body::Tcp { from, .. } => (Proto::Tcp, from, Kind::TcpBack),
            Body::Udp { from, .. } => (Proto::Udp, from, Kind::UdpBack),
            _ => return None,
        };
        let port = self.ports(rules, proto).find(|(_, server)| *server == from)?.0;
        if rules.down_from_hop(at).is_some() {
            return Some(Decision::Silent(What::Outage));
        }
        let packet = packet::handed_on(bytes, seen, Port::Source(port), rules.reply_ttl);
        let line = Line { kind, what: What::Passed, planned: Some(0), ..line.clone() };
        Some(Decision::one(packet, line))
    }

    fn server_behind(&self, rules: &Rules, proto: Proto, port: u16) -> Option<u16> {
        self.ports(rules, proto).find(|(at, _)| *at == port).map(|(_, server)| server)
    }

    fn ports<'r>(
        &self,
        rules: &'r Rules,
        proto: Proto,
    ) -> impl Iterator<Item = (u16, u16)> + use<'r> {
        let http = (proto == Proto::Tcp).then_some(rules.http.zip(self.manner.http)).flatten();
        let ports = if proto == Proto::Tcp { &rules.tcp } else { &rules.udp };
        http.into_iter().chain(ports.iter().copied())
    }
}

const EXPIRED: Error = Error::Refusal(Refusal::TimeExceeded);

/// What is done with a packet: nothing, or one or two replies, each with its line.
enum Decision {
    Silent(What),
    Reply(Vec<(Vec<u8>, Line)>),
}

impl Decision {
    fn one(packet: Vec<u8>, line: Line) -> Self {
        Self::Reply(vec![(packet, line)])
    }
}

fn refused_by_reset(rules: &Rules, bytes: &[u8], seen: &Seen, after: u64, line: Line) -> Decision {
    match packet::reset(bytes, seen, rules.reply_ttl) {
        Some(packet) => {
            let note = Note::new(Refusal::Reset.word().as_bytes());
            let line =
                Line { what: What::Refused, by: Some(seen.to), note, planned: Some(after), ..line };
            Decision::one(packet, line)
        }
        None => Decision::Silent(What::Ignored),
    }
}
