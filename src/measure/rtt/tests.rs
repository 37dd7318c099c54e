use super::*;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000_000;

fn reading(mono: u64, offset: i64) -> Reading {
    let wall = Wall::from_nanos(i64::try_from(mono).unwrap() + offset);
    Reading { now: Now { wall, mono: Mono::from_nanos(mono) }, width: Duration::ZERO }
}

fn stamp(mono: u64, offset: i64) -> Wall {
    Wall::from_nanos(i64::try_from(mono).unwrap() + offset)
}

const OFFSET: i64 = 1_700_000_000_000_000_000;
const BOOT: u64 = 100_000_000_000_000;

#[test]
fn two_kernel_stamps_under_a_quiet_clock_are_the_rtt() {
    let mut line = Timeline::new(reading(BOOT, OFFSET));
    let sent = line.seen();
    assert_eq!(line.observe(reading(BOOT + 30_000_000, OFFSET)), None);
    let tx = line.place(stamp(BOOT + 7_000, OFFSET), sent.at);
    let rx = line.place(stamp(BOOT + 24_019_400, OFFSET), sent.at);
    assert_eq!(
        Wait { sent, tx, rx, seen: line.seen() }.rtt(),
        Rtt { ns: 24_012_400, stamp: Stamp::Kernel }
    );
}

#[test]
fn without_a_transmit_stamp_the_wait_begins_at_the_call_and_ends_at_the_receive_stamp() {
    let mut line = Timeline::new(reading(BOOT, OFFSET));
    let sent = line.seen();
    line.observe(reading(BOOT + 90_000_000, OFFSET));
    let rx = line.place(stamp(BOOT + 24_000_000, OFFSET), sent.at);
    assert_eq!(
        Wait { sent, tx: None, rx, seen: line.seen() }.rtt(),
        Rtt { ns: 24_000_000, stamp: Stamp::User }
    );
    let bare = Wait { sent, tx: None, rx: None, seen: line.seen() };
    assert_eq!(bare.rtt(), Rtt { ns: 90_000_000, stamp: Stamp::User });
}

#[test]
fn stamps_out_of_order_are_not_believed() {
    let line = Timeline::new(reading(BOOT, OFFSET));
    let moment = |ms: u64| Moment { at: Mono::from_nanos(BOOT + ms * 1_000_000), era: line.era };
    let wait = |tx, rx| Wait {
        sent: moment(10),
        tx: Some(moment(tx)),
        rx: Some(moment(rx)),
        seen: moment(50),
    };
    assert_eq!(wait(11, 40).rtt(), Rtt { ns: 29_000_000, stamp: Stamp::Kernel });
    assert_eq!(wait(5, 40).rtt(), Rtt { ns: 30_000_000, stamp: Stamp::User });
    assert_eq!(wait(40, 11).rtt(), Rtt { ns: 10_000_000, stamp: Stamp::User });
    assert_eq!(wait(11, 60).rtt(), Rtt { ns: 39_000_000, stamp: Stamp::User });
}

#[test]
fn a_step_that_came_and_went_during_the_wait_is_remembered() {
    let mut line = Timeline::new(reading(BOOT, OFFSET));
    let sent = line.seen();
    assert_eq!(
        line.observe(reading(BOOT + 10_000_000, OFFSET + HOUR)).map(|step| step.by_ns),
        Some(HOUR)
    );
    assert_eq!(
        line.observe(reading(BOOT + 20_000_000, OFFSET)).map(|step| step.by_ns),
        Some(-HOUR)
    );
    line.observe(reading(BOOT + 30_000_000, OFFSET));
    let rx = line.place(stamp(BOOT + 25_000_000, OFFSET), Mono::from_nanos(BOOT + 20_000_000));
    let wait = Wait { sent, tx: None, rx, seen: line.seen() };
    assert_eq!(wait.rtt(), Rtt { ns: 25_000_000, stamp: Stamp::User });
}

#[test]
fn a_reading_that_was_interrupted_is_no_step() {
    let mut line = Timeline::new(reading(BOOT, OFFSET));
    let late = Reading {
        width: Duration::from_millis(3),
        ..reading(BOOT + 1_000_000, OFFSET + 2_900_000)
    };
    assert_eq!(line.observe(late), None);
    assert_eq!(line.observe(reading(BOOT + 5_000_000, OFFSET)), None);
}

proptest! {
    /// Whatever moment the clock is stepped at, forwards or backwards, the RTT is as it was.
    #[test]
    fn a_stepped_clock_never_reaches_a_figure(
        step in prop_oneof![Just(HOUR), Just(-HOUR), 200_000_000i64..HOUR, -HOUR..-200_000_000],
        stepped in 0u64..60_000_000,
        tick in 1_000_000u64..20_000_000,
        rtt in 100_000u64..50_000_000,
    ) {
        let offset = |mono: u64| if mono >= BOOT + stepped { OFFSET + step } else { OFFSET };
        let mut line = Timeline::new(reading(BOOT - 1, offset(BOOT - 1)));
        line.observe(reading(BOOT, offset(BOOT)));
        let sent = line.seen();
        let (tx_at, rx_at) = (BOOT + 5_000, BOOT + 5_000 + rtt);
        let (mut tx, mut rx) = (None, None);
        for pass in 1u64.. {
            let (since, now) = (BOOT + (pass - 1) * tick, BOOT + pass * tick);
            line.observe(reading(now, offset(now)));
            let since = Mono::from_nanos(since);
            let heard = |at: u64| since.nanos() <= at && at < now;
            if heard(tx_at) {
                tx = line.place(stamp(tx_at, offset(tx_at)), since);
            }
            if heard(rx_at) {
                rx = line.place(stamp(rx_at, offset(rx_at)), since);
                break;
            }
        }
        let measured = Wait { sent, tx, rx, seen: line.seen() }.rtt();
        prop_assert_eq!(measured.ns, rtt);
        let quiet = sent.era == line.seen().era;
        prop_assert_eq!(measured.stamp == Stamp::Kernel, quiet, "{:?}", measured);
    }
}
