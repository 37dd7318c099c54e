//! Ten agents, each at a site with a service of its own under one contract, and a collector that
//! goes round by a clock that the test moves.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wanproof::base::time::{Clock, Mono, Now, Wall};
use wanproof::collector::Collector;
use wanproof::collector::archive::accept::{Accepted, Arrival, Verified};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::folds::{Depth, FoldedDay};
use wanproof::collector::archive::ledger::{Kind, Page};
use wanproof::collector::archive::{Archive, ArchiveError, packed};
use wanproof::collector::findings::{self, finding::Finding};
use wanproof::collector::operations::agreements::{self, Step};
use wanproof::collector::operations::claims::{self, ClaimView};
use wanproof::collector::operations::{Actor, DeskError};
use wanproof::collector::scheduler::{Rounds, did::Did};
use wanproof::config::collector::{
    Address, Alerts, CollectorConfig, Database, Enrolment, Evidence, Limits, Waiting,
};
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::digest::Digest;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::{Kid, SecretKey};
use wanproof::evidence::receipt::Subject;

use super::postgres;

/// The agent that is not honest: neither the first nor the last by its identifier.
pub const HOSTILE: usize = 9;
/// How many minutes each honest agent ships.
const MINUTES: u64 = 70;

pub fn at(text: &str) -> Wall {
    text.parse().unwrap()
}

/// Where measuring begins: four hours before a month's end in UTC.
pub fn start() -> Wall {
    at("2026-11-30T20:00:00Z")
}

/// A database, and the directory of a collector.
pub struct Place {
    pub database: Database,
    pub at: tempfile::TempDir,
}

impl Place {
    #[expect(clippy::unnecessary_wraps, reason = "PostgreSQL is not everywhere")]
    pub fn sqlite() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        Some(Self { database: Database::Sqlite(at.path().join("c.db")), at })
    }

    pub fn postgres() -> Option<Self> {
        let database = Database::Postgres(Address::new(postgres::database()?));
        Some(Self { database, at: tempfile::tempdir().unwrap() })
    }
}

/// A clock that is moved by hand.
pub struct ByHand(Mutex<Now>);

impl Clock for ByHand {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

impl ByHand {
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = Now { wall: now.wall + by, mono: now.mono + by };
    }

    /// The wall clock is set back; the monotonic one goes on.
    pub fn set_back(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        now.wall = now.wall - by;
    }
}

/// An agent, and one of its chains.
#[derive(Clone)]
pub struct Agent {
    pub key: SecretKey,
    pub number: usize,
    pub chain: ChainId,
}

impl Agent {
    fn new(number: usize) -> Self {
        let seed = u8::try_from(number).unwrap() + 1;
        Self {
            key: SecretKey::from_seed(&[seed; 32]),
            number,
            chain: ChainId::from_bytes([seed; 16]),
        }
    }

    pub fn kid(&self) -> Kid {
        self.key.kid()
    }

    pub fn in_chain(&self, chain: ChainId) -> Self {
        Self { chain, ..self.clone() }
    }

    /// The payload of a summary of one minute, which begins at an instant.
    pub fn payload(&self, seq: u64, from: Wall, outcomes: &str) -> Value {
        let prev = (seq > 0).then(|| Digest::of(&seq.to_be_bytes()));
        json!({
            "v": 1, "agent": self.kid(), "site": format!("site-{}", self.number), "chain": self.chain, "seq": seq, "prev": prev,
            "from": from, "to": from + Duration::from_secs(60), "boot": "b", "software": "wanproof 0.1.0",
            "clock": {"state": "synchronised"}, "contracts": [],
            "probes": [{"name": "hq", "service": null, "kind": "icmp", "target": "t", "period_ms": 1000, "timeout_ms": 2000,
                "cutoff_ms": 1000, "settings": "s", "intervals": [{
                    "from": from, "seconds": 60, "first_ms": 412, "outcomes": outcomes, "reasons": {}, "duplicates": 0,
                    "reordered": 0, "kernel_stamped": 0
                }]}],
            "link": [], "outages": [], "verdicts": []
        })
    }

    pub fn minute(&self, seq: u64, minute: u64, outcomes: &str) -> Verified {
        self.raw(seq, &self.payload(seq, start() + Duration::from_secs(60 * minute), outcomes))
    }

    pub fn at(&self, seq: u64, from: Wall) -> Verified {
        self.raw(seq, &self.payload(seq, from, "60l"))
    }

    /// A summary of a minute, with something in it changed.
    pub fn signed(&self, seq: u64, minute: u64, change: impl FnOnce(&mut Value)) -> Verified {
        let mut payload = self.payload(seq, start() + Duration::from_secs(60 * minute), "60l");
        change(&mut payload);
        self.raw(seq, &payload)
    }

