//! What becomes of alerts when it is looked again, and what each receiver is told. Pure: what is
//! found goes in, what has to be written and told comes out. Each receiver is told by itself: what
//! one did not hear keeps nothing from another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::base::time::Wall;
use crate::collector::alerts::Alert;
use crate::collector::findings::finding::{Finding, FindingKind};

/// More than so many findings of one kind that begin or end together are one message.
const SINGLE: usize = 3;

/// What has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began, or says something new, or ended and somebody has to be told.
    Put(Alert),
    /// It ended, and nobody has to be told.
    Forget(Alert),
    /// It ended, and everybody who has to be told was.
    Close(Alert),
}

/// Who is told, from when on, and what time it is.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Those who are told.
    pub listening: Vec<&'static str>,
    /// What ends before it lasted so long is never told: a number that overtook another, a line
    /// that blinked.
    pub hold: Duration,
    /// Now.
    pub now: Wall,
}

/// What changes: `open` is what was written, `found` what is found now.
#[must_use]
pub fn step(open: &[Alert], found: &[Finding], set: &Setting) -> Vec<Change> {
    // The last of each topic: those before it have ended, and wait for somebody to be told.
    let mut last: BTreeMap<String, &Alert> = BTreeMap::new();
    for alert in open {
        let kept = last.entry(alert.topic()).or_insert(alert);
        if alert.since > kept.since {
            *kept = alert;
        }
    }
    let mut changes = Vec::new();
    for finding in found {
        let new = Alert::begin(finding, set.now);
        match last.remove(&new.topic()) {
            None => changes.push(Change::Put(new)),
            // It is back before its end was told to anybody: it never ended.
            Some(old) if old.ended.is_some() && old.told_end.is_empty() => {
                changes.push(Change::Put(Alert { ended: None, detail: new.detail, ..old.clone() }));
            }
            Some(old) if old.ended.is_some() => changes.push(Change::Put(new)),
            // A clock that was ahead wrote when it began: it would be told only then.
            Some(old) if old.since > set.now => {
                changes.push(Change::Put(Alert {
                    detail: new.detail,
                    since: set.now,
                    ..old.clone()
                }));
            }
            Some(old) if old.detail != new.detail => {
                changes.push(Change::Put(Alert { detail: new.detail, ..old.clone() }));
            }
            Some(_) => {}
        }
    }
    for old in last.into_values().filter(|old| old.ended.is_none()) {
        let lasted = set.now >= old.since + set.hold && !set.listening.is_empty();
        changes.push(if lasted || !old.told.is_empty() {
            Change::Put(Alert { ended: Some(set.now), ..old.clone() })
        } else {
            Change::Forget(old.clone())
        });
    }
    changes
}

/// Whether something began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It began.
    Began,
    /// It ended.
    Ended,
}

impl Event {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Ended => "ended",
        }
    }
}

/// What one receiver has to be told of an alert next. Nobody is told the end of what they were not
/// told.
fn next(alert: &Alert, whom: &str, set: &Setting) -> Option<Event> {
    let is = |told: &[String]| told.iter().any(|name| name == whom);
    if !is(&alert.told) {
        let lasts_until = alert.ended.unwrap_or(set.now);
        return (lasts_until >= alert.since + set.hold).then_some(Event::Began);
    }
    (alert.ended.is_some() && !is(&alert.told_end)).then_some(Event::Ended)
}

/// What one receiver has to be told now, oldest first; of each topic only the oldest, so that
/// beginnings and ends take turns.
#[must_use]
pub fn due(open: &[Alert], whom: &str, set: &Setting) -> Vec<(Event, Alert)> {
    let mut all: Vec<(Event, &Alert)> =
        open.iter().filter_map(|alert| Some((next(alert, whom, set)?, alert))).collect();
    all.sort_by(|(_, one), (_, two)| (one.since, &one.subject).cmp(&(two.since, &two.subject)));
    let mut topics = BTreeSet::new();
    all.retain(|(_, alert)| topics.insert(alert.topic()));
    all.into_iter().map(|(event, alert)| (event, alert.clone())).collect()
}

