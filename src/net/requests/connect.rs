//! Connections by a circuit, and the reasons behind what goes wrong on them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use socket2::{Protocol, Type};
use tokio::net::{TcpStream, UdpSocket};

use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Circuit;
use crate::net::hop;
use crate::net::icmp::Unsent;
use crate::net::icmp::error_queue::{self, IcmpError};
use crate::net::requests::Course;
use crate::net::requests::heard::{Datagrams, Stream};
use crate::net::socket::{self, Fault};

/// Connects by TCP. An error that `connect` gives at once is this host's (`n`), but for a refusal
/// over loopback; one that comes later was brought by the network (`u`), unless this very host said
/// it.
pub async fn tcp(
    circuit: &Circuit,
    target: SocketAddr,
    course: &mut Course,
) -> Result<Stream, Reason> {
    let socket = socket::open(circuit, target.ip(), Type::STREAM, Protocol::TCP)
        .map_err(|fault| fault.reason())?;
    // Requests are small, and Nagle's algorithm would hold parts of them back.
    socket.set_tcp_nodelay(true).map_err(|error| Fault::Other(error).reason())?;
    // Who said that it goes no further is on the error queue, as far as the kernel keeps one for
    // TCP.
    let _ = socket::hear_errors(&socket, target.ip());
    course.departs();
    course.opens(target.ip(), TCP);
    match socket.connect(&target.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error().map(Errno::from_raw) == Some(Errno::EINPROGRESS) => {}
        Err(error) => return Err(at_once(&error)),
    }
    let stream =
        TcpStream::from_std(socket.into()).map_err(|error| Fault::Other(error).reason())?;
    let stream = Stream::new(stream, &course.heard);
    stream.tcp().writable().await.map_err(|error| later(&error))?;
    match stream.tcp().take_error() {
        Ok(None) => {
            let _ = socket::hear_no_errors(stream.tcp(), target.ip());
            course.opened();
            Ok(stream)
        }
        Ok(Some(error)) | Err(error) => {
            Err(refused(stream.tcp(), target.ip(), course).unwrap_or_else(|| later(&error)))
        }
    }
}

/// IP's numbers of the two protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the ICMP error on a socket's error queue means; [`None`] when there is none.
pub fn refused(socket: &impl AsRawFd, target: IpAddr, course: &mut Course) -> Option<Reason> {
    let IcmpError { kind, from } = error_queue::newest_error(socket)?;
    course.refused_by = from;
    if from.is_some_and(|from| from != target && hop::is_own(from)) {
        // This very host's word of its own packet: nobody on the path has said anything.
        course.refused_by = None;
        return Some(Unsent::said_by_this_host(kind).map_or(Reason::NEXT_HOP, Unsent::reason));
    }
    Some(Reason::new(Outcome::Refused, kind))
}

/// A UDP socket of the circuit, connected, so that it takes datagrams of the target only and hears
/// of ICMP errors.
pub fn udp(
    circuit: &Circuit,
    target: SocketAddr,
    course: &mut Course,
) -> Result<Datagrams, Reason> {
    let socket = socket::open(circuit, target.ip(), Type::DGRAM, Protocol::UDP)
        .map_err(|fault| fault.reason())?;
    socket::hear_errors(&socket, target.ip()).map_err(|error| Fault::Other(error).reason())?;
    socket.connect(&target.into()).map_err(|error| at_once(&error))?;
    let socket =
        UdpSocket::from_std(socket.into()).map_err(|error| Fault::Other(error).reason())?;
    course.departs();
    course.opens(target.ip(), UDP);
    Ok(Datagrams::new(socket, &course.heard))
}

/// The reason behind an error that a call gave at once, before anything was sent.
pub fn at_once(error: &io::Error) -> Reason {
    Fault::at_once(error).map_or_else(|| later(error), |fault| fault.reason())
}

/// The reason behind an error of a connection on which something was sent.
pub fn later(error: &io::Error) -> Reason {
    let kind = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED) => "connection",
        Some(Errno::ECONNRESET | Errno::EPIPE | Errno::ECONNABORTED) => "reset",
        Some(Errno::EHOSTUNREACH | Errno::EHOSTDOWN) => "host-unreachable",
        Some(Errno::ENETUNREACH) => "net-unreachable",
        Some(Errno::ENOPROTOOPT) => "protocol-unreachable",
        Some(Errno::EACCES | Errno::EPERM) => "prohibited",
        Some(Errno::EMSGSIZE) => "too-big",
        // TCP itself gave up: nothing came back.
        Some(Errno::ETIMEDOUT) => return Reason::TIMEOUT,
        // These are of the interface, not of the path: it went down under the connection.
        Some(Errno::ENETDOWN | Errno::ENODEV) => return Fault::Down.reason(),
        _ => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => "closed",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
            _ => "connection-error",
        },
    };
    Reason::new(Outcome::Refused, kind)
}
