//! What is missing or wrong, by name: agents that fell silent, numbers that did not come, what did
//! not fit into its chain, clocks that nobody keeps, contracts that are outdated, verdicts that
//! differ, deadlines that come near. Pure: it looks at what was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::alerts::Receiver;
use crate::collector::archive::salvage::Salvaged;
use crate::collector::fleet::AgentView;
use crate::collector::left_behind::LeftBehind;
use crate::collector::operations::agreements::{Book, Difference, Served};
use crate::collector::operations::claims::{ClaimView, DutyView, RightView};
use crate::collector::operations::late::LateView;
use crate::collector::verdicts::{Fleet, Judgement};
use crate::evidence::key::Kid;

mod foreign;

/// What kind of thing was found.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An agent missed summaries.
    Silent,
    /// Numbers of a chain did not come, and the agent did not say that it dropped them.
    Gap,
    /// The agent said that it had to drop numbers of a chain.
    Dropped,
    /// Summaries did not fit into their chain.
    ChainConflict,
    /// Summaries came too late to count.
    LateEvidence,
    /// An agent's clock is not synchronised.
    ClockUnsynchronised,
    /// An agent does not judge by the contracts in force.
    ContractOutdated,
    /// An agent's own verdict is not ours.
    VerdictDiffers,
    /// A contract or its facts cannot be judged by.
    NotJudged,
    /// A claim's last day is near.
    ClaimDeadline,
    /// A right to terminate may be exercised.
    RightAccrued,
    /// A duty was not done by when it was due.
    DutyOverdue,
    /// A change of the collector's key went on without an agent.
    LeftBehind,
    /// One who is to be told of alerts cannot be told.
    ReceiverFailing,
    /// The collector's own database was damaged.
    DatabaseSalvaged,
    /// An agent says that it is at a site where it was not put.
    ForeignSite,
    /// An agent measures for a service that no contract has at its site.
    ForeignService,
    /// Another agent that measures the same comes to another result than the one whose figures
    /// bind.
    WitnessDiffers,
    /// A frozen verdict rests on what does not count any more.
    FrozenVerdict,
    /// Summaries are left out of what is judged, since they cannot be worked with.
    Quarantined,
    /// A clock was ahead of what another says.
    ClockAhead,
    /// The collector's own clock is behind what it received, and rounds wait; or it was, and what
    /// it left out counts again.
    ClockBehind,
}

impl FindingKind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Gap => "gap",
            Self::Dropped => "dropped",
            Self::ChainConflict => "chain-conflict",
            Self::LateEvidence => "late-evidence",
            Self::ClockUnsynchronised => "clock-unsynchronised",
            Self::ContractOutdated => "contract-outdated",
            Self::VerdictDiffers => "verdict-differs",
            Self::NotJudged => "not-judged",
            Self::ClaimDeadline => "claim-deadline",
            Self::RightAccrued => "right-accrued",
            Self::DutyOverdue => "duty-overdue",
            Self::LeftBehind => "left-behind",
            Self::ReceiverFailing => "receiver-failing",
            Self::DatabaseSalvaged => "database-salvaged",
            Self::ForeignSite => "foreign-site",
            Self::ForeignService => "foreign-service",
            Self::WitnessDiffers => "witness-differs",
            Self::FrozenVerdict => "frozen-verdict",
            Self::Quarantined => "quarantined",
            Self::ClockAhead => "clock-ahead",
            Self::ClockBehind => "clock-behind",
        }
    }
}

/// Something that is missing or wrong now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// What it is about: an agent, a chain, a service, a claim. The same finding has the same
    /// subject for as long as it lasts.
    pub subject: String,
    /// The site, where it is about one.
    pub site: Option<String>,
    /// What it is, for people.
    pub detail: String,
}

/// A frozen verdict that rests on what does not count any more, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undermined {
    /// The contract.
    pub contract: String,
    /// The service.
    pub service: String,
    /// Its site.
    pub site: String,
    /// The period.
    pub period: String,
    /// What was done.
    pub why: String,
    /// What it says: the objectives that are breached, and the credit.
    pub says: (Vec<String>, String),
    /// What it would say if it were judged now.
    pub would_say: (Vec<String>, String),
}

impl Undermined {
    fn finding(&self) -> Finding {
        let told = |(breached, credit): &(Vec<String>, String)| match breached.as_slice() {
            [] => format!("nothing breached, credit {credit}"),
            all => format!("{} breached, credit {credit}", all.join(", ")),
        };
        let would = if self.says == self.would_say {
            "judged anew it would say the same".to_owned()
        } else {
            format!("judged anew it would say: {}", told(&self.would_say))
        };
        Finding {
            kind: FindingKind::FrozenVerdict,
            subject: format!("{}/{}/{}", self.contract, self.service, self.period),
            site: Some(self.site.clone()),
            detail: format!(
                "the verdict of {} in {} is frozen and stays ({}), but {}; {would}",
                self.service,
                self.period,
                told(&self.says),
                self.why
            ),
        }
    }
}

