//! `wanproof collector bundle`: the evidence behind a verdict, with the collector's own facts,
//! contracts and figures.

use std::fs;
use std::path::PathBuf;

use crate::cli::collector::keys;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::archive::Archive;
use crate::collector::operations::agreements::Book;
use crate::collector::operations::rulings::{self, Ruling};
use crate::collector::operations::{DeskError, claims};

/// Which verdict, and where its bundle goes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Wanted {
    /// The contract's id
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    contract: String,
    /// The service
    #[arg(long, allow_hyphen_values = true)]
    service: String,
    /// The month, such as 2026-11
    #[arg(long)]
    period: String,
    /// The number of a verdict that was kept: 0 is the first [default: that which the claim asked
    /// for, else the present one]
    #[arg(long, value_name = "N")]
    revision: Option<u32>,
    /// Where the bundle is written
    #[arg(long, value_name = "FILE.zip")]
    out: PathBuf,
}

/// Writes the bundle.
pub(super) fn write(wanted: &Wanted, source: &Source) -> Result<(), Failure> {
    let (config, archive) = source.archive()?;
    let book = Book::load(&archive, config.contracts_dir.as_deref())?;
    let ruling = ruling(wanted, &archive)?;
    let mut keys = vec![*keys::own(&config)?.public()];
    keys.extend(archive.former_keys()?);
    let bytes = rulings::bundle(&archive, &book, &ruling, &keys)?;
    let out = wanted.out.display();
    fs::write(&wanted.out, &bytes)
        .map_err(|error| Failure::Could(format!("{out} cannot be written: {error}")))?;
    let money = ruling.judgement.report.map_or_else(String::new, |report| {
        format!(
            "{} {} for {} in {}; ",
            report.credit, report.currency, report.service, report.period
        )
    });
    print::line(format_args!(
        "{out}: {}; {money}the other side checks it with `wanproof verify --key AGENT.jwk --key \
            COLLECTOR.jwk {out}`",
        print::bytes(bytes.len() as u64),
    ))
}

fn ruling(wanted: &Wanted, archive: &Archive) -> Result<Ruling, Failure> {
    let Wanted { contract, service, period, .. } = wanted;
    let of_claim = claims::ruling_of(archive, &claims::id_of(contract, service, period))?;
    let Some(number) = wanted.revision.or(of_claim) else {
        return match rulings::present(archive, period, contract, service) {
            Err(DeskError::NotFound(what)) => Err(Failure::Usage(format!(
                "{what}: `wanproof collector report` shows what was, once the collector ran"
            ))),
            other => Ok(other?),
        };
    };
    let mut all = rulings::all(archive, period, contract, service)?;
    let count = all.len();
    if number as usize >= count {
        return Err(Failure::Usage(format!(
            "--revision {number}: {count} verdicts of {service} in {period} were kept"
        )));
    }
    Ok(all.swap_remove(number as usize))
}
