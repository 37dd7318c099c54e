//! The bundle of a collector's verdict: it says what claim and verdict say, to the cent, or it is
//! not made.

use serde_json::{Value, json};
use wanproof::collector::archive::ledger::Kind;
use wanproof::collector::operations::agreements::Step;
use wanproof::collector::operations::claims;
use wanproof::collector::operations::claims::attachments::{self, Attach, AttachmentKind};
use wanproof::collector::operations::facts::{self, Source};
use wanproof::collector::operations::rulings::{self, Ruling};
use wanproof::collector::operations::{DeskError, months};
use wanproof::collector::verdicts::{Evaluator, Fleet};
use wanproof::evidence::bundle;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::verify::{Verdict, Verifier};
use wanproof::measure::interval::Interval;

use super::kit::wan::skip;
use super::{CONTRACT, Desk, Place, given, line, november, supersede};

/// The second version, which is in force from an instant that its text does not say.
fn second() -> String {
    CONTRACT.replace("version = 1", "version = 2\nsupersedes = 1").replace("99.99", "99.95")
}

pub fn present(desk: &Desk, month: &str) -> Ruling {
    rulings::present(&desk.archive, month, "FLEET", "ckt-1").unwrap()
}

pub fn bundled(desk: &Desk, ruling: &Ruling) -> Result<Vec<u8>, DeskError> {
    let collector = *SecretKey::from_seed(&[99; 32]).public();
    rulings::bundle(&desk.archive, &desk.book(), ruling, &[collector])
}

/// What somebody says of a bundle who has it alone, and trusts both keys.
pub fn checked(desk: &Desk, bytes: &[u8]) -> Verdict {
    let mut verifier = Verifier::new();
    verifier.trust(*SecretKey::from_seed(&[99; 32]).public());
    verifier.trust(*desk.agent.key.public());
    bundle::check("b.zip", bytes, verifier)
}

fn member(bytes: &[u8], name: &str) -> Value {
    serde_json::from_str(&member_text(bytes, name)).unwrap()
}

