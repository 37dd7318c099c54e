//! A collector with a contract about two sites, and agents that ship what a test has them say.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wanproof::base::time::{Clock as _, SystemClock, Wall};
use wanproof::collector::Collector;
use wanproof::collector::archive::accept::{Accepted, Arrival, Verified};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::{Archive, packed};
use wanproof::collector::findings::{self, finding::Finding};
use wanproof::collector::operations::agreements::{self, Book, Step};
use wanproof::collector::operations::{Actor, DeskError, claims};
use wanproof::collector::scheduler::Rounds;
use wanproof::collector::verdicts::{Evaluator, Fleet, Judgement};
use wanproof::config::collector::{Address, CollectorConfig, Database};
use wanproof::evidence::bundle::{self, Material, Which};
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::digest::Digest;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::{Kid, SecretKey};
use wanproof::evidence::receipt::Subject;
use wanproof::evidence::verify::{Verdict, Verifier};
use wanproof::measure::histogram::Histogram;
use wanproof::measure::outcome::Outcomes;
use wanproof::sla::calendar::Period;

use crate::kit::postgres;

/// A database that is there as long as the place.
pub struct Place {
    pub database: Database,
    pub at: tempfile::TempDir,
}

impl Place {
    pub fn sqlite() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        Some(Self { database: Database::Sqlite(at.path().join("c.db")), at })
    }

    pub fn postgres() -> Option<Self> {
        let database = Database::Postgres(Address::new(postgres::database()?));
        Some(Self { database, at: tempfile::tempdir().unwrap() })
    }
}

/// The fleet's contract, with one line at Leeds and one at York, and months of which a few minutes
/// suffice.
pub fn contract() -> String {
    let own = include_str!("../fleet/contract.toml");
    let service = |text: &str| {
        let from = text.find("[[service]]").unwrap();
        text[from..text.find("[[exclusion]]").unwrap()].to_owned()
    };
    let (leeds, york) =
        (service(own).replace("pune-01", "leeds"), service(own).replace("pune-01", "york"));
    own.replace(&service(own), &(leeds + &york.replace("ckt-1", "ckt-2")))
        .replace("2026-", "2020-")
        .replace("signed = \"2020-01-15\"", "signed = \"2020-01-01\"")
        .replace("Asia/Kolkata", "UTC")
        .replace("min_coverage = \"5\"", "min_coverage = \"0.01\"")
        .replace("min_coverage = \"1\"", "min_coverage = \"0.01\"")
}

/// An agent: its key, its chain, and how much it shipped.
pub struct Agent {
    pub key: SecretKey,
    chain: ChainId,
    shipped: Vec<Digest>,
}

impl Agent {
    pub fn new(seed: u8) -> Self {
        let key = SecretKey::from_seed(&[seed; 32]);
        Self { key, chain: ChainId::from_bytes([seed; 16]), shipped: Vec::new() }
    }

    pub fn kid(&self) -> Kid {
        self.key.kid()
    }

    /// Numbers that it signs, and that never come.
    pub fn leave_out(&mut self, count: u8) {
        self.shipped.extend((0..count).map(|number| Digest::of(&[number])));
    }
}

/// What a summary says that it is about.
#[derive(Clone, Copy)]
pub struct Says<'a> {
    pub site: &'a str,
    pub service: Option<&'a str>,
    /// Whether it tells of an outage of that service, and of a verdict.
    pub outage: Option<&'a str>,
}

/// Of a site, as an honest agent says it.
pub fn at(site: &str) -> Says<'_> {
    Says { site, service: None, outage: None }
}

pub struct World {
    pub archive: Archive,
    pub now: Wall,
    /// The first minute of what is measured: the tenth of the month before.
    pub start: Wall,
    pub month: Period,
    pub config: CollectorConfig,
    pub collector: Arc<Collector>,
    runtime: tokio::runtime::Runtime,
    rounds: Rounds,
}

pub fn actor(now: Wall) -> Actor {
    Actor { who: "noc".to_owned(), via: Via::Command, now }
}

impl World {
    pub fn open(place: &Place, contract: &str) -> Self {
        let database = match &place.database {
            Database::Sqlite(path) => format!("sqlite:{}", path.display()),
            Database::Postgres(address) => address.expose().to_owned(),
        };
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndatabase = \"{database}\"\ndata_dir \
                = \".\"\n[enrolment]\nmode = \"open\"\n"
        );
        let config = CollectorConfig::parse(&text, "collector.toml", place.at.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let collector = {
            let _inside = runtime.enter();
            Collector::open(config.clone()).unwrap()
        };
        let now = SystemClock.now().wall;
        let this: Period = now.to_string()[..7].parse().unwrap();
        let month = this.before(1);
        let start = format!("{month}-10T00:00:00Z").parse().unwrap();
        let archive = Archive::open_existing(&place.database).unwrap();
        let mut world = Self {
            archive,
            now,
            start,
            month,
            config,
            collector,
            runtime,
            rounds: Rounds::default(),
        };
        world.agree(contract, 1);
        world
    }

