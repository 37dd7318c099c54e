//! Configurations as a user writes them: each broken one under testdata/configurations has the
//! exact message beside it. `WANPROOF_WRITE_EXPECTED=1 cargo test` writes the messages anew, to be
//! read before they are committed.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

mod kit;
use kit::secret;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn check(config: &Path) -> Output {
    let name = config.file_name().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    command
        .current_dir(config.parent().unwrap())
        .args(["check", "--config"])
        .arg(name)
        .output()
        .unwrap()
}

#[test]
fn every_broken_configuration_is_refused_with_exactly_its_message() {
    let mut seen = 0;
    for entry in std::fs::read_dir(here("tests/testdata/configurations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let output = check(&path);
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = path.with_extension("expected");
        if std::env::var_os("WANPROOF_WRITE_EXPECTED").is_some() {
            std::fs::write(&expected, &said).unwrap();
        }
        assert_eq!(said, std::fs::read_to_string(&expected).unwrap(), "{}", path.display());
        assert_eq!(output.status.code(), Some(2), "{}", path.display());
        assert!(output.stdout.is_empty(), "{}", path.display());
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn the_shipped_configurations_are_sound() {
    let output = check(&here("config/agent.toml"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());

    if !cfg!(feature = "collector") {
        return;
    }
    // The collector's names files that its operator makes.
    let dir = tempfile::tempdir().unwrap();
    let own = rcgen::generate_simple_self_signed(["collector.example.net".to_owned()]).unwrap();
    let files = [
        ("cert.pem", own.cert.pem()),
        ("key.pem", own.signing_key.serialize_pem()),
        ("tokens", "one-time\n".to_owned()),
        ("admin-token", "a-long-token-for-the-operators\n".to_owned()),
    ];
    for (name, text) in files {
        secret::write(dir.path().join(name), text);
    }
    std::fs::copy(here("config/collector.toml"), dir.path().join("collector.toml")).unwrap();
    let output = check(&dir.path().join("collector.toml"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn a_configuration_with_every_key_is_sound() {
    let output = check(&here("tests/testdata/configurations/every-key/agent.toml"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("probe hq-icmp (icmp hq.example.net): measures ckt-0042"), "{said}");
    assert!(output.status.success());
}

#[test]
fn the_units_are_sound_to_systemd() {
    let dir = tempfile::tempdir().unwrap();
    for unit in ["wanproof-agent.service", "wanproof-collector.service"] {
        // It looks whether the program is there; where the units install it, it need not be yet.
        let text = std::fs::read_to_string(here("systemd").join(unit)).unwrap();
        let path = dir.path().join(unit);
        std::fs::write(
            &path,
            text.replace("/usr/local/bin/wanproof", env!("CARGO_BIN_EXE_wanproof")),
        )
        .unwrap();
        let Ok(output) =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output()
        else {
            let _ = writeln!(std::io::stderr(), "skipped: systemd-analyze is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains(unit), "{said}");
    }
}

#[test]
fn a_configuration_that_is_not_there_says_how_to_begin_one() {
    let output = check(&here("config/nowhere.toml"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("wanproof init"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn init_writes_what_check_accepts_and_never_overwrites_it() {
    let dir = tempfile::tempdir().unwrap();
    let init = || {
        Command::new(env!("CARGO_BIN_EXE_wanproof")).arg("init").arg(dir.path()).output().unwrap()
    };
    assert!(init().status.success());
    let output = check(&dir.path().join("agent.toml"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let before = std::fs::read(dir.path().join("agent.toml")).unwrap();
    assert_eq!(init().status.code(), Some(2));
    assert_eq!(std::fs::read(dir.path().join("agent.toml")).unwrap(), before);
}

fn init(dir: &Path, options: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    program.arg("init").arg(dir).args(options).output().unwrap()
}

#[test]
fn init_with_a_collector_and_targets_writes_what_works_at_once_and_says_what_to_type() {
    let dir = tempfile::tempdir().unwrap();
    let targets = ["192.0.2.1", "2001:db8::1", "hq.example.net", "tcp://192.0.2.1:443"];
    let mut options = vec!["--collector", "https://c.example.net:8443", "--token", "-one\"time"];
    options.push("--target");
    options.extend(targets);
    options.extend(["--site", "leeds-02", "--target", "https://portal.example.net/"]);
    let output = init(dir.path(), &options);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config = dir.path().join("agent.toml");
    let said = String::from_utf8(output.stdout).unwrap();
    let next = format!(
        "next:\n  wanproof check --config {0}\n  wanproof run --config {0}\n",
        config.display()
    );
    assert!(said.ends_with(&next) && said.contains("fingerprint: "), "{said}");

    let output = check(&config);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["192.0.2.1", "2001-db8-1", "hq.example.net", "tcp-192.0.2.1-443"] {
        assert!(said.contains(&format!("probe {name}")), "{name}: {said}");
    }
    assert!(said.contains("probe https-portal.example.net"), "{said}");
    assert!(!said.contains("loopback"), "{said}");
    let text = std::fs::read_to_string(&config).unwrap();
    let text: toml::Table = text.parse().unwrap();
    assert_eq!(text["collector"]["token"].as_str(), Some("-one\"time"));
    let mode = std::fs::metadata(&config).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o007, 0, "the token is there for everybody: {mode:o}");
}

#[test]
fn init_tells_every_fault_before_it_writes_anything() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("new");
    for (options, told) in [
        (&["--collector", "c.example.net"][..], "--collector \"c.example.net\": expected http://"),
        (&["--collector", "http://c.example.net"], "is not encrypted: use https://"),
        (&["--collector", "https://"], "it names no host"),
        (&["--collector", "https://c.example.net", "--token", "a b"], "--token: it is empty or"),
        (&["--token", "t"], "--collector"),
        (&["--target", "hq example"], "--target \"hq example\": it holds white space"),
        (&["--target", "192.0.2.1", "192.0.2.1"], "is there twice"),
        (&["--target"], "a value is required for '--target"),
        (&["--site", "leeds 02"], "site: expected 1 to 64 letters"),
    ] {
        let output = init(&place, options);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(said.contains(told), "{options:?}: {said}");
        assert!(!place.exists(), "{options:?}");
    }
    let options = ["--collector", "http://c.example.net", "--target", "a b", "c d"];
    let said = String::from_utf8(init(&place, &options).stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("--")).count(), 3, "{said}");
}

#[test]
fn init_takes_a_collector_on_loopback_without_encryption() {
    let dir = tempfile::tempdir().unwrap();
    for (at, url) in
        ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080"].iter().enumerate()
    {
        let place = dir.path().join(at.to_string());
        let output = init(&place, &["--collector", url, "--target", "::1"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = check(&place.join("agent.toml"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn init_fills_in_the_example_that_nobody_changed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("agent.toml");
    std::fs::copy(here("config/agent.toml"), &config).unwrap();
    assert!(init(dir.path(), &["--target", "192.0.2.1"]).status.success());
    let filled = std::fs::read_to_string(&config).unwrap();
    assert!(filled.contains("target = \"192.0.2.1\""), "{filled}");
    assert!(!dir.path().join("agent.toml.new").exists());
    let output = init(dir.path(), &["--target", "192.0.2.2"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&config).unwrap(), filled);
}
