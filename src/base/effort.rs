//! How much work may still be done. Rules know no clock; whoever asks them for a verdict does, and
//! wants it in time or not at all. An [`Effort`] is handed down to every loop that foreign data
//! drives: the loop tells each step, and ends when no more is allowed. What it has until then is
//! thrown away by whoever asked, which is why a loop may simply stop.

use std::cell::Cell;
use std::fmt;

/// After so many steps it is asked again whether more may be done: some tens of microseconds.
const BETWEEN: u64 = 1024;

/// What may still be done, until somebody says that it is enough.
pub struct Effort<'a> {
    is_enough: Option<&'a dyn Fn() -> bool>,
    /// How many pieces one list may have.
    longest: usize,
    /// Steps since it was asked.
    steps: Cell<u64>,
    spent: Cell<Option<Spent>>,
}

/// Why an effort is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Whoever asked said that it is enough.
    Enough,
    /// A list would have more pieces than it may.
    TooLong,
}

impl fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effort")
            .field("steps", &self.steps)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

impl<'a> Effort<'a> {
    /// One that is never spent.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { is_enough: None, longest: usize::MAX, steps: Cell::new(0), spent: Cell::new(None) }
    }

    /// One that is spent as soon as `is_enough` says so: a deadline that has passed, a program that
    /// ends.
    #[must_use]
    pub const fn until(is_enough: &'a dyn Fn() -> bool) -> Self {
        Self { is_enough: Some(is_enough), ..Self::unlimited() }
    }

    /// The same, which is also spent as soon as one list has more pieces than this.
    #[must_use]
    pub const fn with_lists_of(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// Whether so many steps more may be done. Once it says no, it says no for good.
    #[must_use]
    pub fn allows(&self, steps: u64) -> bool {
        if self.spent.get().is_some() {
            return false;
        }
        let Some(is_enough) = self.is_enough else { return true };
        let since = self.steps.get().saturating_add(steps);
        if since < BETWEEN {
            self.steps.set(since);
            return true;
        }
        self.steps.set(0);
        self.spent.set(is_enough().then_some(Spent::Enough));
        self.spent.get().is_none()
    }

    /// Whether one list may have so many pieces. Once it says no, nothing more is allowed.
    #[must_use]
    pub fn allows_list_of(&self, pieces: usize) -> bool {
        if pieces > self.longest {
            self.spent.set(self.spent.get().or(Some(Spent::TooLong)));
        }
        self.spent.get().is_none()
    }

    /// Why it is spent, as far as is known without asking.
    #[must_use]
    pub const fn spent(&self) -> Option<Spent> {
        self.spent.get()
    }

    /// Whether it is spent, asked now.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        !self.allows(BETWEEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effort_that_is_spent_allows_nothing_ever_after() {
        let asked = Cell::new(0);
        let third = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        let effort = Effort::until(&third);
        let done = (0..).take_while(|_| effort.allows(1)).count() as u64;
        assert_eq!(done, 3 * BETWEEN - 1);
        assert!(!effort.allows(0) && effort.is_spent());
        assert_eq!(asked.get(), 3, "once it is spent nobody is asked any more");
    }

    #[test]
    fn a_list_that_is_too_long_spends_it_and_says_so() {
        let effort = Effort::unlimited().with_lists_of(10);
        assert!(effort.allows_list_of(10) && effort.allows(1));
        assert!(!effort.allows_list_of(11) && !effort.allows(1) && !effort.allows_list_of(1));
        assert_eq!(effort.spent(), Some(Spent::TooLong));
        assert!(Effort::unlimited().allows_list_of(usize::MAX));
    }

    #[test]
    fn an_unlimited_one_is_never_spent() {
        let effort = Effort::unlimited();
        assert!((0..10_000).all(|_| effort.allows(u64::MAX)) && !effort.is_spent());
    }
}
