//! `wanproof init`: a commented starter configuration and a key.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure, print};
use crate::store;
use crate::store::keyfile;

/// The example that `config/agent.toml` is.
const EXAMPLE: &str = include_str!("../../config/agent.toml");

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to put them
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The site's name [default: this host's]
    #[arg(long, allow_hyphen_values = true)]
    site: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When something is there already, or it cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let could = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Could(format!("{}: {error}", path.display()))
    };
    let config = args.dir.join("agent.toml");
    if config.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already; nothing was changed",
            config.display()
        )));
    }
    std::fs::create_dir_all(&args.dir).map_err(|error| could(&args.dir, &error))?;
    let data = args.dir.join("data");
    store::make_dir(&data).map_err(|error| could(&data, &error))?;
    let key_file = data.join(keyfile::AGENT);
    let (key, _) = keyfile::load_or_create(&key_file)?;
    let site = args.site.clone().unwrap_or_else(host_name);
    let text = EXAMPLE.replacen("site = \"leeds-01\"", &format!("site = {site:?}"), 1).replacen(
        "data_dir = \"/var/lib/wanproof\"               ",
        "data_dir = \"data\"                            ",
        1,
    );
    crate::config::agent::parse(&text, "agent.toml", &args.dir)
        .map_err(|faults| Failure::Usage(faults.to_string()))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&config)
        .map_err(|error| could(&config, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| could(&config, &error))?;
    let config = config.display();
    print::line(format_args!(
        "{config}: a configuration that measures loopback until you name your probes"
    ))?;
    print::line(format_args!(
        "{}: this device's private key; it never leaves this host",
        key_file.display()
    ))?;
    print::line(format_args!("fingerprint: {}", key.kid().fingerprint()))?;
    print::line(format_args!(
        "next: wanproof check --config {config}; wanproof run --config {config}"
    ))?;
    Ok(Exit::Done)
}

/// This host's name, as far as it makes a site's name.
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    let name: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    if name.is_empty() { "site-01".to_owned() } else { name }
}
