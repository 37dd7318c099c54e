//! `fleet attack`: floods of a collector that is started for it, on loopback, each for some
//! seconds; what an honest agent's answers take meanwhile, and how much memory the collector comes
//! to.
//!
//! Attackers have addresses of their own, 127.0.1.1 and on: 250 of them. Each of their connections
//! asks again when it was answered.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, timeout_at};
use wanproof::collector::archive::Archive;
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::config::collector::Database;

use super::agent::Agent;
use super::central::{Central, Engine};
use super::figures::ms;
use super::line::{Broken, Line};
use super::load::run_number;
use super::script::{Script, Site};
use super::shards::{self, Kind};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The collector's program, a release build
    #[arg(long)]
    wanproof: PathBuf,
    /// The database
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Engine,
    /// How long each flood lasts, in seconds
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Only what an enrolled agent ships
    #[arg(long)]
    enrolled: bool,
    /// Of so many probes the enrolled agent ships; each has one summary an hour
    #[arg(long, default_value_t = 5)]
    probes: usize,
}

/// The honest agent ships so often.
const EVERY: Duration = Duration::from_millis(50);
/// Its slowest answers but one in a hundred are to come in this time, …
const P99: Duration = Duration::from_secs(1);
/// … and the collector is to have no more memory, in bytes.
const MEMORY: u64 = 300_000_000;
/// Connections of a flood.
const CONNECTIONS: usize = 800;
/// Connections that only stay.
const IDLE: usize = 4096;

/// A flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// A thousand bytes that become 33 million empty lines.
    Lines,
    /// A thousand bytes that become one line of 32 MiB.
    Expanding,
    /// A zstd frame that asks for a window of 32 MiB.
    Windows,
    /// Heads of 400 KB that do not end.
    Heads,
    /// Bodies of 4 MiB that stop after the first.
    Bodies,
    /// Connections that say nothing.
    Idle,
    /// Summaries by keys that nobody has enrolled, each another.
    Unknown,
    /// Wishes to be enrolled, each by another key.
    Enrolment,
    /// Answers that are not read.
    Unread,
}

