//! The routers that refused a probe's sends, and what they said.

use std::net::IpAddr;

use crate::base::time::Wall;

/// So many are remembered; of more, the first that was heard of is forgotten.
const MOST: usize = 8;

/// Who refused, with what, and when last.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<(IpAddr, String, Wall)>);

impl Refusals {
    /// A router refused a send now.
    pub(super) fn heard(&mut self, from: IpAddr, kind: &str, now: Wall) {
        match self.0.iter_mut().find(|(by, said, _)| *by == from && said == kind) {
            Some((_, _, last)) => *last = now,
            None => {
                if self.0.len() == MOST {
                    self.0.remove(0);
                }
                self.0.push((from, kind.to_owned(), now));
            }
        }
    }

    /// They were heard so much later: the clock that labelled them was wrong by that.
    pub(super) fn shift(&mut self, by_ns: i64) {
        self.0.iter_mut().for_each(|(_, _, last)| *last = last.shifted(by_ns));
    }

    /// Those that refused since then.
    pub(super) fn since(&self, from: Wall) -> impl Iterator<Item = (IpAddr, &str)> {
        self.0
            .iter()
            .filter(move |(_, _, last)| *last >= from)
            .map(|(by, kind, _)| (*by, kind.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_remembered_once_for_each_thing_it_says_and_no_more_than_some() {
        let mut refusals = Refusals::default();
        let router = |last| IpAddr::from([10, 0, 0, last]);
        for second in 0..100 {
            refusals.heard(router(1), "host-unreachable", Wall::from_secs(second));
        }
        refusals.heard(router(1), "prohibited", Wall::from_secs(100));
        let since =
            |from| refusals.since(Wall::from_secs(from)).map(|(_, kind)| kind).collect::<Vec<_>>();
        assert_eq!(
            (since(0), since(99).len(), since(100)),
            (vec!["host-unreachable", "prohibited"], 2, vec!["prohibited"])
        );
        (0..200).for_each(|last| refusals.heard(router(last), "prohibited", Wall::from_secs(200)));
        assert_eq!(refusals.since(Wall::from_secs(0)).count(), MOST);
    }
}
