//! `wanproof verify`: evidence, checked offline.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::bounded;
use crate::base::json::unmarked;
#[cfg(feature = "agent")]
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::evidence::key::PublicKey;
use crate::evidence::verify::{Verdict, Verifier, counted};
use crate::evidence::{bundle, summary};
#[cfg(feature = "agent")]
use crate::store::keyfile;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Summaries and receipts (.jws), directories of them as `outbox --export` and `collector
    /// export` write them, or claim bundles (.zip)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A public key that is trusted, the agent's or the collector's: a file with its JWK
    #[arg(long = "key", value_name = "JWK_FILE")]
    keys: Vec<PathBuf>,
    #[cfg(feature = "agent")]
    #[command(flatten)]
    source: Source,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[cfg(all(feature = "agent", feature = "collector"))]
impl Args {
    /// What an agent exported, checked with the keys that it knows.
    #[must_use]
    pub fn of_agent(data: PathBuf, evidence: PathBuf) -> Self {
        let source = Source { config: None, data: Some(data) };
        Self { files: vec![evidence], keys: Vec::new(), source, json: false }
    }
}

/// Runs it.
///
/// # Errors
/// When a key or a file that is named cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut trusted = Vec::new();
    for path in &args.keys {
        let text = bounded::read_text(path).map_err(|error| unread(path, &error))?;
        trusted.extend(
            keys(&text).map_err(|what| Failure::Usage(format!("{}: {what}", path.display())))?,
        );
    }
    #[cfg(feature = "agent")]
    own_keys(&args.source, &mut trusted)?;
    let verifier = || {
        let mut verifier = Verifier::new();
        trusted.iter().for_each(|key| verifier.trust(*key));
        verifier
    };
    // A bundle stands for itself; everything else is verified together.
    let (bundles, rest): (Vec<&PathBuf>, Vec<&PathBuf>) =
        args.files.iter().partition(|path| is_bundle(path));
    let mut verdicts = Vec::new();
    for path in bundles {
        let bytes = bounded::read(path, bundle::ARCHIVE).map_err(|error| unread(path, &error))?;
        verdicts.push(bundle::check(&path.display().to_string(), &bytes, verifier()));
    }
    if !rest.is_empty() {
        let mut verifier = verifier();
        rest.into_iter().try_for_each(|path| add(path, DEPTH, &mut verifier))?;
        verdicts.push(verifier.verdict());
    }
    let mut verdict = verdicts.into_iter().reduce(Verdict::and).expect("clap demands a file");
    if !verdict.ok && verdict.findings.is_empty() {
        let names: Vec<String> = args.files.iter().map(|path| path.display().to_string()).collect();
        verdict.find(
            &names.join(", "),
            "neither a summary nor a receipt is here, so nothing is proved",
        );
    }
    if args.json {
        print::json(&verdict)?;
    } else {
        tell(&verdict)?;
    }
    if trusted.is_empty()
        && verdict.findings.iter().any(|finding| finding.what.starts_with("untrusted-key"))
    {
        print::note(
            "no key was given that is trusted: name the agent's and the collector's by --key FILE \
                (`wanproof identity --json` and\n\
             `wanproof collector key --json` show them), or the agent's data by --config or --data",
        );
    }
    Ok(if verdict.ok { Exit::Done } else { Exit::Bad })
}

/// By its name, or by how every zip begins.
fn is_bundle(path: &Path) -> bool {
    let begins = || {
        fs::File::open(path).and_then(|mut file| {
            let mut four = [0; 4];
            std::io::Read::read_exact(&mut file, &mut four).map(|()| four == *b"PK\x03\x04")
        })
    };
    path.extension().is_some_and(|extension| extension == "zip")
        || (path.is_file() && begins().unwrap_or(false))
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Could(format!("{} cannot be read: {error}", path.display()))
}

/// The keys of a file: one JWK, or a JWK set.
fn keys(text: &str) -> Result<Vec<PublicKey>, String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<PublicKey>,
    }
    let text = unmarked(text);
    match PublicKey::from_jwk(text) {
        Ok(key) => Ok(vec![key]),
        Err(fault) => {
            serde_json::from_str::<Set>(text).map(|set| set.keys).map_err(|_| fault.to_string())
        }
    }
}

