//! When an answer's bytes came to this host, by the kernel's receive stamp: a busy router reads
//! them late, and that is not the path's doing.
//!
//! `SO_TIMESTAMPING` with software receive stamps works for datagrams and for TCP, where a read
//! brings the stamp of the last segment that it took from. A stamp that cannot be believed, by the
//! same rule as an echo reply's, is replaced by the instant of the read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UdpSocket};

use crate::base::time::{Mono, SystemClock, Wall};
use crate::measure::rtt::{Reading, Timeline};

/// This process's two ways to ask for the time may have been asked this far apart.
const APART: Duration = Duration::from_micros(20);

/// The instant at which the latest bytes came; known to a connection and to who asks.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Option<Instant>>>);

impl Heard {
    /// [`None`] as long as nothing came.
    pub fn latest(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }
}

/// Reads from one socket and notes when what it reads came.
#[derive(Debug)]
struct Ear {
    heard: Heard,
    timeline: Timeline,
    /// Nothing can have come before.
    since: Mono,
}

impl Ear {
    /// For a socket on which nothing was sent yet.
    fn new(socket: &impl AsFd, heard: &Heard) -> Self {
        system::ask_for_stamps(socket.as_fd());
        let first = Reading::take(&SystemClock);
        Self { heard: heard.clone(), timeline: Timeline::new(first), since: first.now.mono }
    }

    fn read(&mut self, socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
        let (length, stamp) = system::receive(socket, into)?;
        if length > 0 {
            let at = self.place(stamp);
            self.heard.note(at);
        }
        Ok(length)
    }

    /// The instant of a stamp; of the read, without one that can be believed.
    fn place(&mut self, stamp: Option<Wall>) -> Instant {
        let mut now = Instant::now();
        for _ in 0..4 {
            let before = now;
            self.timeline.observe(Reading::take(&SystemClock));
            now = Instant::now();
            if now - before <= APART {
                break;
            }
        }
        let placed = stamp.and_then(|stamp| self.timeline.place(stamp, self.since));
        let seen = self.timeline.seen();
        let lag =
            placed.filter(|moment| moment.era == seen.era).map(|moment| seen.at.since(moment.at));
        now.checked_sub(lag.unwrap_or_default()).unwrap_or(now)
    }
}

/// A TCP connection that notes when what it reads came.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    ear: Ear,
}

impl Stream {
    /// Of a connection that is about to be made.
    pub fn new(tcp: TcpStream, heard: &Heard) -> Self {
        let ear = Ear::new(&tcp, heard);
        Self { tcp, ear }
    }

    /// The connection itself.
    pub const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, ear } = self.get_mut();
        loop {
            ready!(tcp.poll_read_ready(context))?;
            let room = into.initialize_unfilled();
            match tcp.try_io(Interest::READABLE, || ear.read(tcp.as_fd(), room)) {
                Ok(length) => {
                    into.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// A UDP socket that notes when what it reads came.
#[derive(Debug)]
pub struct Datagrams {
    udp: UdpSocket,
    ear: Ear,
}

impl Datagrams {
    /// Of a socket on which nothing was sent yet.
    pub fn new(udp: UdpSocket, heard: &Heard) -> Self {
        let ear = Ear::new(&udp, heard);
        Self { udp, ear }
    }

    /// The socket itself.
    pub const fn udp(&self) -> &UdpSocket {
        &self.udp
    }

    /// Sends to whom it is connected.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.udp.send(bytes).await
    }

    /// Takes the next datagram.
    pub async fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Self { udp, ear } = self;
        // An ICMP error makes a socket ready with nothing to read.
        udp.async_io(Interest::READABLE | Interest::ERROR, || ear.read(udp.as_fd(), into)).await
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io::{self, IoSliceMut};
    use std::os::fd::{AsRawFd, BorrowedFd};

    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, TimestampingFlag, Timestamps, recvmsg, setsockopt, sockopt,
    };

    use crate::base::time::Wall;
    use crate::net::socket::wall;

    pub fn ask_for_stamps(socket: BorrowedFd<'_>) {
        let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
            | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
        // Without stamps the instant of the read stands in.
        let _ = setsockopt(&socket, sockopt::Timestamping, &flags);
    }

    /// Reads without waiting; gives the kernel's receive stamp of what was read last.
    pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<(usize, Option<Wall>)> {
        let mut control = nix::cmsg_space!(Timestamps);
        let mut room = [IoSliceMut::new(into)];
        let message = recvmsg::<()>(
            socket.as_raw_fd(),
            &mut room,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let stamp = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::ScmTimestampsns(stamps) => wall(stamps.system),
                _ => None,
            })
        });
        Ok((message.bytes, stamp))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::io;
    use std::os::fd::BorrowedFd;

    use crate::base::time::Wall;

    pub const fn ask_for_stamps(_socket: BorrowedFd<'_>) {}

    pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<(usize, Option<Wall>)> {
        Ok((rustix::net::recv(socket, into, rustix::net::RecvFlags::DONTWAIT)?.0, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A connection within this host, and its other end.
    async fn pair(heard: &Heard) -> (Stream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::new(near, heard), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_came_when_the_kernel_had_them_however_late_they_are_read() {
        let heard = Heard::default();
        let (mut near, mut far) = pair(&heard).await;
        // The first packets after the first stamping socket of a host may come without a stamp.
        for _ in 0..100 {
            tokio::io::AsyncWriteExt::write_all(&mut far, b"x").await.unwrap();
            let written = Instant::now();
            near.tcp().readable().await.unwrap();
            std::thread::sleep(Duration::from_millis(20));
            near.read_u8().await.unwrap();
            if heard.latest().unwrap() <= written {
                return;
            }
        }
        panic!("over loopback a byte is there when it is written, and it never was");
    }

    #[tokio::test]
    async fn the_end_of_a_stream_is_nothing_that_came() {
        let heard = Heard::default();
        let (mut near, far) = pair(&heard).await;
        drop(far);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(heard.latest(), None);
    }
}
