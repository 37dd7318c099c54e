//! What requests look like on the wire: the options of a circuit, seen at the other end of a cable
//! between two network namespaces. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN; where they are missing
//! these tests say that they were skipped.

use std::collections::HashSet;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use wanproof::measure::probe::{Attempt, Circuit, Dns, Fragment, Probe, Test};
use wanproof::net::icmp::kernel::{Kernel, Order};
use wanproof::net::icmp::{Arrival, Echo, Engine, Family, Token, Unsent};
use wanproof::net::link;
use wanproof::net::trace::{HopReply, Trace, Tracer};

use crate::dns::{NameServer, Says, addresses};
use crate::servers::{self, ok};
use crate::{SHORT, attempt, http, probe, told};

/// What an interface of the other end is known by.
const FAR0: [u8; 6] = [2, 0, 0, 0, 0, 10];
const FAR1: [u8; 6] = [2, 0, 0, 0, 0, 11];

/// Two cables from here: wan0, by which the default route leads, and wan1, which is taken by a
/// packet that is bound to it or marked 16. At their other ends is one host, which has these
/// addresses and more behind it.
pub const V4: &str = "10.9.0.1";
pub const V6: &str = "fd09::1";

const NEAR: &str = "
link set lo up
link add wan0 type veth peer name far0 address 02:00:00:00:00:0a
link add wan1 type veth peer name far1 address 02:00:00:00:00:0b
link set far0 netns FAR
link set far1 netns FAR
link set wan0 up
link set wan1 up
address add 10.7.0.1/24 dev wan0
address add 10.7.0.9/24 dev wan0
address add 10.8.0.1/24 dev wan1
address add fd07::1/64 dev wan0 nodad
address add fd07::9/64 dev wan0 nodad preferred_lft 0
address add fd08::1/64 dev wan1 nodad
route add default via 10.7.0.2 dev wan0
route add default via 10.8.0.2 dev wan1 metric 200
route add default via 10.8.0.2 dev wan1 table 100
rule add fwmark 16 lookup 100
route add fd09::/64 via fd07::2 dev wan0
route add fd09:0:0:8::/64 via fd07::2 dev wan0
route add fd09::/64 via fd08::2 dev wan1 metric 2000
route add fd09::/64 via fd08::2 dev wan1 table 100
-6 rule add fwmark 16 lookup 100
";

const FAR: &str = "
link set lo up
link set far0 up
link set far1 up
address add 10.7.0.2/24 dev far0
address add 10.8.0.2/24 dev far1
address add 10.9.0.1/32 dev lo
address add fd07::2/64 dev far0 nodad
address add fd08::2/64 dev far1 nodad
address add fd09::1/128 dev lo nodad
address add fe80::a/64 dev far0 nodad
address add fe80::b/64 dev far1 nodad
route add unreachable 10.9.9.9/32
route add 10.9.8.0/24 via 10.7.0.1
route add fd09:0:0:8::/64 via fd07::1
";

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

pub fn ip(commands: &str, far: i32) {
    for line in commands.lines().filter(|line| !line.is_empty()) {
        let words = line
            .split(' ')
            .map(|word| if word == "FAR" { far.to_string() } else { word.to_owned() });
        let done = Command::new("ip").args(words).status().unwrap();
        assert!(done.success(), "ip {line}");
    }
}

/// The other end's sockets. Whoever holds them may use them from here.
struct Far {
    frames: Socket,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    /// Takes the other end's cable out, by its name.
    pull: mpsc::Sender<&'static str>,
    pulled: mpsc::Receiver<()>,
}

/// Where the other end's servers listen, seen from there.
fn far_at(port: u16) -> impl Iterator<Item = SocketAddr> {
    let link = nix::net::if_::if_nametoindex("far1").unwrap();
    let on_link = SocketAddrV6::new("fe80::b".parse().unwrap(), port, 0, link);
    [V4, V6]
        .map(|address| SocketAddr::new(address.parse().unwrap(), port))
        .into_iter()
        .chain([on_link.into()])
}

