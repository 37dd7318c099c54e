//! What an agent may speak for, and when: the site that it was put to by the collector's register,
//! at that time, and the services that a contract has there. What a summary says of another site or
//! service counts for nothing.
//!
//! Where several agents measure a service by a probe of one name, each is a witness of its own, and
//! one of them binds: the one that the contract's service names as `witness`, else the one that was
//! put to that site first. It never depends on the order in which anything came, nor on that of
//! keys.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::key::Kid;
use crate::sla::judge::InForce;
use crate::sla::span::{Span, Spans};
use crate::sla::terms::Service;

/// All time that there is.
const ALWAYS: Span = Span { from: Wall::from_nanos(i64::MIN), to: Wall::from_nanos(i64::MAX) };

/// That an agent was put to a site, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The site.
    pub site: String,
    /// From when on it is there.
    pub from: Wall,
    /// When that was recorded.
    pub recorded: Wall,
}

/// A time that an agent was at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The site.
    pub site: String,
    /// When.
    pub span: Span,
    /// When it was recorded that it is there.
    pub recorded: Wall,
}

/// An agent, as far as it matters for what it may speak for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// How many agents were enrolled before it, or of a part of them.
    pub place: u64,
    /// Where it was, in order of time; they neither overlap nor leave anything out.
    pub stays: Vec<Stay>,
    /// From when on all that it said is left out: of one that was revoked so.
    pub until: Option<Wall>,
}

impl Stay {
    /// Where it begins and ends; absent where it does not.
    #[must_use]
    pub fn ends(&self) -> (Option<Wall>, Option<Wall>) {
        let Span { from, to } = self.span;
        (Some(from).filter(|from| *from > ALWAYS.from), Some(to).filter(|to| *to < ALWAYS.to))
    }
}

impl Enrolled {
    /// From what was recorded, in that order: what is recorded later holds from its instant on,
    /// whatever was recorded before. The first one holds for what was measured before it too: an
    /// agent measures before anybody lets it in.
    #[must_use]
    pub fn new(place: u64, assignments: &[Assignment], until: Option<Wall>) -> Self {
        let from = |at: usize| if at == 0 { ALWAYS.from } else { assignments[at].from };
        let mut order: Vec<usize> = (0..assignments.len()).collect();
        order.sort_by_key(|&at| from(at));
        let mut stays: Vec<Stay> = Vec::new();
        let mut latest = 0;
        for (n, &at) in order.iter().enumerate() {
            // Of those that begin by then, the one that was recorded last holds.
            latest = latest.max(at);
            let next = order.get(n + 1).map(|&next| from(next));
            if next == Some(from(at)) {
                continue;
            }
            let to = next.unwrap_or(ALWAYS.to);
            let Assignment { site, recorded, .. } = &assignments[latest];
            match stays.last_mut() {
                Some(last) if last.site == *site => last.span.to = to,
                _ => stays.push(Stay {
                    site: site.clone(),
                    span: Span::new(from(at), to),
                    recorded: *recorded,
                }),
            }
        }
        Self { place, stays, until }
    }

    /// When it may speak for a site.
    #[must_use]
    pub fn at(&self, site: &str) -> Spans {
        let heard = Span::new(ALWAYS.from, self.until.unwrap_or(ALWAYS.to));
        self.stays
            .iter()
            .filter(|stay| stay.site == site)
            .map(|stay| stay.span.and(heard))
            .collect()
    }

    /// Where it is at an instant.
    #[must_use]
    pub fn site_at(&self, at: Wall) -> Option<&str> {
        let first = self.stays.partition_point(|stay| stay.span.to <= at);
        self.stays.get(first).filter(|stay| stay.span.holds(at)).map(|stay| stay.site.as_str())
    }

    /// The sites where it ever was.
    #[must_use]
    pub fn sites(&self) -> BTreeSet<&str> {
        self.stays.iter().map(|stay| stay.site.as_str()).collect()
    }
}

