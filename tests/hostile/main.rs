//! One agent among ten whose key signs what no honest program writes: whatever it says, the nine
//! others are judged, claimed for and told of as if it were not there. And databases in which such
//! an agent, or a clock that was wrong, left something behind.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../kit/mod.rs"]
mod kit;
mod property;
mod world;

use kit::postgres;
use std::time::Duration;

use serde_json::json;
use wanproof::base::time::{Clock as _, Wall};
use wanproof::collector::agent_state::gather;
use wanproof::collector::archive::Archive;
use wanproof::collector::archive::accept::Accepted;
use wanproof::collector::archive::audit::Via;
use wanproof::collector::archive::ledger::{Kind, Page};
use wanproof::collector::findings::finding::{Finding, FindingKind};
use wanproof::collector::operations::agreements::Step;
use wanproof::collector::operations::sites::{self, Revocation};
use wanproof::collector::operations::{Actor, claims, rights};
use wanproof::collector::scheduler::did::Did;
use wanproof::evidence::chain::{ChainId, LAST_SEQ};
use wanproof::evidence::late::{self, Front};
use wanproof::sla::span::Span;
use world::{HOSTILE, Place, World, at, start};

/// Each of these runs on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite { $(#[tokio::test] async fn $name() { if let Some(place) = super::Place::sqlite() { super::$name(place).await } })* }
        mod on_postgres { $(#[tokio::test] async fn $name() { if let Some(place) = super::Place::postgres() { super::$name(place).await } })* }
    };
}

on_both! {
    a_gap_of_all_numbers_there_are_costs_as_much_as_one_of_one
    what_comes_late_into_a_gap_is_folded_once
    a_summary_that_cannot_be_worked_with_is_left_out_and_named_and_the_next_one_counts
    a_poisoned_database_heals_at_the_next_start
    a_lease_of_a_clock_that_was_ahead_holds_nobody_up_for_longer_than_a_lease
    an_agent_whose_clock_was_ahead_is_believed_again_once_it_is_right
    a_collector_whose_clock_is_behind_makes_no_rounds_says_so_and_leaves_nothing_out
    a_clock_that_most_agents_agree_with_is_not_behind_whatever_one_of_them_says
    what_a_clock_that_was_behind_left_out_is_taken_back_and_folded_once
    what_a_clock_that_was_ahead_let_lapse_comes_back_and_lapses_on_its_day
    an_agent_with_a_backlog_keeps_no_alert_and_no_revocation_waiting
    what_takes_too_long_to_judge_is_found_and_tried_again_an_hour_later
    an_agent_with_more_chains_than_are_looked_at_at_once_keeps_nobody_waiting
    summaries_are_folded_so_many_bytes_at_once
    a_day_of_which_too_many_carrier_changes_are_told_is_left_out_and_named
}

async fn a_gap_of_all_numbers_there_are_costs_as_much_as_one_of_one(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let (first, last) = (agent.minute(0, 0, "60l"), agent.minute(LAST_SEQ, 1, "60l"));
    world.store(&[first, last]);
    world.store_honest();
    world.settle().await;
    assert_eq!(world.judged().len(), 10, "every service has its verdict");
    let found = world.findings().await;
    let gaps: Vec<&str> = found
        .iter()
        .filter(|found| found.kind == FindingKind::Gap)
        .map(|found| found.detail.as_str())
        .collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].contains(&format!("numbers 1 to {}", LAST_SEQ - 1)), "{gaps:?}");
}

async fn what_comes_late_into_a_gap_is_folded_once(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let all: Vec<_> = (0..200).map(|seq| agent.minute(seq, seq, "60l")).collect();
    world.expect(&all);
    world.store(&all[..1]);
    world.store(&all[150..]);
    world.settle().await;
    let mut left: Vec<_> = all[1..150].to_vec();
    // Late ones come in two parts, the later first, one of them before the round that folds the
    // other.
    world.store(&left.split_off(70));
    world.round().await;
    world.store(&left);
    let archive = world.archive();
    assert!(!archive.is_folded(agent.kid()).unwrap(), "whoever folds a day anew waits for it");
    world.settle().await;
    assert!(archive.is_folded(agent.kid()).unwrap());
    let folded = archive
        .folded_days(
            agent.kid(),
            "hq",
            (0, 100_000),
            wanproof::collector::archive::folds::Depth::Hours,
        )
        .unwrap();
    let pieces =
        wanproof::collector::compaction::decode(folded[0].hours.as_deref().unwrap()).unwrap();
    let minutes: u32 = pieces.iter().map(|piece| piece.interval.millis / 60_000).sum();
    assert_eq!((folded.len(), minutes), (1, 200));
    let first = pieces[0].interval.from;
    let whole = Span::new(first, pieces.last().unwrap().interval.to());
    assert_eq!(whole.nanos(), 200 * 60_000_000_000, "they follow on each other");
}

