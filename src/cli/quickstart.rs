//! `wanproof quickstart`: agent, collector and an example contract in one process on loopback, with
//! a scripted outage.

use std::cell::Cell;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::agent::live::Snapshot;
use crate::agent::review::{month_of, review};
use crate::agent::terms::Terms;
use crate::agent::{self, Order};
use crate::base::time::{Clock, SystemClock, Wall, format_duration, parse_duration};
use crate::cli::outages::{self, Observed};
use crate::cli::{Exit, Failure, print, status, verdict, verify};
use crate::collector;
use crate::config::agent::AgentConfig;
use crate::sla::facts::Facts;
use crate::store::Store;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long it measures; from 15s to 1h
    #[arg(long = "for", default_value = "60s", value_name = "LENGTH")]
    length: String,
    /// Ping these hosts too, each as a probe of its own; nothing but loopback is touched without it
    #[arg(long, value_name = "HOST")]
    target: Vec<String>,
    /// Where everything is kept to be looked at afterwards [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The contract's text; what is in capitals is put in.
const CONTRACT: &str = include_str!("quickstart/contract.toml");
/// The agent's configuration; what is in capitals is put in.
const AGENT: &str = include_str!("quickstart/agent.toml");

/// Runs it.
///
/// # Errors
/// When something cannot be begun, or the evidence does not verify.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let length = parse_duration(&args.length).map_err(|error| Failure::Usage(error.to_string()))?;
    if !(Duration::from_secs(15)..=Duration::from_secs(3600)).contains(&length) {
        return Err(Failure::Usage(format!("--for {}: expected from 15s to 1h", args.length)));
    }
    let dir = match &args.dir {
        Some(dir) => {
            std::fs::create_dir(dir).map_err(|error| {
                could(
                    &format!(
                        "{}: name a directory that is not there yet, which is made",
                        dir.display()
                    ),
                    &error,
                )
            })?;
            dir.clone()
        }
        None => nix::unistd::mkdtemp(&std::env::temp_dir().join("wanproof-quickstart-XXXXXX"))
            .map_err(|error| could("a temporary directory cannot be made", &error))?,
    };
    let runtime = super::runtime()?;
    LocalSet::new().block_on(&runtime, measure(args, length, &dir))?;
    conclude(&dir)
}

fn could(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Could(format!("{what}: {error}"))
}

/// The times of the scripted outage, from the beginning.
#[derive(Clone, Copy, Debug)]
struct Script {
    fails: Duration,
    returns: Duration,
}

async fn measure(args: &Args, length: Duration, dir: &Path) -> Result<(), Failure> {
    let script = Script {
        fails: length * 2 / 5,
        returns: length * 2 / 5 + (length / 5).min(Duration::from_secs(12)),
    };
    let central = collector::on_loopback(&dir.join("collector"))
        .await
        .map_err(|error| could("the collector", &error))?;
    let provider = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|error| could("a local server", &error))?;
    let portal = provider.local_addr().map_err(|error| could("a local server", &error))?;
    let config = write_configuration(args, dir, portal, &central.url, &central.token)?;

    print::line(format_args!(
        "agent, collector and contract on loopback, for {}; files in {}",
        format_duration(length),
        dir.display()
    ))?;
    print::line(format_args!(
        "the provider's portal will fail after {} and return after {}\n",
        format_duration(Duration::from_secs(script.fails.as_secs())),
        format_duration(Duration::from_secs(script.returns.as_secs()))
    ))?;
    let begun = Instant::now();
    tokio::task::spawn_local(serve_portal(provider, portal, begun, script));
    let (orders, inbox) = mpsc::channel(1);
    let (ready, measuring) = oneshot::channel();
    let socket = config.status_socket.clone();
    let ready = Cell::new(Some(ready));
    let agent = tokio::task::spawn_local(agent::run(config, inbox, move |_| {
        if let Some(ready) = ready.take() {
            let _ = ready.send(());
        }
    }));
    if measuring.await.is_ok() {
        show(&socket, begun, length, script).await?;
    }
    // An agent that could not begin has closed its door; it says why below.
    let _ = orders.send(Order::Stop).await;
    agent.await.map_err(|error| could("the agent", &error))?.map_err(super::run::failure)?;
    central.stop().await.map_err(|error| could("the collector", &error))
}

