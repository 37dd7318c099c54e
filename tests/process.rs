//! The programs as their users meet them: processes in the fake WAN, or on loopback. They wait more
//! than they work, so they share a program and wait side by side.

mod common;

#[path = "process/agent.rs"]
mod agent;
#[path = "process/collector.rs"]
mod collector;
#[path = "process/copies.rs"]
mod copies;
#[path = "process/diagnosis.rs"]
mod diagnosis;
#[path = "process/end_to_end.rs"]
mod end_to_end;
#[cfg(all(feature = "agent", feature = "collector"))]
#[path = "process/ending.rs"]
mod ending;
#[path = "process/evidence.rs"]
mod evidence;
#[path = "process/hooks.rs"]
mod hooks;
#[cfg(all(feature = "agent", feature = "collector"))]
#[path = "process/kill.rs"]
mod kill;
#[path = "process/measuring.rs"]
mod measuring;
#[path = "process/metrics.rs"]
mod metrics;
#[path = "process/ping.rs"]
mod ping;
#[cfg(all(feature = "agent", feature = "collector"))]
#[path = "process/quickstart.rs"]
mod quickstart;
#[path = "process/soak.rs"]
mod soak;
#[path = "process/start.rs"]
mod start;
#[cfg(all(feature = "agent", feature = "collector"))]
#[path = "process/successor.rs"]
mod successor;
#[path = "process/watchdog.rs"]
mod watchdog;
#[path = "process/why.rs"]
mod why;
