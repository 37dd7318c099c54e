//! Which hops a trace asks next, by what has answered: first outwards, some hops at a time, then
//! once more those that were silent.

use crate::net::trace::{Answer, Hop, HopReply, MOST_HOPS};

/// Hops that are asked together.
const WINDOW: u8 = 6;

/// A trace, as far as it has come.
#[derive(Debug, Default)]
pub struct Survey {
    answers: [Option<Answer>; MOST_HOPS as usize],
    /// What is being asked.
    window: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Outwards; the next hop, and how many windows before were silent.
    Outwards { next: u8, silent: u8 },
    /// Once more, the hops of this list from its end on.
    Again(Vec<u8>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Outwards { next: 1, silent: 0 }
    }
}

impl Survey {
    /// The hops to ask now; [`None`] when the trace is over. Each hop is asked at most twice.
    pub fn next_window(&mut self) -> Option<Vec<u8>> {
        if let Stage::Outwards { next, silent } = self.stage {
            let heard = self.window.iter().any(|&ttl| self.answer(ttl).is_some());
            let silent = if heard || self.window.is_empty() { 0 } else { silent + 1 };
            // Two windows without an answer: it is broken before them, and nothing is to be learnt
            // beyond.
            if next <= MOST_HOPS && silent < 2 && self.end().is_none() {
                let last = (next + WINDOW - 1).min(MOST_HOPS);
                self.window = (next..=last).collect();
                self.stage = Stage::Outwards { next: last + 1, silent };
                return Some(self.window.clone());
            }
            let before =
                self.end().unwrap_or_else(|| self.last().saturating_add(WINDOW).min(next - 1) + 1);
            self.stage =
                Stage::Again((1..before).filter(|&ttl| self.answer(ttl).is_none()).rev().collect());
        }
        let Stage::Again(left) = &mut self.stage else {
            unreachable!("the outward stage has just ended")
        };
        self.window = left.split_off(left.len().saturating_sub(usize::from(WINDOW)));
        self.window.reverse();
        // The end may have come nearer meanwhile.
        let end = self.end().unwrap_or(u8::MAX);
        self.window.retain(|&ttl| ttl < end);
        (!self.window.is_empty()).then(|| self.window.clone())
    }

    /// Whether some of what was asked has not answered.
    pub fn is_waiting(&self) -> bool {
        let end = self.end().unwrap_or(u8::MAX);
        self.window.iter().any(|&ttl| ttl < end && self.answer(ttl).is_none())
    }

    /// Takes an answer; the first one of a hop counts.
    pub fn take(&mut self, ttl: u8, answer: Answer) {
        if let Some(slot) = usize::from(ttl).checked_sub(1).and_then(|at| self.answers.get_mut(at))
        {
            slot.get_or_insert(answer);
        }
    }

    /// The hops up to the end of the way, or the last that answered and one more.
    pub fn hops(&self) -> Vec<Hop> {
        let last = self.end().unwrap_or_else(|| (self.last() + 1).min(MOST_HOPS));
        (1..=last).map(|ttl| Hop { ttl, answer: self.answer(ttl) }).collect()
    }

    fn answer(&self, ttl: u8) -> Option<Answer> {
        self.answers[usize::from(ttl) - 1]
    }

    /// The nearest hop at which the way ends.
    fn end(&self) -> Option<u8> {
        (1..=MOST_HOPS)
            .find(|&ttl| self.answer(ttl).is_some_and(|answer| answer.said != HopReply::Passing))
    }

    /// The farthest hop that answered; zero when none did.
    fn last(&self) -> u8 {
        (1..=MOST_HOPS).rev().find(|&ttl| self.answer(ttl).is_some()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trace::MOST_PACKETS;
    use proptest::prelude::*;
    use std::time::Duration;

    fn says(said: HopReply) -> Answer {
        Answer { from: [192, 0, 2, 1].into(), after: Duration::ZERO, said }
    }

    /// Asks a way whose hops answer so, each at its given time of asking; gives the windows and the
    /// hops.
    fn walk(way: impl Fn(u8, u8) -> Option<HopReply>) -> (Vec<Vec<u8>>, Vec<Hop>) {
        let mut survey = Survey::default();
        let mut asked = [0u8; 256];
        let mut windows = Vec::new();
        while let Some(window) = survey.next_window() {
            for &ttl in &window {
                asked[usize::from(ttl)] += 1;
                if let Some(said) = way(ttl, asked[usize::from(ttl)]) {
                    survey.take(ttl, says(said));
                }
            }
            windows.push(window);
        }
        (windows, survey.hops())
    }

    #[test]
    fn a_whole_way_is_asked_once_and_ends_at_the_target() {
        let (windows, hops) =
            walk(|ttl, _| Some(if ttl < 8 { HopReply::Passing } else { HopReply::Target }));
        assert_eq!(windows, [(1..=6).collect::<Vec<_>>(), (7..=12).collect()]);
        assert_eq!(hops.len(), 8);
        assert_eq!(hops[7].answer, Some(says(HopReply::Target)));
    }

    #[test]
    fn a_silent_hop_is_asked_once_more() {
        let (windows, hops) = walk(|ttl, time| match ttl {
            2 => (time == 2).then_some(HopReply::Passing),
            3 => None,
            4 => Some(HopReply::Target),
            _ => Some(HopReply::Passing),
        });
        assert_eq!(windows, [vec![1, 2, 3, 4, 5, 6], vec![2, 3]]);
        assert_eq!(
            hops.iter().map(|hop| hop.answer.is_some()).collect::<Vec<_>>(),
            [true, true, false, true]
        );
    }

    #[test]
    fn a_broken_way_is_not_followed_for_ever() {
        let (windows, hops) = walk(|ttl, _| (ttl <= 2).then_some(HopReply::Passing));
        assert_eq!(
            windows.concat().len(),
            18 + 6,
            "three windows, and again what may be just behind the break"
        );
        assert_eq!(hops.len(), 3);
        let (windows, hops) = walk(|_, _| None);
        assert_eq!(windows, [(1..=6).collect::<Vec<_>>(), (7..=12).collect(), (1..=6).collect()]);
        assert_eq!(hops, [Hop { ttl: 1, answer: None }]);
    }

    #[test]
    fn a_router_that_refuses_ends_the_way() {
        let (_, hops) = walk(|ttl, _| {
            Some(if ttl < 3 { HopReply::Passing } else { HopReply::Refused("host-unreachable") })
        });
        assert_eq!(hops.len(), 3);
    }

    proptest! {
        #[test]
        fn whatever_answers_a_trace_ends_within_its_packets(
            answers in prop::collection::vec(0u8..4, 60),
        ) {
            let (windows, hops) = walk(|ttl, time| {
                match answers[usize::from(ttl - 1) * 2 + usize::from(time.min(2) - 1)] {
                    0 => Some(HopReply::Target),
                    1 => Some(HopReply::Passing),
                    _ => None,
                }
            });
            prop_assert!(windows.concat().len() <= MOST_PACKETS);
            prop_assert!(!hops.is_empty() && hops.len() <= usize::from(MOST_HOPS));
        }
    }
}
