//! A service's measurements in the archive, as the one evaluator reads them: what was folded, what
//! agents told of outages, and earlier periods as they were judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::time::Wall;
use crate::collector::agent_state::outages;
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::verdicts::sources::{self, Sources};
use crate::collector::verdicts::{Evaluator, Judgement, Known, SETTLED, id_of};
use crate::evidence::key::Kid;
use crate::evidence::told;
use crate::sla::calendar::{Period, Stretch};
use crate::sla::evaluate::{Earlier, EvaluationRequest, Measurements};
use crate::sla::judge::InForce;
use crate::sla::observed::Seen;
use crate::sla::reach;
use crate::sla::span::Span;
use crate::sla::terms::Side;

/// What is stored of a service around a period.
pub(super) struct Archived<'a, 'e> {
    evaluator: Evaluator<'a>,
    versions: &'a [InForce],
    service: &'a str,
    now: Wall,
    /// The period as time.
    pub(super) stretch: Stretch,
    /// The instant at which it stands, and whether it has ended.
    pub(super) as_of: Wall,
    pub(super) ended: bool,
    /// The UTC days that were read, both included.
    pub(super) days: (i64, i64),
    pub(super) sources: Sources<'a>,
    /// What the agents that bind told of outages in these days, once it was asked for.
    sides: Option<Vec<(Span, Side)>>,
    known: &'a mut Known<'e>,
}

/// Why a service could not be judged.
#[derive(Debug)]
pub(super) enum Stopped {
    /// So many summaries that single minutes had to be read from were let go.
    Gone(u64),
    /// The database.
    Archive(ArchiveError),
}

impl From<ArchiveError> for Stopped {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl<'a, 'e> Archived<'a, 'e> {
    /// Reads what is looked at in any case.
    pub(super) fn open(
        evaluator: Evaluator<'a>,
        versions: &'a [InForce],
        service: &'a str,
        month: Period,
        now: Wall,
        known: &'a mut Known<'e>,
    ) -> Result<Self, ArchiveError> {
        let zone = &versions.last().expect("some version judges").contract.agreement.timezone;
        let stretch = Stretch::holding(month.every(1), month.last(), zone);
        let days = told::days(reach::by_versions(versions, month, &[]));
        let sources = Sources::read(&evaluator, versions, service, days, known.effort)?;
        let heard = sources.heard().unwrap_or(stretch.span.from).min(now);
        let ended = now >= stretch.span.to + SETTLED || heard >= stretch.span.to;
        let as_of = if ended { now.max(stretch.span.to) } else { heard.max(stretch.span.from) };
        Ok(Self {
            evaluator,
            versions,
            service,
            now,
            stretch,
            as_of,
            ended,
            days,
            sources,
            sides: None,
            known,
        })
    }

    pub(super) const fn archive(&self) -> &'a Archive {
        self.evaluator.archive
    }

    /// Reads more days, where a span has more.
    fn widen(&mut self, span: Span) -> Result<(), ArchiveError> {
        let (first, last) = told::days(span);
        let days = (first.min(self.days.0), last.max(self.days.1));
        if days != self.days {
            self.sources = Sources::read(
                &self.evaluator,
                self.versions,
                self.service,
                days,
                self.known.effort,
            )?;
            (self.days, self.sides) = (days, None);
        }
        Ok(())
    }

    /// Reads all that judging looks at by what agents told of outages, which may be more.
    pub(super) fn complete(&mut self, month: Period) -> Result<(), ArchiveError> {
        let sides = self.sides()?;
        let recorded: Vec<Span> = sides.iter().map(|(span, _)| *span).collect();
        self.widen(reach::by_versions(self.versions, month, &recorded))
    }

    /// What the agents that bind told of outages in the days that were read.
    fn sides(&mut self) -> Result<Vec<(Span, Side)>, ArchiveError> {
        let sides = match self.sides.take() {
            Some(sides) => sides,
            None => self.told()?,
        };
        Ok(self.sides.insert(sides).clone())
    }

    /// What one agent told of outages, as far as it may speak for the service.
    pub(super) fn told_by(&self, agent: Kid) -> Result<Vec<(Span, Side)>, ArchiveError> {
        let (mut sides, service) = (Vec::new(), self.service);
        let span = told::span_of(self.days);
        for said in outages::outages_of(self.evaluator.archive, agent, span, self.as_of)? {
            if said.service.as_deref() != Some(service) {
                continue;
            }
            let speaks = self.sources.speaks(agent, &said.probe, (said.site.as_deref(), service));
            if let Some(lasted) = speaks.within(said.span(self.as_of)).hull() {
                sides.push((lasted, said.side));
            }
        }
        Ok(sides)
    }

    /// The same of every agent, where its figures bind.
    fn told(&self) -> Result<Vec<(Span, Side)>, ArchiveError> {
        let mut sides = Vec::new();
        for agent in self.sources.agents() {
            let own = self.told_by(agent)?.into_iter();
            sides.extend(
                own.filter(|(lasted, _)| lasted.is_empty() || self.sources.binds(agent, *lasted)),
            );
        }
        Ok(told::in_order(sides))
    }
}

impl Measurements for Archived<'_, '_> {
    type Error = Stopped;

    fn begun(&mut self, service: &str) -> Result<Option<Wall>, Stopped> {
        let day = sources::begun(&self.evaluator, self.versions, service)?;
        Ok(day.map(|day| told::span_of((day, day)).from))
    }

    /// As they were judged, or judged here from what is stored where that was not done.
    fn earlier(
        &mut self,
        _services: &[String],
        period: Period,
    ) -> Result<BTreeMap<String, Earlier>, Stopped> {
        let Self { evaluator, service, now, .. } = *self;
        let id = self.versions.last().expect("some version judges").contract.id();
        if !self.known.earlier.contains_key(&period) {
            let kept = evaluator
                .archive
                .sound_record::<Judgement>(Kind::Verdict, &id_of(period, id, service))?;
            let judged = match kept {
                Some(kept) => Some(kept),
                None => evaluator.judge_knowing(id, service, period, now, self.known)?,
            };
            let earlier = judged.as_ref().and_then(Judgement::earlier);
            self.known.earlier.insert(period, earlier);
        }
        let known = self.known.earlier.get(&period).cloned().flatten();
        Ok(known.into_iter().map(|earlier| (service.to_owned(), earlier)).collect())
    }

    fn outages(&mut self, _service: &str, span: Span) -> Result<Vec<(Span, Side)>, Stopped> {
        self.widen(span)?;
        Ok(self.sides()?)
    }

    fn naming(&mut self, service: &str, span: Span) -> Result<BTreeSet<String>, Stopped> {
        self.widen(span)?;
        Ok(self.sources.naming(service))
    }

    fn observe(
        &mut self,
        _asked: &EvaluationRequest<'_>,
        span: Span,
    ) -> Result<BTreeMap<String, Seen>, Stopped> {
        self.widen(span)?;
        Ok(self.sources.binding_seen())
    }

    fn refine(
        &mut self,
        _of: (&[InForce], &str),
        boundaries: &BTreeSet<Wall>,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<(), Stopped> {
        if self.sources.has_cut(boundaries) {
            // They take much room: what is coarse goes before what is fine comes.
            seen.clear();
            self.sources.settle(self.evaluator.archive, boundaries)?;
            *seen = self.sources.binding_seen();
        }
        match self.sources.gone {
            0 => Ok(()),
            gone => Err(Stopped::Gone(gone)),
        }
    }
}
