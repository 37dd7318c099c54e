//! The figures of buckets, for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Shown;
use crate::cli::print;
use crate::measure::histogram::Counts;
use crate::measure::history::{Bucket, merged};
use crate::measure::outcome::Outcome;

/// One probe as JSON; `then` is the same span earlier, which it is compared with.
pub(super) fn json(shown: &Shown, then: Option<&Shown>) -> Value {
    let Shown { probe, from, to, .. } = shown;
    let mut all = json!({
        "probe": probe,
        "from": from,
        "to": to,
        "by_seconds": shown.step.length().as_secs(),
        "buckets": shown.buckets.iter().map(bucket).collect::<Vec<_>>(),
        "outages": shown.outages.iter().map(|outage| {
            json!({"from": outage.from, "to": outage.to, "side": outage.side})
        }).collect::<Vec<_>>(),
    });
    if let Some(then) = then {
        let whole = |shown: &Shown| bucket(&merged(&shown.buckets).unwrap_or_default());
        all["whole"] = whole(shown);
        all["against"] = whole(then);
    }
    all
}

fn bucket(bucket: &Bucket) -> Value {
    let outcomes = Outcome::ALL.map(|of| (of.letter().to_string(), json!(bucket.count(of))));
    json!({
        "from": bucket.from,
        "seconds": bucket.length.as_secs(),
        "outcomes": Value::Object(outcomes.into_iter().collect()),
        "rtt_us": rtt(bucket).map(|[min, p50, p90, p95, p99, max]| json!({
            "min": min, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": max,
            "mean": bucket.mean_us(),
        })),
        "ipdv_us": bucket.ipdv.value_at_us(95, 100).map(|p95| json!({
            "mean": bucket.ipdv_mean_us(), "p95": p95,
        })),
    })
}

/// The figures of the RTTs that are shown, in microseconds.
fn rtt(bucket: &Bucket) -> Option<[u64; 6]> {
    let of = &bucket.rtt;
    let at = |percent| Counts::value_at_us(of, percent, 100);
    Some([of.min_us()?, at(50)?, at(90)?, at(95)?, at(99)?, of.max_us()?])
}

/// All buckets as comma-separated values with a heading.
pub(super) fn csv(all: &[Shown]) -> String {
    let mut text = String::from(
        "probe,from,seconds,a,t,l,u,n,x,rtt_us_min,rtt_us_p50,rtt_us_p90,rtt_us_p95,rtt_us_p99,\
         rtt_us_max,rtt_us_mean,ipdv_us_mean,ipdv_us_p95",
    );
    for shown in all {
        for bucket in &shown.buckets {
            let seconds = bucket.length.as_secs();
            let _ = write!(text, "\r\n{},{},{seconds}", print::cell(&shown.probe), bucket.from);
            bucket.outcomes.iter().for_each(|count| _ = write!(text, ",{count}"));
            match rtt(bucket) {
                Some(figures) => figures.iter().for_each(|us| _ = write!(text, ",{us}")),
                None => text.push_str(",,,,,,"),
            }
            let mut or_empty = |figure: Option<String>| {
                text.push(',');
                text.push_str(&figure.unwrap_or_default());
            };
            or_empty(bucket.mean_us().map(|us| us.to_string()));
            or_empty(bucket.ipdv_mean_us().map(|us| us.to_string()));
            or_empty(bucket.ipdv.value_at_us(95, 100).map(|us| us.to_string()));
        }
    }
    text
}
