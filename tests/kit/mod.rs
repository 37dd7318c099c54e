//! What the integration tests share: the fake WAN, and programs that run inside it.
//!
//! ```ignore
//! let Some(wan) = Wan::start(r#"[[address]]
//! at = "10.99.1.1"
//! loss = 0.1
//! "#) else { return };                                   // it has said why
//! let pinged = wan.output("ping", &["-c", "3", "10.99.1.1"]);
//! let truth = wan.end();
//! assert_eq!(truth.echoes("10.99.1.1").len(), 3);
//! ```
#![expect(
    dead_code,
    reason = "each test uses a part; the network writes the log that tests only read"
)]

#[cfg(feature = "agent")]
pub mod edge;
pub mod fate;
#[cfg(all(feature = "agent", feature = "collector"))]
pub mod fleet;
#[cfg(feature = "collector")]
pub mod foreign;
pub mod log;
pub mod notify;
pub mod postgres;
pub mod process;
pub mod scenario;
pub mod secret;
pub mod soak;
pub mod summaries;
pub mod truth;
pub mod wan;
