//! wanproof proves, with evidence that both sides of a contract can check, whether a WAN service
//! met its SLA.
//!
//! # The map of this house
//!
//! A file imports from its own room and from the floors below it, never upwards; `tests/floors/`
//! reads the `use` lines and keeps it so.
//!
//! | floor | room | what it knows |
//! |---|---|---|
//! | 5 | [`cli`] | one file for each subcommand; what is printed for people and as JSON |
//! | 4 | `agent`, `collector` | the two programs: they wire things together and do not know each other |
//! | 3 | `net`, [`store`], `config` | the edges: sockets, the edge database, TOML files; they do not know each other |
//! | 2 | [`measure`], then [`sla`] and [`draw`], then [`evidence`] | the rules: pure functions, no socket, file, clock, sleep or `async`; each may use those before it |
//! | 1 | [`base`] | the words: time and exact numbers |

pub mod base;
pub mod cli;
pub mod config;
pub mod draw;
pub mod evidence;
pub mod measure;
pub mod sla;
pub mod store;

#[cfg(feature = "agent")]
pub mod agent;
#[cfg(feature = "collector")]
pub mod collector;
#[cfg(any(feature = "agent", feature = "collector"))]
pub mod net;

/// Name and version, as summaries and requests carry them.
pub const SOFTWARE: &str = concat!("wanproof ", env!("CARGO_PKG_VERSION"));
