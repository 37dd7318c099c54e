//! Many targets, and a network that shuffles, repeats, alters, cuts, lengthens and invents replies:
//! what each send was answered with is what its own target sent, once.

use proptest::prelude::*;

use super::*;
use crate::net::icmp::Token;
use crate::net::icmp::packet::{HEADER, Mint, RECORD, Request};

const TARGETS: u8 = 8;
const IDENT: u16 = 0x1234;

/// What comes of a request: a packet so many milliseconds later.
#[derive(Clone, Copy, Debug)]
struct Act {
    after: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// The target's reply, lengthened by so much.
    Genuine(usize),
    /// The reply with a bit of its record turned over.
    Altered { bit: usize },
    /// The reply, from another target.
    FromAnother(u8),
    /// The reply to another target's last request, from this one.
    OfAnother(u8),
    /// The reply without its end.
    Cut(usize),
    /// The reply to another identifier.
    OtherIdent,
    /// The reply that another process's request of the same name would get.
    OtherProcess,
    /// What is no reply: another type or code.
    NoReply { byte: usize, value: u8 },
    /// So many bytes of anything.
    Noise(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let what = prop_oneof![
        4 => prop_oneof![Just(0usize), 1usize..2000].prop_map(What::Genuine),
        1 => (0..RECORD * 8).prop_map(|bit| What::Altered { bit }),
        1 => (1..TARGETS).prop_map(What::FromAnother),
        1 => (1..TARGETS).prop_map(What::OfAnother),
        1 => (0..HEADER + RECORD).prop_map(What::Cut),
        1 => Just(What::OtherIdent),
        1 => Just(What::OtherProcess),
        1 => (0usize..2, 1u8..).prop_map(|(byte, value)| What::NoReply { byte, value }),
        1 => any::<u16>().prop_map(What::Noise),
    ];
    (1u64..2500, what).prop_map(|(after, what)| Act { after, what })
}

/// The world: one port, through which everything goes as bytes.
#[derive(Debug)]
struct Air {
    mono: Cell<u64>,
    mint: Mint,
    other: Mint,
    /// What becomes of each request, in turn.
    acts: Vec<Vec<Act>>,
    requests: Cell<usize>,
    /// The last request to each target.
    last: RefCell<HashMap<IpAddr, Vec<u8>>>,
    flying: RefCell<Vec<(u64, IpAddr, Vec<u8>)>>,
    departures: RefCell<Vec<(u64, Token)>>,
    truth: RefCell<Truth>,
}

#[derive(Clone, Debug)]
struct Sky(Rc<Air>);

fn wall(mono: u64) -> Wall {
    Wall::from_nanos(i64::try_from(mono).unwrap() + 1_700_000_000 * NANOS)
}

impl Clock for Sky {
    fn now(&self) -> Now {
        Now { wall: wall(self.0.mono.get()), mono: Mono::from_nanos(self.0.mono.get()) }
    }
}

impl Engine for Sky {
    fn open(&self, _: Family, _: &Circuit, _: u16) -> Result<Box<dyn Port>, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

fn address(target: u8) -> IpAddr {
    IpAddr::from([10, 99, 1, target])
}

fn another(than: IpAddr, by: u8) -> IpAddr {
    let IpAddr::V4(v4) = than else { panic!("all targets are IPv4") };
    address((v4.octets()[3] + by) % TARGETS)
}

impl Air {
    /// The packet that an act makes of a request, and who seems to have sent it.
    fn packet(&self, echo: &Echo, request: &[u8], what: What) -> (IpAddr, Vec<u8>) {
        let mut reply = request.to_vec();
        reply[0] = 0;
        let mut from = echo.to;
        match what {
            What::Genuine(more) => reply.extend(std::iter::repeat_n(7, more)),
            What::Altered { bit } => reply[HEADER + bit / 8] ^= 1 << (bit % 8),
            What::FromAnother(by) => from = another(from, by),
            What::OfAnother(by) => match self.last.borrow().get(&another(from, by)) {
                Some(other) => {
                    reply.clone_from(other);
                    reply[0] = 0;
                }
                None => reply.clear(),
            },
            What::Cut(length) => reply.truncate(length),
            What::OtherIdent => reply[4] ^= 0x40,
            What::OtherProcess => {
                reply.truncate(HEADER);
                self.other.payload(&mut reply, echo.token, echo.to, echo.size);
            }
            What::NoReply { byte, value } => reply[byte] = value,
            What::Noise(seed) => {
                let noise = |at: usize| u8::try_from((at * 31 + usize::from(seed)) % 251).unwrap();
                reply = (0..usize::from(seed % 3000)).map(noise).collect();
            }
        }
        (from, reply)
    }
}

impl Port for Sky {
    fn send(&mut self, batch: &[Echo], _: &mut Vec<(usize, Unsent)>) {
        let air = &self.0;
        let left = air.mono.get() + 5_000;
        for echo in batch {
            let mut request = Vec::new();
            let Echo { token, to, seq, size, .. } = *echo;
            air.mint.write(&mut request, &Request { to, ident: IDENT, seq, token, size });
            air.departures.borrow_mut().push((left, token));
            let number = air.requests.replace(air.requests.get() + 1);
            let mut genuine = Vec::new();
            for Act { after, what } in &air.acts[number % air.acts.len()] {
                if matches!(what, What::Genuine(_)) {
                    genuine.push(*after);
                }
                let (from, packet) = air.packet(echo, &request, *what);
                air.flying.borrow_mut().push((left + after * 1_000_000, from, packet));
            }
            genuine.sort_unstable();
            air.truth.borrow_mut().insert((to, token.send), genuine);
            air.last.borrow_mut().insert(to, request);
        }
    }

