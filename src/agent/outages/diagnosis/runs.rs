//! What became of a probe's last sends, as runs of equal outcomes: enough to count those of a span,
//! and small, since every probe has them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::{Wall, nanos_of};
use crate::evidence::side::Tally;
use crate::measure::ledger::{CarrierLoss, SettledSend, TargetWord};
use crate::measure::outcome::Outcome;

/// Runs that are remembered; older ones are forgotten.
const MOST: usize = 32;

/// The last sends of one probe.
#[derive(Debug)]
pub(super) struct Runs {
    period: Duration,
    runs: VecDeque<Run>,
}

/// Sends in a row that ended alike.
#[derive(Clone, Copy, Debug)]
struct Run {
    outcome: Outcome,
    carrier: CarrierLoss,
    word: TargetWord,
    /// When the first of them was due; the others were due a period apart.
    first: Wall,
    count: u32,
}

impl Run {
    fn is_like(&self, told: &SettledSend) -> bool {
        (self.outcome, self.carrier, self.word) == (told.outcome, told.carrier, told.word)
    }
}

impl Runs {
    /// With room for one run: most probes have no more.
    pub(super) fn new(period: Duration) -> Self {
        Self { period, runs: VecDeque::with_capacity(1) }
    }

    /// Takes the next send.
    pub(super) fn push(&mut self, told: &SettledSend) {
        match self.runs.back_mut() {
            Some(run) if run.is_like(told) => {
                run.count = run.count.saturating_add(1);
                // Labels follow the clock: the newest is the truest.
                run.first = told.due - self.period * (run.count - 1);
            }
            _ => {
                if self.runs.len() == MOST {
                    self.runs.pop_front();
                }
                let SettledSend { due, outcome, carrier, word, .. } = *told;
                self.runs.push_back(Run { outcome, carrier, word, first: due, count: 1 });
            }
        }
    }

    /// They were due so much later: the clock that labelled them was wrong by that.
    pub(super) fn shift(&mut self, by_ns: i64) {
        self.runs.iter_mut().for_each(|run| run.first = run.first.shifted(by_ns));
    }

    /// What became of the sends that were due in `from..until`.
    pub(super) fn tally(&self, from: Wall, until: Wall) -> Tally {
        let mut tally = Tally::default();
        for run in &self.runs {
            let count = self.within(run, from, until);
            if run.word == TargetWord::Given {
                tally.by_target += count;
            }
            match run.outcome {
                Outcome::Answered | Outcome::Late => tally.answered += count,
                Outcome::Lost | Outcome::Refused => tally.failed += count,
                Outcome::NotSent => tally.not_sent += count,
                Outcome::NotObserved => {}
            }
        }
        tally
    }

    /// Whether a send that was due in `from..until` found no carrier.
    pub(super) fn without_carrier(&self, from: Wall, until: Wall) -> bool {
        let mut without = self.runs.iter().filter(|run| run.carrier == CarrierLoss::Yes);
        without.any(|run| self.within(run, from, until) > 0)
    }

    /// How many of a run were due in `from..until`, to a millisecond: labels are no truer.
    fn within(&self, run: &Run, from: Wall, until: Wall) -> u32 {
        let period = u64::try_from(nanos_of(self.period)).unwrap_or(0).max(1);
        let before = |edge: Wall| {
            let ahead = edge.nanos_since(run.first).saturating_sub(1_000_000);
            u64::try_from(ahead).map_or(0, |ahead| ahead.div_ceil(period)).min(u64::from(run.count))
        };
        u32::try_from(before(until).saturating_sub(before(from))).expect("no more than the run has")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::event::ProbeId;

    fn runs(text: &str) -> Runs {
        let mut runs = Runs::new(Duration::from_secs(1));
        for (letter, second) in text.chars().zip(0..) {
            let outcome =
                Outcome::ALL.into_iter().find(|outcome| outcome.letter() == letter).unwrap();
            let carrier = if letter == 'n' { CarrierLoss::Yes } else { CarrierLoss::No };
            let word = if letter == 'u' { TargetWord::Given } else { TargetWord::None };
            let due = Wall::from_secs(second);
            runs.push(&SettledSend {
                probe: ProbeId(0),
                due,
                outcome,
                carrier,
                word,
                reason: None,
            });
        }
        runs
    }

    fn tally(runs: &Runs, from: i64, until: i64) -> (u32, u32, u32) {
        let Tally { answered, failed, not_sent, .. } =
            runs.tally(Wall::from_secs(from), Wall::from_secs(until));
        (answered, failed, not_sent)
    }

    #[test]
    fn the_sends_of_a_span_are_counted_and_those_at_its_end_are_not_in_it() {
        let runs = runs("aaallunnta");
        assert_eq!(tally(&runs, 0, 100), (5, 3, 2));
        assert_eq!(tally(&runs, 3, 6), (0, 3, 0));
        assert_eq!(tally(&runs, 1, 4), (2, 1, 0));
        assert_eq!(tally(&runs, 50, 100), (0, 0, 0));
        assert_eq!(tally(&runs, -50, 0), (0, 0, 0));
        assert_eq!(runs.tally(Wall::from_secs(0), Wall::from_secs(6)).by_target, 1);
        assert!(runs.without_carrier(Wall::from_secs(7), Wall::from_secs(9)));
        assert!(!runs.without_carrier(Wall::from_secs(8), Wall::from_secs(9)));
    }

    #[test]
    fn a_flapping_probe_takes_no_more_than_its_room() {
        let runs = runs(&"al".repeat(1000));
        assert_eq!(runs.runs.len(), MOST);
        assert_eq!(tally(&runs, 1990, 2000), (5, 5, 0));
    }
}
