//! What an agent may speak for, and when: its site by the register, the services of that site's
//! contracts, one witness that binds; moved devices, and revoked ones whose word is left out. On
//! SQLite and on PostgreSQL.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../kit/mod.rs"]
mod kit;
mod world;

use std::time::Duration;

use serde_json::{Value, json};
use wanproof::collector::archive::ledger::{Kind, Page};
use wanproof::collector::operations::agreements::Book;
use wanproof::collector::operations::rulings;
use wanproof::collector::operations::sites::{self, AgentChange, Revocation};
use wanproof::collector::verdicts::{Judgement, id_of};
use wanproof::config::collector::Database;
use wanproof::evidence::key::SecretKey;
use wanproof::sla::lifecycle::Entry;
use wanproof::sla::reader::Word as _;
use world::{Agent, Place, Says, World, actor, at, contract, member, verified};

/// Each of these runs on both.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[test] fn $name() { if let Some(place) = super::Place::sqlite() { super::$name(&place) } })* }
        mod on_postgres { $(#[test] fn $name() { if let Some(place) = super::Place::postgres() { super::$name(&place) } })* }
    };
}

on_both! {
    an_agent_of_another_site_changes_no_byte_of_a_verdict_a_claim_or_a_bundle
    a_probe_that_names_a_service_of_another_site_counts_for_nothing
    a_device_that_is_moved_now_leaves_the_past_as_it_was
    a_device_that_was_moved_counts_for_each_site_while_it_was_there
    one_that_does_not_bind_keeps_nobody_from_a_bundle
    of_two_witnesses_the_one_that_was_there_first_binds_in_whatever_order_anything_comes
    the_contract_may_name_the_witness_that_binds
    what_the_binding_witness_did_not_see_another_may_have_seen
    what_a_revoked_agent_said_from_an_instant_on_is_left_out_and_all_is_judged_anew
    a_frozen_verdict_stays_and_is_told_of
}

fn result<'a>(judged: &'a Judgement, objective: &str) -> &'a str {
    let all = &judged.report.as_ref().unwrap().objectives;
    all.iter().find(|each| each.id == objective).unwrap().result.word()
}

fn downtime(judged: &Judgement) -> &str {
    judged.report.as_ref().unwrap().objectives[0].downtime_s.as_deref().unwrap()
}

/// A bundle is ok, and concludes what the collector does.
fn agrees(world: &World, service: &str, agents: &[&Agent]) {
    let (bundle, judged) = (world.bundle(service), world.judge(service));
    let said = verified(&bundle, agents);
    assert!(said.ok, "{:#?}", said.findings);
    let verdict = member(&bundle, "verdict.json");
    let results = |report: &Value| -> Vec<Value> {
        let all = report["objectives"].as_array().unwrap().iter();
        all.map(|each| {
            json!([each["id"], each["result"], each["actual"], each["downtime_s"], each["credit"]])
        })
        .collect()
    };
    let judged = json!(judged.report);
    assert_eq!(results(&verdict), results(&judged));
    assert_eq!(verdict["credit"], judged["credit"]);
}

