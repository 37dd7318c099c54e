//! The shipper and the collector, on loopback: whatever dies in between, each summary arrives and
//! is stored once.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use wanproof::agent::keys::Keys;
use wanproof::agent::outbox::Recorded;
use wanproof::agent::recorder::Recorder;
use wanproof::agent::shipper::{Answer, Outbox, OutboxFault, Round, Shipper, Shipping, Waiting};
use wanproof::agent::summariser::Summariser;
use wanproof::base::time::Wall;
use wanproof::collector::archive::Archive;
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::gaps::Missing;
use wanproof::collector::{self, Central};
use wanproof::config::collector::Database;
use wanproof::evidence::answer::ContractText;
use wanproof::evidence::chain::{ChainId, Head};
use wanproof::evidence::enrol::{Enrolled, State};
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::problem::Kind;
use wanproof::evidence::receipt::{self, Subject};
use wanproof::evidence::summary::{Clock, OutagePart, Summary};
use wanproof::measure::clock_state::ClockState;
use wanproof::sla::terms::Side;
use wanproof::store::keys::CollectorKeys;
use wanproof::store::outbox::State as Entered;
use wanproof::store::{Store, StoreError};

/// An outbox in memory; what is settled is not given out again.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    waiting: Vec<Waiting>,
    answers: BTreeMap<(ChainId, u64), Answer>,
    keys: CollectorKeys,
    contracts: Vec<Vec<ContractText>>,
    settled: Option<Arc<Notify>>,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Inside) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn accepted(&self) -> usize {
        self.with(|inside| {
            inside
                .answers
                .values()
                .filter(|answer| matches!(answer, Answer::Accepted { .. }))
                .count()
        })
    }
}

impl Outbox for Memory {
    async fn waiting(&mut self, most: usize, bytes: usize) -> Result<Vec<Waiting>, OutboxFault> {
        let mut left = bytes;
        let fits = |waiting: &&Waiting| {
            let fits = left >= waiting.jws.len();
            left = left.saturating_sub(waiting.jws.len());
            fits
        };
        Ok(self.with(|inside| {
            let mut batch: Vec<Waiting> =
                inside.waiting.iter().take(most).take_while(fits).cloned().collect();
            if batch.is_empty() {
                batch.extend(inside.waiting.first().cloned());
            }
            batch
        }))
    }

    async fn settle(&mut self, answers: Vec<(Waiting, Answer)>) -> Result<(), OutboxFault> {
        self.with(|inside| {
            for (waiting, answer) in answers {
                inside.waiting.retain(|other| other.digest != waiting.digest);
                let before = inside.answers.insert((waiting.chain, waiting.seq), answer);
                assert!(before.is_none(), "{} is settled twice", waiting.seq);
            }
            if let Some(settled) = &inside.settled {
                settled.notify_one();
            }
        });
        Ok(())
    }

    async fn collector(&mut self) -> Result<CollectorKeys, OutboxFault> {
        Ok(self.with(|inside| inside.keys.clone()))
    }

    async fn keep_collector(&mut self, keys: CollectorKeys) -> Result<(), OutboxFault> {
        self.with(|inside| inside.keys = keys);
        Ok(())
    }

    async fn keep_contracts(&mut self, contracts: Vec<ContractText>) -> Result<(), OutboxFault> {
        self.with(|inside| inside.contracts.push(contracts));
        Ok(())
    }
}

fn summary(agent: &SecretKey) -> Summary {
    let from: Wall = "2026-11-23T10:00:00Z".parse().unwrap();
    Summary {
        v: 1,
        agent: agent.kid(),
        site: "leeds-01".into(),
        chain: ChainId::from_bytes([0; 16]),
        seq: 0,
        prev: None,
        follows: None,
        dropped: Vec::new(),
        from,
        to: from + Duration::from_secs(60),
        boot: "b".into(),
        software: "test".into(),
        clock: Clock { state: ClockState::Unknown, max_error_us: None, steps: Vec::new() },
        contracts: Vec::new(),
        probes: Vec::new(),
        link: Vec::new(),
        outages: Vec::new(),
        verdicts: Vec::new(),
        own_lag_us: None,
        next_key: None,
    }
}

