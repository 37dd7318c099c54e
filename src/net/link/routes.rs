//! The main route tables as `/proc/net/route` and `/proc/net/ipv6_route` print them, and which
//! route a packet takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub interface: String,
    pub destination: IpAddr,
    pub prefix: u8,
    pub gateway: Option<IpAddr>,
    pub metric: u32,
}

/// The route is usable (`RTF_UP` in `<linux/route.h>`).
const UP: u32 = 0x1;
/// The route forbids (`RTF_REJECT`).
const REJECT: u32 = 0x200;

/// Reads `/proc/net/route`; lines that cannot be read are passed over. Addresses are hexadecimal
/// words in the byte order of the host.
pub fn v4(text: &str) -> Vec<Route> {
    text.lines().skip(1).filter_map(v4_line).collect()
}

fn v4_line(line: &str) -> Option<Route> {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask …
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let word = u32::from_str_radix(words.get(at)?, 16).ok()?;
        Some(Ipv4Addr::from(word.to_ne_bytes()))
    };
    let flags = u32::from_str_radix(words.get(3)?, 16).ok()?;
    let gateway = address(2)?;
    let prefix = u8::try_from(u32::from(address(7)?).leading_ones()).ok()?;
    (flags & UP != 0 && flags & REJECT == 0).then_some(Route {
        interface: (*words.first()?).to_owned(),
        destination: address(1)?.into(),
        prefix,
        gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
        metric: words.get(6)?.parse().ok()?,
    })
}

/// Reads `/proc/net/ipv6_route`; lines that cannot be read are passed over.
pub fn v6(text: &str) -> Vec<Route> {
    text.lines().filter_map(v6_line).collect()
}

fn v6_line(line: &str) -> Option<Route> {
    // destination prefix source prefix gateway metric refcnt use flags interface
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let word = words.get(at).filter(|word| word.len() == 32)?;
        Some(Ipv6Addr::from(u128::from_str_radix(word, 16).ok()?))
    };
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    let gateway = address(4)?;
    (flags & UP != 0 && flags & REJECT == 0).then_some(Route {
        interface: (*words.get(9)?).to_owned(),
        destination: address(0)?.into(),
        prefix: u8::from_str_radix(words.get(1)?, 16).ok().filter(|&prefix| prefix <= 128)?,
        gateway: (!gateway.is_unspecified()).then_some(gateway.into()),
        metric: u32::from_str_radix(words.get(5)?, 16).ok()?,
    })
}

/// The route that a packet to `target` takes: the longest prefix, then the lowest metric. What is
/// for this host itself goes by `lo`, which the tables do not all say.
pub fn best(routes: impl Iterator<Item = Route>, target: IpAddr) -> Option<Route> {
    if target.is_loopback() {
        let lo = Route {
            interface: "lo".to_owned(),
            destination: target,
            prefix: 128,
            gateway: None,
            metric: 0,
        };
        return Some(lo);
    }
    routes
        .filter(|route| holds(route, target))
        .min_by_key(|route| (u8::MAX - route.prefix, route.metric))
}

fn holds(route: &Route, target: IpAddr) -> bool {
    let differs = |difference: u128, width: u32| {
        let shift = width.saturating_sub(u32::from(route.prefix));
        difference.checked_shr(shift).unwrap_or(0) != 0
    };
    match (route.destination, target) {
        (IpAddr::V4(network), IpAddr::V4(target)) => {
            !differs(u128::from(u32::from(network) ^ u32::from(target)), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(target)) => {
            !differs(u128::from(network) ^ u128::from(target), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V4: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wan0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
lte0\t00000000\t016433C6\t0003\t0\t0\t700\t00000000\t0\t0\t0
wan0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
lan0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
off0\t006433C6\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
    const V6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 00000100 00000001 00000000 00000001     wan0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe800000000000000000000000000001 00000400 00000001 00000000 00000003     wan0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    fn way(target: &str) -> Option<(String, Option<String>)> {
        let target: IpAddr = target.parse().unwrap();
        let routes = if target.is_ipv4() { v4(V4) } else { v6(V6) };
        best(routes.into_iter(), target)
            .map(|route| (route.interface, route.gateway.map(|gateway| gateway.to_string())))
    }

    fn by(interface: &str, gateway: Option<&str>) -> Option<(String, Option<String>)> {
        Some((interface.to_owned(), gateway.map(str::to_owned)))
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_longest_prefix_and_then_the_lowest_metric_is_the_way() {
        assert_eq!(way("203.0.113.9"), by("wan0", Some("192.0.2.1")));
        assert_eq!(way("192.0.2.77"), by("wan0", None));
        assert_eq!(way("10.1.2.3"), by("lan0", None));
        assert_eq!(
            way("198.51.100.1"),
            by("wan0", Some("192.0.2.1")),
            "a route that is not up is none"
        );
        assert_eq!(way("127.0.0.1"), by("lo", None));
    }

    #[test]
    fn ipv6_has_its_own_table_and_a_route_that_forbids_is_none() {
        assert_eq!(way("2001:db8::7"), by("wan0", None));
        assert_eq!(way("2001:db9::7"), by("wan0", Some("fe80::1")));
        let only_reject: String = V6.lines().skip(2).collect();
        assert_eq!(best(v6(&only_reject).into_iter(), "2001:db9::7".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_a_panic(text in "[0-9a-fx \t\n]{0,300}", target: IpAddr) {
            let _ = best(v4(&text).into_iter().chain(v6(&text)), target);
        }
    }
}