/// What is told at once: an alert, or many of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether they began or ended.
    pub event: Event,
    /// The alerts, oldest first; never none.
    pub alerts: Vec<Alert>,
}

/// What is due, as messages in the order in which they are told: many of one kind are one.
#[must_use]
pub fn messages(due: Vec<(Event, Alert)>) -> Vec<Message> {
    let mut counts: BTreeMap<(Event, FindingKind), usize> = BTreeMap::new();
    for (event, alert) in &due {
        *counts.entry((*event, alert.kind)).or_default() += 1;
    }
    let mut all: Vec<Message> = Vec::new();
    let mut places: BTreeMap<(Event, FindingKind), usize> = BTreeMap::new();
    for (event, alert) in due {
        let cause = (event, alert.kind);
        if counts.get(&cause).is_some_and(|&count| count <= SINGLE) {
            all.push(Message { event, alerts: vec![alert] });
        } else if let Some(message) = places.get(&cause).and_then(|&place| all.get_mut(place)) {
            message.alerts.push(alert);
        } else {
            places.insert(cause, all.len());
            all.push(Message { event, alerts: vec![alert] });
        }
    }
    all
}

/// An alert after somebody was told of it.
#[must_use]
pub fn told(mut alert: Alert, event: Event, whom: &str, set: &Setting) -> Change {
    let list = match event {
        Event::Began => &mut alert.told,
        Event::Ended => &mut alert.told_end,
    };
    if !list.iter().any(|name| name == whom) {
        list.push(whom.to_owned());
    }
    if is_over(&alert, set) { Change::Close(alert) } else { Change::Put(alert) }
}

/// Whether it ended, and nobody who is listening has to be told any more.
fn is_over(alert: &Alert, set: &Setting) -> bool {
    alert.ended.is_some() && set.listening.iter().all(|whom| next(alert, whom, set).is_none())
}

/// What ended and has nobody left to be told is put away: who was to be told of it is not listening
/// any more.
#[must_use]
pub fn settle(open: &[Alert], set: &Setting) -> Vec<Change> {
    open.iter().filter(|alert| is_over(alert, set)).cloned().map(Change::Close).collect()
}

