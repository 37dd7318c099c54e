//! `/etc/resolv.conf`: the name servers, the search list and the options (resolv.conf(5)). What is
//! right in it is taken; what is not is left out and said: one odd word must not cost the name
//! servers.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;

use crate::measure::target::{self, Host};
use crate::net::resolve::name;

/// What the file says, as far as it is right.
pub struct Read {
    /// The servers and the search list; [`None`] when no server is named.
    pub config: Option<ResolverConfig>,
    /// How they are asked.
    pub options: ResolverOpts,
    /// The interfaces behind link-local servers.
    pub links: Vec<(Ipv6Addr, String)>,
    /// What was left out, and why.
    pub faults: Vec<String>,
}

/// Reads the file.
pub fn read(file: &[u8]) -> Read {
    let (mut links, mut faults) = (Vec::new(), Vec::new());
    // The parser takes few interfaces' names behind an address: they are taken off before.
    let lines: Vec<Vec<u8>> =
        file.split(|&byte| byte == b'\n').map(|line| without_link(line, &mut links)).collect();
    let (parsed, errors) = resolv_conf::Config::parse_with_errors(&lines.join(&b'\n'));
    faults.extend(errors.iter().map(ToString::to_string));
    let servers: Vec<NameServerConfig> = parsed
        .nameservers
        .iter()
        .map(IpAddr::from)
        .inspect(|&server| {
            let named = links.iter().any(|(known, _)| *known == server);
            if target::is_link_local(server) && !named {
                faults.push(format!(
                    "nameserver {server} is link-local: write {server}%eth0, with its interface"
                ));
            }
        })
        .map(NameServerConfig::udp_and_tcp)
        .collect();
    let mut search = Vec::new();
    for word in parsed.get_last_search_or_domain() {
        match name::read(word).filter(|_| word != "--") {
            Some(domain) => search.push(domain),
            None => faults.push(format!("{word:?} in the search list is no domain")),
        }
    }
    let domain: Option<Name> = parsed.get_system_domain().and_then(|domain| name::read(&domain));
    let mut options = ResolverOpts::default();
    options.ndots = usize::try_from(parsed.ndots).unwrap_or(usize::MAX);
    options.timeout = Duration::from_secs(u64::from(parsed.timeout));
    options.attempts = usize::try_from(parsed.attempts).unwrap_or(usize::MAX);
    options.edns0 = parsed.edns0;
    let config = (!servers.is_empty()).then(|| ResolverConfig::from_parts(domain, search, servers));
    Read { config, options, links, faults }
}

/// A line without the interface behind a link-local server, which is kept apart.
fn without_link(line: &[u8], links: &mut Vec<(Ipv6Addr, String)>) -> Vec<u8> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let mut words = text.split_whitespace();
    if words.next() == Some("nameserver")
        && let Some(server) = words.next()
        && let Ok(Host::Scoped(address, link)) = target::host(server)
    {
        links.push((address, link.to_owned()));
        return format!("nameserver {address}").into_bytes();
    }
    line.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(read: &Read) -> Vec<String> {
        let config = read.config.as_ref();
        config
            .map(|config| {
                config.name_servers().iter().map(|server| server.ip.to_string()).collect()
            })
            .unwrap_or_default()
    }

    #[test]
    fn one_odd_word_costs_itself_and_is_said() {
        let long = "a".repeat(64);
        for odd in [
            "search -x.",
            "search ..",
            &format!("search {long}"),
            "options nosuch",
            "nosuch",
            "nameserver x",
        ] {
            let file = format!("{odd}\nnameserver 192.0.2.53\n");
            let read = read(file.as_bytes());
            assert_eq!(servers(&read), ["192.0.2.53"], "{odd}");
            // `-x.` is odd to a registrar, and a name to DNS.
            assert_eq!(
                read.faults.len(),
                usize::from(odd != "search -x."),
                "{odd}: {:?}",
                read.faults
            );
        }
    }

    #[test]
    fn the_good_words_of_a_search_list_stay() {
        let read = read(b"search good.example .. other.example\nnameserver 192.0.2.53\n");
        let search: Vec<String> =
            read.config.unwrap().search().iter().map(ToString::to_string).collect();
        assert_eq!(search, ["good.example", "other.example"]);
        assert_eq!(read.faults, ["\"..\" in the search list is no domain"]);
    }

    #[test]
    fn a_link_local_server_has_its_interface() {
        let scoped = read(b"nameserver fe80::1%br-lan\nnameserver 192.0.2.53\n");
        assert_eq!(servers(&scoped), ["fe80::1", "192.0.2.53"]);
        assert_eq!(scoped.links, [("fe80::1".parse().unwrap(), "br-lan".to_owned())]);
        assert!(scoped.faults.is_empty(), "{:?}", scoped.faults);
        assert_eq!(read(b"nameserver fe80::1\n").faults.len(), 1);
    }

    #[test]
    fn a_file_without_a_server_has_none() {
        assert!(read(b"# nothing\nsearch x\n").config.is_none());
        assert!(read(b"\xff\xfe").config.is_none());
    }
}
