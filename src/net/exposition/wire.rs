//! A page of metrics in Prometheus's protobuf: `io.prometheus.client`
//! of <https://github.com/prometheus/client_model>. The messages are declared here with the numbers of
//! `metrics.proto`, as far as they are written; prost writes them.

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
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_encodings_page_writes_them() {
        use prost::encoding::{double, sint64, string, uint64};
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut message = Vec::new();
            write(&mut message);
            message
        };
        // Its own examples: 150 in field 1, "testing" in field 2; and zigzag's table.
        assert_eq!(written(&|message| uint64::encode(1, &150, message)), [0x08, 0x96, 0x01]);
        assert_eq!(
            written(&|message| string::encode(2, &"testing".to_owned(), message)),
            *b"\x12\x07testing"
        );
        for (value, zigzag) in [
            (0, 0),
            (-1, 1),
            (1, 2),
            (-2, 3),
            (0x7fff_ffff, 0xffff_fffe),
            (-0x8000_0000, 0xffff_ffff),
        ] {
            assert_eq!(
                written(&|message| sint64::encode(1, &value, message)),
                written(&|message| uint64::encode(1, &zigzag, message)),
                "{value}"
            );
        }
        assert_eq!(
            written(&|message| double::encode(1, &1.0, message)),
            [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]
        );
    }

    #[test]
    fn a_page_has_each_family_with_its_length_before_it_and_none_that_is_empty() {
        let mut sheet = Sheet::default();
        sheet.family("a_total", "A.", Kind::Counter);
        sheet.sample(&[("b", "c")], None, Kind::Counter, 1.0);
        sheet.family("none", "Nothing.", Kind::Gauge);
        sheet.family("d", "D.", Kind::Gauge);
        sheet.sample(&[], None, Kind::Gauge, 1.0);
        let one = b"\x09\0\0\0\0\0\0\xf0\x3f";
        let mut page =
            b"\x24\x0a\x07a_total\x12\x02A.\x18\0\x22\x13\x0a\x06\x0a\x01b\x12\x01c\x1a\x09"
                .to_vec();
        page.extend(one);
        page.extend(b"\x16\x0a\x01d\x12\x02D.\x18\x01\x22\x0b\x12\x09");
        page.extend(one);
        assert_eq!(sheet.end(), page);
    }

    #[test]
    fn native_buckets_are_runs_with_the_differences_of_their_counts() {
        let mut spread = Spread::default();
        // Bucket 0 twice, bucket 1 once, bucket 8 four times.
        for (nanos, times) in [(1_000_000_000, 2), (1_010_000_000, 1), (2_000_000_000, 4)] {
            (0..times).for_each(|_| spread.record_ns(nanos));
        }
        let mut sheet = Sheet::default();
        sheet.family("h", "H.", Kind::Histogram);
        sheet.histogram(&[], &spread);
        let page = sheet.end();
        // Schema 3, the runs (0, 2) and (6, 1), and the differences 2, -1, 3.
        let schema: &[u8] = &[5 << 3, 6];
        let runs: &[u8] = &[(12 << 3) | 2, 4, 8, 0, 16, 2, (12 << 3) | 2, 4, 8, 12, 16, 1];
        let counts: &[u8] = &[13 << 3, 4, 13 << 3, 1, 13 << 3, 6];
        assert!(page.windows(2).any(|part| part == schema), "{page:?}");
        assert!(page.ends_with(&[runs, counts].concat()), "{page:?}");
    }
}
