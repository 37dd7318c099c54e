//! What is due, drafts of ticket and claim, and the claim's own life: by what this agent measured.

use std::path::PathBuf;

use serde_json::json;

use crate::agent::claims::Due;
use crate::agent::review::{self, Judged, ReviewError};
use crate::base::bounded;
use crate::base::time::Wall;
use crate::cli::life::{self, Written};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure, print, report};
use crate::evidence::digest::Digest;
use crate::sla::Contract;
use crate::sla::calendar::Period;
use crate::sla::deadline::{Deadline, DeadlineKind};
use crate::sla::facts::{self, Facts};
use crate::sla::letter::{self, Draft};
use crate::sla::lifecycle::{ClaimAction, CycleWord, Entry, Subject};
use crate::sla::reader::Word;
use crate::sla::report::Report;
use crate::store::Store;
use crate::store::lifecycle_log::Step;

/// Which claim.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The contract's id [default: the only one that judges the service]
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    contract: Option<String>,
    /// The service [default: the only one that is measured here]
    #[arg(long, allow_hyphen_values = true, value_name = "ID")]
    service: Option<String>,
    /// The period, such as 2026-11 [default: this month]
    #[arg(long, value_name = "PERIOD")]
    period: Option<String>,
}

/// What is judged with, beside what was measured.
#[derive(Clone, Debug, clap::Args)]
pub struct GivenFacts {
    /// What does not come from measurement, as for `report`: exclusions, tickets, the provider's
    /// log, earlier periods
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A contract and one of its services in a period.
struct Case {
    contract: Contract,
    judged: Judged,
    service: String,
    period: Period,
}

impl Which {
    /// Finds what is meant among what is measured here.
    fn find(&self, judged: Vec<Judged>, now: Wall) -> Result<Case, Failure> {
        let mut found: Vec<(Judged, String)> = Vec::new();
        for judged in judged {
            let of_contract = self.contract.as_deref().is_none_or(|id| id == judged.contract.id());
            let wanted = judged
                .services
                .iter()
                .filter(|service| self.service.as_ref().is_none_or(|only| only == *service));
            found.extend(
                wanted.filter(|_| of_contract).map(|service| (judged.clone(), service.clone())),
            );
        }
        let names = || -> Vec<String> {
            found
                .iter()
                .map(|(judged, service)| {
                    format!("--contract {} --service {service}", judged.contract.id())
                })
                .collect()
        };
        if found.len() > 1 {
            return Err(Failure::Usage(format!("which one? name it:\n  {}", names().join("\n  "))));
        }
        let Some((judged, service)) = found.pop() else {
            return Err(Failure::Usage(
                "no contract that is known here judges such a service: see `wanproof report`"
                    .to_owned(),
            ));
        };
        let contract = judged.contract.clone();
        let period = match &self.period {
            Some(text) => text.parse().map_err(|error: crate::sla::calendar::NotAPeriod| {
                Failure::Usage(format!("--period: {error}"))
            })?,
            None => review::month_of(&contract, now),
        };
        Ok(Case { contract, judged, service, period })
    }
}

impl Case {
    fn subject(&self) -> Subject {
        Subject::claim(self.contract.id(), &self.service, &self.period.to_string())
    }

    fn judge(
        &self,
        store: &Store,
        told: Option<&PathBuf>,
        now: Wall,
    ) -> Result<(Report, Facts), Failure> {
        let mut facts = match told {
            None => Facts::default(),
            Some(path) => {
                let name = path.display().to_string();
                let text = bounded::read_text(path)
                    .map_err(|error| Failure::Usage(format!("{name}: cannot be read: {error}")))?;
                let case = facts::parse(&text, &name).map_err(|faults| {
                    Failure::Usage(
                        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
                    )
                })?;
                if case.service != self.service || case.period != self.period {
                    return Err(Failure::Usage(format!(
                        "{name}: it is about {} in {}, and the claim about {} in {}",
                        case.service, case.period, self.service, self.period
                    )));
                }
                case.facts
            }
        };
        facts.as_of.get_or_insert(now);
        let report = review::review(store, &self.judged, &self.service, self.period, &facts)
            .map_err(failure)?;
        Ok((report, facts))
    }
}

fn failure(error: ReviewError) -> Failure {
    match error {
        ReviewError::Store(error) => Failure::Could(error.to_string()),
        ReviewError::Faults(_) => Failure::Usage(error.to_string()),
    }
}

/// Prints what may be claimed, and until when.
///
/// # Errors
/// When the data cannot be read, or a contract has faults.
pub fn list(source: &Source, json: bool) -> Result<Exit, Failure> {
    let config = source.configured()?;
    let store = source.store()?;
    let now = life::now();
    let judged = report::contracts(&store, config.as_ref(), now)?;
    let due = report::due_of(&store, &judged, now)?;
    let all: Vec<&Due> = due.iter().filter(|due| due.is_claim()).collect();
    if json {
        let one = |due: &&Due| {
            let Report { contract, version, service, period, credit, currency, claim, .. } =
                &due.report;
            let deadline = |each: &Deadline| json!({"deadline": each, "left": each.left(now)});
            let deadlines: Vec<_> = due.deadlines(now).map(deadline).collect();
            json!({
                "contract": contract, "version": version, "service": service,
                "period": period.to_string(), "credit": credit, "currency": currency,
                "state": due.state, "claim": claim, "deadlines": deadlines,
            })
        };
        print::json(&all.iter().map(one).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        print::line("nothing is to be claimed: no credit is due, and none was claimed")?;
        return Ok(Exit::Done);
    }
    let heading = ["PERIOD", "SERVICE", "CREDIT", "STATE", "CLAIM BY"].map(str::to_owned);
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|due| {
            let Report { service, period, credit, currency, claim, .. } = &due.report;
            let deadline = due.deadlines(now).find(|each| each.kind == DeadlineKind::Claim);
            let by = match (claim.by, deadline) {
                (Some(by), Some(deadline)) => format!("{by} ({})", deadline.left(now)),
                (Some(by), None) => by.to_string(),
                (None, _) => "-".to_owned(),
            };
            let state = due.state.replace('_', " ");
            vec![period.to_string(), service.clone(), format!("{credit} {currency}"), state, by]
        })
        .collect();
    print::line(print::fitted(&heading, &rows))?;
    Ok(Exit::Done)
}

/// Which draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// The letter that claims a credit.
    Letter,
    /// The trouble ticket.
    Ticket,
}