/// Everything that is looked at.
#[derive(Debug)]
pub struct Look<'a> {
    /// The agents.
    pub agents: &'a [AgentView],
    /// What they said last.
    pub fleet: &'a Fleet,
    /// The contracts.
    pub book: &'a Book,
    /// The verdicts of the running period and of the one before.
    pub verdicts: &'a [Judgement],
    /// The claims.
    pub claims: &'a [ClaimView],
    /// The rights to terminate.
    pub rights: &'a [RightView],
    /// The duties.
    pub duties: &'a [DutyView],
    /// Who is told of alerts, and how it stands with them.
    pub receivers: &'a [(&'static str, Receiver)],
    /// What came of a damaged database, for as long as that is kept.
    pub salvaged: Option<&'a Salvaged>,
    /// Frozen verdicts that rest on what does not count any more.
    pub undermined: &'a [Undermined],
    /// The agents that a change of the collector's key went on without.
    pub left_behind: &'a [LeftBehind],
    /// What came too late to count.
    pub late: &'a [LateView],
    /// So many days before its last one a claim's deadline is near.
    pub near_days: i64,
    /// Now.
    pub now: Wall,
}

/// What is found, in the order of its kinds.
#[must_use]
pub fn find(look: &Look<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let (sites, served) = (foreign::Sites::of(look.book), Served::at(look.book, look.now));
    for agent in look.agents.iter().filter(|agent| agent.state == "approved") {
        of_agent(look, agent, (&sites, &served), &mut all);
    }
    let put: BTreeMap<Kid, &str> =
        look.agents.iter().map(|each| (each.agent, each.site.as_str())).collect();
    all.extend(look.late.iter().map(|late| of_late(put.get(&late.agent).copied(), late)));
    for of in look.verdicts {
        let subject = format!("{}/{}/{}", of.contract, of.service, of.period);
        let site = Some(of.site.clone());
        for differs in &of.differs {
            all.push(Finding {
                kind: FindingKind::VerdictDiffers,
                subject: format!("{subject}/{}/{}", differs.objective, differs.agent),
                site: site.clone(),
                detail: format!(
                    "agent {} says {} of {} in {}, by the same outcomes it is {}",
                    differs.agent, differs.agent_says, differs.objective, of.period, differs.we_say
                ),
            });
        }
        for differs in &of.witnesses {
            let binding =
                of.agents.first().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            all.push(Finding {
                kind: FindingKind::WitnessDiffers,
                subject: format!("{subject}/{}/{}", differs.objective, differs.agent),
                site: site.clone(),
                detail: format!(
                    "agent {} measured {} too, and by its figures {} of {} is {}; by those of \
                        agent {binding}, which bind, it is {}",
                    differs.agent,
                    of.service,
                    differs.objective,
                    of.period,
                    differs.agent_says,
                    differs.we_say
                ),
            });
        }
        if let Some(first) = of.faults.first() {
            let detail = format!("{} cannot be judged in {}: {first}", of.service, of.period);
            all.push(Finding { kind: FindingKind::NotJudged, subject, site, detail });
        }
    }
    for claim in look.claims {
        if let (Some(left), Some(by)) = (claim.days_left, &claim.by)
            && (0..=look.near_days).contains(&left)
            && claim.state == "claimable"
        {
            let (credit, currency, service) = (&claim.credit, &claim.currency, &claim.service);
            all.push(Finding {
                kind: FindingKind::ClaimDeadline,
                subject: claim.id.clone(),
                site: Some(claim.site.clone()),
                detail: format!(
                    "{credit} {currency} for {service} in {} must be claimed by {by}",
                    claim.period
                ),
            });
        }
    }
    for right in look.rights.iter().filter(|right| right.state == "accrued") {
        all.push(Finding {
            kind: FindingKind::RightAccrued,
            subject: right.id.clone(),
            site: None,
            detail: format!(
                "{} of {} for {} accrued on {}; it may be exercised until {}",
                right.right, right.contract, right.service, right.accrued, right.exercise_by
            ),
        });
    }
    for duty in look.duties.iter().filter(|duty| duty.state == "overdue") {
        all.push(Finding {
            kind: FindingKind::DutyOverdue,
            subject: format!("{}/{}/{}/{}", duty.contract, duty.service, duty.duty, duty.due),
            site: None,
            detail: format!(
                "the {} had to do {} for {} by {}, and nothing says so",
                duty.party, duty.duty, duty.service, duty.due
            ),
        });
    }
    for (whom, receiver) in look.receivers {
        if let Some(since) = receiver.failing_since {
            all.push(Finding {
                kind: FindingKind::ReceiverFailing,
                subject: (*whom).to_owned(),
                site: None,
                detail: format!("alerts cannot be told to {whom} since {since}: {}", receiver.why),
            });
        }
    }
    if let Some(salvaged) = look.salvaged {
        let (kind, subject) = (FindingKind::DatabaseSalvaged, salvaged.aside.clone());
        all.push(Finding { kind, subject, site: None, detail: salvaged.detail() });
    }
    all.extend(look.undermined.iter().map(Undermined::finding));
    all.extend(look.left_behind.iter().map(LeftBehind::finding));
    all.sort_by(|one, two| (one.kind, &one.subject).cmp(&(two.kind, &two.subject)));
    all.dedup_by(|one, two| (one.kind, &one.subject) == (two.kind, &two.subject));
    all
}

