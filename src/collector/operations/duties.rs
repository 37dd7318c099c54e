//! What the parties have to do, by when, as the verdicts say it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::base::time::Wall;
use crate::collector::verdicts::Judgement;

/// What a party had to do, by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DutyView {
    /// The contract.
    pub contract: String,
    /// The service.
    pub service: String,
    /// The period.
    pub period: String,
    /// Which duty of the contract.
    pub duty: String,
    /// Who must: customer or provider.
    pub party: String,
    /// By when.
    #[schema(value_type = String, format = DateTime)]
    pub due: Wall,
    /// When it was done, as far as the facts say.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done: Option<Wall>,
    /// `kept`, `late`, `open` or `overdue`.
    pub state: String,
}

/// The duties of some verdicts, as they stand at an instant, by when they are due.
#[must_use]
pub fn of<'a>(all: impl IntoIterator<Item = &'a Judgement>, now: Wall) -> Vec<DutyView> {
    let mut duties = Vec::new();
    for of in all {
        for duty in of.report.iter().flat_map(|report| &report.duties) {
            let state = match duty.kept {
                Some(true) => "kept",
                Some(false) => "late",
                None if duty.due < now => "overdue",
                None => "open",
            };
            duties.push(DutyView {
                contract: of.contract.clone(),
                service: of.service.clone(),
                period: of.period.clone(),
                duty: duty.id.clone(),
                party: duty.party.to_string(),
                due: duty.due,
                done: duty.done,
                state: state.to_owned(),
            });
        }
    }
    duties.sort_by(|one, two| {
        (one.due, &one.contract, &one.service).cmp(&(two.due, &two.contract, &two.service))
    });
    duties
}