/// An agent with some summaries waiting.
struct Agent {
    key: SecretKey,
    head: Head,
    outbox: Memory,
    /// What its summaries say of an outage.
    trace: String,
}

impl Agent {
    fn new(waiting: usize) -> Self {
        let key = wanproof::store::keyfile::generate().unwrap();
        let mut chain = [0; 16];
        chain.copy_from_slice(&key.kid().bytes()[..16]);
        let head = Head::new(ChainId::from_bytes(chain), None);
        let mut agent = Self { key, head, outbox: Memory::default(), trace: String::new() };
        agent.sign(waiting);
        agent
    }

    fn sign(&mut self, count: usize) {
        for _ in 0..count {
            let mut one = summary(&self.key);
            one.outages.push(OutagePart {
                service: None,
                probe: "p".into(),
                from: one.from,
                to: None,
                definition: "builtin".into(),
                side: Side::Unknown,
                evidence: [("trace".to_owned(), self.trace.as_str().into())].into_iter().collect(),
            });
            let signed = self.head.sign(one, &self.key).unwrap();
            let waiting = Waiting {
                chain: signed.chain,
                seq: signed.seq,
                digest: signed.digest,
                jws: signed.jws,
            };
            self.outbox.with(|inside| inside.waiting.push(waiting));
        }
    }

    fn shipping(&self, url: &str, token: Option<&str>) -> Shipping {
        Shipping {
            url: url.to_owned(),
            ca: None,
            agent: self.key.kid(),
            key: self.key.clone().into(),
            site: "leeds-01".into(),
            token: token.map(str::to_owned),
            collector: None,
        }
    }

    fn shipper(&self, central: &Central) -> Shipper<Memory> {
        Shipper::new(self.outbox.clone(), self.shipping(&central.url, Some(&central.token)))
            .unwrap()
    }
}

/// Rounds without the pauses between them, until nothing waits or it does not go on.
async fn ship<O: Outbox>(shipper: &mut Shipper<O>) -> Round {
    for _ in 0..100 {
        let round = shipper.round().await;
        let fault = shipper.state().borrow().fault.clone();
        match round {
            Round::Idle => return round,
            Round::Later(_) if fault.is_some() => return round,
            Round::Later(_) | Round::Shipped => {}
        }
    }
    panic!("it does not end");
}

fn stored(dir: &Path) -> Vec<u64> {
    let archive = Archive::open_existing(&Database::Sqlite(dir.join("collector.db"))).unwrap();
    let mut all = Vec::new();
    archive
        .each_summary(|stored| {
            all.push(stored.subject.seq);
            Ok::<(), collector::archive::ArchiveError>(())
        })
        .unwrap();
    all
}

#[tokio::test]
async fn all_that_waits_is_shipped_oldest_first_and_its_receipts_are_kept() {
    let at = tempfile::tempdir().unwrap();
    let central = collector::on_loopback(at.path()).await.unwrap();
    let agent = Agent::new(150);
    let mut shipper = agent.shipper(&central);
    assert_eq!(ship(&mut shipper).await, Round::Idle);
    assert_eq!((agent.outbox.accepted(), stored(at.path()).len()), (150, 150));
    assert_eq!(agent.outbox.with(|inside| inside.keys.present), Some(*central.collector.key()));
    assert_eq!(shipper.state().borrow().enrolled, Some(State::Approved));
}