/// Evidence that came too late to count.
fn of_late(site: Option<&str>, late: &LateView) -> Finding {
    let LateView { agent, chain, from_seq, to_seq, from, to, received, why } = late;
    Finding {
        kind: FindingKind::LateEvidence,
        subject: format!("{agent}/{chain}/{from_seq}"),
        site: site.map(str::to_owned),
        detail: format!(
            "numbers {from_seq} to {to_seq} of chain {chain} of agent {agent}, which tell of \
                {from} to {to}, came at {received} and do \
             not count ({why}): `wanproof collector accept {agent} {chain} {from_seq}-{to_seq} \
                --why …` where something speaks for them"
        ),
    }
}

fn of_agent(
    look: &Look<'_>,
    agent: &AgentView,
    (sites, served): (&foreign::Sites<'_>, &Served<'_>),
    all: &mut Vec<Finding>,
) {
    let name = agent.agent.to_string();
    let mut found = |kind, subject: String, detail: String| {
        all.push(Finding { kind, subject, site: Some(agent.site.clone()), detail });
    };
    if agent.silent {
        let last = agent.last.as_ref().map_or_else(
            || "nothing came yet".to_owned(),
            |last| format!("last heard of at {}", last.received),
        );
        found(
            FindingKind::Silent,
            name.clone(),
            format!("agent {name} at {} is silent: {last}", agent.site),
        );
    }
    for gap in &agent.gaps {
        let kind = if gap.dropped { FindingKind::Dropped } else { FindingKind::Gap };
        let why = if gap.dropped { "had to be dropped by its outbox" } else { "did not come" };
        let numbers = if gap.from_seq == gap.to_seq {
            format!("number {}", gap.from_seq)
        } else {
            format!("numbers {} to {}", gap.from_seq, gap.to_seq)
        };
        // A gap that is filled in part goes on under its last number.
        let subject = format!("{name}/{}/{}", gap.chain, gap.to_seq);
        found(
            kind,
            subject,
            format!("{numbers} of chain {} of agent {name} at {} {why}", gap.chain, agent.site),
        );
    }
    if agent.gap_count > agent.gaps.len() as u64 {
        let detail = format!(
            "{} more gaps are in the chains of agent {name} at {}; {} numbers are missing in all",
            agent.gap_count - agent.gaps.len() as u64,
            agent.site,
            agent.missing
        );
        found(FindingKind::Gap, name.clone(), detail);
    }
    if agent.conflicts > 0 {
        let detail = format!(
            "{} summaries of agent {name} at {} did not fit into their chain: a copied or \
                restored database, or a key that two hosts have",
            agent.conflicts, agent.site
        );
        found(FindingKind::ChainConflict, name.clone(), detail);
    }
    let Some(said) = look.fleet.get(agent.agent) else { return };
    if said.clock == "unsynchronised" {
        let detail = format!(
            "the clock of agent {name} at {} is not synchronised: its times bound nothing but \
                themselves",
            agent.site
        );
        found(FindingKind::ClockUnsynchronised, name.clone(), detail);
    }
    for Difference { contract, version, reported, what } in
        served.differences(&agent.site, &said.contracts)
    {
        let due =
            version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"));
        let has =
            reported.map_or_else(|| "none".to_owned(), |reported| format!("version {reported}"));
        let detail = format!(
            "agent {name} at {} judges by {has} of {contract}, {due} is in force ({what})",
            agent.site
        );
        found(FindingKind::ContractOutdated, format!("{name}/{contract}"), detail);
    }
    foreign::find(look, sites, agent, said, all);
}
