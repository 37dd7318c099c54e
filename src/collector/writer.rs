//! The one writer: a thread that takes what waits and does it in one transaction, so that a hundred summaries cost one wait for
//! the disk. Whoever asked is answered after the commit, when what was done is durable.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::collector::archive::{Archive, ArchiveError};

/// So many may wait; who comes then is told to come again.
const QUEUE: usize = 256;
/// So many share a transaction.
const GROUP: usize = 64;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Too many wait, or the collector is stopping.
    #[error("too much is waiting to be written")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The transaction that it was part of could not be committed.
    #[error("the transaction could not be committed: {0}")]
    Commit(String),
}

/// What to do in a transaction; it gives what is to be told once that is over, and whether it holds.
type Job = Box<dyn FnOnce(&Archive) -> Told + Send>;
type Told = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The way to the writer.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    /// Begins the thread. It ends when every [`Writer`] is dropped, after what was waiting is done.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(archive: Archive) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || work(archive, &queue))?;
        Ok((Self { jobs }, thread))
    }

    /// Does something in a transaction, shared with others, and returns when it is durable.
    ///
    /// # Errors
    /// What `act` returns; [`NotWritten::Busy`] at once when too many wait.
    pub async fn write<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Archive) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, NotWritten> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |archive| {
            let done = archive.part(act);
            Box::new(move |committed| {
                let done = match (done, committed) {
                    (Err(error), _) => Err(error.into()),
                    (Ok(_), Err(what)) => Err(NotWritten::Commit(what)),
                    (Ok(value), Ok(())) => Ok(value),
                };
                // Whoever asked may have gone; what was written stays.
                let _ = answer.send(done);
            })
        });
        match self.jobs.try_send(job) {
            Ok(()) => answered.await.unwrap_or(Err(NotWritten::Busy)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(NotWritten::Busy),
        }
    }
}

fn work(mut archive: Archive, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut told = Vec::new();
        let mut jobs = Some(first).into_iter().chain(queue.try_iter()).take(GROUP);
        let committed = archive.write(|archive| {
            told.extend(jobs.by_ref().map(|job| job(archive)));
            Ok::<(), ArchiveError>(())
        });
        let committed = committed.map_err(|error| {
            tracing::error!("nothing can be written: {error}");
            error.to_string()
        });
        for tell in told {
            tell(committed.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::key::SecretKey;

    #[tokio::test]
    async fn what_fails_is_undone_and_what_shares_its_transaction_stays() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("c.db");
        let (writer, thread) = Writer::start(Archive::open(&path).unwrap()).unwrap();
        let (one, two) = (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]).kid());
        let first = writer.write(move |archive| archive.belong_to(one));
        let second = writer.write(move |archive| archive.belong_to(two));
        let third = writer.write(|archive| archive.collector());
        let (first, second, third) = tokio::join!(first, second, third);
        first.unwrap();
        assert!(matches!(second, Err(NotWritten::Archive(ArchiveError::OtherKey { .. }))));
        assert_eq!(third.unwrap(), Some(one));
        drop(writer);
        thread.join().unwrap();
        assert_eq!(Archive::open_existing(&path).unwrap().collector().unwrap(), Some(one));
    }
}
