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
pub struct NameState {
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

impl NameState {
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
mod tests;
