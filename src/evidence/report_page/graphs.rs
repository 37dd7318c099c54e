//! The smoke graphs of a period, one for each probe of the service, with its figures beside it.

use std::fmt::Write as _;

use super::{Shown, esc, span};
use crate::base::time::Wall;
use crate::draw::Band;
use crate::draw::smoke::{self, Smoke};
use crate::measure::history::settled_until;

/// More than these nobody looks at; the tables hold all.
const MOST: usize = 24;

pub(super) fn draw(to: &mut String, section: usize, shown: &Shown<'_>) {
    let Shown { contract, facts, report, seen } = *shown;
    let whole = span(contract, report.period);
    let excluded: Vec<Band> = facts
        .excluded
        .iter()
        .map(|one| Band { from: one.span.from, to: one.span.to, label: one.exclusion.clone() })
        .collect();
    let end = report.as_of.map_or(whole.to, |as_of| as_of.min(whole.to)).max(whole.from);
    for (number, (name, buckets)) in (1..=MOST).zip(&seen.probes) {
        let until = settled_until(buckets, end);
        let outages = outages(shown, name, until);
        let key = format!("g{section}x{number}");
        let smoke = Smoke {
            name,
            key: &key,
            buckets,
            from: whole.from,
            to: whole.to,
            until,
            outages: &outages,
            excluded: &excluded,
        };
        let _ = writeln!(to, "<figure>\n{}<table><tr>", smoke::figure(&smoke).trim_end());
        let rows = smoke::rows(&smoke);
        rows.iter().for_each(|(name, _)| _ = write!(to, "<th class=\"n\">{name}"));
        to.push_str("</tr>\n<tr>");
        rows.iter().for_each(|(_, figure)| _ = write!(to, "<td class=\"n\">{}", esc(figure)));
        to.push_str("</tr></table></figure>\n");
    }
    if seen.probes.len() > MOST {
        let more = seen.probes.len() - MOST;
        let _ = writeln!(to, "<p>{more} more probes are in the tables below.</p>");
    }
}

/// The outages that a probe showed, each once, whatever definitions say it.
fn outages(shown: &Shown<'_>, probe: &str, until: Wall) -> Vec<Band> {
    let own = shown.seen.outages.iter().filter(|outage| outage.probe == probe);
    let mut all: Vec<Band> = own
        .map(|outage| Band {
            from: outage.from,
            to: outage.to.unwrap_or(until).max(outage.from),
            label: outage.side.to_string(),
        })
        .collect();
    // Later summaries know more of an outage than earlier ones: of those that begin together the
    // last stays.
    all.sort_by_key(|band| band.from);
    all.reverse();
    all.dedup_by_key(|band| band.from);
    all.reverse();
    all
}