/// The pauses are not slept: what matters is that they are asked for.
#[tokio::test]
async fn after_weeks_offline_no_more_is_shipped_in_a_second_than_the_link_bears() {
    const A_SECOND: f64 = 32.0 * 1024.0;
    let at = tempfile::tempdir().unwrap();
    let central = collector::on_loopback(at.path()).await.unwrap();
    let mut agent = Agent::new(0);
    agent.trace = "a long way ".repeat(400);
    agent.sign(300);
    let bytes = |agent: &Agent| {
        agent.outbox.with(|inside| inside.waiting.iter().map(|one| one.jws.len()).sum::<usize>())
    };
    let all = bytes(&agent);
    assert!(all > 1_500_000, "{all} are too few to tell");
    let mut shipper = agent.shipper(&central);
    let (mut before, mut seconds) = (all, 0.0);
    loop {
        let round = shipper.round().await;
        let fault = shipper.state().borrow().fault.clone();
        assert_eq!(fault, None);
        let left = bytes(&agent);
        let shipped = before - left;
        before = left;
        match round {
            Round::Idle => break,
            Round::Later(pause) => {
                seconds += pause.as_secs_f64();
                assert!(shipped <= 64 * 1024, "{shipped} at once");
                assert!(
                    shipped as f64 / pause.as_secs_f64() <= A_SECOND * 1.001,
                    "{shipped} in {pause:?}"
                );
            }
            Round::Shipped => assert!(shipped <= 4096, "{shipped} without a pause"),
        }
    }
    assert!(all as f64 / seconds <= A_SECOND * 1.01, "{all} bytes in {seconds} s");
    assert_eq!((agent.outbox.accepted(), stored(at.path()).len()), (300, 300));
}

#[tokio::test]
async fn a_collector_that_is_restarted_in_the_middle_stores_each_summary_once() {
    let at = tempfile::tempdir().unwrap();
    let mut agent = Agent::new(70);
    let mut central = collector::on_loopback(at.path()).await.unwrap();
    for round in 0..5 {
        let mut shipper = agent.shipper(&central);
        if round % 2 == 0 {
            // The answer is lost: what was stored is told again, and gets its first receipt.
            let again = agent.outbox.with(|inside| inside.waiting.clone());
            let lost = Agent {
                key: agent.key.clone(),
                head: agent.head,
                outbox: Memory::default(),
                trace: String::new(),
            };
            lost.outbox.with(|inside| inside.waiting = again);
            ship(&mut lost.shipper(&central)).await;
        } else {
            shipper.round().await;
        }
        agent.sign(10);
        central.stop().await.unwrap();
        let mut dead =
            Shipper::new(agent.outbox.clone(), agent.shipping("http://127.0.0.1:9", None)).unwrap();
        assert!(matches!(dead.round().await, Round::Later(_)));
        central = collector::on_loopback(at.path()).await.unwrap();
    }
    assert_eq!(ship(&mut agent.shipper(&central)).await, Round::Idle);
    assert_eq!(agent.outbox.accepted(), 120);
    assert_eq!(stored(at.path()), (0..120).collect::<Vec<u64>>());
    let archive =
        Archive::open_existing(&Database::Sqlite(at.path().join("collector.db"))).unwrap();
    let row = archive.agents().unwrap().remove(0);
    assert_eq!((row.missing, row.conflicts), (Missing::default(), 0));
}

