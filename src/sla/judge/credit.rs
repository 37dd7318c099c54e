//! Remedies: from what the driver grows with to a credit, exactly. Money is rounded only when it is
//! written.

use crate::base::decimal::Exact;
use crate::sla::judge::{Evaluation, Grown, Judged};
use crate::sla::report::Outcome;
use crate::sla::terms::{
    Base, Bound, Credit, CreditKind, Driver, Form, Remedy, Tier, UnitRounding,
};
use crate::sla::words;

/// Gives an objective the credit that it earns by itself.
pub(super) fn earn(evaluation: &Evaluation<'_>, judged: &mut Judged<'_>) {
    let Some(remedy) = &judged.objective.remedy else { return };
    let mut steps = Vec::new();
    if !evaluation.is_due(&judged.stretch) {
        // Else it would be paid in each of the shorter periods that its own is made of.
        let (own, due) = (judged.stretch.name, evaluation.asked.every.holding(judged.stretch.last));
        judged.steps.push(format!(
            "what {own} earns stands in the verdict of {due}, in which it ends: nothing here"
        ));
        return;
    }
    judged.credit = match judged.outcome {
        Outcome::NotDetermined => {
            steps.push("not determined: nothing is earned".to_owned());
            Exact::zero()
        }
        _ if remedy.driver == Driver::Event => {
            let (credit, earned) = by_event(evaluation, judged, remedy, &mut steps);
            judged.earned = Some(earned);
            credit
        }
        _ => earned(evaluation, judged, remedy, &mut steps),
    };
    judged.steps.extend(steps);
}

/// What each outage earns by itself, all together, and which of them earned something.
fn by_event(
    evaluation: &Evaluation<'_>,
    judged: &Judged<'_>,
    remedy: &Remedy,
    steps: &mut Vec<String>,
) -> (Exact, Vec<usize>) {
    let purse = Purse { evaluation, judged, base: base(evaluation, remedy.base) };
    let (mut all, mut earned, mut each) = (Exact::zero(), Vec::new(), Vec::new());
    for Grown { at, length, ticketed } in &judged.growth.events {
        if remedy.requires_ticket && !ticketed {
            each.push(format!(
                "the outage of {length} s has no ticket opened in time: nothing is earned by it"
            ));
            continue;
        }
        let credit = purse.by_form(remedy, length, &mut each);
        earned.extend(credit.is_positive().then_some(*at));
        all = &all + &credit;
    }
    words::some(steps, &each, String::clone);
    steps.push(match judged.growth.events.is_empty() {
        true => "driver event: no outage begins in the period, nothing is earned".to_owned(),
        false => format!("together: {}", evaluation.money(&all)),
    });
    (all, earned)
}

fn earned(
    evaluation: &Evaluation<'_>,
    judged: &Judged<'_>,
    remedy: &Remedy,
    steps: &mut Vec<String>,
) -> Exact {
    let growth = &judged.growth;
    let purse = Purse { evaluation, judged, base: base(evaluation, remedy.base) };
    if remedy.requires_ticket && !growth.ticketed {
        steps.push("no outage has a ticket opened in time: nothing is earned".to_owned());
        return Exact::zero();
    }
    let Some(x) = driven(judged, remedy.driver) else {
        steps.push(format!(
            "driver {}: the target was not missed, nothing is earned",
            remedy.driver
        ));
        return Exact::zero();
    };
    purse.by_form(remedy, &x, steps)
}

/// What the driver gives; absent when it needs a breach and there is none.
fn driven(judged: &Judged<'_>, driver: Driver) -> Option<Exact> {
    let (objective, growth) = (judged.objective, &judged.growth);
    let missed_by = || {
        let actual = judged.actual.as_ref().filter(|_| judged.is_breached())?;
        Some((actual - &objective.target.value).abs())
    };
    Some(match driver {
        Driver::Breach => {
            if judged.is_breached() {
                Exact::one()
            } else {
                Exact::zero()
            }
        }
        Driver::Downtime => growth.downtime.clone(),
        Driver::ExcessDowntime => growth.excess.clone(),
        Driver::Event => return None,
        Driver::Days => Exact::from(growth.days.len() as u64),
        Driver::Actual => judged.actual.clone()?,
        Driver::Shortfall => missed_by()?,
        Driver::ExcessPercent => {
            (&missed_by()? * &Exact::hundred()).over(&objective.target.value)?
        }
        Driver::Count => growth.count.clone(),
    })
}

/// What relative credits are shares of.
fn base(evaluation: &Evaluation<'_>, base: Option<Base>) -> (Exact, &'static str) {
    match base {
        Some(Base::Usage) => (evaluation.usage.clone(), "the usage charge"),
        Some(Base::Greater) if evaluation.usage > evaluation.mrc => {
            (evaluation.usage.clone(), "the usage charge")
        }
        _ => (evaluation.mrc.clone(), "the monthly charge"),
    }
}

/// The base of a remedy, and what else turns a written credit into money.
struct Purse<'a> {
    evaluation: &'a Evaluation<'a>,
    judged: &'a Judged<'a>,
    base: (Exact, &'static str),
}