pub fn member_text(bytes: &[u8], name: &str) -> String {
    use std::io::Read as _;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn judged_of(line: &[Interval], desk: &mut Desk) {
    let outages = json!([
        {"service": "ckt-1", "probe": "hq", "from": "2026-11-29T23:40:00.412Z", "to": "2026-11-29T23:45:00.412Z",
            "definition": "FLEET/1#avail", "side": "provider", "evidence": {}},
        {"service": "ckt-1", "probe": "hq", "from": "2026-11-29T23:55:00.412Z", "to": null,
            "definition": "FLEET/1#avail", "side": "customer", "evidence": {}},
    ]);
    // While the cable was out, five sends were not made, of which the interval's own reasons name
    // none.
    desk.agent.links = vec![(
        94,
        json!({"interface": "wan0", "carrier": "up", "rx_bytes": 1, "tx_bytes": 1, "changes": [
        {"at": "2026-11-30T06:22:00Z", "carrier": "down"}, {"at": "2026-11-30T06:22:30Z", "carrier": "up"}]}),
    )];
    let summaries = desk.agent.summaries(line, &outages, &json!([]));
    // Some come late, out of their order.
    let (late, soon): (Vec<_>, Vec<_>) =
        summaries.into_iter().partition(|each| each.subject.seq % 5 == 1);
    desk.store(&soon);
    desk.fold();
    desk.store(&late);
    desk.fold();
}

pub fn bundle_claim_and_verdict_say_the_same_money_and_a_third_person_comes_to_it_too(
    place: &Place,
) {
    let (mut desk, line) = (Desk::open(place), line());
    supersede(&mut desk, &second(), "2026-11-30T03:07:30Z");
    let book = desk.book();
    let import = |desk: &mut Desk, source, facts: Value| {
        let facts = facts.as_object().unwrap().clone();
        desk.desk(|archive, actor| {
            facts::import(archive, &book, ("FLEET", "ckt-1", source), facts, actor)
        })
        .unwrap();
    };
    import(&mut desk, Source::Customer, Value::Object(given()));
    import(
        &mut desk,
        Source::Provider,
        json!({"events": [
        {"from": "2026-11-29T23:41:00Z", "to": "2026-11-29T23:44:00Z"}, {"from": "2026-11-30T02:00:00Z", "to": "2026-11-30T02:10:00Z"}]}),
    );
    judged_of(&line, &mut desk);
    let id = claims::id_of("FLEET", "ckt-1", "2026-11");
    let judged = desk.judge(november());
    let ticket = Attach {
        kind: AttachmentKind::Ticket,
        text: "by telephone".to_owned(),
        ticket: Some("T-9".to_owned()),
        from: Some("2026-11-29T23:55:30Z".parse().unwrap()),
        to: Some("2026-11-30T00:02:00Z".parse().unwrap()),
        opened: Some("2026-11-29T23:58:00Z".parse().unwrap()),
        closed: None,
    };
    desk.desk(|archive, actor| attachments::attach(archive, &book, &id, &ticket, actor)).unwrap();
    let after = desk.judge(november());
    assert_ne!(judged.grounds.facts, after.grounds.facts, "the ticket is a fact now");
    assert_eq!(after.grounds.basis.versions.len(), 2, "each version judges its part");

    let claim = claims::one(&desk.archive, &id, desk.now).unwrap();
    let said = after.report.as_ref().unwrap();
    let bytes = bundled(&desk, &present(&desk, "2026-11")).unwrap();
    let claimed = member(&bytes, "claim.json");
    assert_eq!(
        (claimed["credit"].as_str(), claimed["currency"].as_str()),
        (Some(claim.credit.as_str()), Some("INR"))
    );
    assert_eq!(member(&bytes, "verdict.json"), json!(said), "word by word what the API shows");
    assert_eq!(member(&bytes, "provider-verdict.json"), json!(after.by_provider));
    let verdict = checked(&desk, &bytes);
    assert!(verdict.ok, "{:#?}", verdict.findings);
    assert_eq!(verdict.checked.summaries, 246);
    let proved = verdict.proved.join("\n");
    assert!(proved.contains(&format!("{} INR for ckt-1 in 2026-11", claim.credit)), "{proved}");
    let not = verdict.not_proved.join("\n");
    for told in [
        "at which site each agent was",
        "version 2 was in force from 2026-11-30T03:07:30Z",
        "that provider.json is the provider's log",
    ] {
        assert!(not.contains(told), "{told}: {not}");
    }
    let page = member_text(&bytes, "report.html");
    assert!(page.contains(&claim.credit), "the page says it too");
}

pub fn what_was_asked_for_is_what_its_bundle_says_whatever_comes_later(place: &Place) {
    let mut desk = Desk::open(place);
    let all = line();
    let summaries = desk.agent.summaries(&all, &json!([]), &json!([]));
    // The first outage only.
    desk.store(&summaries[..21]);
    desk.fold();
    desk.judge(november());
    let id = claims::id_of("FLEET", "ckt-1", "2026-11");
    let submit = |archive: &_, actor: &_| claims::act(archive, &id, "submit", &Step::now(), actor);
    let claim = desk.desk(submit).unwrap();
    assert_eq!((claim.credit.as_str(), claim.ruling), ("400.00", Some(0)));
    // A dearer contract version, and the rest of the day.
    let dearer = second().replace("mrc = \"4000.00\"", "mrc = \"8000.00\"");
    supersede(&mut desk, &dearer, "2026-02-02T00:00:00Z");
    desk.store(&summaries[21..]);
    desk.fold();
    let now = desk.judge(november());
    assert_eq!(now.report.as_ref().unwrap().credit, "800.00");
    let claim = claims::one(&desk.archive, &id, desk.now).unwrap();
    assert_eq!((claim.credit.as_str(), claim.credit_now.as_deref()), ("400.00", Some("800.00")));
    let kept = rulings::all(&desk.archive, "2026-11", "FLEET", "ckt-1").unwrap();
    let asked = bundled(&desk, &kept[0]).unwrap();
    assert_eq!(member(&asked, "claim.json")["credit"], "400.00");
    let verdict = checked(&desk, &asked);
    assert!(verdict.ok, "{:#?}", verdict.findings);
    assert_eq!(verdict.checked.summaries, 21, "what came later is no part of it");
    assert_eq!(
        member(&bundled(&desk, &present(&desk, "2026-11")).unwrap(), "claim.json")["credit"],
        "800.00"
    );
}

pub fn no_bundle_is_made_of_a_verdict_whose_ground_is_gone(place: &Place) {
    let (mut desk, all) = (Desk::open(place), line());
    let summaries = desk.agent.summaries(&all, &json!([]), &json!([]));
    desk.store(&summaries);
    desk.fold();
    desk.judge(november());
    let ruling = present(&desk, "2026-11");
    let refused = |ruling: &Ruling| bundled(&desk, ruling).unwrap_err().to_string();
    let mut other = ruling.clone();
    other.judgement.report = serde_json::from_value({
        let mut report = json!(other.judgement.report);
        report["credit"] = json!("4000.00");
        report
    })
    .unwrap();
    let said = refused(&other);
    assert!(said.contains("says 4000.00 INR") && said.contains("gives 400.00 INR"), "{said}");
    let mut text = ruling.clone();
    text.grounds.texts.insert(1, "00".repeat(32));
    assert!(refused(&text).contains("is not here any more"), "{}", refused(&text));
    let mut more = ruling.clone();
    more.grounds.basis.summaries[0].to_seq += 3;
    assert!(refused(&more).contains("3 of the 249 summaries"), "{}", refused(&more));
    // One that an earlier version of this program kept says nothing of what it rests on.
    desk.archive
        .write(|archive| archive.drop_record(Kind::Grounds, "2026-11/FLEET/ckt-1"))
        .unwrap();
    let none = rulings::present(&desk.archive, "2026-11", "FLEET", "ckt-1").unwrap_err();
    assert!(matches!(none, DeskError::Conflict(_)), "{none}");
}

pub fn a_month_that_was_let_go_keeps_its_money_and_is_not_judged_anew(place: &Place) {
    let mut desk = Desk::open(place);
    let summaries = desk.agent.summaries(&line(), &json!([]), &json!([]));
    desk.store(&summaries);
    desk.fold();
    let before = desk.judge(november());
    let actor = |now: &str| super::actor(now.parse().unwrap());
    let let_go = |desk: &mut Desk, now: &str| {
        let actor = actor(now);
        desk.archive.write(|archive| months::let_go(archive, november(), &actor))
    };
    assert!(
        matches!(let_go(&mut desk, "2026-12-02T09:00:00Z"), Err(DeskError::Conflict(_))),
        "agents may still bring some"
    );
    assert_eq!(let_go(&mut desk, "2027-02-02T09:00:00Z").unwrap(), 246);
    // A ticket comes, or anything else: it is judged again, and stays.
    desk.now = "2027-02-02T09:00:00Z".parse().unwrap();
    let book = desk.book();
    desk.desk(|archive, actor| {
        facts::import(archive, &book, ("FLEET", "ckt-1", Source::Customer), given(), actor)
    })
    .unwrap();
    let (book, fleet) = (desk.book(), Fleet::load(&desk.archive).unwrap());
    let evaluator = Evaluator { archive: &desk.archive, book: &book, fleet: &fleet };
    let again = evaluator.judge("FLEET", "ckt-1", november(), desk.now).unwrap().unwrap();
    let why = again.gone.clone().unwrap();
    assert!(again.report.is_none() && why.starts_with("246 of the summaries"), "{why}");
    let now = desk.now;
    desk.archive
        .write(|archive| months::keep(archive, "2026-11/FLEET/ckt-1", &again, &why, now))
        .unwrap();
    let kept = present(&desk, "2026-11").judgement;
    assert_eq!(
        (&kept.report, kept.gone.as_ref()),
        (&before.report, Some(&why)),
        "to the cent, and it says so"
    );
    let id = claims::id_of("FLEET", "ckt-1", "2026-11");
    assert_eq!(claims::one(&desk.archive, &id, now).unwrap().credit, "400.00");
    let ticket = Attach {
        kind: AttachmentKind::Ticket,
        text: "late".to_owned(),
        ticket: Some("T-1".to_owned()),
        from: Some(now),
        to: None,
        opened: Some(now),
        closed: None,
    };
    let refused = desk
        .desk(|archive, actor| attachments::attach(archive, &book, &id, &ticket, actor))
        .unwrap_err();
    assert!(
        matches!(&refused, DeskError::Conflict(what) if what.contains("were let go")),
        "{refused}"
    );
    let revised = rulings::check_whole(&desk.archive, "2026-11", "FLEET", "ckt-1").unwrap_err();
    assert!(matches!(revised, DeskError::Conflict(_)), "{revised}");
    assert!(
        bundled(&desk, &present(&desk, "2026-11")).unwrap_err().to_string().contains("were let go")
    );
}

/// `wanproof collector …` on a database, its answer; it has to do what it is asked.
struct Commands<'a> {
    at: &'a std::path::Path,
    faketime: &'a std::path::Path,
}

