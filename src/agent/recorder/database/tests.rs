use super::*;
use crate::agent::keys::Keys;
use crate::base::time::{Now, SystemClock};
use crate::evidence::key::SecretKey;
use crate::measure::event::Event;
use crate::measure::ledger::Ledger;
use crate::measure::probe::{Circuit, Family, Role, Test};

const SECOND: Duration = Duration::from_secs(1);
const BEGIN: Wall = Wall::from_secs(1_790_000_000 / 60 * 60);

fn seat(name: &str, service: Option<&str>) -> Seat {
    let probe = Probe {
        name: name.to_owned(),
        service: None,
        role: Role::Path,
        test: Test::Icmp { target: "192.0.2.1".to_owned(), size: 56 },
        family: Family::Any,
        period: SECOND,
        timeout: SECOND,
        cutoff: SECOND,
        circuit: Circuit::default(),
    };
    let named = Probe { service: service.map(str::to_owned), ..probe.clone() };
    Seat { place: ProbeId(0), probe: Arc::new(probe), named: Arc::new(named) }
}

/// A minute of the probe at the first place.
fn minute(number: u32, address: [u8; 4]) -> Vec<FinishedInterval> {
    let from = Now { wall: BEGIN + SECOND * 60 * number, mono: Mono::default() };
    let mut ledger = Ledger::new([SECOND], SECOND * 60, from);
    ledger.apply(
        &Event::Address { probe: ProbeId(0), address: Some(address.into()) },
        &mut Vec::new(),
    );
    ledger.close(Now { wall: from.wall + SECOND * 60, mono: from.mono + SECOND * 60 });
    ledger.finished().into_iter().flatten().collect()
}

#[test]
fn what_waits_is_written_of_the_probe_that_had_the_place_then() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), BEGIN).unwrap();
    let keys = Keys::fixed(SecretKey::from_seed(&[7; 32]));
    let summariser =
        Summariser { keys, site: "s".to_owned(), boot: "b".to_owned(), every: SECOND * 60 };
    let mut database =
        Database::new(Box::new(SystemClock), store, summariser, std::sync::mpsc::channel().0);
    let setup = |seat| {
        let (site, keep) = ("s".to_owned(), Keep::default());
        Job::Reconfigure(Box::new(Setup {
            site,
            every: SECOND * 60,
            keep,
            probes: vec![seat],
            contracts: Vec::new(),
        }))
    };
    let seats = [seat("p", None), seat("p", Some("x")), seat("q", None)];
    for (seat, number) in seats.into_iter().zip(0..) {
        database.take(setup(seat));
        database.take(Job::Siblings(minute(number, [192, 0, 2, 1])));
    }
    database.commit();
    for (number, last) in [(3, 1), (4, 2), (5, 1)] {
        database.take(Job::Siblings(minute(number, [192, 0, 2, last])));
        database.commit();
    }
    let all = database.store.all_series().unwrap().into_values();
    let all: Vec<_> = all.map(|one| (one.probe, one.service, one.address)).collect();
    let one = |name: &str, service: Option<&str>, last| {
        (name.to_owned(), service.map(str::to_owned), Some(IpAddr::from([192, 0, 2, last])))
    };
    assert_eq!(
        all,
        [one("p", None, 1), one("p", Some("x"), 1), one("q", None, 1), one("q", None, 2)]
    );
    let count = |probe| database.store.intervals(probe, BEGIN, BEGIN + SECOND * 600).unwrap().len();
    assert_eq!((count("p"), count("q")), (2, 4));
}