#[tokio::test]
async fn a_running_shipper_goes_on_when_it_is_woken_and_ends_when_it_is_told() {
    let at = tempfile::tempdir().unwrap();
    let central = collector::on_loopback(at.path()).await.unwrap();
    let mut agent = Agent::new(3);
    let settled = Arc::new(Notify::new());
    agent.outbox.with(|inside| inside.settled = Some(Arc::clone(&settled)));
    let wake = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(agent.shipper(&central).run(Arc::clone(&wake), stopped));
    settled.notified().await;
    assert_eq!(agent.outbox.accepted(), 3);
    agent.sign(1);
    wake.notify_one();
    settled.notified().await;
    assert_eq!(agent.outbox.accepted(), 4);
    stop.send(true).unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn what_conflicts_is_refused_and_asks_for_a_new_chain_and_the_rest_goes_on() {
    let at = tempfile::tempdir().unwrap();
    let central = collector::on_loopback(at.path()).await.unwrap();
    let agent = Agent::new(2);
    assert_eq!(ship(&mut agent.shipper(&central)).await, Round::Idle);
    // The disk is put back from a backup: the same numbers are signed again, with something else in
    // them.
    let mut restored = Agent {
        key: agent.key.clone(),
        head: Head::new(agent.head.chain, None),
        outbox: Memory::default(),
        trace: String::new(),
    };
    let other = Summary { site: "elsewhere".into(), ..summary(&agent.key) };
    let signed = restored.head.sign(other, &agent.key).unwrap();
    let waiting = Waiting { chain: signed.chain, seq: 0, digest: signed.digest, jws: signed.jws };
    restored.outbox.with(|inside| inside.waiting.push(waiting));
    restored.head = Head::new(ChainId::from_bytes([9; 16]), restored.head.as_followed());
    restored.sign(1);
    assert_eq!(ship(&mut restored.shipper(&central)).await, Round::Idle);
    restored.outbox.with(|inside| {
        let Some(Answer::Conflict(problem)) = inside.answers.get(&(agent.head.chain, 0)) else {
            panic!("no conflict")
        };
        assert_eq!(problem.kind(), Some(Kind::ChainConflict));
        assert!(matches!(
            inside.answers.get(&(ChainId::from_bytes([9; 16]), 0)),
            Some(Answer::Accepted { .. })
        ));
    });
}

#[tokio::test]
async fn an_agent_that_is_not_let_in_keeps_all_and_asks_again_slowly() {
    let at = tempfile::tempdir().unwrap();
    let central = collector::on_loopback(at.path()).await.unwrap();
    let agent = Agent::new(1);
    let mut shipper =
        Shipper::new(agent.outbox.clone(), agent.shipping(&central.url, Some("wrong"))).unwrap();
    let Round::Later(wait) = shipper.round().await else { panic!("it was let in") };
    assert!(wait >= Duration::from_secs(60));
    assert!(shipper.state().borrow().fault.as_ref().unwrap().contains("bad-token"));
    assert_eq!(ship(&mut agent.shipper(&central)).await, Round::Idle);
    let mut archive =
        Archive::open_existing(&Database::Sqlite(at.path().join("collector.db"))).unwrap();
    let kid = agent.key.kid();
    archive
        .write(|archive| archive.set_standing(kid, AgentStatus::Revoked))
        .map_err(|error: collector::archive::ArchiveError| error)
        .unwrap();
    let mut agent = agent;
    agent.sign(1);
    let mut shipper = agent.shipper(&central);
    let Round::Later(wait) = shipper.round().await else { panic!("it was let in") };
    assert!(wait >= Duration::from_secs(60));
    assert_eq!(agent.outbox.with(|inside| inside.waiting.len()), 1, "nothing is thrown away");
}

#[tokio::test]
async fn another_collector_than_the_pinned_one_is_not_believed() {
    let (at, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let central = collector::on_loopback(at.path()).await.unwrap();
    let impostor = collector::on_loopback(elsewhere.path()).await.unwrap();
    let mut agent = Agent::new(1);
    assert_eq!(ship(&mut agent.shipper(&central)).await, Round::Idle);
    agent.sign(1);
    let mut shipper = agent.shipper(&impostor);
    assert!(matches!(ship(&mut shipper).await, Round::Later(_)));
    assert!(shipper.state().borrow().fault.as_ref().unwrap().contains("somebody is in between"));
    assert_eq!(agent.outbox.with(|inside| inside.waiting.len()), 1);
    assert_eq!(agent.outbox.with(|inside| inside.keys.present), Some(*central.collector.key()));
}

/// A server that gives one answer after another, whatever is asked.
async fn scripted(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !is_whole(&asked) {
                let mut part = [0; 4096];
                match stream.read(&mut part).await.unwrap() {
                    0 => break,
                    read => asked.extend_from_slice(&part[..read]),
                }
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    url
}

/// Whether a request is there, with a body as long as its header says.
fn is_whole(asked: &[u8]) -> bool {
    let Some(end) = asked.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let header = String::from_utf8_lossy(&asked[..end]);
    let length = header
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    asked.len() >= end + 4 + length.unwrap_or(0)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn enrolled(collector: &SecretKey) -> String {
    let answer = Enrolled { state: State::Approved, jwk: *collector.public() };
    http("200 OK", "content-type: application/json\r\n", &serde_json::to_string(&answer).unwrap())
}

fn receipted(waiting: &Waiting, subject: Subject, by: &SecretKey) -> String {
    let receipt = receipt::sign(subject, Wall::from_secs(1), by);
    http(
        "200 OK",
        "",
        &format!("{{\"digest\":\"{}\",\"receipt\":\"{receipt}\"}}\n", waiting.digest),
    )
}

#[tokio::test]
async fn a_receipt_is_believed_only_when_it_is_the_collectors_and_for_that_summary() {
    let (collector, other) = (SecretKey::from_seed(&[3; 32]), SecretKey::from_seed(&[4; 32]));
    let agent = Agent::new(1);
    let waiting = agent.outbox.with(|inside| inside.waiting[0].clone());
    let good = Subject {
        agent: agent.key.kid(),
        chain: waiting.chain,
        seq: waiting.seq,
        digest: waiting.digest,
    };
    let url = scripted(vec![
        enrolled(&collector),
        receipted(&waiting, good, &other),
        receipted(&waiting, good, &agent.key),
        receipted(&waiting, Subject { seq: 7, ..good }, &collector),
        http(
            "200 OK",
            "",
            &format!("{{\"digest\":\"{}\",\"receipt\":\"a.b.c\"}}\n", waiting.digest),
        ),
        http("200 OK", "", "{\"digest\":\"x\"}\n"),
        http("200 OK", "", ""),
        http("200 OK", "", "not json\n"),
        receipted(&waiting, good, &collector),
    ])
    .await;
    let mut shipper = Shipper::new(agent.outbox.clone(), agent.shipping(&url, None)).unwrap();
    for attempt in 0..7 {
        assert!(matches!(shipper.round().await, Round::Later(_)), "attempt {attempt}");
        assert!(shipper.state().borrow().fault.is_some(), "attempt {attempt}");
        assert_eq!(agent.outbox.with(|inside| inside.waiting.len()), 1, "attempt {attempt}");
    }
    assert_eq!(shipper.round().await, Round::Shipped);
    assert_eq!((agent.outbox.accepted(), shipper.state().borrow().fault.clone()), (1, None));
}

#[tokio::test]
async fn busy_is_waited_for_as_long_as_is_asked_and_what_is_in_between_is_not_believed() {
    let collector = SecretKey::from_seed(&[3; 32]);
    let agent = Agent::new(1);
    let busy = r#"{"type":"urn:wanproof:busy","status":429,"title":"t","detail":"d"}"#;
    let url = scripted(vec![
        enrolled(&collector),
        http(
            "429 Too Many Requests",
            "retry-after: 40\r\ncontent-type: application/problem+json\r\n",
            busy,
        ),
        http("503 Service Unavailable", "retry-after: 30\r\n", "<html>"),
        http(
            "413 Content Too Large",
            "content-type: text/html\r\n",
            "<html>a proxy says so</html>",
        ),
        http("403 Forbidden", "", r#"{"type":"about:blank","title":"a proxy"}"#),
        http("302 Found", "location: http://127.0.0.1:9/\r\n", ""),
    ])
    .await;
    let mut shipper = Shipper::new(agent.outbox.clone(), agent.shipping(&url, None)).unwrap();
    for least in [40, 30, 0, 0, 0] {
        let Round::Later(wait) = shipper.round().await else { panic!("it went on") };
        assert!(wait >= Duration::from_secs(least), "{wait:?}");
    }
    assert_eq!(agent.outbox.with(|inside| (inside.waiting.len(), inside.answers.len())), (1, 0));
}

#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_is_taken_apart_to_find_the_one_to_blame() {
    let collector = SecretKey::from_seed(&[3; 32]);
    let agent = Agent::new(2);
    let large = r#"{"type":"urn:wanproof:too-large","status":413,"title":"t","detail":"d"}"#;
    let refused =
        http("413 Content Too Large", "content-type: application/problem+json\r\n", large);
    let waiting = agent.outbox.with(|inside| inside.waiting[1].clone());
    let good = Subject {
        agent: agent.key.kid(),
        chain: waiting.chain,
        seq: waiting.seq,
        digest: waiting.digest,
    };
    let url = scripted(vec![
        enrolled(&collector),
        refused.clone(),
        refused,
        receipted(&waiting, good, &collector),
    ])
    .await;
    let mut shipper = Shipper::new(agent.outbox.clone(), agent.shipping(&url, None)).unwrap();
    for _ in 0..3 {
        assert_eq!(shipper.round().await, Round::Shipped);
    }
    agent.outbox.with(|inside| {
        assert!(matches!(inside.answers[&(waiting.chain, 0)], Answer::Refused(_)));
        assert!(matches!(inside.answers[&(waiting.chain, 1)], Answer::Accepted { .. }));
    });
}

/// What a crash at this moment would leave: the files of the database as they are on the disk now.
fn crashed(dir: &Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    for name in ["agent.db", "agent.db-wal"] {
        if let Ok(bytes) = std::fs::read(dir.join(name)) {
            std::fs::write(left.path().join(name), bytes).unwrap();
        }
    }
    left
}

/// Signs a summary in a store's transaction and keeps it; `before_commit` is done before that is
/// committed.
fn sign_in(dir: &Path, key: &SecretKey, site: &str, before_commit: impl FnOnce()) {
    let (mut store, _) = Store::open(dir, Wall::from_secs(1)).unwrap();
    let said = Summary { site: site.into(), ..summary(key) };
    let (from, to) = (said.from, said.to);
    store
        .together(|store| {
            let mut head = match store.head()? {
                Some(head) => head,
                None => store.begin_chain(ChainId::from_bytes([7; 16]))?,
            };
            let signed = head.sign(said, key).unwrap();
            store.keep_summary(&signed, from, to, None)?;
            before_commit();
            Ok::<(), StoreError>(())
        })
        .unwrap();
}

/// Ships all that waits in a directory's database, through the agent's own recorder.
async fn ship_from(dir: &Path, agent: &Agent, central: &Central) {
    let (store, _) = Store::open(dir, Wall::from_secs(1)).unwrap();
    let keys = Keys::fixed(agent.key.clone());
    let summariser =
        Summariser { keys, site: "s".into(), boot: String::new(), every: Duration::from_secs(60) };
    let (recorder, thread) = Recorder::start(store, summariser).unwrap();
    let outbox = Recorded { recorder: recorder.clone(), contracts: Arc::default() };
    let mut shipper =
        Shipper::new(outbox, agent.shipping(&central.url, Some(&central.token))).unwrap();
    assert_eq!(ship(&mut shipper).await, Round::Idle);
    recorder.stop();
    thread.join().unwrap();
}

#[tokio::test]
async fn at_whatever_step_the_agent_dies_no_number_is_missing_or_given_twice() {
    #[derive(Debug, PartialEq)]
    enum Step {
        Signed,
        Stored,
        Shipped,
        Receipted,
    }
    for step in [Step::Signed, Step::Stored, Step::Shipped, Step::Receipted] {
        let (at, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let central = collector::on_loopback(at.path()).await.unwrap();
        let agent = Agent::new(0);
        sign_in(dir.path(), &agent.key, "before", || ());
        ship_from(dir.path(), &agent, &central).await;
        let mut left = None;
        sign_in(dir.path(), &agent.key, "the one", || {
            left = (step == Step::Signed).then(|| crashed(dir.path()))
        });
        if matches!(step, Step::Stored | Step::Shipped) {
            left = Some(crashed(dir.path()));
        }
        if matches!(step, Step::Shipped | Step::Receipted) {
            ship_from(dir.path(), &agent, &central).await;
        }
        let left = left.unwrap_or_else(|| crashed(dir.path()));
        drop(dir);
        // What was signed and not stored was never shipped: its number is free, whatever the next
        // one says.
        let first = if step == Step::Signed { 1 } else { 2 };
        assert_eq!(
            Store::read(left.path()).unwrap().head().unwrap().unwrap().next,
            first,
            "{step:?}"
        );
        sign_in(left.path(), &agent.key, "after", || ());
        ship_from(left.path(), &agent, &central).await;
        let entries = Store::read(left.path()).unwrap().summaries().unwrap();
        assert!(
            entries.iter().all(|entry| entry.state == Entered::Accepted && entry.receipt.is_some()),
            "{step:?}"
        );
        let numbers: Vec<u64> = (0..=first).collect();
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), numbers, "{step:?}");
        assert_eq!(stored(at.path()), numbers, "{step:?}");
        central.stop().await.unwrap();
    }
}
