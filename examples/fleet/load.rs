//! The load: agents whose summaries were made before, so that the machine's cores are the
//! collector's while it is measured. An agent ships one after another, and the next when it has the
//! receipt.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::task::LocalSet;

use super::agent::Agent;
use super::line::{Broken, Line};
use super::script::{Script, Site};

/// The fleet.
pub struct Fleet {
    /// Its agents.
    pub agents: Vec<Agent>,
    /// What each has not shipped yet, compressed, in order.
    ready: Vec<Vec<Bytes>>,
    script: Script,
}

/// What came of it.
pub struct Told {
    /// How many have their receipt.
    pub receipted: usize,
    /// How often one was told to come again.
    pub busy: usize,
    /// How long it took.
    pub took: Duration,
    /// How long each answer took, in order.
    pub answers: Vec<Duration>,
}

impl Told {
    /// Summaries a second.
    pub fn rate(&self) -> f64 {
        self.receipted as f64 / self.took.as_secs_f64()
    }

    /// So many of a hundred answers took no longer.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.answers.len() * percent).div_ceil(100).max(1) - 1;
        self.answers.get(at).copied().unwrap_or_default()
    }
}

/// Another number in each run, so that a collector can be shipped to twice.
pub fn run_number() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() ^ u64::from(since.subsec_nanos()) << 32)
}

impl Fleet {
    /// So many agents, one at each site, at the beginning of the year.
    pub fn new(agents: u64, run: u64) -> Self {
        Self::of((0..agents).map(|site| Agent::new(Site(site), 0, run)).collect())
    }

    /// These agents.
    pub fn of(agents: Vec<Agent>) -> Self {
        let ready = agents.iter().map(|_| Vec::new()).collect();
        Self { agents, ready, script: Script::new() }
    }

    /// Makes the next summaries of each, on all cores.
    pub fn prepare(&mut self, each: usize) {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let share = self.agents.len().div_ceil(cores).max(1);
        let script = &self.script;
        std::thread::scope(|scope| {
            for (agents, ready) in self.agents.chunks_mut(share).zip(self.ready.chunks_mut(share)) {
                scope.spawn(move || {
                    for (agent, ready) in agents.iter_mut().zip(ready) {
                        ready.extend((0..each).map(|_| {
                            let signed = agent.next(script);
                            Bytes::from(
                                zstd::bulk::compress(signed.jws.as_bytes(), 3)
                                    .expect("memory is there"),
                            )
                        }));
                    }
                });
            }
        });
    }

    /// Some of the bodies that are ready.
    pub fn bodies(&self, count: usize) -> Vec<Bytes> {
        self.ready.iter().flatten().take(count).cloned().collect()
    }

    /// Has every agent let in.
    pub async fn enrol(&self, to: SocketAddr) -> Result<(), Broken> {
        let mut line = Line::open(to).await?;
        for agent in &self.agents {
            let said = line.enrol(agent.enrolment()).await?;
            if said.status != StatusCode::OK || !contains(&said.body, b"approved") {
                return Err(format!("not let in: {} {:?}", said.status, said.body).into());
            }
        }
        Ok(())
    }

    /// Ships the next of each, each agent as fast as it gets receipts.
    pub async fn ship_at_once(&mut self, to: SocketAddr, each: usize) -> Result<Told, Broken> {
        self.ship(to, each, None).await
    }

    /// Ships the next of each, so many a second in all, whatever the answers take: how long one
    /// takes is counted from when it should have been sent.
    pub async fn ship_at_rate(
        &mut self,
        to: SocketAddr,
        each: usize,
        rate: f64,
    ) -> Result<Told, Broken> {
        self.ship(to, each, Some(rate)).await
    }

    async fn ship(
        &mut self,
        to: SocketAddr,
        each: usize,
        rate: Option<f64>,
    ) -> Result<Told, Broken> {
        let (busy, answers) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        let mut lines = Vec::new();
        for _ in &self.agents {
            lines.push(Line::open(to).await?);
        }
        let count = self.agents.len();
        let begin = Instant::now();
        let local = LocalSet::new();
        let tasks: Vec<_> = self
            .ready
            .iter_mut()
            .zip(lines)
            .enumerate()
            .map(|(number, (ready, mut line))| {
                let bodies: Vec<Bytes> = ready.drain(..each.min(ready.len())).collect();
                let (busy, answers) = (Rc::clone(&busy), Rc::clone(&answers));
                local.spawn_local(async move {
                    for (turn, body) in bodies.into_iter().enumerate() {
                        let mut due = Instant::now();
                        if let Some(rate) = rate {
                            due = begin
                                + Duration::from_secs_f64((turn * count + number) as f64 / rate);
                            tokio::time::sleep_until(due.into()).await;
                        }
                        loop {
                            let said = line.ship(body.clone()).await?;
                            if said.status == StatusCode::OK
                                && contains(&said.body, b"\"receipt\":\"")
                            {
                                break;
                            }
                            if said.status != StatusCode::SERVICE_UNAVAILABLE {
                                return Err(Broken::from(format!(
                                    "{}: {:?}",
                                    said.status, said.body
                                )));
                            }
                            busy.set(busy.get() + 1);
                            tokio::time::sleep(Duration::from_secs(said.retry_after.unwrap_or(1)))
                                .await;
                        }
                        answers.borrow_mut().push(due.elapsed());
                    }
                    Ok(())
                })
            })
            .collect();
        local
            .run_until(async {
                for task in tasks {
                    task.await??;
                }
                Ok::<(), Broken>(())
            })
            .await?;
        let took = begin.elapsed();
        let mut answers = answers.take();
        answers.sort_unstable();
        Ok(Told { receipted: answers.len(), busy: busy.get(), took, answers })
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
