//! What becomes of alerts when it is looked again. Pure: what is found goes in, what has to be written and told comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::Wall;
use crate::collector::alerts::Alert;
use crate::collector::missing::Finding;

/// What has to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began, or says something new, or ended and somebody has to be told.
    Put(Alert),
    /// It ended before anybody was told.
    Forget(Alert),
    /// It ended, and everybody who was told of it was told of that.
    Close(Alert),
}

/// What changes: `open` is what was written, `found` what is found now.
#[must_use]
pub fn step(open: &[Alert], found: &[Finding], now: Wall) -> Vec<Change> {
    let mut left: BTreeMap<String, &Alert> = open.iter().map(|alert| (alert.id(), alert)).collect();
    let mut changes = Vec::new();
    for finding in found {
        let new = Alert::begin(finding, now);
        match left.remove(&new.id()) {
            None => changes.push(Change::Put(new)),
            // It is back before its end was told: it never ended.
            Some(old) if old.ended.is_some() && old.told_end.is_empty() => {
                changes.push(Change::Put(Alert { ended: None, detail: new.detail, ..old.clone() }));
            }
            // Its end was told to some, so this is another one; what is still to be told of the old one is told first.
            Some(old) if old.ended.is_some() => {}
            Some(old) if old.detail != new.detail => {
                changes.push(Change::Put(Alert { detail: new.detail, ..old.clone() }));
            }
            Some(_) => {}
        }
    }
    for old in left.into_values() {
        match (old.ended, old.told.is_empty()) {
            (None, true) => changes.push(Change::Forget(old.clone())),
            (None, false) => changes.push(Change::Put(Alert { ended: Some(now), ..old.clone() })),
            (Some(_), _) => {}
        }
    }
    changes
}

/// What is to be told: the alert, to whom, and whether it is its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToTell {
    /// The alert.
    pub alert: Alert,
    /// Who is told.
    pub whom: &'static str,
}

/// What is to be told now, to those who are `listening`. What ends before it lasted for `hold` is never told: a number that overtook
/// another, a line that blinked. Nobody is told the end of what they were not told.
#[must_use]
pub fn due(open: &[Alert], listening: &[&'static str], hold: Duration, now: Wall) -> Vec<ToTell> {
    let mut all = Vec::new();
    for alert in open {
        for &whom in listening {
            let is = |told: &[String]| told.iter().any(|name| name == whom);
            let begin = alert.ended.is_none() && !is(&alert.told) && now >= alert.since + hold;
            let end = alert.ended.is_some() && is(&alert.told) && !is(&alert.told_end);
            if begin || end {
                all.push(ToTell { alert: alert.clone(), whom });
            }
        }
    }
    all
}

/// An alert after somebody was told of it.
#[must_use]
pub fn told(mut alert: Alert, whom: &str, listening: &[&'static str]) -> Change {
    let list = if alert.ended.is_some() { &mut alert.told_end } else { &mut alert.told };
    if !list.iter().any(|name| name == whom) {
        list.push(whom.to_owned());
    }
    close(alert, listening)
}

/// What is over and was told to all who are still listening is put away.
fn close(alert: Alert, listening: &[&'static str]) -> Change {
    let waits = |name: &String| !alert.told_end.contains(name) && listening.iter().any(|whom| whom == name);
    if alert.ended.is_some() && !alert.told.iter().any(waits) { Change::Close(alert) } else { Change::Put(alert) }
}

/// What ended and has nobody left to be told is put away: whoever was told of it is not listening any more.
#[must_use]
pub fn settle(open: &[Alert], listening: &[&'static str]) -> Vec<Change> {
    let over = open.iter().filter(|alert| alert.ended.is_some());
    over.map(|alert| close(alert.clone(), listening)).filter(|change| matches!(change, Change::Close(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::missing::FindingKind;
    use proptest::prelude::*;

    fn silent(who: &str) -> Finding {
        Finding { kind: FindingKind::Silent, subject: who.to_owned(), site: None, detail: format!("{who} is silent") }
    }

    /// A world in which time goes on, findings come and go, and listeners hear.
    #[derive(Default)]
    struct World {
        open: BTreeMap<String, Alert>,
        closed: Vec<Alert>,
        heard: Vec<(String, &'static str, bool)>,
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

        fn look(&mut self, found: &[Finding], second: i64, listening: &[&'static str], works: bool) {
            let now = Wall::from_secs(second);
            let open: Vec<Alert> = self.open.values().cloned().collect();
            self.apply(step(&open, found, now));
            let open: Vec<Alert> = self.open.values().cloned().collect();
            for to_tell in due(&open, listening, Duration::from_secs(60), now) {
                if works {
                    let alert = self.open[&to_tell.alert.id()].clone();
                    self.heard.push((alert.subject.clone(), to_tell.whom, alert.ended.is_some()));
                    self.apply(vec![told(alert, to_tell.whom, listening)]);
                }
            }
            let open: Vec<Alert> = self.open.values().cloned().collect();
            self.apply(settle(&open, listening));
        }
    }

    #[test]
    fn each_is_told_once_and_so_is_its_end() {
        let mut world = World::default();
        let (both, a) = (["webhook", "mail"], [silent("a")]);
        for second in [0, 30, 60, 90, 120] {
            world.look(&a, second, &both, true);
        }
        assert_eq!(world.heard, [("a".to_owned(), "webhook", false), ("a".to_owned(), "mail", false)]);
        for second in [150, 180, 210] {
            world.look(&[], second, &both, true);
        }
        assert_eq!(world.heard.len(), 4);
        assert!(world.heard[2..].iter().all(|(_, _, end)| *end));
        assert!(world.open.is_empty());
        assert_eq!((world.closed.len(), world.closed[0].ended), (1, Some(Wall::from_secs(150))));
    }

    #[test]
    fn what_ends_before_it_lasted_is_never_told_and_what_nobody_heard_is_told_until_somebody_did() {
        let mut world = World::default();
        world.look(&[silent("a")], 0, &["mail"], true);
        world.look(&[], 59, &["mail"], true);
        assert!(world.heard.is_empty() && world.open.is_empty() && world.closed.is_empty());
        world.look(&[silent("b")], 100, &["mail"], false);
        world.look(&[silent("b")], 200, &["mail"], false);
        world.look(&[silent("b")], 300, &["mail"], true);
        world.look(&[], 400, &["mail"], false);
        world.look(&[], 500, &["mail"], true);
        assert_eq!(world.heard, [("b".to_owned(), "mail", false), ("b".to_owned(), "mail", true)]);
    }

    #[test]
    fn who_does_not_listen_any_more_keeps_nothing_open() {
        let mut world = World::default();
        for second in [0, 60] {
            world.look(&[silent("a")], second, &["mail"], true);
        }
        world.look(&[], 120, &[], true);
        assert!(world.open.is_empty());
        assert_eq!(world.closed.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_beginnings_and_ends_take_turns(
            rounds in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..60)
        ) {
            let mut world = World::default();
            for (number, (a, b, works)) in (0..).zip(rounds) {
                let mut found = Vec::new();
                if a { found.push(silent("a")); }
                if b { found.push(silent("b")); }
                world.look(&found, number * 45, &["webhook", "mail"], works);
            }
            for subject in ["a", "b"] {
                for whom in ["webhook", "mail"] {
                    let heard: Vec<bool> = world.heard.iter()
                        .filter(|(of, to, _)| of == subject && *to == whom).map(|(_, _, end)| *end).collect();
                    for (at, end) in heard.iter().enumerate() {
                        prop_assert_eq!(*end, at % 2 == 1, "{:?}", heard);
                    }
                }
            }
        }
    }
}
