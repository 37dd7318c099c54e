//! `wanproof collector accept`: evidence that came too late counts, since somebody says why.

use crate::cli::collector::listing::actor;
use crate::cli::collector::source::Source;
use crate::cli::given::agent;
use crate::cli::{Failure, print};
use crate::collector::operations::late::{self, Accept};
use crate::evidence::chain::ChainId;
use crate::evidence::key::Kid;

/// Numbers of a chain: `17` or `17-42`.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
}

impl std::str::FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.parse(), to.parse()) {
            (Ok(from), Ok(to)) if from <= to => Ok(Self { from, to }),
            _ => Err("expected a number or a range of them, such as 17 or 17-42".to_owned()),
        }
    }
}

/// Which late evidence is accepted, and why.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The agent
    #[arg(allow_hyphen_values = true, value_parser = agent)]
    agent: Kid,
    /// The chain, as `collector findings` names it
    #[arg(allow_hyphen_values = true)]
    chain: ChainId,
    /// The numbers: 17, or 17-42
    numbers: Range,
    /// What speaks for it that nobody made them up; it stands in every bundle that rests on them
    #[arg(long, allow_hyphen_values = true)]
    why: String,
    #[command(flatten)]
    source: Source,
}

/// Accepts it.
pub(super) fn accept(args: &Args) -> Result<(), Failure> {
    let (_, mut archive) = args.source.archive()?;
    let Range { from, to } = args.numbers;
    let what = Accept {
        agent: args.agent,
        chain: args.chain,
        from_seq: from,
        to_seq: to,
        why: args.why.clone(),
    };
    let count = archive.write(|archive| late::accept(archive, &what, &actor()))?;
    print::line(format_args!(
        "{count} of the numbers {from} to {to} count from now on; what they touch is judged anew, \
            but for frozen verdicts"
    ))
}
