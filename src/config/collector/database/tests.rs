use super::*;
use crate::config::collector::CollectorConfig;
use crate::config::written::Faults;

fn parse(text: &str, beside: &Path) -> Result<CollectorConfig, Faults> {
    CollectorConfig::parse(text, "collector.toml", beside)
}

#[test]
fn a_server_takes_a_directory_for_the_key_and_its_password_is_not_told() {
    let url =
        "postgres://wanproof:se:cr@et@db.example.net:5432/wan?sslmode=require&password=secret";
    let text = format!("listen = \"127.0.0.1:0\"\ndatabase = \"{url}\"\n");
    let faults = parse(&text, Path::new("/etc")).unwrap_err().0;
    assert!(faults.len() == 1 && faults[0].contains("data_dir is missing"), "{faults:?}");
    let config = parse(&format!("{text}data_dir = \"/d\""), Path::new("/etc")).unwrap();
    let Database::Postgres(address) = &config.database else { panic!("{config:?}") };
    assert_eq!(address.expose(), url);
    assert_eq!(address.to_string(), "postgres://wanproof:…@db.example.net:5432/wan");
    assert!(!format!("{config:?}").contains("cr@et"), "{config:?}");
}

#[test]
fn the_way_to_a_server_is_protected_as_libpq_would() {
    let parts = |options: &str| {
        let url = format!("postgres://u:p?@db.example.net/wan{options}");
        Address { url, beside: PathBuf::from("/etc/wanproof") }.parts()
    };
    let way = |options: &str| parts(options).unwrap().encryption;
    let (ca, system) = (PathBuf::from("/etc/wanproof/ca.pem"), None);
    assert_eq!(way(""), Encryption::Offered);
    assert_eq!(way("?sslmode=disable"), Encryption::Never);
    assert_eq!(way("?sslmode=require"), Encryption::Required);
    assert_eq!(way("?sslmode=require&sslrootcert=ca.pem"), Encryption::Vouched(ca.clone()));
    assert_eq!(way("?sslmode=verify-ca&sslrootcert=ca%2Epem"), Encryption::Vouched(ca.clone()));
    assert_eq!(way("?sslmode=verify-full&sslrootcert=ca.pem"), Encryption::Named(Some(ca)));
    assert_eq!(way("?sslmode=verify-full&sslrootcert=system"), Encryption::Named(system.clone()));
    assert_eq!(way("?sslmode=verify-full"), Encryption::Named(system));
    assert_eq!(way("?sslmode=allow"), Encryption::Allowed);
    let shown =
        parts("?sslcert=me.pem&sslmode=require&sslkey=/k/me.key").unwrap().identity.unwrap();
    assert_eq!(
        (shown.cert, shown.key),
        (PathBuf::from("/etc/wanproof/me.pem"), PathBuf::from("/k/me.key"))
    );
    let Parts { url, .. } =
        parts("?connect_timeout=5&sslmode=require&sslnegotiation=direct&user=w").unwrap();
    assert_eq!(
        url,
        "postgres://u:p?@db.example.net/wan?connect_timeout=5&sslnegotiation=direct&user=w"
    );
    for (options, what) in [
        ("?sslmode=perhaps", "sslmode=perhaps is not right"),
        ("?sslmode=allow&sslrootcert=ca.pem", "vouches for nothing"),
        ("?sslmode=verify-ca", "needs the authority"),
        ("?sslrootcert=ca.pem", "vouches for nothing"),
        ("?sslcert=me.pem", "sslcert is there without sslkey"),
        ("?sslkey=me.key", "sslkey is there without sslcert"),
        ("?sslmode=disable&sslcert=me.pem&sslkey=me.key", "shown to nobody"),
        ("?sslcrl=crl.pem", "sslcrl is not known here"),
    ] {
        assert!(parts(options).unwrap_err().contains(what), "{options}");
    }
    // Nothing but a socket's address has its slash there.
    let socket =
        Address::new("postgres:///wan?host=/run/postgresql&user=a@b&sslmode=disable".to_owned());
    assert_eq!(socket.parts().unwrap().url, "postgres:///wan?host=/run/postgresql&user=a@b");
}

#[test]
fn an_authority_that_cannot_be_read_is_a_fault_of_the_configuration() {
    let text = |options: &str| {
        format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"/d\"\ndatabase \
                = \"postgres://u@h/d?{options}\"\n"
        )
    };
    let faults = parse(&text("sslmode=verify-full&sslrootcert=no.pem"), Path::new("/nowhere"))
        .unwrap_err()
        .0;
    assert!(faults[0].contains("sslrootcert /nowhere/no.pem cannot be read"), "{faults:?}");
    let faults = parse(&text("sslcert=no.pem&sslkey=no.key"), Path::new("/nowhere")).unwrap_err().0;
    assert!(
        faults[0].contains("sslcert /nowhere/no.pem")
            && faults[1].contains("sslkey /nowhere/no.key"),
        "{faults:?}"
    );
    let faults = parse(&text("sslmode=sometimes"), Path::new("/nowhere")).unwrap_err().0;
    assert!(faults[0].contains("database: sslmode=sometimes is not right"), "{faults:?}");
}