/// Runs a test between the two namespaces, on threads of its own. Gives nothing when there can be
/// none.
pub fn between(test: impl AsyncFnOnce(Lab) + Send + 'static) {
    let (tell_near, hear_far) = mpsc::channel();
    let (cables_are_laid, wait_for_cables) = mpsc::channel();
    thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            tell_near.send(Err(error)).unwrap();
            return;
        }
        tell_near.send(Ok((nix::unistd::gettid().as_raw(), None))).unwrap();
        if wait_for_cables.recv().is_err() {
            return;
        }
        ip(FAR, 0);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        // It says hardware addresses only for what is on the cable itself.
        std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
        // Every packet that cannot be forwarded is answered, not one in a second.
        std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0").unwrap();
        // ETH_P_ALL in network order: every frame of every interface.
        let frames = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0x0300))).unwrap();
        frames.set_nonblocking(true).unwrap();
        let (pull, to_pull) = mpsc::channel::<&str>();
        let (tell_pulled, pulled) = mpsc::channel();
        let far = Far {
            frames,
            tcp: far_at(8080).map(|address| TcpListener::bind(address).unwrap()).collect(),
            udp: far_at(53).map(|address| UdpSocket::bind(address).unwrap()).collect(),
            pull,
            pulled,
        };
        tell_near.send(Ok((0, Some(far)))).unwrap();
        for cable in to_pull {
            ip(&format!("link set {cable} down"), 0);
            tell_pulled.send(()).unwrap();
        }
    });
    let far = match hear_far.recv().unwrap() {
        Ok((far, _)) => far,
        Err(error) => {
            skipped(&format!(
                "no network namespace can be made here ({error}); run the tests as root"
            ));
            return;
        }
    };
    let near = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip(NEAR, far);
        // Both kinds of ICMP socket are for everybody.
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
        cables_are_laid.send(()).unwrap();
        let far = hear_far.recv().unwrap().unwrap().1.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new(far).await;
            test(lab).await;
        });
    });
    if let Err(panic) = near.join() {
        std::panic::resume_unwind(panic);
    }
}

pub struct Lab {
    frames: Socket,
    pull: mpsc::Sender<&'static str>,
    pulled: mpsc::Receiver<()>,
    leads: Arc<Mutex<Option<String>>>,
}

/// A packet as it arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    by: [u8; 6],
    source: IpAddr,
    target: IpAddr,
    /// Type of service, or traffic class.
    class: u8,
    ttl: u8,
    dont_fragment: bool,
}

impl Lab {
    async fn new(far: Far) -> Self {
        let leads: Arc<Mutex<Option<String>>> = Arc::default();
        for listener in far.tcp {
            listener.set_nonblocking(true).unwrap();
            let leads = Arc::clone(&leads);
            let says = move |_: &str| match leads.lock().unwrap().as_deref() {
                Some(to) => servers::redirect(to),
                None => ok("here"),
            };
            servers::plain_at(tokio::net::TcpListener::from_std(listener).unwrap(), says);
        }
        for socket in far.udp {
            socket.set_nonblocking(true).unwrap();
            let says = Says::Addresses { addresses: addresses(&["192.0.2.1"]), ttl: 60 };
            NameServer::by_udp_at(tokio::net::UdpSocket::from_std(socket).unwrap(), says);
        }
        Self { frames: far.frames, pull: far.pull, pulled: far.pulled, leads }
    }

    /// The other end's web server redirects to there from now on.
    pub fn redirects(&self, to: &str) {
        *self.leads.lock().unwrap() = Some(to.to_owned());
    }

    /// What has arrived for the servers since this was last asked.
    pub fn arrived(&self) -> Vec<Packet> {
        self.frames().into_iter().map(|(packet, _)| packet).collect()
    }

