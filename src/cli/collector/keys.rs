//! `wanproof collector key`: the collector's public keys, and the change to the next one.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::Source;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::{Failure, print};
use crate::collector::archive::agents::Standing;
use crate::collector::{self, CREDENTIAL, fleet};
use crate::config::collector::CollectorConfig;
use crate::evidence::key::{PublicKey, SecretKey};
use crate::store::keyfile::{self, KeyFault};

/// An agent asks every hour which key is to follow; one that was heard of so long after the announcement has asked.
const HEARD: Duration = Duration::from_secs(2 * 3600);
/// So many sites are named.
const NAMED: usize = 10;

/// A public key, with the names that it is known by.
#[derive(Serialize)]
struct Named<'a> {
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

fn could(fault: KeyFault) -> Failure {
    Failure::Could(fault.to_string())
}

/// The collector's own key.
pub(super) fn own(config: &CollectorConfig) -> Result<SecretKey, Failure> {
    match keyfile::credential(CREDENTIAL).map_err(could)? {
        Some(key) => Ok(key),
        None => keyfile::load(&config.key_file).map_err(could),
    }
}

/// Shows one; the next one is made if there is none yet.
pub(super) fn show(source: &Source, which: Which, as_json: bool) -> Result<(), Failure> {
    let config = source.load()?;
    let key = match which {
        Which::Present => own(&config)?,
        Which::Next => {
            let made = keyfile::load_or_create_like(&collector::next_key_file(&config), &config.key_file);
            made.map_err(could)?.0
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

/// Lets the next key follow: the database belongs to it from now on, and it lies where the present one lay. What fails in between
/// is done by the same command again; on the host of another replica it only puts the files in their places.
pub(super) fn change(source: &Source, anyway: bool, as_json: bool) -> Result<(), Failure> {
    let (config, mut archive) = source.archive()?;
    let file = collector::next_key_file(&config);
    let next = match keyfile::load(&file) {
        Ok(next) => next,
        Err(KeyFault::Missing(_)) => {
            return Err(Failure::Usage(
                "there is no next key: `wanproof collector key --next` makes one; reload the collector, so that it announces it, \
                 and let it do so until every agent has heard of it"
                    .to_owned(),
            ));
        }
        Err(fault) => return Err(could(fault)),
    };
    if !config.key_file.exists() {
        return Err(Failure::Usage(format!(
            "{} is not there: where the key is a systemd credential, put it there for this, and make the next one the credential \
             afterwards",
            config.key_file.display()
        )));
    }
    let present = keyfile::load(&config.key_file).map_err(could)?;
    let is_done = archive.collector()? == Some(next.kid());
    if !is_done && !anyway {
        let deaf = unaware(&config, &archive, &file)?;
        if !deaf.is_empty() {
            let more = deaf.len().checked_sub(NAMED).filter(|&more| more > 0);
            let more = more.map_or_else(String::new, |more| format!(", and {more} more"));
            let named = deaf.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            return Err(Failure::Could(format!(
                "{} of the agents were not heard of since the next key was announced, or less than two hours after it, and would not \
                 believe it: {named}{more}; wait for them, or say --anyway and give it to them by `[collector] key`",
                deaf.len()
            )));
        }
    }
    archive.write(|archive| archive.change_key(present.public(), next.public()))?;
    let failed = |path: &PathBuf, error: std::io::Error| Failure::Could(format!("{}: {error}", path.display()));
    let mut former = config.key_file.clone().into_os_string();
    former.push(".former");
    let former = PathBuf::from(former);
    fs::copy(&config.key_file, &former).map_err(|error| failed(&former, error))?;
    keyfile::succeed(&file, &config.key_file).map_err(could)?;
    tell(next.public(), as_json)?;
    print::note(format_args!(
        "it signs from the collector's next start: restart it now, after this same command on the host of each replica;\n\
         the former key is {}, and signs nothing more",
        former.display()
    ));
    Ok(())
}

/// The sites of the approved agents that cannot have heard of the next key.
fn unaware(
    config: &CollectorConfig,
    archive: &collector::archive::Archive,
    next: &std::path::Path,
) -> Result<Vec<String>, Failure> {
    let made = fs::metadata(next).and_then(|about| about.modified());
    let made = made.map_err(|error| Failure::Could(format!("{}: {error}", next.display())))?;
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let heard = Wall::from_secs(0) + made + HEARD;
    let all = fleet::all(archive, config.alerts.silent_after, SystemClock.now().wall)?;
    let unaware = all.into_iter().filter(|agent| {
        agent.state == Standing::Approved.word() && agent.last.as_ref().is_none_or(|last| last.received < heard)
    });
    Ok(unaware.map(|agent| agent.site).collect())
}
