//! Every section of a contract but its objectives.

use crate::base::decimal::Exact;
use crate::sla::calendar::{Weekly, Zone};
use crate::sla::contract::{every, identifier, money};
use crate::sla::currency::Currency;
use crate::sla::reader::{self, Need, Node, Reader};
use crate::sla::terms::{
    Agreement, Cap, Claim, ClaimClock, ClaimMode, Combine, Condition, Duty, Exclusion, Limit,
    PartyTerms, Renewal, Service, Termination,
};

/// `[agreement]`.
pub(super) fn agreement(table: Reader<'_>) -> Option<Agreement> {
    let need = || Need::By("every contract".to_owned());
    let id = table.get("id", need(), identifier);
    let version = table.get("version", need(), reader::count);
    let supersedes = table.get("supersedes", Need::Optional, reader::count);
    if let (Some(version), Some(supersedes)) = (version, supersedes)
        && supersedes >= version
    {
        table.fault("supersedes", format!("{supersedes} is not a version before {version}"));
    }
    let level = table.get("level", need(), reader::word);
    let parent = table.get("parent", Need::Optional, identifier);
    let provider = table.table("provider", need()).and_then(party);
    let customer = table.table("customer", need()).and_then(party);
    let signed = table.get("signed", need(), reader::day);
    let effective_from = table.get("effective_from", need(), reader::instant);
    let effective_to = table.get("effective_to", Need::Optional, reader::instant);
    if let (Some(from), Some(to)) = (effective_from, effective_to)
        && to <= from
    {
        table.fault("effective_to", format!("{to} is not after effective_from, {from}"));
    }
    let renewal: Option<Renewal> = table.get("renewal", need(), reader::word);
    let timezone = table.get("timezone", need(), |node| {
        let name = reader::text(node)?;
        Zone::get(&name).ok_or_else(|| {
            format!("{name:?} is no time zone of the IANA database, such as \"Europe/London\"")
        })
    });
    let holidays = table.list("holidays", Need::Optional, reader::day).unwrap_or_default();
    let currency = table.get("currency", need(), |node| {
        let code = reader::text(node)?;
        Currency::get(&code)
            .ok_or_else(|| format!("{code:?} is no currency of ISO 4217, such as \"GBP\""))
    });
    let measured_by = table.get("measured_by", need(), reader::word);
    table.done();
    Some(Agreement {
        id: id?,
        version: version?,
        supersedes,
        level: level?,
        parent,
        provider: provider?,
        customer: customer?,
        signed: signed?,
        effective_from: effective_from?,
        effective_to,
        renewal: renewal?,
        timezone: timezone?,
        holidays,
        currency: currency?,
        measured_by: measured_by?,
    })
}

fn party(table: Reader<'_>) -> Option<PartyTerms> {
    let need = || Need::By("every party".to_owned());
    let name = table.get("name", need(), reader::name);
    let contact = table.get("contact", need(), reader::name);
    table.done();
    Some(PartyTerms { name: name?, contact: contact? })
}

/// One `[[service]]`.
pub(super) fn service(table: &Reader<'_>) -> Option<Service> {
    let id = table.get("id", every("service"), identifier);
    let site = table.get("site", every("service"), reader::name);
    let mrc = table.get("mrc", every("service"), reader::unsigned);
    let usage = table.get("usage_charge", Need::Optional, reader::unsigned);
    let probes = table.list("probes", every("service"), reader::name);
    let in_service_from = table.get("in_service_from", every("service"), reader::instant);
    let sla_from = table.get("sla_from", every("service"), reader::word);
    let members = table.list("members", Need::Optional, identifier).unwrap_or_default();
    let witness = table.get("witness", Need::Optional, thumbprint);
    Some(Service {
        id: id?,
        site: site?,
        mrc: mrc?.value,
        usage_charge: usage.map_or_else(Exact::zero, |usage| usage.value),
        probes: probes?,
        in_service_from: in_service_from?,
        sla_from: sla_from?,
        members,
        witness,
    })
}

/// The identifier of an agent: an RFC 7638 thumbprint, 43 characters of base64url.
fn thumbprint(node: &Node) -> Result<String, String> {
    let text = reader::text(node)?;
    let sound = text.len() == 43
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if sound {
        Ok(text)
    } else {
        Err("is no agent's identifier: 43 characters, as `wanproof identity` shows".to_owned())
    }
}

