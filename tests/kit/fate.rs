//! What becomes of each packet: a pure function of the seed, the address, the protocol, the
//! packet's number and the time.

use std::net::IpAddr;

use super::scenario::{Figures, Refusal, Rules, Shape};

/// The protocols whose packets are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// ICMP or ICMPv6 echo requests.
    Echo,
    /// TCP segments.
    Tcp,
    /// UDP datagrams.
    Udp,
}

/// What becomes of a packet. Times are nanoseconds from its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered {
        /// When.
        after: u64,
        /// When it is answered once more.
        again: Option<u64>,
        /// Whether it was held back, for reordering.
        held_back: bool,
    },
    /// An error comes instead of an answer.
    Refused {
        /// When.
        after: u64,
        /// Which.
        refusal: Refusal,
    },
    /// It is dropped by chance.
    Lost,
    /// It is dropped by an outage.
    Outage,
}

impl Rules {
    /// From which hop on nothing answers at a time, in nanoseconds of the rules' own count;
    /// [`None`] without an outage.
    pub fn down_from_hop(&self, at: u64) -> Option<usize> {
        self.windows
            .iter()
            .filter(|window| (window.from..window.to).contains(&at))
            .find_map(|window| window.down)
    }

    /// The undisturbed delay at a time.
    pub fn delay(&self, at: u64) -> u64 {
        self.figures(at).delay
    }

    fn figures(&self, at: u64) -> Figures {
        let mut figures = self.base;
        for window in self.windows.iter().filter(|window| (window.from..window.to).contains(&at)) {
            figures.delay = window.delay.unwrap_or(figures.delay);
            figures.jitter = window.jitter.unwrap_or(figures.jitter);
            figures.loss = window.loss.unwrap_or(figures.loss);
            figures.refuse = window.refuse.or(figures.refuse);
        }
        figures
    }

    /// What becomes of the packet with this number, counted from 0 for each address and protocol,
    /// that arrives at this time, in nanoseconds of the rules' own count.
    pub fn fate(&self, seed: u64, address: IpAddr, proto: Proto, number: u64, at: u64) -> Fate {
        if self.down_from_hop(at).is_some() {
            return Fate::Outage;
        }
        let draws = Draws::new(seed, address, proto, number);
        let figures = self.figures(at);
        if self.lose.iter().any(|span| (span.0..=span.1).contains(&number))
            || draws.share(0) < figures.loss
        {
            return Fate::Lost;
        }
        let mut after = self.jittered(figures, &draws);
        if let Some(refusal) = figures.refuse {
            return Fate::Refused { after, refusal };
        }
        let held_back = draws.share(1) < self.reorder;
        if held_back {
            after += self.reorder_by;
        }
        let again = (draws.share(2) < self.duplicate).then_some(after + self.duplicate_after);
        Fate::Answered { after, again, held_back }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a delay of hours in nanoseconds is exact in an f64, and the result is held \
            above zero"
    )]
    fn jittered(&self, figures: Figures, draws: &Draws) -> u64 {
        if figures.jitter == 0 {
            return figures.delay;
        }
        let unit = match self.shape {
            Shape::Uniform => 2.0 * draws.share(3) - 1.0,
            Shape::Normal => (0..12).map(|one| draws.share(16 + one)).sum::<f64>() - 6.0,
            Shape::Exponential => -(1.0 - draws.share(3)).ln(),
        };
        (figures.delay as f64 + unit * figures.jitter as f64).max(0.0) as u64
    }
}

/// The draws of one packet: a hash of all that tells it apart, so that none depends on another
/// packet.
struct Draws(u64);

impl Draws {
    fn new(seed: u64, address: IpAddr, proto: Proto, number: u64) -> Self {
        let (high, low) = match address {
            IpAddr::V4(address) => (4, u64::from(u32::from(address))),
            IpAddr::V6(address) => {
                let words = address.segments().map(u64::from);
                let join = |part: &[u64]| part.iter().fold(0, |joined, word| joined << 16 | word);
                (join(&words[..4]), join(&words[4..]))
            }
        };
        Self(
            [high, low, proto as u64, number]
                .into_iter()
                .fold(mix(seed), |state, word| mix(state ^ word)),
        )
    }

    /// An even draw from 0 to below 1; another for each purpose.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in an f64")]
    fn share(&self, purpose: u64) -> f64 {
        (mix(self.0 ^ mix(purpose)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The step of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
