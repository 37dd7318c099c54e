//! A collector within another program, on loopback: for `quickstart` and for tests.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::collector::archive::{self, ArchiveError};
use crate::collector::{Collector, StartError, serve};
use crate::config::collector::{
    Alerts, CollectorConfig, Database, Enrolment, Evidence, Limits, Rate, Waiting,
};
use crate::evidence::base64url;

/// A collector that runs until [`Central::stop`].
#[derive(Debug)]
pub struct Central {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub url: String,
    /// A token that lets one agent in.
    pub token: String,
    /// The collector.
    pub collector: Arc<Collector>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Begins a collector on a free port of 127.0.0.1, with its files in a directory, which is made if
/// only it is missing.
///
/// # Errors
/// When a file or the socket cannot be made or read.
pub async fn on_loopback(dir: &Path) -> Result<Central, StartError> {
    archive::make_directory(dir)?;
    let (tokens, token) = one_token(dir)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let listen = listener.local_addr()?;
    let collector = Collector::open(config(dir, listen, tokens))?;
    let (stop, mut stopped) = watch::channel(false);
    let stopping = async move {
        let _ = stopped.wait_for(|&stop| stop).await;
    };
    let serving = tokio::spawn(serve(listener, Arc::clone(&collector), stopping));
    Ok(Central { url: format!("http://{listen}"), token, collector, stop, serving })
}

fn config(dir: &Path, listen: SocketAddr, tokens: std::path::PathBuf) -> CollectorConfig {
    CollectorConfig {
        listen,
        database: Database::Sqlite(dir.join("collector.db")),
        data_dir: dir.to_owned(),
        key_file: dir.join("collector.key"),
        contracts_dir: None,
        tls: None,
        enrolment: Enrolment::Token(tokens),
        waiting: Waiting::default(),
        admin_token: None,
        limits: Limits {
            per_agent: Rate { count: 600, per: Duration::from_secs(60) },
            // All come from one address here.
            connections_per_address: Limits::default().connections,
            ..Limits::default()
        },
        alerts: Alerts::default(),
        evidence: Evidence::default(),
    }
}

/// The token of a directory, made at the first start.
fn one_token(dir: &Path) -> Result<(std::path::PathBuf, String), StartError> {
    let path = dir.join("tokens");
    if let Ok(text) = fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        return Ok((path, text.trim().to_owned()));
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let token = base64url::encode(&bytes);
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(token.as_bytes()));
    written.map_err(|source| ArchiveError::Directory { path: path.clone(), source })?;
    Ok((path, token))
}

impl Central {
    /// Ends it, after the requests that are under way.
    ///
    /// # Errors
    /// When it ended in a fault.
    pub async fn stop(self) -> Result<(), StartError> {
        let _ = self.stop.send(true);
        match self.serving.await {
            Ok(served) => Ok(served?),
            Err(error) => Err(StartError::System(std::io::Error::other(error))),
        }
    }
}
