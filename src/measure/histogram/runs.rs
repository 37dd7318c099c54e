//! A histogram as runs: how many slots are empty, then how many values the next one holds. It is
//! the shortest way to say a minute's worth, and what a database that compresses many together
//! wants.

use std::convert::Infallible;

use super::figures::{SLOTS, zigzag};
use super::{Form, HEADER, Histogram, NotAHistogram, Packed};

const UNREADABLE: NotAHistogram = NotAHistogram::Form("its counts cannot be read");

impl Packed {
    /// Gives each slot that holds something, in rising order: how many empty ones lie before it,
    /// and how many values it holds.
    ///
    /// # Errors
    /// As [`Self::unpack`]; some may have been given by then.
    pub fn each_run(&self, mut give: impl FnMut(u64, u64)) -> Result<(), NotAHistogram> {
        let plain;
        let mut counts = match &self.0 {
            Form::Counts(counts, _) => &**counts,
            Form::Compressed(_) => {
                plain = self.plain()?;
                &plain[HEADER..]
            }
        };
        let (mut empty, mut slots) = (0u64, 0u64);
        while let Some(number) = zigzag(&mut counts) {
            let number = number.ok_or(UNREADABLE)?;
            let run = if number > 0 { 1 } else { number.unsigned_abs().max(1) };
            slots = slots.checked_add(run).filter(|&slots| slots <= SLOTS).ok_or(UNREADABLE)?;
            if number > 0 {
                give(empty, number.unsigned_abs());
                empty = 0;
            } else {
                empty += run;
            }
        }
        Ok(())
    }

    /// The histogram of such runs; the counts must not be zero.
    #[must_use]
    pub fn from_runs(runs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let Ok(packed) = Self::try_from_runs(runs.into_iter().map(Ok::<_, Infallible>));
        packed
    }

    /// The same of runs that may be unreadable.
    ///
    /// # Errors
    /// The first that there is.
    pub fn try_from_runs<E>(
        runs: impl IntoIterator<Item = Result<(u64, u64), E>>,
    ) -> Result<Self, E> {
        let mut counts = Vec::new();
        for run in runs {
            let (empty, count) = run?;
            match i64::try_from(empty).unwrap_or(i64::MAX) {
                0 => {}
                // A single empty slot is a count of zero, as HdrHistogram writes it.
                1 => put(&mut counts, 0),
                more => put(&mut counts, -more),
            }
            put(&mut counts, i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(Self(Form::Counts(counts.into(), None)))
    }
}

impl Histogram {
    /// Adds all values of one at rest.
    ///
    /// # Errors
    /// As [`Packed::unpack`]; then some may have been added.
    pub fn add(&mut self, other: &Packed) -> Result<(), NotAHistogram> {
        let mut slot = 0u64;
        other.each_run(|empty, count| {
            slot += empty;
            // The first two rows count single microseconds; each row after them twice as many in a
            // slot as the one before.
            let row = (slot >> 10).saturating_sub(1);
            let lowest = (slot - (row << 10)) << row;
            self.0.saturating_record_n(lowest, count);
            slot += 1;
        })
    }
}

/// Writes a number as HdrHistogram does: zigzag, LEB128 of at most nine bytes, the ninth whole.
fn put(to: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    for at in 0..9 {
        let byte = rest.to_le_bytes()[0];
        if at == 8 {
            to.push(byte);
        } else if rest < 0x80 {
            to.push(byte);
            return;
        } else {
            to.push(byte | 0x80);
            rest >>= 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(packed: &Packed) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        packed.each_run(|empty, count| all.push((empty, count))).unwrap();
        all
    }

    proptest! {
        #[test]
        fn runs_are_the_histogram_and_give_its_very_bytes(
            values in prop::collection::vec(prop_oneof![0u64..3000, 0u64..70_000_000], 1..80),
            more in 0u64..1_000_000,
        ) {
            let mut all = Histogram::new();
            values.iter().for_each(|&value| { all.record_us(value); });
            (0..more % 300).for_each(|_| { all.record_us(values[0]); });
            let packed = all.pack().unwrap();
            let again = Packed::from_runs(runs(&packed));
            prop_assert_eq!(again.bytes(), packed.bytes());
            let carried = Packed::from_bytes(packed.bytes().into_owned());
            prop_assert_eq!(runs(&carried), runs(&packed));
            prop_assert_eq!(&carried, &again);
            let mut added = Histogram::new();
            added.add(&packed).unwrap();
            prop_assert_eq!(added, all);
        }

        #[test]
        fn large_counts_survive(count in any::<u32>()) {
            let packed = Packed::from_runs([(3, u64::from(count) + 1)]);
            prop_assert_eq!(runs(&packed), vec![(3, u64::from(count) + 1)]);
        }
    }
}
