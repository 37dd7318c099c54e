//! `[[objective]]`: what is promised, and what each of the six steps does with it.

use std::time::Duration;

use crate::base::decimal::Exact;
use crate::sla::calendar::{Every, whole_days};
use crate::sla::contract::{every, identifier, money, sections};
use crate::sla::reader::{self, Figure, Need, Node, Reader};
use crate::sla::terms::{
    Aggregate, CarrierLoss, Definition, DefinitionWord, DenominatorWord, Measure, Metric,
    Objective, OutageTerms, Qualify, SpanWord, Split, Statistic, Unit,
};

/// One `[[objective]]`.
pub(super) fn objective(table: &Reader<'_>) -> Option<Objective> {
    let id = table.get("id", every("objective"), identifier);
    let metric: Option<Metric> = table.get("metric", every("objective"), reader::word);
    let services = table.list("service", Need::Optional, identifier);
    if services.as_ref().is_some_and(Vec::is_empty) {
        table.fault("service", "is empty: name a service, or leave it out for all");
    }
    let severity = table.get("severity", Need::Optional, reader::word);
    let unit: Option<Unit> = table.get("unit", every("objective"), reader::word);
    let op = table.get("op", every("objective"), reader::word);
    let target = table.get("target", every("objective"), reader::unsigned);

    let is_availability = metric == Some(Metric::Availability);
    let metric_name = metric.map_or(String::new(), |metric| format!("metric \"{metric}\""));
    let (definition, outage) = outage(table, is_availability, &metric_name);
    let needed = needs_probes(metric, definition);
    // Where no definition can be read, nobody knows whether probes are needed; the terms of a table
    // that is there are.
    let measured = needed || is_availability && definition.is_none();
    let measure = table
        .table("measure", Need::when(needed, &metric_name))
        .and_then(|measure| measure_terms(measure, metric.filter(|_| measured), &metric_name))
        .filter(|_| measured);
    if let (Some(metric), Some(unit)) = (metric, unit) {
        check_unit(table, metric, unit, measure.as_ref(), target.as_ref());
    }
    let qualify =
        table.table("qualify", Need::Optional).map(|qualify| qualify_terms(qualify, metric));
    let aggregate = table
        .table("aggregate", every("objective"))
        .and_then(|aggregate| aggregate_terms(aggregate, metric, &metric_name));
    let remedy = table
        .table("remedy", Need::Optional)
        .map(|remedy| money::remedy(remedy, metric, target.as_ref().map(|target| &target.value)));
    let remedy = match remedy {
        Some(read) => Some(read?),
        None => None,
    };
    let qualify = match qualify {
        Some(read) => Some(read?),
        None => None,
    };
    if is_availability && outage.is_none() || measured && measure.is_none() {
        return None;
    }
    Some(Objective {
        id: id?,
        metric: metric?,
        services,
        severity,
        unit: unit?,
        op: op?,
        target: target?,
        measure,
        outage,
        qualify,
        aggregate: aggregate?,
        remedy,
    })
}

/// `[objective.outage]`, which only availability has.
fn outage(
    table: &Reader<'_>,
    is_availability: bool,
    name: &str,
) -> (Option<DefinitionWord>, Option<OutageTerms>) {
    let outage = table.table("outage", Need::when(is_availability, name));
    match outage {
        Some(outage) if is_availability => outage_terms(outage),
        outage => {
            outage.map(idle_outage);
            (None, None)
        }
    }
}

/// Whether probes measure the metric: a figure of samples, or outages but by ticket.
fn needs_probes(metric: Option<Metric>, definition: Option<DefinitionWord>) -> bool {
    let samples = matches!(
        metric,
        Some(Metric::Rtt | Metric::Loss | Metric::Delivery | Metric::Jitter | Metric::Mos)
    );
    samples || definition.is_some_and(|definition| definition != DefinitionWord::Ticket)
}

/// A unit that the metric has, and a target that lies within it.
fn check_unit(
    table: &Reader<'_>,
    metric: Metric,
    unit: Unit,
    measure: Option<&Measure>,
    target: Option<&Figure>,
) {
    let share = [Unit::Percent, Unit::Ratio].as_slice();
    let time = [Unit::Ms, Unit::S].as_slice();
    let units = match metric {
        Metric::Availability | Metric::Loss | Metric::Delivery => share,
        // Without a statistic that can be read, either may be right.
        Metric::Rtt if measure.is_none() => &[Unit::Ms, Unit::S, Unit::Percent, Unit::Ratio],
        Metric::Rtt
            if measure.and_then(|measure| measure.statistic) == Some(Statistic::ShareOver) =>
        {
            share
        }
        Metric::Rtt | Metric::Jitter | Metric::TimeToRestore | Metric::TimeToNotify => time,
        Metric::Mos => &[Unit::Ratio, Unit::Count],
        Metric::Count => &[Unit::Count],
    };
    if !units.contains(&unit) {
        let words: Vec<String> = units.iter().map(|unit| format!("\"{unit}\"")).collect();
        table.fault(
            "unit",
            format!(
                "\"{unit}\" does not suit metric \"{metric}\": expected {}",
                words.join(" or ")
            ),
        );
        return;
    }
    let Some(target) = target else { return };
    let highest = match unit {
        Unit::Percent => 100,
        Unit::Ratio if metric != Metric::Mos => 1,
        _ => return,
    };
    if target.value > Exact::from(highest) {
        table.fault(
            "target",
            format!("{} is not from 0 to {highest}, as a target in {unit} is", target.written),
        );
    }
}

