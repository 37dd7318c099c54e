use super::*;

#[test]
fn a_wall_time_is_written_as_rfc_3339_in_utc_and_read_back() {
    let at: Wall = "2026-11-23T10:00:00.5+01:00".parse().unwrap();
    assert_eq!(at.to_string(), "2026-11-23T09:00:00.5Z");
    assert_eq!(Wall::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
    assert!("2026-13-01T00:00:00Z".parse::<Wall>().is_err());
}

#[test]
fn a_minute_begins_at_a_multiple_of_sixty_seconds_before_the_epoch_too() {
    assert_eq!(Wall::from_secs(61).floor(Duration::from_secs(60)), Wall::from_secs(60));
    assert_eq!(Wall::from_secs(-1).floor(Duration::from_secs(60)), Wall::from_secs(-60));
}

#[test]
fn durations_are_read_and_written_in_the_same_words() {
    for text in ["1s", "20ms", "5m", "1h30m", "90d", "250us", "1m0s500ms"] {
        let length = parse_duration(text).unwrap();
        assert_eq!(parse_duration(&format_duration(length)).unwrap(), length, "{text}");
    }
    for text in ["", "5", "s", "1.5s", "5 s", "1w", "99999999999999999999s", "-1s"] {
        assert_eq!(parse_duration(text), Err(NotADuration(text.to_owned())));
    }
}

#[test]
fn a_reading_of_both_clocks_turns_one_into_the_other() {
    let now = Now { wall: Wall::from_secs(1000), mono: Mono::from_nanos(5_000_000_000) };
    let later = Mono::from_nanos(7_500_000_000);
    assert_eq!(now.wall_of(later), Wall::from_millis(1_002_500));
    assert_eq!(now.mono_of(Wall::from_millis(1_002_500)), later);
    assert_eq!(now.mono_of(Wall::from_secs(0)), Mono::from_nanos(0));
}

#[test]
fn a_process_that_is_stopped_between_two_readings_sees_no_step() {
    use std::cell::Cell;
    const OFFSET: i64 = 1_700_000_000_000_000_000;
    // How long each reading takes, in nanoseconds: two are interrupted, for 300 ms and for 40
    // ms.
    let lengths = [100, 300_000_000, 100, 40_000_000, 100, 100, 100, 100, 100];
    let (at, next) = (Cell::new(1_000_000_000_000u64), Cell::new(0));
    let read = || {
        let now = at.get();
        at.set(now + lengths[next.replace(next.get() + 1)]);
        now
    };
    let now = closest(
        || Mono::from_nanos(read()),
        || Wall::from_nanos(i64::try_from(read()).unwrap() + OFFSET),
    );
    let offset = now.wall.nanos() - i64::try_from(now.mono.nanos()).unwrap();
    assert!((0..=200).contains(&(offset - OFFSET)), "{} ns off", offset - OFFSET);
}

#[test]
fn of_readings_that_all_are_interrupted_the_closest_counts() {
    use std::cell::Cell;
    let (at, step) = (Cell::new(0u64), Cell::new(8_000_000u64));
    let read = || {
        let now = at.get();
        at.set(now + step.replace((step.get() / 2).max(50_000)));
        now
    };
    let now =
        closest(|| Mono::from_nanos(read()), || Wall::from_nanos(i64::try_from(read()).unwrap()));
    assert!(now.wall.nanos() - i64::try_from(now.mono.nanos()).unwrap() <= 125_000, "{now:?}");
}