    /// Whatever it is, validly signed. What it says of the one before it is filled in when it is
    /// stored.
    pub fn raw(&self, seq: u64, payload: &Value) -> Verified {
        let jws = jws::sign(Typ::Summary, payload.to_string().as_bytes(), &self.key);
        let time = |name: &str| {
            payload[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(start)
        };
        Verified {
            subject: Subject {
                agent: self.kid(),
                chain: self.chain,
                seq,
                digest: Digest::of(jws.as_bytes()),
            },
            kid: self.kid(),
            prev: None,
            from: time("from"),
            to: time("to"),
            follows: None,
            dropped: Vec::new(),
            next_key: None,
            packed: packed::pack(&jws),
        }
    }
}

/// A contract with a service at each site.
fn contract() -> String {
    let head = include_str!("contract.toml");
    let service = |number: usize| {
        format!(
            "\n[[service]]\nid = \"ckt-{number}\"\nsite = \"site-{number}\"\nmrc \
                = \"4000.00\"\nprobes = [\"hq\"]\n\
             in_service_from = \"2026-02-10T00:00:00Z\"\nsla_from = \"acceptance\"\n"
        )
    };
    head.replace("# the services", &(0..10).map(service).collect::<String>())
}

/// What is shown of the fleet but what one agent and its service are about: verdicts, claims, logs
/// and alerts, as they are stored.
pub type Picture = Vec<(String, String)>;

pub struct World {
    place: Place,
    pub clock: Arc<ByHand>,
    collector: Arc<Collector>,
    rounds: Rounds,
    limit: Duration,
    /// What was or will be stored: what each next one names as the one before.
    digests: RefCell<HashMap<(Kid, ChainId, u64), Digest>>,
}

impl World {
    #[expect(clippy::unused_async, reason = "a collector is opened within a runtime")]
    pub async fn open(place: Place) -> Self {
        Self::fill(&place);
        Self::over(place)
    }

    /// The tables, ten agents, and the contract in force.
    pub fn fill(place: &Place) {
        let mut archive = Archive::open(&place.database).unwrap();
        let actor = Actor { who: "noc".to_owned(), via: Via::Command, now: start() };
        archive
            .write(|archive| {
                for number in 0..10 {
                    let agent = Agent::new(number);
                    archive.add_agent(
                        agent.key.public(),
                        &format!("site-{number}"),
                        AgentStatus::Approved,
                        start(),
                    )?;
                }
                agreements::import(archive, None, &contract(), &actor)?;
                for (action, at) in [("propose", 1), ("sign", 2), ("take_effect", 3)] {
                    let at = at_second("2026-02-01T00:00:00Z", at);
                    agreements::act(
                        archive,
                        ("TEN", 1),
                        action,
                        &Step { at: Some(at), ..Step::now() },
                        &actor,
                    )?;
                }
                Ok::<(), DeskError>(())
            })
            .unwrap();
    }

    /// Over a database that was filled.
    pub fn over(place: Place) -> Self {
        let now =
            Now { wall: at("2026-12-02T09:00:00Z"), mono: Mono::from_nanos(1_000_000_000_000) };
        let clock = Arc::new(ByHand(Mutex::new(now)));
        let limit = Duration::from_secs(600);
        let collector = Collector::open(config(&place, limit)).unwrap();
        Self {
            place,
            rounds: Rounds::by(Arc::clone(&clock) as _),
            clock,
            collector,
            limit,
            digests: RefCell::default(),
        }
    }

    pub fn agent(&self, number: usize) -> Agent {
        Agent::new(number)
    }

    pub fn archive(&self) -> Archive {
        Archive::open_existing(&self.place.database).unwrap()
    }

    pub fn write(&self, act: impl FnOnce(&Archive) -> Result<(), ArchiveError>) {
        self.archive().write(act).unwrap();
    }

    /// What is to be stored sooner or later, so that what comes after it can name it.
    pub fn expect(&self, all: &[Verified]) {
        let of = |each: &Verified| {
            ((each.subject.agent, each.subject.chain, each.subject.seq), each.subject.digest)
        };
        self.digests.borrow_mut().extend(all.iter().map(of));
    }

    /// Stores summaries as they are, with their receipts.
    pub fn store(&self, all: &[Verified]) -> Vec<Accepted> {
        self.expect(all);
        let digests = self.digests.borrow();
        let linked = |each: &Verified| {
            let (agent, chain, seq) = (each.subject.agent, each.subject.chain, each.subject.seq);
            let prev =
                seq.checked_sub(1).and_then(|before| digests.get(&(agent, chain, before)).copied());
            Verified { prev, ..each.clone() }
        };
        let all: Vec<Verified> = all.iter().map(linked).collect();
        let (key, now) = (SecretKey::from_seed(&[99; 32]), self.clock.now().wall);
        let arrivals: Vec<Arrival> =
            all.iter().map(|each| Arrival::new(each.clone(), now, &key)).collect();
        let mut archive = self.archive();
        archive.make_parts(all.iter().map(|each| each.from), now).unwrap();
        archive.write(|archive| archive.accept_all(&arrivals)).unwrap()
    }

