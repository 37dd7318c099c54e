use serde_json::json;

use super::*;
use crate::base::time::Wall;

fn outage() -> Outage {
    Outage {
        service: None,
        probe: "hq".to_owned(),
        definition: "builtin".to_owned(),
        from: Wall::from_secs(0),
        to: None,
        side: "unknown".to_owned(),
        evidence: json!({}),
    }
}

async fn inside<T>(work: impl Future<Output = T>) -> T {
    tokio::task::LocalSet::new().run_until(work).await
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn who_does_not_listen_has_so_many_waiting_and_no_more() {
    inside(async {
        let hooks = config::Hooks { webhook: None, command: shell("exit 0") };
        let mut hooks = Hooks::start(&hooks);
        // Its task does not run before something is awaited.
        (0..2 * ROOM).for_each(|_| hooks.tell(&outage()));
        assert_eq!(hooks.lines[0].queue.capacity(), 0);
        assert!(hooks.lines[0].full);
    })
    .await;
}

#[tokio::test]
async fn all_that_waits_is_told_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    inside(async {
        let command = shell(&format!("cat >> {}", told.display()));
        let mut hooks = Hooks::start(&config::Hooks { webhook: None, command });
        (0..3).for_each(|_| hooks.tell(&outage()));
        hooks.end(Duration::from_secs(60)).await;
    })
    .await;
    let told = std::fs::read_to_string(told).unwrap();
    let line = r#"{"service":null,"probe":"hq","from":"1970-01-01T00:00:00Z","to":null,"seconds":null,"definition":"builtin","side":"unknown","evidence":{}}"#;
    assert_eq!(told.lines().collect::<Vec<_>>(), [line; 3]);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("pid"), dir.path().join("child"));
    let script =
        format!("sleep 600 & echo $! > {}; echo $$ > {}; wait", theirs.display(), ours.display());
    let killed = run(&shell(&script), "{}", Duration::from_secs(1)).await;
    assert!(killed.unwrap_err().contains("was killed"));
    let stopped = |file: &std::path::Path| {
        let id = std::fs::read_to_string(file).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        // A process that nobody has waited for yet is a zombie.
        stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
    };
    // They are killed at once, and gone when the system gets to it.
    let begun = std::time::Instant::now();
    while !(stopped(&ours) && stopped(&theirs)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "they go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_command_that_reads_nothing_or_is_not_there_or_fails_is_told_apart() {
    let limit = Duration::from_secs(60);
    assert_eq!(run(&shell("exit 0"), &"x".repeat(1 << 20), limit).await, Ok(()));
    assert!(run(&shell("exit 3"), "{}", limit).await.unwrap_err().contains("exit status: 3"));
    assert!(
        run(&["/no/such".to_owned()], "{}", limit).await.unwrap_err().contains("cannot be run")
    );
}
