//! What comes long after its time: it counts only where something bounds when it was made, or where somebody accepts it.

use std::time::Duration;

use serde_json::json;
use wanproof::base::time::Wall;
use wanproof::collector::archive::late::{Change, Held};
use wanproof::collector::desk::late::{self, Accept};
use wanproof::collector::desk::{DeskError, rulings};
use wanproof::evidence::bundle;
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::late::{Arrived, Why};
use wanproof::evidence::verify::Verifier;
use wanproof::measure::interval::Interval;

use super::{Desk, Place, line, minute, november};

fn quiet() -> Vec<Interval> {
    (0..600).map(|number| minute(number, "60a")).collect()
}

fn all_at(at: &str, count: usize) -> Vec<Wall> {
    vec![at.parse().unwrap(); count]
}

fn credit(desk: &mut Desk) -> String {
    desk.judge(november()).report.unwrap().credit
}

pub fn an_outage_that_is_made_up_afterwards_in_a_new_chain_earns_nothing_until_somebody_accepts_it(place: &Place) {
    let mut desk = Desk::open(place);
    // At its time it told of half a day without an outage.
    let told = desk.agent.summaries(&quiet(), &json!([]), &json!([]));
    desk.store(&told);
    desk.fold();
    assert_eq!(credit(&mut desk), "0.00");
    // A month later its key's holder signs a day that did not go so well.
    desk.now = "2026-12-30T09:00:00Z".parse().unwrap();
    desk.agent.chain = ChainId::from_bytes([8; 16]);
    let after = minute(600, "60a").from;
    let made_up: Vec<Interval> = line().into_iter().filter(|minute| minute.from >= after).collect();
    let made_up = desk.agent.summaries(&made_up, &json!([]), &json!([]));
    desk.store_at(&made_up, &all_at("2026-12-30T08:00:00Z", made_up.len()));
    assert_eq!(desk.fold(), 0, "none of it is folded");
    assert_eq!(credit(&mut desk), "0.00");
    let late = late::all(&desk.archive).unwrap();
    let last = made_up.len() as u64 - 1;
    assert_eq!((late.len(), late[0].from_seq, late[0].to_seq), (1, 0, last), "{late:?}");
    assert_eq!(late[0].why, "its chain begins in the past");
    let judged = desk.judge(november());
    let out = &judged.grounds.basis.left_out;
    assert_eq!((out.len(), out[0].from_seq, out[0].to_seq), (1, 0, last), "the verdict says what it leaves out");

    let accept = |desk: &mut Desk, from_seq, to_seq, why: &str| {
        let (agent, chain) = (desk.agent.kid(), desk.agent.chain);
        let what = Accept { agent, chain, from_seq, to_seq, why: why.to_owned() };
        desk.desk(|archive, hand| late::accept(archive, &what, hand))
    };
    assert!(matches!(accept(&mut desk, 0, last, " "), Err(DeskError::Invalid(_))), "why?");
    assert!(matches!(accept(&mut desk, last + 1, last + 9, "no"), Err(DeskError::NotFound(_))));
    assert_eq!(accept(&mut desk, 0, last, "the router was in a van").unwrap(), last + 1);
    assert_eq!(desk.fold(), last + 1);
    assert!(late::all(&desk.archive).unwrap().is_empty());
    assert_eq!(credit(&mut desk), "400.00");
    // Whoever reads the bundle is told who did it.
    let ruling = rulings::present(&desk.archive, "2026-11", "FLEET", "ckt-1").unwrap();
    let collector = *SecretKey::from_seed(&[99; 32]).public();
    let bytes = rulings::bundle(&desk.archive, &desk.book(), &ruling, &[collector]).unwrap();
    let mut verifier = Verifier::new();
    [collector, *desk.agent.key.public()].into_iter().for_each(|key| verifier.trust(key));
    let verdict = bundle::check("b.zip", &bytes, verifier);
    assert!(verdict.ok, "{:#?}", verdict.findings);
    let not = verdict.not_proved.join("\n");
    assert!(not.contains("\"noc\" accepted them") && not.contains("\"the router was in a van\""), "{not}");
    assert!(not.contains(&format!("numbers 0 to {last} of chain {}", desk.agent.chain)), "{not}");
}