/// One `[[exclusion]]`.
pub(super) fn exclusion(table: &Reader<'_>) -> Option<Exclusion> {
    let id = table.get("id", every("exclusion"), identifier);
    let kind = table.get("kind", every("exclusion"), reader::word);
    let notice = table.get("notice", Need::Optional, reader::duration);
    let window = table.table("window", Need::Optional).and_then(weekly);
    let at_most = table.get("at_most", Need::Optional, reader::duration);
    let removes = table.get("removes", every("exclusion"), reader::word);
    Some(Exclusion { id: id?, kind: kind?, notice, window, at_most, removes: removes? })
}

/// Hours of the week: `{ days = ["Sun"], from = "00:00", to = "06:00" }`.
pub(super) fn weekly(table: Reader<'_>) -> Option<Weekly> {
    const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let need = || Need::By("a window".to_owned());
    let days = table.list("days", need(), |node| {
        let found = match node {
            Node::Text(text) => NAMES.iter().position(|name| name == text),
            _ => None,
        };
        found.ok_or_else(|| format!("{} is not one of {}", node.kind(), NAMES.join(", ")))
    });
    if days.as_ref().is_some_and(Vec::is_empty) {
        table.fault("days", "is empty: name at least one day");
    }
    let from = table.get("from", need(), |node| clock(node, 1439));
    let to = table.get("to", need(), |node| clock(node, 1440));
    if let (Some(from), Some(to)) = (from, to)
        && from == to
    {
        table.fault("to", "is the same as from: for a whole day write from \"00:00\" to \"24:00\"");
    }
    table.done();
    let mut on = [false; 7];
    days?.into_iter().for_each(|day| on[day] = true);
    Some(Weekly { days: on, from: from?, to: to? })
}

/// A time of day in minutes: `06:00`.
fn clock(node: &Node, latest: u16) -> Result<u16, String> {
    let fault = || format!("{} is not a time of day, such as \"06:00\"", node.kind());
    let Node::Text(text) = node else { return Err(fault()) };
    let (hours, minutes) = text.split_once(':').ok_or_else(fault)?;
    let two = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse().ok())
            .flatten()
    };
    let (hours, minutes) = (two(hours).ok_or_else(fault)?, two(minutes).ok_or_else(fault)?);
    let total = hours * 60 + minutes;
    if minutes < 60 && total <= latest { Ok(total) } else { Err(fault()) }
}

/// One `[[combine]]`.
pub(super) fn combine(table: &Reader<'_>) -> Option<Combine> {
    let objectives = table.list("objectives", every("combine"), identifier);
    if objectives.as_ref().is_some_and(Vec::is_empty) {
        table.fault("objectives", "is empty: name at least one objective");
    }
    let rule = table.get("rule", every("combine"), reader::word);
    Some(Combine { objectives: objectives?, rule: rule? })
}

/// One `[[cap]]`.
pub(super) fn cap(table: &Reader<'_>) -> Option<Cap> {
    let per = table.get("per", every("cap"), reader::word);
    let limit = table.get("limit", every("cap"), |node| match node {
        Node::Text(text) if text.ends_with('%') => {
            money::share(text).map(|share| (Limit::Share(share), text.clone()))
        }
        _ => reader::unsigned(node).map(|figure| (Limit::Amount(figure.value), figure.written)),
    });
    let (limit, written) = limit?;
    Some(Cap { per: per?, limit, written })
}

/// `[claim]`.
pub(super) fn claim(table: Reader<'_>) -> Option<Claim> {
    let need = || Need::By("every claim".to_owned());
    let mode: Option<ClaimMode> = table.get("mode", need(), reader::word);
    let asked = || Need::when(mode == Some(ClaimMode::OnRequest), "mode \"on_request\"");
    let ticket_within = table.get("ticket_within", Need::Optional, reader::duration);
    let within = table.get("within", asked(), |node| {
        reader::whole(0, 36_600)(node).map(|within| u32::try_from(within).unwrap_or(0))
    });
    let unit = table.get("unit", asked(), reader::word);
    let counted_from = table.get("counted_from", asked(), reader::word);
    let rounding = table.get("rounding", need(), reader::word);
    let minimum = table.get("minimum", Need::Optional, reader::unsigned);
    let settled = table.get("settled", need(), reader::word);
    table.done();
    let clock = match mode? {
        ClaimMode::Automatic => None,
        ClaimMode::OnRequest => {
            Some(ClaimClock { within: within?, unit: unit?, counted_from: counted_from? })
        }
    };
    Some(Claim {
        mode: mode?,
        ticket_within,
        clock,
        rounding: rounding?,
        minimum: minimum.map(|minimum| minimum.value),
        settled: settled?,
    })
}

