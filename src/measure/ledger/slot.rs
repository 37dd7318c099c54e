//! One send of an interval in five bytes.

use std::net::IpAddr;

use crate::measure::event::Settled;
use crate::measure::outcome::{Outcome, Reason};

use super::settled_send::{CarrierLoss, TargetWord};

/// A send: unsettled, or its outcome and RTT in nanoseconds. It takes five bytes, since there is
/// one for every send of a minute: the outcome's place plus one in the top three bits, the RTT
/// below them, which is a minute at most. A send without an RTT has a mark in the lowest bit (for
/// one that was not sent, whether the carrier was missing; for one that was refused, whether the
/// target itself did), and above it the place of its reason among those of the interval, plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot([u8; 5]);

impl Slot {
    pub(super) const OPEN: Self = Self([0; 5]);
    pub(super) const SHIFT: u32 = 37;
    pub(super) const LOW: u64 = (1 << Self::SHIFT) - 1;

    /// `reason` is the place of its reason among those of the interval, if it has one.
    pub(super) fn settled(
        settled: &Settled,
        target: Option<IpAddr>,
        reason: Option<usize>,
    ) -> Self {
        let place = Outcome::ALL
            .iter()
            .position(|&each| each == settled.outcome)
            .expect("ALL has every outcome");
        let marked = |mark: bool| {
            u64::from(mark) | reason.map_or(0, |place| (place as u64 + 1) << 1) & Self::LOW
        };
        let low = match settled.outcome {
            Outcome::Answered | Outcome::Late => settled.rtt_ns.unwrap_or(0).min(Self::LOW),
            Outcome::NotSent => marked(settled.reason.as_ref() == Some(&Reason::CARRIER)),
            Outcome::Refused => marked(settled.is_by(target)),
            Outcome::Lost | Outcome::NotObserved => marked(false),
        };
        let [_, _, _, bytes @ ..] = (((place as u64 + 1) << Self::SHIFT) | low).to_be_bytes();
        Self(bytes)
    }

    pub(super) fn bits(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_be_bytes([0, 0, 0, a, b, c, d, e])
    }

    pub(super) fn carrier(self) -> CarrierLoss {
        if self.outcome() == Some(Outcome::NotSent) && self.bits() & 1 != 0 {
            CarrierLoss::Yes
        } else {
            CarrierLoss::No
        }
    }

    pub(super) fn word(self) -> TargetWord {
        if self.outcome() == Some(Outcome::Refused) && self.bits() & 1 != 0 {
            TargetWord::Given
        } else {
            TargetWord::None
        }
    }

    pub(super) fn outcome(self) -> Option<Outcome> {
        let place =
            usize::try_from(self.bits() >> Self::SHIFT).expect("three bits").checked_sub(1)?;
        Some(Outcome::ALL[place])
    }

    /// The place of its reason among those of its interval.
    pub(super) fn reason(self) -> Option<usize> {
        let outcome = self.outcome().filter(|outcome| !outcome.has_rtt());
        outcome.and_then(|_| usize::try_from((self.bits() & Self::LOW) >> 1).ok()?.checked_sub(1))
    }

    pub(super) fn rtt_ns(self) -> Option<u64> {
        self.outcome().filter(|outcome| outcome.has_rtt()).map(|_| self.bits() & Self::LOW)
    }
}
