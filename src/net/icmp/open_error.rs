//! Why no ICMP socket could be had.

use std::io;

use crate::measure::outcome::{Outcome, Reason};
use crate::net::socket::Fault;

use super::unsent::Unsent;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This user may have neither kind of ICMP socket.
    #[error("{}", remedies())]
    Permission,
    /// The circuit is not to be had.
    #[error(transparent)]
    Circuit(#[from] Fault),
    /// The engine has no means for an option of the circuit.
    #[error(
        "the portable engine cannot set {0}: use a system with kernel stamps, or take the option \
            away"
    )]
    Unsupported(&'static str),
    /// The kernel has no stamps to give.
    #[error("the kernel refuses to stamp packets: {0}")]
    Unstamped(#[source] io::Error),
    /// Anything else.
    #[error("no ICMP socket could be opened: {0}")]
    Other(#[source] io::Error),
}

impl OpenError {
    /// What stands in an interval's reasons: `not-sent/…`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Circuit(fault) => fault.reason(),
            Self::Permission => Reason::new(Outcome::NotSent, "permission"),
            Self::Unsupported(_) => Unsent::Unsupported.reason(),
            Self::Unstamped(_) | Self::Other(_) => Reason::new(Outcome::NotSent, "socket"),
        }
    }
}

/// The two remedies for a user who may open no ICMP socket, ready to be typed.
fn remedies() -> String {
    let group = nix::unistd::getegid();
    let program = std::env::current_exe()
        .map_or_else(|_| "wanproof".to_owned(), |path| path.display().to_string());
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let range = range.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "this user may not send ICMP echo requests: the process has no CAP_NET_RAW, and its group \
            {group} is not within \
         net.ipv4.ping_group_range ({}). Do one of the two, as root:\n  \
         sysctl -w net.ipv4.ping_group_range=\"{group} {group}\"\n  \
         setcap cap_net_raw+ep {program}\n\
         (for a service: AmbientCapabilities=CAP_NET_RAW in its systemd unit)",
        if range.is_empty() { "not readable here" } else { &range },
    )
}