    /// Brings a version into force.
    pub fn agree(&mut self, contract: &str, version: u32) {
        let (actor, begin) = (actor(self.now), "2020-02-01T00:00:00Z".parse::<Wall>().unwrap());
        self.desk(|archive| {
            agreements::import(archive, None, contract, &actor)?;
            for (action, after) in [("propose", 1), ("sign", 2), ("take_effect", 3)] {
                let at = begin + Duration::from_secs(after);
                agreements::act(
                    archive,
                    ("FLEET", version),
                    action,
                    &Step { at: Some(at), ..Step::now() },
                    &actor,
                )?;
            }
            Ok(())
        });
    }

    pub fn desk<T>(&mut self, act: impl FnOnce(&Archive) -> Result<T, DeskError>) -> T {
        self.archive.write(act).unwrap()
    }

    /// Lets an agent in at an instant.
    pub fn enrol(&mut self, agent: &Agent, site: &str, when: Wall) {
        self.desk(|archive| {
            Ok(archive.add_agent(agent.key.public(), site, AgentStatus::Approved, when)?)
        });
    }

    /// The instant of a minute.
    pub fn minute(&self, number: u64) -> Wall {
        self.start + Duration::from_secs(60 * number)
    }

    /// Has an agent ship a summary for each five minutes, received right after.
    pub fn ship(
        &mut self,
        agent: &mut Agent,
        says: Says<'_>,
        minutes: std::ops::Range<u64>,
        outcomes: &str,
    ) {
        let received = self.minute(minutes.end) + Duration::from_secs(5);
        self.ship_at(agent, says, minutes, outcomes, received);
    }

    /// The same, all of it received at an instant.
    pub fn ship_at(
        &mut self,
        agent: &mut Agent,
        says: Says<'_>,
        minutes: std::ops::Range<u64>,
        outcomes: &str,
        received: Wall,
    ) {
        let collector = SecretKey::from_seed(&[99; 32]);
        let mut arrivals = Vec::new();
        for from in minutes.clone().step_by(5) {
            let summary = self.summary(agent, says, from..(from + 5).min(minutes.end), outcomes);
            arrivals.push(Arrival::new(summary, received, &collector));
        }
        self.archive.make_parts([self.start].into_iter(), self.now).unwrap();
        let said = self.archive.write(|archive| archive.accept_all(&arrivals)).unwrap();
        assert!(
            said.iter().all(|said| matches!(said, Accepted::New(_))),
            "all of it is receipted: {said:?}"
        );
    }

    fn summary(
        &self,
        agent: &mut Agent,
        says: Says<'_>,
        minutes: std::ops::Range<u64>,
        outcomes: &str,
    ) -> Verified {
        let (from, to) = (self.minute(minutes.start), self.minute(minutes.end));
        let (seq, prev) = (agent.shipped.len() as u64, agent.shipped.last().copied());
        let intervals: Vec<Value> =
            minutes.map(|number| interval(self.minute(number), outcomes)).collect();
        let outages = says.outage.map(|service| {
            json!({"service": service, "probe": "hq", "from": from, "to": to, "definition": "FLEET/1#avail",
                "side": "customer", "evidence": {}})
        });
        let verdicts = says.outage.map(|service| {
            json!({"contract": "FLEET", "version": 1, "service": service, "objective": "avail",
                "period": self.month.to_string(), "result": "breached", "actual": "0", "target": "99.99", "coverage": "1"})
        });
        let payload = json!({
            "v": 1, "agent": agent.kid(), "site": says.site, "chain": agent.chain, "seq": seq, "prev": prev, "from": from,
            "to": to, "boot": "b", "software": "wanproof 0.1.0", "clock": {"state": "synchronised"}, "contracts": [],
            "probes": [{"name": "hq", "service": says.service, "kind": "icmp", "target": "t", "period_ms": 1000,
                "timeout_ms": 2000, "cutoff_ms": 1000, "settings": "s", "intervals": intervals}],
            "link": [], "outages": outages.into_iter().collect::<Vec<_>>(), "verdicts": verdicts.into_iter().collect::<Vec<_>>(),
        });
        let jws = jws::sign(Typ::Summary, payload.to_string().as_bytes(), &agent.key);
        let digest = Digest::of(jws.as_bytes());
        agent.shipped.push(digest);
        Verified {
            subject: Subject { agent: agent.kid(), chain: agent.chain, seq, digest },
            kid: agent.kid(),
            prev,
            from,
            to,
            follows: None,
            dropped: Vec::new(),
            next_key: None,
            packed: packed::pack(&jws),
        }
    }

