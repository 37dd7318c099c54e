//! wanproof: arguments → run → exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;

/// What a burst of work took is given back to the system within a second (`.cargo/config.toml`).
#[cfg(feature = "collector")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    wanproof::cli::run(wanproof::cli::Cli::parse())
}
