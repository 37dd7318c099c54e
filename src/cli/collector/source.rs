//! Which collector a command is about, by its configuration, and which agent.

use std::path::PathBuf;

use crate::cli::Failure;
use crate::cli::given::agent;
use crate::collector::archive::Archive;
use crate::config::collector::CollectorConfig;
use crate::evidence::key::Kid;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Named {
    /// The agent: its identifier, as `collector agents` shows it
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true, value_parser = agent)]
    pub(super) agent: Kid,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Source {
    /// The collector's configuration
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/wanproof/collector.toml"
    )]
    pub(super) config: PathBuf,
}

impl Source {
    pub(super) fn load(&self) -> Result<CollectorConfig, Failure> {
        CollectorConfig::load(&self.config).map_err(|faults| Failure::Usage(faults.to_string()))
    }

    pub(super) fn archive(&self) -> Result<(CollectorConfig, Archive), Failure> {
        let config = self.load()?;
        let archive = Archive::open_existing(&config.database)?;
        Ok((config, archive))
    }
}
