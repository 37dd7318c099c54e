//! A collector that is started to be measured, as a process of its own, with files and a database
//! of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use wanproof::config::collector::{CollectorConfig, Database};

use super::line::Broken;
use super::postgres::Server;
use super::process::Running;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A server that is started too.
    Postgres,
}

/// A collector that lets everybody in.
pub struct Central {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its database.
    pub database: Database,
    program: Running,
    _server: Option<Server>,
    _at: tempfile::TempDir,
}

impl Central {
    /// Starts it for a fleet, of which every agent has one address.
    pub fn start(wanproof: &Path, engine: Engine) -> Result<Self, Broken> {
        // An agent ships a year here in seconds.
        let rest = "enrolment = { mode = \"open\" }\n\
                    limits = \
            { per_agent = \"1000000/s\", connections = \"4096\", connections_per_address = \"4096\" }\n";
        Self::start_with(wanproof, engine, rest)
    }

    /// Starts it with what its configuration says beside database and address.
    pub fn start_with(wanproof: &Path, engine: Engine, rest: &str) -> Result<Self, Broken> {
        let at = tempfile::tempdir()?;
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                Some(Server::start("on").ok_or("there is no PostgreSQL to measure")?)
            }
        };
        let database =
            server.as_ref().map_or_else(|| "sqlite:collector.db".to_owned(), Server::database);
        let config = at.path().join("collector.toml");
        std::fs::write(
            &config,
            format!(
                "listen = \"127.0.0.1:0\"\ndatabase = \"{database}\"\ndata_dir = \".\"\n{rest}"
            ),
        )?;
        let mut program = Running::start(
            Command::new(wanproof).args(["collector", "serve", "--config"]).arg(&config),
        );
        let said = program.says("the collector is listening");
        let address = said.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.ok_or("it does not say where it listens")?.parse()?;
        let database = CollectorConfig::load(&config)?.database;
        Ok(Self { address, database, program, _server: server, _at: at })
    }

    /// The most memory that it had so far, in bytes.
    pub fn peak_memory(&self) -> Result<u64, Broken> {
        let status =
            std::fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.program.pid())))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("there is no VmHWM")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }

    /// Forgets the most memory that it had: it is counted from what it has now
    /// (proc_pid_clear_refs(5)).
    pub fn forget_peak(&self) -> Result<(), Broken> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.program.pid()), "5")?)
    }

    /// The processor time that it took so far, in seconds.
    pub fn processor_time(&self) -> Result<f64, Broken> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.program.pid()))?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Of user and system, in hundredths of a second as Linux tells it (proc(5)).
        let ticks: u64 = fields
            .get(11..13)
            .ok_or("there are no times")?
            .iter()
            .filter_map(|t| t.parse::<u64>().ok())
            .sum();
        Ok(ticks as f64 / 100.0)
    }

    /// Ends it.
    pub fn end(mut self) {
        self.program.terminate();
    }
}
