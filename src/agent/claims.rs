//! What may be claimed by what is stored: the credits of the periods whose time to claim still
//! runs, and where each claim stands by its log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::agent::review::{History, Judged, ReviewError, month_of};
use crate::base::time::Wall;
use crate::sla::calendar::Period;
use crate::sla::deadline::{Deadline, DeadlineKind};
use crate::sla::facts::Facts;
use crate::sla::lifecycle::{ClaimState, CycleWord, Entry, Subject};
use crate::sla::reader::Word;
use crate::sla::report::Report;
use crate::sla::terms::{ClaimUnit, Contract};
use crate::store::{Store, StoreError};

/// No claim is looked for in more periods than these.
const MOST: usize = 13;

/// A service in a period, as far as anything may be claimed.
#[derive(Clone, Debug)]
pub struct Due {
    /// The verdicts.
    pub report: Report,
    /// The claim's state: by its log; without one detected while the period runs, claimable once it
    /// has ended.
    pub state: &'static str,
    /// The log.
    pub log: Vec<Entry>,
}

impl Due {
    /// Whether a credit is due, or was claimed.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        self.report.is_credited() || !self.log.is_empty()
    }

    /// Whether nothing more can come of the claim.
    #[must_use]
    pub fn is_final(&self) -> bool {
        ClaimState::ALL.iter().any(|state| state.word() == self.state && state.is_final())
    }

    /// What must still be done, and has neither been done nor become too late.
    pub fn deadlines(&self, now: Wall) -> impl Iterator<Item = &Deadline> {
        let claimed = !["detected", "claimable"].contains(&self.state);
        let open = move |deadline: &&Deadline| {
            let settled = deadline.kind == DeadlineKind::Claim && claimed;
            !settled && deadline.kept.is_none() && !deadline.is_past(now)
        };
        self.report.deadlines.iter().filter(open)
    }
}

/// All services of the contracts in the running month and in those before whose time to claim may
/// still run or whose claim is not final, the latest first.
///
/// # Errors
/// When the database cannot be read.
pub fn due(store: &Store, judged: &[Judged], now: Wall) -> Result<Vec<Due>, ReviewError> {
    let facts = Facts { as_of: Some(now), ..Facts::default() };
    let mut all = Vec::new();
    for judged in judged {
        let Judged { contract, services, .. } = judged;
        let mut history = History::new(store, judged, &facts)?;
        let life = store.life(Some(contract.id()))?;
        // Services that are looked at in the same period are read together.
        let mut wanted: BTreeMap<Reverse<Period>, Vec<String>> = BTreeMap::new();
        for service in services {
            for period in periods(store, contract, service, &life, now)? {
                wanted.entry(period).or_default().push(service.clone());
            }
        }
        for (Reverse(period), services) in wanted {
            for report in history.reports(&services, period, &facts)? {
                all.push(standing(report, &life, now)?);
            }
        }
    }
    Ok(all)
}

/// Where a report's claim stands by the stored logs.
///
/// # Errors
/// When a stored log is not what its life cycle allows.
pub fn standing(report: Report, life: &[(Subject, Entry)], now: Wall) -> Result<Due, StoreError> {
    let subject = Subject::claim(&report.contract, &report.service, &report.period.to_string());
    let log: Vec<Entry> =
        life.iter().filter(|(of, _)| *of == subject).map(|(_, entry)| entry.clone()).collect();
    let runs = report.ends > now;
    let state = match log.is_empty() {
        false => {
            subject
                .cycle
                .replay(log.iter().cloned())
                .map_err(|refused| StoreError::Damaged(refused.to_string()))?
                .state
        }
        true if report.claim.lapsed => ClaimState::Lapsed.word(),
        true if runs => ClaimState::Detected.word(),
        true => ClaimState::Claimable.word(),
    };
    Ok(Due { report, state, log })
}

fn periods(
    store: &Store,
    contract: &Contract,
    service: &str,
    life: &[(Subject, Entry)],
    now: Wall,
) -> Result<BTreeSet<Reverse<Period>>, StoreError> {
    let zone = &contract.agreement.timezone;
    let today = zone.day(now);
    let running = month_of(contract, now);
    let begun = store.extent()?.map_or(running.first(1), |(first, _)| zone.day(first));
    let mut all = BTreeSet::from([Reverse(running)]);
    for earlier in
        std::iter::successors(Some(running.before(1)), |period| Some(period.before(1))).take(MOST)
    {
        if earlier.last() >= begun && earlier.last().plus(longest(contract)) >= today {
            all.insert(Reverse(earlier));
        }
    }
    let claims = life
        .iter()
        .map(|(of, _)| of)
        .filter(|of| of.cycle == CycleWord::Claim && of.service == service);
    all.extend(claims.filter_map(|of| of.period.parse().ok()).map(Reverse));
    Ok(all)
}

/// For how many days after a period's end something of it may have to be done.
fn longest(contract: &Contract) -> i64 {
    let holidays = i64::try_from(contract.agreement.holidays.len()).unwrap_or(0);
    let claim =
        contract.claim.as_ref().and_then(|claim| claim.clock).map_or(31, |clock| {
            match clock.unit {
                ClaimUnit::Days => i64::from(clock.within),
                ClaimUnit::BusinessDays => i64::from(clock.within) * 7 / 5 + 4 + holidays,
            }
        });
    let rights = contract.terminations.iter().map(|right| i64::from(right.exercise_within_days));
    rights.fold(claim, i64::max)
}
