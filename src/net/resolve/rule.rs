//! Which address a name has, by the answers so far: the rules that [`super`] states, without a
//! clock or a socket.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::time::Mono;
use crate::measure::address_kind::AddressKind;
use crate::net::resolve::{DENIED, Failure, LONGEST, RETRY, Resolution, SHORTEST, STALE};

/// What one look-up brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One for each family that was asked for, IPv4 first: its addresses in the order of the answer
    /// (never empty), or why there are none.
    pub families: Vec<Result<Vec<IpAddr>, Failure>>,
    /// How long it may be relied on; the shortest TTL in it.
    pub valid: Duration,
}

impl Answer {
    /// An answer that is the same failure whatever family was asked for.
    pub fn failed(failure: Failure) -> Self {
        Self { families: vec![Err(failure)], valid: Duration::ZERO }
    }

    /// The same without the addresses at which no other host can be.
    pub fn of_hosts(mut self, place: impl Fn(IpAddr) -> AddressKind) -> Self {
        for family in &mut self.families {
            let Ok(found) = family else { continue };
            let first = found.first().map(|&address| place(address));
            found.retain(|&address| place(address) == AddressKind::Elsewhere);
            if found.is_empty() {
                *family = Err(Failure::NoHost(first.unwrap_or(AddressKind::Unspecified)));
            }
        }
        self
    }

    /// The failure to be told, when there is no address at all: what may be over soon before what
    /// is definite.
    fn failure(&self) -> Failure {
        let all = || self.families.iter().filter_map(|family| family.as_ref().err().copied());
        // A name without an address of one family and unknown for the other is not a name without
        // any.
        let told = all().find(|failure| !failure.is_definite());
        let told = told.or_else(|| all().find(|failure| matches!(failure, Failure::NoHost(_))));
        told.or_else(|| all().next()).unwrap_or(Failure::NoAddress)
    }
}

/// The address of a name, and what became of its latest look-ups.
#[derive(Debug, Default)]
pub struct Held {
    present: Option<Present>,
    /// Why the last look-up brought nothing.
    failure: Option<Failure>,
    /// Look-ups without an address, one after the other.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Present {
    address: IpAddr,
    /// When an answer last held it.
    confirmed: Mono,
    /// A route led to it when it was chosen.
    firm: bool,
}

impl Held {
    /// Takes the answer of a look-up that ended at `now`, and gives how long to wait until the
    /// next.
    pub fn take(
        &mut self,
        answer: Answer,
        now: Mono,
        has_route: impl Fn(IpAddr) -> bool,
    ) -> Duration {
        let mut found = answer.families.iter().flatten().flatten().copied().peekable();
        if found.peek().is_none() {
            return self.fail(answer.failure(), now);
        }
        // The present address's own family may be the one whose look-up got no answer: that does
        // not speak against it.
        let unheard = self.present.is_some_and(|present| {
            !answer
                .families
                .iter()
                .flatten()
                .flatten()
                .any(|found| found.is_ipv4() == present.address.is_ipv4())
                && answer
                    .families
                    .iter()
                    .any(|family| family.as_ref().is_err_and(|failure| !failure.is_definite()))
                && now - present.confirmed <= STALE
        });
        self.failures = 0;
        self.failure = None;
        if unheard {
            return RETRY;
        }
        let kept = self.present.filter(|present| {
            present.firm && found.clone().any(|address| address == present.address)
        });
        let chosen = kept.unwrap_or_else(|| {
            let first = found.clone().next().expect("it was looked at above");
            let routed = found.find(|&address| has_route(address));
            Present { address: routed.unwrap_or(first), confirmed: now, firm: routed.is_some() }
        });
        self.present = Some(Present { confirmed: now, ..chosen });
        let longest = if chosen.firm { LONGEST } else { RETRY };
        answer.valid.clamp(SHORTEST, longest)
    }

    fn fail(&mut self, failure: Failure, now: Mono) -> Duration {
        let kept_for = if failure.is_definite() { DENIED } else { STALE };
        self.present = self.present.filter(|present| now - present.confirmed <= kept_for);
        self.failure = Some(failure);
        self.failures = self.failures.saturating_add(1);
        let doubled = Duration::from_secs(1u64 << (self.failures - 1).min(5));
        doubled.min(RETRY)
    }