async fn a_summary_that_cannot_be_worked_with_is_left_out_and_named_and_the_next_one_counts(
    place: Place,
) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let mut bad = Vec::new();
    for (seq, text) in [(1, "h\0q"), (2, "\u{1b}[2J"), (3, "\u{202e}qh")] {
        bad.push(agent.signed(seq, seq, |payload| payload["probes"][0]["name"] = json!(text)));
    }
    bad.push(agent.signed(4, 4, |payload| payload["site"] = json!("")));
    bad.push(agent.at(5, at("2261-12-31T23:00:00Z")));
    bad.push(agent.at(6, at("1970-01-01T00:00:00Z")));
    // Not even a summary: what another program wrote, or a disk lost.
    bad.push(agent.raw(7, &json!({"v": 1})));
    world.store(&[agent.minute(0, 0, "60l")]);
    world.store(&bad);
    world.store(&[agent.minute(8, 8, "60l")]);
    world.store_honest();
    world.settle().await;
    assert_eq!(world.judged().len(), 10);
    let found = world.findings().await;
    let left_out: Vec<_> =
        found.iter().filter(|found| found.kind == FindingKind::Quarantined).collect();
    assert_eq!(left_out.len(), 1, "{found:?}");
    assert_eq!(
        (left_out[0].subject.as_str(), left_out[0].site.as_deref()),
        (agent.kid().to_string().as_str(), Some("site-9"))
    );
    assert!(left_out[0].detail.starts_with("7 summaries are left out"), "{}", left_out[0].detail);
    let archive = world.archive();
    let days = archive
        .folded_days(
            agent.kid(),
            "hq",
            (0, 100_000),
            wanproof::collector::archive::folds::Depth::Hours,
        )
        .unwrap();
    let pieces =
        wanproof::collector::compaction::decode(days[0].hours.as_deref().unwrap()).unwrap();
    assert_eq!(
        pieces.iter().map(|piece| piece.interval.millis).sum::<u32>(),
        120_000,
        "the first and the last count"
    );
    // They stay, and are receipted.
    let mut stored = 0;
    archive
        .each_summary(|each| {
            stored += u64::from(each.subject.agent == agent.kid() && !each.receipt.is_empty());
            Ok::<_, wanproof::collector::archive::ArchiveError>(())
        })
        .unwrap();
    assert_eq!(stored, 9);
}

async fn a_poisoned_database_heals_at_the_next_start(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    world.store(&[
        agent.minute(0, 0, "60l"),
        agent.at(1, at("2261-12-31T23:00:00Z")),
        agent.minute(LAST_SEQ, 1, "60l"),
    ]);
    world.store_honest();
    // As an earlier version of this program left it: gaps as a list, a state of the year 2261,
    // months that never were, a lease of a clock that was ahead, records that nobody can read.
    let (kid, now) = (agent.kid().to_string(), world.clock.now().wall);
    world.write(|archive| {
        let said = json!({"site": "a\u{0}b", "software": "x", "heard": "2261-12-31T23:01:00Z", "clock": "synchronised",
            "contracts": [], "probes": {"h\u{0}q": null, "hq": null}, "verdicts": []});
        archive.put_record(Kind::Agent, &kid, &said, now)?;
        archive.put_record(Kind::Agent, "not-an-agent", &json!(["?"]), now)?;
        for period in ["2261-12", "2199-12", "never", "2026-12"] {
            let case = json!({"contract": "TEN", "service": "ckt-9", "period": period, "marked": now});
            archive.put_record(Kind::Dirty, &format!("TEN/ckt-9/{period}"), &case, now)?;
        }
        archive.put_record(Kind::Dirty, "TEN/ckt-0", &json!({"what": "is this?"}), now)?;
        archive.put_record(Kind::Verdict, "2026-11/TEN/ckt-9", &json!("no verdict"), now)?;
        let chain = agent.chain;
        let was = archive.unfolded(100)?.into_iter().find(|each| each.chain == chain).unwrap();
        archive.set_folded(&was, 3, &format!("1-1,2-{}", LAST_SEQ - 1), &Front::new_chain()).map(drop)
    });
    world.restart();
    world.settle().await;
    assert_eq!(world.judged().len(), 10, "nine others, and its own");
    let archive = world.archive();
    let marked = archive.records::<serde_json::Value>(Kind::Dirty, Page::default()).unwrap();
    assert!(marked.is_empty(), "{marked:?}");
    let said: serde_json::Value = archive.record(Kind::Agent, &kid).unwrap().unwrap();
    assert_eq!((&said["site"], &said["probes"]), (&json!("site-9"), &json!({"hq": null})));
    assert!(said["heard"].as_str().unwrap().starts_with("2026-"), "{said}");
    let found = world.findings().await;
    assert!(
        found.iter().any(|found| found.kind == FindingKind::Quarantined && found.subject == kid),
        "{found:?}"
    );
}

