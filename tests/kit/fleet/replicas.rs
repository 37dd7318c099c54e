//! Three replicas of a collector on one PostgreSQL, each killed at random while agents ship: every
//! receipted summary has to be there, once, with the receipt that was given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use serde::Deserialize;
use tokio::task::LocalSet;
use wanproof::collector::archive::{Archive, ArchiveError};
use wanproof::config::collector::{Address, Database};
use wanproof::evidence::digest::Digest;
use wanproof::evidence::key::{Kid, PublicKey};
use wanproof::evidence::receipt;
use wanproof::store::keyfile;

use super::agent::Agent;
use super::line::{Broken, Line};
use super::script::{Script, Site, random};
use crate::kit::process::Running;

/// How many replicas.
const REPLICAS: usize = 3;
/// An answer that takes longer is given up, as an agent does, and asked for again at another
/// replica.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it is done.
pub struct Plan {
    /// How many agents ship.
    pub agents: u64,
    /// How many summaries of each; or until the time is over.
    pub each: usize,
    /// When they stop at the latest.
    pub time: Option<Duration>,
    /// After so many receipts one of the replicas is killed.
    pub kill_every: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Summaries whose receipt was given, and verified.
    pub receipted: usize,
    /// Of these, how many are not there with that receipt.
    pub lost: usize,
    /// Numbers that are stored more than once.
    pub twice: usize,
    /// What is stored in all.
    pub stored: usize,
    /// How often a replica was killed.
    pub kills: usize,
    /// How often an answer did not come, and was asked for again.
    pub again: usize,
}

struct Replica {
    config: PathBuf,
    address: Mutex<SocketAddr>,
}

/// What was receipted: by agent and number, the digest and the receipt.
type Receipts = BTreeMap<(Kid, u64), (Digest, String)>;

