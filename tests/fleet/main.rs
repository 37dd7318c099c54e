//! The fleet's verdicts, claims and what is missing, from summaries as agents make them, on SQLite
//! and on PostgreSQL.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod backdated;
mod bundles;
mod evaluators;
#[path = "../kit/mod.rs"]
mod kit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kit::postgres;
use serde_json::{Map, Value, json};
use wanproof::base::time::Wall;
use wanproof::collector::agent_state::gather;
use wanproof::collector::archive::accept::{Accepted, Arrival, Verified};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::ledger::{Kind, Page};
use wanproof::collector::archive::{Archive, packed};
use wanproof::collector::operations::agreements::{self, Book, Served, Step};
use wanproof::collector::operations::claims::attachments::{self, Attach, AttachmentKind};
use wanproof::collector::operations::claims::{self, follow};
use wanproof::collector::operations::facts::{self, Source};
use wanproof::collector::operations::invoices::{self, Invoice, InvoiceLine};
use wanproof::collector::operations::{Actor, DeskError};
use wanproof::collector::operations::{duties, lapses, rights};
use wanproof::collector::verdicts::{Evaluator, Fleet, Judgement};
use wanproof::config::collector::{Address, Database};
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::digest::Digest;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::{Kid, SecretKey};
use wanproof::evidence::late;
use wanproof::evidence::receipt::Subject;
use wanproof::measure::histogram::Histogram;
use wanproof::measure::interval::{Interval, Spread};
use wanproof::measure::outcome::{Outcome, Outcomes};
use wanproof::sla::calendar::Period;
use wanproof::sla::judge::{InForce, judge, judge_by};
use wanproof::sla::observed::{Observed, Seen};
use wanproof::sla::report::Outcome as Result;
use wanproof::sla::terms::Contract;

const CONTRACT: &str = include_str!("contract.toml");

/// A database that is there as long as the place.
struct Place {
    database: Database,
    at: tempfile::TempDir,
}

impl Place {
    fn sqlite() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        Some(Self { database: Database::Sqlite(at.path().join("c.db")), at })
    }

    fn postgres() -> Option<Self> {
        let database = Database::Postgres(Address::new(postgres::database()?));
        Some(Self { database, at: tempfile::tempdir().unwrap() })
    }

    /// The directory of the files.
    fn at(&self) -> &std::path::Path {
        self.at.path()
    }
}

/// Each of these runs on both.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[test] fn $name() { if let Some(place) = super::Place::sqlite() { super::$name(&place) } })* }
        mod on_postgres { $(#[test] fn $name() { if let Some(place) = super::Place::postgres() { super::$name(&place) } })* }
    };
}

on_both! {
    a_fleet_is_judged_as_its_minutes_are
    in_which_order_summaries_come_changes_no_verdict
    a_month_in_which_the_version_changes_is_judged_by_both
    earlier_months_that_nobody_judged_are_judged_where_a_verdict_needs_them
    a_contract_goes_from_draft_to_its_end_and_agents_that_judge_otherwise_are_named
    a_claim_goes_from_the_verdict_to_the_invoice
    the_providers_log_stands_beside_what_was_measured
    records_are_read_page_by_page_and_leases_are_held_by_one
    bundle_claim_and_verdict_say_the_same_money_and_a_third_person_comes_to_it_too
    what_was_asked_for_is_what_its_bundle_says_whatever_comes_later
    no_bundle_is_made_of_a_verdict_whose_ground_is_gone
    an_outage_that_is_made_up_afterwards_in_a_new_chain_earns_nothing_until_somebody_accepts_it
    a_hole_that_is_filled_long_afterwards_counts_where_later_numbers_had_named_it
    an_honest_agent_that_was_offline_counts_without_a_hand
    no_walk_of_small_steps_leads_into_the_past
    whoever_ships_in_a_chain_was_not_silent_in_it_and_a_hole_in_it_earns_nothing
    an_agent_that_ships_into_a_gap_of_another_chain_is_heard_of
    what_is_accepted_lets_nothing_in_that_goes_on_from_it_or_came_later
    a_month_that_was_let_go_keeps_its_money_and_is_not_judged_anew
    one_month_is_judged_to_the_same_bytes_at_the_edge_in_the_archive_and_from_the_bundle
}

use evaluators::one_month_is_judged_to_the_same_bytes_at_the_edge_in_the_archive_and_from_the_bundle;

use bundles::a_month_that_was_let_go_keeps_its_money_and_is_not_judged_anew;

use backdated::{
    a_hole_that_is_filled_long_afterwards_counts_where_later_numbers_had_named_it,
    an_agent_that_ships_into_a_gap_of_another_chain_is_heard_of,
    an_honest_agent_that_was_offline_counts_without_a_hand,
    an_outage_that_is_made_up_afterwards_in_a_new_chain_earns_nothing_until_somebody_accepts_it,
    no_walk_of_small_steps_leads_into_the_past,
    what_is_accepted_lets_nothing_in_that_goes_on_from_it_or_came_later,
    whoever_ships_in_a_chain_was_not_silent_in_it_and_a_hole_in_it_earns_nothing,
};

