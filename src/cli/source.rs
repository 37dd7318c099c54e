//! Where a command finds the agent's data: by its configuration, or by the directory.

use std::path::{Path, PathBuf};

use crate::cli::{Failure, print};
use crate::config::agent::{self, AgentConfig, Places};
use crate::store::{FILE, Store};

/// The configurations that are looked for where none is named, in this order.
const USUAL: [&str; 2] = ["/etc/wanproof/agent.toml", "agent.toml"];

/// The configuration that was named, or else the one in a usual place; the first of these where
/// there is none.
#[must_use]
pub fn named_or_usual(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| usual().unwrap_or_else(|| PathBuf::from(USUAL[0])), Path::to_owned)
}

fn usual() -> Option<PathBuf> {
    USUAL.iter().map(Path::new).find(|path| path.exists()).map(Path::to_owned)
}

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

/// The agent's data, and its configuration where one was found that has no fault.
#[derive(Debug)]
pub struct Found {
    /// Where its data is.
    pub places: Places,
    /// Its configuration.
    pub config: Option<AgentConfig>,
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
        match self.config.clone().or_else(usual) {
            Some(path) => agent::load(&path).map(Some).map_err(|faults| {
                let hint =
                    "what holds by what the agent took last is told with --data DIR instead of \
                        the configuration";
                Failure::Usage(format!("{faults}\n{hint}"))
            }),
            None => Ok(None),
        }
    }

    /// Where the agent's data is. A configuration with faults, which a running agent does not go
    /// by, keeps nobody from reading what was measured: it is told that it has some, and where the
    /// data is is taken from it as far as it says so.
    ///
    /// # Errors
    /// When neither a configuration nor a directory is named or found, or the configuration does
    /// not say where.
    pub fn found(&self) -> Result<Found, Failure> {
        if let Some(dir) = &self.data {
            return Ok(Found { places: Places::beside(dir.clone()), config: None });
        }
        let Some(path) = self.config.clone().or_else(usual) else {
            return Err(Failure::Usage(format!(
                "where is the agent's data? {} and ./{} are not there: name one with --config \
                 FILE, or the directory with --data DIR",
                USUAL[0], USUAL[1]
            )));
        };
        match agent::load(&path) {
            Ok(config) => Ok(Found { places: config.places(), config: Some(config) }),
            Err(faults) => {
                let Some(places) = agent::places(&path) else {
                    return Err(Failure::Usage(format!(
                        "{faults}\nwhat was measured is there all the same: name its directory \
                            with --data DIR"
                    )));
                };
                let path = path.display();
                print::note(format_args!(
                    "{path} has faults, see wanproof check; this is what the agent recorded"
                ));
                Ok(Found { places, config: None })
            }
        }
    }

    /// The data directory, found as [`Self::found`] does.
    ///
    /// # Errors
    /// As there.
    pub fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(self.found()?.places.data_dir)
    }

    /// The agent's database, for reading.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn store(&self) -> Result<Store, Failure> {
        read(&self.data_dir()?)
    }
}

/// The database of a data directory, for reading.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn read(dir: &Path) -> Result<Store, Failure> {
    Store::read(dir).map_err(|error| {
        Failure::Could(match error.is_damage() {
            true => format!(
                "{} is damaged ({error}): its agent sets it aside at its next start, begins a new \
                 one, and keeps what can be read of it; a copy that is damaged has to be made \
                 again, of agent.db and agent.db-wal together",
                dir.join(FILE).display()
            ),
            false => error.to_string(),
        })
    })
}

/// Whether a probe was ever measured here.
///
/// # Errors
/// When it was not, with those that were, or the database fails.
pub fn known_probe(store: &Store, name: &str) -> Result<(), Failure> {
    let known = store.probes()?;
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let known = if known.is_empty() { "none yet".to_owned() } else { known.join(", ") };
    Err(Failure::Usage(format!("no probe {name:?} was measured here; known: {known}")))
}
