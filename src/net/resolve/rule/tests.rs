use super::*;

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const SIX: &str = "2001:db8::1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn known(text: &str) -> Resolution {
    Resolution::Known(ip(text))
}

fn v4(addresses: &[&str]) -> Answer {
    Answer {
        families: vec![Ok(addresses.iter().map(|text| ip(text)).collect())],
        valid: Duration::from_secs(60),
    }
}

fn both(four: Result<&str, Failure>, six: Result<&str, Failure>) -> Answer {
    let family = |found: Result<&str, Failure>| found.map(|text| vec![ip(text)]);
    Answer { families: vec![family(four), family(six)], valid: Duration::from_secs(60) }
}

fn at(seconds: u64) -> Mono {
    Mono::from_nanos(seconds * 1_000_000_000)
}

fn always(_: IpAddr) -> bool {
    true
}

#[test]
fn the_present_address_stays_while_it_is_among_the_answers() {
    let mut held = NameState::default();
    assert_eq!(held.resolution(), Resolution::Pending);
    held.take(v4(&[A, B]), at(0), always);
    held.take(v4(&[B, A]), at(60), always);
    assert_eq!(held.resolution(), known(A));
    held.take(v4(&[B]), at(120), always);
    assert_eq!(held.resolution(), known(B));
}

#[test]
fn of_any_family_ipv4_comes_first_unless_only_ipv6_has_a_route() {
    let mut held = NameState::default();
    held.take(both(Ok(A), Ok(SIX)), at(0), always);
    assert_eq!(held.resolution(), known(A));
    let mut held = NameState::default();
    held.take(both(Ok(A), Ok(SIX)), at(0), |address| address.is_ipv6());
    assert_eq!(held.resolution(), known(SIX));
}

#[test]
fn what_was_chosen_without_a_route_is_chosen_anew_once_there_is_one() {
    let mut held = NameState::default();
    let pause = held.take(both(Ok(A), Ok(SIX)), at(0), |_| false);
    assert_eq!((held.resolution(), pause), (known(A), RETRY));
    held.take(both(Ok(A), Ok(SIX)), at(30), |address| address.is_ipv6());
    assert_eq!(held.resolution(), known(SIX));
    held.take(both(Ok(A), Ok(SIX)), at(60), |_| false);
    assert_eq!(held.resolution(), known(SIX), "a route that is lost later is the line's matter");
}

#[test]
fn an_ipv6_address_is_kept_while_only_its_own_look_up_gets_no_answer() {
    let mut held = NameState::default();
    held.take(both(Err(Failure::NoAddress), Ok(SIX)), at(0), always);
    held.take(both(Ok(A), Err(Failure::NoAnswer)), at(60), always);
    assert_eq!(held.resolution(), known(SIX));
    held.take(both(Ok(A), Err(Failure::NoAddress)), at(120), always);
    assert_eq!(held.resolution(), known(A));
}

#[test]
fn the_last_address_outlives_dead_servers_for_three_days_and_a_denial_for_ten_minutes() {
    let mut held = NameState::default();
    held.take(v4(&[A]), at(0), always);
    held.take(Answer::failed(Failure::NoAnswer), at(STALE.as_secs()), always);
    assert_eq!(held.resolution(), known(A));
    held.take(Answer::failed(Failure::ServerFailed), at(STALE.as_secs() + 1), always);
    assert_eq!(held.resolution(), Resolution::Failed(Failure::ServerFailed));

    let mut held = NameState::default();
    held.take(v4(&[A]), at(0), always);
    held.take(Answer::failed(Failure::NoSuchName), at(DENIED.as_secs()), always);
    assert_eq!(held.resolution(), known(A));
    held.take(Answer::failed(Failure::NoSuchName), at(DENIED.as_secs() + 1), always);
    assert_eq!(held.resolution(), Resolution::Failed(Failure::NoSuchName));
}

#[test]
fn look_ups_that_fail_are_repeated_soon_and_then_less_often() {
    let mut held = NameState::default();
    let mut pause = || held.take(Answer::failed(Failure::NoAnswer), at(0), always).as_secs();
    assert_eq!(
        [pause(), pause(), pause(), pause(), pause(), pause(), pause()],
        [1, 2, 4, 8, 16, 30, 30]
    );
    assert_eq!(held.take(v4(&[A]), at(0), always).as_secs(), 60);
    assert_eq!(held.take(Answer::failed(Failure::NoAnswer), at(0), always).as_secs(), 1);
}

#[test]
fn a_ttl_is_held_within_its_bounds() {
    let mut held = NameState::default();
    let mut pause = |seconds| {
        held.take(Answer { valid: Duration::from_secs(seconds), ..v4(&[A]) }, at(0), always)
    };
    assert_eq!(
        [pause(0), pause(300), pause(86_400)],
        [SHORTEST, Duration::from_secs(300), LONGEST]
    );
}

#[test]
fn an_address_at_which_no_other_host_can_be_is_no_answer() {
    let answer = |families: &[&[&str]]| Answer {
        families: families
            .iter()
            .map(|all| Ok(all.iter().map(|text| ip(text)).collect()))
            .collect(),
        valid: Duration::from_secs(60),
    };
    let mut held = NameState::default();
    held.take(
        answer(&[&["0.0.0.0", "127.0.0.1", A], &["::"]]).of_hosts(AddressKind::of),
        at(0),
        always,
    );
    assert_eq!(held.resolution(), known(A));
    // A CPE that has lost its line may say so; the address is kept for as long as after a
    // denial.
    let said = || answer(&[&["0.0.0.0"], &["ff02::1"]]).of_hosts(AddressKind::of);
    held.take(said(), at(60), always);
    assert_eq!(held.resolution(), known(A));
    held.take(said(), at(61 + DENIED.as_secs()), always);
    assert_eq!(held.resolution(), Resolution::Failed(Failure::NoHost(AddressKind::Unspecified)));
    assert_eq!(
        Failure::NoHost(AddressKind::Unspecified).reason().to_string(),
        "not-sent/address-unspecified"
    );
}

#[test]
fn a_family_that_was_not_heard_of_is_not_a_name_without_addresses() {
    assert_eq!(both(Err(Failure::NoAddress), Err(Failure::NoAnswer)).failure(), Failure::NoAnswer);
    assert_eq!(
        both(Err(Failure::NoAddress), Err(Failure::NoSuchName)).failure(),
        Failure::NoAddress
    );
}
