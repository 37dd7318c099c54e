use super::*;
use crate::base::time::Wall;
use crate::evidence::summary::CarrierChange;

#[test]
fn the_loopback_interface_has_a_carrier_and_an_unknown_one_none_that_is_known() {
    assert_eq!(carrier("lo"), Carrier::Up);
    for name in ["nosuch0", "", "..", "../net/lo", "a/b"] {
        assert_eq!(carrier(name), Carrier::Unknown, "{name:?}");
    }
}

#[test]
fn a_change_of_carrier_is_noted_once_and_told_with_its_span() {
    let mut links = Links::default();
    let at = Wall::from_secs;
    assert_eq!(links.note("wan0", Carrier::Up, at(1)), None);
    assert_eq!(links.note("wan0", Carrier::Down, at(2)), Some(("wan0".to_owned(), Carrier::Down)));
    assert_eq!(links.note("wan0", Carrier::Down, at(3)), None);
    let told = links.cut().remove(0);
    assert_eq!(told.changes, [CarrierChange { at: at(2), carrier: Carrier::Down }]);
    assert_eq!(told.carrier, Carrier::Down);
    assert_eq!(links.cut().remove(0).changes, []);
}

#[test]
fn what_is_looked_at_is_what_is_named() {
    let mut links = Links::default();
    links.look(["lo", "nosuch0"], Wall::default());
    links.look(["lo"], Wall::default());
    let told = links.cut();
    assert_eq!(told.iter().map(|part| part.interface.as_str()).collect::<Vec<_>>(), ["lo"]);
    assert_eq!(told[0].carrier, Carrier::Up);
}

#[test]
fn bytes_are_those_of_the_span_and_a_new_interface_counts_from_zero() {
    let at = |rx_bytes, tx_bytes| Counters { rx_bytes, tx_bytes, ..Counters::default() };
    assert_eq!(at(150, 20).since(Some(at(100, 20))), at(50, 0));
    assert_eq!(at(7, 5).since(Some(at(100, 2))), at(7, 3));
    assert_eq!(at(7, 5).since(None), at(7, 5));
}

#[test]
fn the_counters_are_those_of_the_interface_of_that_name() {
    let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n\
        wan0: 7 1 0 0 0 0 0 0 9 2 0 0 0 0 0 0\n  wan:123456 1 2 3 0 0 0 0 654321 2 4 5 0 0 0 \
        0\n cut: 1 2 3\n";
    let wan = Counters {
        rx_bytes: 123_456,
        rx_errors: 2,
        rx_dropped: 3,
        tx_bytes: 654_321,
        tx_errors: 4,
        tx_dropped: 5,
    };
    assert_eq!(Counters::parse(text, "wan"), Some(wan));
    let wan0 = Counters { rx_bytes: 7, tx_bytes: 9, ..Counters::default() };
    assert_eq!(Counters::parse(text, "wan0"), Some(wan0));
    for name in ["cut", "lan0", "", "face |bytes packets errs"] {
        assert_eq!(Counters::parse(text, name), None, "{name:?}");
    }
}

#[test]
fn the_processors_share_of_busy_time_is_told_to_a_tenth() {
    let before = Cpu::parse("cpu  100 0 50 800 50 0 0 0 30 0\ncpu0 1 2 3 4\n").unwrap();
    let now = Cpu::parse("cpu  200 0 100 1600 100 0 0 0 30 0\n").unwrap();
    assert_eq!(now.busy_since(before), Some(15.0));
    assert_eq!(before.busy_since(before), None);
    assert_eq!(before.busy_since(now), None);
    for text in ["", "cpu", "cpu  a b c d", "cpu  1 2 3", "intr 5"] {
        assert_eq!(Cpu::parse(text), None, "{text:?}");
    }
}
