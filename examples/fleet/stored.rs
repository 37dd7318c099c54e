//! `fleet stored`: the rate with a year of sites stored, against an empty database. The year is
//! written by the database itself, as a summary an hour of each site, with small bodies: what is
//! asked is what the number of rows costs.

use std::path::PathBuf;

use wanproof::base::time::{Clock as _, SystemClock, Wall};
use wanproof::collector::archive::Archive;
use wanproof::config::collector::Database;
use wanproof::evidence::digest::Digest;

use super::agent::Agent;
use super::central::{Central, Engine};
use super::line::Broken;
use super::load::{Fleet, run_number};
use super::postgres;
use super::script::{BEGIN, Site, YEAR};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The collector's program, a release build
    #[arg(long)]
    wanproof: PathBuf,
    /// The database
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Engine,
    /// How many sites have their year stored; they ship too
    #[arg(long, default_value_t = 1000)]
    sites: u64,
    /// How many summaries of each are shipped
    #[arg(long, default_value_t = 20)]
    each: usize,
    /// How often each rate is measured; the best of each counts
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Summaries of a site's stored year.
const STORED: i64 = YEAR / 3600;

/// Measures, and prints a table.
pub async fn stored(options: &Options) -> Result<(), Broken> {
    let empty = rate(options, None).await?;
    let filled = rate(options, Some(Digest::of(b"stored"))).await?;
    let rows = options.sites * STORED.cast_unsigned();
    println!("| {:?} | figure | to reach |", options.database);
    println!("|---|---|---|");
    println!("| empty database | {empty:.0} /s | |");
    println!("| a year of {} sites stored, {rows} summaries | {filled:.0} /s | |", options.sites);
    println!("| of the empty one's rate | {:.2} | ≥ 0.9 |", filled / empty);
    Ok(())
}

/// The best rate of some runs on one database.
async fn rate(options: &Options, last: Option<Digest>) -> Result<f64, Broken> {
    let central = Central::start(&options.wanproof, options.database)?;
    let run = run_number();
    let agents: Vec<Agent> =
        (0..options.sites).map(|site| Agent::new(Site(site), 0, run)).collect();
    let mut fleet = Fleet::of(agents);
    fleet.enrol(central.address).await?;
    if let Some(digest) = last {
        eprintln!("storing a year of {} sites …", options.sites);
        fill(&central.database, &fleet, digest)?;
        fleet.agents.iter_mut().for_each(|agent| agent.go_on(STORED.cast_unsigned(), digest));
    }
    let mut best = 0f64;
    for _ in 0..options.runs {
        fleet.prepare(options.each);
        let told = fleet.ship_at_once(central.address, options.each).await?;
        eprintln!("{:.0} /s, {} told to come again", told.rate(), told.busy);
        best = best.max(told.rate());
    }
    central.end();
    Ok(best)
}

/// The year before the script's, in the order in which it would have come.
fn fill(database: &Database, fleet: &Fleet, digest: Digest) -> Result<(), Broken> {
    let first = BEGIN.nanos() - YEAR * 1_000_000_000;
    let hour = 3_600_000_000_000i64;
    let hex = digest.hex();
    let mut archive = Archive::open_existing(database)?;
    let months = (0..=370).map(|day| Wall::from_nanos(first + day * 24 * hour));
    archive.make_parts(months, SystemClock.now().wall)?;
    let chains: Vec<(String, String)> = fleet
        .agents
        .iter()
        .map(|agent| {
            (
                agent.key.kid().bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
                agent.chain().to_string(),
            )
        })
        .collect();
    match database {
        Database::Sqlite(path) => {
            let db = rusqlite::Connection::open(path)?;
            db.execute_batch("BEGIN")?;
            for (agent, chain) in &chains {
                db.execute_batch(&format!(
                    "INSERT INTO chain (agent, chain, last_seq, received_ns, last_digest, span_ns)
                     VALUES (x'{agent}', x'{chain}', {}, {first}, x'{hex}', {hour})",
                    STORED - 1
                ))?;
            }
            db.execute_batch(&format!(
                "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < \
                    {STORED} - 1)
                 INSERT INTO summary (agent, chain, seq, digest, prev, from_ns, to_ns, \
                    received_ns, jws, receipt)
                 SELECT c.agent, c.chain, n, x'{hex}', x'{hex}', {first} + n * {hour}, {first} + \
                    (n + 1) * {hour},
                        {first} + (n + 1) * {hour}, randomblob(300), hex(randomblob(100))
                 FROM n CROSS JOIN chain c;
                 COMMIT;"
            ))?;
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Database::Postgres(address) => {
            let values: Vec<String> = chains
                .iter()
                .map(|(agent, chain)| {
                    format!(
                        "('\\x{agent}', '\\x{chain}', {}, {first}, '\\x{hex}', {hour})",
                        STORED - 1
                    )
                })
                .collect();
            // An argument of a program is at most 128 KiB.
            for values in values.chunks(250) {
                postgres::ask(
                    address.expose(),
                    &format!(
                        "INSERT INTO chain (agent, chain, last_seq, received_ns, last_digest, \
                            span_ns) VALUES {};",
                        values.join(", ")
                    ),
                );
            }
            postgres::ask(
                address.expose(),
                &format!(
                    "INSERT INTO summary (agent, chain, seq, digest, prev, from_ns, to_ns, \
                        received_ns, jws, receipt)
                     SELECT c.agent, c.chain, n, '\\x{hex}', '\\x{hex}', {first} + n * {hour}, \
                        {first} + (n + 1) * {hour},
                            {first} + (n + 1) * {hour}, decode(repeat(md5(n::text), 19), 'hex'), \
                        repeat(md5(n::text), 6)
                     FROM generate_series(0::bigint, {STORED} - 1) AS n CROSS JOIN chain c"
                ),
            );
            postgres::ask(address.expose(), "CHECKPOINT");
        }
    }
    Ok(())
}
