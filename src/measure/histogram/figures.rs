//! The few figures of a histogram that are asked for most.

use super::NotAHistogram;

/// The counts' slots: 17 rows of 1,024.
pub(super) const SLOTS: u64 = 17 * 1024;

/// Bytes of the uncompressed form before its counts.
pub(super) const HEADER: usize = 40;

/// What a histogram holds: how many values, and between what their exact sum lies when each was
/// somewhere in its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many values.
    pub count: u64,
    /// The sum of the lowest equivalent values, in microseconds.
    pub lowest_us: u128,
    /// The sum of the highest equivalent values, in microseconds.
    pub highest_us: u128,
}

impl Figures {
    /// Walks through the counts of the uncompressed form.
    pub(super) fn of(plain: &[u8]) -> Result<Self, NotAHistogram> {
        const UNREADABLE: NotAHistogram = NotAHistogram::Form("its counts cannot be read");
        let mut counts = &plain[HEADER..];
        let mut figures = Self::default();
        let mut slot = 0u64;
        while let Some(number) = zigzag(&mut counts) {
            match number.ok_or(UNREADABLE)? {
                // It has no counterpart above zero, and no histogram is so long.
                i64::MIN => return Err(UNREADABLE),
                empty @ ..0 => slot = slot.saturating_add(empty.unsigned_abs()),
                count if slot < SLOTS => {
                    figures.add(slot, count.unsigned_abs())?;
                    slot += 1;
                }
                _ => return Err(UNREADABLE),
            }
        }
        Ok(figures)
    }

    pub(super) fn add(&mut self, index: u64, count: u64) -> Result<(), NotAHistogram> {
        self.count = self
            .count
            .checked_add(count)
            .filter(|&all| all <= u64::from(u32::MAX))
            .ok_or(NotAHistogram::TooLarge)?;
        // The first two rows count single microseconds; each row after them twice as many in a slot
        // as the one before.
        let row = (index >> 10).saturating_sub(1);
        let lowest = (index - (row << 10)) << row;
        self.lowest_us += u128::from(count) * u128::from(lowest);
        self.highest_us += u128::from(count) * u128::from(lowest + (1 << row) - 1);
        Ok(())
    }
}

/// The next number in HdrHistogram's LEB128 (at most nine bytes, the ninth whole), zigzag; nothing
/// at the end, and no number where it is cut short.
pub(super) fn zigzag(bytes: &mut &[u8]) -> Option<Option<i64>> {
    if bytes.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for at in 0..9 {
        let Some((&byte, rest)) = bytes.split_first() else { return Some(None) };
        *bytes = rest;
        if at == 8 {
            number |= u64::from(byte) << 56;
            break;
        }
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
}
