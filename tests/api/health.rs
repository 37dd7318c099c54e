//! Whether the collector says of itself what is true: its disk is full, its database damaged,
//! locked, only to be read, or away.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::foreign::{SUMMARY, digest};
use super::{Desk, PATIENCE, postgres};

/// Waits until `/readyz` answers so; gives what it says.
async fn ready(desk: &Desk, status: u16) -> String {
    let answer = async {
        loop {
            let answer = desk.ask(Method::GET, "/readyz", "", None).await;
            if answer.status() == status {
                return answer.text().await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, answer)
        .await
        .unwrap_or_else(|_| panic!("/readyz is never {status}"));
    assert_eq!(
        desk.ask(Method::GET, "/healthz", "", None).await.status(),
        200,
        "the process lives"
    );
    assert!(!said.contains("c.db") && !said.contains("/tmp"), "no path: {said}");
    said
}

/// Ships some summaries of one agent.
async fn shipped(desk: &Desk, count: u64) {
    let agent = desk.enrol().await;
    let mut prev: Option<String> = None;
    for seq in 0..count {
        let jws = agent.sign(SUMMARY, &agent.payload(seq, prev.as_deref()));
        desk.ship(&jws).await;
        prev = Some(digest(&jws));
    }
}

/// Destroys pages of a database that nobody has open, from the last one on, until it is found to be
/// damaged.
fn destroy(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    for page in (4..bytes.len() / 4096).rev() {
        bytes[page * 4096..][..4096].fill(0xA5);
        std::fs::write(path, &bytes).unwrap();
        if wanproof::store::damaged::find(path).unwrap().is_some() {
            return bytes;
        }
    }
    panic!("nothing that was destroyed is missed");
}

#[tokio::test]
async fn a_database_that_was_damaged_is_salvaged_at_the_start_and_that_is_a_finding_until_the_file_is_gone()
 {
    let desk = Desk::open("").await;
    shipped(&desk, 12).await;
    let at = Arc::clone(&desk.at);
    desk.close().await;
    let bytes = destroy(&at.path().join("c.db"));
    let desk = Desk::open_at(&at, "sqlite:c.db", "").await;
    ready(&desk, 200).await;
    let of = |all: &Value| {
        all.as_array().unwrap().iter().find(|of| of["kind"] == "database-salvaged").cloned()
    };
    let finding = of(&desk.get("/v1/findings").await).unwrap();
    let aside = at.path().join(finding["subject"].as_str().unwrap());
    assert_eq!(std::fs::read(&aside).unwrap(), bytes, "it is as it was");
    assert!(
        finding["detail"].as_str().unwrap().contains("summaries were brought over"),
        "{finding}"
    );
    std::fs::rename(&aside, at.path().join("moved")).unwrap();
    assert_eq!(of(&desk.get("/v1/findings").await), None);
    desk.close().await;
}

#[tokio::test]
async fn a_database_that_is_damaged_meanwhile_is_found_by_the_first_who_reads_it() {
    let desk = Desk::open("").await;
    shipped(&desk, 12).await;
    ready(&desk, 200).await;
    let path = desk.at.path().join("c.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&vec![0xA5; usize::try_from(length - 4096).unwrap()], 4096).unwrap();
    let said = tokio::time::timeout(PATIENCE, async {
        loop {
            // Connections are opened anew when many read at once.
            let read = || desk.ask(Method::GET, "/v1/agents", "let me in, I work here", None);
            tokio::join!(read(), read(), read(), read());
            let answer = desk.ask(Method::GET, "/readyz", "", None).await;
            let (status, said) = (answer.status(), answer.text().await.unwrap());
            if status == 503 && said.contains("damaged") {
                return said;
            }
        }
    });
    assert!(said.await.unwrap().contains("the collector's database is damaged"));
    desk.stop.send(true).unwrap();
    let _ = desk.serving.await;
}

#[tokio::test]
async fn postgresql_that_can_only_be_read_or_is_away_makes_the_collector_not_ready() {
    let Some(server) = postgres::Server::start("off") else { return };
    let url = server.database();
    let desk = Desk::open_at(&Arc::new(tempfile::tempdir().unwrap()), &url, "").await;
    ready(&desk, 200).await;
    let name = url.trim_start_matches("postgres:///").split('?').next().unwrap();
    postgres::ask(&url, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    server.disconnect(&url);
    assert!(ready(&desk, 503).await.contains("can only be read"));
    let writing = format!("{url}&options=-c%20default_transaction_read_only%3Doff");
    postgres::ask(&writing, &format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    server.disconnect(&url);
    ready(&desk, 200).await;
    drop(server);
    ready(&desk, 503).await;
    desk.stop.send(true).unwrap();
    let _ = desk.serving.await;
}

/// Runs the test of this name again in a mount namespace with a small disk of its own, in memory;
/// its directory, where this is that run.
fn on_a_small_disk(test: &str) -> Option<PathBuf> {
    const DISK: &str = "WANPROOF_SMALL_DISK";
    const MOUNT: &str = r#"mount -t tmpfs -o size=32m,mode=700 small "$0" || exit 77; exec "$@""#;
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace: &[&str] =
        if nix::unistd::geteuid().is_root() { &["-m"] } else { &["-U", "-r", "-m"] };
    let mut again = Command::new("unshare");
    again.args(namespace).args(["--propagation", "private", "sh", "-c", MOUNT]).arg(dir.path());
    again
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DISK, dir.path());
    let told = again.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );
    if told.status.code() == Some(77) || text.contains("unshare failed") {
        _ = writeln!(std::io::stderr(), "skipped: no small disk can be had: {text}");
    } else {
        assert!(told.status.success() && text.contains("1 passed"), "{text}");
    }
    None
}

#[tokio::test]
async fn a_full_disk_makes_the_collector_not_ready_until_there_is_room_again() {
    const NAME: &str =
        "health::a_full_disk_makes_the_collector_not_ready_until_there_is_room_again";
    let Some(disk) = on_a_small_disk(NAME) else { return };
    let at = Arc::new(tempfile::tempdir_in(disk).unwrap());
    let desk = Desk::open_at(&at, "sqlite:c.db", "").await;
    ready(&desk, 200).await;
    let filler = std::fs::File::create(at.path().join("filler")).unwrap();
    let mut length = 0;
    while filler.write_all_at(&[1; 4096], length).is_ok() {
        length += 4096;
    }
    let said: Value = serde_json::from_str(&ready(&desk, 503).await).unwrap();
    assert_eq!(said["detail"], json!("the disk of the collector's database is full"));
    drop(filler);
    std::fs::remove_file(at.path().join("filler")).unwrap();
    ready(&desk, 200).await;
    desk.close().await;
}