fn an_agent_of_another_site_changes_no_byte_of_a_verdict_a_claim_or_a_bundle(place: &Place) {
    let mut world = World::open(place, &contract());
    let (mut own, mut other) = (Agent::new(7), Agent::new(1));
    world.enrol(&own, "leeds", world.start);
    world.enrol(&other, "york", world.start);
    world.ship(&mut own, at("leeds"), 0..60, "60a");
    world.ship(&mut own, at("leeds"), 60..65, "60l");
    world.ship(&mut own, at("leeds"), 65..120, "60a");
    world.settle();
    let kept = |world: &World| {
        let id = id_of(world.month, "FLEET", "ckt-1");
        let verdict: Value = world.archive.record(Kind::Verdict, &id).unwrap().unwrap();
        serde_json::to_string(&(verdict, world.claims())).unwrap()
    };
    let before = (world.judge("ckt-1"), kept(&world), world.bundle("ckt-1"));
    assert_eq!(result(&before.0, "avail"), "breached");
    assert_eq!(downtime(&before.0), "300");

    let lies = Says { site: "leeds", service: Some("ckt-1"), outage: Some("ckt-1") };
    world.ship(&mut other, lies, 0..300, "60l");
    world.settle();
    assert_eq!(world.judge("ckt-1"), before.0, "it is judged anew as it was");
    assert_eq!(kept(&world), before.1);
    assert_eq!(world.bundle("ckt-1"), before.2);
    agrees(&world, "ckt-1", &[&own]);

    let found = world.found("foreign-site");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].detail.contains(&other.kid().to_string()), "{found:?}");
    assert_eq!(
        (found[0].site.as_deref(), found[0].subject.ends_with("/leeds")),
        (Some("york"), true)
    );
    let services = world.found("foreign-service");
    assert!(
        services.len() == 1 && services[0].subject == format!("{}/ckt-1", other.kid()),
        "{services:?}"
    );
    // Whatever it says counts for its own site no more than for another.
    assert_eq!(world.judge("ckt-2").agents, Vec::new());
}

fn a_probe_that_names_a_service_of_another_site_counts_for_nothing(place: &Place) {
    let mut world = World::open(place, &contract());
    let (mut own, mut other) = (Agent::new(7), Agent::new(1));
    world.enrol(&other, "york", world.start);
    world.enrol(&own, "leeds", world.start);
    world.ship(&mut own, at("leeds"), 0..120, "60a");
    world.settle();
    let before = (world.judge("ckt-1"), world.bundle("ckt-1"));
    // It says truly where it is.
    world.ship(
        &mut other,
        Says { site: "york", service: Some("ckt-1"), outage: Some("ckt-1") },
        0..120,
        "60l",
    );
    world.settle();
    assert_eq!((world.judge("ckt-1"), world.bundle("ckt-1")), before);
    assert_eq!(world.found("foreign-site"), []);
    let found = world.found("foreign-service");
    assert!(found.len() == 1 && found[0].detail.contains(&other.kid().to_string()), "{found:?}");
    // By its name the contract of its own site means the probe.
    assert_eq!(result(&world.judge("ckt-2"), "avail"), "breached");
}

fn without_register(mut judged: Judgement) -> Judgement {
    judged.grounds.register = None;
    judged
}

fn a_device_that_is_moved_now_leaves_the_past_as_it_was(place: &Place) {
    let mut world = World::open(place, &contract());
    let mut agent = Agent::new(7);
    world.enrol(&agent, "leeds", world.now);
    world.ship(&mut agent, at("leeds"), 0..60, "60a");
    world.ship(&mut agent, at("leeds"), 60..120, "60l");
    world.settle();
    let before = (world.judge("ckt-1"), world.claims(), world.bundle("ckt-1"));
    let (kid, actor) = (agent.kid(), actor(world.now));
    let change = AgentChange { site: Some("york".to_owned()), ..AgentChange::default() };
    world.desk(|archive| sites::change(archive, kid, &change, &actor));
    world.settle();
    // That it was moved stands in the register which the verdict is kept with; nothing else of it
    // is another.
    let register = |judged: &Judgement| judged.grounds.register.clone();
    let (now, past) = (world.judge("ckt-1"), before.0);
    assert_ne!(register(&now), register(&past));
    assert_eq!(without_register(now), without_register(past));
    assert_eq!(world.claims(), before.1);
    assert_eq!(world.judge("ckt-2").agents, Vec::new(), "nothing of the past is the new site's");
    let register = world.archive.register().unwrap();
    assert_eq!(
        register.get(kid).unwrap().sites().into_iter().collect::<Vec<_>>(),
        ["leeds", "york"]
    );
    assert!(verified(&world.bundle("ckt-1"), &[&agent]).ok);
    assert_eq!(
        world.archive.key(kid).unwrap().unwrap().site,
        "york",
        "by which contracts are handed out"
    );
    let refused = AgentChange {
        site: Some("hull".to_owned()),
        from: Some(world.now + Duration::from_secs(1)),
        labels: None,
    };
    assert!(world.archive.write(|archive| sites::change(archive, kid, &refused, &actor)).is_err());
}

