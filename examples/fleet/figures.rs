//! `fleet ingest`: the rate, the latency at half of it, and the memory, of one collector.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use wanproof::collector::archive::Archive;
use wanproof::collector::body::{EXPANDED, Encoding, expand};
use wanproof::config::collector::Database;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::PublicKey;
use wanproof::evidence::summary;

use super::central::{Central, Engine};
use super::line::{Broken, Line};
use super::load::{Fleet, run_number};
use super::postgres;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The collector's program, a release build
    #[arg(long)]
    wanproof: PathBuf,
    /// The database
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Engine,
    /// How many agents ship at once
    #[arg(long, default_value_t = 256)]
    agents: u64,
    /// How many summaries of each are shipped to find the rate
    #[arg(long, default_value_t = 120)]
    each: usize,
    /// How many connections are open in all
    #[arg(long, default_value_t = 2000)]
    connections: usize,
    /// How long half the rate is kept up, in seconds
    #[arg(long, default_value_t = 15)]
    half: u64,
}

/// How long the unavoidable work is done for, to find its rate.
const ALONE: Duration = Duration::from_secs(4);

/// What one core does of the unavoidable work, a second: decompress, verify, parse, decode the
/// histograms.
pub fn alone(bodies: &[Bytes], keys: &[PublicKey]) -> Result<f64, Broken> {
    let begin = Instant::now();
    let mut done = 0u64;
    while begin.elapsed() < ALONE {
        for (body, key) in bodies.iter().zip(keys) {
            let line = expand(body.to_vec(), Encoding::Zstd, EXPANDED)
                .map_err(|problem| format!("{problem:?}"))?;
            let payload = jws::parse(&line, Typ::Summary)?.verify(key)?;
            black_box(summary::read(&payload)?);
            done += 1;
        }
    }
    Ok(done as f64 / begin.elapsed().as_secs_f64())
}

/// Measures, and prints a table.
pub async fn ingest(options: &Options) -> Result<(), Broken> {
    let mut fleet = Fleet::new(options.agents, run_number());
    eprintln!("making {} summaries …", options.agents * options.each as u64);
    fleet.prepare(options.each);
    let sample = fleet.bodies(500);
    let keys: Vec<PublicKey> = fleet
        .agents
        .iter()
        .flat_map(|agent| vec![*agent.key.public(); options.each])
        .take(sample.len())
        .collect();
    let bytes: usize = sample.iter().map(Bytes::len).sum::<usize>() / sample.len().max(1);
    let alone = alone(&sample, &keys)?;

    let central = Central::start(&options.wanproof, options.database)?;
    fleet.enrol(central.address).await?;
    // Connections that are open, and of which nothing comes.
    let mut idle = Vec::new();
    for _ in 0..options.connections.saturating_sub(fleet.agents.len()) {
        let mut line = Line::open(central.address).await?;
        line.look().await?;
        idle.push(line);
    }
    eprintln!("shipping them …");
    let before = central.processor_time()?;
    let full = fleet.ship_at_once(central.address, options.each).await?;
    let processor = (central.processor_time()? - before) / full.took.as_secs_f64();
    let memory = central.peak_memory()?;

    let half = full.rate() / 2.0;
    // As many of each as half the rate needs for so long, in whole numbers.
    let receipted = full.receipted as u128 * u128::from(options.half) * 1000
        / (2 * full.took.as_millis().max(1));
    let each = usize::try_from(receipted)?.div_ceil(fleet.agents.len());
    eprintln!("making {} more, and shipping them at half the rate …", each * fleet.agents.len());
    fleet.prepare(each);
    if let Database::Postgres(address) = &central.database {
        // A server that was just made makes the files of its log while it is asked; after a
        // checkpoint it uses them again.
        postgres::ask(address.expose(), "CHECKPOINT");
    }
    let calm = fleet.ship_at_rate(central.address, each, half).await?;

    // Every receipt is of a summary that is there: each chain is whole up to its last number.
    let stored: u64 = {
        let rows = Archive::open_existing(&central.database)?.agents()?;
        let whole = rows.iter().all(|row| row.missing.gaps == 0 && row.conflicts == 0);
        if !whole {
            return Err("a chain has a gap or a conflict".into());
        }
        rows.iter().filter_map(|row| Some(row.last?.seq + 1)).sum()
    };
    let receipted = (full.receipted + calm.receipted) as u64;
    if stored != receipted {
        return Err(format!("{receipted} were receipted, {stored} are stored").into());
    }

    println!("| {:?}, {bytes} bytes a summary as shipped | figure | to reach |", options.database);
    println!("|---|---|---|");
    println!("| unavoidable work alone, one core | {alone:.0} /s | |");
    println!("| durable, verified, receipted | {:.0} /s | ≥ 1500 |", full.rate());
    println!(
        "| of what one core does of the unavoidable work | {:.2} | ≥ 0.5 |",
        full.rate() / alone
    );
    println!("| the collector's processors meanwhile | {processor:.2} | |");
    println!(
        "| answers at full load, p50 / p99 | {} / {} | |",
        ms(full.percentile(50)),
        ms(full.percentile(99))
    );
    println!("| told to come again at full load | {} | |", full.busy);
    println!(
        "| answers at {half:.0} /s, p50 / p99 | {} / {} | p99 ≤ 100 ms |",
        ms(calm.percentile(50)),
        ms(calm.percentile(99))
    );
    println!(
        "| peak memory at full load, {} connections | {:.0} MB | ≤ 150 MB |",
        options.connections,
        memory as f64 / 1e6
    );
    println!("| receipted and stored | {stored} | |");
    drop(idle);
    central.end();
    Ok(())
}

/// A time, in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
