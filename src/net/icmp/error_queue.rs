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

/// The newest ICMP error on a socket's error queue, which is emptied. For TCP it is there since
/// Linux 5.8.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[must_use]
pub fn newest_error(socket: &impl std::os::fd::AsRawFd) -> Option<IcmpError> {
    use nix::libc;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

    use super::{Family, packet};
    let mut newest = None;
    // Bounded, however much is there.
    for _ in 0..16 {
        let mut control = nix::cmsg_space!(
            libc::sock_extended_err,
            libc::sockaddr_in6,
            nix::sys::socket::Timestamps
        );
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut nothing = [0; 0];
        let mut room = [io::IoSliceMut::new(&mut nothing)];
        let Ok(message) = recvmsg::<()>(socket.as_raw_fd(), &mut room, Some(&mut control), flags)
        else {
            break;
        };
        let Ok(all) = message.cmsgs() else { break };
        for one in all {
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
                newest = Some(IcmpError { kind, from });
            }
        }
    }
    newest
}

/// Other systems do not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[must_use]
pub const fn newest_error<S>(_socket: &S) -> Option<IcmpError> {
    None
}