use bundles::{
    bundle_claim_and_verdict_say_the_same_money_and_a_third_person_comes_to_it_too,
    no_bundle_is_made_of_a_verdict_whose_ground_is_gone,
    what_was_asked_for_is_what_its_bundle_says_whatever_comes_later,
};

/// The last day of November in Pune: the month ends at 18:30 UTC.
fn start() -> Wall {
    "2026-11-29T22:00:00Z".parse().unwrap()
}

fn november() -> Period {
    "2026-11".parse().unwrap()
}

fn actor(now: Wall) -> Actor {
    Actor { who: "noc".to_owned(), via: Via::Command, now }
}

/// A minute of a line: its outcomes, and RTTs that differ from minute to minute.
fn minute(number: i64, outcomes: &str) -> Interval {
    let outcomes: Outcomes = outcomes.parse().unwrap();
    let (mut rtt, mut ipdv) = (Histogram::new(), Histogram::new());
    let (mut rtt_ns, mut ipdv_ns) = (0, 0);
    for n in 0..outcomes.with_rtt() {
        let micros = 20_000 + (number.unsigned_abs() * 37 + n * 101) % 9_000;
        rtt.record_us(micros);
        rtt_ns += micros * 1000;
    }
    // Of each two neighbours that were both answered.
    let has_rtt = |outcome: Outcome| matches!(outcome, Outcome::Answered | Outcome::Late);
    let each: Vec<Outcome> = outcomes
        .runs()
        .flat_map(|(count, outcome)| std::iter::repeat_n(outcome, count as usize))
        .collect();
    for n in each
        .windows(2)
        .zip(1u64..)
        .filter(|(two, _)| has_rtt(two[0]) && has_rtt(two[1]))
        .map(|(_, n)| n)
    {
        let differ = 100 + (number.unsigned_abs() * 13 + n * 7) % 500;
        ipdv.record_us(differ);
        ipdv_ns += differ * 1000;
    }
    let mut reasons = BTreeMap::new();
    let unsent = u32::try_from(outcomes.to_string().matches('n').count()).unwrap() * 5;
    if unsent > 0 && number % 2 == 0 {
        reasons.insert("not-sent/carrier".to_owned(), unsent.min(5));
    }
    Interval {
        from: start() + Duration::from_secs(60 * number.unsigned_abs()),
        millis: 60_000,
        first_ms: 412,
        period_ms: 1000,
        outcomes,
        reasons,
        duplicates: 0,
        reordered: 0,
        kernel_stamped: 0,
        rtt: rtt.pack().map(|histogram| Spread { histogram, sum_ns: rtt_ns }),
        ipdv: ipdv.pack().map(|histogram| Spread { histogram, sum_ns: ipdv_ns }),
        rfc3550_max_ns: Some(number.unsigned_abs() * 10),
        phases: BTreeMap::new(),
    }
}

/// What one probe saw.
fn seen(line: Vec<Interval>) -> Seen {
    let intervals = line.into_iter().map(Arc::new).collect();
    Seen { intervals, ..Seen::default() }
}

/// Most of a day: single losses, outages within an hour, over an hour's, a day's and the month's
/// end, time that nobody saw.
fn line() -> Vec<Interval> {
    let outcomes = |number: i64| match number {
        100..=104 => Some("60l"),
        115..=124 => Some("60l"),
        239 => Some("30a30l"),
        240 => Some("12l48a"),
        300..=330 => None,
        500 => Some("10a5n45a"),
        502 => Some("10a5n2l43a"),
        600 => Some("55a5t"),
        1_220..=1_240 => Some("60u"),
        _ if number % 7 == 0 => Some("20a1l39a"),
        _ if number % 50 == 0 => Some("20a2l38a"),
        _ => Some("60a"),
    };
    (0..1_260).filter_map(|number| Some(minute(number, outcomes(number)?))).collect()
}

/// An agent, as the collector knows it.
struct Agent {
    key: SecretKey,
    chain: ChainId,
    contracts: Value,
    /// What summaries of some numbers say of a link.
    links: Vec<(u64, Value)>,
}

impl Agent {
    fn new() -> Self {
        let key = SecretKey::from_seed(&[7; 32]);
        let sha256 = Digest::of(CONTRACT.as_bytes()).hex();
        let contracts = json!([{"id": "FLEET", "version": 1, "sha256": sha256}]);
        Self { key, chain: ChainId::from_bytes([7; 16]), contracts, links: Vec::new() }
    }

    fn kid(&self) -> Kid {
        self.key.kid()
    }

