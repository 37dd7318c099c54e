//! What is put right when a replica begins to go round: what was stored by a clock that was wrong,
//! or by a program that took what is not taken any more. Nothing that was measured is changed; what
//! is left out is said.

use crate::base::text;
use crate::base::time::Wall;
use crate::collector::agent_state::{AgentState, CLOCKS_DIFFER};
use crate::collector::archive::ledger::Kind;
use crate::collector::archive::{Archive, ArchiveError};
use crate::collector::findings::finding::{Finding, FindingKind};
use crate::collector::marks::{Case, mark};
use crate::collector::operations::lapses::{self, Reinstated};
use crate::collector::troubles;
use crate::evidence::key::Kid;
use crate::evidence::summary::AHEAD;

/// Puts right what can be.
///
/// # Errors
/// When the database fails.
pub fn heal(archive: &Archive, now: Wall) -> Result<(), ArchiveError> {
    for (agent, state) in AgentState::all(archive)? {
        if let Some(sound) = sound(archive, agent, &state, now)? {
            tracing::warn!(%agent, "what an agent said of itself is put right: names that cannot \
                be shown, or a time to come");
            archive.put_record(Kind::Agent, &agent.to_string(), &sound, now)?;
        }
    }
    for id in archive.unsound_records::<Case>(Kind::Dirty)? {
        archive.drop_record(Kind::Dirty, &id)?;
    }
    let ahead = archive.written_after(Kind::Verdict, now + CLOCKS_DIFFER)?;
    for id in &ahead {
        judge_anew(archive, id, now)?;
    }
    if !ahead.is_empty() {
        told_of_verdicts(archive, ahead.len(), now)?;
    }
    let reinstated = lapses::reinstate(archive, now + CLOCKS_DIFFER, now)?;
    for (contract, service, period) in &reinstated.claims {
        mark(archive, contract, service, period, now)?;
    }
    if reinstated.claims.is_empty() && reinstated.rights == 0 {
        return Ok(());
    }
    told_of_lapses(archive, &reinstated, now)
}

/// What an agent said, as it would be taken now; absent where that is the same. Of a time that has
/// not come nothing is believed.
fn sound(
    archive: &Archive,
    agent: Kid,
    state: &AgentState,
    now: Wall,
) -> Result<Option<AgentState>, ArchiveError> {
    let is_name = |text: &str| text::name(text).is_ok();
    let mut sound = state.clone();
    if !is_name(&sound.site) {
        sound.site = archive
            .key(agent)?
            .map(|known| known.site)
            .filter(|site| is_name(site))
            .unwrap_or_default();
    }
    sound.probes.retain(|name, service| is_name(name) && service.as_deref().is_none_or(is_name));
    sound.contracts.retain(|(id, ..)| is_name(id));
    sound.verdicts.retain(|said| is_name(&said.contract) && is_name(&said.objective));
    // Not what this clock says now: it may be the one that is wrong.
    if sound.heard > sound.place.map_or(now, |place| place.received) + AHEAD {
        sound.heard = archive.leave_out_ahead(agent, now)?.unwrap_or(now);
        sound.place = None;
    }
    Ok((sound != *state).then_some(sound))
}

/// A verdict that was reached at a time that has not come is reached anew: what was over by that
/// clock may not be.
fn judge_anew(archive: &Archive, id: &str, now: Wall) -> Result<(), ArchiveError> {
    #[derive(serde::Deserialize)]
    struct Of {
        contract: String,
        service: String,
        period: String,
    }
    match archive.sound_record::<Of>(Kind::Verdict, id)? {
        Some(Of { contract, service, period }) => mark(archive, &contract, &service, &period, now),
        None => Ok(()),
    }
}

fn told_of_verdicts(archive: &Archive, count: usize, now: Wall) -> Result<(), ArchiveError> {
    let detail = format!(
        "the collector's clock was ahead when it reached {count} verdicts, by what it says now: \
         they are reached anew; see that it is synchronised"
    );
    let subject = "collector/verdicts".to_owned();
    troubles::put_past(
        archive,
        Finding { kind: FindingKind::ClockAhead, subject, site: None, detail },
        now,
    )
}

