use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn parse(text: &str, beside: &Path) -> Result<CollectorConfig, Faults> {
    CollectorConfig::parse(text, "collector.toml", beside)
}

#[test]
fn the_whole_file_is_read_and_paths_are_beside_it() {
    let at = tempfile::tempdir().unwrap();
    for name in ["tokens", "admin-token", "cert.pem", "key.pem"] {
        std::fs::write(at.path().join(name), "sixteen characters").unwrap();
        std::fs::set_permissions(at.path().join(name), std::fs::Permissions::from_mode(0o600))
            .unwrap();
    }
    let text = r#"
        listen = "0.0.0.0:8443"
        database = "sqlite:collector.db"
        data_dir = "/var/lib/wanproof-collector"
        key_file = "collector.key"
        contracts_dir = "contracts"
        tls = { cert = "cert.pem", key = "key.pem" }
        enrolment = { mode = "token", token_file = "tokens" }
        admin = { token_file = "admin-token" }
        limits = { body = "2MiB", per_agent = "10/s", bytes_per_agent = "16MiB" }
        alerts = { silent_after = "5", webhook = "https://example.net/hook" }
    "#;
    let config = parse(text, at.path()).unwrap();
    assert_eq!(config.database, Database::Sqlite(at.path().join("collector.db")));
    assert_eq!(config.data_dir, Path::new("/var/lib/wanproof-collector"));
    assert_eq!(config.enrolment, Enrolment::Token(at.path().join("tokens")));
    assert_eq!(config.limits.body, 2 << 20);
    assert_eq!(config.limits.per_agent, Rate { count: 10, per: Duration::from_secs(1) });
    assert_eq!(
        config.limits.bytes_per_agent,
        Rate { count: 16 << 20, per: Duration::from_secs(86_400) }
    );
    assert_eq!(config.alerts.silent_after, 5);
}

#[test]
fn a_database_beside_a_configuration_in_the_working_directory_lies_there_too() {
    let config =
        parse("listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:c.db\"", Path::new("")).unwrap();
    assert_eq!(
        (config.data_dir.as_path(), config.key_file.as_path()),
        (Path::new("."), Path::new("./collector.key"))
    );
}

#[test]
fn a_short_file_gets_safe_defaults() {
    let config =
        parse("listen = \"127.0.0.1:0\"\ndatabase = \"sqlite:/x/c.db\"", Path::new("/etc"))
            .unwrap();
    assert_eq!(
        (config.data_dir.as_path(), config.enrolment),
        (Path::new("/x"), Enrolment::Operator)
    );
    assert_eq!(config.key_file, Path::new("/x/collector.key"));
    assert_eq!(config.limits.per_agent, Rate { count: 60, per: Duration::from_secs(60) });
}

#[test]
fn all_faults_are_told_together() {
    let text = r#"
        listen = "0.0.0.0:80"
        database = "mysql://u:secret@h/d"
        typo = 1
        enrolment = { mode = "token" }
        admin = { token_file = "no-such-file" }
        limits = { body = "5MiB", per_agent = "0/m", bytes_per_agent = "4GiB" }
        alerts = { silent_after = 0, webhook = "example.net" }
    "#;
    let faults = parse(text, Path::new("/nowhere")).unwrap_err().0;
    for part in [
        "listen 0.0.0.0:80 can be reached from elsewhere",
        "database = \"mysql\" is not right",
        "[enrolment]: token_file is missing",
        "[admin]: token_file: /nowhere/no-such-file cannot be read",
        "[limits]: body = \"5MiB\"",
        "[limits]: per_agent = \"0/m\"",
        "[limits]: bytes_per_agent = \"4GiB\"",
        "[alerts]: silent_after = 0",
        "[alerts]: webhook = \"example.net\"",
        "typo is no key that is known here",
    ] {
        assert_eq!(
            faults.iter().filter(|fault| fault.contains(part)).count(),
            1,
            "{part}: {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 10, "{faults:#?}");
}