    /// Summaries of five minutes each.
    fn summaries(&self, line: &[Interval], outages: &Value, verdicts: &Value) -> Vec<Verified> {
        let mut all: Vec<Verified> = Vec::new();
        let cell = |each: &Interval| each.from.floor(Duration::from_secs(300));
        for part in line.chunk_by(|one, two| cell(one) == cell(two)) {
            let (from, to) = (part[0].from, part[part.len() - 1].to());
            let seq = all.len() as u64;
            let prev = all.last().map(|before| before.subject.digest);
            let intervals: Vec<Value> = part.iter().map(written).collect();
            let own = |outages: &Value| -> Vec<Value> {
                let all = outages.as_array().unwrap().iter();
                all.filter(|each| each["from"].as_str().unwrap().parse::<Wall>().unwrap() < to)
                    .cloned()
                    .collect()
            };
            let link: Vec<Value> = self
                .links
                .iter()
                .filter(|(at, _)| *at == seq)
                .map(|(_, link)| link.clone())
                .collect();
            let payload = json!({
                "v": 1, "agent": self.kid(), "site": "pune-01", "chain": self.chain, "seq": seq, "prev": prev, "from": from, "to": to,
                "boot": "b", "software": "wanproof 0.1.0", "clock": {"state": "synchronised"}, "contracts": self.contracts,
                "probes": [{"name": "hq", "service": null, "kind": "icmp", "target": "t", "period_ms": 1000, "timeout_ms": 2000,
                    "cutoff_ms": 1000, "settings": "s", "intervals": intervals}],
                "link": link, "outages": own(outages), "verdicts": verdicts
            });
            let jws = jws::sign(Typ::Summary, payload.to_string().as_bytes(), &self.key);
            let digest = Digest::of(jws.as_bytes());
            all.push(Verified {
                subject: Subject { agent: self.kid(), chain: self.chain, seq, digest },
                kid: self.kid(),
                prev,
                from,
                to,
                follows: None,
                dropped: Vec::new(),
                next_key: None,
                packed: packed::pack(&jws),
            });
        }
        all
    }
}

fn written(interval: &Interval) -> Value {
    json!({
        "from": interval.from, "seconds": 60, "first_ms": interval.first_ms, "outcomes": interval.outcomes.to_string(),
        "reasons": interval.reasons, "duplicates": 0, "reordered": 0, "kernel_stamped": 0,
        "rtt_us": interval.rtt.as_ref().map(|rtt| rtt.histogram.to_base64()),
        "rtt_sum_ns": interval.rtt.as_ref().map(|rtt| rtt.sum_ns),
        "ipdv_us": interval.ipdv.as_ref().map(|ipdv| ipdv.histogram.to_base64()),
        "ipdv_sum_ns": interval.ipdv.as_ref().map(|ipdv| ipdv.sum_ns),
        "rfc3550_max_ns": interval.rfc3550_max_ns,
    })
}

/// A collector's database with one agent and the contract in force.
struct Desk {
    archive: Archive,
    agent: Agent,
    now: Wall,
}

impl Desk {
    fn open(place: &Place) -> Self {
        Self::open_with(place, CONTRACT)
    }

    fn open_with(place: &Place, contract: &str) -> Self {
        let mut archive = Archive::open(&place.database).unwrap();
        let agent = Agent::new();
        let now: Wall = "2026-12-02T09:00:00Z".parse().unwrap();
        archive
            .write(|archive| {
                archive.add_agent(agent.key.public(), "pune-01", AgentStatus::Approved, start())?;
                agreements::import(archive, None, contract, &actor(start()))?;
                for (action, at) in [("propose", 1), ("sign", 2), ("take_effect", 3)] {
                    let at =
                        "2026-02-01T00:00:00Z".parse::<Wall>().unwrap() + Duration::from_secs(at);
                    agreements::act(
                        archive,
                        ("FLEET", 1),
                        action,
                        &Step { at: Some(at), ..Step::now() },
                        &actor(start()),
                    )?;
                }
                Ok::<(), DeskError>(())
            })
            .unwrap();
        Self { archive, agent, now }
    }

    /// As they come while the agent can be reached.
    fn store(&mut self, summaries: &[Verified]) {
        let received: Vec<Wall> =
            summaries.iter().map(|summary| summary.to + Duration::from_secs(2)).collect();
        self.store_at(summaries, &received);
    }

    fn store_at(&mut self, summaries: &[Verified], received: &[Wall]) {
        let collector = SecretKey::from_seed(&[99; 32]);
        let each = summaries.iter().zip(received);
        let arrivals: Vec<Arrival> =
            each.map(|(summary, at)| Arrival::new(summary.clone(), *at, &collector)).collect();
        self.archive.make_parts(summaries.iter().map(|summary| summary.from), self.now).unwrap();
        let said = self.archive.write(|archive| archive.accept_all(&arrivals)).unwrap();
        assert!(said.iter().all(|said| matches!(said, Accepted::New(_))), "{said:?}");
    }

