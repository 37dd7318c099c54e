//! A path as people and programs read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::cli::print;
use crate::cli::trace::course::Course;
use crate::measure::path::Answered;
use crate::net::trace::labels::Label;
use crate::net::trace::walk::Way;

/// What hosts are called.
pub type Names = BTreeMap<IpAddr, String>;

/// Columns of a host; one that is longer has a line of its own.
const HOST: usize = 17;

/// What is traced.
#[must_use]
pub fn head(host: &str, target: IpAddr, way: Way) -> String {
    let by = match way {
        Way::Icmp => "ICMP".to_owned(),
        Way::Udp(port) => format!("UDP, port {port}"),
        Way::Tcp(port) => format!("TCP, port {port}"),
    };
    let to =
        if host == target.to_string() { host.to_owned() } else { format!("{host} ({target})") };
    format!("{to} by {by}")
}

/// A line for each host of each hop.
#[must_use]
pub fn table(course: &Course, names: &Names) -> String {
    let mut text =
        format!("HOP  {:HOST$} LOSS% LIMIT% SENT     BEST      P50      P95    WORST", "HOST");
    for (ttl, hop, silence) in course.hops() {
        let share = |of: u64| percent(of, hop.sent);
        let head =
            format!("{:>5} {:>6} {:>4}", share(silence.lost), share(silence.limited), hop.sent);
        if hop.hosts.is_empty() {
            let _ = write!(text, "\n{ttl:>3}  {:HOST$} {head}", "*");
        }
        for (place, (address, host)) in hop.hosts.iter().enumerate() {
            let name = names.get(address).map_or_else(
                || address.to_string(),
                |name| format!("{} ({address})", print::one(name)),
            );
            let (at, ttl) = (ttl, if place == 0 { ttl.to_string() } else { String::new() });
            let _ = write!(text, "\n{ttl:>3}  {name:HOST$}");
            if name.chars().count() > HOST {
                let _ = write!(text, "\n{:5}{:HOST$}", "", "");
            }
            // The hop's own figures stand once.
            let head = if place == 0 { head.as_str() } else { "" };
            let _ = write!(text, " {head:17} {}", figures(host));
            for label in course.labels(at, *address) {
                let _ = write!(text, "\n     {}", words(*label));
            }
        }
    }
    text
}

fn words(Label { label, tc, ttl, bottom: _ }: Label) -> String {
    format!("MPLS label {label}, TC {tc}, TTL {ttl}")
}

fn figures(host: &Answered) -> String {
    #[expect(clippy::cast_precision_loss, reason = "an RTT in microseconds is far below 2^53")]
    let micros = |us: u64| print::micros(us as f64);
    let rtt = &host.rtt;
    let all = [rtt.min_us(), rtt.percentile_us(50.0), rtt.percentile_us(95.0), rtt.max_us()];
    all.map(|us| format!("{:>8}", micros(us))).join(" ")
}

/// So many of so many, in percent.
fn percent(of: u64, all: u64) -> String {
    match (of * 1000 + all / 2).checked_div(all) {
        None => "-".to_owned(),
        Some(tenths) if tenths % 10 == 0 => (tenths / 10).to_string(),
        Some(tenths) => format!("{}.{}", tenths / 10, tenths % 10),
    }
}

/// Whether it was reached, and what the columns of loss mean where they say something.
#[must_use]
pub fn ending(course: &Course, host: &str) -> String {
    let mut lines = Vec::new();
    if course.hops().any(|(_, _, silence)| silence.limited > 0) {
        lines.push(
            "LIMIT%: not answered by the hop itself, though hops behind it answered: no loss"
                .to_owned(),
        );
    }
    lines.push(match (course.reached(), course.refused()) {
        (true, _) => format!("{host} was reached"),
        (false, Some(kind)) => format!("{host} was NOT REACHED: the last hop says {kind}"),
        (false, None) => {
            format!("{host} was NOT REACHED: nobody answers behind the last hop that did")
        }
    });
    lines.join("\n")
}

/// A line for each hop, then one that says whether it was reached.
#[must_use]
pub fn json(course: &Course, names: &Names, target: IpAddr, way: Way) -> Vec<Value> {
    let mut lines: Vec<Value> = course
        .hops()
        .map(|(ttl, hop, silence)| {
            let hosts: Vec<Value> = hop
                .hosts
                .iter()
                .map(|(address, host)| {
                    let mut one = json!({
                        "address": address,
                        "sent": hop.sent,
                        "answered": host.count,
                        "rtt_us": rtt(host),
                    });
                    let labels = course.labels(ttl, *address);
                    if !labels.is_empty() {
                        one["mpls"] = json!(labels);
                    }
                    if let Some(name) = names.get(address) {
                        one["name"] = json!(name);
                    }
                    one
                })
                .collect();
            let (lost, limited) = (silence.lost, silence.limited);
            json!({"ttl": ttl, "hosts": hosts, "sent": hop.sent, "lost": lost, "limited": limited})
        })
        .collect();
    let (protocol, port) = match way {
        Way::Icmp => ("icmp", None),
        Way::Udp(port) => ("udp", Some(port)),
        Way::Tcp(port) => ("tcp", Some(port)),
    };
    let mut last = json!({"reached": course.reached(), "address": target, "protocol": protocol});
    if let Some(port) = port {
        last["port"] = json!(port);
    }
    if let Some(kind) = course.refused() {
        last["refused"] = json!(kind);
    }
    lines.push(last);
    lines
}

fn rtt(host: &Answered) -> Value {
    let at = |percentile| host.rtt.percentile_us(percentile);
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits are enough for a mean")]
    let mean = host.sum_ns as f64 / (host.count.max(1) as f64 * 1000.0);
    json!({
        "min": host.rtt.min_us(), "p50": at(50.0), "p90": at(90.0), "p95": at(95.0),
        "p99": at(99.0), "max": host.rtt.max_us(), "mean": mean,
    })
}