    /// The same, with the bytes behind each IP header.
    fn frames(&self) -> Vec<(Packet, usize)> {
        let mut frame = [0; 2000];
        let mut all = Vec::new();
        let mut open = HashSet::new();
        while let Ok(length) = (&self.frames).read(&mut frame) {
            // What a connection says after it was closed (in TIME-WAIT) is the kernel's, and has
            // none of the socket's options.
            if let Some((port, flags)) = tcp(&frame[..length]) {
                let of_socket = flags & SYN != 0 && open.insert(port) || open.contains(&port);
                if flags & FIN != 0 {
                    open.remove(&port);
                }
                if !of_socket {
                    continue;
                }
            }
            all.extend(read(&frame[..length]).map(|packet| {
                let before = if packet.target.is_ipv4() { 14 + 20 } else { 14 + 40 };
                (packet, length - before)
            }));
        }
        all.retain(|(packet, _)| [V4, V6].contains(&packet.target.to_string().as_str()));
        all
    }

    /// One request, and its packets: all of them have the same options.
    async fn made(&self, test: Test, circuit: &Circuit) -> (Attempt, Packet) {
        self.arrived();
        let seen = attempt(&Probe { circuit: circuit.clone(), ..probe(test) }).await;
        let mut packets = self.arrived();
        let first = packets.pop().unwrap_or_else(|| panic!("nothing arrived: {seen:?}"));
        packets.iter().for_each(|packet| assert_eq!(packet, &first));
        (seen, first)
    }

