//! The last outcomes of a probe, in as few bytes as an agent has for each of its probes.

use crate::measure::outcome::{Outcome, Outcomes};

/// The last outcomes of a probe, in the order in which they were settled: three bits each, 1 to 6,
/// the last one lowest; zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent(u128);

impl Recent {
    /// So many are kept.
    pub const MOST: u32 = 40;

    /// Takes the next one.
    pub fn push(&mut self, outcome: Outcome) {
        let place = Outcome::ALL.iter().position(|of| *of == outcome).unwrap_or(0);
        let code = u128::try_from(place).unwrap_or(0) + 1;
        self.0 = (self.0 << 3 | code) & ((1 << (3 * Self::MOST)) - 1);
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn outcomes(self) -> Outcomes {
        let at = |place: u32| usize::try_from(self.0 >> (3 * place) & 7).unwrap_or(0);
        let codes = (0..Self::MOST).rev().map(at);
        codes.filter_map(|code| Outcome::ALL.get(code.checked_sub(1)?).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_forty_are_kept_in_their_order() {
        let mut recent = Recent::default();
        assert!(recent.outcomes().is_empty());
        Outcome::ALL.iter().for_each(|outcome| recent.push(*outcome));
        assert_eq!(recent.outcomes().to_string(), "1a1t1l1u1n1x");
        (0..38).for_each(|_| recent.push(Outcome::Answered));
        assert_eq!(recent.outcomes().to_string(), "1n1x38a");
    }
}
