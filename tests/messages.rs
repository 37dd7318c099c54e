//! What the program says to whoever did something wrong: testdata/messages has a row for each
//! command with a wrong input, as it is read at three in the morning: what happened, what it means,
//! what to do. `WANPROOF_WRITE_EXPECTED=1 cargo test` writes the messages anew, to be read before
//! they are committed.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

mod kit;
use kit::secret;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use wanproof::base::time::{Clock as _, SystemClock};
use wanproof::collector::archive::Archive;
use wanproof::config::collector::Database;
use wanproof::evidence::key::SecretKey;
use wanproof::store::Store;

const AGENT: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n[[probe]]\nname = \"hq\"\nkind \
    = \"icmp\"\ntarget = \"192.0.2.1\"\n";
const COLLECTOR: &str = "listen = \"127.0.0.1:0\"\ndatabase \
    = \"sqlite:central/collector.db\"\ndata_dir = \"central\"\n\
    key_file = \"central/collector.key\"\n";

/// Makes what the commands of the rows are given, in a directory of its own.
fn prepare(at: &Path) {
    let write = |name: &str, bytes: &[u8]| std::fs::write(at.join(name), bytes).unwrap();
    let make = |name: &str| std::fs::create_dir(at.join(name)).unwrap();
    // Configurations.
    secret::write(at.join("agent.toml"), AGENT);
    write("latin1.toml", &[AGENT.as_bytes(), b"# Caf\xe9\n"].concat());
    write("utf16.toml", b"\xff\xfes\0i\0t\0e\0");
    write("not-toml.toml", AGENT.replace("kind =", "kind").as_bytes());
    write("on-a-file.toml", AGENT.replace("\"data\"", "\"a-file\"").as_bytes());
    write("nowhere-below.toml", AGENT.replace("\"data\"", "\"missing/data\"").as_bytes());
    write("a-file", b"");
    secret::write(at.join("collector.toml"), COLLECTOR);
    secret::write(at.join("fresh.toml"), COLLECTOR.replace("central", "fresh"));
    secret::write(at.join("centre-on-a-file.toml"), COLLECTOR.replace("central", "a-file"));
    secret::write(
        at.join("keyless.toml"),
        COLLECTOR.replace("central/collector.key", "central/other.key"),
    );
    secret::write(at.join("open-to-all.toml"), COLLECTOR.replace("127.0.0.1:0", "0.0.0.0:0"));
    // Databases: none yet, an agent's, a collector's, one that is damaged, one of a later version.
    ["data", "empty", "used", "damaged", "later", "central"].into_iter().for_each(make);
    Store::open(&at.join("used"), SystemClock.now().wall).unwrap();
    let mut archive = Archive::open(&Database::Sqlite(at.join("central/collector.db"))).unwrap();
    let key = SecretKey::from_seed(&[7; 32]);
    archive.write(|archive| archive.belong_to(key.kid())).unwrap();
    write("damaged/agent.db", &[b"SQLite format 3\0".as_slice(), &[7; 8192]].concat());
    Store::open(&at.join("later"), SystemClock.now().wall).unwrap();
    let later = rusqlite::Connection::open(at.join("later/agent.db")).unwrap();
    later.pragma_update(None, "user_version", 999).unwrap();
    // Contracts and facts.
    let page = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/contracts").join(name)
    };
    let contract = std::fs::read_to_string(page("page.toml")).unwrap();
    let facts = std::fs::read_to_string(page("page.facts.json")).unwrap();
    write("contract.toml", contract.as_bytes());
    write("facts.json", facts.as_bytes());
    for (name, from, to) in [
        ("number.toml", "target = \"60\"", "target = 60.5"),
        ("typo.toml", "min_coverage", "min_covrage"),
        ("hours.toml", "over = \"2700\", upto", "over = \"4h\", upto"),
        ("days.toml", "notice = \"48h\"", "notice = \"30 days\""),
        ("unquoted.toml", "signed = \"2026-01-15\"", "signed = 2026-01-15"),
        ("no-zone.toml", "Europe/London", "Europe/Leeds"),
        ("tiers.toml", "over = \"2700\", upto", "over = \"600\", upto"),
    ] {
        assert!(contract.contains(from), "{name}");
        write(name, contract.replace(from, to).as_bytes());
    }
    for (name, from, to) in [
        ("broken.json", "\"unknown\": [],", "\"unknown\": [,"),
        ("twice.json", "\"unknown\": [],", "\"unknown\": [], \"unknown\": [],"),
        ("stranger.json", "\"service\": \"ckt-0042\"", "\"service\": \"ckt-9999\""),
        ("no-time.json", "2026-06-09T04:40:00Z", "2026-06-09"),
        ("backwards.json", "2026-06-09T04:40:00Z", "2026-06-09T00:40:00Z"),
        ("zoneless.json", "2026-06-09T04:40:00Z", "2026-06-09T04:40:00"),
        ("far.json", "2026-06-09T04:40:00Z", "2300-06-09T04:40:00Z"),
        ("number.json", "\"mrc\": \"4000.00\"", "\"mrc\": 4000.00"),
    ] {
        assert!(facts.contains(from), "{name}");
        write(name, facts.replacen(from, to, 1).as_bytes());
    }
    // Evidence.
    write("note.jws", b"good morning\n");
    write("no.zip", b"PK\x03\x04 and no more");
    write("key.jwk", b"{\"kty\": \"RSA\"}");
}

/// The words of a command; a part in single quotes is one.
fn words(line: &str) -> Vec<&str> {
    line.split('\'')
        .enumerate()
        .flat_map(
            |(n, part)| if n % 2 == 1 { vec![part] } else { part.split_whitespace().collect() },
        )
        .collect()
}

/// A row as it is written: the command, what it says on standard error, or where that is nothing on
/// standard output, how it ends.
fn answer(at: &Path, command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    let output = program
        .current_dir(at)
        .env_clear()
        .env("USER", "night")
        .args(words(command))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut row = format!("$ wanproof {command}\n");
    let told = if output.stderr.is_empty() { output.stdout } else { output.stderr };
    // What is logged before has its time, and depends on who runs this.
    let is_told =
        |line: &&str| !line.is_empty() && !line.contains("Z  WARN ") && !line.contains("Z  INFO ");
    for line in String::from_utf8(told).unwrap().lines().filter(is_told) {
        writeln!(row, "  {line}").unwrap();
    }
    writeln!(row, "= {}", output.status.code().unwrap()).unwrap();
    row
}

#[test]
fn every_message_is_exactly_the_one_in_the_table() {
    let at = tempfile::tempdir().unwrap();
    prepare(at.path());
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/messages");
    let written = std::fs::read_to_string(&table).unwrap();
    let commands = written.lines().filter_map(|line| line.strip_prefix("$ wanproof "));
    let rows: Vec<String> = commands.map(|command| answer(at.path(), command)).collect();
    assert!(rows.len() >= 40, "{}", rows.len());
    if std::env::var_os("WANPROOF_WRITE_EXPECTED").is_some() {
        std::fs::write(&table, rows.join("\n")).unwrap();
    }
    let written = std::fs::read_to_string(&table).unwrap();
    for (row, expected) in rows.iter().zip(written.split("\n\n")) {
        assert_eq!(row.trim_end(), expected.trim_end());
    }
    assert_eq!(rows.join("\n"), written);
}
