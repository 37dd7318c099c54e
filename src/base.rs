//! The words that every other room uses: instants on the two clocks, exact numbers, names, files of
//! a known greatest length, how much work may be done, and JSON without keys that are there twice.

pub mod bounded;
pub mod decimal;
pub mod effort;
pub mod json;
pub mod text;
pub mod time;
