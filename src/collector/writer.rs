//! The one writer: a thread that takes what waits and does it in one transaction, so that hundreds
//! of summaries cost one wait for the disk. Whoever asked is answered after the commit, when what
//! was done is durable.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::base::time::{Clock, SystemClock};
use crate::collector::archive::accept::{Accepted, Arrival};
use crate::collector::archive::{Archive, ArchiveError, Ill};

/// So many may wait; who comes then is told to come again.
const QUEUE: usize = 512;
/// So many requests share a transaction, …
const GROUP: usize = 256;
/// … as long as their summaries are no more bytes than this.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// Too many wait, or the collector is stopping.
    #[error("too much is waiting to be written")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The transaction that it was part of could not be done.
    #[error("the transaction could not be done: {0}")]
    Undone(String, Ill),
}

/// What to do in a transaction, unless none could be begun; it gives what is to be told once that
/// is over, and whether it holds.
type Act = Box<dyn FnOnce(Option<&Archive>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), (String, Ill)>) + Send>;

/// The summaries of a request.
struct Batch {
    arrivals: Vec<Arrival>,
    answer: oneshot::Sender<Result<Vec<Accepted>, NotWritten>>,
}

enum Job {
    Store(Batch),
    Act(Act),
}

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
        let thread = std::thread::Builder::new()
            .name("archive".to_owned())
            .spawn(move || work(archive, &queue))?;
        Ok((Self { jobs }, thread))
    }

    /// Stores summaries in a transaction, shared with others, and returns when they are durable:
    /// what came of each.
    ///
    /// # Errors
    /// When the database fails; [`NotWritten::Busy`] at once when too many wait.
    pub async fn store(&self, arrivals: Vec<Arrival>) -> Result<Vec<Accepted>, NotWritten> {
        let (answer, answered) = oneshot::channel();
        self.ask(Job::Store(Batch { arrivals, answer }))?;
        answered.await.unwrap_or(Err(NotWritten::Busy))
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
        self.ask(Job::Act(Box::new(move |archive| {
            // A bug in one of them ends that one, and not the only thread that writes.
            let act = |archive: &Archive| {
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(archive)));
                done.unwrap_or_else(|_| {
                    Err(ArchiveError::Damaged("what was to be written ended in a bug".to_owned()))
                })
            };
            let done = archive.map(|archive| archive.part(act));
            Box::new(move |committed| {
                let done = match (done, committed) {
                    (Some(Err(error)), _) => Err(error.into()),
                    (_, Err((what, ill))) => Err(NotWritten::Undone(what, ill)),
                    (Some(Ok(value)), Ok(())) => Ok(value),
                    (None, Ok(())) => Err(NotWritten::Busy),
                };
                // Whoever asked may have gone; what was written stays.
                let _ = answer.send(done);
            })
        })))?;
        answered.await.unwrap_or(Err(NotWritten::Busy))
    }

    fn ask(&self, job: Job) -> Result<(), NotWritten> {
        self.jobs.try_send(job).map_err(|fault| match fault {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => NotWritten::Busy,
        })
    }
}

fn work(mut archive: Archive, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let (mut batches, mut acts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Store(batch) => {
                    bytes +=
                        batch.arrivals.iter().map(|each| each.summary.packed.len()).sum::<usize>();
                    batches.push(batch);
                }
                Job::Act(act) => acts.push(act),
            }
            let full = batches.len() + acts.len() >= GROUP || bytes >= GROUP_BYTES;
            next = if full { None } else { queue.try_recv().ok() };
        }
        if !batches.is_empty() {
            store(&mut archive, batches);
        }
        // Between replicas each is alone in its transaction: several would hold their locks in any
        // order.
        let together = if archive.is_shared() { 1 } else { GROUP };
        let mut acts = acts.into_iter();
        while acts.len() > 0 {
            act(&mut archive, acts.by_ref().take(together).collect());
        }
    }
}

/// Stores the summaries of several requests in one transaction. If that fails, each request gets
/// one of its own, so that none fails for another's sake.
fn store(archive: &mut Archive, batches: Vec<Batch>) {
    let (batches, answers): (Vec<_>, Vec<_>) =
        batches.into_iter().map(|batch| (batch.arrivals, batch.answer)).unzip();
    let lengths: Vec<usize> = batches.iter().map(Vec::len).collect();
    let arrivals: Vec<Arrival> = batches.into_iter().flatten().collect();
    // Without its month's part a row lies with the rest, and is moved when that is made.
    let times = arrivals.iter().map(|each| each.summary.from);
    if let Err(error) = archive.make_parts(times, SystemClock.now().wall) {
        tracing::warn!("a month's part could not be made: {error}");
    }
    let all = archive.write(|archive| archive.accept_all(&arrivals));
    let alone = answers.len() == 1;
    match all {
        Ok(accepted) => {
            let mut accepted = accepted.into_iter();
            for (answer, length) in answers.into_iter().zip(lengths) {
                let _ = answer.send(Ok(accepted.by_ref().take(length).collect()));
            }
        }
        Err(error) => {
            tracing::error!(
                "{} summaries were not stored, and their agents send them again: {error}",
                arrivals.len()
            );
            let mut rest = arrivals.as_slice();
            for (answer, length) in answers.into_iter().zip(lengths) {
                let (own, others) = rest.split_at(length);
                rest = others;
                // What keeps one from being stored keeps all of them.
                let said = if alone || archive.is_lost() || error.ill() != Ill::Away {
                    Err(NotWritten::Undone(error.to_string(), error.ill()))
                } else {
                    archive.write(|archive| archive.accept_all(own)).map_err(NotWritten::Archive)
                };
                let _ = answer.send(said);
            }
        }
    }
}

fn act(archive: &mut Archive, acts: Vec<Act>) {
    let (mut told, mut acts) = (Vec::new(), Some(acts));
    let committed = archive.write(|archive| {
        told.extend(acts.take().into_iter().flatten().map(|act| act(Some(archive))));
        Ok::<(), ArchiveError>(())
    });
    let committed = committed.map_err(|error| {
        tracing::error!(
            "the database cannot be written, so what was asked for is not done: {error}"
        );
        (error.to_string(), error.ill())
    });
    told.extend(acts.into_iter().flatten().map(|act| act(None)));
    for tell in told {
        tell(committed.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::collector::Database;
    use crate::evidence::key::SecretKey;

    #[tokio::test]
    async fn what_fails_is_undone_and_what_shares_its_transaction_stays() {
        let at = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(at.path().join("c.db"));
        let (writer, thread) = Writer::start(Archive::open(&database).unwrap()).unwrap();
        let (one, two) =
            (SecretKey::from_seed(&[1; 32]).kid(), SecretKey::from_seed(&[2; 32]).kid());
        let first = writer.write(move |archive| archive.belong_to(one));
        let second = writer.write(move |archive| archive.belong_to(two));
        let third = writer.write(|archive| archive.collector());
        let (first, second, third) = tokio::join!(first, second, third);
        first.unwrap();
        assert!(matches!(second, Err(NotWritten::Archive(ArchiveError::OtherKey { .. }))));
        assert_eq!(third.unwrap(), Some(one));
        drop(writer);
        thread.join().unwrap();
        assert_eq!(Archive::open_existing(&database).unwrap().collector().unwrap(), Some(one));
    }
}
