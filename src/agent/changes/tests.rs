use super::*;
use crate::measure::event::{ProbeId, Settled};
use crate::measure::outcome::Reason;

fn at(seconds: u64) -> Mono {
    Mono::from_nanos((1_000 + seconds) * 1_000_000_000)
}

fn lines(changes: &mut Changes, seconds: u64) -> Vec<(&'static str, String)> {
    let lines = changes.lines(at(seconds), |probe| format!("p{probe}"));
    lines.into_iter().map(|(kind, told)| (kind.word(), told)).collect()
}

fn hops(probe: u32, before: u8, now: u8) -> Event {
    Event::Hops { probe: ProbeId(probe), before, now }
}

fn refused(probe: u32, from: [u8; 4]) -> Event {
    Event::Settled(Settled {
        probe: ProbeId(probe),
        send: 0,
        outcome: Outcome::Refused,
        rtt_ns: None,
        stamp: None,
        reason: Some(Reason::new(Outcome::Refused, "host-unreachable")),
        seq: Some(0),
        ttl: None,
        bytes: None,
        from: Some(from.into()),
        phases: Vec::new(),
    })
}

#[test]
fn a_path_that_flaps_is_one_line_a_minute() {
    let mut changes = Changes::default();
    changes.take(&hops(1, 58, 57));
    let first = lines(&mut changes, 0);
    assert_eq!(first, [("reply-ttl", "p1: replies come with TTL 57, 58 before".to_owned())]);
    for _ in 0..100 {
        changes.take(&hops(1, 57, 58));
        changes.take(&hops(1, 58, 57));
    }
    assert_eq!(lines(&mut changes, 59), []);
    let next = lines(&mut changes, 60);
    assert_eq!(
        next,
        [("reply-ttl", "p1: replies come with TTL 57, 57 before (200 changes)".to_owned())]
    );
    assert_eq!(lines(&mut changes, 600), []);
}

#[test]
fn the_first_address_and_certificate_are_no_change_but_a_name_without_an_address_is_told() {
    let address = |probe, last: Option<u8>| Event::Address {
        probe: ProbeId(probe),
        address: last.map(|last| IpAddr::from([192, 0, 2, last])),
    };
    let mut changes = Changes::default();
    let until = |secs| Event::Certificate { probe: ProbeId(0), until: Wall::from_secs(secs) };
    changes.take(&address(0, Some(1)));
    changes.take(&address(1, None));
    changes.take(&until(1_700_000_000));
    assert_eq!(
        lines(&mut changes, 0),
        [("address", "p1 has no address: its name does not resolve".to_owned())]
    );
    changes.take(&address(0, Some(2)));
    changes.take(&address(1, Some(3)));
    changes.take(&until(1_800_000_000));
    assert_eq!(
        lines(&mut changes, 60),
        [
            ("address", "p0 has the address 192.0.2.2; p1 has the address 192.0.2.3".to_owned()),
            (
                "certificate",
                "p0: the server has another, valid until 2027-01-15T08:00:00Z".to_owned()
            ),
        ]
    );
}

#[test]
fn a_router_that_goes_on_refusing_is_told_once_an_hour_and_another_at_once() {
    let mut changes = Changes::default();
    let mut told = Vec::new();
    for minute in 0..61 {
        changes.take(&refused(0, [10, 0, 0, 1]));
        changes.take(&refused(0, [10, 0, 0, 1]));
        if minute == 7 {
            changes.take(&refused(0, [10, 0, 0, 2]));
        }
        told.extend(lines(&mut changes, minute * 60).into_iter().map(|(_, line)| (minute, line)));
    }
    let says =
        |router: &str, count: u32| format!("p0: host-unreachable, says {router} ({count} times)");
    assert_eq!(
        told,
        [(0, says("10.0.0.1", 2)), (7, says("10.0.0.2", 1)), (60, says("10.0.0.1", 2))]
    );
}

#[test]
fn an_outage_is_told_once_when_it_begins_and_ends_whoever_else_judges_the_probe() {
    let outage = |definition: &str, to: Option<i64>| Outage {
        service: None,
        probe: "portal".to_owned(),
        definition: definition.to_owned(),
        from: Wall::from_secs(1_700_000_000),
        to: to.map(|millis| Wall::from_nanos(1_700_000_000_000_000_000 + millis * 1_000_000)),
        side: "unknown".to_owned(),
        evidence: serde_json::json!({"reasons": {"lost/timeout": 1, "refused/status-503": 12}}),
    };
    let mut changes = Changes::default();
    changes.outage(&outage("a/1#x", None));
    changes.outage(&outage("b/1#x", None));
    assert_eq!(
        lines(&mut changes, 0),
        [("outage", "portal: down, refused/status-503 and lost/timeout".to_owned())]
    );
    changes.outage(&outage("a/1#x", Some(423_450)));
    changes.outage(&Outage { evidence: serde_json::json!({}), ..outage("b/1#x", None) });
    assert_eq!(lines(&mut changes, 59), []);
    assert_eq!(
        lines(&mut changes, 60),
        [(
            "outage",
            "portal: down; portal: up again after 423.5 s, refused/status-503 and lost/timeout"
                .to_owned()
        )]
    );
    let unseen = serde_json::json!({"end": "not observed: another configuration was taken"});
    changes.outage(&Outage { evidence: unseen, ..outage("a/1#x", Some(1000)) });
    changes.hurry();
    assert_eq!(
        lines(&mut changes, 61),
        [(
            "outage",
            "portal: down for 1.0 s, then not observed: another configuration was taken".to_owned()
        )]
    );
}

#[test]
fn when_all_paths_change_at_once_some_are_named_and_the_others_counted() {
    let mut changes = Changes::default();
    (0..1000).for_each(|probe| changes.take(&hops(probe, 64, 63)));
    let told = lines(&mut changes, 0);
    assert_eq!(told.len(), 1);
    assert!(told[0].1.ends_with("; and 980 more") && told[0].1.len() < 2000, "{}", told[0].1);
}
