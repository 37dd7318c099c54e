//! A bounded traceroute: echo requests whose hop limit ends on the way, so that each router on it
//! says where it is (RFC 792, RFC 4443). At most [`MOST_PACKETS`] packets, and some ten seconds.
//!
//! It goes by the same circuit as the pings, through the same engines, and says of each hop who
//! answered, how soon, and what. RTTs are by this program's clock, to some milliseconds: they tell
//! where, not how fast.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::evidence::side::Traced;
use crate::measure::outcome::Reason;
use crate::measure::probe::Circuit;
use crate::net::hop;
use crate::net::icmp::{
    Arrival, Best, Drained, Echo, Engine, Family, OpenError, Port, Token, Unsent, Whose, packet,
};

pub mod labels;
mod survey;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod walk;

use survey::Survey;

/// Hops that are looked for.
pub const MOST_HOPS: u8 = 30;
/// Packets of one trace.
pub const MOST_PACKETS: usize = 2 * MOST_HOPS as usize;
/// How long the answers to some requests are waited for.
const WAIT: Duration = Duration::from_secs(1);
/// From one reading of what came to the next.
const PAUSE: Duration = Duration::from_millis(2);
/// Bytes of a request's payload.
const SIZE: u16 = 32;

/// What a trace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Whom it was for.
    pub to: IpAddr,
    /// The hops from the nearest on, up to the target, the one that refused, or the last that
    /// answered and one more.
    pub hops: Vec<Hop>,
    /// Why this host did not send; the hops are then not the whole way.
    pub unsent: Option<Reason>,
}

/// One place on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// How many hops away: the TTL (hop limit) of the requests.
    pub ttl: u8,
    /// Who answered; [`None`] when nobody did.
    pub answer: Option<Answer>,
}

/// A hop's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who sent it.
    pub from: IpAddr,
    /// How long after the request, by this program's clock.
    pub after: Duration,
    /// What it says.
    pub said: HopReply,
}

/// What a hop says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopReply {
    /// The request's hop limit ended here: a router on the way.
    Passing,
    /// The target's own reply.
    Target,
    /// The way ends here, by this ICMP error.
    Refused(&'static str),
}

impl Trace {
    /// Whether the target itself answered.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.answers().any(|answer| answer.said == HopReply::Target)
    }

    /// The answers, nearest first.
    pub fn answers(&self) -> impl Iterator<Item = Answer> + '_ {
        self.hops.iter().filter_map(|hop| hop.answer)
    }

    /// The same, as what an outage's side is judged by.
    #[must_use]
    pub fn seen(&self) -> Traced {
        let routers = self
            .answers()
            .filter(|answer| answer.said != HopReply::Target && answer.from != self.to);
        Traced {
            lines: self.lines(),
            reached: self.reached(),
            routers: routers.map(|answer| answer.from).collect(),
        }
    }

    /// One line a hop: `3 192.0.2.1 12.345 ms`, `4 *`, `5 192.0.2.9 1.000 ms host-unreachable`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let hop = |hop: &Hop| match hop.answer {
            None => format!("{} *", hop.ttl),
            Some(Answer { from, after, said }) => {
                let micros = after.as_micros();
                let said = match said {
                    HopReply::Passing | HopReply::Target => String::new(),
                    HopReply::Refused(kind) => format!(" {kind}"),
                };
                format!("{} {from} {}.{:03} ms{said}", hop.ttl, micros / 1000, micros % 1000)
            }
        };
        self.hops.iter().map(hop).chain(self.unsent.as_ref().map(Reason::to_string)).collect()
    }
}

/// A socket that traces are made with, opened before privileges are dropped.
#[derive(Debug)]
pub struct Tracer {
    port: Box<dyn Port>,
    /// Numbers the requests; it goes on from trace to trace, so that a late answer to an earlier
    /// trace is nobody's.
    seq: u16,
}

impl Tracer {
    /// For targets of this family, by this circuit; its TTL is not used.
    ///
    /// # Errors
    /// When the system has no such socket, or an option of the circuit cannot be set.
    pub fn open(family: Family, circuit: &Circuit) -> Result<Self, OpenError> {
        Self::by(&Best::default(), family, circuit)
    }