    fn drain(&mut self, arrivals: &mut Vec<Arrival>) -> Drained {
        let air = &self.0;
        let now = air.mono.get();
        for (at, token) in air.departures.borrow_mut().extract_if(.., |(at, _)| *at <= now) {
            arrivals.push(Arrival::Departed { token, at: wall(at) });
        }
        let mut here: Vec<_> =
            air.flying.borrow_mut().extract_if(.., |(at, ..)| *at <= now).collect();
        here.sort_by_key(|(at, ..)| *at);
        for (at, from, packet) in here {
            if let Some(token) = air.mint.answered(&packet, IDENT, from) {
                let (heard, bytes) =
                    (Heard::At(Some(wall(at))), u32::try_from(packet.len()).unwrap());
                arrivals.push(Arrival::Reply { token, heard, ttl: Some(57), bytes, from });
            }
        }
        Drained::Dry
    }

    fn means(&self) -> Means {
        Means { socket: icmp::Kind::Raw, stamps: Stamps::Kernel }
    }

    fn room(&self) -> usize {
        1000
    }

    fn is_stale(&self) -> bool {
        false
    }
}

/// After how long each send's genuine replies come, in milliseconds.
type Truth = HashMap<(IpAddr, u32), Vec<u64>>;

/// Lets the network do its worst for four seconds, and waits for the rest.
fn events(acts: Vec<Vec<Act>>) -> (Vec<Event>, Truth) {
    let air = Rc::new(Air {
        mono: Cell::new(1_000 * NANOS.unsigned_abs()),
        mint: Mint::default(),
        other: Mint::default(),
        acts,
        requests: Cell::new(0),
        last: RefCell::default(),
        flying: RefCell::default(),
        departures: RefCell::default(),
        truth: RefCell::default(),
    });
    let probes = (0..TARGETS).map(|target| {
        let test = Test::Icmp { target: address(target).to_string(), size: 56 };
        Probe { test, ..probe(&format!("p{target}"), MS * 90) }
    });
    let sky = Sky(Rc::clone(&air));
    let world = World {
        engine: Box::new(sky.clone()),
        resolver: Resolver::system(),
        clock: Box::new(sky),
        pace: Pace::Thrifty,
    };
    let mut prober = Prober::new(probes.map(Arc::new).collect(), world);
    let mut events = Vec::new();
    let begun = air.mono.get();
    for (until, sends) in [(4_000, true), (10_000, false)] {
        if !sends {
            prober.stop_sending();
        }
        let until = begun + until * 1_000_000;
        while prober.wake.nanos() <= until {
            air.mono.set(air.mono.get().max(prober.wake.nanos()));
            prober.pass(&mut events);
        }
    }
    assert_eq!(prober.in_air(), 0);
    let truth = air.truth.borrow().clone();
    (events, truth)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_network_makes_of_replies_none_crosses_or_counts_twice(
        acts in prop::collection::vec(prop::collection::vec(act(), 0..5), 1..50)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (events, truth) = runtime.block_on(async { events(acts) });
        let key = |probe: ProbeId, send: u64| {
            (address(u8::try_from(probe.0).unwrap()), u32::try_from(send).unwrap())
        };
        let mut settled = HashMap::new();
        let (mut duplicates, mut stragglers) = (HashMap::new(), HashMap::new());
        for event in &events {
            match event {
                Event::Settled(each) => {
                    let first = settled.insert(key(each.probe, each.send), each).is_none();
                    prop_assert!(first, "settled twice: {each:?}");
                }
                Event::Duplicate { probe, send } => {
                    *duplicates.entry(key(*probe, *send)).or_insert(0) += 1
                }
                Event::Straggler { probe, send } => {
                    *stragglers.entry(key(*probe, *send)).or_insert(0) += 1
                }
                _ => {}
            }
        }
        prop_assert_eq!(settled.len(), truth.len());
        for (of, genuine) in &truth {
            let each = settled[of];
            let (in_time, late) = genuine.split_at(genuine.partition_point(|&after| after <= 2000));
            let expected = match in_time.first() {
                Some(&after) if after <= 1000 => (Outcome::Answered, Some(after * 1_000_000)),
                Some(&after) => (Outcome::Late, Some(after * 1_000_000)),
                None => (Outcome::Lost, None),
            };
            prop_assert_eq!((each.outcome, each.rtt_ns), expected, "{:?}: {:?}", of, genuine);
            prop_assert!(each.rtt_ns.is_none() || each.from == Some(of.0));
            let again = if in_time.is_empty() { 0 } else { genuine.len() - 1 };
            let after_all = if in_time.is_empty() { late.len() } else { 0 };
            let counted = |all: &HashMap<_, usize>| all.get(of).copied().unwrap_or(0);
            prop_assert_eq!(
                (counted(&duplicates), counted(&stragglers)),
                (again, after_all),
                "{:?}: {:?}",
                of,
                genuine
            );
        }
    }
}
