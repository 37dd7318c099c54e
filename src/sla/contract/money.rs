//! Remedies: drivers, forms, and credits as they are written.

use crate::base::decimal::Exact;
use crate::sla::reader::{self, Need, Node, Reader};
use crate::sla::terms::{Bound, Credit, CreditKind, Driver, Form, Gaps, Metric, Remedy, Tier};

/// `[objective.remedy]`.
pub(super) fn remedy(
    table: Reader<'_>,
    metric: Option<Metric>,
    target: Option<&Exact>,
) -> Option<Remedy> {
    let need = || Need::By("every remedy".to_owned());
    let driver: Option<Driver> = table.get("driver", need(), reader::word);
    if let (Some(driver), Some(metric)) = (driver, metric)
        && !suits(driver, metric)
    {
        table.fault(
            "driver",
            format!("\"{driver}\" needs downtime, which metric \"{metric}\" has not"),
        );
    }
    if driver == Some(Driver::ExcessPercent) && target.is_some_and(Exact::is_zero) {
        table.fault(
            "driver",
            "\"excess_percent\" of target 0 cannot be worked out: use \"shortfall\"",
        );
    }
    let form = form(&table);
    let relative = FORMS.iter().filter_map(|form| table.node(form, Need::Optional)).any(has_share);
    let base = table.get("base", Need::when(relative, "a credit that is a share"), reader::word);
    let requires_ticket = table.get("requires_ticket", need(), reader::truth);
    table.done();
    Some(Remedy { driver: driver?, base, form: form?, requires_ticket: requires_ticket? })
}

/// Whether a metric has what a driver grows with.
fn suits(driver: Driver, metric: Metric) -> bool {
    match driver {
        Driver::ExcessDowntime => metric == Metric::Availability,
        Driver::Downtime | Driver::Event | Driver::Days => {
            matches!(metric, Metric::Availability | Metric::TimeToRestore | Metric::TimeToNotify)
        }
        _ => true,
    }
}

const FORMS: [&str; 4] = ["tiers", "per_unit", "blocks", "escalation"];

/// Whether a form, though it may be broken, has a credit that is a share of the base.
fn has_share(node: &Node) -> bool {
    match node {
        Node::Text(_) => credit(node).is_ok_and(|credit| credit.is_relative()),
        Node::List(all) => all.iter().any(has_share),
        Node::Table(table) => table.get("credit").is_some_and(has_share),
        _ => false,
    }
}

fn form(table: &Reader<'_>) -> Option<Form> {
    let forms: Vec<&str> = FORMS.into_iter().filter(|key| table.has(key)).collect();
    let gaps = table.get("gaps", Need::Optional, reader::word::<Gaps>);
    match forms[..] {
        ["tiers"] => tiers(table, gaps.is_some()),
        ["per_unit"] => per_unit(table),
        ["blocks"] => blocks(table),
        ["escalation"] => {
            let credits = table.list("escalation", Need::Optional, credit)?;
            if credits.is_empty() {
                table.fault("escalation", "is empty: name at least one credit");
                return None;
            }
            Some(Form::Escalation(credits))
        }
        [] => {
            table.fault("", "has no form: expected one of tiers, per_unit, blocks, escalation");
            None
        }
        _ => {
            table.fault("", format!("has several forms, {}: keep one", forms.join(", ")));
            for form in forms {
                table.node(form, Need::Optional);
            }
            None
        }
    }
}

fn per_unit(table: &Reader<'_>) -> Option<Form> {
    let inner = table.table("per_unit", Need::Optional)?;
    let need = || Need::By("per_unit".to_owned());
    let unit = inner.get("unit", need(), positive);
    let rounding = inner.get("rounding", need(), reader::word);
    let credit = inner.get("credit", need(), credit);
    inner.done();
    Some(Form::PerUnit { unit: unit?, rounding: rounding?, credit: credit? })
}

fn blocks(table: &Reader<'_>) -> Option<Form> {
    let inner = table.tables("blocks", Need::Optional)?;
    if inner.is_empty() {
        table.fault("blocks", "is empty: name at least one block");
        return None;
    }
    let read = |block: Reader<'_>| {
        let size = block.get("size", Need::By("every block".to_owned()), positive);
        let credit = block.get("credit", Need::By("every block".to_owned()), credit);
        block.done();
        Some((size?, credit?))
    };
    let all: Vec<Option<(Exact, Credit)>> = inner.into_iter().map(read).collect();
    Some(Form::Blocks(all.into_iter().collect::<Option<_>>()?))
}

fn positive(node: &Node) -> Result<Exact, String> {
    let figure = reader::figure(node)?;
    if figure.value.is_positive() {
        Ok(figure.value)
    } else {
        Err(format!("{} is not above 0", figure.written))
    }
}

/// A tier with its place in the file, counted from 1.
type Numbered = (usize, Tier);

