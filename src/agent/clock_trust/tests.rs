use super::*;

const TRUE: Wall = Wall::from_secs(1_800_000_000);

fn at(wall: Wall, mono: u64) -> Now {
    Now { wall, mono: Mono::from_nanos(mono * 1_000_000_000) }
}

fn kept(kept: ClockDiscipline) -> impl FnOnce() -> ClockDiscipline {
    move || kept
}

#[test]
fn a_clock_that_says_less_than_is_known_is_doubted_and_no_other() {
    let begin = |wall, kept, newest| ClockTrust::begin(at(wall, 50), kept, newest, None).1;
    let (day, doubted) = (Duration::from_secs(86_400), Start::Doubted(Since::Now));
    assert_eq!(begin(Wall::from_secs(50), ClockDiscipline::Unsynchronised, None), doubted, "1970");
    assert_eq!(
        begin(Wall::from_secs(50), ClockDiscipline::Synchronised, None),
        doubted,
        "no such clock is kept"
    );
    assert_eq!(begin(TRUE - day, ClockDiscipline::Unsynchronised, Some(TRUE)), doubted);
    assert_eq!(begin(TRUE - day, ClockDiscipline::Unknown, Some(TRUE)), doubted);
    assert_eq!(
        begin(TRUE - day, ClockDiscipline::Synchronised, Some(TRUE)),
        Start::Relied,
        "what is stored may be wrong"
    );
    assert_eq!(begin(TRUE, ClockDiscipline::Unsynchronised, Some(TRUE - day)), Start::Relied);
    assert_eq!(begin(TRUE, ClockDiscipline::Unsynchronised, None), Start::Relied);
    assert_eq!(begin(TRUE - MARGIN, ClockDiscipline::Unsynchronised, Some(TRUE)), Start::Relied);
}

#[test]
fn the_dial_runs_on_until_the_clock_is_set_and_no_wrong_step_ends_the_doubt() {
    let (mut clock_trust, _) = ClockTrust::begin(
        at(Wall::from_secs(50), 50),
        ClockDiscipline::Unsynchronised,
        Some(TRUE),
        None,
    );
    let look = |clock_trust: &mut ClockTrust, now| {
        clock_trust.look(now, kept(ClockDiscipline::Unsynchronised))
    };
    assert_eq!(clock_trust.read(at(TRUE, 60)), at(Wall::from_secs(60), 60));
    assert_eq!(look(&mut clock_trust, at(Wall::from_secs(60), 60)), None);
    // Somebody sets last year; it runs on, and beyond what is known.
    let year = Duration::from_secs(365 * 86_400);
    assert_eq!(look(&mut clock_trust, at(TRUE - year, 70)), None);
    assert_eq!(look(&mut clock_trust, at(TRUE - year + Duration::from_secs(1), 71)), None);
    assert_eq!(clock_trust.read(at(TRUE - year, 70)), at(Wall::from_secs(70), 70));
    assert_eq!(look(&mut clock_trust, at(TRUE + year, 80)), Some(End::Set));
    assert_eq!((clock_trust.is_doubted(), clock_trust.read(at(TRUE, 90))), (false, at(TRUE, 90)));
}

#[test]
fn a_clock_that_the_kernel_says_is_kept_is_set_without_a_step() {
    let (mut clock_trust, _) = ClockTrust::begin(
        at(TRUE - LONGEST, 50),
        ClockDiscipline::Unsynchronised,
        Some(TRUE),
        None,
    );
    assert_eq!(
        clock_trust.look(at(TRUE - LONGEST, 50), kept(ClockDiscipline::Unsynchronised)),
        None
    );
    assert_eq!(
        clock_trust.look(at(TRUE - LONGEST, 50), kept(ClockDiscipline::Synchronised)),
        Some(End::Set)
    );
}

#[test]
fn a_clock_that_is_never_set_is_doubted_for_a_day_or_as_long_as_there_is_room() {
    let after = |clock_trust: &mut ClockTrust, wall: Wall, seconds| {
        (1..=seconds).find(|second| {
            let now = at(wall + Duration::from_secs(*second), 50 + second);
            clock_trust.look(now, kept(ClockDiscipline::Unsynchronised)).is_some()
        })
    };
    let (mut clock_trust, _) = ClockTrust::begin(
        at(TRUE - LONGEST * 9, 50),
        ClockDiscipline::Unsynchronised,
        Some(TRUE),
        None,
    );
    assert_eq!(after(&mut clock_trust, TRUE - LONGEST * 9, 100_000), Some(86_401));
    // In 1970 it is not done: as long as there is room, the truth is waited for.
    let (mut clock_trust, _) =
        ClockTrust::begin(at(Wall::from_secs(50), 50), ClockDiscipline::Unsynchronised, None, None);
    clock_trust.limit(100, 16_000);
    assert_eq!(after(&mut clock_trust, Wall::from_secs(50), 200_000), None);
    clock_trust.holds(900);
    assert_eq!(after(&mut clock_trust, Wall::from_secs(200_050), 1), None);
    clock_trust.holds(1);
    let now = at(Wall::from_secs(50), 50);
    assert_eq!(clock_trust.look(now, kept(ClockDiscipline::Unsynchronised)), Some(End::GivenUp));
}

#[test]
fn a_restart_within_the_boot_goes_on_doubting_until_the_clock_was_set_meanwhile() {
    let before = Doubt { boot: "b".to_owned(), ahead_ns: 0 };
    let begin = |now, kept| ClockTrust::begin(now, kept, Some(TRUE), Some(&before));
    let (clock_trust, start) = begin(at(Wall::from_secs(90), 90), ClockDiscipline::Unsynchronised);
    assert_eq!(start, Start::Doubted(Since::Before));
    assert_eq!(
        (clock_trust.ahead_ns(), clock_trust.read(at(TRUE, 95)).wall),
        (Some(0), Wall::from_secs(95))
    );
    assert_eq!(begin(at(TRUE, 90), ClockDiscipline::Unsynchronised).1, Start::Relied);
    assert_eq!(by(ahead(at(TRUE, 90)), Mono::from_nanos(0)), TRUE - Duration::from_secs(90));
}
