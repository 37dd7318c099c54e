//! The edge program.
