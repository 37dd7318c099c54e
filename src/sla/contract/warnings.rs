//! What is right by the format and is likely not what was meant: told beside a contract that is
//! judged by all the same.

use crate::base::decimal::Exact;
use crate::sla::contract::{END, Written, ancestry, resolve};
use crate::sla::fault::Fault;
use crate::sla::reader::Faults;
use crate::sla::terms::{
    Contract, Credit, CreditKind, Driver, EventStatistic, Form, Limit, Metric, Objective, Op,
    Remedy, Unit, UnitRounding,
};

/// What may be a mistake in a contract that has no faults, each with its place. One with faults has
/// no doubts: those come first.
#[must_use]
pub fn warnings(own: &Written, others: &[Written]) -> Vec<Fault> {
    let Ok(contract) = resolve(own, others) else { return Vec::new() };
    let line = ancestry(own, others, END, &Faults::default());
    let file = |section: &str| line.holder(section).unwrap_or(own).file().to_owned();
    let objectives = file("objective");
    let mut all = Vec::new();
    all.extend(zone(&contract).map(|what| Fault::new(own.file(), "agreement.timezone", what)));
    for objective in &contract.objectives {
        let of = of_objective(&contract, objective).into_iter();
        all.extend(of.map(|(key, what)| {
            Fault::new(&objectives, format!("objective {:?}: {key}", objective.id), what)
        }));
    }
    all.extend(
        limits(&contract)
            .map(|(number, what)| Fault::new(&file("cap"), format!("cap {number}: limit"), what)),
    );
    let tickets = |objective: &&Objective| {
        objective.remedy.as_ref().is_some_and(|remedy| remedy.requires_ticket)
    };
    let untimed = contract.claim.as_ref().is_some_and(|claim| claim.ticket_within.is_none());
    if let Some(objective) = contract.objectives.iter().find(tickets).filter(|_| untimed) {
        let what = format!(
            "objective {:?} requires tickets, and none can be late: say ticket_within",
            objective.id
        );
        all.push(Fault::new(&file("claim"), "claim.ticket_within", what));
    }
    all
}

/// Abbreviations and fixed offsets that have no summer time, beside the zones that people mean by
/// them.
const WITHOUT_SUMMER: [(&str, &str); 4] = [
    ("EST", "America/New_York"),
    ("MST", "America/Denver"),
    ("GMT", "Europe/London"),
    ("HST", "America/Adak"),
];

fn zone(contract: &Contract) -> Option<String> {
    let written = contract.agreement.timezone.name();
    if let Some((name, place)) =
        WITHOUT_SUMMER.iter().find(|(name, _)| written.eq_ignore_ascii_case(name))
    {
        return Some(format!(
            "{name:?} has no summer time all year: where the clocks change, say {place:?} or the \
                like"
        ));
    }
    let fixed = written.to_ascii_lowercase();
    (fixed.starts_with("etc/gmt") && fixed.len() > "etc/gmt".len()).then(|| {
        format!(
            "{written:?} has no summer time, and its sign is the other way round: name a \
            place, such as \"Europe/Berlin\""
        )
    })
}

fn of_objective(contract: &Contract, objective: &Objective) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let Objective { metric, op, target, unit, .. } = objective;
    let is_share = matches!(metric, Metric::Availability | Metric::Delivery);
    if is_share && matches!(op, Op::AtMost | Op::Below) {
        all.push((
            "op",
            format!("\"{op}\" asks for little {metric}: \">=\" is what contracts promise"),
        ));
    }
    if is_share && *unit == Unit::Percent && target.value <= Exact::one() {
        let what =
            format!("{} percent is next to nothing: \"99.9\", or unit = \"ratio\"", target.written);
        all.push(("target", what));
    }
    let Some(remedy) = &objective.remedy else { return all };
    let credits = credits(&remedy.form);
    if credits.iter().any(|credit| is_percent(credit)) {
        let plain = credits.iter().filter(|credit| matches!(credit.kind, CreditKind::Amount(_)));
        all.extend(plain.map(|credit| {
            let (written, currency) = (&credit.written, &contract.agreement.currency.code);
            (
                "remedy",
                format!(
                    "the credit {written:?} is {written} {currency}, among others in percent: \
                    is it {written}%?"
                ),
            )
        }));
    }
    if pays_when_met(objective, remedy) {
        let what = "driver \"count\" pays though the target is met: let what it pays for begin \
            above the target";
        all.push(("remedy.driver", what.to_owned()));
    }
    all
}