    /// The same, by an engine of its own: what comes back must not be mistaken for another's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn by(engine: &impl Engine, family: Family, circuit: &Circuit) -> Result<Self, OpenError> {
        let circuit = Circuit { ttl: None, ..circuit.clone() };
        Ok(Self { port: engine.open(family, &circuit, SIZE)?, seq: 0 })
    }

    /// Traces the way to a target of its family.
    pub async fn trace(&mut self, to: IpAddr) -> Trace {
        let mut survey = Survey::default();
        let mut sent: Vec<Sent> = Vec::new();
        let mut unsent = None;
        let first = self.seq;
        // What an earlier trace has left is nobody's now.
        self.read(&mut |_| ());
        while let Some(window) = survey.next_window() {
            for ttl in window {
                match self.send(to, ttl, sent.len()) {
                    Ok(()) => sent.push(Sent { ttl, at: Instant::now() }),
                    // One queue that is full is no news; whatever else keeps one from leaving keeps
                    // all.
                    Err(Unsent::Buffer) => {}
                    Err(why) => unsent = Some(why.reason()),
                }
            }
            if unsent.is_some() {
                break;
            }
            let until = Instant::now() + WAIT;
            while survey.is_waiting() && Instant::now() < until {
                tokio::time::sleep(PAUSE).await;
                self.read(&mut |arrival| {
                    // What this very host says of its own packets is no hop's word.
                    let own = |from: IpAddr| from != to && hop::is_own(from);
                    if matches!(arrival, Arrival::Refused { from: Some(from), .. } if own(from)) {
                        return;
                    }
                    if let Some((place, from, said)) = understood(arrival, to, first)
                        && let Some(Sent { ttl, at }) = sent.get(place)
                    {
                        survey.take(*ttl, Answer { from, after: at.elapsed(), said });
                    }
                });
            }
        }
        Trace { to, hops: survey.hops(), unsent }
    }

    fn send(&mut self, to: IpAddr, ttl: u8, place: usize) -> Result<(), Unsent> {
        self.port.set_hops(ttl)?;
        let lane = u32::try_from(place).expect("a trace has at most MOST_PACKETS");
        let echo = Echo {
            token: Token { lane, send: u32::from(self.seq) },
            to,
            seq: self.seq,
            size: SIZE.max(packet::RECORD.try_into().expect("a record takes some bytes")),
            timeout: WAIT,
        };
        let mut faults = Vec::new();
        self.port.send(&[echo], &mut faults);
        if let Some(&(_, why)) = faults.first() {
            return Err(why);
        }
        self.seq = self.seq.wrapping_add(1);
        Ok(())
    }

    fn read(&mut self, each: &mut impl FnMut(Arrival)) {
        let mut arrivals = Vec::new();
        // Bounded, however much comes in.
        for _ in 0..16 {
            let drained = self.port.drain(&mut arrivals);
            arrivals.drain(..).for_each(&mut *each);
            if drained == Drained::Dry {
                return;
            }
        }
    }
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ttl: u8,
    at: Instant,
}

/// Which request of this trace an arrival answers, who sent it, and what it says. `first` is the
/// trace's first number.
fn understood(arrival: Arrival, to: IpAddr, first: u16) -> Option<(usize, IpAddr, HopReply)> {
    let by_token = |token: Token| {
        let place = u16::try_from(token.lane).ok()?;
        (token.send == u32::from(first.wrapping_add(place))).then_some(usize::from(place))
    };
    match arrival {
        Arrival::Reply { token, from, .. } => Some((by_token(token)?, from, HopReply::Target)),
        Arrival::Refused { whose, kind, from } => {
            let place = match whose {
                Whose::Token(token) => by_token(token)?,
                Whose::Seq(asked, seq) if asked == to => usize::from(seq.wrapping_sub(first)),
                Whose::Seq(..) => return None,
            };
            let said =
                if kind == "ttl-exceeded" { HopReply::Passing } else { HopReply::Refused(kind) };
            Some((place, from?, said))
        }
        Arrival::Departed { .. } | Arrival::Unsent { .. } | Arrival::Overflow => None,
    }
}

#[cfg(test)]
mod tests;
