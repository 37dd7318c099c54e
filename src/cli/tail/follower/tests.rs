use super::*;
use crate::store::Store;
use crate::store::journal::Noted;

const S: i64 = 1_700_000_000;

/// A database, and what is looked at of it.
struct World {
    dir: tempfile::TempDir,
    writer: Store,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (writer, _) = Store::open(dir.path(), Wall::from_secs(S)).unwrap();
        Self { dir, writer }
    }

    /// Another file with the same name.
    fn anew(self) -> Self {
        let Self { dir, writer } = self;
        drop(writer);
        for name in ["agent.db", "agent.db-wal", "agent.db-shm"] {
            let _ = std::fs::remove_file(dir.path().join(name));
        }
        let (writer, _) = Store::open(dir.path(), Wall::from_secs(S)).unwrap();
        Self { dir, writer }
    }

    fn look(&self, follower: &Follower) -> Look {
        let store = Store::read(self.dir.path()).unwrap();
        let owners = [("hq", "ckt-1"), ("dc", "ckt-2")]
            .map(|(probe, service)| (probe.to_owned(), Some(service.to_owned())));
        Look {
            journal: store.journal_after(follower.journal()).unwrap(),
            outages: store.outages(Wall::from_secs(0), Wall::from_nanos(i64::MAX)).unwrap(),
            life: Vec::new(),
            owners: owners.into(),
        }
    }

    fn note(&self, at: i64, kind: Noted, detail: &str) {
        self.writer.note(Wall::from_secs(S + at), kind, detail).unwrap();
    }

    fn down(&self, probe: &str, service: &str, at: i64) -> OutageId {
        let outage = Outage {
            service: Some(service.to_owned()),
            probe: probe.to_owned(),
            definition: "builtin".to_owned(),
            from: Wall::from_secs(S + at),
            to: None,
            side: "unknown".to_owned(),
            evidence: json!({"reasons": {"lost/timeout": 3}}),
        };
        self.writer.open_outage(&outage).unwrap()
    }
}

fn lines(all: &[Told]) -> Vec<String> {
    all.iter().map(|told| told.line().split_off(26)).collect()
}

#[test]
fn an_outage_is_told_when_it_begins_when_its_side_is_known_and_when_it_ends() {
    let world = World::new();
    let mut follower = Follower::new(None);
    world.note(0, Noted::Start, "wanproof");
    assert_eq!(lines(&follower.begin(world.look(&follower), 10)), ["start       wanproof"]);
    let id = world.down("hq", "ckt-1", 5);
    world.note(6, Noted::Outage, "hq: down");
    let told = follower.take(world.look(&follower));
    assert_eq!(
        lines(&told),
        ["outage      ckt-1, hq: down, lost/timeout, side unknown, by builtin"]
    );
    assert_eq!(told[0].json()["event"], "began");
    assert_eq!(told[0].json()["outage"]["to"], Value::Null);
    world.writer.attribute_outage(id, "provider", &json!({})).unwrap();
    let told = follower.take(world.look(&follower));
    assert!(lines(&told)[0].contains("still down, its side is known, side provider"), "{told:?}");
    world.writer.close_outage(id, Wall::from_secs(S + 17)).unwrap();
    let told = follower.take(world.look(&follower));
    assert!(lines(&told)[0].contains("up again after 12s"), "{told:?}");
    assert_eq!((told.len(), &told[0].json()["event"]), (1, &"ended".into()));
    assert_eq!(follower.take(world.look(&follower)), []);
}

#[test]
fn the_past_is_its_last_lines_and_what_still_lasts() {
    let world = World::new();
    world.down("hq", "ckt-1", 1);
    (2..30).for_each(|at| world.note(at, Noted::Reload, &at.to_string()));
    let mut follower = Follower::new(None);
    let told = follower.begin(world.look(&follower), 2);
    let told = lines(&told);
    assert!(told[0].contains("hq: down") && told[1].ends_with("28") && told[2].ends_with("29"));
    assert_eq!(told.len(), 3);
}

#[test]
fn of_a_service_there_are_its_own_lines_and_those_of_the_whole_agent() {
    let world = World::new();
    let mut follower = Follower::new(Some("ckt-2".to_owned()));
    world.down("hq", "ckt-1", 1);
    world.down("dc", "ckt-2", 1);
    world.note(2, Noted::Address, "hq has the address 192.0.2.1");
    world.note(3, Noted::ReplyTtl, "hq: replies come with TTL 57, 58 before; dc: replies come …");
    world.note(4, Noted::ClockStep, "by 3 s");
    let told = lines(&follower.begin(world.look(&follower), 10));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].contains("dc: down") && told[1].starts_with("reply-ttl"), "{told:?}");
}

#[test]
fn another_file_under_the_same_name_tells_only_what_is_new_in_it() {
    let mut world = World::new();
    let mut follower = Follower::new(None);
    world.note(0, Noted::Start, "one");
    world.down("hq", "ckt-1", 1);
    assert_eq!(follower.begin(world.look(&follower), 10).len(), 2);
    world = world.anew();
    follower.reopened();
    // What was brought over, and what is new.
    world.note(0, Noted::Start, "one");
    world.note(9, Noted::DatabaseDamaged, "set aside");
    let id = world.down("hq", "ckt-1", 1);
    let told = follower.take(world.look(&follower));
    assert_eq!(lines(&told), ["database-damaged  set aside"]);
    world.writer.close_outage(id, Wall::from_secs(S + 11)).unwrap();
    let told = follower.take(world.look(&follower));
    assert!(lines(&told)[0].contains("up again after 10s"), "{told:?}");
}
