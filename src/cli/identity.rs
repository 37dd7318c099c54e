//! `wanproof identity`: this device's public key.

use serde_json::json;

use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print};
use crate::store::keyfile;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// The public JWK with kid and fingerprint, as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// When there is no key, or it cannot be read.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let path = args.source.data_dir()?.join(keyfile::AGENT);
    let key = match keyfile::credential(keyfile::AGENT) {
        Ok(Some(key)) => key,
        Ok(None) => keyfile::load(&path).map_err(|error| Failure::Could(error.to_string()))?,
        Err(error) => return Err(Failure::Could(error.to_string())),
    };
    let (kid, fingerprint) = (key.kid().to_string(), key.kid().fingerprint());
    let jwk = key.public().to_jwk();
    if args.json {
        let mut shown: serde_json::Value =
            serde_json::from_str(&jwk).map_err(|error| Failure::Could(error.to_string()))?;
        shown["kid"] = json!(kid);
        shown["fingerprint"] = json!(fingerprint);
        print::json(&shown)?;
        return Ok(Exit::Done);
    }
    print::line(format_args!("kid          {kid}"))?;
    print::line(format_args!("fingerprint  {fingerprint}"))?;
    print::line(format_args!("public key   {jwk}"))?;
    Ok(Exit::Done)
}
