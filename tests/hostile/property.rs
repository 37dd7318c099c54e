//! Random summaries, validly signed and hostile in every field, from one agent among ten.

use std::sync::OnceLock;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use wanproof::base::time::Wall;
use wanproof::collector::archive::accept::Verified;
use wanproof::config::collector::Database;
use wanproof::evidence::chain::{ChainId, LAST_SEQ};
use wanproof::evidence::digest::Digest;

use super::world::{Agent, HOSTILE, Picture, Place, World, at, start};

/// Where a summary is changed, and to what.
#[derive(Clone, Debug)]
struct Lie {
    chain: u8,
    seq: u64,
    from: Wall,
    /// JSON pointers, and what is put there.
    puts: Vec<(&'static str, Value)>,
}

/// Names that are none, and names of others.
fn name() -> impl Strategy<Value = Value> {
    let odd = [
        "",
        "a\0b",
        "\u{1b}[2J",
        "\u{202e}x",
        "x\ny",
        "hq",
        "ckt-9",
        "site-9",
        "TEN",
        "a/b/../%2F",
        "\u{10FFFF}",
        "'; DROP TABLE fold; --",
        "2026-11/TEN/ckt-9",
        "{}",
        "é",
        "\u{200b}",
    ];
    prop_oneof![
        6 => prop::sample::select(odd.to_vec()).prop_map(|text| json!(text)),
        2 => any::<String>().prop_map(|text| json!(text)),
        1 => (1usize..6000).prop_map(|length| json!("x".repeat(length))),
    ]
}

/// Instants at the edges of what calendars and nanoseconds know.
fn instant() -> impl Strategy<Value = Wall> {
    let edges = [
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:00Z",
        "2026-11-30T23:59:00Z",
        "2026-12-01T00:00:00Z",
        "2026-12-02T08:59:00Z",
        "2026-12-03T09:00:00Z",
        "2199-12-31T23:59:00Z",
        "2200-12-31T23:59:00Z",
        "2201-01-01T00:00:00Z",
        "2261-12-31T23:59:00Z",
    ];
    prop_oneof![
        4 => (0u64..700).prop_map(|minute| start() + Duration::from_secs(60 * minute)),
        3 => prop::sample::select(edges.to_vec()).prop_map(at),
        1 => (0i64..9_000_000_000).prop_map(|secs| Wall::from_secs(secs).floor(Duration::from_secs(60))),
    ]
}

fn seq() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0u64..40, 1 => 0..=LAST_SEQ, 1 => Just(LAST_SEQ), 1 => Just(1 << 52)]
}

/// A field, and something that is put there.
fn put() -> impl Strategy<Value = (&'static str, Value)> {
    let texts = [
        "/site",
        "/boot",
        "/software",
        "/probes/0/name",
        "/probes/0/service",
        "/probes/0/kind",
        "/probes/0/target",
        "/probes/0/settings",
        "/probes/0/address",
    ];
    let text = (prop::sample::select(texts.to_vec()), name());
    let outcomes = prop::sample::select(vec![
        "60l",
        "60u",
        "60x",
        "60n",
        "1l1u1l1u56l",
        "30x30l",
        "",
        "1n1l1n57x",
    ]);
    let number = prop_oneof![Just(0u64), 1..2000u64, Just(u64::from(u32::MAX)), Just(u64::MAX)];
    prop_oneof![
        4 => text,
        2 => outcomes.prop_map(|outcomes| ("/probes/0/intervals/0/outcomes", json!(outcomes))),
        1 => number.clone().prop_map(|ms| ("/probes/0/period_ms", json!(ms))),
        1 => number.clone().prop_map(|ms| ("/probes/0/intervals/0/first_ms", json!(ms))),
        1 => number.clone().prop_map(|count| ("/probes/0/intervals/0/duplicates", json!(count))),
        1 => (name(), number.clone()).prop_map(|(reason, count)| {
            ("/probes/0/intervals/0/reasons", json!({reason.as_str().unwrap_or("x"): count}))
        }),
        1 => prop::sample::select(vec!["synchronised", "unsynchronised", "unknown", "?"]).prop_map(|state| ("/clock/state", json!(state))),
        1 => (instant(), any::<i64>()).prop_map(|(at, by)| ("/clock/steps", json!([{"at": at, "by_us": by}]))),
        1 => (name(), any::<u64>()).prop_map(|(id, version)| {
            ("/contracts", json!([{"id": id, "version": version, "sha256": Digest::of(b"x").hex()}]))
        }),
        2 => (name(), instant(), prop::option::of(instant()), prop::sample::select(vec!["provider", "customer", "unknown"]))
            .prop_map(|(service, from, to, side)| ("/outages", json!([{"service": service, "probe": "hq", "from": from, "to": to,
                "definition": "TEN/1#avail", "side": side, "evidence": {}}]))),
        2 => (name(), name(), any::<u64>()).prop_map(|(service, objective, version)| ("/verdicts", json!([{
            "contract": "TEN", "version": version, "service": service, "objective": objective, "period": "2026-11",
            "result": "breached", "actual": "0", "target": "1", "coverage": "100"}]))),
        1 => (instant(), name()).prop_map(|(at, interface)| ("/link", json!([{"interface": interface, "carrier": "down",
            "changes": [{"at": at, "carrier": "down"}], "rx_bytes": u64::MAX, "tx_bytes": 0}]))),
        1 => (any::<u8>(), seq(), seq()).prop_map(|(chain, from, to)| {
            ("/dropped", json!([{"chain": ChainId::from_bytes([chain; 16]), "from_seq": from, "to_seq": to}]))
        }),
        1 => instant().prop_map(|to| ("/to", json!(to))),
        1 => instant().prop_map(|from| ("/probes/0/intervals/0/from", json!(from))),
    ]
}

