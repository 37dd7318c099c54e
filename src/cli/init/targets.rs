//! Targets as they are typed, and the probes that they ask for: a host is pinged, `tcp://HOST:PORT`
//! is connected to, a URL is asked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use crate::config::agent;
use crate::measure::target::{self, NotAHost};

/// As long as a name may be, less what tells it from another.
const LONGEST: usize = 60;

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The `[[probe]]` sections for the targets.
///
/// # Errors
/// All faults, a line each.
pub(super) fn probes(targets: &[String]) -> Result<String, Vec<String>> {
    let (mut sections, mut faults) = (Vec::new(), Vec::new());
    let (mut seen, mut names) = (BTreeSet::new(), BTreeSet::new());
    for typed in targets {
        if !seen.insert(same(typed)) {
            faults.push(format!("--target {typed:?} is there twice: once is enough"));
            continue;
        }
        let name = free(&name(typed), &mut names);
        let section = section(typed, &name);
        match fault(typed, &name, &section) {
            Some(fault) => faults.push(format!("--target {typed:?}: {fault}")),
            None => sections.push(section),
        }
    }
    if faults.is_empty() { Ok(sections.join("\n")) } else { Err(faults) }
}

fn section(typed: &str, name: &str) -> String {
    let mut text = String::new();
    let (kind, key, value, period) = match typed.split_once("://") {
        Some(("tcp", rest)) => ("tcp", "target", rest.trim_end_matches('/'), "1s"),
        Some(("http" | "https", _)) => ("http", "url", typed, "30s"),
        _ => ("icmp", "target", typed, "1s"),
    };
    let _ = writeln!(
        text,
        "[[probe]]\nname = {}\nkind = \"{kind}\"\n{key} = {}\nperiod = \"{period}\"",
        quoted(name),
        quoted(value)
    );
    text
}

/// What is wrong with a target: what the check would say of its probe, in words for who typed it.
fn fault(typed: &str, name: &str, section: &str) -> Option<String> {
    let scheme = typed.split_once("://").map(|(scheme, _)| scheme);
    match (scheme, target::host(typed)) {
        (Some("tcp" | "http" | "https"), _) => {}
        (Some(_), _) => {
            return Some("expected a host, tcp://HOST:PORT, or a URL of http or https".to_owned());
        }
        (None, Err(NotAHost::Port)) => {
            return Some(format!("a ping has no port: leave it out, or say tcp://{typed}"));
        }
        (None, Err(_)) if typed.starts_with(['/', '.']) => {
            return Some("it is no host: a directory stands before --target".to_owned());
        }
        (None, _) => {}
    }
    let text = format!("site = \"s\"\ndata_dir = \"d\"\n{section}");
    let faults = agent::parse(&text, "", Path::new("/")).err()?.0;
    let place = format!(": probe {name:?}: ");
    let bare = |fault: &String| {
        let fault = fault.strip_prefix(&place).unwrap_or(fault);
        let repeated = ["target", "url"].iter().find_map(|key| {
            fault.strip_prefix(key)?.strip_prefix(" \"")?.split_once("\": ").map(|(_, what)| what)
        });
        repeated.unwrap_or(fault).to_owned()
    };
    Some(faults.iter().map(bare).collect::<Vec<_>>().join("; "))
}

/// What two spellings of one target have in common.
fn same(typed: &str) -> String {
    match typed.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) if typed.contains('/') => typed.to_owned(),
        Err(_) => typed.trim_end_matches('.').to_lowercase(),
    }
}

/// A probe's name: the host, behind the scheme where there is one.
fn name(typed: &str) -> String {
    let (scheme, rest) =
        typed.split_once("://").map_or(("", typed), |(scheme, rest)| (scheme, rest));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // "::1" has nothing to begin with.
    let scheme = if host.starts_with(':') { "v6" } else { scheme };
    let mut name = scheme.to_owned();
    for c in host.chars() {
        if c.is_ascii_alphanumeric() || "._".contains(c) {
            if name.len() == scheme.len() && !scheme.is_empty() {
                name.push('-');
            }
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST);
    let name = name.trim_end_matches(['-', '.']);
    if name.is_empty() { "target".to_owned() } else { name.to_owned() }
}

/// The name, or where another probe has it the name and a number.
fn free(name: &str, names: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !names.contains(name));
    let free = free.unwrap_or_default();
    names.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(targets: &[&str]) -> Vec<String> {
        probes(&targets.iter().map(|&each| each.to_owned()).collect::<Vec<_>>()).unwrap_err()
    }

    #[test]
    fn names_are_sound_and_tell_what_is_asked() {
        for (typed, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001-db8-1"),
            ("::1", "v6-1"),
            ("fe80::1%wan0", "fe80-1-wan0"),
            ("hq.example.net.", "hq.example.net"),
            ("my_host", "my_host"),
            ("tcp://hq.example.net:443", "tcp-hq.example.net-443"),
            ("tcp://[2001:db8::1]:22", "tcp-2001-db8-1-22"),
            ("https://portal.example.net/health?x=1", "https-portal.example.net"),
            ("http://[::1]:8080/", "http-1-8080"),
            ("bücher.example", "b-cher.example"),
            ("例", "target"),
        ] {
            assert_eq!(name(typed), expected, "{typed}");
        }
        assert_eq!(name(&"a".repeat(63)).len(), LONGEST);
    }

    #[test]
    fn two_targets_of_one_name_are_told_apart_by_a_number() {
        let targets = ["https://a.example/x", "https://a.example/y", "2001:db8::1", "2001:db8:1::"];
        let text = probes(&targets.map(str::to_owned)).unwrap();
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
        assert_eq!(
            names,
            ["\"https-a.example\"", "\"https-a.example-2\"", "\"2001-db8-1\"", "\"2001-db8-1-2\""]
        );
    }

    #[test]
    fn one_target_in_two_spellings_is_told() {
        for pair in [
            ["192.0.2.1", "192.0.2.1"],
            ["2001:db8::1", "2001:DB8:0::1"],
            ["hq.example.net", "HQ.example.net."],
        ] {
            let fault = format!("--target {:?} is there twice: once is enough", pair[1]);
            assert_eq!(faults(&pair), [fault]);
        }
    }

    #[test]
    fn what_can_be_no_target_is_told_with_what_to_type() {
        for (typed, part) in [
            ("", "it is empty"),
            ("hq example", "white space"),
            ("hq.example.net:443", "say tcp://hq.example.net:443"),
            ("ftp://hq.example.net", "expected a host, tcp://HOST:PORT"),
            ("tcp://hq.example.net", "expected a host and a port"),
            ("tcp://2001:db8::1:22", "stands in brackets"),
            ("[2001:db8::1]", "without brackets"),
            ("192.0.2.0/24", "it is a network"),
            ("192.0.2.300", "it looks like an IPv4 address"),
            ("https://", "it names no host"),
            ("https://u@hq.example.net/", "a user name in a URL"),
            ("/etc/wanproof", "a directory stands before --target"),
            ("fe80::1", "say which link"),
            ("224.0.0.1", "multicast"),
            ("a\"\nkind = \"b", "white space"),
        ] {
            let faults = faults(&[typed]);
            assert_eq!(faults.len(), 1, "{typed}: {faults:?}");
            assert!(faults[0].starts_with(&format!("--target {typed:?}: ")), "{faults:?}");
            assert!(faults[0].contains(part), "{typed}: {faults:?}");
        }
    }

    #[test]
    fn all_faults_are_told_together() {
        assert_eq!(faults(&["a b", "192.0.2.1", "c d", "192.0.2.1"]).len(), 3);
    }
}