    /// What nine honest agents measured: lines that fail now and then, each otherwise.
    pub fn store_honest(&self) {
        let of = |number: usize| {
            let agent = Agent::new(number);
            (0..MINUTES).map(move |minute| {
                let fails = (minute + 7 * number as u64) % 23 < 4;
                agent.minute(minute, minute, if fails { "60l" } else { "20l40u" })
            })
        };
        let all: Vec<Verified> = (0..10).filter(|number| *number != HOSTILE).flat_map(of).collect();
        self.store(&all);
    }

    /// Another program over the same database.
    pub fn restart(&mut self) {
        self.rounds = Rounds::by(Arc::clone(&self.clock) as _);
        self.clock.advance(Duration::from_secs(61));
    }

    /// Another program, which takes over once nobody has held the lease for as long as one lasts,
    /// whatever it says.
    pub async fn take_over(&mut self) {
        self.restart();
        self.round().await;
        self.clock.advance(Duration::from_secs(61));
    }

    /// What was folded of an agent: each day of its probe.
    pub fn folds(&self, agent: &Agent) -> Vec<FoldedDay> {
        self.archive().folded_days(agent.kid(), "hq", (0, 100_000), Depth::Hours).unwrap()
    }

    /// The claims: each with its state, what is due, and what happened to it.
    pub fn claims(&self) -> Vec<(String, String, String, Vec<String>)> {
        let all = claims::all(&self.archive(), Page::default(), self.clock.now().wall).unwrap();
        let log = |claim: &ClaimView| claim.log.iter().map(|entry| entry.action.clone()).collect();
        all.iter()
            .map(|claim| (claim.id.clone(), claim.state.clone(), claim.credit.clone(), log(claim)))
            .collect()
    }

    pub fn judging(&mut self, limit: Duration) {
        self.limit = limit;
        self.collector.reload(config(&self.place, limit)).unwrap();
    }

    pub async fn round(&mut self) -> Did {
        self.rounds.go(&self.collector).await.unwrap()
    }

    /// Goes round until there is nothing to do.
    pub async fn settle(&mut self) {
        for _ in 0..200 {
            if !self.round().await.more {
                self.clock.advance(Duration::from_secs(5));
                if self.round().await == (Did { folded: 0, judged: 0, more: false }) {
                    return;
                }
            }
        }
        panic!("there is always more to do");
    }

    pub async fn findings(&self) -> Vec<Finding> {
        let (place, now) = (config(&self.place, self.limit), self.clock.now().wall);
        let archive = self.archive();
        tokio::task::spawn_blocking(move || findings::all(&archive, &place, now).unwrap())
            .await
            .unwrap()
    }

    /// The services that were judged in December, where the last of what was measured lies in no
    /// zone but UTC's; in November all.
    pub fn judged(&self) -> Vec<String> {
        let all = self
            .archive()
            .records::<Value>(Kind::Verdict, Page::of("2026-11/"))
            .unwrap_or_default();
        all.into_iter().filter(|record| record.body.is_object()).map(|record| record.id).collect()
    }

    /// What is stored of the nine others.
    pub fn picture(&self) -> Picture {
        let archive = self.archive();
        let mut all = Vec::new();
        let others = |id: &str| {
            !id.contains("ckt-9") && !id.contains(&Agent::new(HOSTILE).kid().to_string())
        };
        for (name, kind) in [
            ("verdict", Kind::Verdict),
            ("histograms", Kind::Histograms),
            ("claim", Kind::Claim),
            ("right", Kind::Right),
            ("alert", Kind::Alert),
            ("dirty", Kind::Dirty),
        ] {
            for record in archive.records::<Value>(kind, Page::default()).unwrap() {
                if others(&record.id) {
                    all.push((format!("{name} {}", record.id), record.body.to_string()));
                }
                for log in [Kind::Period, Kind::Claim].into_iter().filter(|_| others(&record.id)) {
                    let entries = archive.log::<Value>(log, &record.id).unwrap();
                    all.push((format!("log of {name} {}", record.id), json!(entries).to_string()));
                }
            }
        }
        all
    }
}

fn at_second(text: &str, second: u64) -> Wall {
    at(text) + Duration::from_secs(second)
}

fn config(place: &Place, judging: Duration) -> CollectorConfig {
    let dir = place.at.path();
    CollectorConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        database: place.database.clone(),
        data_dir: dir.to_owned(),
        key_file: dir.join("collector.key"),
        contracts_dir: None,
        tls: None,
        enrolment: Enrolment::Operator,
        waiting: Waiting::default(),
        admin_token: None,
        limits: Limits { judging, ..Limits::default() },
        alerts: Alerts::default(),
        // What is shipped here is of fixed days: lateness is not what is asked.
        evidence: Evidence { late_after: Duration::from_secs(4_000 * 86_400) },
    }
}
