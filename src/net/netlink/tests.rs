use super::*;
use proptest::prelude::*;

fn wanted(target: &str) -> Wanted {
    let target = target.parse().unwrap();
    Wanted { target, interface: None, source: None, mark: None, class: 0, protocol: Some(1) }
}

#[test]
fn loopback_is_this_host_s_own() {
    assert_eq!(route(&wanted("127.0.0.1")).unwrap().kind, Kind::Local);
}

#[test]
fn the_loopback_interface_is_one() {
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    let loopback = u32::try_from(libc::IFF_LOOPBACK).unwrap();
    assert_eq!(flags(lo).unwrap() & loopback, loopback);
    assert_eq!(flags_by_name("lo").unwrap(), flags(lo).unwrap());
}

#[test]
fn an_interface_that_is_not_there_is_told_from_a_kernel_that_cannot_be_asked() {
    for name in ["nosuch0", "", "lo\0", "a-name-that-is-longer-than-any"] {
        assert_eq!(flags_by_name(name), Err(Errno::ENODEV), "{name:?}");
    }
}

#[test]
fn an_error_is_what_a_socket_would_be_told() {
    let mut message = Vec::new();
    message.extend(36u32.to_ne_bytes());
    message.extend(2u16.to_ne_bytes());
    message.extend([0; 10]);
    message.extend((-libc::ENETUNREACH).to_ne_bytes());
    message.extend([0; 16]);
    assert_eq!(read_answer(&message, 24), Err(Errno::ENETUNREACH));
    assert_eq!(read_answer(&message[..18], 24), Err(Errno::EBADMSG));
}

#[test]
fn a_neighbour_is_silent_while_it_was_only_asked_for() {
    let state = |state: u16| {
        let mut body = vec![2, 0, 0, 0, 1, 0, 0, 0];
        body.extend(state.to_ne_bytes());
        body.extend([0, 0]);
        read_neighbour(&body).unwrap()
    };
    assert_eq!([0x01, 0x20].map(state), [Neighbour::Silent; 2]);
    assert_eq!([0x02, 0x04, 0x08, 0x10, 0x40, 0x80].map(state), [Neighbour::Known; 6]);
    assert_eq!(state(0), Neighbour::Absent);
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let _ = (read_answer(&bytes, 24), read_route(&bytes), read_neighbour(&bytes));
    }
}
