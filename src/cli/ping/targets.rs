//! The hosts of the command line: names, addresses, ranges.

use std::net::Ipv4Addr;

use crate::measure::target::{self, Host};

/// The largest range that is taken: a /20.
const LARGEST: u32 = 4096;

/// Every host by itself, in the order written; a range gives its usable addresses, all of them for
/// a /31 or /32. A link-local address names its link, unless all are asked by one interface.
pub(super) fn expand(hosts: &[String], interface: Option<&str>) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for host in hosts {
        match (host.split_once('/'), target::host(host)) {
            (_, Ok(named)) => {
                check_link(host, named, interface)?;
                all.push(host.clone());
            }
            (Some((address, length)), Err(_)) if !host.contains("://") => {
                all.extend(range(host, address, length)?)
            }
            (_, Err(fault)) => return Err(format!("{host}: {fault}")),
        }
    }
    Ok(all)
}

fn check_link(host: &str, named: Host<'_>, interface: Option<&str>) -> Result<(), String> {
    match (named, interface) {
        (Host::Address(address), None) if target::is_link_local(address) => Err(format!(
            "{host} is link-local, and each link may have one: say which, such as {host}%wan0, or \
                -I wan0"
        )),
        (Host::Scoped(_, link), Some(interface)) if link != interface => {
            Err(format!("{host} is on {link}, but -I says {interface}"))
        }
        _ => Ok(()),
    }
}

fn range(written: &str, address: &str, length: &str) -> Result<Vec<String>, String> {
    let fault = |what: &str| Err(format!("{written}: {what}"));
    let Ok(address) = address.parse::<Ipv4Addr>() else {
        return fault("a range is an IPv4 address and a length, such as 10.0.0.0/28");
    };
    let Some(length) = length.parse::<u32>().ok().filter(|length| *length <= 32) else {
        return fault("a range's length is a number from 0 to 32");
    };
    let count = 1u64 << (32 - length);
    if count > u64::from(LARGEST) {
        return fault("a range has at most 4096 addresses (a /20)");
    }
    let count = u32::try_from(count).expect("at most 4096");
    let first = u32::from(address) & !(count - 1);
    let usable =
        if count > 2 { first + 1..=first + (count - 2) } else { first..=first + (count - 1) };
    Ok(usable.map(|address| Ipv4Addr::from(address).to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str) -> Result<Vec<String>, String> {
        expand(&[host.to_owned()], None)
    }

    #[test]
    fn a_range_is_every_usable_address_in_it() {
        assert_eq!(of("10.0.0.5/30").unwrap(), ["10.0.0.5", "10.0.0.6"]);
        assert_eq!(of("10.0.0.5/31").unwrap(), ["10.0.0.4", "10.0.0.5"]);
        assert_eq!(of("255.255.255.255/32").unwrap(), ["255.255.255.255"]);
        assert_eq!(of("10.0.0.0/28").unwrap().len(), 14);
        assert_eq!(of("hq.example.net").unwrap(), ["hq.example.net"]);
    }

    #[test]
    fn what_is_no_range_is_named() {
        for host in
            ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/19", "0.0.0.0/0", "x/8", "::1/64", "10.0.0.0/-1"]
        {
            assert!(of(host).unwrap_err().starts_with(host), "{host}");
        }
    }
}
