//! The programs as their users meet them: processes in the fake WAN, or on loopback. They wait more
//! than they work, so they share a program and wait side by side.

#[path = "../kit/mod.rs"]
mod kit;

mod agent;
mod collector;
mod copies;
mod diagnosis;
mod end_to_end;
#[cfg(all(feature = "agent", feature = "collector"))]
mod ending;
mod evidence;
mod history;
mod hooks;
#[cfg(all(feature = "agent", feature = "collector"))]
mod kill;
mod measuring;
mod metrics;
mod ping;
#[cfg(all(feature = "agent", feature = "collector"))]
mod quickstart;
mod soak;
mod start;
#[cfg(all(feature = "agent", feature = "collector"))]
mod successor;
mod tail;
#[cfg(feature = "top")]
mod top;
mod trace;
mod watchdog;
mod why;
