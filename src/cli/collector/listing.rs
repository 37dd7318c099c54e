//! Lists of what the database holds, shown as tables or as JSON; and who sits at the terminal.

use serde::Serialize;

use crate::base::time::{Clock, SystemClock};
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::archive::Archive;
use crate::collector::archive::audit::Via;
use crate::collector::operations::agreements::Book;
use crate::collector::operations::{Actor, DeskError};

/// Who sits at the terminal, now.
pub(super) fn actor() -> Actor {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let who = user.map_or_else(|| format!("uid {}", nix::unistd::getuid()), |user| user.name);
    Actor { who, via: Via::Command, now: SystemClock.now().wall }
}

/// A list that is shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Listing {
    #[command(flatten)]
    pub(super) source: Source,
    /// As JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Listing {
    /// Shows a list: as JSON, or as a table with a heading; in words where it is empty.
    pub(super) fn show<T: Serialize>(
        &self,
        all: &[T],
        heading: &[&str],
        row: impl Fn(&T) -> Vec<String>,
        none: &str,
    ) -> Result<(), Failure> {
        if self.json {
            return print::json(&all);
        }
        if all.is_empty() {
            return print::line(none);
        }
        let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
        print::line(print::fitted(&heading, &all.iter().map(row).collect::<Vec<_>>()))
    }

    /// Does something in a transaction.
    pub(super) fn change<T>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, DeskError>,
    ) -> Result<T, Failure> {
        let (_, mut archive) = self.source.archive()?;
        Ok(archive.write(act)?)
    }

    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    pub(super) fn archive(&self) -> Result<Archive, Failure> {
        Ok(self.source.archive()?.1)
    }

    pub(super) fn book(&self) -> Result<(Archive, Book), Failure> {
        let (config, archive) = self.source.archive()?;
        let book = Book::load(&archive, config.contracts_dir.as_deref())?;
        Ok((archive, book))
    }
}