async fn a_lease_of_a_clock_that_was_ahead_holds_nobody_up_for_longer_than_a_lease(place: Place) {
    let mut world = World::open(place).await;
    world.store_honest();
    let far = at("2100-01-01T00:00:00Z");
    world.write(|archive| archive.lease("rounds", "another", far, far).map(drop));
    assert_eq!(world.round().await.folded, 0);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.round().await.folded, 0);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.round().await.folded > 0, "it was not renewed for a minute");
    let found = world.findings().await;
    let ahead: Vec<_> =
        found.iter().filter(|found| found.kind == FindingKind::ClockAhead).collect();
    assert_eq!(ahead.len(), 1, "{found:?}");
    assert!(ahead[0].detail.contains("the collector's clock"), "{}", ahead[0].detail);
}

async fn an_agent_whose_clock_was_ahead_is_believed_again_once_it_is_right(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let ahead = world.clock.now().wall + Duration::from_secs(20 * 3600);
    world.store(&[agent.minute(0, 0, "60l"), agent.at(1, ahead.floor(Duration::from_secs(3600)))]);
    world.settle().await;
    let is_ahead = |found: &[Finding]| {
        found.iter().any(|found| {
            found.kind == FindingKind::ClockAhead && found.subject == agent.kid().to_string()
        })
    };
    assert!(is_ahead(&world.findings().await));
    let right = agent.signed(2, 3, |payload| payload["software"] = json!("wanproof 0.2.0"));
    world.store(&[right]);
    world.settle().await;
    let said: serde_json::Value =
        world.archive().record(Kind::Agent, &agent.kid().to_string()).unwrap().unwrap();
    assert_eq!(said["software"], json!("wanproof 0.2.0"), "its state is not frozen until then");
    assert!(!is_ahead(&world.findings().await));
    // A late one of before says nothing of how it is now.
    let other = ChainId::from_bytes([77; 16]);
    world.store(&[agent.in_chain(other).minute(0, 1, "60l")]);
    world.settle().await;
    let said: serde_json::Value =
        world.archive().record(Kind::Agent, &agent.kid().to_string()).unwrap().unwrap();
    assert_eq!(said["software"], json!("wanproof 0.2.0"));
}

/// What the findings are called, with what they are about.
async fn found(world: &World, kind: &str) -> Vec<String> {
    let all = world.findings().await;
    all.into_iter().filter(|found| found.kind.word() == kind).map(|found| found.subject).collect()
}