/// Debian's faketime, wherever it lies.
fn faketime() -> Option<std::path::PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|library| library.is_file())
}

impl Commands<'_> {
    fn ask(&self, args: &[&str]) -> String {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wanproof"));
        // What is recorded now must not be before what the test recorded.
        command
            .env("LD_PRELOAD", self.faketime)
            .env("FAKETIME", "@2026-12-02 09:00:00")
            .env("TZ", "UTC");
        let output = command.args(args).current_dir(self.at).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn collector(&self, args: &[&str]) -> String {
        self.ask(&[&["collector"], args, &["--config", "collector.toml"]].concat())
    }

    fn write(&self, name: &str, text: &str) {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let made = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.at.join(name));
        made.unwrap().write_all(text.as_bytes()).unwrap();
    }
}

/// Everything that a person does, by commands; what judges is the collector, as its rounds do.
#[test]
fn what_is_imported_by_command_is_in_verdict_claim_and_bundle_to_the_same_cent() {
    let Some(faketime) = faketime() else {
        return skip("libfaketime is not installed (tests/run installs it)");
    };
    let place = Place::sqlite().unwrap();
    let (mut desk, line) = (Desk::open(&place), line());
    let commands = Commands { at: place.at(), faketime: &faketime };
    let collector = SecretKey::from_seed(&[99; 32]);
    commands.write("collector.key", &collector.to_jwk());
    commands.write("collector.jwk", &collector.public().to_jwk());
    commands.write("agent.jwk", &desk.agent.key.public().to_jwk());
    commands.write(
        "collector.toml",
        "listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:c.db\"\ndata_dir = \".\"\nkey_file \
            = \"collector.key\"\nenrolment = { mode = \"open\" }\n",
    );
    judged_of(&line, &mut desk);
    let first = desk.judge(november()).report.unwrap().credit;
    // A dearer version, the customer's facts with an exclusion, the provider's own log, a ticket.
    let dearer = second().replace("mrc = \"4000.00\"", "mrc = \"9000.00\"");
    let from = "effective_from = \"2026-10-31T00:00:00Z\"";
    commands
        .write("second.toml", &dearer.replace("effective_from = \"2026-02-01T00:00:00Z\"", from));
    commands.collector(&["contracts", "import", "second.toml"]);
    for action in ["propose", "sign"] {
        commands.collector(&[
            "contracts",
            "move",
            action,
            "FLEET",
            "2",
            "--at",
            "2026-10-01T00:00:00Z",
        ]);
    }
    // When its text says so.
    commands.collector(&["contracts", "move", "take_effect", "FLEET", "2"]);
    commands.write("customer.json", &Value::Object(given()).to_string());
    commands.collector(&["facts", "customer", "FLEET", "ckt-1", "customer.json"]);
    let log = json!({"events": [{"from": "2026-11-29T23:41:00Z", "to": "2026-11-29T23:44:00Z"}]});
    commands.write("provider.json", &log.to_string());
    commands.collector(&["facts", "provider", "FLEET", "ckt-1", "provider.json"]);
    let ticket =
        ["--ticket", "T-9", "--from", "2026-11-29T23:55:30Z", "--to", "2026-11-30T00:02:00Z"];
    let attach = ["claims", "attach", "FLEET", "ckt-1", "2026-11", "by telephone"];
    commands.collector(&[&attach[..], &ticket, &["--opened", "2026-11-29T23:58:00Z"]].concat());
    let judged = desk.judge(november());
    let report = judged.report.as_ref().unwrap();
    assert_ne!(report.credit, first, "they change the money");

    let all: Value = serde_json::from_str(&commands.collector(&["claims", "--json"])).unwrap();
    assert_eq!((&all[0]["credit"], &all[0]["currency"]), (&json!(report.credit), &json!("INR")));
    let said = commands.collector(&[
        "report",
        "--contract",
        "FLEET",
        "--service",
        "ckt-1",
        "--period",
        "2026-11",
    ]);
    assert!(said.contains(&report.credit), "{said}");
    let of = [
        "bundle",
        "--contract",
        "FLEET",
        "--service",
        "ckt-1",
        "--period",
        "2026-11",
        "--out",
        "b.zip",
    ];
    assert!(
        commands.collector(&of).contains(&format!("{} INR for ckt-1 in 2026-11", report.credit))
    );
    let bytes = std::fs::read(place.at().join("b.zip")).unwrap();
    assert_eq!(member(&bytes, "claim.json")["credit"], json!(report.credit));
    assert_eq!(member(&bytes, "provider-verdict.json"), json!(judged.by_provider));
    let proved = commands.ask(&["verify", "--key", "agent.jwk", "--key", "collector.jwk", "b.zip"]);
    assert!(proved.contains(&format!("{} INR for ckt-1 in 2026-11", report.credit)), "{proved}");
}
