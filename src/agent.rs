//! The edge program.

pub mod live;
pub mod recorder;
pub mod shipper;
pub mod summariser;
