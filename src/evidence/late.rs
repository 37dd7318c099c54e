//! Whether a summary that came long after its span's end counts all the same. A receipt bounds when
//! a summary can have been made; where it comes late, what bounds it is what came before: of the
//! chain, its numbers and links, and of what else was heard of the agent.
//!
//! | the summary | counts | because |
//! |---|---|---|
//! | was received no later than `late_after` after its span's end | yes | it was made by then |
//! | was received later, but the numbers after it were not, without a hole up to one received in time | yes | each names the digest of the one before, so that it was there by then |
//! | came in the order of its chain, goes on from one that counts, and begins no earlier than all that counts before it ended; nothing of the agent was received in another chain since that one was; it came within 35 days | yes | the agent was silent all that time, as the collector itself saw; whoever holds its key could have made it up within that silence, and no time else |
//! | begins the agent's first chain, and its span does not begin before the agent asked to be let in | yes | the same: it was silent since |
//! | somebody accepted it | yes | that is on record, with who and why; what goes on from it has to be accepted too |
//! | anything else: a chain that begins in the past; after a hole that nobody announced, or filling one; time that was told already; while the agent was heard of | no | it can have been made up at once |

use std::time::Duration;

use crate::base::time::Wall;

/// How long after its span's end a summary is still in time, where nobody says otherwise.
pub const AFTER: Duration = Duration::from_secs(48 * 3600);
/// An outbox that was silent for longer is looked at by somebody.
pub const SILENCE: Duration = Duration::from_secs(35 * 86_400);
/// So much of what was told already a late summary may tell again, since a clock may have been set
/// back.
const SET_BACK: Duration = Duration::from_secs(60);
/// A span is no longer than this.
const LONGEST: Duration = Duration::from_secs(3600);

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

impl Arrived {
    /// Whether it came in time.
    #[must_use]
    pub fn in_time(&self, after: Duration) -> bool {
        self.received <= self.to + after
    }
}

/// How a number follows on those of its chain that were looked at before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is the next one, or all between were dropped, as the agent says itself.
    Next,
    /// Numbers before it did not come, and nobody says that they were dropped.
    Hole,
}

/// How far a chain has told, in the order of its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Where the last of the spans that count ends; nothing was told yet where absent.
    pub told: Option<Wall>,
    /// When the last number that counts was received, as far as another may go on from it.
    pub since: Option<Wall>,
    /// Whether a late number told that end.
    pub by_late: bool,
    /// The boots that were named since this was begun, in their order.
    pub boots: Vec<String>,
}

impl Front {
    /// Before the first number of an agent's first chain, which asked to be let in at this instant.
    #[must_use]
    pub const fn enrolled(at: Wall) -> Self {
        Self { told: Some(at), since: Some(at), by_late: false, boots: Vec::new() }
    }

    /// Before the first number of a later chain: nothing late may begin it.
    #[must_use]
    pub const fn new_chain() -> Self {
        Self { told: None, since: None, by_late: false, boots: Vec::new() }
    }

    /// Classes the next number that came in the order of the chain. `heard` says whether anything
    /// of the agent was received in another chain after one instant and up to another.
    pub fn class<E>(
        &mut self,
        own: &Arrived,
        (link, after): (Link, Duration),
        accepted: bool,
        heard: impl FnOnce(Wall, Wall) -> Result<bool, E>,
    ) -> Result<Class, E> {
        let class = if own.in_time(after) {
            self.since = Some(own.received);
            self.by_late = false;
            Class::InTime
        } else {
            let why = self.why_not(own, link, heard)?;
            // One that only tells again, or is too old, says nothing of those after it.
            if !matches!(why, None | Some(Why::ToldAlready | Why::TooLong)) {
                self.since = None;
            }
            match why {
                None => {
                    self.since = Some(own.received);
                    self.by_late = true;
                    Class::Silence
                }
                Some(_) if accepted => Class::Accepted,
                Some(why) => Class::Late(why),
            }
        };
        if class.counts() {
            self.told = self.told.max(Some(own.to));
        }
        if self.boots.last() != Some(&own.boot) {
            self.boots.push(own.boot.clone());
        }
        Ok(class)
    }

    /// Why a late number does not go on from what counts.
    fn why_not<E>(
        &self,
        own: &Arrived,
        link: Link,
        heard: impl FnOnce(Wall, Wall) -> Result<bool, E>,
    ) -> Result<Option<Why>, E> {
        if link == Link::Hole {
            return Ok(Some(Why::Hole));
        }
        let Some(since) = self.since else {
            return Ok(Some(if self.told.is_none() && own.seq == 0 {
                Why::NewChain
            } else {
                Why::AfterLate
            }));
        };
        // A span may be split among several summaries, which came together.
        let is_part = self.by_late && self.told == Some(own.to) && own.from + LONGEST >= own.to;
        if !is_part && self.told.is_some_and(|told| own.from + SET_BACK < told) {
            return Ok(Some(Why::ToldAlready));
        }
        if own.received > own.to + SILENCE {
            return Ok(Some(Why::TooLong));
        }
        if self.boots.last() != Some(&own.boot) && self.boots.contains(&own.boot) {
            return Ok(Some(Why::Boot));
        }
        Ok(heard(since, own.received)?.then_some(Why::Heard))
    }
}

