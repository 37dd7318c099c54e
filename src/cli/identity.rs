//! `wanproof identity`: this device's public key, and its change to the next one.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::evidence::key::{Kid, PublicKey};
use crate::store::keyfile::{self, AGENT, AGENT_NEXT, KeyFault};
use crate::store::keys::Identity;
use crate::store::{Store, StoreError};

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Make the next key: the agent names it in its next summary, signed by both, and signs with it
    /// from then on
    #[arg(long)]
    rotate: bool,
    /// The public JWK with kid and fingerprint, as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When there is no key, or it cannot be read; when another cannot be made.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = args.source.data_dir()?;
    let known = identity(&dir)?;
    let key = match known.as_ref().and_then(Identity::in_use) {
        // What the database says holds, and can be read where the private key cannot: a credential,
        // a copy.
        Some(key) => *key,
        None => present(&dir)?,
    };
    let agent = known.as_ref().map_or_else(|| key.kid(), |known| known.agent);
    if args.rotate {
        rotate(&dir, known.as_ref(), agent)?;
    }
    let next = match keyfile::load(&dir.join(AGENT_NEXT)) {
        Ok(next) if next.kid() != key.kid() => Some(*next.public()),
        // Without the right to read it nothing is known of it.
        _ => None,
    };
    tell(args, &key, agent, next.as_ref())
}

/// What the database of a directory says of its agent; [`None`] where there is none yet.
fn identity(dir: &Path) -> Result<Option<Identity>, Failure> {
    match Store::read(dir).and_then(|store| store.identity()) {
        Ok(known) => Ok(known),
        Err(StoreError::NoDatabase(_)) => Ok(None),
        Err(error) => Err(Failure::Could(error.to_string())),
    }
}

fn present(dir: &Path) -> Result<PublicKey, Failure> {
    Ok(*match keyfile::credential(AGENT)? {
        Some(key) => key,
        None => keyfile::load(&dir.join(AGENT)).map_err(|fault| match fault {
            KeyFault::Missing(_) => Failure::Could(format!(
                "{fault}: the agent makes it at its first start, as does `wanproof init`"
            )),
            fault => fault.into(),
        })?,
    }
    .public())
}

fn rotate(dir: &Path, known: Option<&Identity>, agent: Kid) -> Result<(), Failure> {
    let (file, next) = (dir.join(AGENT), dir.join(AGENT_NEXT));
    if known.is_none() {
        return Err(Failure::Usage(format!(
            "{}: this key has signed nothing yet, so none needs to follow it; to begin with \
                another one, delete it",
            file.display()
        )));
    }
    if next.exists() {
        return Err(Failure::Usage(format!(
            "{} lies ready already: the agent names it in its next summary; delete it to take \
                that back",
            next.display()
        )));
    }
    if !file.exists() {
        return Err(Failure::Usage(format!(
            "{} is not there: where the key is a systemd credential, give the next one to the \
                service as the credential {AGENT_NEXT}",
            file.display()
        )));
    }
    Ok(keyfile::save_next(&file, &keyfile::generate()?, agent)?)
}

fn tell(
    args: &Args,
    key: &PublicKey,
    agent: Kid,
    next: Option<&PublicKey>,
) -> Result<Exit, Failure> {
    if args.json {
        let mut shown = named(key)?;
        shown["agent"] = json!(agent);
        if let Some(next) = next {
            shown["next"] = named(next)?;
        }
        print::json(&shown)?;
        return Ok(Exit::Done);
    }
    print::line(format_args!("kid          {}", key.kid()))?;
    print::line(format_args!("fingerprint  {}", key.kid().fingerprint()))?;
    print::line(format_args!("public key   {}", key.to_jwk()))?;
    if agent != key.kid() {
        print::line(format_args!(
            "agent        {agent}: its first key, by which it goes on being known"
        ))?;
    }
    if let Some(next) = next {
        print::line(format_args!("next key     {}", next.kid()))?;
        print::line(
            "             the agent's next summary names it, signed by both; the key above then \
                signs nothing more",
        )?;
    }
    Ok(Exit::Done)
}

/// A public JWK with the names that it is known by.
fn named(key: &PublicKey) -> Result<Value, Failure> {
    let mut shown = serde_json::to_value(key).map_err(|error| Failure::Could(error.to_string()))?;
    shown["kid"] = json!(key.kid());
    shown["fingerprint"] = json!(key.kid().fingerprint());
    Ok(shown)
}