fn a_device_that_was_moved_counts_for_each_site_while_it_was_there(place: &Place) {
    let mut world = World::open(place, &contract());
    let mut agent = Agent::new(7);
    world.enrol(&agent, "leeds", world.start);
    world.ship(&mut agent, at("leeds"), 0..100, "60a");
    // It came to York at minute 92, and nobody said so; its configuration follows at minute 100.
    world.ship(&mut agent, at("york"), 100..160, "60l");
    world.settle();
    assert_eq!(result(&world.judge("ckt-1"), "avail"), "met");
    assert_eq!(world.judge("ckt-2").agents, Vec::new());
    assert_eq!(world.found("foreign-site").len(), 1);

    let (kid, actor, from) = (agent.kid(), actor(world.now), world.minute(92));
    let change = AgentChange { site: Some("york".to_owned()), from: Some(from), labels: None };
    world.desk(|archive| sites::change(archive, kid, &change, &actor));
    world.settle();
    let (leeds, york) = (world.judge("ckt-1"), world.judge("ckt-2"));
    assert_eq!((result(&leeds, "avail"), downtime(&york)), ("met", "3600"));
    let minutes =
        |judged: &Judgement| judged.report.as_ref().unwrap().objectives[0].coverage.clone();
    let kept: Judgement = world
        .archive
        .record(Kind::Verdict, &id_of(world.month, "FLEET", "ckt-2"))
        .unwrap()
        .unwrap();
    assert_eq!(minutes(&kept), minutes(&york), "it was judged anew by itself");
    let rtts = |judged: &Judgement| {
        let packed =
            wanproof::measure::histogram::Packed::from_base64(judged.histograms.get("hq")?)
                .unwrap();
        Some(packed.unpack().unwrap().count())
    };
    assert_eq!(
        rtts(&leeds),
        Some(92 * 60),
        "what it said of Leeds while it was at York counts for neither"
    );
    assert_eq!(world.found("foreign-site"), [], "whoever says since when, has said what was wrong");
    agrees(&world, "ckt-1", &[&agent]);
    agrees(&world, "ckt-2", &[&agent]);
}

/// Two agents at one site with one probe: the first sees all, the second loses all for a while.
fn two(world: &mut World, seeds: (u8, u8), second_first: bool) -> (Agent, Agent) {
    let (mut first, mut second) = (Agent::new(seeds.0), Agent::new(seeds.1));
    world.enrol(&first, "leeds", world.start);
    world.enrol(&second, "leeds", world.start + Duration::from_secs(1));
    if second_first {
        world.ship(&mut second, at("leeds"), 0..120, "60l");
        world.settle();
    }
    world.ship(&mut first, at("leeds"), 0..120, "60a");
    if !second_first {
        world.ship(&mut second, at("leeds"), 0..120, "60l");
    }
    world.settle();
    (first, second)
}

fn of_two_witnesses_the_one_that_was_there_first_binds_in_whatever_order_anything_comes(
    place: &Place,
) {
    let mut world = World::open(place, &contract());
    let (first, second) = two(&mut world, (7, 1), true);
    let judged = world.judge("ckt-1");
    assert_eq!(
        (result(&judged, "avail"), judged.agents.as_slice()),
        ("met", [first.kid(), second.kid()].as_slice())
    );
    let found = world.found("witness-differs");
    assert!(
        found.iter().any(|each| each.subject.ends_with(&format!("/avail/{}", second.kid()))),
        "{found:?}"
    );
    assert!(found.iter().all(|each| each.detail.contains(&first.kid().to_string())), "{found:?}");
    agrees(&world, "ckt-1", &[&first, &second]);
    // With the keys changed, and the other order of arrival.
    let Some(other) = (match &place.database {
        Database::Sqlite(_) => Place::sqlite(),
        Database::Postgres(_) => Place::postgres(),
    }) else {
        return;
    };
    let mut world = World::open(&other, &contract());
    two(&mut world, (1, 7), false);
    let again = world.judge("ckt-1");
    assert_eq!(again.report.unwrap().objectives, judged.report.unwrap().objectives);
    assert_eq!(again.histograms, judged.histograms);
}