/// Where a service is by a version of its contract.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The service, with its site and the probes that the contract names.
    pub service: &'a Service,
    /// When that version judges: the first one what was before it too, the last one all that
    /// follows.
    pub span: Span,
}

/// Where a service and its members are, by each of the versions that judge; they come in the order
/// of time.
#[must_use]
pub fn places<'a>(versions: &'a [InForce], service: &str) -> Vec<Place<'a>> {
    let mut all = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        let from = if at == 0 { ALWAYS.from } else { version.span.from };
        let to = versions.get(at + 1).map_or(ALWAYS.to, |next| next.span.from);
        let own = version.contract.service(service).into_iter();
        let members = version.contract.members_of(service).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for service in own.chain(members).filter(|each| seen.insert(each.id.as_str())) {
            all.push(Place { service, span: Span::new(from, to) });
        }
    }
    all
}

/// What an agent says that it measured.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// Who says so.
    pub agent: Kid,
    /// The probe.
    pub probe: &'a str,
    /// The site that its summary names; absent where that was not kept.
    pub site: Option<&'a str>,
    /// The service that the probe names.
    pub service: Option<&'a str>,
}

/// In which order witnesses bind: the least is the one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// False for the one that the contract names.
    unnamed: bool,
    /// When it was put to the site first.
    since: Wall,
    /// How many were enrolled before it.
    place: u64,
    /// Where all that is the same, there must be an order all the same.
    agent: Kid,
}

/// Who may speak for which site, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    agents: BTreeMap<Kid, Enrolled>,
    by_site: BTreeMap<String, BTreeSet<Kid>>,
}

impl Register {
    /// Enters an agent.
    pub fn put(&mut self, agent: Kid, enrolled: Enrolled) {
        for stay in &enrolled.stays {
            self.by_site.entry(stay.site.clone()).or_default().insert(agent);
        }
        self.agents.insert(agent, enrolled);
    }

    /// An agent.
    #[must_use]
    pub fn get(&self, agent: Kid) -> Option<&Enrolled> {
        self.agents.get(&agent)
    }

    /// The agents that ever were at a site.
    pub fn ever_at<'a>(&'a self, site: &str) -> impl Iterator<Item = Kid> + 'a {
        self.by_site.get(site).into_iter().flatten().copied()
    }

    /// Whether an agent was at a site in any of a span.
    #[must_use]
    pub fn was_at(&self, agent: Kid, site: &str, span: Span) -> bool {
        self.agents.get(&agent).is_some_and(|enrolled| enrolled.at(site).touches(span))
    }

    /// When what an agent says counts for the service of any of these places: it is at that place's
    /// site, says so itself, and the contract names the probe, or the probe the service.
    #[must_use]
    pub fn counts(&self, places: &[Place<'_>], told: Assertion<'_>) -> Spans {
        let Some(enrolled) = self.agents.get(&told.agent) else { return Spans::none() };
        let own = places.iter().filter(|place| is_meant(place, told));
        own.flat_map(|place| {
            enrolled.at(&place.service.site).within(place.span).iter().collect::<Vec<_>>()
        })
        .collect()
    }

    /// How an agent ranks among those that measure these places by one probe.
    #[must_use]
    pub fn rank(&self, places: &[Place<'_>], agent: Kid) -> Option<Rank> {
        let enrolled = self.agents.get(&agent)?;
        let kid = agent.to_string();
        let of = |place: &Place<'_>| {
            let own = enrolled.stays.iter().filter(|stay| stay.site == place.service.site);
            let since = own.map(|stay| stay.recorded).min()?;
            let unnamed = place.service.witness.as_ref() != Some(&kid);
            Some(Rank { unnamed, since, place: enrolled.place, agent })
        };
        places.iter().filter_map(of).min()
    }

    /// Those that were ever at one of these sites.
    #[must_use]
    pub fn of_sites(&self, sites: &BTreeSet<&str>) -> Self {
        let mut part = Self::default();
        for agent in sites.iter().flat_map(|site| self.ever_at(site)) {
            if let Some(enrolled) = self.agents.get(&agent) {
                part.put(agent, enrolled.clone());
            }
        }
        part
    }
}

