//! `/etc/hosts`: an address and its names, one line each (hosts(5)).

use std::net::IpAddr;

/// The addresses of a name in a hosts file, in the file's order. What cannot be read in it is
/// passed over, as libc does.
pub fn addresses(file: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut found = Vec::new();
    for line in file.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else { continue };
        if words.any(|word| word.eq_ignore_ascii_case(name)) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case_and_comments_are_not_names() {
        let file = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost\n 192.0.2.9  Gate \
            gate.example.net # hidden\nnonsense gate\n";
        let found =
            |name: &str| addresses(file, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(found("GATE.example.net."), ["192.0.2.9"]);
        assert_eq!(found("gate"), ["192.0.2.9"]);
        assert!(found("hidden").is_empty() && found("").is_empty());
    }
}
