//! What the collector does for operators beside the API's own work: tokens, the page of metrics,
//! certificates that were renewed.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::time::{Clock, SystemClock, Wall};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::caller::Caller;
use crate::collector::concurrency::Work;
use crate::collector::fault::Fault;
use crate::collector::operations::tokens::{self, Scope};
use crate::collector::rounds_thread::Unfinished;
use crate::collector::writer::NotWritten;
use crate::collector::{Collector, fleet, listener};
use crate::config::collector::Tls;
use crate::config::collector::tokens::admin;
use crate::config::secret;
use crate::evidence::digest::Digest;
use crate::evidence::problem::{Kind, Problem};
use crate::net::exposition::Form;

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

    /// As [`Self::change`]; of what lies with a row, and not with the database, the reason is
    /// given.
    pub(super) async fn try_change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<Result<T, String>, Fault> {
        match self.writer()?.write(act).await {
            Ok(value) => Ok(Ok(value)),
            Err(NotWritten::Archive(error)) if error.is_of_a_row() => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Does something of the rounds with a reading connection, on their own thread, where it takes
    /// nobody's place who asks. Of what lies with a row, and of a bug, the reason is given.
    pub(super) async fn try_read<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<Result<T, String>, Fault> {
        let collector = Arc::clone(self);
        match self.rounds.run(move || collector.reading(act)).await {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) if error.is_of_a_row() => Ok(Err(error.to_string())),
            Ok(Err(error)) => Err(error.into()),
            Err(Unfinished) => {
                Ok(Err("it failed by a fault of this program, which is worth a report".to_owned()))
            }
        }
    }

    /// Whose a token is, if it is good for what is asked: one of the operator's file, which is good
    /// for everything, or one that was made. Whoever brings wrong ones has to wait; a token that
    /// was good from there lately is let through all the same, so that nobody is kept out by a
    /// neighbour who guesses.
    pub(super) async fn admit_token(
        self: &Arc<Self>,
        token: &str,
        scope: Scope,
        caller: &Caller,
    ) -> Result<String, Fault> {
        let from = caller.peer.source();
        let given = Digest::of(token.as_bytes());
        let now = SystemClock.now();
        let known = (from, given);
        let counted = self.guesses.tokens.count(from, now.mono);
        if let Err(wait) = counted
            && !self.guesses.was_good(&known, now.mono)
        {
            // What a wrong token is answered: whether it is one is not looked up now.
            let what = "too many wrong tokens came from this address: wait";
            let problem = Problem::new(Kind::Unauthorized, what);
            return Err(Fault { retry_after: Some(wait), ..problem.into() });
        }
        let file = self.config().admin_token.clone();
        let find = move |archive: &Archive| Ok(holder(archive, file.as_deref(), &given, now.wall)?);
        let found = self.read_for(caller.repute(), Work::Short, find).await?;
        if counted.is_ok() && found.is_some() {
            self.guesses.tokens.give_back(from, now.mono);
        }
        match found {
            Some((_, own)) if own < scope => {
                self.guesses.good(known, now.mono);
                Err(Problem::new(Kind::Forbidden, "this token only reads").into())
            }
            Some((name, _)) => {
                caller.peer.authenticated();
                self.guesses.good(known, now.mono);
                Ok(name)
            }
            None => {
                tracing::warn!(%from, "a request to the API came with an unknown or expired token");
                Err(Problem::new(Kind::Unauthorized, "unknown or expired token").into())
            }
        }
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

/// What an agent is told from whose address too many wrong tokens came, or too many agents that
/// wait.
pub(super) fn too_many_guesses(wait: Duration) -> Fault {
    let problem =
        Problem::new(Kind::Busy, "too many agents that are not known came from this address: wait")
            .with_status(429);
    Fault { retry_after: Some(wait), ..problem.into() }
}

/// Who holds a token, and what it is good for.
fn holder(
    archive: &Archive,
    file: Option<&Path>,
    given: &Digest,
    now: Wall,
) -> Result<Option<(String, Scope)>, ArchiveError> {
    if let Some(file) = file {
        match secret::read(file) {
            Ok(text) => {
                let mut own = admin(&text).0.into_iter();
                if own.any(|own| own.digest == *given && own.until.is_none_or(|until| now < until))
                {
                    return Ok(Some(("operator".to_owned(), Scope::Admin)));
                }
            }
            Err(why) => tracing::error!("the operator's token counts for nothing: {why}"),
        }
    }
    tokens::find(archive, given, now)
}

/// What tells that a file was written or replaced: inode, length, and when.
fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}

/// Reads the certificate and its key again when either changed. A pair that does not go together,
/// as while only one of them was replaced yet, changes nothing; it is told once, and tried again
/// when something changes.
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
        match listener::tls(&files) {
            Ok(tls) => {
                collector.tls.send_replace(Some(tls));
                tracing::info!(cert = %files.cert.display(), "the certificate was renewed");
            }
            Err(fault) => {
                tracing::warn!("the certificate changed, and the old one is kept: {fault}")
            }
        }
        known = Some(now);
    }
}