    /// An echo request of so many bytes by a circuit, by either kind of socket, and the packet that
    /// arrived, which is as long as it says, or why it was not sent; and that it was answered.
    async fn echoed(
        &self,
        order: Order,
        to: &str,
        circuit: &Circuit,
        size: u16,
    ) -> Result<(Packet, usize), Unsent> {
        let to: IpAddr = to.parse().unwrap();
        let mut port = Kernel::with(order).open(Family::of(to), circuit, size).unwrap();
        let token = Token { lane: 7, send: u32::from(size) };
        let echo = Echo { token, to, seq: 7, size, timeout: std::time::Duration::from_secs(1) };
        let mut arrivals = Vec::new();
        // On a busy machine a queue may drop a packet, or a fragment of it, which is not what is
        // asked here.
        for _ in 0..5 {
            self.arrived();
            let mut faults = Vec::new();
            port.send(&[echo], &mut faults);
            if let Some((_, why)) = faults.first() {
                return Err(*why);
            }
            for _ in 0..1_000 {
                port.drain(&mut arrivals);
                let answered = |each: &Arrival| matches!(each, Arrival::Reply { token: of, .. } if *of == token);
                if arrivals.iter().any(answered) {
                    let mut packets = self.frames();
                    let length = packets.iter().map(|(_, length)| length).sum();
                    return Ok((packets.pop().expect("it was answered").0, length));
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        panic!("{to} did not answer by {circuit:?}: {arrivals:?}");
    }

    fn pull(&self, cable: &'static str) {
        self.pull.send(cable).unwrap();
        self.pulled.recv().unwrap();
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;

/// The source port and the flags of a TCP segment.
fn tcp(frame: &[u8]) -> Option<(u16, u8)> {
    let packet = frame.get(14..)?;
    let segment = match (packet.first()? >> 4, packet.get(9)?, packet.get(6)?) {
        (4, 6, _) => packet.get(usize::from(packet[0] & 0x0f) * 4..)?,
        (6, _, 6) => packet.get(40..)?,
        _ => return None,
    };
    Some((u16::from_be_bytes([*segment.first()?, *segment.get(1)?]), *segment.get(13)?))
}

fn read(frame: &[u8]) -> Option<Packet> {
    let by = frame.get(..6)?.try_into().ok()?;
    let packet = frame.get(14..)?;
    let bytes = |from: usize, to: usize| packet.get(from..to);
    match frame.get(12..14)? {
        [0x08, 0x00] => Some(Packet {
            by,
            source: IpAddr::from(<[u8; 4]>::try_from(bytes(12, 16)?).ok()?),
            target: IpAddr::from(<[u8; 4]>::try_from(bytes(16, 20)?).ok()?),
            class: packet[1],
            ttl: packet[8],
            dont_fragment: packet[6] & 0x40 != 0,
        }),
        [0x86, 0xdd] => Some(Packet {
            by,
            source: IpAddr::from(<[u8; 16]>::try_from(bytes(8, 24)?).ok()?),
            target: IpAddr::from(<[u8; 16]>::try_from(bytes(24, 40)?).ok()?),
            class: packet[0] << 4 | packet[1] >> 4,
            ttl: packet[7],
            dont_fragment: true,
        }),
        _ => None,
    }
}

/// A request of each kind to one of the servers.
pub fn kinds(target: &str) -> [Test; 3] {
    let address: IpAddr = target.parse().unwrap();
    let at = SocketAddr::new(address, 8080);
    [
        Test::Tcp { host: target.to_owned(), port: 8080 },
        Test::Http(Box::new(http(format!("http://{at}/")))),
        Test::Dns(Box::new(Dns {
            server: (address, 53).into(),
            query: "www.example.net".to_owned(),
            record: "A".to_owned(),
        })),
    ]
}

#[test]
fn a_link_local_target_is_asked_on_the_link_that_it_names_by_every_kind() {
    between(async |_lab| {
        let probes = |link: &str| {
            let text = format!(
                "site = \"s\"\ndata_dir = \"d\"\n[defaults]\ntimeout = \"2s\"\n\
                 [[probe]]\nname = \"tcp\"\nkind = \"tcp\"\ntarget = \"[fe80::b%{link}]:8080\"\n\
                 [[probe]]\nname = \"http\"\nkind = \"http\"\nurl \
                    = \"http://[fe80::b%25{link}]:8080/\"\n\
                 [[probe]]\nname = \"dns\"\nkind = \"dns\"\ntarget \
                    = \"[fe80::b%{link}]:53\"\nquery = \"example.net\"\n"
            );
            wanproof::config::agent::parse(&text, "agent.toml", std::path::Path::new("/"))
                .unwrap()
                .probes
        };
        for probe in probes("wan1") {
            assert_eq!(told(&attempt(&probe).await), "a", "{probe}");
        }
        for probe in probes("wan0") {
            let seen =
                attempt(&Probe { timeout: SHORT, cutoff: SHORT, ..Probe::clone(&probe) }).await;
            assert_eq!(told(&seen), "lost/next-hop", "nobody on that link has it: {probe}");
        }
        let ping = |target: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
            command.args(["ping", "-c", "1", "-W", "300ms", "--json", target]).output().unwrap()
        };
        for (target, sent) in
            [("fe80::b%wan1", "\"outcomes\":\"1a\""), ("fe80::b%wan0", "\"outcomes\":\"1l\"")]
        {
            let output = ping(target);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                said.contains(sent),
                "{target}: {said} {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        assert_eq!(ping("fe80::b").status.code(), Some(2));
    });
}

#[test]
fn a_request_leaves_by_the_system_s_way_where_nothing_else_is_said() {
    between(async |lab| {
        for (target, source) in [(V4, "10.7.0.1"), (V6, "fd07::1")] {
            for test in kinds(target) {
                let (seen, packet) = lab.made(test, &Circuit::default()).await;
                assert_eq!(told(&seen), "a");
                assert_eq!((packet.by, packet.source.to_string().as_str()), (FAR0, source));
                assert_eq!((packet.class, packet.ttl), (0, 64));
            }
        }
        assert_eq!(
            link::interface_towards(&Circuit::default(), V4.parse().unwrap()).as_deref(),
            Some("wan0")
        );
        assert_eq!(
            link::gateway_towards(&Circuit::default(), V6.parse().unwrap()),
            Some("fd07::2".parse().unwrap())
        );
        let marked = Circuit { mark: Some(16), ..Circuit::default() };
        assert_eq!(link::interface_towards(&marked, V6.parse().unwrap()).as_deref(), Some("wan1"));
        let wan1 = Circuit { interface: Some("wan1".to_owned()), ..Circuit::default() };
        assert_eq!(
            link::gateway_towards(&wan1, V4.parse().unwrap()),
            Some("10.8.0.2".parse().unwrap())
        );
    });
}

#[test]
fn source_dscp_ttl_and_dont_fragment_are_on_every_packet_of_each_kind() {
    between(async |lab| {
        for (target, source) in [(V4, "10.7.0.9"), (V6, "fd07::9")] {
            let circuit = Circuit {
                source: Some(source.parse().unwrap()),
                dscp: Some(46),
                ttl: Some(7),
                fragment: Fragment::Never,
                ..Circuit::default()
            };
            for test in kinds(target) {
                let (seen, packet) = lab.made(test, &circuit).await;
                assert_eq!(told(&seen), "a");
                assert_eq!(
                    (packet.source.to_string().as_str(), packet.class, packet.ttl),
                    (source, 46 << 2, 7)
                );
                assert!(packet.dont_fragment);
            }
        }
    });
}

#[test]
fn an_echo_request_has_the_same_options_and_its_size() {
    between(async |lab| {
        for order in [Order::Datagram, Order::Raw] {
            for (target, source, other) in
                [(V4, "10.7.0.9", "10.8.0.1"), (V6, "fd07::9", "fd08::1")]
            {
                let circuit = Circuit {
                    source: Some(source.parse().unwrap()),
                    dscp: Some(46),
                    ttl: Some(7),
                    fragment: Fragment::Never,
                    ..Circuit::default()
                };
                let (packet, length) = lab.echoed(order, target, &circuit, 200).await.unwrap();
                assert_eq!(
                    (packet.source.to_string().as_str(), packet.class, packet.ttl),
                    (source, 46 << 2, 7)
                );
                assert!(packet.dont_fragment);
                assert_eq!((packet.by, length), (FAR0, 208), "{order:?}");
                let interface =
                    Circuit { interface: Some("wan1".to_owned()), ..Circuit::default() };
                let mark = Circuit { mark: Some(16), ..Circuit::default() };
                for circuit in [interface, mark] {
                    let (packet, _) = lab.echoed(order, target, &circuit, 56).await.unwrap();
                    assert_eq!(
                        (packet.by, packet.source.to_string().as_str()),
                        (FAR1, other),
                        "{order:?} {circuit:?}"
                    );
                }
                // What is larger than the cable takes goes in parts, or not at all.
                let (_, length) =
                    lab.echoed(order, target, &Circuit::default(), 3000).await.unwrap();
                assert!(length >= 3008, "{order:?}: {length} bytes in all parts");
                let whole = Circuit { fragment: Fragment::Never, ..Circuit::default() };
                assert_eq!(
                    lab.echoed(order, target, &whole, 3000).await,
                    Err(Unsent::TooBig),
                    "{order:?} {target}"
                );
            }
        }
    });
}

#[test]
fn an_interface_and_a_mark_lead_each_kind_by_the_other_cable() {
    between(async |lab| {
        let interface = Circuit { interface: Some("wan1".to_owned()), ..Circuit::default() };
        let mark = Circuit { mark: Some(16), ..Circuit::default() };
        for (target, source) in [(V4, "10.8.0.1"), (V6, "fd08::1")] {
            for circuit in [&interface, &mark] {
                for test in kinds(target) {
                    let (seen, packet) = lab.made(test, circuit).await;
                    assert_eq!(told(&seen), "a");
                    assert_eq!(
                        (packet.by, packet.source.to_string().as_str()),
                        (FAR1, source),
                        "{circuit:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn no_route_is_not_sent_and_a_router_s_answer_is_a_refusal() {
    between(async |_lab| {
        for test in kinds("fd99::1") {
            assert_eq!(told(&attempt(&probe(test)).await), "not-sent/no-route");
        }
        for test in kinds("10.9.9.9") {
            assert_eq!(told(&attempt(&probe(test)).await), "refused/host-unreachable");
        }
    });
}

#[test]
fn without_a_carrier_nothing_is_sent_and_nothing_goes_by_another_way() {
    between(async |lab| {
        assert_eq!(told(&attempt(&probe(kinds(V4)[0].clone())).await), "a");
        lab.pull("far0");
        lab.arrived();
        let wan0 = Circuit { interface: Some("wan0".to_owned()), ..Circuit::default() };
        for circuit in [wan0, Circuit::default()] {
            for test in kinds(V4) {
                let probe = Probe { timeout: SHORT, circuit: circuit.clone(), ..probe(test) };
                assert_eq!(told(&attempt(&probe).await), "not-sent/carrier", "{circuit:?}");
            }
        }
        assert_eq!(lab.arrived(), []);
        assert_eq!(link::carrier("wan1"), wanproof::measure::carrier::Carrier::Up);
    });
}

#[test]
fn a_trace_tells_the_target_a_router_and_a_refusal_apart() {
    between(async |lab| {
        let wan0 = Circuit { ttl: Some(3), ..Circuit::default() };
        let traced = async |to: &str| {
            let to: IpAddr = to.parse().unwrap();
            Tracer::open(Family::of(to), &wan0).unwrap().trace(to).await
        };
        let said = |trace: &Trace| {
            trace.answers().map(|answer| (answer.from.to_string(), answer.said)).collect::<Vec<_>>()
        };
        for target in [V4, V6] {
            let trace = traced(target).await;
            assert_eq!(
                (said(&trace), trace.hops.len()),
                (vec![(target.to_owned(), HopReply::Target)], 1)
            );
        }
        // What the far end sends back here is not answered: a way that breaks behind its first
        // router.
        for (target, router) in [("10.9.8.1", "10.7.0.2"), ("fd09:0:0:8::1", "fd07::2")] {
            let trace = traced(target).await;
            assert_eq!(
                said(&trace),
                [(router.to_owned(), HopReply::Passing)],
                "{:?}",
                trace.lines()
            );
            assert_eq!((trace.reached(), trace.hops.len()), (false, 2));
        }
        let trace = traced("10.9.9.9").await;
        assert_eq!(said(&trace), [("10.7.0.2".to_owned(), HopReply::Refused("host-unreachable"))]);
        let trace = traced("fd99::1").await;
        assert_eq!(trace.lines(), ["1 *", "not-sent/no-route"]);
        drop(lab);
    });
}

/// Set for the copy of this test that runs as nobody.
const AS_NOBODY: &str = "WANPROOF_TEST_AS_NOBODY";

#[test]
fn what_the_system_does_not_allow_is_not_sent_and_never_left_out() {
    if std::env::var_os(AS_NOBODY).is_some() || !nix::unistd::geteuid().is_root() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = servers::plain(|_| ok("")).await;
            let circuit = Circuit { mark: Some(16), ..Circuit::default() };
            let test = Test::Tcp { host: "127.0.0.1".to_owned(), port: server.address.port() };
            assert_eq!(
                told(&attempt(&Probe { circuit, ..probe(test) }).await),
                "not-sent/permission"
            );
        });
        return;
    }
    let itself = ["--exact", "wire::what_the_system_does_not_allow_is_not_sent_and_never_left_out"];
    let copy = std::env::current_exe().unwrap();
    match Command::new(copy).args(itself).env(AS_NOBODY, "1").uid(65_534).gid(65_534).output() {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout)),
        Err(error) => skipped(&format!("another user cannot run the tests here ({error})")),
    }
}
