//! `wanproof contract sign`, `countersign` and `signatures`: that both parties hold the very same
//! version.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use crate::base::json::unmarked;
use crate::base::time::{Clock, SystemClock, Wall};
use crate::cli::contract::{Judging, judging, read, shown};
use crate::cli::{Exit, Failure, print};
use crate::evidence::contract_signature::{self, Files, NotSigned};
use crate::evidence::digest::Digest;
use crate::evidence::key::{PublicKey, SecretKey};
use crate::evidence::summary::ContractRef;
use crate::sla::contract::{Written, parents};
use crate::sla::terms::Party;
use crate::store::keyfile::{self, Origin};

/// The contract, and who signs it.
#[derive(Debug, clap::Args)]
struct Signing {
    /// The contract, then its parents; parents are also looked for by id beside it
    #[arg(required = true)]
    contracts: Vec<PathBuf>,
    /// For which party
    #[arg(long = "as", value_name = "PARTY")]
    party: Who,
    /// The party's private key; a new one is made when the file is missing
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature is written [default: beside the contract, as NAME.PARTY.jws]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    Customer,
    Provider,
}

impl From<Who> for Party {
    fn from(who: Who) -> Self {
        match who {
            Who::Customer => Self::Customer,
            Who::Provider => Self::Provider,
        }
    }
}

/// The arguments of `sign`.
#[derive(Debug, clap::Args)]
pub struct Sign {
    #[command(flatten)]
    signing: Signing,
}

/// The arguments of `countersign`.
#[derive(Debug, clap::Args)]
pub struct Countersign {
    #[command(flatten)]
    signing: Signing,
    /// The other party's signature
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// The other party's public key, which it gave you itself
    #[arg(long, value_name = "JWK_FILE")]
    signer: PathBuf,
}

