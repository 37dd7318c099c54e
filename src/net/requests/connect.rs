//! Connections by a circuit, and the reasons behind what goes wrong on them.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;
use socket2::{Protocol, Type};
use tokio::net::{TcpStream, UdpSocket};

use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Circuit;
use crate::net::requests::Course;
use crate::net::requests::heard::{Datagrams, Stream};
use crate::net::socket::{self, Fault};

/// Connects by TCP. An error that `connect` gives at once is this host's (`n`), but for a refusal over loopback; one that
/// comes later was brought by the network (`u`).
pub async fn tcp(circuit: &Circuit, target: SocketAddr, course: &mut Course) -> Result<Stream, Reason> {
    let socket = socket::open(circuit, target.ip(), Type::STREAM, Protocol::TCP).map_err(|fault| fault.reason())?;
    // Requests are small, and Nagle's algorithm would hold parts of them back.
    socket.set_tcp_nodelay(true).map_err(|error| Fault::Other(error).reason())?;
    course.departs();
    match socket.connect(&target.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error().map(Errno::from_raw) == Some(Errno::EINPROGRESS) => {}
        Err(error) => return Err(at_once(&error)),
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| Fault::Other(error).reason())?;
    let stream = Stream::new(stream, &course.heard);
    stream.tcp().writable().await.map_err(|error| later(&error))?;
    match stream.tcp().take_error() {
        Ok(None) => Ok(stream),
        Ok(Some(error)) | Err(error) => Err(later(&error)),
    }
}

/// A UDP socket of the circuit, connected, so that it takes datagrams of the target only and hears of ICMP errors.
pub fn udp(circuit: &Circuit, target: SocketAddr, course: &mut Course) -> Result<Datagrams, Reason> {
    let socket = socket::open(circuit, target.ip(), Type::DGRAM, Protocol::UDP).map_err(|fault| fault.reason())?;
    socket::hear_errors(&socket, target.ip()).map_err(|error| Fault::Other(error).reason())?;
    socket.connect(&target.into()).map_err(|error| at_once(&error))?;
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| Fault::Other(error).reason())?;
    course.departs();
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
