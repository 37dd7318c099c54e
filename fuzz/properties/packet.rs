//! What comes in from the network: read without a panic, and nobody's but its sender's, however it
//! was damaged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wanproof::net::icmp::Family;
use wanproof::net::icmp::packet::{
    Echo, Mint, RECORD, Request, Token, behind_ipv4_header, checksum, refusal,
};
use wanproof::net::trace::labels;

const IDENT: u16 = 0x5a5a;

/// The property.
pub fn holds(data: &[u8]) {
    let mint = Mint::default();
    for from in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        // Who has not seen a packet of ours cannot make one up.
        assert_eq!(mint.answered(data, IDENT, from), None);
        assert_eq!(mint.read(data, from), None);
        damaged(&mint, data, from);
    }
    assert_eq!(mint.find(data), None);
    for echo in [Echo::reply(data), Echo::request(data)].into_iter().flatten() {
        assert_eq!(echo.payload.len() + 8, data.len());
    }
    if let Some(inner) = behind_ipv4_header(data) {
        assert!(inner.len() + 20 <= data.len());
        let _ = Echo::request(inner);
    }
    if let [kind, code, ..] = data {
        let _ = refusal(Family::V4, *kind, *code);
        let _ = refusal(Family::V6, *kind, *code);
    }
    // Labels behind a quotation, whatever is there.
    assert!(labels::read(data, 20).len() <= data.len() / 4);
    // A sum that is put in its place makes the whole sum nothing.
    if let Some((head, tail)) = data.split_at_checked(data.len() / 4 * 2) {
        let whole = [head, &checksum(data).to_be_bytes(), tail].concat();
        assert_eq!(checksum(&whole), 0);
    }
}

/// Our own reply with `data` laid over it: it belongs to its send or to nobody, never to another's.
fn damaged(mint: &Mint, data: &[u8], from: IpAddr) {
    let token = Token { lane: 7, send: 9 };
    let mut packet = Vec::new();
    mint.write(&mut packet, &Request { to: from, ident: IDENT, seq: 3, token, size: 56 });
    packet[0] = if from.is_ipv4() { 0 } else { 129 };
    assert_eq!(mint.answered(&packet, IDENT, from), Some(token));
    let Some((place, over)) = data.split_first() else { return };
    let place = usize::from(*place) % (8 + RECORD);
    for (byte, over) in packet[place..].iter_mut().zip(over) {
        *byte ^= over;
    }
    let found = mint.answered(&packet, IDENT, from);
    assert!(found.is_none() || found == Some(token));
}
