use super::*;
use proptest::prelude::*;

fn request(token: Token, to: IpAddr, size: u16) -> Request {
    Request { to, ident: 0x1234, seq: 7, token, size }
}

fn home() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

#[test]
fn a_request_has_its_size_and_a_checksum_that_adds_up() {
    let mint = Mint::default();
    for size in [24u16, 25, 56, 57, 1472] {
        let mut packet = Vec::new();
        mint.write(&mut packet, &request(Token { lane: 1, send: 2 }, home(), size));
        assert_eq!((packet.len(), checksum(&packet)), (usize::from(size) + HEADER, 0), "{size}");
        let echo = Echo::request(&packet).unwrap();
        assert_eq!((echo.ident, echo.seq), (0x1234, 7));
    }
    assert_eq!(
        checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
        0x220d,
        "RFC 1071, section 3"
    );
}

#[test]
fn another_process_another_address_or_another_send_does_not_fit() {
    let (mint, other) = (Mint::default(), Mint::default());
    let token = Token { lane: 1, send: 2 };
    let mut payload = Vec::new();
    mint.payload(&mut payload, token, home(), 56);
    assert_eq!(mint.read(&payload, home()), Some(token));
    assert_eq!(mint.read(&payload, IpAddr::from([127, 0, 0, 2])), None);
    assert_eq!(other.read(&payload, home()), None);
    payload[15] ^= 1;
    assert_eq!(mint.read(&payload, home()), None);
}

#[test]
fn a_packet_is_found_behind_any_link_header() {
    let mint = Mint::default();
    let token = Token { lane: 8, send: 9 };
    for before in [20, 34, 38, 40, 54, 58, 33, 100] {
        let mut frame = vec![0x45; before];
        mint.write(&mut frame, &request(token, home(), 56));
        assert_eq!(mint.find(&frame), Some(token), "{before}");
    }
    assert_eq!(mint.find(&[0x45; 90]), None);
    assert_eq!(mint.find(&[]), None);
}

#[test]
fn errors_are_named_by_what_they_say() {
    use crate::net::icmp::Family::{V4, V6};
    assert_eq!(refusal(V4, 3, 1), Some("host-unreachable"));
    assert_eq!(refusal(V4, 11, 0), refusal(V6, 3, 0));
    assert_eq!(refusal(V6, 1, 3), Some("host-unreachable"));
    assert_eq!(refusal(V4, 4, 0), None);
}

#[test]
fn whatever_an_icmp_error_says_is_known_to_be_one() {
    use crate::measure::outcome::{Outcome, Reason};
    for family in [crate::net::icmp::Family::V4, crate::net::icmp::Family::V6] {
        for (kind, code) in (0..=255).flat_map(|kind| (0..=20).map(move |code| (kind, code))) {
            let said = refusal(family, kind, code).map(|said| Reason::new(Outcome::Refused, said));
            assert!(
                said.is_none_or(|said| said.is_by_icmp() && !said.is_by_target()),
                "{kind} {code}"
            );
        }
    }
}

proptest! {
    #[test]
    fn foreign_bytes_are_nobodys_and_never_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mint = Mint::default();
        prop_assert_eq!(mint.read(&bytes, home()), None);
        prop_assert_eq!(mint.find(&bytes), None);
        let _ = (
            Echo::reply(&bytes),
            Echo::request(&bytes),
            behind_ipv4_header(&bytes),
            checksum(&bytes),
        );
    }

    #[test]
    fn a_truncated_or_altered_record_is_nobodys(
        lane: u32, send: u32, cut in 0usize..RECORD, at in 0usize..RECORD, flip in 1u8..
    ) {
        let mint = Mint::default();
        let mut payload = Vec::new();
        mint.payload(&mut payload, Token { lane, send }, home(), 56);
        prop_assert_eq!(mint.read(&payload[..cut], home()), None);
        payload[at] ^= flip;
        prop_assert_eq!(mint.read(&payload, home()), None);
    }
}
