//! wanproof: arguments → run → exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    wanproof::cli::run(wanproof::cli::Cli::parse())
}
