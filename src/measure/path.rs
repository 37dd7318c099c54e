//! The hops of a path, and what of their silence is loss.
//!
//! A router answers for itself only as often as it likes (its ICMP rate limit), and forwards all
//! the same. So what hops behind it answer has passed it: of what a hop leaves unanswered, only
//! what no hop behind it answers better is loss.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::measure::histogram::Histogram;

/// Who answered at a hop.
#[derive(Clone, Debug)]
pub struct Answered {
    /// How often.
    pub count: u64,
    /// The RTT of the last answer, in nanoseconds.
    pub last_ns: u64,
    /// The sum of all RTTs, in nanoseconds.
    pub sum_ns: u64,
    /// Their histogram.
    pub rtt: Histogram,
}

/// A hop.
#[derive(Clone, Debug, Default)]
pub struct Hop {
    /// How often it was asked.
    pub sent: u64,
    /// Who answered.
    pub hosts: BTreeMap<IpAddr, Answered>,
}

impl Hop {
    /// Takes an answer.
    pub fn answer(&mut self, from: IpAddr, rtt_ns: u64) {
        let empty = || Answered { count: 0, last_ns: 0, sum_ns: 0, rtt: Histogram::new() };
        let host = self.hosts.entry(from).or_insert_with(empty);
        host.count += 1;
        host.last_ns = rtt_ns;
        host.sum_ns = host.sum_ns.saturating_add(rtt_ns);
        host.rtt.record_ns(rtt_ns);
    }

    /// How often it answered, whoever did.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.hosts.values().map(|host| host.count).sum::<u64>().min(self.sent)
    }
}

/// What became of what a hop did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Lost on the way: no hop behind it did better.
    pub lost: u64,
    /// Not answered, though hops behind it did: its own limit.
    pub limited: u64,
}

/// The silence of each hop, nearest first. A hop that never answers says nothing of the way to it;
/// it is limited as far as hops behind it answer, and lost where none does.
#[must_use]
pub fn silences(hops: &[Hop]) -> Vec<Silence> {
    let mut best: Option<(u64, u64)> = None;
    let mut all = Vec::with_capacity(hops.len());
    for hop in hops.iter().rev() {
        let (answered, sent) = (hop.answered(), hop.sent);
        let better = |(a, s): (u64, u64)| {
            u128::from(a) * u128::from(sent) > u128::from(answered) * u128::from(s)
        };
        if answered > 0 && !best.is_some_and(better) {
            best = Some((answered, sent));
        }
        let silent = sent - answered;
        // What the best of those behind it would leave of as many, rounded to the nearest.
        let passed = best.map_or(answered, |(a, s)| (a * sent + s / 2).checked_div(s).unwrap_or(0));
        let lost = sent.saturating_sub(passed).min(silent);
        all.push(Silence { lost, limited: silent - lost });
    }
    all.reverse();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(place: u8, answered: u64) -> Hop {
        let mut hop = Hop { sent: 100, ..Hop::default() };
        (0..answered).for_each(|n| hop.answer([192, 0, 2, place].into(), 1_000_000 + n));
        hop
    }

    fn told(answered: &[u64]) -> Vec<(u64, u64)> {
        let hops: Vec<Hop> = (1..).zip(answered).map(|(place, of)| hop(place, *of)).collect();
        silences(&hops).into_iter().map(|of| (of.lost, of.limited)).collect()
    }

    #[test]
    fn what_hops_behind_answer_is_no_loss_of_one_before_them() {
        assert_eq!(told(&[100, 40, 100, 100]), [(0, 0), (0, 60), (0, 0), (0, 0)]);
        assert_eq!(told(&[100, 40, 90, 90]), [(0, 0), (10, 50), (10, 0), (10, 0)]);
    }

    #[test]
    fn loss_shows_from_where_it_arises_to_the_end() {
        assert_eq!(told(&[100, 100, 75, 75]), [(0, 0), (0, 0), (25, 0), (25, 0)]);
    }

    #[test]
    fn a_hop_that_never_answers_is_limited_before_others_and_lost_at_the_end() {
        assert_eq!(told(&[100, 0, 100]), [(0, 0), (0, 100), (0, 0)]);
        assert_eq!(told(&[100, 80, 0]), [(0, 0), (20, 0), (100, 0)]);
        assert_eq!(told(&[]), []);
    }
}
