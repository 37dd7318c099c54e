//! ICMP errors that sockets of other protocols hear of.

use std::io;
use std::net::IpAddr;

/// An ICMP error that a socket heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What it says, as in `refused/…`.
    pub kind: &'static str,
    /// Who sent it.
    pub from: Option<IpAddr>,
}

/// An ICMP error with what it quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a> {
    /// What it says.
    pub kind: &'static str,
    /// Who sent it.
    pub from: Option<IpAddr>,
    /// The quotation and what follows it, from the socket's own protocol on: of UDP what is behind
    /// its header, of the others their header.
    pub bytes: &'a [u8],
}

/// The newest ICMP error on a socket's error queue, which is emptied. For TCP it is there since
/// Linux 5.8.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[must_use]
pub fn newest_error(socket: &impl std::os::fd::AsRawFd) -> Option<IcmpError> {
    let mut newest = None;
    each_error(socket, |quoted| {
        newest = Some(IcmpError { kind: quoted.kind, from: quoted.from });
    });
    newest
}

/// Empties a socket's error queue: gives each ICMP error on it, oldest first.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn each_error(socket: &impl std::os::fd::AsRawFd, mut each: impl FnMut(&Quoted<'_>)) {
    use nix::libc;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

    use super::{Family, packet};
    let mut bytes = [0; 576];
    // Bounded, however much is there.
    for _ in 0..16 {
        let mut control = nix::cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            nix::sys::socket::Timestamps
        );
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut room = [io::IoSliceMut::new(&mut bytes)];
        let Ok(message) = recvmsg::<()>(socket.as_raw_fd(), &mut room, Some(&mut control), flags)
        else {
            break;
        };
        let count = message.bytes;
        let mut error = None;
        for one in message.cmsgs().into_iter().flatten() {
            let (family, what, from) = match one {
                ControlMessageOwned::Ipv4RecvErr(what, who) => (
                    Family::V4,
                    what,
                    who.map(|who| IpAddr::from(who.sin_addr.s_addr.to_ne_bytes())),
                ),
                ControlMessageOwned::Ipv6RecvErr(what, who) => {
                    (Family::V6, what, who.map(|who| IpAddr::from(who.sin6_addr.s6_addr)))
                }
                _ => continue,
            };
            let by_icmp =
                matches!(what.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
            if by_icmp && let Some(kind) = packet::refusal(family, what.ee_type, what.ee_code) {
                error = Some((kind, from));
            }
        }
        if let Some((kind, from)) = error {
            each(&Quoted { kind, from, bytes: &bytes[..count.min(bytes.len())] });
        }
    }
}

/// Other systems do not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[must_use]
pub const fn newest_error<S>(_socket: &S) -> Option<IcmpError> {
    None
}
