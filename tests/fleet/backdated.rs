//! What comes long after its time: it counts only where something bounds when it was made, or where
//! somebody accepts it.

use std::time::Duration;

use serde_json::json;
use wanproof::base::time::Wall;
use wanproof::collector::archive::accept::Verified;
use wanproof::collector::archive::late::{Change, LateSummary};
use wanproof::collector::archive::packed;
use wanproof::collector::operations::late::{self, Accept};
use wanproof::collector::operations::{DeskError, rulings};
use wanproof::evidence::base64url;
use wanproof::evidence::bundle;
use wanproof::evidence::chain::ChainId;
use wanproof::evidence::digest::Digest;
use wanproof::evidence::jws::{self, Typ};
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::late::{AFTER, Arrived, Why};
use wanproof::evidence::receipt::Subject;
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

pub fn an_outage_that_is_made_up_afterwards_in_a_new_chain_earns_nothing_until_somebody_accepts_it(
    place: &Place,
) {
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
    assert_eq!(
        (out.len(), out[0].from_seq, out[0].to_seq),
        (1, 0, last),
        "the verdict says what it leaves out"
    );

    let accept = |desk: &mut Desk, from_seq, to_seq, why: &str| {
        let (agent, chain) = (desk.agent.kid(), desk.agent.chain);
        let what = Accept { agent, chain, from_seq, to_seq, why: why.to_owned() };
        desk.desk(|archive, actor| late::accept(archive, &what, actor))
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
    assert!(
        not.contains("\"noc\" accepted them") && not.contains("\"the router was in a van\""),
        "{not}"
    );
    assert!(not.contains(&format!("numbers 0 to {last} of chain {}", desk.agent.chain)), "{not}");
}

pub fn a_hole_that_is_filled_long_afterwards_counts_where_later_numbers_had_named_it(
    place: &Place,
) {
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
    assert_eq!(
        desk.judge(november()).grounds.basis.summaries.len(),
        1,
        "there is no hole any more"
    );
}

pub fn an_honest_agent_that_was_offline_counts_without_a_hand(place: &Place) {
    let mut desk = Desk::open(place);
    let all = desk.agent.summaries(&line(), &json!([]), &json!([]));
    desk.store(&all[..12]);
    desk.fold();
    desk.now = "2026-12-30T09:00:00Z".parse().unwrap();
    // Thirty days later it comes back, in two goes.
    let at: Vec<Wall> = (0..all.len() - 12)
        .map(|n| {
            "2026-12-29T20:00:00Z".parse::<Wall>().unwrap()
                + Duration::from_secs(if n < 100 { 1 } else { 3600 })
        })
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
    let held = |seq| LateSummary {
        arrived: Arrived { seq, from, to: from, received: desk.now, boot: "b".to_owned() },
        why: Why::AfterLate,
    };
    let full = Change { gone: Vec::new(), new: (0..50_000).map(held).collect() };
    desk.archive
        .write(|archive| archive.change_held((kid, ChainId::from_bytes([9; 16])), &full))
        .unwrap();
    desk.agent.chain = ChainId::from_bytes([8; 16]);
    let all = desk.agent.summaries(&line()[..60], &json!([]), &json!([]));
    let (first, rest) = all.split_at(3);
    desk.store_at(first, &all_at("2026-12-30T08:00:00Z", 3));
    assert_eq!(desk.fold(), 0);
    // What goes on from it counts no more than it does.
    desk.store_at(rest, &all_at("2026-12-30T08:10:00Z", rest.len()));
    assert_eq!(desk.fold(), 0);
    assert_eq!(credit(&mut desk), "0.00");
    let late: u64 =
        late::all(&desk.archive).unwrap().iter().map(|each| each.to_seq - each.from_seq + 1).sum();
    assert_eq!(late, 50_000);
    let left_out = desk.archive.left_out((kid, desk.agent.chain), 0, 100).unwrap();
    assert_eq!(left_out.len(), all.len());
}

/// The summary that a chain has at a number: a minute at an instant, or nothing but the span of
/// one.
fn at(desk: &Desk, seq: u64, prev: Option<Digest>, minute: &Interval, says: bool) -> Verified {
    let all = desk.agent.summaries(std::slice::from_ref(minute), &json!([]), &json!([]));
    let text: serde_json::Value = {
        let jws = packed::unpack(all[0].packed.clone()).unwrap();
        let payload = jws.split('.').nth(1).unwrap().to_owned();
        serde_json::from_slice(&base64url::decode(payload.as_bytes()).unwrap()).unwrap()
    };
    let mut text = text;
    text["seq"] = json!(seq);
    text["prev"] = json!(prev);
    if !says {
        text["probes"] = json!([]);
    }
    let jws = jws::sign(Typ::Summary, text.to_string().as_bytes(), &desk.agent.key);
    let digest = Digest::of(jws.as_bytes());
    let subject = Subject { seq, digest, ..all[0].subject };
    Verified { subject, prev, packed: packed::pack(&jws), ..all[0].clone() }
}

/// The holder of the key, who is never silent, and wants an outage of five days ago.
fn walk(
    desk: &Desk,
    first: (u64, Option<Digest>),
    minutes: impl Iterator<Item = (i64, &'static str)>,
) -> Vec<Verified> {
    let (mut seq, mut prev) = first;
    let each = minutes.map(|(number, outcomes)| {
        let one = at(desk, seq, prev, &minute(number, outcomes), !outcomes.is_empty());
        (seq, prev) = (seq + 1, Some(one.subject.digest));
        one
    });
    each.collect()
}

pub fn no_walk_of_small_steps_leads_into_the_past(place: &Place) {
    let mut desk = Desk::open(place);
    desk.now = "2026-12-05T09:00:00Z".parse().unwrap();
    // Number 0 is of now, number 1 of nearly two days ago, and in time; the rest goes back minute
    // by minute, and tells of an outage.
    let now = (desk.now.nanos_since(minute(0, "").from) / 60_000_000_000) - 2;
    let steps = [(now, ""), (now - 47 * 60, "")].into_iter();
    let back = (1..300).map(move |step| (now - 47 * 60 - step, ""));
    let forth = (0..40).map(move |step| (now - 47 * 60 - 300 + step, "60l"));
    let all = walk(&desk, (0, None), steps.chain(back).chain(forth));
    let received = vec![desk.now; all.len()];
    desk.store_at(&all, &received);
    let in_time = all.iter().filter(|each| desk.now <= each.to + AFTER).count();
    assert!(in_time < 100 && all.len() == 341, "{in_time} of {}", all.len());
    assert_eq!(desk.fold(), in_time as u64, "what came in time");
    let late = late::all(&desk.archive)
        .unwrap()
        .iter()
        .map(|each| each.to_seq - each.from_seq + 1)
        .sum::<u64>();
    assert_eq!(late, (all.len() - in_time) as u64);
}

pub fn whoever_ships_in_a_chain_was_not_silent_in_it_and_a_hole_in_it_earns_nothing(place: &Place) {
    let mut desk = Desk::open(place);
    let live = |from: i64| (from..from + 600).step_by(5).map(|number| (number, "60a"));
    let first = walk(&desk, (0, None), std::iter::once((0, "60a")));
    desk.store(&first);
    // It goes on at number 1000, all in time; then it fills the hole.
    let rest = walk(&desk, (1000, Some(first[0].subject.digest)), live(5));
    desk.store(&rest);
    desk.fold();
    desk.now = "2026-12-05T09:00:00Z".parse().unwrap();
    let made_up =
        walk(&desk, (1, Some(first[0].subject.digest)), (1..5).map(|number| (number, "60l")));
    desk.store_at(&made_up, &all_at("2026-12-05T08:00:00Z", 4));
    assert_eq!(desk.fold(), 0);
    assert_eq!(
        late::all(&desk.archive).unwrap()[0].why,
        "later numbers of its chain came before it, and none of them in time names it"
    );
}

pub fn an_agent_that_ships_into_a_gap_of_another_chain_is_heard_of(place: &Place) {
    let mut desk = Desk::open(place);
    let before = walk(&desk, (0, None), std::iter::once((0, "60a")));
    desk.store(&before);
    desk.fold();
    // In another chain a far number first, then live ones into its gap: the head does not move.
    let own = std::mem::replace(&mut desk.agent.chain, ChainId::from_bytes([8; 16]));
    let far = walk(&desk, (1_000_000, Some(Digest::of(b"x"))), std::iter::once((1, "60a")));
    desk.store(&far);
    let live = walk(&desk, (0, None), (2..200).map(|number| (number, "60a")));
    desk.store(&live);
    desk.fold();
    desk.agent.chain = own;
    desk.now = "2026-12-05T09:00:00Z".parse().unwrap();
    let made_up =
        walk(&desk, (1, Some(before[0].subject.digest)), (1..100).map(|number| (number, "60l")));
    desk.store_at(&made_up, &all_at("2026-12-05T08:00:00Z", 99));
    assert_eq!(desk.fold(), 0);
    assert_eq!(
        late::all(&desk.archive).unwrap()[0].why,
        "the agent was heard of meanwhile, in another chain"
    );
}

pub fn what_is_accepted_lets_nothing_in_that_goes_on_from_it_or_came_later(place: &Place) {
    let mut desk = Desk::open(place);
    desk.store(&desk.agent.summaries(&quiet(), &json!([]), &json!([])));
    desk.fold();
    desk.now = "2026-12-30T09:00:00Z".parse().unwrap();
    desk.agent.chain = ChainId::from_bytes([8; 16]);
    let all = walk(&desk, (0, None), (700..720).map(|number| (number, "60l")));
    desk.store_at(&all[..10], &all_at("2026-12-30T08:00:00Z", 10));
    assert_eq!(desk.fold(), 0);
    let (agent, chain) = (desk.agent.kid(), desk.agent.chain);
    let what = Accept { agent, chain, from_seq: 0, to_seq: 15, why: "seen".to_owned() };
    let only = Accept { to_seq: 0, ..what.clone() };
    assert_eq!(desk.desk(|archive, actor| late::accept(archive, &only, actor)).unwrap(), 1);
    assert_eq!(desk.fold(), 1, "number 0, and no other");
    assert_eq!(desk.desk(|archive, actor| late::accept(archive, &what, actor)).unwrap(), 9);
    assert_eq!(desk.fold(), 9);
    // What was not there when it was accepted is looked at by itself.
    desk.store_at(&all[10..], &all_at("2026-12-30T10:00:00Z", 10));
    assert_eq!(desk.fold(), 0);
}
