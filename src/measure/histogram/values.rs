//! The values of a histogram that is made at once. A minute holds few: to sort their slots takes
//! less time, and far less memory, than to count in every slot that there is.

use crate::measure::histogram::{HIGHEST_US, Packed, Recorded};

/// Values to be packed.
#[derive(Clone, Debug, Default)]
pub struct Values {
    slots: Vec<u16>,
}

impl Values {
    /// Takes one in nanoseconds, rounded to the nearest microsecond.
    pub fn record_ns(&mut self, nanos: u64) -> Recorded {
        let micros = nanos.saturating_add(500) / 1000;
        self.slots.push(slot(micros.min(HIGHEST_US)));
        if micros > HIGHEST_US { Recorded::Clamped } else { Recorded::Exactly }
    }

    /// The histogram of those taken since the last time; absent when there were none.
    pub fn pack(&mut self) -> Option<Packed> {
        self.slots.sort_unstable();
        let mut next = 0;
        let runs = self.slots.chunk_by(|a, b| a == b).map(|same| {
            let empty = same[0] - next;
            next = same[0] + 1;
            (u64::from(empty), same.len() as u64)
        });
        let packed = (!self.slots.is_empty()).then(|| Packed::from_runs(runs));
        self.slots.clear();
        packed
    }
}

/// The slot of a value up to [`HIGHEST_US`].
fn slot(micros: u64) -> u16 {
    // The first two rows count single microseconds; each row after them twice as many in a slot as
    // the one before.
    let row = (u64::BITS - micros.leading_zeros()).saturating_sub(11);
    u16::try_from((u64::from(row) << 10) + (micros >> row)).expect("17 rows of 1,024")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::Histogram;
    use proptest::prelude::*;

    #[test]
    fn once_packed_they_are_gone() {
        let mut all = Values::default();
        all.record_ns(24_000_000);
        assert!(all.pack().is_some());
        assert_eq!(all.pack(), None);
    }

    proptest! {
        #[test]
        fn they_are_packed_to_the_very_bytes_of_their_histogram(
            values in prop::collection::vec(
                prop_oneof![0u64..3_000_000, 0u64..70_000_000_000],
                0..80,
            ),
        ) {
            let (mut all, mut counted) = (Values::default(), Histogram::new());
            for &nanos in &values {
                prop_assert_eq!(all.record_ns(nanos), counted.record_ns(nanos));
            }
            let bytes = |packed: Option<Packed>| packed.map(|packed| packed.bytes().into_owned());
            prop_assert_eq!(bytes(all.pack()), bytes(counted.pack()));
        }
    }
}