pub fn a_hole_that_is_filled_long_afterwards_counts_where_later_numbers_had_named_it(place: &Place) {
    let mut desk = Desk::open(place);
    let all = desk.agent.summaries(&line(), &json!([]), &json!([]));
    let (before, rest) = all.split_at(10);
    let (hole, after) = rest.split_at(30);
    desk.store(before);
    desk.store(after);
    desk.fold();
    let without = credit(&mut desk);
    desk.now = "2027-01-30T09:00:00Z".parse().unwrap();
    // From below: until the last of it is there, nothing names the first.
    let at = all_at("2027-01-29T09:00:00Z", 30);
    desk.store_at(&hole[..20], &at[..20]);
    assert_eq!(desk.fold(), 0);
    assert_eq!(late::all(&desk.archive).unwrap().len(), 1);
    assert_eq!(credit(&mut desk), without);
    desk.store_at(&hole[20..], &at[20..]);
    assert_eq!(desk.fold(), 30, "numbers that were received in time name all of them");
    assert!(late::all(&desk.archive).unwrap().is_empty());
    assert_eq!(desk.judge(november()).grounds.basis.summaries.len(), 1, "there is no hole any more");
}

pub fn an_honest_agent_that_was_offline_counts_without_a_hand(place: &Place) {
    let mut desk = Desk::open(place);
    let all = desk.agent.summaries(&line(), &json!([]), &json!([]));
    desk.store(&all[..12]);
    desk.fold();
    desk.now = "2026-12-30T09:00:00Z".parse().unwrap();
    // Thirty days later it comes back, in two goes.
    let at: Vec<Wall> = (0..all.len() - 12)
        .map(|n| "2026-12-29T20:00:00Z".parse::<Wall>().unwrap() + Duration::from_secs(if n < 100 { 1 } else { 3600 }))
        .collect();
    desk.store_at(&all[12..112], &at[..100]);
    assert_eq!(desk.fold(), 100);
    desk.store_at(&all[112..], &at[100..]);
    assert_eq!(desk.fold(), all.len() as u64 - 112);
    assert!(late::all(&desk.archive).unwrap().is_empty());
    assert_eq!(credit(&mut desk), "400.00");
}

/// What an agent makes up without end costs no more than a month of it.
#[test]
fn beyond_a_months_worth_what_came_too_late_is_left_out_for_good() {
    let mut desk = Desk::open(&Place::sqlite().unwrap());
    desk.store(&desk.agent.summaries(&quiet(), &json!([]), &json!([])));
    desk.fold();
    desk.now = "2026-12-30T09:00:00Z".parse().unwrap();
    let (kid, from) = (desk.agent.kid(), minute(0, "60a").from);
    let held = |seq| Held {
        arrived: Arrived { seq, from, to: from, received: desk.now, boot: "b".to_owned() },
        why: Why::AfterLate,
    };
    let full = Change { gone: Vec::new(), new: (0..50_000).map(held).collect() };
    desk.archive.write(|archive| archive.change_held((kid, ChainId::from_bytes([9; 16])), &full)).unwrap();
    desk.agent.chain = ChainId::from_bytes([8; 16]);
    let all = desk.agent.summaries(&line()[..60], &json!([]), &json!([]));
    let (first, rest) = all.split_at(3);
    desk.store_at(first, &all_at("2026-12-30T08:00:00Z", 3));
    assert_eq!(desk.fold(), 0);
    // What goes on from it counts no more than it does.
    desk.store_at(rest, &all_at("2026-12-30T08:10:00Z", rest.len()));
    assert_eq!(desk.fold(), 0);
    assert_eq!(credit(&mut desk), "0.00");
    let late: u64 = late::all(&desk.archive).unwrap().iter().map(|each| each.to_seq - each.from_seq + 1).sum();
    assert_eq!(late, 50_000);
    let left_out = desk.archive.left_out((kid, desk.agent.chain), 0, 100).unwrap();
    assert_eq!(left_out.len(), all.len());
}