fn one_that_does_not_bind_keeps_nobody_from_a_bundle(place: &Place) {
    let mut world = World::open(place, &contract());
    let (mut first, mut second) = (Agent::new(7), Agent::new(1));
    world.enrol(&first, "leeds", world.start);
    world.enrol(&second, "leeds", world.start + Duration::from_secs(1));
    world.ship(&mut first, at("leeds"), 0..60, "60a");
    world.ship(&mut first, at("leeds"), 60..120, "60l");
    world.settle();
    let before = (world.judge("ckt-1").report, world.claims());
    // Another ships two numbers of its chain, and none of those between.
    world.ship(&mut second, at("leeds"), 0..5, "60a");
    second.leave_out(4);
    world.ship(&mut second, at("leeds"), 25..30, "60a");
    world.settle();
    assert_eq!((world.judge("ckt-1").report, world.claims()), before);
    let ruling =
        rulings::present(&world.archive, &world.month.to_string(), "FLEET", "ckt-1").unwrap();
    let collector = *SecretKey::from_seed(&[99; 32]).public();
    let book = Book::load(&world.archive, None).unwrap();
    let bundle = rulings::bundle(&world.archive, &book, &ruling, &[collector]).unwrap();
    let verdict = verified(&bundle, &[&first]);
    assert!(verdict.ok, "{:#?}", verdict.findings);
}

fn the_contract_may_name_the_witness_that_binds(place: &Place) {
    let named = contract().replace(
        "site = \"leeds\"",
        &format!("site = \"leeds\"\nwitness = \"{}\"", Agent::new(1).kid()),
    );
    let mut world = World::open(place, &named);
    let (first, second) = two(&mut world, (7, 1), false);
    let judged = world.judge("ckt-1");
    assert_eq!(
        (result(&judged, "avail"), judged.agents.first()),
        ("breached", Some(&second.kid()))
    );
    assert!(
        world
            .found("witness-differs")
            .iter()
            .any(|each| each.subject.contains(&first.kid().to_string()))
    );
    agrees(&world, "ckt-1", &[&first, &second]);
    let wrong = contract().replace("site = \"leeds\"", "site = \"leeds\"\nwitness = \"nobody\"");
    let refused = wanproof::sla::contract::parse(&wrong, "c.toml").unwrap_err();
    assert!(
        refused.iter().any(|fault| fault.to_string().contains("no agent's identifier")),
        "{refused:?}"
    );
}

fn what_the_binding_witness_did_not_see_another_may_have_seen(place: &Place) {
    let mut world = World::open(place, &contract());
    let (mut first, mut second) = (Agent::new(7), Agent::new(1));
    world.enrol(&first, "leeds", world.start);
    world.enrol(&second, "leeds", world.start + Duration::from_secs(1));
    // A device that was replaced: the first one ends at minute 62, the second began at minute 30.
    world.ship(&mut first, at("leeds"), 0..62, "60a");
    world.ship(&mut second, at("leeds"), 30..60, "60l");
    world.ship(&mut second, at("leeds"), 60..70, "60l");
    world.ship(&mut second, at("leeds"), 70..120, "60a");
    world.settle();
    let judged = world.judge("ckt-1");
    assert_eq!(
        downtime(&judged),
        "480",
        "from minute 62 to minute 70, which the first did not see"
    );
    agrees(&world, "ckt-1", &[&first, &second]);
}

