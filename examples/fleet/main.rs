//! A fleet of agents that sign and ship real summaries of a scripted year, and the collector's
//! figures that come of it.
//!
//! ```text
//! fleet ship --url http://127.0.0.1:8443 [--agents N] [--each N]       ship to a collector that lets everybody in
//! fleet ingest --wanproof PROGRAM [--database sqlite|postgres] …       summaries a second, latency, memory
//! fleet replicas --wanproof PROGRAM [--agents N] [--seconds N]         three replicas, killed at random: is all there, once?
//! fleet attack --wanproof PROGRAM [--database sqlite|postgres] …       floods of each kind: memory, and an honest agent's answers
//! fleet stored --wanproof PROGRAM [--database sqlite|postgres] …       the same with a year stored, against an empty database
//! ```
//!
//! The figures are of a collector that is started for them, with a database of its own in a
//! temporary folder, on this machine's disk, and each commit waits for that. `benches/run ingest`
//! and `benches/run stored` do it all.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

mod attack;
mod central;
mod figures;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod load;
mod shards;
mod stored;

use kit::fleet::agent;
use kit::fleet::line;
use kit::fleet::replicas;
use kit::fleet::script;
use kit::postgres;
use kit::process;
use std::process::ExitCode;

use clap::Parser;
use line::Broken;

/// A fleet of agents that ship real summaries of a scripted year
#[derive(Parser)]
enum Command {
    /// Ship to a collector on loopback that lets everybody in
    Ship {
        /// Where it listens: an address and a port
        #[arg(long)]
        to: std::net::SocketAddr,
        /// How many agents
        #[arg(long, default_value_t = 100)]
        agents: u64,
        /// How many summaries of each
        #[arg(long, default_value_t = 12)]
        each: usize,
    },
    /// Summaries a second, latency at half of that, memory
    Ingest(figures::Options),
    /// Three replicas on one PostgreSQL, each killed at random: is every receipted summary there,
    /// once?
    Replicas {
        /// The collector's program, a release build
        #[arg(long)]
        wanproof: std::path::PathBuf,
        /// How many agents ship
        #[arg(long, default_value_t = 500)]
        agents: u64,
        /// For how long, in seconds
        #[arg(long, default_value_t = 120)]
        seconds: u64,
        /// After how many receipts one of the replicas is killed
        #[arg(long, default_value_t = 4000)]
        kill_every: usize,
    },
    /// Floods of every kind, for some seconds each: the collector's memory, and what an honest
    /// agent's answers take
    Attack(attack::Options),
    /// The rate with a year of sites stored, against an empty database
    Stored(stored::Options),
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    match runtime.block_on(run(Command::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Broken> {
    match command {
        Command::Ship { to, agents, each } => {
            let mut fleet = load::Fleet::new(agents, load::run_number());
            fleet.enrol(to).await?;
            fleet.prepare(each);
            let told = fleet.ship_at_once(to, each).await?;
            println!("{} summaries were receipted, {:.0} a second", told.receipted, told.rate());
            Ok(())
        }
        Command::Ingest(options) => figures::ingest(&options).await,
        Command::Replicas { wanproof, agents, seconds, kill_every } => {
            let server =
                postgres::Server::start("on").ok_or("there is no PostgreSQL to measure")?;
            let time = Some(std::time::Duration::from_secs(seconds));
            let plan = replicas::Plan { agents, each: usize::MAX, time, kill_every };
            let outcome = replicas::run(&wanproof, &server.database(), &plan).await?;
            println!(
                "| three replicas on one PostgreSQL, {agents} agents, {seconds} s | figure | to \
                    reach |"
            );
            println!("|---|---|---|");
            println!("| replicas killed, and started again | {} | |", outcome.kills);
            println!(
                "| answers that did not come, and were asked for again | {} | |",
                outcome.again
            );
            println!("| receipted | {} | |", outcome.receipted);
            println!("| of these not there with their receipt | {} | 0 |", outcome.lost);
            println!("| stored more than once | {} | 0 |", outcome.twice);
            Ok(())
        }
        Command::Attack(options) => attack::attack(&options).await,
        Command::Stored(options) => stored::stored(&options).await,
    }
}
