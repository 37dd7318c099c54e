//! `wanproof collector export` and `let-go`: summaries with their receipts, written out and let go.

use std::fs;
use std::path::Path;

use crate::cli::collector::listing::actor;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::operations::months;
use crate::sla::calendar::Period;

pub(super) fn export(source: &Source, dir: &Path) -> Result<(), Failure> {
    let (_, archive) = source.archive()?;
    let mut written = 0u64;
    archive.each_summary(|stored| {
        let of = &stored.subject;
        let beside = dir.join(of.agent.to_string()).join(of.chain.to_string());
        let failed = |error: std::io::Error| {
            Failure::Could(format!("{} cannot be written: {error}", beside.display()))
        };
        fs::create_dir_all(&beside).map_err(failed)?;
        fs::write(beside.join(format!("{}.jws", of.seq)), &stored.jws).map_err(failed)?;
        fs::write(beside.join(format!("{}.receipt.jws", of.seq)), &stored.receipt)
            .map_err(failed)?;
        written += 1;
        Ok::<(), Failure>(())
    })?;
    print::line(format_args!("{written} summaries with their receipts are in {}", dir.display()))
}

pub(super) fn let_go(month: Period, source: &Source) -> Result<(), Failure> {
    let (_, mut archive) = source.archive()?;
    let count = archive.write(|archive| months::let_go(archive, month, &actor()))?;
    print::line(format_args!(
        "{count} summaries of {month} are let go; what was judged of it stays as it was"
    ))
}