    /// Folds until nothing is left.
    fn fold(&mut self) -> u64 {
        let mut folded = 0;
        loop {
            let chains = self.archive.unfolded(100).unwrap();
            if chains.is_empty() {
                return folded;
            }
            let news =
                gather::gather(&self.archive, &chains, self.now, late::AFTER).unwrap().unwrap();
            folded += news.count;
            let now = self.now;
            assert!(self.archive.write(|archive| gather::write(archive, &news, now)).unwrap());
        }
    }

    fn book(&self) -> Book {
        Book::load(&self.archive, None).unwrap()
    }

    fn judge(&mut self, month: Period) -> Judgement {
        let (book, fleet) = (self.book(), Fleet::load(&self.archive).unwrap());
        let evaluator = Evaluator { archive: &self.archive, book: &book, fleet: &fleet };
        let judged = evaluator.judge("FLEET", "ckt-1", month, self.now).unwrap().unwrap();
        let (contract, now) = (self.contract(), self.now);
        self.archive
            .write(|archive| {
                let id = wanproof::collector::verdicts::id_of(month, "FLEET", "ckt-1");
                archive.put_record(Kind::Verdict, &id, &judged, now)?;
                archive.put_record(Kind::Grounds, &id, &judged.grounds, now)?;
                follow::follow(archive, &contract, &judged, now)
            })
            .unwrap();
        judged
    }

    fn contract(&self) -> Contract {
        self.book().version("FLEET", 1).unwrap().contract.clone().unwrap()
    }

    fn desk<T>(
        &mut self,
        act: impl FnOnce(&Archive, &Actor) -> std::result::Result<T, DeskError>,
    ) -> std::result::Result<T, DeskError> {
        let actor = actor(self.now);
        self.archive.write(|archive| act(archive, &actor))
    }
}

fn given() -> Map<String, Value> {
    let facts = json!({
        "events": [{"from": "2026-11-29T23:40:00Z", "to": "2026-11-29T23:45:00Z", "side": "provider",
            "ticket": {"id": "T-1", "opened": "2026-11-29T23:42:00Z", "closed": "2026-11-30T01:00:00Z"}}],
        "excluded": [{"exclusion": "maint", "from": "2026-11-30T05:17:30Z", "to": "2026-11-30T06:41:00Z"}],
        "duties": [{"duty": "report-outage", "event": 0, "done": "2026-11-29T23:50:00Z"}],
    });
    facts.as_object().unwrap().clone()
}

fn a_fleet_is_judged_as_its_minutes_are(place: &Place) {
    let (mut desk, line) = (Desk::open(place), line());
    let outages = json!([{"service": "ckt-1", "probe": "hq", "from": "2026-11-29T23:40:00.412Z", "to": "2026-11-29T23:45:00.412Z",
        "definition": "FLEET/1#avail", "side": "provider", "evidence": {}}]);
    let summaries = desk.agent.summaries(&line, &outages, &json!([]));
    let book = desk.book();
    desk.desk(|archive, actor| {
        facts::import(archive, &book, ("FLEET", "ckt-1", Source::Customer), given(), actor)
    })
    .unwrap();
    desk.store(&summaries);
    assert_eq!(desk.fold(), summaries.len() as u64);
    assert_eq!(desk.fold(), 0, "nothing is folded twice");
    let judged = desk.judge(november());
    assert_eq!(judged.faults, Vec::<String>::new());

    let observed = Observed {
        probes: [("hq".to_owned(), seen(line))].into(),
        sides: vec![(
            wanproof::sla::span::Span::new(
                "2026-11-29T23:40:00.412Z".parse().unwrap(),
                "2026-11-29T23:45:00.412Z".parse().unwrap(),
            ),
            wanproof::sla::terms::Side::Provider,
        )],
    };
    let kept = facts::kept(&desk.archive, "FLEET", "ckt-1", Source::Customer).unwrap();
    let case = facts::case(&facts::text(&kept, "ckt-1", november(), judged.as_of, &[])).unwrap();
    let by_minutes = judge(&desk.contract(), "ckt-1", november(), &observed, &case.facts).unwrap();
    assert_eq!(json!(judged.report), json!(by_minutes), "word by word");
    let report = judged.report.unwrap();
    assert!(
        report.objectives.iter().all(|each| each.actual.is_some()),
        "each has a figure: {report:#?}"
    );
    assert_eq!((report.objectives[0].result, report.credit.as_str()), (Result::Breached, "400.00"));
    assert_eq!(judged.outages.len(), 7, "{:?}", judged.outages);
    assert_eq!(judged.outages[0].side.to_string(), "provider");
    // December has what came after the month's end, and no more.
    let december = desk.judge("2026-12".parse().unwrap());
    assert!(!december.ended);
    assert_eq!(december.as_of, start() + Duration::from_secs(1_260 * 60));
}

