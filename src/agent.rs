//! The edge program.

pub mod live;
pub mod prober;
pub mod recorder;
pub mod shipper;
pub mod summariser;