/// Which of some numbers, that follow on each other without a hole, were there in time, as those
/// after them show. `by` is the earliest receipt of the numbers that follow on the last without a
/// hole.
#[must_use]
pub fn named(run: &[Arrived], by: Option<Wall>, after: Duration) -> Vec<bool> {
    let mut bound = by;
    let mut all = vec![false; run.len()];
    for (own, named) in run.iter().zip(&mut all).rev() {
        *named = bound.is_some_and(|bound| bound <= own.to + after);
        bound = Some(bound.map_or(own.received, |bound| bound.min(own.received)));
    }
    all
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
    /// Later numbers of its chain came before it.
    OutOfOrder,
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
            Self::OutOfOrder => {
                "later numbers of its chain came before it, and none of them in time names it"
            }
        }
    }

    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::NewChain,
        Self::Hole,
        Self::AfterLate,
        Self::ToldAlready,
        Self::Heard,
        Self::TooLong,
        Self::Boot,
        Self::OutOfOrder,
    ];

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
            Self::OutOfOrder => "out-of-order",
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn wall(secs: i64) -> Wall {
        Wall::from_secs(secs)
    }

    /// A summary of five minutes, the number of which says when it was: number 0 on day 0.
    fn of(seq: u64, received: i64) -> Arrived {
        let from = i64::try_from(seq).unwrap() * 300;
        Arrived {
            seq,
            from: wall(from),
            to: wall(from + 300),
            received: wall(received),
            boot: "b".to_owned(),
        }
    }

    /// After all numbers before this one came in time.
    fn after_in_time(next: i64) -> Front {
        Front {
            told: Some(wall(next * 300)),
            since: Some(wall(next * 300 + 2)),
            by_late: false,
            boots: Vec::new(),
        }
    }

    /// Classes each, the next of the one before; of other chains something was received at some
    /// instants.
    fn classes(front: &mut Front, run: &[Arrived], heard: &[i64]) -> Vec<Class> {
        let mut before: Option<u64> = None;
        let mut class = |own: &Arrived| {
            let link = if before.is_none_or(|before| before + 1 == own.seq) {
                Link::Next
            } else {
                Link::Hole
            };
            before = Some(own.seq);
            let heard = |since: Wall, upto: Wall| {
                Ok::<_, ()>(heard.iter().any(|at| since < wall(*at) && wall(*at) <= upto))
            };
            front.class(own, (link, AFTER), own.seq == 7777, heard).unwrap()
        };
        run.iter().map(&mut class).collect()
    }

    fn count(all: &[Class]) -> usize {
        all.iter().filter(|class| class.counts()).count()
    }

    #[test]
    fn thirty_honest_days_offline_count_without_a_hand() {
        let back = 31 * DAY;
        // It comes in requests of 256, some of which are broken off and go on the next day.
        let run: Vec<Arrived> = (288..31 * 288u64)
            .map(|seq| {
                of(
                    seq,
                    back + i64::try_from(seq / 256).unwrap() * 2 + if seq > 5000 { DAY } else { 0 },
                )
            })
            .collect();
        let all = classes(&mut after_in_time(288), &run, &[]);
        assert_eq!(count(&all), run.len(), "{:?}", all.iter().find(|class| !class.counts()));
        assert_eq!((all[0], all[all.len() - 1]), (Class::Silence, Class::InTime));
    }

    #[test]
    fn a_month_made_up_at_once_does_not_count() {
        let back = 31 * DAY;
        let run: Vec<Arrived> = (0..288u64).map(|seq| of(seq, back)).collect();
        let new = classes(&mut Front::new_chain(), &run, &[]);
        assert_eq!(
            (count(&new), new[0], new[1]),
            (0, Class::Late(Why::NewChain), Class::Late(Why::AfterLate))
        );
        let later: Vec<Arrived> = (288..600u64).map(|seq| of(seq, back)).collect();
        // It was heard of in another chain on the tenth day.
        let heard = classes(&mut after_in_time(288), &later, &[10 * DAY]);
        assert_eq!((count(&heard), heard[0]), (0, Class::Late(Why::Heard)));
        // It tells of time that was told already.
        let told =
            classes(&mut Front { told: Some(wall(20 * DAY)), ..after_in_time(288) }, &later, &[]);
        assert_eq!((count(&told), told[0]), (0, Class::Late(Why::ToldAlready)));
        // Its numbers were never announced.
        let hole = [of(288, 288 * 300 + 302), of(300, back), of(301, back)];
        let hole = classes(&mut after_in_time(288), &hole, &[]);
        assert_eq!(hole, [Class::InTime, Class::Late(Why::Hole), Class::Late(Why::AfterLate)]);
    }

    #[test]
    fn no_number_of_small_steps_back_leads_into_the_past() {
        // In time, but nearly two days old; then a minute back with each.
        let old =
            Arrived { from: wall(10 * DAY - 300), to: wall(10 * DAY), ..of(1, 12 * DAY - 60) };
        let back = (2..3000u64).map(|seq| {
            let from = 10 * DAY - 300 - i64::try_from(seq).unwrap() * 60;
            Arrived { seq, from: wall(from), to: wall(from), ..of(seq, 12 * DAY) }
        });
        let run: Vec<Arrived> = [of(0, 12 * DAY)].into_iter().chain([old]).chain(back).collect();
        let mut front =
            Front { told: Some(wall(12 * DAY)), since: Some(wall(12 * DAY)), ..Front::new_chain() };
        let all = classes(&mut front, &run[1..], &[]);
        assert_eq!(count(&all), 1, "the one that came in time");
        assert_eq!(front.told, Some(wall(12 * DAY)));
    }

    #[test]
    fn what_is_too_old_or_told_already_takes_nothing_from_those_after_it() {
        let back = 40 * DAY;
        let run: Vec<Arrived> = (288..40 * 288u64).map(|seq| of(seq, back)).collect();
        let all = classes(&mut after_in_time(288), &run, &[]);
        assert_eq!(all[0], Class::Late(Why::TooLong));
        let old = all.iter().filter(|class| **class == Class::Late(Why::TooLong)).count();
        assert_eq!(old + count(&all), all.len(), "the last 35 days count");
        assert!(count(&all) >= 35 * 288 - 1);
    }

    #[test]
    fn a_span_that_is_split_counts_whole() {
        let part = |seq| Arrived { seq, ..of(288, 10 * DAY) };
        let mut front = after_in_time(288);
        assert_eq!(
            classes(&mut front, &[part(288), part(289), part(290)], &[]),
            [Class::Silence; 3]
        );
        // Not one that begins in time and goes on after days.
        let mut front = after_in_time(288);
        let late = Arrived { seq: 288, ..of(287, 10 * DAY) };
        assert_eq!(classes(&mut front, &[late], &[]), [Class::Late(Why::ToldAlready)]);
    }

    #[test]
    fn what_a_later_number_in_time_names_was_there_by_then_however_late_it_comes() {
        let run: Vec<Arrived> = (10..20u64).map(|seq| of(seq, 60 * DAY)).collect();
        // Number 20 came at its time.
        assert_eq!(named(&run, Some(wall(20 * 300 + 302)), AFTER), [true; 10]);
        assert_eq!(named(&run, Some(wall(60 * DAY)), AFTER), [false; 10]);
        assert_eq!(named(&run, None, AFTER), [false; 10]);
        // In the same run the later ones tell as well.
        let mut mixed = run.clone();
        mixed[9].received = wall(20 * 300 + 2);
        assert_eq!(named(&mixed, None, AFTER)[..9], [true; 9]);
    }

    #[test]
    fn an_agent_that_waited_to_be_let_in_counts_from_when_it_asked() {
        let run: Vec<Arrived> = (0..5u64).map(|seq| of(seq, 5 * DAY)).collect();
        assert_eq!(count(&classes(&mut Front::enrolled(wall(0)), &run, &[])), 5);
        let asked = classes(&mut Front::enrolled(wall(DAY)), &run, &[]);
        assert_eq!(asked[0], Class::Late(Why::ToldAlready));
    }

    #[test]
    fn a_boot_that_ended_does_not_come_back() {
        let mut run: Vec<Arrived> = (288..291u64).map(|seq| of(seq, 10 * DAY)).collect();
        run[1].boot = "c".to_owned();
        let all = classes(&mut after_in_time(288), &run, &[]);
        assert_eq!(all, [Class::Silence, Class::Silence, Class::Late(Why::Boot)]);
    }

    #[test]
    fn what_somebody_accepted_counts_and_nothing_that_goes_on_from_it() {
        let run: Vec<Arrived> = (7776..7780u64).map(|seq| of(seq, 60 * DAY)).collect();
        let mut front = Front::new_chain();
        let all = classes(&mut front, &run, &[]);
        let late = Class::Late(Why::AfterLate);
        assert_eq!(all, [late, Class::Accepted, late, late]);
        assert_eq!(front.told, Some(run[1].to), "and it was told");
    }
}
