//! `wanproof collector conflicts`: summaries that did not fit into their chain.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::base::time::Wall;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::archive::conflicts::Conflict;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;

pub(super) fn conflicts(
    source: &Source,
    export: Option<&Path>,
    as_json: bool,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Shown<'a> {
        agent: Kid,
        chain: ChainId,
        seq: u64,
        digest: Digest,
        received: Wall,
        why: &'a str,
    }
    let all = source.archive()?.1.kept_aside()?;
    if let Some(dir) = export {
        for Conflict { subject: of, jws, .. } in &all {
            let beside = dir.join(of.agent.to_string()).join(of.chain.to_string());
            let path = beside.join(format!("{}.{}.jws", of.seq, of.digest));
            fs::create_dir_all(&beside).and_then(|()| fs::write(&path, jws)).map_err(|error| {
                Failure::Could(format!("{} cannot be written: {error}", path.display()))
            })?;
        }
    }
    if as_json {
        let shown = all.iter().map(|Conflict { subject: of, received, why, .. }| Shown {
            agent: of.agent,
            chain: of.chain,
            seq: of.seq,
            digest: of.digest,
            received: *received,
            why,
        });
        return print::json(&shown.collect::<Vec<_>>());
    }
    if all.is_empty() {
        return print::line("none: every summary fitted into its chain");
    }
    for Conflict { subject: of, received, why, .. } in &all {
        print::line(format_args!("number {} of chain {}: {}", of.seq, of.chain, print::one(why)))?;
        print::line(format_args!("  agent {}, received {}", of.agent, print::instant(*received)))?;
    }
    print::line(
        "two agents with one key write so, or one whose database was put back: see \
            docs/operations.md",
    )
}
