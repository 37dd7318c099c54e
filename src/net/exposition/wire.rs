//! A page of metrics in Prometheus's protobuf: `io.prometheus.client` of
//! <https://github.com/prometheus/client_model>. The messages are declared here with the numbers
//! of `metrics.proto`, as far as they are written; prost writes them.

use prost::Message;

use super::spread::{SCHEMA, Spread};
use super::{Kind, Labels};

/// What is nearer to zero than this counts as zero; no time is.
const ZERO: f64 = 2.938_735_877_055_719e-39;

/// `LabelPair`.
#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// `Gauge` and `Counter`, which are alike.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

/// `Bucket`, of a classic histogram.
#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

/// `BucketSpan`, of a native histogram.
#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    /// From the end of the run before; the first from zero.
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

/// `Histogram`, of both kinds.
#[derive(Clone, PartialEq, Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    /// Each count less the one before it. Not packed: the file is proto2.
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
}

/// `Metric`.
#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<Label>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Value>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

/// `MetricFamily`.
#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    whole: Vec<u8>,
    /// The family that is being written.
    family: MetricFamily,
}

impl Sheet {
    /// Begins a family.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) {
        self.close();
        let number = match kind {
            Kind::Counter => 0,
            Kind::Gauge | Kind::Info | Kind::StateSet => 1,
            Kind::Histogram => 4,
        };
        let (name, help) = (Some(name.to_owned()), Some(help.to_owned()));
        self.family = MetricFamily { name, help, kind: Some(number), metric: Vec::new() };
    }

    /// A counter, or a gauge and what is shown as one.
    pub fn sample(
        &mut self,
        labels: Labels<'_>,
        more: Option<(&str, &str)>,
        kind: Kind,
        value: f64,
    ) {
        let (label, value) = (pairs(labels, more), Some(Value { value: Some(value) }));
        self.family.metric.push(match kind {
            Kind::Counter => Metric { label, counter: value, ..Metric::default() },
            _ => Metric { label, gauge: value, ..Metric::default() },
        });
    }

    /// Times, by buckets of both kinds; a Prometheus that knows native ones takes those.
    pub fn histogram(&mut self, labels: Labels<'_>, spread: &Spread) {
        let bucket = |(bound_us, count): (Option<u64>, u64)| {
            // The last is all of them, and goes without saying.
            Some(Bucket {
                cumulative_count: Some(count),
                upper_bound: Some(bound_us? as f64 / 1e6),
            })
        };
        let (mut positive_span, mut next) = (Vec::new(), 0);
        for run in spread.native().chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let length = u32::try_from(run.len()).unwrap_or(u32::MAX);
            let (from, to) = (i32::from(run[0].0), i32::from(run[run.len() - 1].0));
            positive_span.push(BucketSpan { offset: Some(from - next), length: Some(length) });
            next = to + 1;
        }
        let mut before = 0;
        let delta = |(_, count): &(i16, u64)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            count - std::mem::replace(&mut before, count)
        };
        let histogram = Histogram {
            sample_count: Some(spread.count()),
            sample_sum: Some(spread.sum_ns() as f64 / 1e9),
            bucket: spread.up_to().filter_map(bucket).collect(),
            schema: Some(SCHEMA),
            zero_threshold: Some(ZERO),
            positive_span,
            positive_delta: spread.native().iter().map(delta).collect(),
        };
        let label = pairs(labels, None);
        self.family.metric.push(Metric { label, histogram: Some(histogram), ..Metric::default() });
    }

    /// Ends a family; one without a sample is none.
    fn close(&mut self) {
        let family = std::mem::take(&mut self.family);
        if !family.metric.is_empty() {
            family.encode_length_delimited(&mut self.whole).expect("a vector has room");
        }
    }

    /// The whole page.
    pub fn end(mut self) -> Vec<u8> {
        self.close();
        self.whole
    }
}

fn pairs(labels: Labels<'_>, more: Option<(&str, &str)>) -> Vec<Label> {
    let pair = |(name, value): (&str, &str)| Label {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    };
    labels.iter().copied().chain(more).map(pair).collect()
}

#[cfg(test)]
mod tests;
