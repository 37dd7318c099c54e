//! The thread that works out what rounds ask for: folding and judging read more than anything else
//! does, and one thing of that kind at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the thread.
#[derive(Clone, Debug)]
pub struct RoundsThread {
    jobs: Sender<Job>,
}

/// What was asked for ended in a bug, or the thread is gone.
#[derive(Debug)]
pub struct Unfinished;

impl RoundsThread {
    /// Begins the thread. It ends when every [`RoundsThread`] is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        std::thread::Builder::new()
            .name("rounds".to_owned())
            .spawn(move || queue.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Does something there, after what was asked for before.
    ///
    /// # Errors
    /// When it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            let done = catch_unwind(AssertUnwindSafe(act)).map_err(|_| Unfinished);
            // Whoever asked may have gone.
            let _ = answer.send(done);
        };
        self.jobs.send(Box::new(job)).map_err(|_| Unfinished)?;
        answered.await.unwrap_or(Err(Unfinished))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bug_in_one_job_leaves_the_thread_to_the_next() {
        let thread = RoundsThread::start().unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        assert!(thread.run(|| panic!("a bug")).await.is_err());
        assert_eq!(thread.run(name).await.unwrap().as_deref(), Some("rounds"));
    }
}