    /// Goes round until nothing is left to do.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let did = self
                .runtime
                .block_on(self.rounds.go(&self.collector))
                .map_err(|fault| format!("{fault:?}"))
                .unwrap();
            if !did.more && did.folded + did.judged == 0 {
                return;
            }
        }
        panic!("it never ends");
    }

    pub fn book(&self) -> Book {
        Book::load(&self.archive, None).unwrap()
    }

    /// What is judged of a service of the month, at a fixed instant.
    pub fn judge(&self, service: &str) -> Judgement {
        let (book, fleet) = (self.book(), Fleet::load(&self.archive).unwrap());
        let evaluator = Evaluator { archive: &self.archive, book: &book, fleet: &fleet };
        let judged = evaluator.judge("FLEET", service, self.month, self.now).unwrap().unwrap();
        assert_eq!(judged.faults, Vec::<String>::new());
        judged
    }

    pub fn findings(&self) -> Vec<Finding> {
        findings::all(&self.archive, &self.config, self.now).unwrap()
    }

    /// The findings of a kind.
    pub fn found(&self, kind: &str) -> Vec<Finding> {
        self.findings().into_iter().filter(|finding| finding.kind.word() == kind).collect()
    }

    pub fn claims(&self) -> Value {
        json!(
            claims::all(
                &self.archive,
                wanproof::collector::archive::ledger::Page::default(),
                self.now
            )
            .unwrap()
        )
    }

    /// The bundle of a service, as the command makes it.
    pub fn bundle(&self, service: &str) -> Vec<u8> {
        let mut material = Material {
            contracts: self.book().all.iter().map(|agreed| agreed.kept.toml.clone()).collect(),
            facts: json!({"period": self.month.to_string(), "service": service, "as_of": self.now})
                .to_string(),
            ..Material::default()
        };
        material.keys.extend(self.archive.agents().unwrap().into_iter().flat_map(|row| row.keys));
        material.keys.push(*SecretKey::from_seed(&[99; 32]).public());
        self.archive
            .each_summary(|stored| {
                material.summaries.push(stored.jws);
                material.receipts.push(stored.receipt);
                Ok::<(), wanproof::collector::archive::ArchiveError>(())
            })
            .unwrap();
        let version =
            self.book().all.iter().map(|agreed| u64::from(agreed.kept.version)).max().unwrap();
        let which = Which { id: "FLEET".to_owned(), version };
        bundle::make_by(&which, &material, Some(&self.archive.register().unwrap())).unwrap()
    }
}

/// A bundle, checked by keys that are trusted.
pub fn verified(bundle: &[u8], agents: &[&Agent]) -> Verdict {
    let mut verifier = Verifier::new();
    agents.iter().for_each(|agent| verifier.trust(*agent.key.public()));
    verifier.trust(*SecretKey::from_seed(&[99; 32]).public());
    bundle::check("b.zip", bundle, verifier)
}

/// A member of a bundle.
pub fn member(bundle: &[u8], name: &str) -> Value {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bundle)).unwrap();
    serde_json::from_reader(archive.by_name(name).unwrap()).unwrap()
}

fn interval(from: Wall, outcomes: &str) -> Value {
    let parsed: Outcomes = outcomes.parse().unwrap();
    let mut rtt = Histogram::new();
    (0..parsed.with_rtt()).for_each(|_| {
        rtt.record_us(20_000);
    });
    let (packed, pairs) = (rtt.pack(), parsed.with_rtt().saturating_sub(1));
    let mut ipdv = Histogram::new();
    (0..pairs).for_each(|_| {
        ipdv.record_us(100);
    });
    let ipdv = ipdv.pack();
    json!({
        "from": from, "seconds": 60, "first_ms": 412, "outcomes": outcomes,
        "reasons": if outcomes.contains('l') { json!({"lost/timeout": 60 - parsed.with_rtt()}) } else { json!({}) },
        "duplicates": 0, "reordered": 0, "kernel_stamped": 0,
        "rtt_us": packed.as_ref().map(wanproof::measure::histogram::Packed::to_base64),
        "rtt_sum_ns": packed.as_ref().map(|_| parsed.with_rtt() * 20_000_000),
        "ipdv_us": ipdv.as_ref().map(wanproof::measure::histogram::Packed::to_base64),
        "ipdv_sum_ns": ipdv.as_ref().map(|_| pairs * 100_000), "rfc3550_max_ns": null,
    })
}