fn lie() -> impl Strategy<Value = Lie> {
    (0u8..4, seq(), instant(), prop::collection::vec(put(), 0..4))
        .prop_map(|(chain, seq, from, puts)| Lie { chain, seq, from, puts })
}

impl Lie {
    fn signed(&self, agent: &Agent) -> Verified {
        let agent = agent.in_chain(ChainId::from_bytes([200 + self.chain; 16]));
        let mut payload = agent.payload(self.seq, self.from, "60l");
        for (place, to) in &self.puts {
            let (parent, member) = place.rsplit_once('/').unwrap();
            payload.pointer_mut(parent).unwrap()[member] = to.clone();
        }
        agent.raw(self.seq, &payload)
    }
}

/// What is shown of nine agents where the tenth says nothing.
async fn alone() -> Picture {
    let mut world = World::open(Place::sqlite().unwrap()).await;
    world.store_honest();
    world.settle().await;
    world.picture()
}

/// The same where the tenth says this: some of it before the others say anything, some of it
/// afterwards.
async fn beside(mut world: World, lies: &[Lie], before: usize) -> Picture {
    let agent = world.agent(HOSTILE);
    let signed: Vec<Verified> = lies.iter().map(|lie| lie.signed(&agent)).collect();
    let (first, then) = signed.split_at(before.min(signed.len()));
    store_each(&world, first);
    world.store_honest();
    store_each(&world, then);
    world.settle().await;
    world.picture()
}

/// One by one: what does not fit into its chain is refused, and the next one may fit.
fn store_each(world: &World, all: &[Verified]) {
    for each in all {
        world.store(std::slice::from_ref(each));
    }
}

/// A database with ten agents and their contract, to be copied.
fn filled() -> &'static Place {
    static FILLED: OnceLock<Place> = OnceLock::new();
    FILLED.get_or_init(|| {
        let place = Place::sqlite().unwrap();
        World::fill(&place);
        place
    })
}

fn copy() -> Place {
    let (of, place) = (filled(), Place::sqlite().unwrap());
    let (Database::Sqlite(from), Database::Sqlite(to)) = (&of.database, &place.database) else {
        unreachable!()
    };
    for end in ["", "-wal"] {
        let with =
            |path: &std::path::Path| std::path::PathBuf::from(format!("{}{end}", path.display()));
        if with(from).exists() {
            std::fs::copy(with(from), with(to)).unwrap();
        }
    }
    place
}

fn undisturbed() -> &'static Picture {
    static UNDISTURBED: OnceLock<Picture> = OnceLock::new();
    UNDISTURBED.get_or_init(|| runtime().block_on(alone()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn differences(one: &Picture, other: &Picture) -> Vec<String> {
    let only = |of: &Picture, without: &Picture| -> Vec<String> {
        of.iter()
            .filter(|each| !without.contains(each))
            .map(|(name, body)| format!("{name}: {body}"))
            .collect()
    };
    [only(one, other), only(other, one)].concat()
}

fn lies() -> impl Strategy<Value = (Vec<Lie>, usize)> {
    (prop::collection::vec(lie(), 1..24), 0usize..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn nine_agents_are_judged_claimed_for_and_told_of_as_if_the_tenth_were_not_there((lies, before) in lies()) {
        let picture = runtime().block_on(beside(World::over(copy()), &lies, before));
        let differs = differences(&picture, undisturbed());
        prop_assert!(differs.is_empty(), "{differs:#?}");
    }
}

#[test]
fn they_are_so_on_postgresql_too() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 3,
        ..ProptestConfig::default()
    });
    runner
        .run(&lies(), |(lies, before)| {
            let Some(place) = Place::postgres() else { return Ok(()) };
            World::fill(&place);
            let picture = runtime().block_on(beside(World::over(place), &lies, before));
            let differs = differences(&picture, undisturbed());
            prop_assert!(differs.is_empty(), "{differs:#?}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn there_is_something_that_could_be_disturbed() {
    let of = |kind: &str| undisturbed().iter().filter(|(name, _)| name.starts_with(kind)).count();
    assert!(
        of("verdict") >= 9 && of("claim") >= 9 && of("log of claim") >= 9,
        "{:#?}",
        undisturbed()
    );
}