fn in_which_order_summaries_come_changes_no_verdict(place: &Place) {
    let mut desk = Desk::open(place);
    let line: Vec<Interval> = line().into_iter().take(500).collect();
    let summaries = desk.agent.summaries(&line, &json!([]), &json!([]));
    // Every third comes late, the later ones first.
    let (late, soon): (Vec<_>, Vec<_>) =
        summaries.iter().cloned().partition(|each| each.subject.seq % 3 == 1);
    desk.store(&soon);
    desk.fold();
    let before = desk.judge(november());
    for part in late.chunks(7).rev() {
        desk.store(part);
        assert_eq!(desk.fold(), part.len() as u64, "late ones are folded as they fill their gaps");
    }
    let after = desk.judge(november());
    assert_ne!(before.report, after.report);

    let observed = Observed { probes: [("hq".to_owned(), seen(line))].into(), sides: Vec::new() };
    let case = facts::case(&facts::text(
        &facts::StoredFacts::default(),
        "ckt-1",
        november(),
        after.as_of,
        &[],
    ))
    .unwrap();
    let by_minutes = judge(&desk.contract(), "ckt-1", november(), &observed, &case.facts).unwrap();
    assert_eq!(json!(after.report), json!(by_minutes));
}

/// Brings a second version into force.
fn supersede(desk: &mut Desk, text: &str, at: &str) {
    desk.desk(|archive, actor| agreements::import(archive, None, text, actor)).unwrap();
    for (action, at) in
        [("propose", "2026-10-01T00:00:00Z"), ("sign", "2026-10-02T00:00:00Z"), ("take_effect", at)]
    {
        let step = Step { at: Some(at.parse().unwrap()), ..Step::now() };
        desk.desk(|archive, actor| agreements::act(archive, ("FLEET", 2), action, &step, actor))
            .unwrap();
    }
}

fn a_month_in_which_the_version_changes_is_judged_by_both(place: &Place) {
    let (mut desk, line) = (Desk::open(place), line());
    let changes = "2026-11-30T03:07:30Z";
    let second =
        CONTRACT.replace("version = 1", "version = 2\nsupersedes = 1").replace("99.99", "99.95");
    supersede(&mut desk, &second, changes);
    // What the agent says is certain of another result, by the first version.
    let said = json!([{"contract": "FLEET", "version": 1, "service": "ckt-1", "objective": "avail", "period": "2026-11",
        "result": "met", "actual": "100", "target": "99.99", "coverage": "100"}]);
    let summaries = desk.agent.summaries(&line, &json!([]), &said);
    desk.store(&summaries);
    desk.fold();
    let judged = desk.judge(november());
    assert_eq!((judged.faults.as_slice(), judged.version), (&[] as &[String], 2));

    let book = desk.book();
    let versions: Vec<InForce> = book
        .all
        .iter()
        .map(|agreed| {
            let (from, to) = agreed.in_force.unwrap();
            let span =
                wanproof::sla::span::Span::new(from, to.unwrap_or(Wall::from_nanos(i64::MAX)));
            InForce { contract: agreed.contract.clone().unwrap(), span }
        })
        .collect();
    let observed = Observed { probes: [("hq".to_owned(), seen(line))].into(), sides: Vec::new() };
    let kept = facts::kept(&desk.archive, "FLEET", "ckt-1", Source::Customer).unwrap();
    let case = facts::case(&facts::text(&kept, "ckt-1", november(), judged.as_of, &[])).unwrap();
    let by_minutes =
        judge_by(&versions, "ckt-1", november(), Some(&observed), &case.facts).unwrap();
    assert_eq!(json!(judged.report), json!(by_minutes), "word by word");
    let targets: Vec<(Option<u64>, &str)> = judged
        .report
        .as_ref()
        .unwrap()
        .objectives
        .iter()
        .filter(|each| each.id == "avail")
        .map(|each| (each.version.map(u64::from), each.target.as_str()))
        .collect();
    assert_eq!(targets, [(Some(1), "99.99"), (None, "99.95")]);
    let differs: Vec<(&str, &str)> =
        judged.differs.iter().map(|each| (each.objective.as_str(), each.we_say.as_str())).collect();
    assert_eq!(
        differs,
        [("avail", "breached")],
        "the agent's verdict is held against ours by the same version"
    );
}