/// Prints a draft.
///
/// # Errors
/// When there is nothing to write, the data cannot be read, or contract or facts have faults.
pub fn draft(
    paper: Paper,
    which: &Which,
    told: &GivenFacts,
    source: &Source,
) -> Result<Exit, Failure> {
    let config = source.configured()?;
    let store = source.store()?;
    let now = life::now();
    let case = which.find(report::contracts(&store, config.as_ref(), now)?, now)?;
    let (report, facts) = case.judge(&store, told.facts.as_ref(), now)?;
    let draft = match paper {
        Paper::Letter => letter::claim(&case.contract, &report, &facts),
        Paper::Ticket => letter::ticket(&case.contract, &report),
    };
    let draft = draft.map_err(|error| Failure::Could(error.to_string()))?;
    if told.json {
        print::json(&draft)?;
        return Ok(Exit::Done);
    }
    let Draft { to, from, subject, text } = draft;
    let mut shown = String::new();
    for (name, words) in [("To: ", to), ("From: ", from), ("Subject: ", subject)] {
        print::wrap(&mut shown, name, "  ", &words);
    }
    shown.push('\n');
    for line in text.lines() {
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        print::wrap(&mut shown, indent, &format!("{indent}  ").replace("    ", "     "), words);
    }
    print::line(shown.trim_end())?;
    Ok(Exit::Done)
}

/// Moves a claim.
///
/// # Errors
/// When its life cycle refuses it, with the reason; when the data cannot be read or written.
pub fn step(
    action: &str,
    which: &Which,
    written: &Written,
    source: &Source,
    json: bool,
) -> Result<Exit, Failure> {
    let config = source.configured()?;
    let mut store = life::adding(source)?;
    let now = life::now();
    let case = which.find(report::contracts(&store, config.as_ref(), now)?, now)?;
    let subject = case.subject();
    let could = |error: crate::store::StoreError| Failure::Could(error.to_string());
    let begun =
        store.life(Some(case.contract.id())).map_err(could)?.iter().any(|(of, _)| *of == subject);
    let (report, _) = case.judge(&store, None, now)?;
    if !begun
        && report.is_credited()
        && report.ends <= now
        && action != ClaimAction::BecomeClaimable.word()
    {
        // What the agent saw by itself is the claim's first entry, with the verdict as its
        // evidence.
        let verdict =
            serde_json::to_string(&report).map_err(|error| Failure::Could(error.to_string()))?;
        let entry = Entry {
            action: ClaimAction::BecomeClaimable.word().to_owned(),
            at: report.ends,
            recorded: now,
            who: crate::SOFTWARE.to_owned(),
            evidence: Some(Digest::of(verdict.as_bytes()).hex()),
            said: None,
        };
        life::record(&mut store, &Step { subject: subject.clone(), entry, paper: Some(verdict) })?;
    }
    if action == ClaimAction::Submit.word()
        && let Some(by) = report.claim.by
        && case.contract.agreement.timezone.day(written.at(now)?) > by
    {
        return Err(Failure::Usage(format!(
            "{subject}: refused: the last day to claim it was {by}; `wanproof claim move lapse` \
                records that it lapsed"
        )));
    }
    life::take(&mut store, &subject, action, written, json)
}

/// Prints the logs of claims.
///
/// # Errors
/// When they cannot be read.
pub fn log(which: &Which, source: &Source, json: bool) -> Result<Exit, Failure> {
    let is = |wanted: &Option<String>, part: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == part)
    };
    let wanted = |of: &Subject| {
        of.cycle == CycleWord::Claim
            && is(&which.contract, &of.contract)
            && is(&which.service, &of.service)
            && is(&which.period, &of.period)
    };
    life::print_logs(&source.store()?, wanted, json)
}