/// What counts by a register for some places, so prepared that each question costs a search,
/// however many agents, sites and places there are: what it is asked comes from a foreign archive.
#[derive(Debug)]
pub struct Counting<'a> {
    register: &'a Register,
    /// When a contract names a probe at a site, and when it has a service there.
    probes: BTreeMap<(&'a str, &'a str), Spans>,
    services: BTreeMap<(&'a str, &'a str), Spans>,
    /// The witnesses that contracts name, by site.
    witnesses: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// When each agent was at each of its sites.
    at: BTreeMap<Kid, BTreeMap<&'a str, Spans>>,
}

impl<'a> Counting<'a> {
    /// Prepares it.
    #[must_use]
    pub fn new(register: &'a Register, places: &[Place<'a>]) -> Self {
        let (mut probes, mut services) = (BTreeMap::new(), BTreeMap::new());
        let mut witnesses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for Place { service, span } in places {
            let site = service.site.as_str();
            let named = service.probes.iter().map(String::as_str).collect::<BTreeSet<_>>();
            named
                .into_iter()
                .for_each(|probe| probes.entry((probe, site)).or_insert_with(Vec::new).push(*span));
            services.entry((service.id.as_str(), site)).or_insert_with(Vec::new).push(*span);
            witnesses.entry(site).or_default().extend(service.witness.as_deref());
        }
        let joined = |all: BTreeMap<(&'a str, &'a str), Vec<Span>>| {
            all.into_iter().map(|(key, spans)| (key, spans.into_iter().collect())).collect()
        };
        let at = register.agents.iter().map(|(agent, enrolled)| {
            let heard = Span::new(ALWAYS.from, enrolled.until.unwrap_or(ALWAYS.to));
            let mut sites: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
            for stay in &enrolled.stays {
                sites.entry(&stay.site).or_default().push(stay.span.and(heard));
            }
            (
                *agent,
                sites
                    .into_iter()
                    .map(|(site, spans)| (site, spans.into_iter().collect()))
                    .collect(),
            )
        });
        Self {
            register,
            probes: joined(probes),
            services: joined(services),
            witnesses,
            at: at.collect(),
        }
    }

    /// As [`Register::rank`] for all places.
    #[must_use]
    pub fn rank(&self, agent: Kid) -> Option<Rank> {
        let enrolled = self.register.agents.get(&agent)?;
        let kid = agent.to_string();
        let mut since: BTreeMap<&str, Wall> = BTreeMap::new();
        for stay in &enrolled.stays {
            since
                .entry(&stay.site)
                .and_modify(|first| *first = stay.recorded.min(*first))
                .or_insert(stay.recorded);
        }
        let of = |(site, since): (&str, Wall)| {
            let unnamed = !self.witnesses.get(site)?.contains(kid.as_str());
            Some(Rank { unnamed, since, place: enrolled.place, agent })
        };
        since.into_iter().filter_map(of).min()
    }

    /// When an agent may speak for a site, and when a contract has what it tells of there: what
    /// counts is what lies in both.
    fn both(
        &self,
        agent: Kid,
        site: &str,
        probe: Option<&str>,
        service: Option<&str>,
    ) -> (&Spans, Spans) {
        static NEVER: Spans = Spans::none();
        let own = self.at.get(&agent).and_then(|sites| sites.get(site)).unwrap_or(&NEVER);
        let named = probe.and_then(|probe| self.probes.get(&(probe, site)));
        let meant = service.and_then(|service| self.services.get(&(service, site)));
        (own, named.unwrap_or(&NEVER).or(meant.unwrap_or(&NEVER)))
    }

    /// Whether all of a stretch that an agent tells of at a site counts; of an empty one, its
    /// instant.
    #[must_use]
    pub fn covers(
        &self,
        agent: Kid,
        site: &str,
        (probe, service): (&str, Option<&str>),
        span: Span,
    ) -> bool {
        let (own, meant) = self.both(agent, site, Some(probe), service);
        if span.is_empty() {
            own.holds(span.from) && meant.holds(span.from)
        } else {
            own.covers(span) && meant.covers(span)
        }
    }

    /// From the first instant to the last of a stretch for which an agent may speak of a service at
    /// a site.
    #[must_use]
    pub fn hull(&self, agent: Kid, site: &str, service: &str, span: Span) -> Option<Span> {
        let (own, meant) = self.both(agent, site, None, Some(service));
        let mut parts = meant.iter().map(|each| each.and(span)).filter(|each| own.touches(*each));
        let first = parts.next()?;
        let last = parts.next_back().unwrap_or(first);
        Some(Span::new(own.first_within(first)?.from, own.last_within(last)?.to))
    }
}