fn credits(form: &Form) -> Vec<&Credit> {
    match form {
        Form::Tiers(tiers) => tiers.iter().map(|tier| &tier.credit).collect(),
        Form::PerUnit { credit, .. } => vec![credit],
        Form::Blocks(blocks) => blocks.iter().map(|(_, credit)| credit).collect(),
        Form::Escalation(credits) => credits.iter().collect(),
    }
}

fn is_percent(credit: &Credit) -> bool {
    credit.written.ends_with('%')
}

/// Caps in plain amounts where credits or other caps are in percent, by their places in the file's
/// order of spans.
fn limits(contract: &Contract) -> impl Iterator<Item = (usize, String)> {
    let relative = |limit: &Limit| matches!(limit, Limit::Share(_));
    let remedies = contract.objectives.iter().filter_map(|objective| objective.remedy.as_ref());
    let percent = contract.caps.iter().any(|cap| relative(&cap.limit))
        || remedies.flat_map(|remedy| credits(&remedy.form)).any(is_percent);
    let currency = contract.agreement.currency.code.clone();
    let plain = (1..).zip(&contract.caps).filter(move |(_, cap)| percent && !relative(&cap.limit));
    plain.map(move |(number, cap)| {
        let written = &cap.written;
        (
            number,
            format!(
                "{written:?} is {written} {currency}, among others in percent: is it {written}%?"
            ),
        )
    })
}

/// Whether a credit by `count` is earned for some count with which the target is met.
fn pays_when_met(objective: &Objective, remedy: &Remedy) -> bool {
    if remedy.driver != Driver::Count || matches!(remedy.form, Form::Escalation(_)) {
        return false;
    }
    match objective.metric {
        // What is counted is beyond the target, of which a mean says nothing.
        Metric::TimeToRestore | Metric::TimeToNotify => {
            objective.aggregate.statistic == Some(EventStatistic::Mean)
        }
        Metric::Count => {
            let tiers = if let Form::Tiers(tiers) = &remedy.form { tiers.as_slice() } else { &[] };
            let bounds = tiers
                .iter()
                .flat_map(|tier| [&tier.low, &tier.high])
                .flatten()
                .map(|(bound, _)| bound.clone());
            let beside = bounds.flat_map(|bound| [bound.clone(), &bound + &Exact::one()]);
            let mut counts = beside.chain([Exact::one(), objective.target.value.clone()]);
            counts.any(|x| {
                x.is_positive()
                    && objective.op.holds(&x, &objective.target.value)
                    && pays(&remedy.form, &x)
            })
        }
        // A fact of that name has nothing to do with the target.
        _ => true,
    }
}

fn pays(form: &Form, x: &Exact) -> bool {
    match form {
        Form::Tiers(tiers) => tiers.iter().any(|tier| tier.holds(x) && is_worth(&tier.credit)),
        Form::PerUnit { unit, rounding, credit } => {
            is_worth(credit) && (*rounding != UnitRounding::Down || x >= unit)
        }
        Form::Blocks(blocks) => blocks.first().is_some_and(|(_, credit)| is_worth(credit)),
        Form::Escalation(_) => false,
    }
}

fn is_worth(credit: &Credit) -> bool {
    match &credit.kind {
        CreditKind::Share(share) => share.is_positive(),
        CreditKind::PerDay => true,
        CreditKind::Amount(amount) => amount.is_positive(),
    }
}
