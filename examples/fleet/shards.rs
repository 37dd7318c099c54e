//! The worst that an enrolled agent can ship: intervals of one millisecond that do not merge, of
//! probes that a contract's service is judged by.

use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::time::{sleep, timeout};
use wanproof::base::time::{Clock as _, SystemClock, Wall};
use wanproof::collector::archive::Archive;
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::operations::agreements::{self, Step};
use wanproof::collector::operations::{Actor, DeskError};
use wanproof::evidence::chain::{ChainId, Head};
use wanproof::evidence::enrol;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::summary::{Clock, IntervalPart, ProbePart, Summary};
use wanproof::measure::clock_state::ClockState;
use wanproof::measure::outcome::{Outcome, Outcomes};

use super::central::Central;
use super::line::{Broken, Line};

/// Hours that it tells of, the last ones: what is older comes too late to count.
const HOURS: u32 = 40;
/// Intervals of each summary: as many as fit into its mebibyte.
const INTERVALS: u32 = 3_400;
/// Rounds are over when the collector did nothing for so long, …
const STILL: Duration = Duration::from_secs(5);
/// … and they end in this time.
const END: Duration = Duration::from_secs(600);

/// Ships them, and waits until the collector has worked them off; how many were receipted.
pub async fn ship(central: &Central, probes: usize) -> Result<usize, Broken> {
    let key = SecretKey::from_seed(&[15; 32]);
    let now = SystemClock.now().wall;
    let mut line = Line::open(central.address).await?;
    line.enrol(enrol::sign("site-shards", None, &key)).await?;
    sign_contract(central, &key, now, probes)?;
    let begin = now.floor(Duration::from_secs(3600)) - Duration::from_secs(3600) * HOURS;
    let mut head = Head::new(ChainId::from_bytes([15; 16]), None);
    let mut receipted = 0;
    for hour in 0..HOURS {
        for probe in 0..probes {
            let from = begin + Duration::from_secs(3600) * hour;
            let signed = head.sign(summary(&key, from, probe), &key)?;
            let body = Bytes::from(zstd::bulk::compress(signed.jws.as_bytes(), 3)?);
            let said = timeout(Duration::from_secs(30), line.ship(body)).await??;
            receipted += usize::from(said.body.windows(11).any(|part| part == b"\"receipt\":\""));
        }
    }
    rest(central).await?;
    Ok(receipted)
}

/// Waits until the collector has nothing left to do.
async fn rest(central: &Central) -> Result<(), Broken> {
    let begun = Instant::now();
    let (mut still, mut before) = (Instant::now(), central.processor_time()?);
    while still.elapsed() < STILL {
        if begun.elapsed() > END {
            return Err("the collector's rounds do not come to an end".into());
        }
        sleep(Duration::from_millis(250)).await;
        let now = central.processor_time()?;
        // Hundredths of a second go into looking whether there is something to do.
        if now > before + 0.05 {
            (still, before) = (Instant::now(), now);
        }
    }
    Ok(())
}

/// A contract whose service is judged by whatever probe names it.
fn sign_contract(
    central: &Central,
    key: &SecretKey,
    now: Wall,
    probes: usize,
) -> Result<(), Broken> {
    let probes: Vec<String> = (0..probes).map(|probe| format!("\"p{probe}\"")).collect();
    let long_ago: Wall = "2026-02-01T00:00:00Z".parse()?;
    let toml = include_str!("../../tests/fleet/contract.toml")
        .replace("\"pune-01\"", "\"site-shards\"")
        .replace("probes = [\"hq\"]", &format!("probes = [{}]", probes.join(", ")));
    let actor = Actor { who: "bench".to_owned(), via: Via::Command, now };
    Archive::open_existing(&central.database)?.write(|archive| {
        archive.set_standing(key.kid(), AgentStatus::Approved)?;
        agreements::import(archive, None, &toml, &actor)?;
        for action in ["propose", "sign", "take_effect"] {
            let step = Step { at: Some(long_ago), ..Step::now() };
            agreements::act(archive, ("FLEET", 1), action, &step, &actor)?;
        }
        Ok::<(), DeskError>(())
    })?;
    Ok(())
}

fn summary(key: &SecretKey, from: Wall, probe: usize) -> Summary {
    let interval = |second: u32| {
        let mut outcomes = Outcomes::default();
        outcomes.push(Outcome::Lost);
        IntervalPart {
            from: from + Duration::from_secs(1) * second,
            millis: 1,
            first_ms: 0,
            outcomes,
            reasons: [("lost/timeout".to_owned(), 1)].into(),
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt_us: None,
            rtt_sum_ns: None,
            ipdv_us: None,
            ipdv_sum_ns: None,
            rfc3550_max_ns: None,
            phases_us: None,
        }
    };
    Summary {
        v: 1,
        agent: key.kid(),
        site: "site-shards".to_owned(),
        chain: ChainId::from_bytes([15; 16]),
        seq: 0,
        prev: None,
        follows: None,
        dropped: Vec::new(),
        from,
        to: from + Duration::from_secs(3600),
        boot: "5a0e0a2e-8f0c-4c53-9d0e-2f6d1c1f6f77".to_owned(),
        software: concat!("wanproof ", env!("CARGO_PKG_VERSION")).to_owned(),
        clock: Clock {
            state: ClockState::Synchronised,
            max_error_us: Some(1500),
            steps: Vec::new(),
        },
        contracts: Vec::new(),
        probes: vec![ProbePart {
            name: format!("p{probe}"),
            service: Some("ckt-1".to_owned()),
            kind: "icmp".to_owned(),
            target: "hq.example.net".to_owned(),
            address: None,
            period_ms: 1000,
            timeout_ms: 2000,
            cutoff_ms: 1000,
            settings: "s".repeat(199),
            intervals: (0..INTERVALS).map(interval).collect(),
        }],
        own_lag_us: None,
        link: Vec::new(),
        outages: Vec::new(),
        verdicts: Vec::new(),
        next_key: None,
    }
}
