//! `wanproof top`: every probe now, what is down, what is due; live on a terminal, or once as text.

use std::io::IsTerminal as _;

use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};

mod history;
mod model;
mod plain;
mod reading;
#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod terminal;
#[cfg(feature = "top")]
mod view;
mod words;

use reading::Reader;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Print it once, as text
    #[arg(long)]
    plain: bool,
}

/// Runs it.
///
/// # Errors
/// When the data cannot be read, or the terminal cannot be used.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut reader = Reader::new(args.source.found()?)?;
    if !args.plain && std::io::stdout().is_terminal() {
        #[cfg(feature = "top")]
        if std::io::stdin().is_terminal() && std::env::var_os("TERM").is_some_and(|of| of != "dumb")
        {
            return terminal::run(reader).map(|()| Exit::Done);
        }
        #[cfg(not(feature = "top"))]
        print::note("this build has no full screen; this is how it is now");
    }
    reader.judge();
    print::line(plain::text(&reader.frame(None), print::width()))?;
    Ok(Exit::Done)
}