fn write_configuration(
    args: &Args,
    dir: &Path,
    portal: SocketAddr,
    url: &str,
    token: &str,
) -> Result<AgentConfig, Failure> {
    let mut text = AGENT
        .replace("PORTAL", &portal.to_string())
        .replace("COLLECTOR", url)
        .replace("TOKEN", token);
    for (host, number) in args.target.iter().zip(1..) {
        text.push_str(&format!(
            "\n[[probe]]\nname = \"target-{number}\"\nkind = \"icmp\"\ntarget = {host:?}\nperiod \
                = \"1s\"\n"
        ));
    }
    let now = SystemClock.now().wall;
    let contract = CONTRACT.replace("NOW", &Wall::from_secs(now.secs()).to_string());
    let write = |name: &str, text: &str| {
        std::fs::write(dir.join(name), text)
            .map_err(|error| could(&dir.join(name).display().to_string(), &error))
    };
    write("contract.toml", &contract)?;
    write("agent.toml", &text)?;
    crate::config::agent::load(&dir.join("agent.toml"))
        .map_err(|faults| Failure::Usage(faults.to_string()))
}

/// The provider's end: a small HTTP server that is gone between two times of the script.
async fn serve_portal(first: TcpListener, address: SocketAddr, begun: Instant, script: Script) {
    let until = |at: Duration| tokio::time::sleep_until((begun + at).into());
    tokio::select! {
        () = answer(&first) => {}
        () = until(script.fails) => {}
    }
    drop(first);
    until(script.returns).await;
    match TcpListener::bind(address).await {
        Ok(second) => answer(&second).await,
        Err(error) => tracing::warn!(%error, "the portal could not return"),
    }
}

async fn answer(listener: &TcpListener) {
    while let Ok((mut guest, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            let mut asked = [0; 1024];
            if guest.read(&mut asked).await.is_ok_and(|read| read > 0) {
                let said = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
                // A guest who left early is no matter here.
                let _ = guest.write_all(said).await;
            }
        });
    }
}

/// The live table: drawn anew on a terminal, a line now and then elsewhere.
async fn show(
    socket: &Path,
    begun: Instant,
    length: Duration,
    script: Script,
) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let mut drawn = 0;
    let mut tick = tokio::time::interval(Duration::from_secs(if terminal { 1 } else { 5 }));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    let mut interrupted = false;
    while begun.elapsed() < length && !interrupted {
        tokio::select! {
            _ = tick.tick() => {}
            _ = &mut stop => interrupted = true,
            () = tokio::time::sleep_until((begun + length).into()) => {}
        }
        let Some(snapshot) = ask(socket).await else { continue };
        let phase = match begun.elapsed() {
            elapsed if elapsed < script.fails => "the portal works",
            elapsed if elapsed < script.returns => "the portal is gone: the scripted outage",
            _ => "the portal is back",
        };
        let text = format!(
            "{:>3} s  {phase}\n{}",
            begun.elapsed().as_secs(),
            status::probes(&snapshot.probes)
        );
        if terminal && drawn > 0 {
            print::again(drawn, &text)?;
        } else {
            print::line(&text)?;
        }
        drawn = text.lines().count();
    }
    Ok(())
}

async fn ask(socket: &Path) -> Option<Snapshot> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    serde_json::from_str(&text).ok()
}

/// What was found: outages, verdicts, and the evidence, verified as a third person would.
fn conclude(dir: &Path) -> Result<Exit, Failure> {
    let config = crate::config::agent::load(&dir.join("agent.toml"))
        .map_err(|faults| Failure::Usage(faults.to_string()))?;
    let store = Store::read(&config.data_dir)?;
    let now = Wall::from_secs(SystemClock.now().wall.secs());
    let found = store.outages(Wall::from_nanos(0), Wall::from_nanos(i64::MAX))?;
    let found: Vec<_> = found.into_iter().map(|(_, outage)| outage).collect();
    print::line("\nOutages (wanproof outages)\n")?;
    print::line(if found.is_empty() {
        "none".to_owned()
    } else {
        outages::shown(&found, &Observed::Now(now))
    })?;

    print::line("\nVerdicts (wanproof report)\n")?;
    let terms = Terms::load(&config).map_err(|faults| Failure::Usage(faults.to_string()))?;
    let facts = Facts { as_of: Some(now), ..Facts::default() };
    for judged in terms.judged() {
        for service in &judged.services {
            let report = review(&store, &judged, service, month_of(&judged.contract, now), &facts)
                .map_err(|error| Failure::Could(error.to_string()))?;
            print::line(verdict::text(&report))?;
        }
    }

    print::line("\nEvidence (wanproof outbox --export, wanproof verify)\n")?;
    let evidence = dir.join("evidence");
    crate::cli::outbox::export(&store, &evidence)?;
    let exit = verify::run(&verify::Args::of_agent(config.data_dir, evidence))?;
    let at = dir.display();
    print::line(format_args!("\nask it yourself: wanproof outages --config {at}/agent.toml"))?;
    print::line(format_args!(
        "                 wanproof histogram hq-icmp --config {at}/agent.toml"
    ))?;
    print::line(format_args!(
        "                 wanproof verify --config {at}/agent.toml {at}/evidence"
    ))?;
    Ok(exit)
}
