//! Who is let in: [enrolment].

use std::path::Path;
use std::time::Duration;

use crate::config::written::Section;

use super::{Enrolment, Waiting, number, tokens, tokens_in};

pub(super) fn waiting(section: &Section<'_>) -> Waiting {
    let usual = Waiting::default();
    Waiting {
        all: number(section, "pending", 1..=1_000_000).unwrap_or(usual.all),
        from_one: number(section, "pending_per_address", 1..=1_000_000).unwrap_or(usual.from_one),
        long: section
            .duration("pending_for", Duration::from_secs(3600)..=Duration::from_secs(400 * 86_400))
            .unwrap_or(usual.long),
    }
}

pub(super) fn enrolment(section: &Section<'_>, beside: &Path) -> Option<Enrolment> {
    #[derive(Clone, Copy)]
    enum Mode {
        Token,
        Operator,
        Open,
    }
    let modes = [("token", Mode::Token), ("operator", Mode::Operator), ("open", Mode::Open)];
    let mode = section.one_of("mode", &modes);
    if !section.has("mode") {
        section.fault("mode is missing: token, operator or open");
    }
    match mode? {
        Mode::Token => {
            tokens_in(section, beside, |text| tokens::enrolment(text).1).map(Enrolment::Token)
        }
        // A token file may stay in the file while another mode is tried.
        Mode::Operator => section
            .text("token_file")
            .map_or(Some(Enrolment::Operator), |_| Some(Enrolment::Operator)),
        Mode::Open => {
            section.text("token_file").map_or(Some(Enrolment::Open), |_| Some(Enrolment::Open))
        }
    }
}
