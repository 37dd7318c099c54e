//! The sockets, and what this host says of its links and its clock.

pub mod alarm;
pub mod clock;
pub mod icmp;
pub mod link;
pub mod requests;
pub mod resolve;
pub mod socket;
pub mod trace;