/// `[objective.measure]`; `metric` is absent where the table does not apply, and then nothing is
/// needed.
fn measure_terms(table: Reader<'_>, metric: Option<Metric>, name: &str) -> Option<Measure> {
    let applies = metric.is_some();
    let need = || Need::when(applies, name);
    let probes = table.list("probes", need(), reader::name);
    if applies && probes.as_ref().is_some_and(Vec::is_empty) {
        table.fault("probes", "is empty: name at least one probe");
    }
    let late_is = table.get("late_is", need(), reader::word);
    let min_coverage = table.get("min_coverage", need(), |node| {
        let figure = reader::unsigned(node)?;
        match figure.value > Exact::hundred() {
            true => Err(format!("{} is not from 0 to 100 percent", figure.written)),
            false => Ok(figure.value),
        }
    });
    let has_statistic = matches!(metric, Some(Metric::Rtt | Metric::Jitter));
    let statistic: Option<Statistic> =
        table.get("statistic", Need::when(has_statistic, name), reader::word);
    if let (Some(statistic), Some(metric)) = (statistic, metric)
        && has_statistic
        && statistic.is_of_jitter() != (metric == Metric::Jitter)
    {
        table.fault("statistic", format!("\"{statistic}\" is no statistic of metric \"{metric}\""));
    }
    let share_over = has_statistic && statistic == Some(Statistic::ShareOver);
    let over =
        table.get("over", Need::when(share_over, "statistic \"share_over\""), reader::duration);
    let sampled = metric.is_some_and(|metric| metric != Metric::Availability);
    let only = table.get("only_while_available", Need::when(sampled, name), reader::truth);
    table.done();
    if has_statistic && statistic.is_none() || sampled && only.is_none() {
        return None;
    }
    Some(Measure {
        probes: probes?,
        late_is: late_is?,
        min_coverage: min_coverage?,
        statistic,
        over,
        only_while_available: only.unwrap_or(false),
    })
}

/// `[objective.outage]`: the definition's word as far as it can be read, and the terms where all of
/// them can.
fn outage_terms(table: Reader<'_>) -> (Option<DefinitionWord>, Option<OutageTerms>) {
    let need = || Need::By("metric \"availability\"".to_owned());
    let word: Option<DefinitionWord> = table.get("definition", need(), reader::word);
    let definition = definition(&table, word);
    let by_probes = word.is_some_and(|word| word != DefinitionWord::Ticket);
    let by = word.map_or(String::new(), |word| format!("definition \"{word}\""));
    let carrier: Option<CarrierLoss> =
        table.get("carrier_loss_is", Need::when(by_probes, by), reader::word);
    let unknown_is = table.get("unknown_is", need(), reader::word);
    let sides = table.list("sides", need(), reader::word);
    if sides.as_ref().is_some_and(Vec::is_empty) {
        table.fault("sides", "is empty: no outage would ever count");
    }
    table.done();
    let carrier_loss_is = if by_probes { carrier } else { carrier.or(Some(CarrierLoss::Unknown)) };
    let terms = || {
        let (definition, carrier_loss_is) = (definition?, carrier_loss_is?);
        Some(OutageTerms { definition, carrier_loss_is, unknown_is: unknown_is?, sides: sides? })
    };
    (word, terms())
}

/// Reads the keys of all definitions; those of the one that holds are needed.
fn definition(table: &Reader<'_>, word: Option<DefinitionWord>) -> Option<Definition> {
    let by = word.map_or(String::new(), |word| format!("definition \"{word}\""));
    let need =
        |words: &[DefinitionWord]| Need::when(word.is_some_and(|word| words.contains(&word)), &by);
    let misses = table.get("misses", need(&[DefinitionWord::Misses]), reader::count);
    let answers = table.get("answers", need(&[DefinitionWord::Misses]), reader::count);
    let interval = table.get(
        "interval",
        need(&[DefinitionWord::LossRatio, DefinitionWord::TotalLoss]),
        reader::length,
    );
    let threshold =
        table.get("threshold", need(&[DefinitionWord::LossRatio, DefinitionWord::Mef]), |node| {
            let figure = reader::unsigned(node)?;
            match figure.value > Exact::one() {
                true => Err(format!("{} is not from 0 to 1", figure.written)),
                false => Ok(figure.value),
            }
        });
    let dt = table.get("dt", need(&[DefinitionWord::Mef]), reader::length);
    let n = table.get("n", need(&[DefinitionWord::Mef]), reader::count);
    Some(match word? {
        DefinitionWord::Misses => Definition::Misses { misses: misses?, answers: answers? },
        DefinitionWord::LossRatio => {
            Definition::LossRatio { interval: interval?, threshold: threshold? }
        }
        DefinitionWord::Mef => Definition::Mef { dt: dt?, n: n?, threshold: threshold? },
        DefinitionWord::TotalLoss => Definition::TotalLoss { interval: interval? },
        DefinitionWord::Ticket => Definition::Ticket,
    })
}