/// One `[[termination]]`.
pub(super) fn termination(table: &Reader<'_>) -> Option<Termination> {
    let id = table.get("id", every("termination"), identifier);
    let by = table.get("by", every("termination"), reader::word);
    let any = table.tables("any", every("termination"));
    if any.as_ref().is_some_and(Vec::is_empty) {
        table.fault("any", "is empty: name at least one condition");
    }
    let any: Option<Vec<Option<_>>> = any.map(|all| all.into_iter().map(condition).collect());
    let exercise = table.get("exercise_within_days", every("termination"), |node| {
        reader::whole(0, 36_600)(node).map(|days| u32::try_from(days).unwrap_or(0))
    });
    Some(Termination {
        id: id?,
        by: by?,
        any: any?.into_iter().collect::<Option<_>>()?,
        exercise_within_days: exercise?,
    })
}

fn condition(table: Reader<'_>) -> Option<Condition> {
    let need = |by: &str| Need::By(format!("a condition on {by}"));
    let kinds: Vec<&str> =
        ["events", "downtime_over", "breached"].into_iter().filter(|key| table.has(key)).collect();
    // Keys of other conditions are known, and do not apply.
    for key in ["longer_than", "within_days", "period", "consecutive", "times", "of_periods"] {
        table.node(key, Need::Optional);
    }
    let condition = match kinds[..] {
        ["events"] => {
            let events = table.get("events", need("events"), reader::count);
            let longer_than = table.get("longer_than", need("events"), reader::duration);
            let within_days = table.get("within_days", need("events"), reader::count);
            events.zip(longer_than).zip(within_days).map(|((events, longer_than), within_days)| {
                Condition::Events { events, longer_than, within_days }
            })
        }
        ["downtime_over"] => {
            let limit = table.get("downtime_over", need("downtime_over"), reader::duration);
            let period = table.get("period", need("downtime_over"), reader::word);
            limit.zip(period).map(|(limit, period)| Condition::DowntimeOver { limit, period })
        }
        ["breached"] => breached(&table),
        [] => {
            table.fault("", "says nothing: expected events, downtime_over or breached");
            table.keys();
            None
        }
        _ => {
            table.fault(
                "",
                format!(
                    "says several things at once: {}; write one condition for each",
                    kinds.join(", ")
                ),
            );
            table.keys();
            None
        }
    };
    table.done();
    condition
}

fn breached(table: &Reader<'_>) -> Option<Condition> {
    let need = |key: &str| Need::By(format!("a condition on breached with {key}"));
    let objective = table.get("breached", Need::By("it".to_owned()), identifier);
    match (table.has("consecutive"), table.has("times") || table.has("of_periods")) {
        (true, false) => {
            let consecutive = table.get("consecutive", need("consecutive"), reader::count);
            Some(Condition::Consecutive { objective: objective?, consecutive: consecutive? })
        }
        (false, true) => {
            let times = table.get("times", need("of_periods"), reader::count);
            let of_periods = table.get("of_periods", need("times"), reader::count);
            let (times, of_periods) = (times?, of_periods?);
            if times > of_periods {
                table.fault(
                    "times",
                    format!("{times} of {of_periods} periods can never be breached"),
                );
            }
            Some(Condition::Times { objective: objective?, times, of_periods })
        }
        (false, false) => {
            table.fault("", "says not how often: expected consecutive, or times and of_periods");
            None
        }
        (true, true) => {
            table.fault("", "has both consecutive and times: write one condition for each");
            table.keys();
            None
        }
    }
}

/// One `[[duty]]`.
pub(super) fn duty(table: &Reader<'_>) -> Option<Duty> {
    let id = table.get("id", every("duty"), identifier);
    let party = table.get("party", every("duty"), reader::word);
    let what = table.get("what", every("duty"), reader::text);
    let within = table.get("within", every("duty"), reader::duration);
    let after = table.get("after", every("duty"), reader::word);
    Some(Duty { id: id?, party: party?, what: what?, within: within?, after: after? })
}
