//! What a command that moves a contract or a claim says beside it, and files that it is given.

use std::path::Path;

use crate::base::bounded;
use crate::base::time::Wall;
use crate::cli::Failure;
use crate::cli::given::{TIME, instant};
use crate::collector::operations::agreements::Step;

/// When, who, by which evidence.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct StepArgs {
    /// With take_effect, supersede, end and void of a version: from when, in UTC, such as
    /// 2026-02-01T00:00:00Z [default: now; a version takes effect when it says so itself]. Else
    /// when it happened, kept as what you say
    #[arg(long, value_name = TIME, value_parser = instant)]
    at: Option<Wall>,
    /// Who did it, kept as what you say beside who sits here
    #[arg(long, allow_hyphen_values = true)]
    who: Option<String>,
    /// The digest of its evidence
    #[arg(long, allow_hyphen_values = true)]
    evidence: Option<String>,
    /// How much was granted, with accept_partly
    #[arg(long)]
    amount: Option<String>,
}

impl StepArgs {
    pub(super) fn step(&self) -> Step {
        let (who, evidence, amount) =
            (self.who.clone(), self.evidence.clone(), self.amount.clone());
        Step { at: self.at, who, evidence, amount, signatures: None }
    }
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    bounded::read_text(path)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
}
