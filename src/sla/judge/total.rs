//! From the credits of single objectives to what is paid: combined, capped, rounded once, and not
//! paid below the minimum.

use crate::base::decimal::Exact;
use crate::sla::calendar::{Every, Stretch};
use crate::sla::judge::{Evaluation, Judged};
use crate::sla::terms::{Cap, CombineRule, Limit};
use crate::sla::words;

/// What is paid, and how it came about.
pub(super) struct Total {
    /// In the currency's minor unit.
    pub(super) paid: Exact,
    pub(super) steps: Vec<String>,
}

pub(super) fn of(evaluation: &Evaluation<'_>, judged: &[Judged<'_>]) -> Total {
    let mut steps = Vec::new();
    let mut left: Vec<&Judged<'_>> = judged.iter().collect();
    let mut sum = Exact::zero();
    for combine in &evaluation.contract.combines {
        let credit = |id: &String| {
            judged.iter().find(|each| each.objective.id == *id).map(|each| each.credit.clone())
        };
        let credits: Vec<Exact> = combine.objectives.iter().filter_map(credit).collect();
        left.retain(|each| !combine.objectives.contains(&each.objective.id));
        let one = match combine.rule {
            CombineRule::Sum => credits.iter().cloned().sum(),
            CombineRule::Max => credits.iter().max().cloned().unwrap_or_else(Exact::zero),
            CombineRule::First => {
                let earned = credits.iter().find(|credit| credit.is_positive());
                earned.cloned().unwrap_or_else(Exact::zero)
            }
        };
        let of =
            words::list(&combine.objectives.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>());
        steps.push(format!("{} of {of}: {}", combine.rule, evaluation.money(&one)));
        sum = &sum + &one;
    }
    let alone: Exact = left.iter().map(|each| each.credit.clone()).sum();
    sum = &sum + &alone;
    steps.push(format!("all credits together: {}", evaluation.money(&sum)));
    for cap in &evaluation.contract.caps {
        sum = capped(evaluation, cap, sum, &mut steps);
    }
    let decimals = evaluation.contract.agreement.currency.decimals;
    let mut paid = sum.round(decimals, evaluation.rounding());
    let minimum = evaluation.contract.claim.as_ref().and_then(|claim| claim.minimum.as_ref());
    if let Some(minimum) = minimum.filter(|minimum| paid < **minimum && paid.is_positive()) {
        steps.push(format!(
            "{} is below the minimum of {}, and is not paid",
            evaluation.money(&paid),
            evaluation.money(minimum)
        ));
        paid = Exact::zero();
    }
    Total { paid, steps }
}

fn capped(evaluation: &Evaluation<'_>, cap: &Cap, sum: Exact, steps: &mut Vec<String>) -> Exact {
    let every = cap.per.every();
    let last = Stretch::holding(every, evaluation.asked.last, evaluation.zone);
    // A period asked for that is longer than the cap's span has room for as many as it holds.
    let first = match evaluation.asked.every {
        Every::Rolling(_) => last,
        _ => Stretch::holding(every, evaluation.asked.first, evaluation.zone),
    };
    let (of_span, of_asked) =
        (every.months().unwrap_or(1), evaluation.asked.every.months().unwrap_or(1));
    let spans = (of_asked / of_span).max(1);
    let each = match &cap.limit {
        Limit::Amount(amount) => amount.clone(),
        Limit::Share(share) => &(share * &evaluation.mrc) * &Exact::from(of_span),
    };
    let limit = &each * &Exact::from(spans);
    let inside = |day| first.first <= day && day <= last.last;
    let paid = evaluation.facts.previous.iter().filter(|previous| inside(previous.period.last()));
    let paid: Exact = paid.map(|previous| previous.credit.clone()).sum();
    let room = (&limit - &paid).max(Exact::zero());
    let names = if first.name == last.name {
        last.name.to_string()
    } else {
        format!("{} to {}", first.name, last.name)
    };
    if sum <= room {
        return sum;
    }
    steps.push(format!(
        "cap per {} ({}) in {names}: {} less {} paid before: {}",
        cap.per,
        cap.written,
        evaluation.money(&limit),
        evaluation.money(&paid),
        evaluation.money(&room)
    ));
    room
}