    /// What is known now.
    pub fn resolution(&self) -> Resolution {
        match (self.present, self.failure) {
            (Some(present), _) => Resolution::Known(present.address),
            (None, Some(failure)) => Resolution::Failed(failure),
            (None, None) => Resolution::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut held = Held::default();
        assert_eq!(held.resolution(), Resolution::Pending);
        held.take(v4(&[A, B]), at(0), always);
        held.take(v4(&[B, A]), at(60), always);
        assert_eq!(held.resolution(), known(A));
        held.take(v4(&[B]), at(120), always);
        assert_eq!(held.resolution(), known(B));
    }

    #[test]
    fn of_any_family_ipv4_comes_first_unless_only_ipv6_has_a_route() {
        let mut held = Held::default();
        held.take(both(Ok(A), Ok(SIX)), at(0), always);
        assert_eq!(held.resolution(), known(A));
        let mut held = Held::default();
        held.take(both(Ok(A), Ok(SIX)), at(0), |address| address.is_ipv6());
        assert_eq!(held.resolution(), known(SIX));
    }

    #[test]
    fn what_was_chosen_without_a_route_is_chosen_anew_once_there_is_one() {
        let mut held = Held::default();
        let pause = held.take(both(Ok(A), Ok(SIX)), at(0), |_| false);
        assert_eq!((held.resolution(), pause), (known(A), RETRY));
        held.take(both(Ok(A), Ok(SIX)), at(30), |address| address.is_ipv6());
        assert_eq!(held.resolution(), known(SIX));
        held.take(both(Ok(A), Ok(SIX)), at(60), |_| false);
        assert_eq!(
            held.resolution(),
            known(SIX),
            "a route that is lost later is the line's matter"
        );
    }

    #[test]
    fn an_ipv6_address_is_kept_while_only_its_own_look_up_gets_no_answer() {
        let mut held = Held::default();
        held.take(both(Err(Failure::NoAddress), Ok(SIX)), at(0), always);
        held.take(both(Ok(A), Err(Failure::NoAnswer)), at(60), always);
        assert_eq!(held.resolution(), known(SIX));
        held.take(both(Ok(A), Err(Failure::NoAddress)), at(120), always);
        assert_eq!(held.resolution(), known(A));
    }

    #[test]
    fn the_last_address_outlives_dead_servers_for_three_days_and_a_denial_for_ten_minutes() {
        let mut held = Held::default();
        held.take(v4(&[A]), at(0), always);
        held.take(Answer::failed(Failure::NoAnswer), at(STALE.as_secs()), always);
        assert_eq!(held.resolution(), known(A));
        held.take(Answer::failed(Failure::ServerFailed), at(STALE.as_secs() + 1), always);
        assert_eq!(held.resolution(), Resolution::Failed(Failure::ServerFailed));

        let mut held = Held::default();
        held.take(v4(&[A]), at(0), always);
        held.take(Answer::failed(Failure::NoSuchName), at(DENIED.as_secs()), always);
        assert_eq!(held.resolution(), known(A));
        held.take(Answer::failed(Failure::NoSuchName), at(DENIED.as_secs() + 1), always);
        assert_eq!(held.resolution(), Resolution::Failed(Failure::NoSuchName));
    }

    #[test]
    fn look_ups_that_fail_are_repeated_soon_and_then_less_often() {
        let mut held = Held::default();
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
        let mut held = Held::default();
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
        let mut held = Held::default();
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
        assert_eq!(
            held.resolution(),
            Resolution::Failed(Failure::NoHost(AddressKind::Unspecified))
        );
        assert_eq!(
            Failure::NoHost(AddressKind::Unspecified).reason().to_string(),
            "not-sent/address-unspecified"
        );
    }

    #[test]
    fn a_family_that_was_not_heard_of_is_not_a_name_without_addresses() {
        assert_eq!(
            both(Err(Failure::NoAddress), Err(Failure::NoAnswer)).failure(),
            Failure::NoAnswer
        );
        assert_eq!(
            both(Err(Failure::NoAddress), Err(Failure::NoSuchName)).failure(),
            Failure::NoAddress
        );
    }
}
