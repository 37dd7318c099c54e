//! Logarithms and round numbers, in whole numbers alone.

/// The binary logarithm in 65,536ths, rounded down; of zero that of one.
#[must_use]
pub fn log2(of: u64) -> u64 {
    let of = of.max(1);
    let whole = u64::from(of.ilog2());
    // The mantissa from 1 to 2, with 31 bits after the point.
    let mut mantissa = if whole > 31 { of >> (whole - 31) } else { of << (31 - whole) };
    let mut log = whole;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        let carry = mantissa >> 32;
        mantissa >>= carry;
        log = (log << 1) | carry;
    }
    log
}

/// A number rounded down or up to so many leading digits.
fn rounded(of: u64, digits: u32, up: bool) -> u64 {
    let unit = 10u64.pow(of.max(1).ilog10().saturating_sub(digits - 1));
    if up { of.div_ceil(unit) * unit } else { of / unit * unit }
}

/// `rows + 1` bounds that rise by about the same factor from `low` to `high`, as round as they can
/// be told apart.
#[must_use]
pub fn bounds(low: u64, high: u64, rows: usize) -> Vec<u64> {
    let low = low.max(1);
    // Rows that are closer than what a histogram tells apart would say nothing.
    let high = high.max(low + low / 4).max(low + 2 * u64::try_from(rows).unwrap_or(1));
    let mut all = Vec::new();
    for digits in 1..=6 {
        let (first, last) = (rounded(low, digits, false).max(1), rounded(high, digits, true));
        let (from, to) = (log2(first), log2(last));
        let at = |row: usize| {
            let part = u64::try_from(row).unwrap_or(0);
            let log = from + (to - from) * part / u64::try_from(rows.max(1)).unwrap_or(1);
            nearest(log, digits)
        };
        all = std::iter::once(first).chain((1..rows).map(at)).chain([last]).collect();
        let slack = (last - first).saturating_sub(high - low);
        if all.windows(2).all(|two| two[0] < two[1]) && slack <= (high - low) / 4 {
            break;
        }
    }
    all.dedup();
    all
}

/// The number with so many leading digits whose logarithm is next to one.
fn nearest(log: u64, digits: u32) -> u64 {
    let (mut low, mut high) = (1u64, 1 << 40);
    while low < high {
        let middle = low.midpoint(high);
        if log2(middle) < log { low = middle + 1 } else { high = middle }
    }
    let (below, above) = (rounded(low, digits, false), rounded(low, digits, true));
    if low - below <= above - low { below } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_logarithm_is_that_of_mathematics_to_a_65536th() {
        for of in [1u64, 2, 3, 10, 24_000, 60_000_000, 1 << 40, (1 << 50) + 12_345] {
            #[expect(clippy::cast_precision_loss, reason = "a test's reference")]
            let exact = (of as f64).log2() * 65_536.0;
            #[expect(clippy::cast_precision_loss, reason = "a test's reference")]
            let off = (log2(of) as f64 - exact).abs();
            assert!(off < 2.0, "{of}: {off}");
        }
    }

    #[test]
    fn bounds_are_numbers_that_a_person_would_choose() {
        assert_eq!(bounds(1000, 1_000_000, 3), [1000, 10_000, 100_000, 1_000_000]);
        assert_eq!(
            bounds(23_412, 48_731, 8),
            [23_000, 25_000, 28_000, 31_000, 34_000, 37_000, 41_000, 45_000, 49_000]
        );
    }

    proptest! {
        #[test]
        fn bounds_rise_and_hold_all_between(
            low in 0u64..60_000_000, more in 0u64..60_000_000, rows in 1usize..20,
        ) {
            let all = bounds(low, low + more, rows);
            prop_assert_eq!(all.len(), rows + 1, "{:?}", &all);
            prop_assert!(all.windows(2).all(|two| two[0] < two[1]), "{:?}", &all);
            prop_assert!(all[0] <= low.max(1) && all[rows] >= low + more);
        }
    }
}