fn told_of_lapses(
    archive: &Archive,
    Reinstated { claims, rights }: &Reinstated,
    now: Wall,
) -> Result<(), ArchiveError> {
    let detail = format!(
        "the collector's clock was ahead when it let {} claims and {rights} rights lapse, by what \
         it says now: they are as they were before, and their logs say so; see that it is \
         synchronised",
        claims.len()
    );
    let subject = "collector/claims".to_owned();
    troubles::put_past(
        archive,
        Finding { kind: FindingKind::ClockAhead, subject, site: None, detail },
        now,
    )
}

/// Says that what was left out by a clock that was behind counts again.
pub fn told_of_evidence(archive: &Archive, count: u64, now: Wall) -> Result<(), ArchiveError> {
    let detail = format!(
        "the collector's clock was behind when it left {count} summaries out as of a time to \
         come: they were not when they were received, and count again; see that it is \
         synchronised"
    );
    let subject = "collector/evidence".to_owned();
    troubles::put_past(
        archive,
        Finding { kind: FindingKind::ClockBehind, subject, site: None, detail },
        now,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::collector::agent_state::Placed;
    use crate::collector::archive::agents::AgentStatus;
    use crate::collector::archive::ledger::Page;
    use crate::config::collector::Database;
    use crate::evidence::chain::ChainId;
    use crate::evidence::key::SecretKey;

    fn state(site: &str, heard: Wall) -> AgentState {
        AgentState {
            site: site.to_owned(),
            software: "wanproof 0.1.0".to_owned(),
            heard,
            place: None,
            clock: "synchronised".to_owned(),
            contracts: Vec::new(),
            probes: BTreeMap::from([("hq".to_owned(), None), ("a\0b".to_owned(), None)]),
            verdicts: Vec::new(),
            ever: crate::collector::agent_state::Ever::default(),
        }
    }

    #[test]
    fn what_an_agent_said_is_put_right_once_and_what_others_said_stays() {
        let at = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap();
        let now = Wall::from_secs(1_800_000_000);
        let [bad, good, later] = [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let mut sound = state("leeds", now);
        sound.probes.remove("a\0b");
        // It may be this clock that is behind.
        let received = now + AHEAD * 10;
        let place = Placed { chain: ChainId::from_bytes([3; 16]), seq: 0, received };
        let of_later = AgentState { heard: received, place: Some(place), ..sound.clone() };
        let healed = archive.write(|archive| {
            for key in [&bad, &good, &later] {
                archive.add_agent(key.public(), "york", AgentStatus::Approved, now)?;
            }
            let far = Wall::from_secs(8_000_000_000);
            archive.put_record(
                Kind::Agent,
                &bad.kid().to_string(),
                &state("\u{1b}[2J", far),
                now,
            )?;
            archive.put_record(Kind::Agent, &good.kid().to_string(), &sound, now)?;
            archive.put_record(Kind::Agent, &later.kid().to_string(), &of_later, now)?;
            heal(archive, now)?;
            AgentState::all(archive)
        });
        let healed: BTreeMap<Kid, AgentState> = healed.unwrap().into_iter().collect();
        assert_eq!((&healed[&good.kid()], &healed[&later.kid()]), (&sound, &of_later));
        let put_right = &healed[&bad.kid()];
        assert_eq!((put_right.site.as_str(), put_right.heard), ("york", now));
        assert!(put_right.probes.keys().eq(["hq"]));
    }

    #[test]
    fn a_verdict_of_a_time_that_has_not_come_is_reached_anew_and_that_is_said() {
        let at = tempfile::tempdir().unwrap();
        let mut archive = Archive::open(&Database::Sqlite(at.path().join("c.db"))).unwrap();
        let now = Wall::from_secs(1_800_000_000);
        let marked = archive.write(|archive| {
            let of = |period: &str| {
                serde_json::json!({"contract": "C", "service": "s", "period": period})
            };
            archive.put_record(Kind::Verdict, "2026-12/C/s", &of("2026-12"), now)?;
            archive.put_record(Kind::Verdict, "2027-01/C/s", &of("2027-01"), now + AHEAD)?;
            heal(archive, now)?;
            archive.records::<Case>(Kind::Dirty, Page::default())
        });
        let marked: Vec<String> =
            marked.unwrap().into_iter().map(|record| record.body.period).collect();
        assert_eq!(marked, ["2027-01"]);
        let told = troubles::all(&archive).unwrap();
        assert!(
            told.values().any(|trouble| trouble.finding.kind == FindingKind::ClockAhead),
            "{told:?}"
        );
    }
}