fn what_a_revoked_agent_said_from_an_instant_on_is_left_out_and_all_is_judged_anew(place: &Place) {
    let mut world = World::open(place, &contract());
    let mut agent = Agent::new(7);
    world.enrol(&agent, "leeds", world.start);
    let stolen = world.minute(90);
    world.ship_at(&mut agent, at("leeds"), 0..60, "60a", world.minute(60));
    world.settle();
    let honest = world.judge("ckt-1").report.unwrap().objectives;
    // The thief goes on, and dates some of it back.
    let lies = at("leeds");
    world.ship_at(&mut agent, lies, 60..80, "60l", world.minute(95));
    world.ship_at(&mut agent, lies, 100..120, "60l", world.minute(120));
    world.settle();
    assert_eq!(result(&world.judge("ckt-1"), "avail"), "breached");
    assert_eq!(world.claims().as_array().unwrap().len(), 1);

    let (kid, actor) = (agent.kid(), actor(world.now));
    world.desk(|archive| sites::revoke(archive, kid, &Revocation { since: Some(stolen) }, &actor));
    world.settle();
    let judged = world.judge("ckt-1");
    assert_eq!(
        (result(&judged, "avail"), &judged.report.as_ref().unwrap().objectives),
        ("met", &honest)
    );
    let kept: Judgement = world
        .archive
        .record(Kind::Verdict, &id_of(world.month, "FLEET", "ckt-1"))
        .unwrap()
        .unwrap();
    assert_eq!(kept.report.unwrap().objectives, honest, "the verdict that is kept was judged anew");
    assert_eq!(world.archive.records::<Value>(Kind::Amendment, Page::default()).unwrap(), []);
    agrees(&world, "ckt-1", &[&agent]);
    // The instant was a wrong one: the thief came later.
    world.desk(|archive| {
        sites::revoke(archive, kid, &Revocation { since: Some(world_minute(&judged, 100)) }, &actor)
    });
    world.settle();
    assert_eq!(downtime(&world.judge("ckt-1")), "1200", "what came back counts again");
    let ahead = Revocation { since: Some(world.now + Duration::from_secs(60)) };
    assert!(world.archive.write(|archive| sites::revoke(archive, kid, &ahead, &actor)).is_err());
}

/// A minute of the month that was judged.
fn world_minute(judged: &Judgement, number: u64) -> wanproof::base::time::Wall {
    let start: wanproof::base::time::Wall =
        format!("{}-10T00:00:00Z", judged.period).parse().unwrap();
    start + Duration::from_secs(60 * number)
}

fn a_frozen_verdict_stays_and_is_told_of(place: &Place) {
    let mut world = World::open(place, &contract());
    let mut agent = Agent::new(7);
    world.enrol(&agent, "leeds", world.start);
    world.ship(&mut agent, at("leeds"), 0..60, "60a");
    world.ship(&mut agent, at("leeds"), 60..90, "60l");
    world.settle();
    let id = id_of(world.month, "FLEET", "ckt-1");
    let kept = |world: &World| world.archive.record::<Value>(Kind::Verdict, &id).unwrap().unwrap();
    let before = kept(&world);
    // Not before it was judged.
    let now = wanproof::base::time::Clock::now(&wanproof::base::time::SystemClock).wall;
    world.desk(|archive| {
        let entry = Entry {
            action: "freeze".to_owned(),
            at: now,
            recorded: now,
            who: "noc".to_owned(),
            evidence: None,
            said: None,
        };
        Ok(archive.append(Kind::Period, &id, &entry, now)?)
    });
    let (kid, actor, since) = (agent.kid(), actor(now), world.minute(60));
    world.desk(|archive| sites::revoke(archive, kid, &Revocation { since: Some(since) }, &actor));
    world.settle();
    assert_eq!(kept(&world), before);
    let found = world.found("frozen-verdict");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].detail.contains(&kid.to_string())
            && found[0].detail.contains("judged anew it would say"),
        "{found:?}"
    );
}