/// Whether the contract means a probe with a service.
fn is_meant(place: &Place<'_>, told: Assertion<'_>) -> bool {
    let here = told.site.is_none_or(|site| site == place.service.site);
    let named = place.service.probes.iter().any(|name| name == told.probe);
    here && (named || told.service == Some(place.service.id.as_str()))
}

/// A register, as it is written: a member of a bundle, `register.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    v: u64,
    /// In the order of their enrolment.
    agents: Vec<WrittenAgent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenAgent {
    agent: Kid,
    /// How many of these were enrolled before it.
    place: u64,
    sites: Vec<WrittenStay>,
    /// From when on what it said is left out; absent or null of one that was not revoked so.
    left_out_from: Option<Wall>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenStay {
    site: String,
    /// Null: since ever.
    from: Option<Wall>,
    /// Null: it is there.
    to: Option<Wall>,
    recorded: Wall,
}

impl Written {
    /// A register as it is written.
    #[must_use]
    pub fn of(register: &Register) -> Self {
        let mut agents: Vec<(&Kid, &Enrolled)> = register.agents.iter().collect();
        agents.sort_by_key(|(agent, enrolled)| (enrolled.place, **agent));
        let stay = |stay: &Stay| {
            let (from, to) = stay.ends();
            WrittenStay { site: stay.site.clone(), from, to, recorded: stay.recorded }
        };
        // Who else was enrolled does not show in a part of the register.
        let agent = |(place, (agent, enrolled)): (u64, (&Kid, &Enrolled))| WrittenAgent {
            agent: *agent,
            place,
            sites: enrolled.stays.iter().map(stay).collect(),
            left_out_from: enrolled.until,
        };
        Self { v: 1, agents: (0..).zip(agents).map(agent).collect() }
    }

    /// The register that is written; absent where it is of another version, names an agent twice,
    /// or has it at two sites at once.
    #[must_use]
    pub fn read(self) -> Option<Register> {
        if self.v != 1 {
            return None;
        }
        let mut register = Register::default();
        for WrittenAgent { agent, place, sites, left_out_from } in self.agents {
            let stay = |written: WrittenStay| {
                let (from, to) =
                    (written.from.unwrap_or(ALWAYS.from), written.to.unwrap_or(ALWAYS.to));
                (from < to).then_some(Stay {
                    site: written.site,
                    span: Span { from, to },
                    recorded: written.recorded,
                })
            };
            let stays: Vec<Stay> = sites.into_iter().map(stay).collect::<Option<_>>()?;
            if register.get(agent).is_some()
                || stays.windows(2).any(|two| two[0].span.to > two[1].span.from)
            {
                return None;
            }
            register.put(agent, Enrolled { place, stays, until: left_out_from });
        }
        Some(register)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::decimal::Exact;
    use crate::evidence::key::SecretKey;
    use crate::sla::terms::SlaFrom;
    use proptest::prelude::*;

    fn at(secs: i64) -> Wall {
        Wall::from_secs(secs)
    }

    fn put(site: &str, from: i64, recorded: i64) -> Assignment {
        Assignment { site: site.to_owned(), from: at(from), recorded: at(recorded) }
    }

    fn stays(enrolled: &Enrolled) -> Vec<(&str, Option<i64>, Option<i64>)> {
        let secs = |wall: Wall, open: Wall| Some(wall).filter(|wall| *wall != open).map(Wall::secs);
        let of = |stay| {
            let Stay { site, span, .. }: &Stay = stay;
            (site.as_str(), secs(span.from, ALWAYS.from), secs(span.to, ALWAYS.to))
        };
        enrolled.stays.iter().map(of).collect()
    }

    #[test]
    fn a_device_that_was_moved_speaks_for_its_old_site_until_then_and_for_the_new_one_from_then_on()
    {
        let moved = Enrolled::new(0, &[put("leeds", 100, 100), put("york", 500, 600)], None);
        assert_eq!(stays(&moved), [("leeds", None, Some(500)), ("york", Some(500), None)]);
        assert_eq!((moved.site_at(at(499)), moved.site_at(at(500))), (Some("leeds"), Some("york")));
        assert!(
            moved.at("leeds").holds(at(1)),
            "what it measured before it was let in counts where it was let in for"
        );
        assert!(moved.at("leeds").holds(at(499)) && !moved.at("leeds").holds(at(500)));
        // An earlier instant, recorded later, takes the place of what was recorded before.
        let mended = Enrolled::new(
            0,
            &[put("leeds", 100, 100), put("york", 500, 600), put("hull", 300, 700)],
            None,
        );
        assert_eq!(stays(&mended), [("leeds", None, Some(300)), ("hull", Some(300), None)]);
        let back = Enrolled::new(
            0,
            &[put("leeds", 100, 100), put("york", 500, 600), put("leeds", 700, 700)],
            None,
        );
        assert_eq!(
            stays(&back),
            [
                ("leeds", None, Some(500)),
                ("york", Some(500), Some(700)),
                ("leeds", Some(700), None)
            ]
        );
    }

    #[test]
    fn one_that_was_revoked_from_an_instant_on_speaks_for_nothing_after_it() {
        let revoked =
            Enrolled::new(0, &[put("leeds", 100, 100), put("york", 500, 600)], Some(at(400)));
        assert!(revoked.at("leeds").holds(at(399)) && !revoked.at("leeds").holds(at(400)));
        assert!(revoked.at("york").is_empty());
    }

    #[test]
    fn a_register_that_was_written_is_read_as_it_was() {
        let agent = |seed: u8| SecretKey::from_seed(&[seed; 32]).kid();
        let mut register = Register::default();
        register.put(
            agent(1),
            Enrolled::new(1, &[put("leeds", 100, 100), put("york", 500, 600)], Some(at(900))),
        );
        register.put(agent(2), Enrolled::new(0, &[put("hull", 1, 1)], None));
        let text = serde_json::to_string(&Written::of(&register)).unwrap();
        assert_eq!(serde_json::from_str::<Written>(&text).unwrap().read(), Some(register.clone()));
        let twice = text.replace(&agent(2).to_string(), &agent(1).to_string());
        assert_eq!(serde_json::from_str::<Written>(&twice).unwrap().read(), None);
        let sites: BTreeSet<&str> = ["york"].into();
        let part = register.of_sites(&sites);
        assert!(part.get(agent(1)).is_some() && part.get(agent(2)).is_none());
    }

    fn service(id: &str, site: &str, probes: &[&str], witness: Option<String>) -> Service {
        Service {
            id: id.to_owned(),
            site: site.to_owned(),
            mrc: Exact::zero(),
            usage_charge: Exact::zero(),
            probes: probes.iter().map(|&probe| probe.to_owned()).collect(),
            in_service_from: at(0),
            sla_from: SlaFrom::Acceptance,
            members: Vec::new(),
            witness,
        }
    }

    fn agent(seed: u8) -> Kid {
        SecretKey::from_seed(&[seed; 32]).kid()
    }

    const SITES: [&str; 3] = ["leeds", "york", "hull"];
    const NAMES: [&str; 3] = ["a", "b", "c"];

    proptest! {
        #[test]
        fn what_is_prepared_says_the_same_as_looking_at_every_place(
            moves in prop::collection::vec((0u8..3, 0usize..3, 0i64..40), 0..12),
            until in prop::option::of(0i64..40),
            services in prop::collection::vec((0usize..3, 0usize..3, prop::collection::vec(0usize..3, 0..3), prop::option::of(0u8..3), 0i64..30, 0i64..30), 0..6),
            (probe, told, from, length) in (0usize..3, prop::option::of(0usize..3), 0i64..40, 0i64..15),
        ) {
            let mut register = Register::default();
            for seed in 0..3 {
                let of = moves.iter().filter(|one| one.0 == seed);
                let all: Vec<Assignment> = of.map(|&(_, site, from)| put(SITES[site], from, 100 - from)).collect();
                if !all.is_empty() {
                    register.put(agent(seed), Enrolled::new(u64::from(seed), &all, until.filter(|_| seed == 1).map(at)));
                }
            }
            let services: Vec<(Service, Span)> = services.iter().map(|(id, site, probes, witness, from, length)| {
                let probes: Vec<&str> = probes.iter().map(|&at| NAMES[at]).collect();
                let witness = witness.map(|seed| agent(seed).to_string());
                (service(NAMES[*id], SITES[*site], &probes, witness), Span::new(at(*from), at(from + length)))
            }).collect();
            let places: Vec<Place<'_>> = services.iter().map(|(service, span)| Place { service, span: *span }).collect();
            let counting = Counting::new(&register, &places);
            let (probe, service, span) = (NAMES[probe], told.map(|at| NAMES[at]), Span::new(at(from), at(from + length)));
            for (seed, site) in (0..3).flat_map(|seed| SITES.map(|site| (seed, site))) {
                let agent = agent(seed);
                prop_assert_eq!(counting.rank(agent), register.rank(&places, agent));
                let told = Assertion { agent, probe, site: Some(site), service };
                let counts = register.counts(&places, told);
                let covers = if span.is_empty() { counts.holds(span.from) } else { counts.covers(span) };
                prop_assert_eq!(counting.covers(agent, site, (probe, service), span), covers);
                if let Some(service) = service {
                    let own: Vec<Place<'_>> = places.iter().filter(|place| place.service.id == service).copied().collect();
                    let hull = register.counts(&own, told).within(span).hull();
                    prop_assert_eq!(counting.hull(agent, site, service, span), hull);
                }
            }
        }
    }

    /// Each question beside each stay, or each place, would be some ten thousand million.
    #[test]
    fn a_hundred_thousand_stays_and_places_are_asked_a_hundred_thousand_times() {
        const MANY: i64 = 100_000;
        let own = agent(1);
        let assignments: Vec<Assignment> =
            (0..MANY).map(|n| put(["leeds", "york"][usize::from(n % 2 == 1)], n, n)).collect();
        let mut register = Register::default();
        register.put(own, Enrolled::new(0, &assignments, None));
        let services: Vec<Service> =
            (0..MANY).map(|n| service(&n.to_string(), "leeds", &["a"], None)).collect();
        let places: Vec<Place<'_>> =
            services.iter().map(|service| Place { service, span: ALWAYS }).collect();
        let counting = Counting::new(&register, &places);
        let counts = |n: &i64| {
            let (span, service) = (Span::new(at(*n), at(n + 1)), n.to_string());
            let is_there =
                register.get(own).and_then(|own| own.site_at(span.from)) == Some("leeds");
            let covers = counting.covers(own, "leeds", ("b", Some(&service)), span);
            assert_eq!(counting.hull(own, "leeds", &service, span).is_some(), covers);
            is_there && covers
        };
        assert_eq!((0..MANY).filter(counts).count() as i64, MANY / 2);
    }
}
