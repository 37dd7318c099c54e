//! A name as hickory carries it, of the text of a configuration.

use hickory_resolver::proto::rr::{Name, domain::Label};

use crate::measure::target;

/// Reads a name: an ASCII label as it stands, with whatever printable characters it has (`_sip`,
/// `0/25`); another by its IDNA form (RFC 5890). A name that ends in a dot is whole. [`None`] when
/// it is no name.
pub fn read(text: &str) -> Option<Name> {
    target::name(text).ok()?;
    if text == "." {
        return Some(Name::root());
    }
    let label = |label: &str| {
        if label.is_ascii() {
            Label::from_raw_bytes(label.as_bytes()).ok()
        } else {
            Label::from_utf8(label).ok()
        }
    };
    let labels: Option<Vec<Label>> = target::labels(text).map(label).collect();
    let mut name = Name::from_labels(labels?).ok()?;
    name.set_fqdn(text.ends_with('.'));
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn names_of_services_zones_and_other_scripts_are_carried_as_they_are() {
        let wire =
            |text: &str| read(text).map(|name| name.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
        for text in ["_sip._tcp.example.net", "0/25.2.0.192.in-addr.arpa", "my_host.example"] {
            let labels: Vec<Vec<u8>> =
                text.split('.').map(|label| label.as_bytes().to_vec()).collect();
            assert_eq!(wire(text), Some(labels), "{text}");
        }
        assert_eq!(wire("bücher.example").unwrap()[0], b"xn--bcher-kva");
        assert!(read("example.net.").unwrap().is_fqdn() && !read("example.net").unwrap().is_fqdn());
        for text in ["", "a..b", "a b"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