impl Flood {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Lines, "1 KB that becomes 33 million lines"),
        (Self::Expanding, "1 KB that becomes a line of 32 MiB"),
        (Self::Windows, "a zstd window of 32 MiB"),
        (Self::Heads, "heads of 400 KB without an end"),
        (Self::Bodies, "bodies of 4 MiB that stop"),
        (Self::Idle, "4,096 connections that say nothing"),
        (Self::Unknown, "summaries by unknown keys"),
        (Self::Enrolment, "enrolments by new keys"),
        (Self::Unread, "answers that nobody reads"),
    ];

    /// The bodies that are sent in turn, with their address and headers; nothing where something
    /// else is done.
    fn requests(self) -> Vec<Vec<u8>> {
        let ndjson = |body: Vec<u8>| {
            request(
                "/v1/summaries",
                "content-type: application/x-ndjson\r\ncontent-encoding: zstd\r\n",
                &body,
            )
        };
        let pack = |plain: &[u8]| zstd::bulk::compress(plain, 19).expect("memory is there");
        let stranger = |number: u64| Agent::new(Site(1_000_000 + number), 0, run_number());
        match self {
            Self::Lines => vec![ndjson(pack(&vec![b'\n'; 32 << 20]))],
            Self::Expanding => vec![ndjson(pack(&vec![b'a'; 32 << 20]))],
            Self::Windows => {
                let mut to = zstd::stream::Encoder::new(Vec::new(), 3).expect("memory is there");
                to.window_log(25).expect("it is a window");
                std::io::Write::write_all(&mut to, b"{}\n").expect("it is memory");
                vec![ndjson(to.finish().expect("it is memory"))]
            }
            Self::Unread => vec![ndjson(pack("x\n".repeat(256).as_bytes()))],
            Self::Unknown => {
                let script = Script::new();
                let of = |number| pack(stranger(number).next(&script).jws.as_bytes());
                (0..500).map(|number| ndjson(of(number))).collect()
            }
            Self::Enrolment => {
                let of = |number| stranger(number).enrolment();
                let wish = |number| {
                    request(
                        "/v1/enrol",
                        "content-type: application/jose\r\n",
                        of(number).as_bytes(),
                    )
                };
                (0..5000).map(wish).collect()
            }
            Self::Heads => {
                let mut head = b"GET /v1/contracts HTTP/1.1\r\nhost: c\r\n".to_vec();
                while head.len() < 400_000 {
                    head.extend(format!("x-{}: {}\r\n", head.len(), "a".repeat(4000)).into_bytes());
                }
                vec![head]
            }
            Self::Bodies => {
                let head = "POST /v1/summaries HTTP/1.1\r\nhost: c\r\ncontent-type: \
                    application/jose\r\ncontent-length: 4194304\r\n\r\n";
                vec![[head.as_bytes(), &vec![b'a'; 1 << 20]].concat()]
            }
            Self::Idle => Vec::new(),
        }
    }

    fn connections(self) -> usize {
        if self == Self::Idle { IDLE } else { CONNECTIONS }
    }

    /// Whether an answer is waited for before the next request.
    fn reads(self) -> bool {
        !matches!(self, Self::Heads | Self::Bodies | Self::Idle | Self::Unread)
    }
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: c\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Measures, and prints a table.
pub async fn attack(options: &Options) -> Result<(), Broken> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let rest = "enrolment = { mode = \"operator\" }\nlimits = { per_agent = \"1000000/s\" }\n";
    let central = Central::start_with(&options.wanproof, options.database, rest)?;
    let mut honest = Honest::new(&central).await?;
    println!(
        "| {:?}, {} s each | told | honest answers, p50 / p99 | to come again | peak memory |",
        options.database, options.seconds
    );
    println!("|---|---|---|---|---|");
    let mut worst = Vec::new();
    let floods = if options.enrolled { &[][..] } else { &Flood::ALL[..] };
    for &(flood, name) in floods {
        central.forget_peak()?;
        let told = Arc::new(AtomicUsize::new(0));
        let requests = flood.requests().into();
        let until = Instant::now() + Duration::from_secs(options.seconds);
        let attackers = {
            let (told, to) = (Arc::clone(&told), central.address);
            std::thread::spawn(move || storm(flood, &requests, to, until, &told))
        };
        let mut answers = honest.ship_until(until).await?;
        attackers.join().map_err(|_| "the attackers ended in a bug")??;
        answers.took.sort_unstable();
        let at =
            |percent: usize| answers.took[(answers.took.len() * percent).div_ceil(100).max(1) - 1];
        let memory = central.peak_memory()?;
        println!(
            "| {name} | {} | {} / {} | {} | {:.0} MB |",
            told.load(Ordering::Relaxed),
            ms(at(50)),
            ms(at(99)),
            answers.again,
            memory as f64 / 1e6
        );
        if at(99) > P99 || memory > MEMORY {
            worst.push(name);
        }
    }
    for kind in [Kind::Apart(options.probes), Kind::Changing] {
        central.forget_peak()?;
        let receipted = shards::ship(&central, kind).await?;
        let memory = central.peak_memory()?;
        println!("| {} | {receipted} | | | {:.0} MB |", kind.name(), memory as f64 / 1e6);
        if memory > MEMORY {
            worst.push(kind.name());
        }
    }
    central.end();
    match worst.is_empty() {
        true => Ok(()),
        false => Err(format!("not within {} and 300 MB: {}", ms(P99), worst.join("; ")).into()),
    }
}

/// An agent that does what it should.
struct Honest {
    agent: Agent,
    script: Script,
    to: SocketAddr,
    line: Option<Line>,
}

struct Answers {
    took: Vec<Duration>,
    again: usize,
}

impl Honest {
    async fn new(central: &Central) -> Result<Self, Broken> {
        let agent = Agent::new(Site(0), 0, run_number());
        let mut line = Line::open(central.address).await?;
        line.enrol(agent.enrolment()).await?;
        let (kid, database): (_, &Database) = (agent.key.kid(), &central.database);
        let mut archive = Archive::open_existing(database)?;
        archive.write(|archive| archive.set_standing(kid, AgentStatus::Approved).map(drop))?;
        let mut honest =
            Self { agent, script: Script::new(), to: central.address, line: Some(line) };
        // From its first receipt on it is known.
        honest.ship_until(Instant::now() + EVERY).await?;
        Ok(honest)
    }

