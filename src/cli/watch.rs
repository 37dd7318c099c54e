//! `--watch`: a command again and again, in place on a terminal, one after the other elsewhere.

use std::time::Duration;

use crate::cli::{Exit, Failure, print};

/// The argument.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Watch {
    /// Again and again until Ctrl-C, every so many seconds [2 without a number]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
}

impl Watch {
    /// Runs a command once, or again and again. What goes wrong later than at first is told, and
    /// tried again: an agent may be on its way up.
    ///
    /// # Errors
    /// When the command fails the first time, or standard output cannot be written.
    pub fn run(self, once: impl Fn() -> Result<Exit, Failure>) -> Result<Exit, Failure> {
        let Some(seconds) = self.watch else { return once() };
        let mut first = true;
        loop {
            let (result, mut text) = print::kept(&once);
            match result {
                Err(Failure::Unread) => return Err(Failure::Unread),
                Err(failure) if first => return Err(failure),
                Err(failure) => text.push_str(&format!("{failure}\n")),
                Ok(_) => {}
            }
            print::in_place(&text, first)?;
            first = false;
            std::thread::sleep(Duration::from_secs(seconds));
        }
    }
}