fn earlier_months_that_nobody_judged_are_judged_where_a_verdict_needs_them(place: &Place) {
    let mut desk = Desk::open(place);
    let capped = CONTRACT
        .replace("version = 1", "version = 2\nsupersedes = 1")
        .replace("99.99", "99.9999")
        .replace("[claim]", "[[cap]]\nper = \"year\"\nlimit = \"500.00\"\n\n[claim]");
    supersede(&mut desk, &capped, "2026-02-02T00:00:00Z");
    let summaries = desk.agent.summaries(&line(), &json!([]), &json!([]));
    desk.store(&summaries);
    desk.fold();
    let (book, fleet) = (desk.book(), Fleet::load(&desk.archive).unwrap());
    let evaluator = Evaluator { archive: &desk.archive, book: &book, fleet: &fleet };
    let judge = |month: &str| {
        evaluator.judge("FLEET", "ckt-1", month.parse().unwrap(), desk.now).unwrap().unwrap()
    };
    // No verdict is kept of November; December is judged all the same with what November paid.
    let (november, december) = (judge("2026-11"), judge("2026-12"));
    assert_eq!(november.report.unwrap().credit, "400.00");
    let december = json!(december.report);
    let steps: Vec<&str> = december["objectives"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|each| each["steps"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(december["credit"], "100.00", "{steps:#?}");
    assert!(steps.iter().any(|step| step.contains("less 400.00 INR paid before")), "{steps:#?}");
}

fn a_contract_goes_from_draft_to_its_end_and_agents_that_judge_otherwise_are_named(place: &Place) {
    let mut desk = Desk::open(place);
    let second =
        CONTRACT.replace("version = 1", "version = 2\nsupersedes = 1").replace("99.99", "99.95");
    let broken = CONTRACT.replace("99.99", "199");
    let refused =
        desk.desk(|archive, actor| agreements::import(archive, None, &broken, actor)).unwrap_err();
    assert!(matches!(refused, DeskError::Invalid(_)), "{refused}");
    let changed = CONTRACT.replace("99.99", "99.5");
    let refused =
        desk.desk(|archive, actor| agreements::import(archive, None, &changed, actor)).unwrap_err();
    assert!(refused.to_string().contains("a version does not change any more"), "{refused}");
    desk.desk(|archive, actor| agreements::import(archive, None, &second, actor)).unwrap();
    let act = |desk: &mut Desk, action: &str, at: &str| {
        let step = Step { at: Some(at.parse().unwrap()), ..Step::now() };
        desk.desk(|archive, actor| agreements::act(archive, ("FLEET", 2), action, &step, actor))
    };
    let skipped = act(&mut desk, "take_effect", "2026-11-01T00:00:00Z").unwrap_err();
    assert!(matches!(skipped, DeskError::Conflict(_)), "{skipped}");
    act(&mut desk, "propose", "2026-10-01T00:00:00Z").unwrap();
    act(&mut desk, "sign", "2026-10-02T00:00:00Z").unwrap();
    act(&mut desk, "take_effect", "2026-12-01T00:00:00Z").unwrap();
    let book = desk.book();
    let state = |version| book.version("FLEET", version).unwrap().view().state;
    assert_eq!((state(1), state(2)), ("superseded".to_owned(), "in_force".to_owned()));
    let judging = |at: &str| book.judging("FLEET", at.parse().unwrap()).unwrap().0.kept.version;
    assert_eq!((judging("2026-11-30T23:59:59Z"), judging("2026-12-01T00:00:00Z")), (1, 2));
    assert_eq!(
        book.of_site("pune-01").len(),
        2,
        "agents are handed each version that was agreed on"
    );

    let sha = |text: &str| Digest::of(text.as_bytes()).hex();
    let what = |reported: &[(String, u64, String)]| {
        let all = Served::at(&book, desk.now).differences("pune-01", reported);
        all.into_iter().map(|each| format!("{} {:?}", each.what, each.reported)).collect::<Vec<_>>()
    };
    assert_eq!(what(&[("FLEET".to_owned(), 2, sha(&second))]), Vec::<String>::new());
    assert_eq!(what(&[("FLEET".to_owned(), 1, sha(CONTRACT))]), ["outdated Some(1)"]);
    assert_eq!(what(&[("FLEET".to_owned(), 2, sha(CONTRACT))]), ["other-text Some(2)"]);
    assert_eq!(what(&[]), ["missing None"]);
    assert_eq!(
        what(&[("FLEET".to_owned(), 2, sha(&second)), ("X".to_owned(), 1, String::new())]),
        ["not-in-force Some(1)"]
    );
}

fn a_claim_goes_from_the_verdict_to_the_invoice(place: &Place) {
    let mut desk = Desk::open(place);
    let line: Vec<Interval> = line().into_iter().take(300).collect();
    let says = json!([{"contract": "FLEET", "version": 1, "service": "ckt-1", "objective": "avail", "period": "2026-11",
        "result": "met", "actual": "100", "target": "99.99", "coverage": "100.00"}]);
    let summaries = desk.agent.summaries(&line, &json!([]), &says);
    desk.store(&summaries);
    desk.fold();
    desk.now = "2026-11-30T04:00:00Z".parse().unwrap();
    let id = claims::id_of("FLEET", "ckt-1", "2026-11");
    let running = desk.judge(november());
    let claim = |desk: &Desk| claims::one(&desk.archive, &id, desk.now).unwrap();
    assert!(!running.ended);
    assert_eq!((claim(&desk).state.as_str(), claim(&desk).credit.as_str()), ("detected", "400.00"));
    desk.now = "2026-12-02T09:00:00Z".parse().unwrap();
    let ended = desk.judge(november());
    assert!(ended.ended);
    let claimable = claim(&desk);
    assert_eq!(
        (claimable.state.as_str(), claimable.by.as_deref(), claimable.days_left),
        ("claimable", Some("2026-12-30"), Some(28))
    );
    assert_eq!(ended.differs.len(), 1, "the agent says that it was met");
    assert_eq!(
        (ended.differs[0].agent_says.as_str(), ended.differs[0].we_say.as_str()),
        ("met", "breached")
    );
    // Two outages of more than a minute within thirty days.
    let rights = rights::all(&desk.archive, Page::default(), desk.now).unwrap();
    assert_eq!(
        (rights.len(), rights[0].state.as_str(), rights[0].accrued.as_str()),
        (1, "accrued", "2026-11-30")
    );
    let duties = duties::of([&ended], desk.now);
    assert!(!duties.is_empty() && duties.iter().all(|duty| duty.state == "overdue"), "{duties:?}");

    let book = desk.book();
    let ticket = Attach {
        kind: AttachmentKind::Ticket,
        text: "opened by telephone".to_owned(),
        ticket: Some("T-9".to_owned()),
        from: Some("2026-11-29T23:40:00Z".parse().unwrap()),
        to: Some("2026-11-29T23:45:00Z".parse().unwrap()),
        opened: Some("2026-11-29T23:50:00Z".parse().unwrap()),
        closed: None,
    };
    let lacking = Attach { opened: None, ..ticket.clone() };
    assert!(matches!(
        desk.desk(|archive, actor| attachments::attach(archive, &book, &id, &lacking, actor)),
        Err(DeskError::Invalid(_))
    ));
    desk.desk(|archive, actor| attachments::attach(archive, &book, &id, &ticket, actor)).unwrap();
    // A ticket about one outage takes away no duty, neither about it nor about another one.
    let shown = |judged: &Judgement, now| -> Vec<_> {
        duties::of([judged], now)
            .into_iter()
            .map(|duty| (duty.duty, duty.due, duty.state))
            .collect()
    };
    let (before, after) = (shown(&ended, desk.now), shown(&desk.judge(november()), desk.now));
    assert!(before.len() >= 2, "{before:?}");
    assert_eq!(after, before);
    let facts = facts::kept(&desk.archive, "FLEET", "ckt-1", Source::Customer).unwrap().facts;
    assert_eq!(facts["events"][0]["ticket"]["id"], "T-9");
    let act = |desk: &mut Desk, action: &str, amount: Option<&str>| {
        let step = Step { amount: amount.map(str::to_owned), ..Step::now() };
        desk.desk(|archive, actor| claims::act(archive, &id, action, &step, actor))
            .map(|claim| claim.state)
    };
    assert!(matches!(act(&mut desk, "reconcile", None), Err(DeskError::Conflict(_))));
    assert_eq!(act(&mut desk, "submit", None).unwrap(), "submitted");
    let answer = Attach {
        kind: AttachmentKind::Answer,
        text: "we grant a part".to_owned(),
        ticket: None,
        from: None,
        to: None,
        opened: None,
        closed: None,
    };
    desk.desk(|archive, actor| attachments::attach(archive, &book, &id, &answer, actor)).unwrap();
    assert!(
        matches!(act(&mut desk, "accept_partly", None), Err(DeskError::Invalid(_))),
        "how much?"
    );
    assert_eq!(act(&mut desk, "accept_partly", Some("350")).unwrap(), "partly_accepted");
    let invoice = |number: &str, credit: &str| Invoice {
        contract: "FLEET".to_owned(),
        number: number.to_owned(),
        currency: "INR".to_owned(),
        lines: vec![
            InvoiceLine {
                service: "ckt-1".to_owned(),
                period: "2026-11".to_owned(),
                credit: credit.to_owned(),
            },
            InvoiceLine {
                service: "ckt-1".to_owned(),
                period: "2026-10".to_owned(),
                credit: "5".to_owned(),
            },
        ],
    };
    let reconcile = |desk: &mut Desk, invoice: &Invoice| {
        desk.desk(|archive, actor| invoices::reconcile(archive, invoice, actor))
    };
    let short = reconcile(&mut desk, &invoice("1", "300.00")).unwrap();
    assert_eq!((short[0].what.as_str(), short[0].difference.as_str()), ("short", "50.00"));
    assert_eq!((short[1].what.as_str(), short[1].difference.as_str()), ("no-claim", "-5.00"));
    assert!(matches!(reconcile(&mut desk, &invoice("1", "350.00")), Err(DeskError::Conflict(_))));
    let whole = reconcile(&mut desk, &invoice("2", "350.00")).unwrap();
    assert_eq!((whole[0].what.as_str(), whole[0].state.as_deref()), ("as-due", Some("reconciled")));
    let log: Vec<String> = claim(&desk).log.into_iter().map(|entry| entry.action).collect();
    assert_eq!(log, ["become_claimable", "submit", "accept_partly", "credit", "reconcile"]);
    assert_eq!(claim(&desk).attachments.len(), 2);

    // A right that nobody exercises lapses with its day.
    desk.now = "2027-01-15T09:00:00Z".parse().unwrap();
    let now = desk.now;
    desk.archive.write(|archive| lapses::lapse(archive, now)).unwrap();
    assert_eq!(rights::all(&desk.archive, Page::default(), now).unwrap()[0].state, "lapsed");
}

fn the_providers_log_stands_beside_what_was_measured(place: &Place) {
    let mut desk = Desk::open(place);
    let line: Vec<Interval> = line().into_iter().take(300).collect();
    let summaries = desk.agent.summaries(&line, &json!([]), &json!([]));
    desk.store(&summaries);
    desk.fold();
    let theirs = json!({"events": [
        {"from": "2026-11-29T23:41:00Z", "to": "2026-11-29T23:44:00Z"}, {"from": "2026-11-30T11:00:00Z", "to": "2026-11-30T11:30:00Z"}
    ]});
    let book = desk.book();
    let import = |desk: &mut Desk, service: &str, facts: &Value| {
        let facts = facts.as_object().unwrap().clone();
        desk.desk(|archive, actor| {
            facts::import(archive, &book, ("FLEET", service, Source::Provider), facts, actor)
        })
    };
    assert!(matches!(import(&mut desk, "ckt-9", &theirs), Err(DeskError::NotFound(_))));
    assert!(matches!(
        import(&mut desk, "ckt-1", &json!({"events": [{"to": 5}]})),
        Err(DeskError::Invalid(_))
    ));
    import(&mut desk, "ckt-1", &theirs).unwrap();
    let judged = desk.judge(november());
    let by_provider = json!(judged.by_provider.unwrap());
    assert_eq!(by_provider["objectives"][0]["downtime_s"], "1980");
    let beside =
        wanproof::collector::api::beside(&desk.archive, "2026-11", "FLEET", "ckt-1").unwrap();
    let beside = json!(beside);
    let outages = beside["outages"].as_array().unwrap();
    assert_eq!((&beside["theirs_s"], &beside["binding"]), (&json!(1980), &json!("customer")));
    assert_eq!(
        (outages.len(), &outages[0]["begins_later_s"], &outages[0]["ends_later_s"]),
        (4, &json!(59), &json!(-60))
    );
    assert_eq!(
        (&outages[3]["ours"], &outages[3]["theirs"]["from"]),
        (&json!(null), &json!("2026-11-30T11:00:00Z"))
    );
}

fn records_are_read_page_by_page_and_leases_are_held_by_one(place: &Place) {
    let mut archive = Archive::open(&place.database).unwrap();
    let now = start();
    archive
        .write(|archive| {
            for id in ["a/1", "a/2", "a/3", "b/1", "a%2F/1"] {
                archive.put_record(Kind::Claim, id, &json!(id), now)?;
            }
            archive.append(Kind::Claim, "a/1", &json!(1), now)?;
            archive.append(Kind::Claim, "a/1", &json!(2), now)
        })
        .unwrap();
    let page = |prefix, after, limit| {
        let all = archive.records::<Value>(Kind::Claim, Page { prefix, after, limit }).unwrap();
        all.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(page("", None, Some(2)), ["a%2F/1", "a/1"]);
    assert_eq!(page("", Some("a/1"), Some(2)), ["a/2", "a/3"]);
    assert_eq!(page("a/", None, None), ["a/1", "a/2", "a/3"]);
    assert_eq!(archive.log::<Value>(Kind::Claim, "a/1").unwrap(), [json!(1), json!(2)]);
    let later = |seconds| now + Duration::from_secs(seconds);
    let mut lease = |who: &str, at: Wall| {
        archive
            .write(|archive| archive.lease("rounds", who, at + Duration::from_secs(60), at))
            .unwrap()
    };
    assert!(lease("one", later(0)) && !lease("two", later(30)) && lease("one", later(50)));
    assert!(!lease("two", later(100)) && lease("two", later(111)) && !lease("one", later(112)));
}
