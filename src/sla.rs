//! The contract as data: its terms, its calendar, and its verdicts.
