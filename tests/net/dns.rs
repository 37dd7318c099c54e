//! DNS queries, and a name server that answers as a test tells it to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, rdata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use wanproof::measure::probe::{Dns, Probe, Test};

use crate::{SHORT, attempt, probe, told};

/// What the server says to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: u32,
    },
    Code(ResponseCode),
    /// By UDP that it does not fit, by TCP these.
    ByTcp(Vec<IpAddr>),
    /// Answers to other questions first.
    Forged(Vec<IpAddr>),
    /// Bytes that are no message, under the question's identifier.
    Garbage,
    Nothing,
}

#[derive(Clone)]
pub struct NameServer {
    pub address: SocketAddr,
    says: Arc<Mutex<Says>>,
    asked: tokio::sync::watch::Sender<usize>,
}

impl NameServer {
    pub async fn start(says: Says) -> Self {
        // One number for both protocols: another process may hold the TCP port of the UDP port that
        // was given.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let server = Self::by_udp_at(udp, says);
        tokio::spawn(server.clone().by_tcp(tcp));
        server
    }

    pub fn by_udp_at(udp: UdpSocket, says: Says) -> Self {
        let address = udp.local_addr().unwrap();
        let server = Self {
            address,
            says: Arc::new(Mutex::new(says)),
            asked: tokio::sync::watch::Sender::new(0),
        };
        tokio::spawn(server.clone().by_udp(udp));
        server
    }

    pub fn now_says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// Waits until it was asked this often.
    pub async fn asked(&self, times: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    async fn by_udp(self, socket: UdpSocket) {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let says = self.says.lock().unwrap().clone();
            for answer in answers(&question, &says, false) {
                socket.send_to(&answer, from).await.unwrap();
            }
            self.asked.send_modify(|asked| *asked += 1);
        }
    }

    async fn by_tcp(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(length) = stream.read_u16().await {
                let mut buffer = vec![0; usize::from(length)];
                stream.read_exact(&mut buffer).await.unwrap();
                let says = self.says.lock().unwrap().clone();
                for answer in answers(&Message::from_vec(&buffer).unwrap(), &says, true) {
                    stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        }
    }
}

fn answers(question: &Message, says: &Says, tcp: bool) -> Vec<Vec<u8>> {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.add_queries(question.queries.iter().cloned());
    let asked = question.queries[0].clone();
    let mut holding = |addresses: &[IpAddr], ttl| {
        for &address in addresses {
            let data = match address {
                IpAddr::V4(address) => RData::A(rdata::A(address)),
                IpAddr::V6(address) => RData::AAAA(rdata::AAAA(address)),
            };
            if data.record_type() == asked.query_type() {
                answer.add_answer(Record::from_rdata(asked.name().clone(), ttl, data));
            }
        }
    };
    match says {
        Says::Addresses { addresses, ttl } => holding(addresses, *ttl),
        Says::ByTcp(addresses) if tcp => holding(addresses, 60),
        Says::ByTcp(_) => answer.metadata.truncation = true,
        Says::Code(code) => answer.metadata.response_code = *code,
        Says::Forged(addresses) => {
            holding(addresses, 60);
            let mut other = answer.clone();
            other.metadata.id ^= 1;
            let mut another =
                Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
            another.metadata.response_code = ResponseCode::NXDomain;
            another.add_query(
                asked.clone().set_name(Name::from_ascii("elsewhere.example.").unwrap()).clone(),
            );
            return [other, another, answer]
                .iter()
                .map(|message| message.to_vec().unwrap())
                .collect();
        }
        Says::Garbage => {
            let mut bytes = answer.to_vec().unwrap();
            bytes.truncate(14);
            return vec![bytes];
        }
        Says::Nothing => return Vec::new(),
    }
    vec![answer.to_vec().unwrap()]
}

/// A port at which no datagram is taken. It stays bound, but to another partner, so that nobody
/// else gets it.
pub fn nobody() -> (SocketAddr, std::net::UdpSocket) {
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    held.connect(held.local_addr().unwrap()).unwrap();
    (held.local_addr().unwrap(), held)
}

pub fn addresses(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

fn query(server: SocketAddr, record: &str) -> Probe {
    probe(Test::Dns(Box::new(Dns {
        server,
        query: "www.example.net".to_owned(),
        record: record.to_owned(),
    })))
}

#[tokio::test]
async fn a_record_of_the_type_asked_for_is_an_answer() {
    let server =
        NameServer::start(Says::Addresses { addresses: addresses(&["192.0.2.1"]), ttl: 60 }).await;
    let seen = attempt(&query(server.address, "A")).await;
    assert_eq!(told(&seen), "a");
    assert_eq!(seen.address, Some(server.address.ip()));
    assert_eq!(told(&attempt(&query(server.address, "AAAA")).await), "refused/dns-no-records");
}

#[tokio::test]
async fn each_code_of_a_server_is_refused_by_its_name() {
    for (code, told_as) in [
        (ResponseCode::NXDomain, "refused/dns-nxdomain"),
        (ResponseCode::ServFail, "refused/dns-servfail"),
        (ResponseCode::Refused, "refused/dns-refused"),
        (ResponseCode::NotAuth, "refused/dns-rcode-9"),
    ] {
        let server = NameServer::start(Says::Code(code)).await;
        assert_eq!(told(&attempt(&query(server.address, "A")).await), told_as);
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_short_is_asked_for_by_tcp() {
    let server = NameServer::start(Says::ByTcp(addresses(&["192.0.2.1"]))).await;
    assert_eq!(told(&attempt(&query(server.address, "A")).await), "a");
}

#[tokio::test]
async fn answers_to_other_questions_are_not_heard() {
    let server = NameServer::start(Says::Forged(addresses(&["192.0.2.1"]))).await;
    assert_eq!(told(&attempt(&query(server.address, "A")).await), "a");
}

#[tokio::test]
async fn silence_is_lost_nobody_there_and_nonsense_are_refused() {
    let server = NameServer::start(Says::Nothing).await;
    assert_eq!(
        told(&attempt(&Probe { timeout: SHORT, ..query(server.address, "A") }).await),
        "lost/timeout"
    );
    server.now_says(Says::Garbage);
    assert_eq!(told(&attempt(&query(server.address, "A")).await), "refused/dns-malformed");

    let (nobody, _held) = nobody();
    assert_eq!(told(&attempt(&query(nobody, "A")).await), "refused/port-unreachable");
}
