//! Which services back each other up: the graph of `members`, walked without going over any service
//! twice.

use std::collections::BTreeMap;

use crate::sla::terms::Service;

/// The most services that one graph of members may have; a real one has a handful.
pub const MOST: usize = 1000;

/// The graph of some services.
pub struct Members<'a> {
    services: &'a [Service],
    places: BTreeMap<&'a str, usize>,
}

/// How far the walk has come with a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walked {
    Not,
    /// Its members are being walked.
    Open,
    Done,
}

impl<'a> Members<'a> {
    /// The graph; of services with the same name, the first is meant.
    #[must_use]
    pub fn new(services: &'a [Service]) -> Self {
        let mut places = BTreeMap::new();
        for (place, service) in services.iter().enumerate() {
            places.entry(service.id.as_str()).or_insert(place);
        }
        Self { services, places }
    }

    /// Some services and their members at all depths, each once, members before those that they are
    /// members of; absent when one of them is a member of itself.
    #[must_use]
    pub fn of<'b>(&self, ids: impl IntoIterator<Item = &'b str>) -> Option<Vec<&'a Service>> {
        let mut walked = vec![Walked::Not; self.services.len()];
        let mut all = Vec::new();
        // A graph may be as deep as it has services: the way back is kept here, not on the stack.
        let mut way: Vec<(usize, usize)> = Vec::new();
        for begin in ids.into_iter().filter_map(|id| self.places.get(id)).copied() {
            if walked[begin] == Walked::Not {
                walked[begin] = Walked::Open;
                way.push((begin, 0));
            }
            while let Some((at, next)) = way.last_mut() {
                let (at, service) = (*at, &self.services[*at]);
                let Some(member) = service.members.get(*next) else {
                    walked[at] = Walked::Done;
                    all.push(service);
                    way.pop();
                    continue;
                };
                *next += 1;
                let Some(&member) = self.places.get(member.as_str()) else { continue };
                match walked[member] {
                    Walked::Done => {}
                    Walked::Open => return None,
                    Walked::Not => {
                        walked[member] = Walked::Open;
                        way.push((member, 0));
                    }
                }
            }
        }
        Some(all)
    }

    /// The services that are members of themselves, at whatever depth, and those above them.
    #[must_use]
    pub fn rings(&self) -> Vec<&'a Service> {
        // Those whose members are all placed are placed; in a ring, or above one, nobody ever is.
        let places = |service: &'a Service| {
            service.members.iter().filter_map(|id| self.places.get(id.as_str()).copied())
        };
        let mut above: Vec<Vec<usize>> = vec![Vec::new(); self.services.len()];
        let mut open: Vec<usize> = vec![0; self.services.len()];
        for (place, service) in self.services.iter().enumerate() {
            for member in places(service) {
                above[member].push(place);
                open[place] += 1;
            }
        }
        let mut ready: Vec<usize> = (0..open.len()).filter(|place| open[*place] == 0).collect();
        while let Some(place) = ready.pop() {
            for other in &above[place] {
                open[*other] -= 1;
                ready.extend((open[*other] == 0).then_some(*other));
            }
        }
        self.services
            .iter()
            .zip(&open)
            .filter(|(_, open)| **open > 0)
            .map(|(service, _)| service)
            .collect()
    }

    /// The first service of each graph that is larger than [`MOST`], with how many it has.
    #[must_use]
    pub fn too_large(&self) -> Vec<(&'a Service, usize)> {
        let mut heads: Vec<usize> = (0..self.services.len()).collect();
        for (place, service) in self.services.iter().enumerate() {
            for member in service.members.iter().filter_map(|id| self.places.get(id.as_str())) {
                let (one, other) = (head(&mut heads, place), head(&mut heads, *member));
                heads[one.max(other)] = one.min(other);
            }
        }
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for place in 0..heads.len() {
            *sizes.entry(head(&mut heads, place)).or_default() += 1;
        }
        let large = sizes.into_iter().filter(|(_, size)| *size > MOST);
        large.map(|(head, size)| (&self.services[head], size)).collect()
    }
}

/// The first of the services that one hangs together with; the way there is shortened.
fn head(heads: &mut [usize], mut at: usize) -> usize {
    while heads[at] != at {
        heads[at] = heads[heads[at]];
        at = heads[at];
    }
    at
}
