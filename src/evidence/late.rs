//! Whether a summary that came long after its span's end counts all the same. A receipt bounds when a summary can have been made; where it
//! comes late, what bounds it is what came before: of the chain, its numbers and links, and of what else was heard of the agent.
//!
//! | the summary | counts | because |
//! |---|---|---|
//! | was received no later than `late_after` after its span's end | yes | it was made by then |
//! | was received later, but the numbers after it were not, without a hole up to one received in time | yes | each names the digest of the one before, so that it was there by then |
//! | continues its chain, number by number, from one that counts; its span begins where that one's ends; nothing else of the agent came between the two receipts; it came within 35 days | yes | the agent was silent all that time, as the collector itself saw; whoever holds its key could have made it up within that silence, and no time else |
//! | begins the agent's first chain, and its span does not begin before the agent asked to be let in | yes | the same: it was silent since |
//! | somebody accepted it | yes | that is on record, with who and why |
//! | anything else: a chain that begins in the past; after a hole that nobody announced; time that was told already; while the agent was heard of | no | it can have been made up at once |

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::time::Wall;

/// How long after its span's end a summary is still in time, where nobody says otherwise.
pub const AFTER: Duration = Duration::from_secs(48 * 3600);
/// An outbox that was silent for longer is looked at by somebody.
pub const SILENCE: Duration = Duration::from_secs(35 * 86_400);
/// So much a clock may have been set back between two summaries.
const SET_BACK: Duration = Duration::from_secs(60);

/// What of a summary bounds when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number.
    pub seq: u64,
    /// Where its span begins.
    pub from: Wall,
    /// Where its span ends.
    pub to: Wall,
    /// When it was received.
    pub received: Wall,
    /// The boot that it names.
    pub boot: String,
}

/// What comes right before some numbers of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// A summary that counts.
    Counts(Arrived),
    /// Nothing: it is the agent's first chain, and the agent asked to be let in at this instant.
    Enrolled(Wall),
    /// One that does not count.
    Late,
    /// Nothing, and the agent had another chain before.
    NewChain,
    /// Numbers that did not come, and of which nobody says that they were dropped.
    Hole,
}

/// Why a late summary does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Its chain begins in the past.
    NewChain,
    /// The number before it did not come.
    Hole,
    /// The one before it does not count.
    AfterLate,
    /// Its span is before the end of what was told already, or before the agent asked to be let in.
    ToldAlready,
    /// Something else of the agent came meanwhile: it was not silent.
    Heard,
    /// It came after more than 35 days.
    TooLong,
    /// It names a boot that had ended.
    Boot,
}

impl Why {
    /// In words, after "it does not count: ".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NewChain => "its chain begins in the past",
            Self::Hole => "the number before it did not come",
            Self::AfterLate => "the one before it does not count",
            Self::ToldAlready => "its span is before the end of what was told already",
            Self::Heard => "the agent was heard of meanwhile, in another chain",
            Self::TooLong => "it came after more than 35 days",
            Self::Boot => "it names a boot that had ended",
        }
    }

    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::NewChain, Self::Hole, Self::AfterLate, Self::ToldAlready, Self::Heard, Self::TooLong, Self::Boot];

    /// Its word in a database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NewChain => "new-chain",
            Self::Hole => "hole",
            Self::AfterLate => "after-late",
            Self::ToldAlready => "told-already",
            Self::Heard => "heard",
            Self::TooLong => "too-long",
            Self::Boot => "boot",
        }
    }
}

/// How a summary counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was received in time.
    InTime,
    /// A later number that was received in time names it, directly or by those between.
    Named,
    /// Somebody accepted it.
    Accepted,
    /// It continues what counts, after a silence.
    Silence,
    /// It does not count.
    Late(Why),
}

impl Class {
    /// Whether it counts.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Late(_))
    }
}