/// The keys of the agent whose data is named: its own, and the collector's that it pinned or was
/// configured with.
#[cfg(feature = "agent")]
fn own_keys(source: &Source, trusted: &mut Vec<PublicKey>) -> Result<(), Failure> {
    if source.config.is_none() && source.data.is_none() {
        return Ok(());
    }
    let store = source.store()?;
    match store.identity()? {
        Some(known) => trusted.extend(known.keys.into_iter().map(|signer| signer.jwk)),
        None => match keyfile::load(&source.data_dir()?.join(keyfile::AGENT)) {
            Ok(key) => trusted.push(*key.public()),
            // A copy of the data may well be without the private key.
            Err(keyfile::KeyFault::Missing(_)) => {}
            Err(fault) => return Err(fault.into()),
        },
    }
    let configured = source.configured()?.and_then(|config| config.collector?.key);
    if let Some(jwk) = configured {
        trusted.push(PublicKey::from_jwk(&jwk).map_err(|fault| Failure::Could(fault.to_string()))?);
    }
    trusted.extend(store.collector_keys()?.all());
    Ok(())
}

/// Takes a file, or the files of a directory and of those within it, in the order of their names.
fn add(path: &Path, depth: usize, verifier: &mut Verifier) -> Result<(), Failure> {
    let about = fs::metadata(path).map_err(|error| unread(path, &error))?;
    if !about.is_dir() {
        return add_file(path, verifier);
    }
    if depth == 0 {
        let what = "it lies deeper than evidence does, or a link leads back, so what is in it was \
            not read";
        verifier.find(&path.display().to_string(), what);
        return Ok(());
    }
    let mut inside = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unread(path, &error))? {
        inside.push(entry.map_err(|error| unread(path, &error))?.path());
    }
    inside.sort();
    inside.iter().try_for_each(|path| add(path, depth - 1, verifier))
}

fn add_file(path: &Path, verifier: &mut Verifier) -> Result<(), Failure> {
    let name = path.display().to_string();
    let bytes = match bounded::read(path, LONGEST) {
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            verifier.find(&name, error);
            return Ok(());
        }
        read => read.map_err(|error| unread(path, &error))?,
    };
    if path.extension().is_some_and(|extension| extension == "jwk") {
        match std::str::from_utf8(&bytes).map_err(|error| error.to_string()).and_then(keys) {
            Ok(keys) => keys.into_iter().for_each(|key| verifier.bring(key)),
            Err(what) => verifier.find(&name, what),
        }
    } else {
        verifier.take(name, bytes);
    }
    Ok(())
}

/// Directories lie at most so deep in each other: `export` writes two.
const DEPTH: usize = 16;
/// A summary, with a newline; a receipt or a key is shorter.
const LONGEST: usize = summary::LIMIT + 1;

/// So many findings are told to people.
const SHOWN: usize = 10;

/// For people.
fn tell(verdict: &Verdict) -> Result<(), Failure> {
    let checked = &verdict.checked;
    print::line(format_args!(
        "{}: {}, {}, {}",
        if verdict.ok { "verified" } else { "NOT verified" },
        counted(checked.summaries, "summary", "summaries"),
        counted(checked.receipts, "receipt", "receipts"),
        counted(checked.chains, "chain", "chains")
    ))?;
    for finding in verdict.findings.iter().take(SHOWN) {
        print::line(format_args!(
            "  wrong       {}: {}",
            print::one(&finding.file),
            print::one(&finding.what)
        ))?;
    }
    if let Some(more) = verdict.findings.len().checked_sub(SHOWN).filter(|&more| more > 0) {
        print::line(format_args!("  wrong       and {more} more: --json tells all"))?;
    }
    for what in &verdict.proved {
        print::line(format_args!("  proved      {}", print::one(what)))?;
    }
    for what in &verdict.not_proved {
        print::line(format_args!("  not proved  {}", print::one(what)))?;
    }
    Ok(())
}
