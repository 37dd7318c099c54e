//! What the collector does for operators beside the API's own work: tokens, the page of metrics, certificates that were renewed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::time::{Clock, SystemClock};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::caller::Caller;
use crate::collector::desk::tokens::{self, Scope};
use crate::collector::processors::Work;
use crate::collector::{Collector, Fault, door, fleet};
use crate::config::collector::Tls;
use crate::evidence::digest::Digest;
use crate::evidence::problem::{Kind, Problem};
use crate::net::page::Form;

/// How often it is looked whether the certificate changed.
const RENEWAL: Duration = Duration::from_secs(5);

impl Fault {
    /// What happened, for the log.
    pub(super) fn detail(&self) -> &str {
        self.problem.detail()
    }
}

impl Collector {
    /// Does something in a transaction, and returns when it is durable.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, Fault> {
        let done = self.writer()?.write(act).await.map_err(Fault::from);
        self.health.note(&done);
        done
    }

    /// Whose a token is, if it is good for what is asked: one of the operator's file, which is good for everything, or one that was
    /// made.
    pub(super) async fn admit_token(
        self: &Arc<Self>,
        token: &str,
        scope: Scope,
        caller: &Caller,
    ) -> Result<String, Fault> {
        let file = self.config().admin_token.clone();
        let given = Digest::of(token.as_bytes());
        let who = self.read_for(caller.repute(), Work::Short, move |archive| {
            if let Some(file) = &file {
                match std::fs::read_to_string(file) {
                    Ok(text) if text.lines().any(|line| tokens::is_line(line, &given)) => {
                        return Ok("operator".to_owned());
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(file = %file.display(), "the operator's token cannot be read: {error}")
                    }
                }
            }
            match tokens::find(archive, &given)? {
                Some((name, own)) if own >= scope => Ok(name),
                Some(_) => Err(Problem::new(Kind::Forbidden, "this token only reads").into()),
                None => Err(Problem::new(Kind::Unauthorized, "this is no token that is good here").into()),
            }
        });
        let who = who.await?;
        caller.peer.authenticated();
        Ok(who)
    }

    /// The page of metrics.
    pub(super) async fn metrics_page(self: &Arc<Self>, form: Form) -> Result<Vec<u8>, Fault> {
        let silent_after = self.config().alerts.silent_after;
        let (agents, unfolded) = self
            .read(move |archive| {
                let agents = fleet::all(archive, silent_after, SystemClock.now().wall)?;
                Ok((agents, archive.unfolded(u32::MAX)?.len() as u64))
            })
            .await?;
        Ok(self.metrics.page(form, &agents, unfolded))
    }

    /// Whether every processor is at work on requests.
    pub(super) fn is_busy(&self) -> bool {
        self.processors.is_busy()
    }

    fn tls_files(&self) -> Option<Tls> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).tls.clone()
    }
}

/// What tells that a file was written or replaced: inode, length, and when.
fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

/// Reads the certificate and its key again when either changed. A pair that does not go together, as while only one of them was
/// replaced yet, changes nothing; it is told once, and tried again when something changes.
pub(super) async fn renew_certificates(collector: Arc<Collector>, mut stop: watch::Receiver<bool>) {
    let look = |files: &Tls| (stamp(&files.cert), stamp(&files.key));
    let mut known = collector.tls_files().map(|files| (look(&files), files));
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL) => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
        let Some(files) = collector.tls_files() else {
            known = None;
            continue;
        };
        let now = (look(&files), files.clone());
        if known.as_ref() == Some(&now) {
            continue;
        }
        match door::tls(&files) {
            Ok(tls) => {
                collector.tls.send_replace(Some(tls));
                tracing::info!(cert = %files.cert.display(), "the certificate was renewed");
            }
            Err(fault) => tracing::warn!("the certificate changed, and the old one is kept: {fault}"),
        }
        known = Some(now);
    }
}