/// Of what ended and waits for somebody to be told, no more than `most` are kept: the oldest are
/// put away untold, and counted for each who was not told.
#[must_use]
pub fn overflow(
    open: &[Alert],
    most: usize,
    set: &Setting,
) -> (Vec<Change>, BTreeMap<&'static str, u64>) {
    let mut waiting: Vec<&Alert> = open.iter().filter(|alert| alert.ended.is_some()).collect();
    waiting.sort_by_key(|alert| alert.ended);
    waiting.truncate(waiting.len().saturating_sub(most));
    let mut lost: BTreeMap<&'static str, u64> = BTreeMap::new();
    for whom in waiting
        .iter()
        .flat_map(|alert| set.listening.iter().filter(|whom| next(alert, whom, set).is_some()))
    {
        *lost.entry(whom).or_default() += 1;
    }
    (waiting.into_iter().cloned().map(Change::Close).collect(), lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Duration = Duration::from_secs(60);

    fn silent(who: &str) -> Finding {
        Finding {
            kind: FindingKind::Silent,
            subject: who.to_owned(),
            site: None,
            detail: format!("{who} is silent"),
        }
    }

    /// A world in which time goes on, findings come and go, and receivers hear.
    #[derive(Default)]
    struct World {
        open: BTreeMap<String, Alert>,
        closed: Vec<Alert>,
        heard: Vec<(String, &'static str, Event)>,
    }

    impl World {
        fn apply(&mut self, changes: Vec<Change>) {
            for change in changes {
                match change {
                    Change::Put(alert) => {
                        self.open.insert(alert.id(), alert);
                    }
                    Change::Forget(alert) => {
                        self.open.remove(&alert.id());
                    }
                    Change::Close(alert) => {
                        self.open.remove(&alert.id());
                        self.closed.push(alert);
                    }
                }
            }
        }

        fn all(&self) -> Vec<Alert> {
            self.open.values().cloned().collect()
        }

        /// It is looked; then each receiver that `works` is told what is due to it.
        fn look(
            &mut self,
            found: &[Finding],
            second: i64,
            listening: &[&'static str],
            works: &[&'static str],
        ) {
            let set =
                Setting { listening: listening.to_vec(), hold: HOLD, now: Wall::from_secs(second) };
            self.apply(step(&self.all(), found, &set));
            for whom in works {
                for message in messages(due(&self.all(), whom, &set)) {
                    for alert in message.alerts {
                        let alert = self.open[&alert.id()].clone();
                        self.heard.push((alert.subject.clone(), whom, message.event));
                        self.apply(vec![told(alert, message.event, whom, &set)]);
                    }
                }
            }
            self.apply(settle(&self.all(), &set));
        }
    }

    #[test]
    fn each_is_told_once_and_so_is_its_end() {
        let mut world = World::default();
        let (both, a) = (["webhook", "mail"], [silent("a")]);
        for second in [0, 30, 60, 90, 120] {
            world.look(&a, second, &both, &both);
        }
        let began = |whom| ("a".to_owned(), whom, Event::Began);
        assert_eq!(world.heard, [began("webhook"), began("mail")]);
        for second in [150, 180, 210] {
            world.look(&[], second, &both, &both);
        }
        assert_eq!(world.heard.len(), 4);
        assert!(world.heard[2..].iter().all(|(_, _, event)| *event == Event::Ended));
        assert!(world.open.is_empty());
        assert_eq!((world.closed.len(), world.closed[0].ended), (1, Some(Wall::from_secs(150))));
    }

    #[test]
    fn what_ends_before_it_lasted_is_never_told_and_what_nobody_heard_is_told_until_somebody_did() {
        let mut world = World::default();
        let mail = ["mail"];
        world.look(&[silent("a")], 0, &mail, &mail);
        world.look(&[], 59, &mail, &mail);
        assert!(world.heard.is_empty() && world.open.is_empty() && world.closed.is_empty());
        world.look(&[silent("b")], 100, &mail, &[]);
        world.look(&[silent("b")], 200, &mail, &[]);
        world.look(&[silent("b")], 300, &mail, &mail);
        world.look(&[], 400, &mail, &[]);
        world.look(&[], 500, &mail, &mail);
        assert_eq!(
            world.heard,
            [("b".to_owned(), "mail", Event::Began), ("b".to_owned(), "mail", Event::Ended)]
        );
    }

    #[test]
    fn a_dead_receiver_keeps_nothing_from_another_and_hears_all_of_it_afterwards() {
        let mut world = World::default();
        let (both, a) = (["webhook", "mail"], [silent("a")]);
        // It lasts, ends, lasts again and ends again while the webhook is dead.
        for (second, found) in
            [(0, true), (60, true), (120, false), (180, true), (240, true), (300, false)]
        {
            world.look(if found { &a } else { &[] }, second, &both, &["mail"]);
        }
        let by = |world: &World, whom: &str| {
            world
                .heard
                .iter()
                .filter(|(_, to, _)| *to == whom)
                .map(|(_, _, event)| *event)
                .collect::<Vec<_>>()
        };
        let twice = [Event::Began, Event::Ended, Event::Began, Event::Ended];
        assert_eq!(by(&world, "mail"), twice);
        assert_eq!(by(&world, "webhook"), []);
        for second in [360, 361, 362, 363] {
            world.look(&[], second, &both, &both);
        }
        assert_eq!(by(&world, "webhook"), twice);
        assert_eq!((by(&world, "mail").len(), world.open.len(), world.closed.len()), (4, 0, 2));
    }

    #[test]
    fn who_does_not_listen_any_more_keeps_nothing_open_and_where_nobody_does_nothing_is_kept() {
        let mut world = World::default();
        for second in [0, 60] {
            world.look(&[silent("a")], second, &["mail"], &["mail"]);
        }
        world.look(&[], 120, &[], &[]);
        assert!(world.open.is_empty());
        assert_eq!(world.closed.len(), 1);
        for second in [200, 300] {
            world.look(&[silent("b")], second, &[], &[]);
        }
        world.look(&[], 400, &[], &[]);
        assert_eq!((world.open.len(), world.closed.len()), (0, 1));
    }

    #[test]
    fn many_of_one_kind_are_one_message_and_few_are_told_one_by_one() {
        let alert = |kind, number: u32| {
            let subject = format!("{number:03}");
            Alert::begin(
                &Finding { kind, subject, site: None, detail: String::new() },
                Wall::default(),
            )
        };
        let mut due: Vec<(Event, Alert)> =
            (0..200).map(|n| (Event::Began, alert(FindingKind::Silent, n))).collect();
        due.extend((0..3).map(|n| (Event::Began, alert(FindingKind::Gap, n))));
        due.extend((0..2).map(|n| (Event::Ended, alert(FindingKind::Silent, 300 + n))));
        let all = messages(due);
        let counts: Vec<_> =
            all.iter().map(|message| (message.event, message.alerts.len())).collect();
        let (began, ended) = (Event::Began, Event::Ended);
        assert_eq!(
            counts,
            [(began, 200), (began, 1), (began, 1), (began, 1), (ended, 1), (ended, 1)]
        );
    }

    #[test]
    fn what_waits_for_a_dead_receiver_is_bounded_and_what_goes_untold_is_counted() {
        let at = Wall::from_secs;
        let open: Vec<Alert> = (0..10)
            .map(|n| Alert {
                ended: Some(at(1000 + n)),
                told: vec!["mail".to_owned()],
                told_end: vec!["mail".to_owned()],
                ..Alert::begin(&silent(&n.to_string()), at(n))
            })
            .collect();
        let set = Setting { listening: vec!["webhook", "mail"], hold: HOLD, now: at(2000) };
        let (changes, lost) = overflow(&open, 7, &set);
        assert_eq!(changes, open[..3].iter().cloned().map(Change::Close).collect::<Vec<_>>());
        assert_eq!(lost, BTreeMap::from([("webhook", 3)]));
        assert_eq!(overflow(&open, 10, &set), (Vec::new(), BTreeMap::new()));
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_beginnings_and_ends_take_turns_for_each_receiver(
            rounds in prop::collection::vec(any::<(bool, bool, bool, bool)>(), 1..60)
        ) {
            let mut world = World::default();
            let both = ["webhook", "mail"];
            for (number, (a, b, webhook, mail)) in (0..).zip(&rounds) {
                let found: Vec<Finding> = [(a, "a"), (b, "b")]
                    .into_iter()
                    .filter(|(is, _)| **is)
                    .map(|(_, name)| silent(name))
                    .collect();
                let works: Vec<&'static str> = [(webhook, both[0]), (mail, both[1])]
                    .into_iter()
                    .filter(|(is, _)| **is)
                    .map(|(_, name)| name)
                    .collect();
                world.look(&found, number * 45, &both, &works);
            }
            // Everything comes to its end, and everybody hears of it: as much began as ended.
            for extra in 0..120 {
                world.look(&[], 45 * 60 + extra, &both, &both);
            }
            prop_assert!(world.open.is_empty(), "{:?}", world.open);
            for subject in ["a", "b"] {
                for whom in both {
                    let heard: Vec<Event> = world
                        .heard
                        .iter()
                        .filter(|(of, to, _)| of == subject && *to == whom)
                        .map(|(_, _, event)| *event)
                        .collect();
                    prop_assert_eq!(heard.len() % 2, 0, "{:?}", heard);
                    for (at, event) in heard.iter().enumerate() {
                        prop_assert_eq!(
                            *event,
                            if at % 2 == 1 { Event::Ended } else { Event::Began },
                            "{:?}",
                            heard
                        );
                    }
                }
            }
        }
    }
}
