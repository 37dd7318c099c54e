//! `wanproof verify`: evidence, checked offline.

use crate::cli::{Exit, Failure};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// Says what could not be done.
pub fn run(_args: &Args) -> Result<Exit, Failure> {
    Err(Failure::Could("this is being built".to_owned()))
}
