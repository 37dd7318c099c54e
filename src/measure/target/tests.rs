use super::*;
use proptest::prelude::*;

#[test]
fn addresses_names_and_links_are_told_apart() {
    assert_eq!(host("192.0.2.1"), Ok(Host::Address([192, 0, 2, 1].into())));
    assert_eq!(host("fe80::1%br-lan"), Ok(Host::Scoped("fe80::1".parse().unwrap(), "br-lan")));
    assert_eq!(host("fe80::1%eth0.100"), Ok(Host::Scoped("fe80::1".parse().unwrap(), "eth0.100")));
    let names = [
        "hq.example.net",
        "hq.example.net.",
        "my_host",
        "_sip._tcp.example.net",
        "bücher.example",
        "3com.com",
        "0/25.2.0.192.in-addr.arpa",
        "-odd.example",
    ];
    for name in names {
        assert_eq!(host(name), Ok(Host::Name(name)));
    }
}

#[test]
fn what_can_only_be_a_mistake_is_told_as_what_it_is() {
    let long = format!("{}.example", "a".repeat(64));
    let longer = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    let faults = [
        ("", NotAHost::Empty),
        ("https://hq.example.net/", NotAHost::Url),
        ("[2001:db8::1]", NotAHost::Brackets),
        ("192.0.2.1:443", NotAHost::Port),
        ("hq.example.net:443", NotAHost::Port),
        ("2001:db8::g", NotAHost::Colon),
        ("192.0.2.0/24", NotAHost::Network),
        ("2001:db8::/32", NotAHost::Network),
        ("hq.example.net/health", NotAHost::Character),
        ("192.0.2.300", NotAHost::Octets),
        ("192.0.2", NotAHost::Octets),
        ("1.2.3.4.5", NotAHost::Octets),
        ("0x7f000001", NotAHost::Octets),
        ("fe80::1%", NotAHost::Scope),
        ("fe80::1%2", NotAHost::Scope),
        ("2001:db8::1%wan0", NotAHost::ScopeOfGlobal),
        ("hq example", NotAHost::Character),
        ("hq..example", NotAHost::EmptyLabel),
        (".example", NotAHost::EmptyLabel),
        (&long, NotAHost::LongLabel),
        (&longer, NotAHost::Long),
    ];
    for (text, fault) in faults {
        assert_eq!(host(text), Err(fault), "{text}");
    }
}

#[test]
fn a_question_to_a_name_server_may_hold_what_no_host_name_holds() {
    for sound in [
        ".",
        "_dmarc.example.net",
        "0/25.2.0.192.in-addr.arpa",
        "a b".split(' ').next().unwrap(),
        "*.x",
        "12",
    ] {
        assert_eq!(name(sound), Ok(()), "{sound}");
    }
    for (text, fault) in
        [("", NotAHost::Empty), ("..", NotAHost::EmptyLabel), ("a b", NotAHost::Character)]
    {
        assert_eq!(name(text), Err(fault), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,80}") {
        let _ = (host(&text), name(&text), without_scope(&text));
    }

    #[test]
    fn every_address_is_a_host_and_keeps_its_value(bytes in any::<[u8; 16]>()) {
        let address = IpAddr::from(bytes);
        let text = address.to_string();
        prop_assert_eq!(host(&text), Ok(Host::Address(address)));
    }
}