/// An `[objective.outage]` that does not apply: its keys are known, and not needed.
fn idle_outage(table: Reader<'_>) {
    let known = [
        "definition",
        "misses",
        "answers",
        "interval",
        "threshold",
        "dt",
        "n",
        "carrier_loss_is",
        "unknown_is",
        "sides",
    ];
    for key in known {
        if let Some(Node::Real(_)) = table.node(key, Need::Optional) {
            table.get(key, Need::Optional, reader::figure);
        }
    }
    table.done();
}

/// `[objective.qualify]`. Only outages are split; times to restore and to notify qualify whole.
fn qualify_terms(table: Reader<'_>, metric: Option<Metric>) -> Option<Qualify> {
    let by_event = matches!(metric, Some(Metric::TimeToRestore | Metric::TimeToNotify));
    let splits = metric == Some(Metric::Availability);
    let applies = splits || by_event;
    let longer_than = table.get("longer_than", Need::Optional, reader::duration);
    let within = table.get("within", Need::Optional, reader::length);
    if let Some(window) = within.filter(|_| applies) {
        match longer_than {
            None if !table.has("longer_than") => {
                table.fault("longer_than", "missing: within needs it")
            }
            Some(least) if least > window => {
                table.fault("within", "is shorter than longer_than: nothing would ever count");
            }
            _ => {}
        }
    }
    let first = table.get("first", Need::Optional, reader::duration);
    let first_is =
        table.get("first_is", Need::when(table.has("first") && splits, "first"), reader::word);
    let split_at = table.get("split_at", Need::when(splits, "[objective.qualify]"), reader::word);
    table.done();
    if splits && split_at.is_none() {
        return None;
    }
    Some(Qualify {
        longer_than,
        within,
        first: first.zip(first_is),
        split_at: split_at.unwrap_or(Split::None),
    })
}

/// `[objective.aggregate]`.
fn aggregate_terms(table: Reader<'_>, metric: Option<Metric>, name: &str) -> Option<Aggregate> {
    let period: Option<SpanWord> = table.get("period", Need::Optional, reader::word);
    let rolling = table.get("rolling", Need::Optional, |node| {
        let length: Duration = reader::length(node)?;
        whole_days(length).filter(|&days| days <= 3660).ok_or_else(|| {
            format!("{} is not a whole number of days up to 3660, such as \"30d\"", node.kind())
        })
    });
    match (table.has("period"), table.has("rolling")) {
        (true, true) => table.fault("rolling", "stands beside period: keep one"),
        (false, false) => table.fault("period", "missing: every objective needs it, or rolling"),
        _ => {}
    }
    let every = period.map(SpanWord::every).or(rolling.map(Every::Rolling));
    let available = metric == Some(Metric::Availability);
    let denominator: Option<DenominatorWord> =
        table.get("denominator", Need::when(available, name), reader::word);
    let fixed = denominator == Some(DenominatorWord::Fixed);
    let minutes = table.get(
        "fixed_minutes",
        Need::when(fixed && available, "denominator \"fixed\""),
        |node| {
            let figure = reader::figure(node)?;
            match figure.value.is_positive() {
                true => Ok(figure.value),
                false => Err(format!("{} is not above 0", figure.written)),
            }
        },
    );
    let by_event = matches!(metric, Some(Metric::TimeToRestore | Metric::TimeToNotify));
    let statistic = table.get("statistic", Need::when(by_event, name), reader::word);
    let hours = table.table("hours", Need::Optional).map(sections::weekly);
    let decimals = table.get("decimals", Need::Optional, reader::whole(0, 20));
    let rounding =
        table.get("rounding", Need::when(table.has("decimals"), "decimals"), reader::word);
    table.done();
    if available && denominator.is_none()
        || fixed && available && minutes.is_none()
        || by_event && statistic.is_none()
    {
        return None;
    }
    let hours = match hours {
        Some(read) => Some(read?),
        None => None,
    };
    let decimals = decimals.and_then(|decimals| u32::try_from(decimals).ok());
    Some(Aggregate {
        every: every?,
        fixed_minutes: minutes.filter(|_| fixed && available),
        statistic,
        hours,
        rounding: decimals.zip(rounding),
    })
}
