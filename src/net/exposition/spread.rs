//! Times, counted by buckets of both kinds: the fixed ones that every form of a page has, and those
//! of Prometheus's native histograms.

/// The highest values of the fixed buckets, in microseconds; the last bucket has no end.
const BOUNDS_US: [u64; 13] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000,
];

/// The schema of the native buckets: each ends at 2^(1/8) times the one before, 9 % above it.
pub(super) const SCHEMA: i32 = 3;
/// So many buckets double a value, 2^[`SCHEMA`].
const OCTAVE: f64 = 8.0;
/// Times below a microsecond lie in its bucket, times above a thousand seconds in theirs: so many
/// buckets there are at most.
const RANGE_NS: (u64, u64) = (1_000, 1_000_000_000_000);

/// Times, counted by buckets.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    fixed: [u64; BOUNDS_US.len() + 1],
    /// By the buckets' numbers, ascending; those that are empty are not there.
    native: Vec<(i16, u64)>,
    sum_ns: u128,
}

impl Spread {
    /// Counts a time, in nanoseconds.
    pub fn record_ns(&mut self, nanos: u64) {
        let bucket = BOUNDS_US.partition_point(|&bound| bound * 1000 < nanos);
        self.fixed[bucket] += 1;
        self.sum_ns += u128::from(nanos);
        let bucket = native(nanos);
        match self.native.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.native[place].1 += 1,
            Err(place) => self.native.insert(place, (bucket, 1)),
        }
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u64 {
        self.fixed.iter().sum()
    }

    /// Their sum, in nanoseconds.
    pub(super) const fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// How many took up to each fixed bound, in microseconds; the last has none.
    pub(super) fn up_to(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let mut count = 0;
        self.fixed.iter().enumerate().map(move |(bucket, within)| {
            count += within;
            (BOUNDS_US.get(bucket).copied(), count)
        })
    }

    /// How many lie in each native bucket, by ascending numbers; those that are empty are not
    /// there.
    pub(super) fn native(&self) -> &[(i16, u64)] {
        &self.native
    }
}

/// The number of the native bucket that a time lies in: bucket `i` ends at 2^(i/8) seconds.
fn native(nanos: u64) -> i16 {
    let seconds = nanos.clamp(RANGE_NS.0, RANGE_NS.1) as f64 / 1e9;
    #[expect(clippy::cast_possible_truncation, reason = "by the range it is between -159 and 80")]
    let bucket = (seconds.log2() * OCTAVE).ceil() as i16;
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_are_so_many_native_buckets_and_no_more() {
        assert_eq!((native(0), native(1_000)), (-159, -159));
        assert_eq!(
            (native(1_000_000_000), native(1_000_000_001), native(2_000_000_000)),
            (0, 1, 8)
        );
        assert_eq!((native(RANGE_NS.1), native(u64::MAX)), (80, 80));
    }

    proptest! {
        #[test]
        fn a_time_lies_in_the_native_bucket_around_it(nanos in RANGE_NS.0..RANGE_NS.1) {
            let (end, seconds) = (f64::from(native(nanos)) / OCTAVE, nanos as f64 / 1e9);
            // The next double is no other time.
            prop_assert!(end.exp2() >= seconds * (1.0 - 1e-15), "{nanos}");
            prop_assert!((end - 1.0 / OCTAVE).exp2() <= seconds * (1.0 + 1e-15), "{nanos}");
        }

        #[test]
        fn both_kinds_of_buckets_have_every_time_once(
            all in proptest::collection::vec(any::<u64>(), 0..100),
        ) {
            let mut spread = Spread::default();
            all.iter().for_each(|&nanos| spread.record_ns(nanos));
            prop_assert_eq!(spread.count(), all.len() as u64);
            prop_assert_eq!(
                spread.native().iter().map(|(_, count)| count).sum::<u64>(),
                all.len() as u64
            );
            prop_assert!(spread.native().is_sorted_by(|a, b| a.0 < b.0));
            prop_assert_eq!(spread.up_to().last().unwrap(), (None, all.len() as u64));
        }
    }
}
