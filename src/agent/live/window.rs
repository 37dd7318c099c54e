//! The socket at which the running agent can be asked.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tracing::debug;

use super::Live;

/// The socket at which the running agent can be asked; its file goes with it.
#[derive(Debug)]
pub struct Window {
    listener: UnixListener,
    path: PathBuf,
}

impl Window {
    /// Opens it; what a dead agent left there is replaced. Its mode lets the agent's user and group
    /// in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers everyone who comes with a snapshot, a line of JSON, for ever.
    pub async fn serve(&self, live: &Live) {
        loop {
            match self.listener.accept().await {
                Ok((mut guest, _)) => {
                    let text =
                        serde_json::to_string(&live.snapshot()).expect("a snapshot is JSON") + "\n";
                    // A guest who does not read costs a task for a second, and nothing else.
                    tokio::task::spawn_local(async move {
                        let told = tokio::time::timeout(
                            std::time::Duration::from_secs(1),
                            guest.write_all(text.as_bytes()),
                        );
                        if !matches!(told.await, Ok(Ok(()))) {
                            debug!("a status guest left early");
                        }
                    });
                }
                Err(error) => {
                    debug!(%error, "a status guest could not be let in");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(%error, "the status socket was gone already");
        }
    }
}
