//! What is marked is judged, and what comes of it is written: verdicts, claims, rights.

use std::sync::Arc;
use std::time::Instant;

use crate::base::effort::{Effort, Spent};
use crate::base::time::{Wall, format_duration};
use crate::collector::archive::ledger::{Kind, Page, Record};
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::fault::Fault;
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::marks::{Case, Mark, mark_later};
use crate::collector::operations::agreements::Book;
use crate::collector::operations::claims::follow;
use crate::collector::operations::months;
use crate::collector::periods::{has_begun, is_frozen, period_log};
use crate::collector::scheduler::Rounds;
use crate::collector::scheduler::did::Did;
use crate::collector::verdicts::{Evaluator, Fleet, Judgement, id_of, outcome};
use crate::collector::{Collector, amend, troubles};
use crate::sla::calendar::Period;
use crate::sla::lifecycle::{Entry, PeriodState};

/// So many services are judged in a round.
const CASES: u32 = 256;
/// A service is judged by timelines of at most so many stretches each, of 16 bytes, of which a judge
/// holds several at once. A probe each second reaches it when every tenth send of two months, apart
/// from all others, is down or not known.
const MOST_STRETCHES: usize = 500_000;

impl Rounds {
    /// Judges, and follows claims and rights. What cannot be judged, or not in time, is said, stays
    /// marked, and is tried again later.
    pub(super) async fn judge(
        &mut self,
        collector: &Arc<Collector>,
        now: Wall,
        did: &mut Did,
    ) -> Result<(), Fault> {
        let (marked, more) = collector.read(move |archive| Ok(due(archive, now)?)).await?;
        did.more |= more;
        if marked.is_empty() {
            return Ok(());
        }
        let book = collector.book().await?;
        for record in marked {
            let fleet = self.know(collector, now).await?;
            did.judged += u64::from(judge_one(collector, &book, fleet, record, now).await?);
            if collector.is_stopping() || !self.holds_on(collector).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// What is to be judged now, and whether there is more: what nothing kept from being judged comes
/// first, and of what something did, one, if its time has come. What is marked for no month that
/// can be judged is left out.
fn due(archive: &Archive, now: Wall) -> Result<(Vec<Record<Case>>, bool), ArchiveError> {
    let troubles = troubles::all(archive)?;
    let (mut fresh, mut tried): (Vec<Record<Case>>, Option<Record<Case>>) = (Vec::new(), None);
    let mut after: Option<String> = None;
    while fresh.len() < CASES as usize {
        let page = Page { prefix: "", after: after.as_deref(), limit: Some(CASES) };
        let all = archive.sound_records::<Case>(Kind::Dirty, page)?;
        let Some(last) = all.last().map(|record| record.id.clone()) else { break };
        for Record { id, body } in all {
            let trouble =
                troubles.get(&troubles::of_service(&body.contract, &body.service, &body.period));
            let record = Record { id, body };
            match trouble {
                None => fresh.push(record),
                Some(trouble) if tried.is_none() && !trouble.waits(now) => tried = Some(record),
                Some(_) => {}
            }
        }
        after = Some(last);
    }
    let more = fresh.len() >= CASES as usize;
    fresh.extend(tried);
    Ok((fresh, more))
}

/// What came of one that was to be judged.
enum Judged {
    /// There is a verdict, and why it may undermine a frozen one; or there is none to be had.
    Done(Option<Box<(String, Judgement, Option<String>)>>),
    /// It took more than it may.
    GivenUp(Spent),
}

/// Judges one service in one period, in the time that it may take; true when there is a new
/// verdict.
async fn judge_one(
    collector: &Arc<Collector>,
    book: &Arc<Book>,
    fleet: Arc<Fleet>,
    record: Record<Case>,
    now: Wall,
) -> Result<bool, Fault> {
    let limit = collector.config().limits.judging;
    let (ending, case, terms) = (Arc::clone(collector), record.body.clone(), Arc::clone(book));
    let judged = collector
        .try_read(move |archive| {
            let began = Instant::now();
            let is_enough = || began.elapsed() >= limit || ending.is_stopping();
            let evaluator = Evaluator { archive, book: &terms, fleet: &fleet };
            let effort = Effort::until(&is_enough).with_lists_of(MOST_STRETCHES);
            judge_case(&evaluator, case, now, &effort)
        })
        .await?;
    if collector.is_stopping() {
        return Ok(false);
    }
    let Case { contract, service, period, .. } = record.body.clone();
    let trouble = troubles::of_service(&contract, &service, &period);
    let why = match judged {
        Ok(Judged::Done(judged)) => {
            let (book, id, is_new) = (Arc::clone(book), trouble.clone(), judged.is_some());
            let write = move |archive: &Archive| {
                write_done(archive, &book, judged.as_deref(), now)?;
                troubles::clear(archive, &id)?;
                // What was marked again meanwhile stays.
                archive.drop_record_as(Kind::Dirty, &record.id, &record.body)
            };
            match collector.try_change(write).await? {
                Ok(()) => return Ok(is_new),
                Err(why) => why,
            }
        }
        Ok(Judged::GivenUp(Spent::TooLong)) => format!(
            "by one objective it was down, or not known, more than {MOST_STRETCHES} times apart: \
             look at what its agents say of it, and at the objective's rule for an outage"
        ),
        Ok(Judged::GivenUp(Spent::Enough)) => format!(
            "it took longer than {}, and was given up: what agents measured of it is more than \
             can be, or its facts and exclusions are; [limits] judging says how long it may take",
            format_duration(limit)
        ),
        Err(why) => why,
    };
    let subject = format!("{contract}/{service}/{period}");
    let detail = format!(
        "{service} cannot be judged in {period}: {why}; its last verdict stands, and it is tried \
         again every hour"
    );
    let finding = Finding { kind: FindingKind::NotJudged, subject, site: None, detail };
    collector.change(move |archive| troubles::put(archive, &trouble, finding, now)).await?;
    Ok(false)
}

/// Judges what is marked, unless it is frozen, or of a month that has not begun.
fn judge_case(
    evaluator: &Evaluator<'_>,
    case: Case,
    now: Wall,
    effort: &Effort<'_>,
) -> Result<Judged, ArchiveError> {
    let month = case.period.parse::<Period>().ok().filter(|month| has_begun(*month, now));
    let Some(month) = month else { return Ok(Judged::Done(None)) };
    let id = id_of(month, &case.contract, &case.service);
    let frozen = case.asked == Mark::Nothing && is_frozen(evaluator.archive, &id)?;
    if frozen && case.why.is_none() {
        return Ok(Judged::Done(None));
    }
    let judged = evaluator.judge_within(&case.contract, &case.service, month, now, effort)?;
    // What is not judged to its end is nothing.
    if effort.is_spent() {
        return Ok(Judged::GivenUp(effort.spent().unwrap_or(Spent::Enough)));
    }
    Ok(Judged::Done(judged.map(|judged| Box::new((id, judged, case.why.filter(|_| frozen))))))
}

/// Writes a verdict; of a frozen one, that it would be another.
fn write_done(
    archive: &Archive,
    book: &Book,
    judged: Option<&(String, Judgement, Option<String>)>,
    now: Wall,
) -> Result<(), ArchiveError> {
    match judged {
        Some((id, judged, Some(why))) => amend::undermine(archive, id, judged, why, now),
        Some((id, judged, None)) => write_judged(archive, book, id, judged, now),
        None => Ok(()),
    }
}

/// Writes a verdict and what it rests on; claims and rights follow it.
fn write_judged(
    archive: &Archive,
    book: &Book,
    id: &str,
    judged: &Judgement,
    now: Wall,
) -> Result<(), ArchiveError> {
    if let Some(why) = &judged.gone {
        return months::keep(archive, id, judged, why, now);
    }
    let before = archive
        .sound_record::<Judgement>(Kind::Verdict, id)?
        .map(|kept| kept.report.as_ref().map(outcome));
    archive.put_record(Kind::Verdict, id, judged, now)?;
    archive.put_record(Kind::Grounds, id, &judged.grounds, now)?;
    if before.is_some_and(|before| before != judged.report.as_ref().map(outcome)) {
        mark_later(archive, judged, now)?;
    }
    archive.put_record(Kind::Histograms, id, &judged.histograms, now)?;
    if period_log(archive, id)?.state() == PeriodState::Open {
        let entry = Entry {
            action: "judge".to_owned(),
            at: now,
            recorded: now,
            who: "the collector's clock".to_owned(),
            evidence: None,
            said: None,
        };
        archive.append(Kind::Period, id, &entry, now)?;
    }
    let version = book.version(&judged.contract, judged.version);
    match version.and_then(|agreed| agreed.contract.as_ref().ok()) {
        Some(contract) => follow::follow(archive, contract, judged, now),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::collector::Database;

    /// A verdict of a month, with a step of its arithmetic.
    fn judged(period: &str, result: &str, credit: &str, step: &str) -> Judgement {
        let objective = json!({"id": "avail", "result": result, "actual": null, "target": "99.9",
            "coverage": "100", "credit": credit, "steps": [step]});
        let report = json!({"contract": "T", "version": 1, "service": "s", "period": period,
            "objectives": [objective], "credit": credit, "currency": "GBP",
            "claim": {"by": null, "ticket_by": null, "lapsed": false}, "terminations": [],
            "duties": []});
        Judgement {
            contract: "T".to_owned(),
            version: 1,
            level: "service".to_owned(),
            provider: "P".to_owned(),
            customer: "C".to_owned(),
            measured_by: "joint".to_owned(),
            service: "s".to_owned(),
            site: "x".to_owned(),
            period: period.to_owned(),
            as_of: Wall::default(),
            ended: true,
            report: serde_json::from_value(report).unwrap(),
            by_provider: None,
            letter: None,
            outages: Vec::new(),
            agents: Vec::new(),
            witnesses: Vec::new(),
            differs: Vec::new(),
            histograms: BTreeMap::new(),
            faults: Vec::new(),
            gone: None,
            grounds: crate::collector::verdicts::Grounds::default(),
        }
    }

    #[test]
    fn a_month_whose_outcome_changes_has_the_later_judged_ones_judged_again_and_no_others() {
        let at = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap();
        let mut write = |judged: &Judgement| -> Vec<String> {
            let marked = archive.write(|archive| {
                let id = id_of(judged.period.parse().unwrap(), "T", "s");
                write_judged(
                    archive,
                    &Book::default(),
                    &id,
                    judged,
                    Wall::from_secs(1_800_000_000),
                )?;
                let marked = archive.records::<Case>(Kind::Dirty, Page::default())?;
                for record in &marked {
                    archive.drop_record_as(Kind::Dirty, &record.id, &record.body)?;
                }
                Ok::<_, ArchiveError>(marked)
            });
            marked.unwrap().into_iter().map(|record| record.body.period).collect()
        };
        // Nobody ever judged December.
        for month in ["2026-09", "2026-11", "2027-01", "2027-11", "2026-10"] {
            assert_eq!(
                write(&judged(month, "met", "0.00", "one")),
                [""; 0],
                "{month} is judged for the first time"
            );
        }
        assert_eq!(
            write(&judged("2026-10", "met", "0.00", "another")),
            [""; 0],
            "no later month needs its arithmetic"
        );
        assert_eq!(write(&judged("2026-10", "breached", "0.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), ["2026-11", "2027-01"]);
        assert_eq!(write(&judged("2026-10", "breached", "5.00", "one")), [""; 0]);
    }
}
