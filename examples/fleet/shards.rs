//! The worst that an enrolled agent can ship, of probes that a contract's service is judged by:
//! intervals of one millisecond that do not merge, and outcomes that change with each send.

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

/// Intervals of each summary: as many as fit into its mebibyte.
const INTERVALS: u32 = 3_400;
/// Hours of intervals that stand apart: what is older comes too late to count.
const HOURS: u32 = 40;
/// Hours of outcomes that change: a service with eight million changes is not judged.
const CHANGING_HOURS: u32 = 22;
/// Rounds are over when the collector did nothing for so long, …
const STILL: Duration = Duration::from_secs(5);
/// … and they end in this time.
const END: Duration = Duration::from_secs(600);

/// What is shipped.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Intervals of one millisecond, a second apart, of so many probes.
    Apart(usize),
    /// Outcomes of one probe, each 10 ms another than the one before.
    Changing,
}

impl Kind {
    /// What it is called, also by its site, its contract and its service.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apart(_) => "an agent's intervals of 1 ms",
            Self::Changing => "outcomes that change each 10 ms",
        }
    }

    const fn seed(self) -> u8 {
        match self {
            Self::Apart(_) => 15,
            Self::Changing => 16,
        }
    }

    const fn site(self) -> &'static str {
        match self {
            Self::Apart(_) => "site-apart",
            Self::Changing => "site-changing",
        }
    }

    const fn contract(self) -> (&'static str, &'static str) {
        match self {
            Self::Apart(_) => ("APART", "ckt-apart"),
            Self::Changing => ("CHANGING", "ckt-changing"),
        }
    }

    const fn probes(self) -> usize {
        match self {
            Self::Apart(probes) => probes,
            Self::Changing => 1,
        }
    }

    const fn hours(self) -> u32 {
        match self {
            Self::Apart(_) => HOURS,
            Self::Changing => CHANGING_HOURS,
        }
    }

    /// From one due send to the next, in milliseconds.
    const fn period_ms(self) -> u32 {
        match self {
            Self::Apart(_) => 1000,
            Self::Changing => 10,
        }
    }

    fn intervals(self, from: Wall) -> Vec<IntervalPart> {
        let interval = |from, millis, lost: u32, outcomes: Outcomes| IntervalPart {
            from,
            millis,
            first_ms: 0,
            reasons: [("lost/timeout".to_owned(), lost)].into(),
            outcomes,
            duplicates: 0,
            reordered: 0,
            kernel_stamped: 0,
            rtt_us: None,
            rtt_sum_ns: None,
            ipdv_us: None,
            ipdv_sum_ns: None,
            rfc3550_max_ns: None,
            phases_us: None,
        };
        match self {
            Self::Apart(_) => (0..INTERVALS)
                .map(|second| {
                    let lost = std::iter::once(Outcome::Lost).collect();
                    interval(from + Duration::from_secs(1) * second, 1, 1, lost)
                })
                .collect(),
            Self::Changing => (0..60)
                .map(|minute| {
                    let both = [Outcome::Lost, Outcome::NotObserved];
                    let outcomes = both.into_iter().cycle().take(6000).collect();
                    interval(from + Duration::from_secs(60) * minute, 60_000, 3000, outcomes)
                })
                .collect(),
        }
    }
}

/// Ships it, and waits until the collector has worked it off; how many summaries were receipted.
pub async fn ship(central: &Central, kind: Kind) -> Result<usize, Broken> {
    let key = SecretKey::from_seed(&[kind.seed(); 32]);
    let now = SystemClock.now().wall;
    let mut line = Line::open(central.address).await?;
    line.enrol(enrol::sign(kind.site(), None, &key)).await?;
    sign_contract(central, &key, now, kind)?;
    let begin = now.floor(Duration::from_secs(3600)) - Duration::from_secs(3600) * kind.hours();
    let mut head = Head::new(ChainId::from_bytes([kind.seed(); 16]), None);
    let mut receipted = 0;
    for hour in 0..kind.hours() {
        for probe in 0..kind.probes() {
            let from = begin + Duration::from_secs(3600) * hour;
            let signed = head.sign(summary(&key, from, kind, probe), &key)?;
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
fn sign_contract(central: &Central, key: &SecretKey, now: Wall, kind: Kind) -> Result<(), Broken> {
    let (contract, service) = kind.contract();
    let probes: Vec<String> = (0..kind.probes()).map(|probe| format!("\"p{probe}\"")).collect();
    let long_ago: Wall = "2026-02-01T00:00:00Z".parse()?;
    let toml = include_str!("../../tests/fleet/contract.toml")
        .replace("\"pune-01\"", &format!("\"{}\"", kind.site()))
        .replace("\"FLEET\"", &format!("\"{contract}\""))
        .replace("\"ckt-1\"", &format!("\"{service}\""))
        .replace("probes = [\"hq\"]", &format!("probes = [{}]", probes.join(", ")));
    let actor = Actor { who: "bench".to_owned(), via: Via::Command, now };
    Archive::open_existing(&central.database)?.write(|archive| {
        archive.set_standing(key.kid(), AgentStatus::Approved)?;
        agreements::import(archive, None, &toml, &actor)?;
        for action in ["propose", "sign", "take_effect"] {
            let step = Step { at: Some(long_ago), ..Step::now() };
            agreements::act(archive, (contract, 1), action, &step, &actor)?;
        }
        Ok::<(), DeskError>(())
    })?;
    Ok(())
}

fn summary(key: &SecretKey, from: Wall, kind: Kind, probe: usize) -> Summary {
    Summary {
        v: 1,
        agent: key.kid(),
        site: kind.site().to_owned(),
        chain: ChainId::from_bytes([kind.seed(); 16]),
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
            service: Some(kind.contract().1.to_owned()),
            kind: "icmp".to_owned(),
            target: "hq.example.net".to_owned(),
            address: None,
            period_ms: kind.period_ms(),
            timeout_ms: 2000,
            cutoff_ms: 1000,
            settings: "s".repeat(199),
            intervals: kind.intervals(from),
        }],
        own_lag_us: None,
        link: Vec::new(),
        outages: Vec::new(),
        verdicts: Vec::new(),
        next_key: None,
    }
}
