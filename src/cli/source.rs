//! Where a command finds the agent's data: by its configuration, or by the directory.

use std::path::{Path, PathBuf};

use crate::base::time::{Clock, SystemClock, Wall, parse_duration};
use crate::cli::Failure;
use crate::config::agent::{self, AgentConfig};
use crate::store::Store;

/// The configuration that is read where none is named.
pub const USUAL: &str = "/etc/wanproof/agent.toml";

/// The arguments that name the agent's data.
#[derive(Clone, Debug, clap::Args)]
pub struct Source {
    /// The agent's configuration [default: /etc/wanproof/agent.toml, else ./agent.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub config: Option<PathBuf>,
    /// The agent's data directory, or a copy of it, instead of a configuration
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Source {
    /// The configuration, where one is named or stands in a usual place, and no directory is named.
    ///
    /// # Errors
    /// When it cannot be read or has faults.
    pub fn configured(&self) -> Result<Option<AgentConfig>, Failure> {
        if self.data.is_some() {
            return Ok(None);
        }
        let usual = || [USUAL, "agent.toml"].iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned);
        match self.config.clone().or_else(usual) {
            Some(path) => agent::load(&path).map(Some).map_err(|faults| Failure::Usage(faults.to_string())),
            None => Ok(None),
        }
    }

    /// The data directory.
    ///
    /// # Errors
    /// When neither a configuration nor a directory is named or found.
    pub fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.data {
            return Ok(dir.clone());
        }
        match self.configured()? {
            Some(config) => Ok(config.data_dir),
            None => Err(Failure::Usage(format!(
                "where is the agent's data? {USUAL} and ./agent.toml are not there: name one with --config FILE, or the \
                 directory with --data DIR"
            ))),
        }
    }

    /// The agent's database, for reading.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn store(&self) -> Result<Store, Failure> {
        Store::read(&self.data_dir()?).map_err(|error| Failure::Could(error.to_string()))
    }
}

/// Reads `--since`: an instant, or how long ago.
///
/// # Errors
/// When it is neither.
pub fn since(text: &str) -> Result<Wall, Failure> {
    let now = SystemClock.now().wall;
    if let Ok(length) = parse_duration(text) {
        return Ok(now - length);
    }
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "--since {text}: expected how long ago, such as 24h or 30d, or a time such as 2026-06-03T01:00:00Z"
        ))
    })
}
