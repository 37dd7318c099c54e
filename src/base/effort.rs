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
    /// Steps since it was asked.
    steps: Cell<u64>,
    spent: Cell<bool>,
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
        Self { is_enough: None, steps: Cell::new(0), spent: Cell::new(false) }
    }

    /// One that is spent as soon as `is_enough` says so: a deadline that has passed, a program that
    /// ends.
    #[must_use]
    pub const fn until(is_enough: &'a dyn Fn() -> bool) -> Self {
        Self { is_enough: Some(is_enough), steps: Cell::new(0), spent: Cell::new(false) }
    }

    /// Whether so many steps more may be done. Once it says no, it says no for good.
    #[must_use]
    pub fn allows(&self, steps: u64) -> bool {
        let Some(is_enough) = self.is_enough else { return true };
        if self.spent.get() {
            return false;
        }
        let since = self.steps.get().saturating_add(steps);
        if since < BETWEEN {
            self.steps.set(since);
            return true;
        }
        self.steps.set(0);
        self.spent.set(is_enough());
        !self.spent.get()
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
    fn an_unlimited_one_is_never_spent() {
        let effort = Effort::unlimited();
        assert!((0..10_000).all(|_| effort.allows(u64::MAX)) && !effort.is_spent());
    }
}
