//! `wanproof collector key`: the collector's public keys, and the change to the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::collector::listing::actor;
use crate::cli::collector::source::Source;
use crate::cli::{Failure, print};
use crate::collector::archive::Archive;
use crate::collector::archive::agents::AgentStatus;
use crate::collector::fleet::{self, AgentView};
use crate::collector::{self, CREDENTIAL, left_behind};
use crate::config::collector::CollectorConfig;
use crate::evidence::key::{PublicKey, SecretKey};
use crate::store::keyfile::{self, KeyFault};

/// An agent asks every hour which key is to follow; one that was heard of so long after the
/// announcement has asked.
const HEARD: Duration = Duration::from_secs(2 * 3600);
/// So many sites are named.
const NAMED: usize = 10;

/// A public key, with the names that it is known by.
#[derive(Serialize)]
pub(super) struct Named<'a> {
    #[serde(flatten)]
    jwk: &'a PublicKey,
    fingerprint: String,
}

/// Which of a collector's keys is meant.
#[derive(Clone, Copy)]
pub(super) enum Which {
    Present,
    Next,
}

/// The collector's own key.
pub(super) fn own(config: &CollectorConfig) -> Result<SecretKey, Failure> {
    match keyfile::credential(CREDENTIAL)? {
        Some(key) => Ok(key),
        None => Ok(keyfile::load(&config.key_file)?),
    }
}

/// Shows one; the next one is made if there is none yet.
pub(super) fn show(source: &Source, which: Which, as_json: bool) -> Result<(), Failure> {
    let config = source.load()?;
    let key = match which {
        Which::Present => own(&config)?,
        Which::Next => {
            keyfile::load_or_create_like(&collector::next_key_file(&config), &config.key_file)?.0
        }
    };
    tell(key.public(), as_json)
}

fn tell(key: &PublicKey, as_json: bool) -> Result<(), Failure> {
    let fingerprint = key.kid().fingerprint();
    if as_json {
        return print::json(&Named { jwk: key, fingerprint });
    }
    print::line(key.to_jwk())?;
    print::line(format_args!("fingerprint: {fingerprint}"))
}

/// Lets the next key follow: the database belongs to it from now on, and it lies where the present
/// one lay. What fails in between is done by the same command again; on the host of another replica
/// it only puts the files in their places.
pub(super) fn change(source: &Source, whom: Whom, as_json: bool) -> Result<(), Failure> {
    let (config, mut archive) = source.archive()?;
    let file = collector::next_key_file(&config);
    let next = next(&file)?;
    if !config.key_file.exists() {
        return Err(Failure::Usage(format!(
            "{} is not there: where the key is a systemd credential, put it there for this, and \
             make the next one the credential afterwards",
            config.key_file.display()
        )));
    }
    let present = keyfile::load(&config.key_file)?;
    let is_done = archive.collector()? == Some(next.kid());
    let deaf = if is_done { Vec::new() } else { unaware(&config, &archive, &file)? };
    let (left, waited_for): (Vec<&AgentView>, Vec<&AgentView>) =
        deaf.iter().partition(|agent| whom.leaves(agent));
    if !waited_for.is_empty() {
        return Err(Failure::Could(format!(
            "{} of the agents were not heard of since the next key was announced, or less than \
             two hours after it, and would not believe it: {}; wait for them; or go on without \
             those that were not heard of since a day, by --not-heard-since 2026-11-30; or say \
             --anyway and give it to them by `[collector] key`",
            waited_for.len(),
            sites_of(&waited_for)
        )));
    }
    let actor = actor();
    archive.write(|archive| {
        archive.change_key(present.public(), next.public())?;
        left_behind::note(archive, left.iter().copied(), next.kid(), actor.now)?;
        let first: Vec<String> =
            left.iter().take(100).map(|agent| agent.agent.to_string()).collect();
        let detail = json!({"from": present.kid(), "left_behind": left.len(), "agents": first});
        if is_done {
            Ok(())
        } else {
            actor.did(archive, "collector.key", &next.kid().to_string(), detail)
        }
    })?;
    if !left.is_empty() {
        print::note(format_args!(
            "{} agents have not heard of the new key, and are left behind: {}; should one come \
             back, give it the key by `[collector] key`: `wanproof collector findings` names each \
             until then",
            left.len(),
            sites_of(&left)
        ));
    }
    let former = put_in_place(&file, &config.key_file)?;
    tell(next.public(), as_json)?;
    print::note(format_args!(
        "it signs from the collector's next start: restart it now, after this same command on the \
         host of each replica;\nthe former key is {}, and signs nothing more",
        former.display()
    ));
    Ok(())
}

/// The key that is to follow.
fn next(file: &Path) -> Result<SecretKey, Failure> {
    match keyfile::load(file) {
        Err(KeyFault::Missing(_)) => Err(Failure::Usage(
            "there is no next key: `wanproof collector key --next` makes one; reload the \
             collector, so that it announces it, and let it do so until every agent has heard of \
             it"
            .to_owned(),
        )),
        key => Ok(key?),
    }
}

/// Puts the next key where the present one lies; that one stays beside it. Says where.
fn put_in_place(next: &Path, present: &Path) -> Result<PathBuf, Failure> {
    let mut former = present.to_owned().into_os_string();
    former.push(".former");
    let former = PathBuf::from(former);
    fs::copy(present, &former)
        .map_err(|error| Failure::Could(format!("{}: {error}", former.display())))?;
    keyfile::succeed(next, present)?;
    Ok(former)
}

/// Without whom a change goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody must have heard of it.
    Nobody,
    /// Those that were not heard of since an instant.
    NotHeardSince(Wall),
    /// Whoever it is.
    Anybody,
}

impl Whom {
    fn leaves(self, agent: &AgentView) -> bool {
        match self {
            Self::Nobody => false,
            Self::NotHeardSince(since) => {
                agent.last.as_ref().map_or(agent.enrolled, |last| last.received) < since
            }
            Self::Anybody => true,
        }
    }
}

/// The sites of some agents, the first of them where there are many.
fn sites_of(agents: &[&AgentView]) -> String {
    let named: Vec<&str> = agents.iter().take(NAMED).map(|agent| agent.site.as_str()).collect();
    let more = agents.len().checked_sub(NAMED).filter(|&more| more > 0);
    let more = more.map_or_else(String::new, |more| format!(", and {more} more"));
    format!("{}{more}", named.join(", "))
}

/// The approved agents that cannot have heard of the next key.
fn unaware(
    config: &CollectorConfig,
    archive: &Archive,
    next: &Path,
) -> Result<Vec<AgentView>, Failure> {
    let made = fs::metadata(next).and_then(|about| about.modified());
    let made = made.map_err(|error| Failure::Could(format!("{}: {error}", next.display())))?;
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let heard = Wall::from_secs(0) + made + HEARD;
    let all = fleet::all(archive, config.alerts.silent_after, SystemClock.now().wall)?;
    let unaware = all.into_iter().filter(|agent| {
        agent.state == AgentStatus::Approved.word()
            && agent.last.as_ref().is_none_or(|last| last.received < heard)
    });
    Ok(unaware.collect())
}