/// The arguments of `signatures`.
#[derive(Debug, clap::Args)]
pub struct Signatures {
    /// The contract, then its parents; parents are also looked for by id beside it
    #[arg(required = true)]
    contracts: Vec<PathBuf>,
    /// Both parties' signatures
    #[arg(long = "signature", value_name = "FILE", required = true)]
    signatures: Vec<PathBuf>,
    /// Both parties' public keys
    #[arg(long = "key", value_name = "JWK_FILE", required = true)]
    keys: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Signs a version first.
///
/// # Errors
/// When the contract has faults, or the key or the signature's file cannot be read or written.
pub(super) fn sign(args: &Sign) -> Result<Exit, Failure> {
    let judging = judging(&args.signing.contracts)?;
    let files = files(&judging)?;
    write(&args.signing, &judging, &files, None)
}

/// Signs a version that the other party has signed.
///
/// # Errors
/// As [`sign`]; and when what the other party signed is not this version.
pub(super) fn countersign(args: &Countersign) -> Result<Exit, Failure> {
    let judging = judging(&args.signing.contracts)?;
    let files = files(&judging)?;
    let first = signature(&args.signature)?;
    let refused = |why: NotSigned| Failure::Usage(format!("{}: {why}", shown(&args.signature)));
    let theirs =
        contract_signature::verify(&first, &files, &judging.contract, &public(&args.signer)?)
            .map_err(refused)?;
    if theirs.party == Party::from(args.signing.party) {
        return Err(refused(NotSigned::Alone(theirs.party)));
    }
    write(&args.signing, &judging, &files, Some(&first))
}

fn write(
    args: &Signing,
    judging: &Judging,
    files: &Files,
    first: Option<&str>,
) -> Result<Exit, Failure> {
    let party = Party::from(args.party);
    let (key, origin) = keyfile::load_or_create(&args.key)?;
    let jws = contract_signature::sign(files, &judging.contract, party, now(), first, &key);
    let out = args.out.clone().unwrap_or_else(|| beside(&judging.own.path, party));
    fs::write(&out, format!("{jws}\n"))
        .map_err(|error| Failure::Could(format!("{}: {error}", shown(&out))))?;
    tell(args, &key, &origin, files, &out)
}

fn tell(
    args: &Signing,
    key: &SecretKey,
    origin: &Origin,
    files: &Files,
    out: &Path,
) -> Result<Exit, Failure> {
    let ContractRef { id, version, sha256 } = &files.own;
    let party = Party::from(args.party);
    if args.json {
        print::json(&json!({
            "contract": id, "version": version, "sha256": sha256, "parents": files.parents,
            "party": party.to_string(), "signature": shown(out), "kid": key.kid().to_string(),
        }))?;
        return Ok(Exit::Done);
    }
    if matches!(origin, Origin::Made) {
        print::line(format_args!("{}: a new key; keep it secret, and keep it", shown(&args.key)))?;
    }
    print::line(format_args!(
        "{id} version {version} is signed as the {party}: {}\nsha256 {sha256}\n\
         Give the other party that file, the contract, and this public key:\n{}",
        shown(out),
        key.public().to_jwk()
    ))?;
    Ok(Exit::Done)
}

/// Proves that both parties signed a version.
///
/// # Errors
/// When a file cannot be read. Where it is not proven, the answer is bad.
pub(super) fn signatures(args: &Signatures) -> Result<Exit, Failure> {
    let judging = judging(&args.contracts)?;
    let files = files(&judging)?;
    let ([one, other], [first, second]) =
        (two(&args.signatures, "--signature")?, two(&args.keys, "--key")?);
    let (one, other) = (signature(one)?, signature(other)?);
    let (first, second) = (public(first)?, public(second)?);
    let both =
        |a, b| contract_signature::agreed([(&one, a), (&other, b)], &files, &judging.contract);
    // Whose key is whose, the signatures say.
    let proven = both(&first, &second).or_else(|why| {
        both(&second, &first).map_err(|other| match why {
            NotSigned::Jws(_) => other,
            _ => why,
        })
    });
    let ContractRef { id, version, sha256 } = &files.own;
    match proven {
        Ok(both) => {
            if args.json {
                let parties = both
                    .each_ref()
                    .map(|of| json!({"party": of.party.to_string(), "name": of.name, "at": of.at}));
                print::json(&json!({
                    "ok": true, "contract": id, "version": version, "sha256": sha256,
                    "signatures": parties,
                }))?;
            } else {
                let [a, b] = &both;
                print::line(format_args!(
                    "{id} version {version} is the same for both parties\nsha256 {sha256}\nsigned \
                        by the {} {} at {}\n\
                     countersigned by the {} {} at {}",
                    a.party, a.name, a.at, b.party, b.name, b.at
                ))?;
            }
            Ok(Exit::Done)
        }
        Err(why) => {
            if args.json {
                let why = why.to_string();
                print::json(&json!({
                    "ok": false, "contract": id, "version": version, "sha256": sha256, "why": why,
                }))?;
            } else {
                print::line(format_args!("NOT proven to be the same for both parties: {why}"))?;
            }
            Ok(Exit::Bad)
        }
    }
}

fn two<'a>(paths: &'a [PathBuf], name: &str) -> Result<[&'a PathBuf; 2], Failure> {
    match paths {
        [one, other] => Ok([one, other]),
        _ => Err(Failure::Usage(format!("{name}: give it twice, once for each party"))),
    }
}

/// The digests of a contract's file and of those that it inherits from.
fn files(judging: &Judging) -> Result<Files, Failure> {
    let reference = |written: &Written, sha256: String| {
        let version =
            written.version().and_then(|version| u64::try_from(version).ok()).unwrap_or_default();
        ContractRef { id: written.id().unwrap_or_default().to_owned(), version, sha256 }
    };
    let own = reference(&judging.own.written, judging.own.sha256.clone());
    let mut all = Vec::new();
    for parent in parents(&judging.own.written, &judging.others) {
        let text = read(Path::new(parent.file()))?;
        all.push(reference(parent, Digest::of(text.as_bytes()).hex()));
    }
    Ok(Files { own, parents: all })
}

fn beside(contract: &Path, party: Party) -> PathBuf {
    contract.with_extension(format!("{party}.jws"))
}

fn signature(path: &Path) -> Result<String, Failure> {
    Ok(read(path)?.trim_end_matches('\n').to_owned())
}

fn public(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_jwk(unmarked(&read(path)?).trim())
        .map_err(|error| Failure::Usage(format!("{}: {error}", shown(path))))
}

fn now() -> Wall {
    Wall::from_secs(SystemClock.now().wall.secs())
}