/// Does it, on a database of the server.
pub async fn run(wanproof: &Path, database: &str, plan: &Plan) -> Result<Outcome, Broken> {
    let at = tempfile::tempdir()?;
    let (key, _) = keyfile::load_or_create(&at.path().join("collector.key"))?;
    // All at once, on an empty database.
    let mut starting = Vec::new();
    for number in 0..REPLICAS {
        let config = at.path().join(format!("replica-{number}.toml"));
        std::fs::write(
            &config,
            format!(
                "listen = \"127.0.0.1:0\"\ndatabase = \"{database}\"\ndata_dir = \".\"\nenrolment \
                    = {{ mode = \"open\" }}\n\
                 limits = {{ per_agent = \"1000000/s\" }}\n"
            ),
        )?;
        starting.push((start(wanproof, &config), config));
    }
    let (mut replicas, mut programs) = (Vec::new(), Vec::new());
    for (mut program, config) in starting {
        replicas.push(Replica { config, address: Mutex::new(listening(&mut program)?) });
        programs.push(program);
    }
    let replicas = Arc::new(replicas);
    let agents: Vec<Agent> = (0..plan.agents).map(|site| Agent::new(Site(site), 0, 7)).collect();
    let mut line = Line::open(address(&replicas[0])).await?;
    for agent in &agents {
        line.enrol(agent.enrolment()).await?;
    }

    let (receipted, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let killer = {
        let (replicas, receipted, over) =
            (Arc::clone(&replicas), Arc::clone(&receipted), Arc::clone(&over));
        let (wanproof, every) = (wanproof.to_owned(), plan.kill_every);
        std::thread::spawn(move || {
            kill_at_random(&wanproof, &replicas, programs, every, &receipted, &over)
        })
    };
    let until = plan.time.map(|time| Instant::now() + time);
    let script = std::rc::Rc::new(Script::new());
    let local = LocalSet::new();
    let shipping: Vec<_> = agents
        .into_iter()
        .map(|agent| {
            let shipper = Shipper {
                agent,
                replicas: Arc::clone(&replicas),
                key: *key.public(),
                line: None,
                again: 0,
            };
            local.spawn_local(shipper.ship(
                std::rc::Rc::clone(&script),
                plan.each,
                until,
                Arc::clone(&receipted),
            ))
        })
        .collect();
    let mut outcome = Outcome::default();
    let mut receipts = Receipts::new();
    let shipped = local
        .run_until(async {
            for task in shipping {
                let (own, again) = task.await??;
                receipts.extend(own);
                outcome.again += again;
            }
            Ok::<(), Broken>(())
        })
        .await;
    over.store(true, Ordering::Relaxed);
    let killed = killer.join().map_err(|_| "the killer panicked")?;
    shipped?;
    outcome.kills = killed?;
    outcome.receipted = receipts.len();
    compare(database, receipts, &mut outcome)?;
    Ok(outcome)
}

fn compare(database: &str, mut receipts: Receipts, outcome: &mut Outcome) -> Result<(), Broken> {
    let archive = Archive::open_existing(&Database::Postgres(Address::new(database.to_owned())))?;
    let mut seen = std::collections::BTreeSet::new();
    archive.each_summary(|stored| {
        let of = stored.subject;
        outcome.stored += 1;
        outcome.twice += usize::from(!seen.insert((of.agent, of.seq)));
        if receipts.get(&(of.agent, of.seq)) == Some(&(of.digest, stored.receipt)) {
            receipts.remove(&(of.agent, of.seq));
        }
        Ok::<(), ArchiveError>(())
    })?;
    outcome.lost = receipts.len();
    Ok(())
}

fn start(wanproof: &Path, config: &Path) -> Running {
    Running::start(Command::new(wanproof).args(["collector", "serve", "--config"]).arg(config))
}

fn listening(program: &mut Running) -> Result<SocketAddr, Broken> {
    let said = program.says("the collector is listening");
    let address = said.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
    Ok(address.ok_or("it does not say where it listens")?.parse()?)
}

fn address(replica: &Replica) -> SocketAddr {
    *replica.address.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills one of the replicas after each so many receipts, and starts it again.
fn kill_at_random(
    wanproof: &Path,
    replicas: &[Replica],
    mut programs: Vec<Running>,
    every: usize,
    receipted: &AtomicUsize,
    over: &AtomicBool,
) -> Result<usize, String> {
    let mut kills = 0;
    while !over.load(Ordering::Relaxed) {
        if receipted.load(Ordering::Relaxed) < (kills + 1) * every {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        let victim =
            usize::try_from(random(kills as u64) % REPLICAS as u64).expect("there are three");
        programs[victim].signal(Signal::SIGKILL);
        programs[victim].wait();
        kills += 1;
        programs[victim] = start(wanproof, &replicas[victim].config);
        let address = listening(&mut programs[victim]).map_err(|fault| fault.to_string())?;
        *replicas[victim].address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }
    for program in &mut programs {
        program.terminate();
    }
    Ok(kills)
}

/// An agent that ships, to whichever replica answers.
struct Shipper {
    agent: Agent,
    replicas: Arc<Vec<Replica>>,
    key: PublicKey,
    line: Option<Line>,
    again: usize,
}

impl Shipper {
    async fn ship(
        mut self,
        script: std::rc::Rc<Script>,
        each: usize,
        until: Option<Instant>,
        receipted: Arc<AtomicUsize>,
    ) -> Result<(Receipts, usize), Broken> {
        let mut receipts = Receipts::new();
        let mut replica = usize::try_from(self.agent.site.0).unwrap_or(0);
        for _ in 0..each {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let signed = self.agent.next(&script);
            let body = Bytes::from(zstd::bulk::compress(signed.jws.as_bytes(), 3)?);
            let given = loop {
                match self.ask(replica, body.clone()).await {
                    Ok(Some(given)) => break given,
                    Ok(None) => tokio::time::sleep(Duration::from_millis(200)).await,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                (self.line, self.again, replica) = (None, self.again + 1, replica + 1);
            };
            let said = receipt::verify(given.as_bytes(), &self.key)?;
            if (said.agent, said.seq, said.digest)
                != (self.agent.key.kid(), signed.seq, signed.digest)
            {
                return Err("a receipt is for another summary".into());
            }
            receipts.insert((said.agent, said.seq), (said.digest, given));
            receipted.fetch_add(1, Ordering::Relaxed);
        }
        Ok((receipts, self.again))
    }

    /// The receipt; nothing when it is to come again.
    async fn ask(&mut self, replica: usize, body: Bytes) -> Result<Option<String>, Broken> {
        #[derive(Deserialize)]
        struct Answer {
            receipt: Option<String>,
        }
        let line = match &mut self.line {
            Some(line) => line,
            none => none.insert(Line::open(address(&self.replicas[replica % REPLICAS])).await?),
        };
        let said = tokio::time::timeout(PATIENCE, line.ship(body)).await??;
        match said.status {
            StatusCode::OK => {
                let answer: Answer = serde_json::from_slice(&said.body)?;
                Ok(Some(answer.receipt.ok_or_else(|| format!("refused: {:?}", said.body))?))
            }
            StatusCode::SERVICE_UNAVAILABLE => Ok(None),
            other => Err(format!("{other}: {:?}", said.body).into()),
        }
    }
}