async fn a_collector_whose_clock_is_behind_makes_no_rounds_says_so_and_leaves_nothing_out(
    place: Place,
) {
    let mut world = World::open(place).await;
    world.store_honest();
    world.settle().await;
    let (folds, claims) = (world.folds(&world.agent(0)), world.claims());
    assert!(claims.len() == 9 && found(&world, "clock-behind").await.is_empty());
    let back = Duration::from_secs(10 * 86_400);
    world.clock.set_back(back);
    world.take_over().await;
    for _ in 0..3 {
        assert_eq!(world.round().await, Did::default());
        world.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(found(&world, "clock-behind").await, ["collector"]);
    let told = world
        .archive()
        .records::<serde_json::Value>(Kind::Alert, Page::of("clock-behind/"))
        .unwrap();
    assert_eq!(told.len(), 1, "who listens is told");
    assert_eq!(
        world.archive().leased("rounds").unwrap(),
        None,
        "a replica whose clock is right goes on"
    );
    // A program that goes on is as careful as one that begins.
    world.clock.advance(back);
    world.settle().await;
    world.clock.set_back(back);
    assert_eq!(world.round().await, Did::default());
    world.clock.advance(back);
    world.settle().await;
    assert_eq!(found(&world, "quarantined").await, [""; 0]);
    assert_eq!(found(&world, "clock-behind").await, [""; 0]);
    assert_eq!((world.folds(&world.agent(0)), world.claims()), (folds, claims));
}

async fn a_clock_that_most_agents_agree_with_is_not_behind_whatever_one_of_them_says(place: Place) {
    let mut world = World::open(place).await;
    // For a while the collector's clock is a month ahead, and one agent says so too.
    let month = Duration::from_secs(30 * 86_400);
    world.clock.advance(month);
    let (agent, now) = (world.agent(HOSTILE), world.clock.now().wall);
    world.store(&[agent.at(0, now)]);
    world.clock.set_back(month);
    assert_eq!(world.round().await, Did::default());
    assert_eq!(found(&world, "clock-behind").await, ["collector"], "nobody says otherwise");
    world.store_honest();
    assert!(world.round().await.folded > 0);
    assert_eq!(found(&world, "clock-behind").await, [""; 0]);
}

async fn what_a_clock_that_was_behind_left_out_is_taken_back_and_folded_once(place: Place) {
    let mut world = World::open(place).await;
    let (all, half, ahead) = (world.agent(0), world.agent(1), world.agent(HOSTILE));
    let now = world.clock.now().wall;
    world.store_honest();
    world.store(&[ahead.minute(0, 0, "60l"), ahead.at(1, now + Duration::from_secs(2 * 86_400))]);
    // As an earlier version of this program left out what is later than its clock by more than a
    // day, and what was folded of later days.
    let left_out = |archive: &Archive, agent: &world::Agent, numbers: std::ops::Range<u64>| {
        let why = "it says that it ends later than 2026-11-30T20:35:00Z, and a clock was wrong";
        numbers
            .into_iter()
            .try_for_each(|seq| archive.quarantine((agent.kid(), agent.chain), seq, why, now))
    };
    world.write(|archive| left_out(archive, &ahead, 1..2));
    world.settle().await;
    let (folds, claims) = ([&all, &half].map(|agent| world.folds(agent)), world.claims());
    world.write(|archive| {
        left_out(archive, &all, 0..70)?;
        left_out(archive, &half, 35..70)?;
        archive.drop_folds(all.kid(), start().secs().div_euclid(86_400))
    });
    assert_eq!(found(&world, "quarantined").await.len(), 3);
    world.take_over().await;
    world.settle().await;
    assert_eq!(
        found(&world, "quarantined").await,
        [ahead.kid().to_string()],
        "no clock that was right says that"
    );
    assert_eq!([&all, &half].map(|agent| world.folds(agent)), folds);
    assert_eq!(world.claims(), claims);
    assert_eq!(
        found(&world, "clock-behind").await,
        ["collector/evidence"],
        "it is said that they were taken back"
    );
}

async fn what_a_clock_that_was_ahead_let_lapse_comes_back_and_lapses_on_its_day(place: Place) {
    let mut world = World::open(place).await;
    world.store_honest();
    world.settle().await;
    let now = |world: &World| world.clock.now().wall;
    let rights = |world: &World| -> Vec<(String, Vec<String>)> {
        let all = rights::all(&world.archive(), Page::default(), world.clock.now().wall).unwrap();
        let log = |right: &rights::RightView| {
            right.log.iter().map(|entry| entry.action.clone()).collect()
        };
        all.iter().map(|right| (right.state.clone(), log(right))).collect()
    };
    let states = |world: &World| -> Vec<String> {
        world.claims().into_iter().map(|claim| claim.1).collect()
    };
    assert_eq!(states(&world), vec!["claimable"; 9]);
    let right = json!({"contract": "TEN", "service": "ckt-0", "right": "chronic", "accrued": "2026-11-30",
        "exercise_by": "2026-12-30", "timezone": "Europe/London"});
    world.write(|archive| {
        let (id, now) = ("TEN/ckt-0/chronic/2026-11-30", now(&world));
        let entry =
            json!({"action": "accrue", "at": now, "recorded": now, "who": "the collector's clock", "evidence": null});
        archive.put_record(Kind::Right, id, &right, now)?;
        archive.append(Kind::Right, id, &entry, now)
    });
    assert_eq!(rights(&world).len(), 1);
    let before = world.claims();
    let ahead = Duration::from_secs(60 * 86_400);
    // Whether it is another program that sees the clock come back, or the same.
    for restarts in [true, false] {
        world.clock.advance(ahead);
        world.settle().await;
        assert!(states(&world).iter().all(|state| state == "lapsed"), "{:?}", world.claims());
        assert!(rights(&world).iter().all(|(state, _)| state == "lapsed"), "{:?}", rights(&world));
        world.clock.set_back(ahead);
        if restarts {
            world.take_over().await;
        }
        world.settle().await;
        assert!(states(&world).iter().all(|state| state == "claimable"), "{:?}", world.claims());
        assert!(rights(&world).iter().all(|(state, _)| state == "accrued"), "{:?}", rights(&world));
        assert!(found(&world, "clock-ahead").await.contains(&"collector/claims".to_owned()));
    }
    for ((id, state, credit, log), was) in world.claims().iter().zip(&before) {
        assert_eq!((id, state, credit), (&was.0, &was.1, &was.2));
        let said = [
            "become_claimable",
            "lapse",
            "reinstate",
            "become_claimable",
            "lapse",
            "reinstate",
            "become_claimable",
        ];
        assert_eq!(log, &said, "nothing is taken out of the log");
    }
    assert!(
        rights(&world)
            .iter()
            .all(|(_, log)| *log == ["accrue", "lapse", "reinstate", "lapse", "reinstate"])
    );
    // One is asked for, by a verdict of now; the others lapse when their day has passed, and for
    // good.
    let actor = Actor { who: "noc".to_owned(), via: Via::Command, now: now(&world) };
    let asked = before[0].0.clone();
    let one = claims::one(&world.archive(), &asked, actor.now).unwrap();
    assert_eq!((one.ruling, one.days_left), (None, Some(28)));
    world
        .archive()
        .write(|archive| claims::act(archive, &asked, "submit", &Step::now(), &actor))
        .unwrap();
    world.clock.advance(Duration::from_secs(30 * 86_400));
    world.settle().await;
    world.take_over().await;
    world.settle().await;
    let lapsed = states(&world);
    assert_eq!(
        (lapsed[0].as_str(), lapsed[1..].iter().all(|state| state == "lapsed")),
        ("submitted", true),
        "{lapsed:?}"
    );
    // No hand does what the clock's own mistake needs.
    let id = &before[1].0;
    let refused = world
        .archive()
        .write(|archive| claims::act(archive, id, "reinstate", &Step::now(), &actor));
    assert!(refused.is_err());
    assert_eq!(claims::one(&world.archive(), id, actor.now).unwrap().allowed, [""; 0]);
}

async fn an_agent_with_a_backlog_keeps_no_alert_and_no_revocation_waiting(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let all: Vec<_> = (0..640).map(|seq| agent.minute(seq, seq, "60l")).collect();
    world.store(&all);
    world.store_honest();
    let actor = Actor { who: "noc".to_owned(), via: Via::Command, now: world.clock.now().wall };
    let since = Revocation { since: Some(start() + Duration::from_secs(600)) };
    world
        .archive()
        .write(|archive| sites::revoke(archive, world.agent(0).kid(), &since, &actor))
        .unwrap();
    for _ in 0..3 {
        assert!(world.round().await.more);
    }
    let left = world.archive().unfolded_agents(None, 100).unwrap();
    assert_eq!(left, [agent.kid()], "it goes on");
    let archive = world.archive();
    let waiting =
        |kind: Kind| archive.records::<serde_json::Value>(kind, Page::default()).unwrap().len();
    assert!(waiting(Kind::Alert) > 0, "who listens is told");
    assert_eq!(waiting(Kind::Amendment), 0, "what is revoked is left out");
}

async fn what_takes_too_long_to_judge_is_found_and_tried_again_an_hour_later(place: Place) {
    let mut world = World::open(place).await;
    world.store_honest();
    world.judging(Duration::ZERO);
    world.settle().await;
    assert_eq!(world.judged().len(), 0);
    let found = world.findings().await;
    let late = found.iter().filter(|found| {
        found.kind == FindingKind::NotJudged && found.detail.contains("took longer")
    });
    assert!(late.count() >= 9, "{found:?}");
    world.judging(Duration::from_secs(600));
    world.settle().await;
    assert_eq!(world.judged().len(), 0, "not before an hour has passed");
    world.clock.advance(Duration::from_secs(3601));
    // One of them in a round, after what nothing kept from being judged.
    for _ in 0..40 {
        world.round().await;
    }
    assert!(world.judged().len() >= 9);
    assert!(world.findings().await.iter().all(|found| found.kind != FindingKind::NotJudged));
}

async fn an_agent_with_more_chains_than_are_looked_at_at_once_keeps_nobody_waiting(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let chain = |number: u8| ChainId::from_bytes([number; 16]);
    let all: Vec<_> = (0..=255)
        .map(|number| agent.in_chain(chain(number)).minute(0, u64::from(number), "60l"))
        .collect();
    assert!(world.store(&all).iter().all(|said| matches!(said, Accepted::New(_))));
    world.store_honest();
    for _ in 0..2 {
        world.round().await;
    }
    let unfolded = world.archive().unfolded_agents(None, 100).unwrap();
    assert_eq!(unfolded, [agent.kid()], "of each other agent all was folded in two rounds");
    world.settle().await;
    assert!(world.archive().unfolded_agents(None, 100).unwrap().is_empty());
}

async fn summaries_are_folded_so_many_bytes_at_once(place: Place) {
    let world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let long = |seq: u64| {
        agent.signed(seq, seq, |payload| {
            payload["outages"] = json!([{"service": null, "probe": "hq", "from": payload["from"], "to": null, "definition": "d",
                "side": "unknown", "evidence": {"noise": vec!["n".repeat(4000); 160]}}]);
        })
    };
    let all: Vec<_> = (0..12).map(long).collect();
    world.expect(&all);
    assert!(world.store(&all).iter().all(|said| matches!(said, Accepted::New(_))));
    let mut turns = Vec::new();
    loop {
        let mut archive = world.archive();
        let chains = archive.unfolded_of(agent.kid(), 64).unwrap();
        let Some(news) = gather::gather(&archive, &chains, start(), late::AFTER).unwrap() else {
            break;
        };
        assert_eq!(news.goes_on(), turns.iter().sum::<u64>() + news.count < 12);
        turns.push(news.count);
        assert!(archive.write(|archive| gather::write(archive, &news, start())).unwrap());
    }
    // Some 850 kB each: 4 MiB are full with the fifth.
    assert_eq!(turns, [5, 5, 2]);
}

async fn a_day_of_which_too_many_carrier_changes_are_told_is_left_out_and_named(place: Place) {
    let mut world = World::open(place).await;
    let agent = world.agent(HOSTILE);
    let flapping = |seq: u64| {
        let from = start() + Duration::from_secs(60 * seq);
        let change = |n: u64| {
            let at = from + Duration::from_millis(14 * n + 1);
            json!({"at": at, "carrier": if n.is_multiple_of(2) { "down" } else { "up" }})
        };
        let changes: Vec<_> = (0..4096).map(change).collect();
        let link = json!([{"interface": "wan0", "carrier": "up", "changes": changes, "rx_bytes": 1, "tx_bytes": 1}]);
        agent.signed(seq, seq, |payload| payload["link"] = link)
    };
    let kept = |world: &World| {
        let all =
            world.archive().records::<serde_json::Value>(Kind::Carrier, Page::default()).unwrap();
        all.iter()
            .map(|record| record.body.to_string().matches("2026-11-30T").count() / 2)
            .sum::<usize>()
    };
    let all: Vec<_> = (0..3).map(flapping).collect();
    world.store(&all[..2]);
    world.settle().await;
    assert_eq!(kept(&world), 2 * 2048);
    world.store(&all[2..]);
    world.settle().await;
    assert_eq!(kept(&world), 0);
    let found = world.findings().await;
    let of_it = |found: &&Finding| found.subject == format!("{}/carrier/2026-11-30", agent.kid());
    assert_eq!(found.iter().filter(of_it).count(), 1, "{found:?}");
}

#[test]
fn the_world_is_as_the_tests_need_it() {
    assert_eq!(start().to_string(), "2026-11-30T20:00:00Z");
    assert!(Wall::default() < start());
    let _: fn(&wanproof::config::collector::Database) -> Result<Archive, _> =
        Archive::open_existing;
}
