//! A path as far as it is known: rounds of answers, by hop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::measure::path::{Hop, Silence, silences};
use crate::net::trace::HopReply;
use crate::net::trace::labels::Label;
use crate::net::trace::walk::Heard;

/// What is known of a path.
#[derive(Debug, Default)]
pub struct Course {
    hops: Vec<Hop>,
    labels: BTreeMap<(u8, IpAddr), Vec<Label>>,
    /// The nearest TTL at which the way ends, and what was said there.
    end: Option<(u8, HopReply)>,
}

impl Course {
    /// Takes a round, in which these hops were asked.
    pub fn round(&mut self, asked: &[u8], heard: Vec<Heard>) {
        for one in &heard {
            if one.said != HopReply::Passing && self.end.is_none_or(|(end, _)| one.ttl < end) {
                self.end = Some((one.ttl, one.said));
            }
        }
        if let Some((end, _)) = self.end {
            self.hops.truncate(usize::from(end));
        }
        let is_known = |ttl: u8| self.end.is_none_or(|(end, _)| ttl <= end);
        for &ttl in asked.iter().filter(|&&ttl| ttl > 0 && is_known(ttl)) {
            if self.hops.len() < usize::from(ttl) {
                self.hops.resize_with(usize::from(ttl), Hop::default);
            }
            self.hops[usize::from(ttl) - 1].sent += 1;
        }
        for one in heard {
            let Some(hop) =
                usize::from(one.ttl).checked_sub(1).and_then(|at| self.hops.get_mut(at))
            else {
                continue;
            };
            hop.answer(one.from, u64::try_from(one.rtt.as_nanos()).unwrap_or(u64::MAX));
            if !one.labels.is_empty() {
                self.labels.insert((one.ttl, one.from), one.labels);
            }
        }
    }

    /// Ends the looking for the end: of hops that are silent behind the last that answered one is
    /// kept.
    pub fn settle(&mut self) {
        if self.end.is_none() {
            let last = self.hops.iter().rposition(|hop| hop.answered() > 0);
            self.hops.truncate(last.map_or(1, |last| last + 2));
        }
    }

    /// The TTL at which the way ends, where it is known.
    #[must_use]
    pub fn end(&self) -> Option<u8> {
        self.end.map(|(end, _)| end)
    }

    /// Whether the target itself answered.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.end.is_some_and(|(_, said)| said == HopReply::Target)
    }

    /// By what ICMP error the way ends, where it does not end at the target.
    #[must_use]
    pub fn refused(&self) -> Option<&'static str> {
        match self.end {
            Some((_, HopReply::Refused(kind))) => Some(kind),
            _ => None,
        }
    }

    /// The hops to ask.
    #[must_use]
    pub fn ttls(&self) -> Vec<u8> {
        (1..).take(self.hops.len()).collect()
    }

    /// The hops, nearest first, each with its TTL and what its silence is.
    pub fn hops(&self) -> impl Iterator<Item = (u8, &Hop, Silence)> + '_ {
        let silences = silences(&self.hops);
        (1..).zip(&self.hops).zip(silences).map(|((ttl, hop), silence)| (ttl, hop, silence))
    }

    /// The labels that a host's last answer came with.
    #[must_use]
    pub fn labels(&self, ttl: u8, host: IpAddr) -> &[Label] {
        self.labels.get(&(ttl, host)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Everyone who answered.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.hops.iter().flat_map(|hop| hop.hosts.keys().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn heard(ttl: u8, place: u8, said: HopReply) -> Heard {
        let from = IpAddr::from([192, 0, 2, place]);
        Heard { ttl, from, rtt: Duration::from_millis(3), said, labels: Vec::new() }
    }

    #[test]
    fn what_is_behind_the_end_of_the_way_is_no_hop() {
        let mut course = Course::default();
        let passing = |ttl| heard(ttl, ttl, HopReply::Passing);
        let target = |ttl| heard(ttl, 99, HopReply::Target);
        course.round(&[1, 2, 3, 4, 5, 6], vec![passing(1), target(4), target(3), passing(2)]);
        course.settle();
        assert!(course.reached() && course.end() == Some(3));
        assert_eq!(course.ttls(), [1, 2, 3]);
        assert_eq!(
            course.hops().map(|(_, hop, _)| (hop.sent, hop.answered())).collect::<Vec<_>>(),
            [(1, 1); 3]
        );
    }

    #[test]
    fn a_way_that_ends_in_silence_shows_one_silent_hop() {
        let mut course = Course::default();
        course.round(
            &[1, 2, 3, 4, 5, 6],
            vec![heard(1, 1, HopReply::Passing), heard(3, 3, HopReply::Passing)],
        );
        course.settle();
        assert_eq!(course.ttls(), [1, 2, 3, 4]);
        let silent: Vec<Silence> = course.hops().map(|(_, _, silence)| silence).collect();
        assert_eq!(silent[1], Silence { lost: 0, limited: 1 });
        assert_eq!(silent[3], Silence { lost: 1, limited: 0 });
        assert!(!course.reached());
        course.settle();
        course.round(&[1, 2, 3, 4], vec![heard(4, 4, HopReply::Refused("prohibited"))]);
        assert_eq!((course.refused(), course.reached()), (Some("prohibited"), false));
    }
}