    /// Ships one summary after another; how long each took from when it was due until its receipt.
    async fn ship_until(&mut self, until: Instant) -> Result<Answers, Broken> {
        let mut answers = Answers { took: Vec::new(), again: 0 };
        let mut due = Instant::now();
        while due < until {
            sleep(due.saturating_duration_since(Instant::now())).await;
            let signed = self.agent.next(&self.script);
            let body = Bytes::from(zstd::bulk::compress(signed.jws.as_bytes(), 3)?);
            while !self.receipted(&body).await {
                answers.again += 1;
                if due.elapsed() > Duration::from_secs(30) {
                    return Err("the honest agent got no receipt for 30 s".into());
                }
                sleep(Duration::from_millis(100)).await;
            }
            answers.took.push(due.elapsed());
            due = (due + EVERY).max(Instant::now());
        }
        Ok(answers)
    }

    async fn receipted(&mut self, body: &Bytes) -> bool {
        let line = match self.line.take() {
            Some(line) => Ok(line),
            None => Line::open(self.to).await,
        };
        let Ok(mut line) = line else { return false };
        match timeout(Duration::from_secs(10), line.ship(body.clone())).await {
            Ok(Ok(said)) => {
                self.line = Some(line);
                said.body.windows(11).any(|part| part == b"\"receipt\":\"")
            }
            _ => false,
        }
    }
}

/// Floods a collector until a time; `told` counts what was answered.
fn storm(
    flood: Flood,
    requests: &Arc<[Vec<u8>]>,
    to: SocketAddr,
    until: Instant,
    told: &Arc<AtomicUsize>,
) -> Result<(), std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for number in 0..flood.connections() {
            let (requests, told) = (Arc::clone(requests), Arc::clone(told));
            all.spawn(async move {
                let mut turn = number;
                while Instant::now() < until {
                    let done =
                        assault(flood, (number, to), until, &requests, &mut turn, &told).await;
                    if done.is_err() {
                        // It was shown out, and comes again.
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
        while all.join_next().await.is_some() {}
    });
    Ok(())
}

/// One connection, until it is closed.
async fn assault(
    flood: Flood,
    (number, to): (usize, SocketAddr),
    until: Instant,
    requests: &[Vec<u8>],
    turn: &mut usize,
    told: &AtomicUsize,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    let host = u8::try_from(number % 250).unwrap_or_default() + 1;
    socket.bind((Ipv4Addr::new(127, 0, 1, host), 0).into())?;
    let mut stream = socket.connect(to).await?;
    let mut buffer = vec![0; 4096];
    if requests.is_empty() {
        return stay(&mut stream, &mut buffer, until).await;
    }
    while Instant::now() < until {
        let request = &requests[*turn % requests.len()];
        *turn += 1;
        if timeout_at(until.into(), stream.write_all(request)).await.is_err() {
            return Ok(());
        }
        if flood.reads() {
            let Ok(read) = timeout_at(until.into(), answer(&mut stream, &mut buffer)).await else {
                return Ok(());
            };
            read?;
            told.fetch_add(1, Ordering::Relaxed);
        } else if flood != Flood::Unread {
            return stay(&mut stream, &mut buffer, until).await;
        }
    }
    Ok(())
}

/// Says nothing more until the connection is closed.
async fn stay(stream: &mut TcpStream, buffer: &mut [u8], until: Instant) -> std::io::Result<()> {
    while let Ok(read) = timeout_at(until.into(), stream.read(buffer)).await {
        if read? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Reads an answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
    let mut read = Vec::new();
    let mut length = None;
    loop {
        let count = stream.read(buffer).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&buffer[..count]);
        if length.is_none()
            && let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let body = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            length = Some(end + 4 + body.unwrap_or(0));
        }
        if length.is_some_and(|length| read.len() >= length) {
            return Ok(());
        }
    }
}