/// What some numbers of a chain are classed by. The numbers follow on each other without a hole, and each names the digest of the one
/// before.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// How long after its span's end a summary is still in time.
    pub after: Duration,
    /// What comes right before them.
    pub before: &'a Before,
    /// The numbers.
    pub run: &'a [Arrived],
    /// The earliest receipt of the numbers that follow on them without a hole.
    pub named: Option<Wall>,
    /// When anything else of the agent was received, in its other chains.
    pub heard: &'a [Wall],
}

impl Case<'_> {
    /// Classes each. `accepted` says which numbers somebody accepted.
    #[must_use]
    pub fn classes(&self, accepted: impl Fn(u64) -> bool) -> Vec<Class> {
        let bounds = self.bounds();
        let mut boots: BTreeSet<&str> = BTreeSet::new();
        let mut classes: Vec<Class> = Vec::with_capacity(self.run.len());
        for (at, own) in self.run.iter().enumerate() {
            let latest = own.to + self.after;
            let class = if own.received <= latest {
                Class::InTime
            } else if bounds[at].is_some_and(|bound| bound <= latest) {
                Class::Named
            } else if accepted(own.seq) {
                Class::Accepted
            } else {
                let before = match at.checked_sub(1) {
                    None => self.continues(self.before, own, &boots),
                    Some(before) if classes[before].counts() => {
                        self.continues(&Before::Counts(self.run[before].clone()), own, &boots)
                    }
                    Some(_) => Some(Why::AfterLate),
                };
                before.map_or(Class::Silence, Class::Late)
            };
            boots.insert(&own.boot);
            classes.push(class);
        }
        classes
    }

    /// By when each must have been there, as those after it show.
    fn bounds(&self) -> Vec<Option<Wall>> {
        let mut bounds = vec![self.named; self.run.len()];
        for at in (1..self.run.len()).rev() {
            let next = self.run[at].received;
            bounds[at - 1] = Some(bounds[at].map_or(next, |bound| bound.min(next)));
        }
        bounds
    }

    /// Why one does not continue what comes before it.
    fn continues(&self, before: &Before, own: &Arrived, boots: &BTreeSet<&str>) -> Option<Why> {
        let (since, told) = match before {
            Before::Late => return Some(Why::AfterLate),
            Before::NewChain => return Some(Why::NewChain),
            Before::Hole => return Some(Why::Hole),
            Before::Enrolled(at) => (*at, *at),
            Before::Counts(before) => {
                // A span may be split among several summaries.
                let same = (before.from, before.to) == (own.from, own.to);
                let told = if same { own.from } else { before.to };
                if own.boot != before.boot && boots.contains(own.boot.as_str()) {
                    return Some(Why::Boot);
                }
                (before.received, told)
            }
        };
        let (first, last) = (since.min(own.received), since.max(own.received));
        if own.from + SET_BACK < told {
            Some(Why::ToldAlready)
        } else if self.heard.iter().any(|heard| first < *heard && *heard <= last) {
            Some(Why::Heard)
        } else if own.received > own.to + SILENCE {
            Some(Why::TooLong)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    /// A summary of five minutes, the number of which says when it was: number 0 on day 0.
    fn of(seq: u64, received: i64) -> Arrived {
        let from = i64::try_from(seq).unwrap() * 300;
        Arrived {
            seq,
            from: Wall::from_secs(from),
            to: Wall::from_secs(from + 300),
            received: Wall::from_secs(received),
            boot: "b".to_owned(),
        }
    }

    fn in_time(seq: u64) -> Arrived {
        let seq_ = i64::try_from(seq).unwrap();
        of(seq, seq_ * 300 + 302)
    }

    fn classes(before: &Before, run: &[Arrived], named: Option<i64>, heard: &[i64]) -> Vec<Class> {
        let heard: Vec<Wall> = heard.iter().copied().map(Wall::from_secs).collect();
        Case { after: AFTER, before, run, named: named.map(Wall::from_secs), heard: &heard }.classes(|seq| seq == 7777)
    }

    #[test]
    fn thirty_honest_days_offline_count_without_a_hand() {
        let back = 31 * DAY;
        // It comes in requests of 256, some of which are broken off and go on the next day.
        let run: Vec<Arrived> = (288..31 * 288u64)
            .map(|seq| of(seq, back + i64::try_from(seq / 256).unwrap() * 2 + if seq > 5000 { DAY } else { 0 }))
            .collect();
        let all = classes(&Before::Counts(in_time(287)), &run, None, &[]);
        assert!(all.iter().all(|class| class.counts()), "{:?}", all.iter().find(|class| !class.counts()));
        assert_eq!((all[0], all[all.len() - 1]), (Class::Silence, Class::InTime));
    }

    #[test]
    fn a_month_made_up_at_once_does_not_count() {
        let back = 31 * DAY;
        let run: Vec<Arrived> = (0..288u64).map(|seq| of(seq, back)).collect();
        assert!(classes(&Before::NewChain, &run, None, &[]).iter().enumerate().all(
            |(at, class)| *class == if at == 0 { Class::Late(Why::NewChain) } else { Class::Late(Why::AfterLate) }
        ));
        let later: Vec<Arrived> = (288..600u64).map(|seq| of(seq, back)).collect();
        // It was heard of in another chain on the tenth day.
        let heard = classes(&Before::Counts(in_time(287)), &later, None, &[10 * DAY]);
        assert_eq!(heard[0], Class::Late(Why::Heard));
        assert!(heard.iter().all(|class| !class.counts()));
        // Its numbers were never announced.
        assert!(classes(&Before::Hole, &later, None, &[]).iter().all(|class| !class.counts()));
        // It tells of time that was told already.
        let told = Before::Counts(Arrived { to: Wall::from_secs(20 * DAY), ..in_time(287) });
        assert_eq!(classes(&told, &later, None, &[])[0], Class::Late(Why::ToldAlready));
        let older: Vec<Arrived> = (288..300u64).map(|seq| of(seq, 40 * DAY)).collect();
        assert_eq!(classes(&Before::Counts(in_time(287)), &older, None, &[])[0], Class::Late(Why::TooLong));
    }

    #[test]
    fn what_a_later_number_in_time_names_was_there_by_then_however_late_it_comes() {
        let run: Vec<Arrived> = (10..20u64).map(|seq| of(seq, 60 * DAY)).collect();
        // Number 20 came at its time.
        let named = classes(&Before::Hole, &run, Some(20 * 300 + 302), &[]);
        assert!(named.iter().all(|class| *class == Class::Named), "{named:?}");
        let late = classes(&Before::Hole, &run, Some(60 * DAY), &[]);
        assert!(late.iter().all(|class| !class.counts()), "{late:?}");
        // In the same run the later ones tell as well.
        let mut mixed = run.clone();
        mixed[9].received = Wall::from_secs(20 * 300 + 2);
        assert!(classes(&Before::Hole, &mixed, None, &[]).iter().all(|class| class.counts()));
    }

    #[test]
    fn an_agent_that_waited_to_be_let_in_counts_from_when_it_asked() {
        let run: Vec<Arrived> = (0..5u64).map(|seq| of(seq, 5 * DAY)).collect();
        assert!(classes(&Before::Enrolled(Wall::from_secs(0)), &run, None, &[]).iter().all(|class| class.counts()));
        let asked = Before::Enrolled(Wall::from_secs(DAY));
        assert_eq!(classes(&asked, &run, None, &[])[0], Class::Late(Why::ToldAlready));
    }

    #[test]
    fn what_somebody_accepted_counts_and_so_does_what_continues_it() {
        let run: Vec<Arrived> = (7777..7780u64).map(|seq| of(seq, 60 * DAY)).collect();
        let all = classes(&Before::Hole, &run, None, &[]);
        assert_eq!(all, [Class::Accepted, Class::Silence, Class::Silence]);
    }

    #[test]
    fn a_boot_that_ended_does_not_come_back() {
        let mut run: Vec<Arrived> = (288..291u64).map(|seq| of(seq, 10 * DAY)).collect();
        run[1].boot = "c".to_owned();
        let all = classes(&Before::Counts(in_time(287)), &run, None, &[]);
        assert_eq!(all, [Class::Silence, Class::Silence, Class::Late(Why::Boot)]);
    }
}
