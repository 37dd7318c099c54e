//! The sockets, and what this host says of its links and its clock.

#[cfg(feature = "agent")]
pub mod alarm;
#[cfg(feature = "agent")]
pub mod clock;
pub mod exposition;
#[cfg(feature = "agent")]
pub mod hop;
#[cfg(feature = "agent")]
pub mod icmp;
#[cfg(feature = "agent")]
pub mod link;
#[cfg(all(feature = "agent", any(target_os = "linux", target_os = "android")))]
mod netlink;
#[cfg(any(feature = "agent", feature = "collector"))]
pub mod privileges;
#[cfg(feature = "agent")]
pub mod requests;
#[cfg(feature = "agent")]
pub mod resolve;
#[cfg(feature = "agent")]
pub mod socket;
#[cfg(feature = "agent")]
pub mod trace;
pub mod trust;
mod validity;
pub mod web;
