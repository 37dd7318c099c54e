//! Interarrival jitter as RFC 3550 estimates it.

/// The running estimate of RFC 3550, section 6.4.1: J += (|D| − J) / 16, begun at zero. Kept as a
/// fixed-point number, so that every host gets the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    /// Nanoseconds times 2^[`Self::SHIFT`].
    scaled: u128,
}

impl Jitter {
    const SHIFT: u32 = 20;

    /// Takes the next absolute difference of transit times, in nanoseconds; gives the estimate
    /// after it, rounded to the nearest nanosecond.
    pub fn add(&mut self, difference_ns: u64) -> u64 {
        let difference = u128::from(difference_ns) << Self::SHIFT;
        self.scaled = (self.scaled * 15 + difference) / 16;
        u64::try_from((self.scaled + (1 << (Self::SHIFT - 1))) >> Self::SHIFT).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_rfc_3550() {
        // RTTs of 20, 22, 19, 25, 25 ms; the estimates are 0.125, 0.304688, 0.660645 and 0.619354
        // ms.
        let mut jitter = Jitter::default();
        let estimates =
            [2_000_000, 3_000_000, 6_000_000, 0].map(|difference| jitter.add(difference));
        assert_eq!(estimates, [125_000, 304_688, 660_645, 619_354]);
    }
}