fn tiers(table: &Reader<'_>, gaps_allowed: bool) -> Option<Form> {
    let inner = table.tables("tiers", Need::Optional)?;
    if inner.is_empty() {
        table.fault("tiers", "is empty: name at least one tier");
        return None;
    }
    let read: Vec<Option<Numbered>> =
        inner.into_iter().zip(1..).map(|(tier, number)| Some((number, one_tier(tier)?))).collect();
    let mut all: Vec<Numbered> = read.into_iter().collect::<Option<_>>()?;
    all.sort_by(|(_, a), (_, b)| low_key(a).cmp(&low_key(b)));
    for pair in all.windows(2) {
        let ((first, below), (second, above)) = (&pair[0], &pair[1]);
        let place = format!("tiers[{second}]");
        match meeting(below, above) {
            Meeting::Fits => {}
            Meeting::Overlaps => table.fault(&place, format!("overlaps tiers[{first}]")),
            Meeting::Hole if gaps_allowed => {}
            Meeting::Hole => {
                let what = format!(
                    "there is a hole between tiers[{first}] and it: close it, or say gaps \
                        = \"no_credit\""
                );
                table.fault(&place, what);
            }
        }
    }
    Some(Form::Tiers(all.into_iter().map(|(_, tier)| tier).collect()))
}

fn one_tier(table: Reader<'_>) -> Option<Tier> {
    let bound = |outer: &'static str, inner: &'static str| {
        let outer_value = table.get(outer, Need::Optional, reader::figure);
        let inner_value = table.get(inner, Need::Optional, reader::figure);
        match (outer_value, inner_value) {
            (Some(_), Some(_)) => {
                table.fault("", format!("has both {outer} and {inner}: keep one"));
                None
            }
            (Some(figure), None) => Some((figure.value, Bound::Exclusive)),
            (None, Some(figure)) => Some((figure.value, Bound::Inclusive)),
            (None, None) => None,
        }
    };
    let low = bound("over", "from");
    let high = bound("below", "upto");
    let credit = table.get("credit", Need::By("every tier".to_owned()), credit);
    let bounds = ["over", "from", "below", "upto"].iter().filter(|key| table.gives(key)).count();
    // Of a bound that cannot be read nobody knows what it overlaps.
    let readable = bounds == usize::from(low.is_some()) + usize::from(high.is_some());
    if bounds == 0 {
        table.fault("", "has no bounds: expected over or from, and upto or below");
    }
    if let (Some((low, from)), Some((high, to))) = (&low, &high) {
        let empty =
            low > high || (low == high && (*from, *to) != (Bound::Inclusive, Bound::Inclusive));
        if empty {
            table.fault("", format!("nothing lies in it: it ends at {high}, and begins at {low}"));
        }
    }
    table.done();
    Some(Tier { low, high, credit: credit? }).filter(|_| bounds > 0 && readable)
}

/// Orders tiers by where they begin; one without a lower bound is the first.
fn low_key(tier: &Tier) -> Option<(&Exact, bool)> {
    tier.low.as_ref().map(|(low, bound)| (low, *bound == Bound::Exclusive))
}

enum Meeting {
    Fits,
    Overlaps,
    Hole,
}

fn meeting(below: &Tier, above: &Tier) -> Meeting {
    let (Some((high, to)), Some((low, from))) = (&below.high, &above.low) else {
        return Meeting::Overlaps;
    };
    match (high.cmp(low), to, from) {
        (std::cmp::Ordering::Greater, _, _) => Meeting::Overlaps,
        (std::cmp::Ordering::Equal, Bound::Inclusive, Bound::Inclusive) => Meeting::Overlaps,
        (std::cmp::Ordering::Equal, Bound::Exclusive, Bound::Exclusive) => Meeting::Hole,
        (std::cmp::Ordering::Equal, _, _) => Meeting::Fits,
        (std::cmp::Ordering::Less, _, _) => Meeting::Hole,
    }
}

/// A percentage, such as `5%`, as a share.
pub(super) fn share(text: &str) -> Result<Exact, String> {
    let fault = || format!("{text:?} is not a percentage, such as \"5%\"");
    let number = Exact::parse(text.strip_suffix('%').ok_or_else(fault)?).map_err(|_| fault())?;
    if number.is_negative() {
        return Err(format!("{text:?} is negative"));
    }
    number.over(&Exact::hundred()).ok_or_else(fault)
}

/// A credit: `5%`, `1/30`, `1/days`, or an amount, `25.00`.
fn credit(node: &Node) -> Result<Credit, String> {
    let fault = || {
        format!(
            "{} is no credit: expected \"5%\", \"1/30\", \"1/days\" or an amount, \"25.00\"",
            node.kind()
        )
    };
    let kind = match node {
        Node::Text(text) if text == "1/days" => CreditKind::PerDay,
        Node::Text(text) if text.ends_with('%') => CreditKind::Share(share(text)?),
        Node::Text(text) if text.contains('/') => {
            let (top, bottom) = text.split_once('/').ok_or_else(fault)?;
            let (top, bottom) = (
                Exact::parse(top).map_err(|_| fault())?,
                Exact::parse(bottom).map_err(|_| fault())?,
            );
            if top.is_negative() || !bottom.is_positive() {
                return Err(fault());
            }
            CreditKind::Share(top.over(&bottom).ok_or_else(fault)?)
        }
        Node::Text(_) | Node::Whole(_) => {
            let figure = reader::figure(node).map_err(|_| fault())?;
            if figure.value.is_negative() {
                return Err(format!("{} is negative", figure.written));
            }
            CreditKind::Amount(figure.value)
        }
        Node::Real(_) => return Err(reader::figure(node).err().unwrap_or_else(fault)),
        _ => return Err(fault()),
    };
    let written = match node {
        Node::Text(text) => text.clone(),
        other => other.kind(),
    };
    Ok(Credit { written, kind })
}

impl Credit {
    /// Whether it is a share of the base.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        !matches!(self.kind, CreditKind::Amount(_))
    }
}
