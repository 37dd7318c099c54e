//! A DNS query (RFC 1035): by UDP, and again by TCP when the answer was cut short (RFC 7766).
//! Without EDNS, as libc asks.
//!
//! Good is an answer that holds a record of the type asked for. One without is refused, as
//! `dns-no-records`: whoever configures a probe asks for what is there, and a resolver that lost
//! it, or filters it, has not served. What does not belong to the query, by identifier and
//! question, is not heard.

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::measure::outcome::{Outcome, Reason};
use crate::measure::probe::Circuit;
use crate::net::requests::{Course, connect};
use crate::net::resolve::name;

/// What is longer is cut off, and then malformed; without EDNS no answer by UDP is longer than 512
/// bytes.
const LARGEST: usize = 2048;

pub async fn attempt(
    circuit: &Circuit,
    server: SocketAddr,
    query: &str,
    record: &str,
    course: &mut Course,
) -> Result<(), Reason> {
    let question = Question::new(rand::random(), query, record)
        .ok_or(Reason::new(Outcome::NotSent, "query"))?;
    let mut answer = by_udp(circuit, server, &question, course).await?;
    if answer.message.metadata.truncation {
        answer = by_tcp(circuit, server, &question, course).await?;
    }
    course.end();
    course.bytes = u32::try_from(answer.bytes).ok();
    question.judge(&answer.message)
}

struct Answer {
    message: Message,
    bytes: usize,
}

async fn by_udp(
    circuit: &Circuit,
    server: SocketAddr,
    question: &Question,
    course: &mut Course,
) -> Result<Answer, Reason> {
    let mut socket = connect::udp(circuit, server, course)?;
    socket.send(&question.bytes).await.map_err(|error| connect::at_once(&error))?;
    let mut buffer = [0; LARGEST];
    loop {
        let length = socket.receive(&mut buffer).await.map_err(|error| {
            connect::refused(socket.udp(), server.ip(), course)
                .unwrap_or_else(|| of_datagram(&error))
        })?;
        // A datagram that is not ours may come from anybody: it is passed over, and the timeout
        // bounds the loop.
        if let Some(message) = question.answered_by(&buffer[..length])? {
            course.opened();
            return Ok(Answer { message, bytes: length });
        }
    }
}

async fn by_tcp(
    circuit: &Circuit,
    server: SocketAddr,
    question: &Question,
    course: &mut Course,
) -> Result<Answer, Reason> {
    let mut stream = connect::tcp(circuit, server, course).await?;
    let length =
        u16::try_from(question.bytes.len()).expect("a question has one name, of at most 255 bytes");
    let framed = [&length.to_be_bytes()[..], &question.bytes].concat();
    stream.write_all(&framed).await.map_err(|error| connect::later(&error))?;
    loop {
        let length = stream.read_u16().await.map_err(|error| connect::later(&error))?;
        let mut buffer = vec![0; usize::from(length)];
        stream.read_exact(&mut buffer).await.map_err(|error| connect::later(&error))?;
        if let Some(message) = question.answered_by(&buffer)? {
            return Ok(Answer { message, bytes: buffer.len() });
        }
    }
}

/// To a datagram, a refused connection is a port at which nobody listens.
fn of_datagram(error: &std::io::Error) -> Reason {
    if error.kind() == std::io::ErrorKind::ConnectionRefused {
        Reason::new(Outcome::Refused, "port-unreachable")
    } else {
        connect::later(error)
    }
}

/// What is asked, and its bytes.
struct Question {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

impl Question {
    /// [`None`] when the name or the type is none.
    fn new(id: u16, name: &str, record: &str) -> Option<Self> {
        let mut name = name::read(name)?;
        name.set_fqdn(true);
        let query = Query::query(name, record.to_ascii_uppercase().parse().ok()?);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        let bytes = message.to_vec().ok()?;
        Some(Self { id, query, bytes })
    }

    /// The message, if it is the answer to this question; an answer that cannot be read is refused.
    fn answered_by(&self, bytes: &[u8]) -> Result<Option<Message>, Reason> {
        let ours = bytes.starts_with(&self.id.to_be_bytes())
            && bytes.get(2).is_some_and(|flags| flags & 0x80 != 0);
        if !ours {
            return Ok(None);
        }
        let Ok(message) = Message::from_vec(bytes) else {
            return Err(Reason::new(Outcome::Refused, "dns-malformed"));
        };
        let asked = match message.queries.as_slice() {
            [query] => *query == self.query,
            // A server that could not read the question need not repeat it.
            [] => message.metadata.response_code != ResponseCode::NoError,
            _ => false,
        };
        Ok((asked && message.metadata.op_code == OpCode::Query).then_some(message))
    }

    fn judge(&self, answer: &Message) -> Result<(), Reason> {
        let kind = match answer.metadata.response_code {
            ResponseCode::NoError => {
                let wanted = self.query.query_type();
                let held = answer.answers.iter().map(|record| record.record_type());
                if held.clone().any(|held| held == wanted)
                    || wanted == RecordType::ANY && held.count() > 0
                {
                    return Ok(());
                }
                "dns-no-records"
            }
            ResponseCode::FormErr => "dns-formerr",
            ResponseCode::ServFail => "dns-servfail",
            ResponseCode::NXDomain => "dns-nxdomain",
            ResponseCode::NotImp => "dns-notimp",
            ResponseCode::Refused => "dns-refused",
            other => {
                return Err(Reason {
                    outcome: Outcome::Refused,
                    kind: format!("dns-rcode-{}", u16::from(other)).into(),
                });
            }
        };
        Err(Reason::new(Outcome::Refused, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(7, "Example.net", "a").unwrap()
    }

    #[test]
    fn another_identifier_or_question_is_not_our_answer() {
        let answer = |id, name: &str| {
            let mut message = Message::new(id, MessageType::Response, OpCode::Query);
            message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
            question().answered_by(&message.to_vec().unwrap()).unwrap().is_some()
        };
        assert!(answer(7, "example.NET."));
        assert!(!answer(8, "example.net."));
        assert!(!answer(7, "example.org."));
        assert!(
            question().answered_by(&question().bytes).unwrap().is_none(),
            "a question is no answer"
        );
    }

    #[test]
    fn what_is_no_name_or_no_type_is_not_asked() {
        assert!(Question::new(1, "a..b", "A").is_none());
        assert!(Question::new(1, "_sip._tcp.example.net", "SRV").is_some());
        assert!(Question::new(1, "0/25.2.0.192.in-addr.arpa", "NS").is_some());
        assert!(Question::new(1, "example.net", "NOSUCH").is_none());
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_or_passed_over_without_a_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 3..80),
        ) {
            bytes[..2].copy_from_slice(&7u16.to_be_bytes());
            bytes[2] |= 0x80;
            let _ = question().answered_by(&bytes);
        }
    }
}