impl Purse<'_> {
    fn worth(&self, credit: &Credit) -> Exact {
        match &credit.kind {
            CreditKind::Amount(amount) => amount.clone(),
            CreditKind::Share(share) => share * &self.base.0,
            CreditKind::PerDay => {
                let days = Exact::from(self.judged.stretch.days());
                self.base.0.over(&days).expect("a period has at least one day")
            }
        }
    }

    /// A credit in words: `5% of the monthly charge of 4000.00 GBP`.
    fn told(&self, credit: &Credit) -> String {
        match credit.kind {
            CreditKind::Amount(_) => {
                format!("{} {}", credit.written, self.evaluation.contract.agreement.currency.code)
            }
            _ => format!(
                "{} of {}, {}",
                credit.written,
                self.base.1,
                self.evaluation.money(&self.base.0)
            ),
        }
    }

    fn by_form(&self, remedy: &Remedy, x: &Exact, steps: &mut Vec<String>) -> Exact {
        let unit = match remedy.driver {
            Driver::Downtime | Driver::ExcessDowntime | Driver::Event => " s",
            Driver::Days => " days",
            Driver::ExcessPercent => " %",
            _ => "",
        };
        let head = format!("driver {}: {x}{unit}", remedy.driver);
        if x.is_zero() && remedy.driver != Driver::Actual {
            steps.push(format!("{head}, nothing is earned"));
            return Exact::zero();
        }
        let (worth, how) = match &remedy.form {
            Form::Tiers(tiers) => self.tiers(tiers, x),
            Form::PerUnit { unit, rounding, credit } => self.per_unit(unit, *rounding, credit, x),
            Form::Blocks(blocks) => self.blocks(blocks, x),
            Form::Escalation(credits) => self.escalation(credits, x),
        };
        steps.push(format!("{head}; {how} = {}", self.evaluation.money(&worth)));
        worth
    }

    fn tiers(&self, tiers: &[Tier], x: &Exact) -> (Exact, String) {
        match tiers.iter().find(|tier| tier.holds(x)) {
            Some(tier) => (
                self.worth(&tier.credit),
                format!("tier {}: {}", tier.told(), self.told(&tier.credit)),
            ),
            None => (Exact::zero(), "no tier holds it: 0".to_owned()),
        }
    }

    fn per_unit(
        &self,
        unit: &Exact,
        rounding: UnitRounding,
        credit: &Credit,
        x: &Exact,
    ) -> (Exact, String) {
        let units = x.over(unit).expect("a contract has positive units only");
        let units = match rounding {
            UnitRounding::Up => units.ceil(),
            UnitRounding::Down => units.floor(),
            UnitRounding::Exact => units,
        };
        let how = format!(
            "{x} / {unit}, {} = {units} units of {}",
            rounding_told(rounding),
            self.told(credit)
        );
        (&units * &self.worth(credit), how)
    }

    fn blocks(&self, blocks: &[(Exact, Credit)], x: &Exact) -> (Exact, String) {
        let mut left = x.clone();
        let mut worth = Exact::zero();
        let mut parts = Vec::new();
        for (number, (size, credit)) in blocks.iter().enumerate() {
            if !left.is_positive() {
                break;
            }
            let times = if number + 1 == blocks.len() {
                left.over(size).expect("a contract has positive blocks only").ceil()
            } else {
                Exact::one()
            };
            worth = &worth + &(&times * &self.worth(credit));
            parts.push(format!("{times} of {size} at {}", credit.written));
            left = &left - &(&times * size);
        }
        (
            worth,
            format!(
                "blocks begun: {}, of {}",
                words::list(&parts),
                self.evaluation.money(&self.base.0)
            ),
        )
    }

    fn escalation(&self, credits: &[Credit], x: &Exact) -> (Exact, String) {
        if !self.judged.is_breached() {
            return (Exact::zero(), "the period is not breached: 0".to_owned());
        }
        let before =
            self.evaluation.breached_in_a_row(&self.judged.stretch, &self.judged.objective.id);
        let credit = credits.get(before).or_else(|| credits.last());
        let Some(credit) = credit else { return (Exact::zero(), "no step".to_owned()) };
        let how =
            format!("breached period number {} in a row: {x} × {}", before + 1, self.told(credit));
        (x * &self.worth(credit), how)
    }
}

fn rounding_told(rounding: UnitRounding) -> &'static str {
    match rounding {
        UnitRounding::Up => "each begun one whole",
        UnitRounding::Down => "whole ones only",
        UnitRounding::Exact => "in proportion",
    }
}

impl Tier {
    /// Whether it holds a number.
    pub(in crate::sla) fn holds(&self, x: &Exact) -> bool {
        let above = match &self.low {
            None => true,
            Some((low, Bound::Inclusive)) => x >= low,
            Some((low, Bound::Exclusive)) => x > low,
        };
        let below = match &self.high {
            None => true,
            Some((high, Bound::Inclusive)) => x <= high,
            Some((high, Bound::Exclusive)) => x < high,
        };
        above && below
    }

    /// In words: `over 2700 upto 14400`.
    fn told(&self) -> String {
        let low = self.low.as_ref().map(|(low, bound)| match bound {
            Bound::Inclusive => format!("from {low}"),
            Bound::Exclusive => format!("over {low}"),
        });
        let high = self.high.as_ref().map(|(high, bound)| match bound {
            Bound::Inclusive => format!("upto {high}"),
            Bound::Exclusive => format!("below {high}"),
        });
        [low, high].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}
