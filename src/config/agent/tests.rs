use super::*;
use crate::measure::probe::Test;

const MS: Duration = Duration::from_millis(1);

fn faults(text: &str) -> Vec<String> {
    parse(text, "agent.toml", Path::new("/nowhere")).map(|_| ()).unwrap_err().0
}

const HEAD: &str = "site = \"leeds-01\"\ndata_dir = \"data\"\n";

#[test]
fn a_probe_takes_what_it_does_not_say_from_the_defaults() {
    let text = format!(
        "{HEAD}[defaults]\ntimeout = \"3s\"\ndscp = \"af41\"\n[[probe]]\nname = \"a\"\nkind \
            = \"icmp\"\ntarget = \"::1\"\ncutoff = \"1s\"\n"
    );
    let config = parse(&text, "agent.toml", Path::new("/etc/wanproof")).unwrap();
    let probe = &config.probes[0];
    assert_eq!(
        (probe.timeout, probe.cutoff, probe.circuit.dscp),
        (3 * MS * 1000, 1000 * MS, Some(34))
    );
    assert_eq!(config.data_dir, Path::new("/etc/wanproof/data"));
    assert_eq!(config.status_socket, Path::new("/etc/wanproof/data/agent.sock"));
}

#[test]
fn urls_are_taken_apart() {
    let text = |url| format!("{HEAD}[[probe]]\nname = \"a\"\nkind = \"http\"\nurl = \"{url}\"\n");
    for (url, host, port) in [
        ("http://a.example/x?y:80", "a.example", 80),
        ("https://a.example:8443", "a.example", 8443),
        ("https://[::1]/", "::1", 443),
        ("http://[::1]:81/", "::1", 81),
    ] {
        let config = parse(&text(url), "agent.toml", Path::new("/")).unwrap();
        let Test::Http(http) = &config.probes[0].test else { panic!() };
        assert_eq!((http.host.as_str(), http.port), (host, port));
    }
    for url in ["ftp://a", "http://", "http://a:0/", "http://a:x/", "http://u@a/", "http://a b/"] {
        assert_eq!(faults(&text(url)).len(), 1, "{url}");
    }
}

#[test]
fn a_cutoff_beyond_the_timeout_is_a_fault_with_its_place() {
    let text = format!(
        "{HEAD}[[probe]]\nname = \"hq-icmp\"\nkind = \"icmp\"\ntarget = \"::1\"\ncutoff \
            = \"3s\"\ntimeout = \"2s\"\n"
    );
    assert_eq!(
        faults(&text),
        ["agent.toml: probe \"hq-icmp\": cutoff 3s is longer than timeout 2s"]
    );
}

#[test]
fn a_secret_prints_as_an_ellipsis() {
    assert_eq!(format!("{:?}", Token("one-time".to_owned())), "…");
}
