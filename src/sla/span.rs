//! Stretches of time and sets of them: what is down, excluded, unknown, within hours.

use serde::Serialize;

use crate::base::time::Wall;

/// A stretch of time: from an instant, up to but not including another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// Where it begins.
    pub from: Wall,
    /// Where it ends; not before `from`.
    pub to: Wall,
}

impl Span {
    /// The stretch between two instants; empty when the second is not after the first.
    #[must_use]
    pub fn new(from: Wall, to: Wall) -> Self {
        Self { from, to: to.max(from) }
    }

    /// Whether there is no time in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// Its length in nanoseconds.
    #[must_use]
    pub fn nanos(self) -> i128 {
        i128::from(self.to.nanos()) - i128::from(self.from.nanos())
    }

    /// Whether an instant lies in it.
    #[must_use]
    pub fn holds(self, at: Wall) -> bool {
        self.from <= at && at < self.to
    }

    /// What both have in common; empty when that is nothing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(self.from.max(other.from), self.to.min(other.to))
    }
}

/// A set of instants: stretches in order that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// The set with nothing in it.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The stretches, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is no time in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many stretches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Its length in nanoseconds.
    #[must_use]
    pub fn nanos(&self) -> i128 {
        self.iter().map(Span::nanos).sum()
    }

    /// From its first instant to its end.
    #[must_use]
    pub fn hull(&self) -> Option<Span> {
        Some(Span { from: self.0.first()?.from, to: self.0.last()?.to })
    }

    /// What lies in both. A few stretches are found among many without walking through all of them.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.first_after(other), other.first_after(self));
        let mut common = Vec::new();
        while let (Some(&a), Some(&b)) = (self.0.get(left), other.0.get(right)) {
            let both = a.and(b);
            if !both.is_empty() {
                common.push(both);
            }
            if a.to <= b.to { left += 1 } else { right += 1 }
        }
        Self(common)
    }

    /// The first of its stretches that does not end before another set begins.
    fn first_after(&self, other: &Self) -> usize {
        other
            .0
            .first()
            .map_or(self.0.len(), |first| self.0.partition_point(|each| each.to <= first.from))
    }

    /// What lies in this and in that stretch.
    #[must_use]
    pub fn within(&self, span: Span) -> Self {
        let first = self.0.partition_point(|each| each.to <= span.from);
        Self(
            self.0[first..]
                .iter()
                .take_while(|each| each.from < span.to)
                .map(|each| each.and(span))
                .filter(|each| !each.is_empty())
                .collect(),
        )
    }

    /// Whether an instant lies in it.
    #[must_use]
    pub fn holds(&self, at: Wall) -> bool {
        self.0.get(self.0.partition_point(|each| each.to <= at)).is_some_and(|each| each.from <= at)
    }

    /// Whether a stretch, which is not empty, lies in it whole.
    #[must_use]
    pub fn covers(&self, span: Span) -> bool {
        let at = self.0.partition_point(|each| each.to <= span.from);
        !span.is_empty()
            && self.0.get(at).is_some_and(|each| each.from <= span.from && span.to <= each.to)
    }

    /// Whether it has any time in common with a stretch.
    #[must_use]
    pub fn touches(&self, span: Span) -> bool {
        let at = self.0.partition_point(|each| each.to <= span.from);
        !span.is_empty() && self.0.get(at).is_some_and(|each| each.from < span.to)
    }

    /// The first of what lies in this and in that stretch.
    #[must_use]
    pub fn first_within(&self, span: Span) -> Option<Span> {
        let first = self.0.get(self.0.partition_point(|each| each.to <= span.from))?.and(span);
        (!first.is_empty()).then_some(first)
    }

    /// The last of what lies in this and in that stretch.
    #[must_use]
    pub fn last_within(&self, span: Span) -> Option<Span> {
        let last = self.0[..self.0.partition_point(|each| each.from < span.to)].last()?.and(span);
        (!last.is_empty()).then_some(last)
    }

    /// What lies in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// What lies in this and not in the other. A few stretches are cut by many without walking
    /// through all of them.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut next = other.first_after(self);
        for mut span in self.iter() {
            while other.0.get(next).is_some_and(|cut| cut.to <= span.from) {
                next += 1;
            }
            let mut at = next;
            while let Some(cut) = other.0.get(at).filter(|cut| cut.from < span.to) {
                if cut.from > span.from {
                    left.push(Span { from: span.from, to: cut.from });
                }
                span.from = cut.to.min(span.to);
                at += 1;
            }
            if !span.is_empty() {
                left.push(span);
            }
        }
        Self(left)
    }

    /// Its earliest part of this length.
    #[must_use]
    pub fn earliest(&self, nanos: i128) -> Self {
        let mut left = nanos.max(0);
        let mut all = Vec::new();
        for span in self.iter() {
            if left == 0 {
                break;
            }
            let taken = span.nanos().min(left);
            let length = i64::try_from(taken).unwrap_or(i64::MAX);
            all.push(Span { from: span.from, to: span.from.shifted(length) });
            left -= taken;
        }
        Self(all)
    }

    /// Without its earliest part of this length.
    #[must_use]
    pub fn without_earliest(&self, nanos: i128) -> Self {
        self.minus(&self.earliest(nanos))
    }
}

