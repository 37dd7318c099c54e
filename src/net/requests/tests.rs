use super::*;
use crate::measure::probe::{Circuit, Family, Role};

const SECOND: Duration = Duration::from_secs(1);

fn probe() -> Probe {
    Probe {
        name: "under-test".to_owned(),
        service: None,
        role: Role::Path,
        test: Test::Tcp { host: "127.0.0.1".to_owned(), port: 9 },
        family: Family::Any,
        period: SECOND,
        timeout: 4 * SECOND,
        cutoff: 2 * SECOND,
        circuit: Circuit::default(),
    }
}

/// A request that began so long ago by the clock that stops in a suspend, and by the one that
/// goes on.
fn begun(running: Duration, boot: Duration) -> Course {
    let now = SystemClock.now().mono;
    let boot = Mono::from_nanos(now.nanos() - u64::try_from(boot.as_nanos()).unwrap());
    let running = Instant::now().checked_sub(running).unwrap();
    Course { begun: Some(Begun { running, boot }), ..Course::default() }
}

fn letter(course: Course, result: Result<(), Reason>) -> char {
    course.settle(result, &probe()).outcome.letter()
}

#[test]
fn an_answer_is_good_late_or_lost_by_how_long_it_took() {
    let ended = |after: Duration| {
        let mut course = begun(after, after);
        course.ended = course.begun.map(|begun| begun.running + after);
        course
    };
    assert_eq!(letter(ended(SECOND), Ok(())), 'a');
    assert_eq!(letter(ended(3 * SECOND), Ok(())), 't');
    assert_eq!(letter(ended(4 * SECOND + SECOND / 10), Ok(())), 'l');
    let attempt = ended(SECOND).settle(Ok(()), &probe());
    assert_eq!(attempt.rtt_ns, Some(1_000_000_000));
}

#[test]
fn time_in_which_this_process_did_not_run_says_nothing_of_the_path() {
    assert_eq!(letter(begun(4 * SECOND, 4 * SECOND), Err(Reason::TIMEOUT)), 'l');
    assert_eq!(
        letter(begun(5 * SECOND, 5 * SECOND), Err(Reason::TIMEOUT)),
        'x',
        "stopped: the timer rang too late"
    );
    assert_eq!(letter(begun(SECOND, 60 * SECOND), Ok(())), 'x', "suspended");
    assert_eq!(letter(Course::default(), Err(Reason::NAME)), 'n');
}
