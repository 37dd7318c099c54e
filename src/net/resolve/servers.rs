//! How name servers are reached: by the system's routes, and a link-local one by the interface that
//! resolv.conf names behind it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{
    RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use socket2::{Protocol, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::measure::probe::Circuit;
use crate::net::socket;

/// So long a connection by TCP is waited for where the resolver says nothing.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes the resolver's sockets.
#[derive(Clone, Default)]
pub struct Servers {
    system: TokioRuntimeProvider,
    links: Arc<[(Ipv6Addr, String)]>,
}

impl Servers {
    /// Link-local servers are reached by these interfaces.
    pub fn by_links(links: Vec<(Ipv6Addr, String)>) -> Self {
        Self { system: TokioRuntimeProvider::default(), links: links.into() }
    }

    /// The way to a server that has an interface.
    fn circuit(&self, server: SocketAddr) -> Option<Circuit> {
        let IpAddr::V6(address) = server.ip() else { return None };
        let (_, link) = self.links.iter().find(|(known, _)| *known == address)?;
        Some(Circuit { interface: Some(link.clone()), ..Circuit::default() })
    }
}

impl RuntimeProvider for Servers {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.system.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        bind: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        let Some(circuit) = self.circuit(server) else {
            return self.system.connect_tcp(server, bind, patience);
        };
        Box::pin(async move {
            let socket = socket::open(&circuit, server.ip(), Type::STREAM, Protocol::TCP)
                .map_err(io::Error::other)?;
            socket.set_tcp_nodelay(true)?;
            let connecting = TcpSocket::from_std_stream(socket.into()).connect(server);
            match tokio::time::timeout(patience.unwrap_or(CONNECT), connecting).await {
                Ok(done) => done.map(AsyncIoTokioAsStd),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        let Some(circuit) = self.circuit(server) else {
            return self.system.bind_udp(local, server);
        };
        Box::pin(async move {
            let socket = socket::open(&circuit, server.ip(), Type::DGRAM, Protocol::UDP)
                .map_err(io::Error::other)?;
            socket.bind(&local.into())?;
            UdpSocket::from_std(socket.into())
        })
    }
}