impl From<Span> for Spans {
    fn from(span: Span) -> Self {
        Self(if span.is_empty() { Vec::new() } else { vec![span] })
    }
}

/// A set of instants of which is asked how much of it lies in many stretches: each costs a search,
/// not a walk.
#[derive(Debug)]
pub struct Measured<'a> {
    spans: &'a [Span],
    /// How much lies before each stretch, in nanoseconds; and at the end, all of it.
    before: Vec<i128>,
}

impl<'a> Measured<'a> {
    /// A set to be asked about.
    #[must_use]
    pub fn new(set: &'a Spans) -> Self {
        let mut before = Vec::with_capacity(set.0.len() + 1);
        let mut sum = 0;
        before.push(sum);
        for span in &set.0 {
            sum += span.nanos();
            before.push(sum);
        }
        Self { spans: &set.0, before }
    }

    /// How much of it lies in a stretch, in nanoseconds.
    #[must_use]
    pub fn within(&self, span: Span) -> i128 {
        self.up_to(span.to) - self.up_to(span.from)
    }

    fn up_to(&self, at: Wall) -> i128 {
        let whole = self.spans.partition_point(|each| each.to <= at);
        let open = self.spans.get(whole).filter(|each| each.from < at);
        self.before[whole] + open.map_or(0, |open| Span::new(open.from, at).nanos())
    }
}

/// Joins what overlaps or touches; the order does not matter.
impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut all: Vec<Span> = spans.into_iter().filter(|span| !span.is_empty()).collect();
        all.sort_unstable();
        all.dedup_by(|next, last| {
            let touch = next.from <= last.to;
            if touch {
                last.to = last.to.max(next.to);
            }
            touch
        });
        all.shrink_to_fit();
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(pairs: &[(i64, i64)]) -> Spans {
        pairs
            .iter()
            .map(|&(from, to)| Span::new(Wall::from_nanos(from), Wall::from_nanos(to)))
            .collect()
    }

    fn bits(spans: &Spans) -> Vec<bool> {
        (0..64).map(|at| spans.iter().any(|span| span.holds(Wall::from_nanos(at)))).collect()
    }

    fn any_spans() -> impl Strategy<Value = Spans> {
        prop::collection::vec((0i64..60, 0i64..12), 0..8).prop_map(|all| {
            of(&all
                .into_iter()
                .map(|(from, length)| (from, (from + length).min(63)))
                .collect::<Vec<_>>())
        })
    }

    #[test]
    fn what_touches_is_one() {
        assert_eq!(of(&[(5, 9), (0, 5), (20, 20)]), of(&[(0, 9)]));
    }

    #[test]
    fn the_earliest_part_runs_over_several_stretches() {
        assert_eq!(of(&[(0, 5), (10, 20)]).earliest(8), of(&[(0, 5), (10, 13)]));
        assert_eq!(of(&[(0, 5), (10, 20)]).without_earliest(8), of(&[(13, 20)]));
    }

    proptest! {
        #[test]
        fn sets_of_time_behave_as_sets_of_instants(a in any_spans(), b in any_spans(), from in 0i64..64, to in 0i64..64) {
            let pairwise = |f: fn(bool, bool) -> bool| -> Vec<bool> { bits(&a).iter().zip(bits(&b)).map(|(&x, y)| f(x, y)).collect() };
            prop_assert_eq!(bits(&a.and(&b)), pairwise(|x, y| x && y));
            prop_assert_eq!(bits(&a.or(&b)), pairwise(|x, y| x || y));
            prop_assert_eq!(bits(&a.minus(&b)), pairwise(|x, y| x && !y));
            prop_assert_eq!(a.nanos(), bits(&a).iter().filter(|&&bit| bit).count() as i128);
            let window = Span::new(Wall::from_nanos(from), Wall::from_nanos(to));
            prop_assert_eq!(a.within(window), a.and(&window.into()));
            prop_assert_eq!(Measured::new(&a).within(window), a.within(window).nanos());
            prop_assert_eq!(a.touches(window), !a.within(window).is_empty());
            prop_assert_eq!(a.first_within(window), a.within(window).iter().next());
            prop_assert_eq!(a.last_within(window), a.within(window).iter().last());
            prop_assert_eq!(
                a.covers(window), !window.is_empty() && a.within(window).nanos() == window.nanos()
            );
            prop_assert_eq!(a.holds(window.from), bits(&a)[usize::try_from(from).unwrap()]);
        }
    }
}
