//! Histograms of which many are held at once: only the slots that hold something, and one board
//! with all slots on which they are added up.

use super::figures::SLOTS;
use super::{NotAHistogram, Packed};

/// A histogram as its occupied slots, in rising order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(u16, u64)>);

/// All slots, to add up in: 140 kB, so there is one of it for many [`Counts`].
#[derive(Clone, Debug)]
pub struct Board {
    slots: Box<[u64]>,
    /// The occupied ones are from the first up to and without the second.
    within: (usize, usize),
}

impl Default for Board {
    fn default() -> Self {
        let slots = usize::try_from(SLOTS).expect("17 rows of 1,024");
        Self { slots: vec![0; slots].into(), within: (slots, 0) }
    }
}

impl Board {
    /// Adds all values of one at rest.
    ///
    /// # Errors
    /// As [`Packed::unpack`]; then some may have been added.
    pub fn add(&mut self, packed: &Packed) -> Result<(), NotAHistogram> {
        let mut next = 0;
        packed.each_run(|empty, count| {
            let slot = usize::try_from(empty).map_or(usize::MAX, |empty| next + empty);
            self.put(slot, count);
            next = slot + 1;
        })
    }

    /// Adds all values of another.
    pub fn add_counts(&mut self, counts: &Counts) {
        counts.0.iter().for_each(|&(slot, count)| self.put(slot.into(), count));
    }

    fn put(&mut self, slot: usize, count: u64) {
        if let Some(here) = self.slots.get_mut(slot) {
            *here = here.saturating_add(count);
            self.within = (self.within.0.min(slot), self.within.1.max(slot + 1));
        }
    }

    /// What was added since the last time; the board is empty then.
    pub fn take(&mut self) -> Counts {
        let (first, end) = self.within;
        self.within = (self.slots.len(), 0);
        let Some(used) = self.slots.get_mut(first..end) else { return Counts::default() };
        let occupied = (first..).zip(used.iter()).filter(|&(_, &count)| count > 0);
        let counts = occupied
            .map(|(slot, &count)| (u16::try_from(slot).expect("17 rows of 1,024"), count))
            .collect();
        used.fill(0);
        Counts(counts)
    }
}

impl Counts {
    /// How many values it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |all, &(_, count)| all.saturating_add(count))
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest value in microseconds, as the lowest equivalent one.
    #[must_use]
    pub fn min_us(&self) -> Option<u64> {
        self.0.first().map(|&(slot, _)| bounds(slot).0)
    }

    /// The largest value in microseconds, as the highest equivalent one.
    #[must_use]
    pub fn max_us(&self) -> Option<u64> {
        self.0.last().map(|&(slot, _)| bounds(slot).1)
    }

    /// The value at the smallest rank that is at least `numerator / denominator` of the count, in
    /// microseconds, as the highest equivalent one.
    #[must_use]
    pub fn value_at_us(&self, numerator: u64, denominator: u64) -> Option<u64> {
        let wanted = (u128::from(self.count()) * u128::from(numerator))
            .div_ceil(u128::from(denominator.max(1)))
            .max(1);
        let mut seen = 0u128;
        self.0.iter().find_map(|&(slot, count)| {
            seen += u128::from(count);
            (seen >= wanted).then(|| bounds(slot).1)
        })
    }

    /// The occupied slots in rising order: the highest equivalent value in microseconds, and how
    /// many.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|&(slot, count)| (bounds(slot).1, count))
    }
}

/// The lowest and the highest value in microseconds that a slot counts.
fn bounds(slot: u16) -> (u64, u64) {
    // The first two rows count single microseconds; each row after them twice as many in a slot as
    // the one before.
    let slot = u64::from(slot);
    let row = (slot >> 10).saturating_sub(1);
    let lowest = (slot - (row << 10)) << row;
    (lowest, lowest + (1 << row) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::histogram::Histogram;
    use proptest::prelude::*;

    fn whole(values: &[u64]) -> Histogram {
        let mut all = Histogram::new();
        values.iter().for_each(|&value| _ = all.record_us(value));
        all
    }

    #[test]
    fn nothing_has_no_figures() {
        let counts = Board::default().take();
        assert!(counts.is_empty());
        assert_eq!(
            (counts.min_us(), counts.value_at_us(1, 2), counts.max_us()),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn their_figures_are_those_of_the_whole_histogram(
            one in prop::collection::vec(prop_oneof![0u64..3000, 0u64..70_000_000], 1..80),
            other in prop::collection::vec(0u64..70_000_000, 0..80),
        ) {
            let mut board = Board::default();
            // Whatever was on it before is gone.
            board.add(&whole(&other).pack().unwrap_or_else(|| whole(&one).pack().unwrap())).unwrap();
            let before = board.take();
            board.add(&whole(&one).pack().unwrap()).unwrap();
            if !other.is_empty() {
                board.add_counts(&before);
            }
            let (counts, all) = (board.take(), whole(&[one, other].concat()));
            prop_assert_eq!(counts.count(), all.count());
            prop_assert_eq!(counts.min_us(), Some(all.min_us()));
            prop_assert_eq!(counts.max_us(), Some(all.max_us()));
            for (part, of) in [(0, 1), (1, 10), (1, 2), (9, 10), (95, 100), (99, 100), (1, 1)] {
                prop_assert_eq!(counts.value_at_us(part, of), Some(all.value_at_us(part, of)));
            }
            let recorded: Vec<_> = all.recorded().collect();
            prop_assert_eq!(counts.recorded().collect::<Vec<_>>(), recorded);
        }
    }
}
