//! Contracts and facts, judged: the format's own vectors, what every term does, and what may never
//! happen.

mod broken;
mod cases;
#[cfg(feature = "agent")]
mod claims;
mod commands;
mod foreign;
mod letters;
mod measured;
mod properties;
#[cfg(feature = "agent")]
mod replay;
mod required;
#[cfg(feature = "agent")]
mod rolled;
mod rules;
mod shipped;
mod signed;
mod support;
mod terms;
mod vectors;
mod versions;
#[cfg(feature = "agent")]
mod warnings;
