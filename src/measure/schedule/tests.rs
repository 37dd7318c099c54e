use super::*;
use crate::base::time::Wall;

const SECOND: Duration = Duration::from_secs(1);

fn mono(ms: u64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn drain(schedule: &mut Schedule, now: Mono, unobserved: Option<Mono>) -> Vec<(u32, u64, Chance)> {
    std::iter::from_fn(|| schedule.take(now, unobserved))
        .map(|turn| (turn.probe.0, turn.send, turn.chance))
        .collect()
}

#[test]
fn a_probe_is_due_at_the_same_place_of_its_period_from_start_to_start() {
    let first_due = |wall_ms: i64| {
        let mut schedule = Schedule::default();
        let now = Now { wall: Wall::from_millis(wall_ms), mono: mono(5000) };
        schedule.add(ProbeId(0), "hq-icmp", SECOND, now);
        let due = now.wall_of(schedule.next().unwrap());
        assert!(due >= now.wall && due < now.wall + SECOND);
        due.millis().rem_euclid(1000)
    };
    let place = first_due(1_700_000_000_123);
    assert_eq!([1_700_000_000_999, 1_712_345_678_000, -5].map(first_due), [place; 3]);
    assert_eq!(u128::try_from(place).unwrap(), phase("hq-icmp", SECOND).as_millis());
}

#[test]
fn the_phases_are_the_same_in_every_version() {
    let phases = ["hq-icmp", "portal", "dns"].map(|name| phase(name, SECOND).as_millis());
    assert_eq!(phases, [331, 862, 954]);
}

#[test]
fn targets_are_spread_over_the_period() {
    let mut buckets = [0u32; 50];
    for index in 0..1000 {
        let at = phase(&format!("site-{index}-icmp"), SECOND).as_millis();
        buckets[usize::try_from(at / 20).unwrap()] += 1;
    }
    assert!(buckets.iter().all(|&count| (5..=45).contains(&count)), "{buckets:?}");
}

#[test]
fn sends_are_numbered_without_a_hole_and_given_in_the_order_of_time() {
    let mut schedule = Schedule::default();
    schedule.add_at(ProbeId(0), SECOND, mono(100));
    schedule.add_at(ProbeId(1), SECOND / 2, mono(300));
    assert_eq!(drain(&mut schedule, mono(99), None), []);
    use Chance::Punctual;
    assert_eq!(drain(&mut schedule, mono(300), None), [(0, 0, Punctual), (1, 0, Punctual)]);
    assert_eq!(drain(&mut schedule, mono(1100), None), [(1, 1, Punctual), (0, 1, Punctual)]);
    assert_eq!(schedule.rate(), 3);
}

#[test]
fn what_is_too_late_is_missed_and_not_sent_in_a_burst() {
    let mut schedule = Schedule::default();
    schedule.add_at(ProbeId(0), SECOND, mono(0));
    let turns = drain(&mut schedule, mono(5400), None);
    assert_eq!(turns.len(), 6);
    assert!(turns[..5].iter().all(|turn| turn.2 == Chance::Missed));
    assert_eq!(turns[5].2, Chance::Punctual);
    schedule.add_at(ProbeId(1), Duration::from_millis(20), mono(6010));
    let turns = drain(&mut schedule, mono(6200), None);
    assert_eq!(turns.iter().filter(|turn| turn.0 == 1 && turn.2 == Chance::Punctual).count(), 5);
}

#[test]
fn what_was_due_while_the_process_stood_still_is_missed() {
    let mut schedule = Schedule::default();
    schedule.add_at(ProbeId(0), SECOND, mono(900));
    assert_eq!(drain(&mut schedule, mono(1000), Some(mono(1000))), [(0, 0, Chance::Missed)]);
    assert_eq!(drain(&mut schedule, mono(1900), None), [(0, 1, Chance::Punctual)]);
}

#[test]
fn no_probe_makes_more_sends_than_it_may() {
    let mut schedule = Schedule::default();
    schedule.limit(2);
    schedule.add_at(ProbeId(0), SECOND, mono(0));
    schedule.add_at(ProbeId(1), SECOND, mono(400));
    assert_eq!(drain(&mut schedule, mono(1000), None).len(), 3);
    assert_eq!((drain(&mut schedule, mono(1400), None).len(), schedule.next()), (1, None));
    assert_eq!(drain(&mut schedule, mono(9000), None), []);
}

#[test]
fn a_removed_probe_is_never_due_and_its_place_can_be_taken() {
    let mut schedule = Schedule::default();
    schedule.add_at(ProbeId(0), SECOND, mono(0));
    schedule.remove(ProbeId(0));
    assert_eq!(drain(&mut schedule, mono(1), None), []);
    schedule.add_at(ProbeId(0), SECOND, mono(10));
    schedule.remove(ProbeId(0));
    schedule.add_at(ProbeId(0), SECOND, mono(20));
    assert_eq!(drain(&mut schedule, mono(30), None), [(0, 0, Chance::Punctual)]);
}
