//! What must be done by when, by a report: a ticket, the claim, rights, duties.

use crate::sla::calendar::{Day, Zone};
use crate::sla::deadline::{Deadline, DeadlineKind};
use crate::sla::report::{Report, TicketDue};

/// All deadlines that a report names, the earliest first.
pub(super) fn of(report: &Report, zone: &Zone) -> Vec<Deadline> {
    let after = |day: Day| zone.midnight(day.plus(1));
    let mut all = Vec::new();
    let service = &report.service;
    if let Some(TicketDue { by, kept }) = report.ticket {
        all.push(Deadline {
            kind: DeadlineKind::Ticket,
            id: service.clone(),
            what: format!("open a ticket for the first outage of {service} in {}", report.period),
            by: by.to_string(),
            ends: by,
            kept,
        });
    }
    if let Some(by) = report.claim.by {
        all.push(Deadline {
            kind: DeadlineKind::Claim,
            id: service.clone(),
            what: format!(
                "claim {} {} for {service} in {}",
                report.credit, report.currency, report.period
            ),
            by: by.to_string(),
            ends: after(by),
            kept: None,
        });
    }
    for right in &report.terminations {
        all.push(Deadline {
            kind: DeadlineKind::Exercise,
            id: right.id.clone(),
            what: format!("the {} may terminate {service}: {}", right.by, right.why),
            by: right.exercise_by.to_string(),
            ends: after(right.exercise_by),
            kept: None,
        });
    }
    for duty in &report.duties {
        all.push(Deadline {
            kind: DeadlineKind::Duty,
            id: duty.id.clone(),
            what: format!("the {} must {}", duty.party, duty.what),
            by: duty.due.to_string(),
            ends: duty.due,
            kept: duty.kept,
        });
    }
    all.sort_by_key(|deadline| deadline.ends);
    all
}
