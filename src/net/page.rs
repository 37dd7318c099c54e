//! A page of metrics as text, in either form that Prometheus reads: OpenMetrics 1.0, or its own text format 0.0.4 for whoever
//! does not ask for that.

use std::fmt::{Display, Write};

/// The highest values of a histogram's buckets, in microseconds; the last bucket has no end.
const BOUNDS_US: [u64; 13] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000];

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Counted by buckets.
    Histogram,
    /// Text, as labels.
    Info,
    /// One of several states.
    StateSet,
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    form: Form,
    text: String,
    family: String,
    kind: Kind,
}

/// Labels of a sample: names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Times, counted by buckets.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    counts: [u64; BOUNDS_US.len() + 1],
    sum_ns: u128,
}

impl Spread {
    /// Counts a time, in nanoseconds.
    pub fn record_ns(&mut self, nanos: u64) {
        let bucket = BOUNDS_US.partition_point(|&bound| bound * 1000 < nanos);
        self.counts[bucket] += 1;
        self.sum_ns += u128::from(nanos);
    }
}

impl Form {
    /// The form for an `Accept` header.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// Its Content-Type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, text: String::new(), family: String::new(), kind: Kind::Gauge }
    }

    /// Begins a family; all its samples follow. A unit ends its name.
    pub fn family(&mut self, kind: Kind, name: &str, help: &str) {
        name.clone_into(&mut self.family);
        self.kind = kind;
        let (shown, word) = match (self.form, kind) {
            (Form::OpenMetrics, Kind::Info) => (name.to_owned(), "info"),
            (Form::OpenMetrics, Kind::StateSet) => (name.to_owned(), "stateset"),
            (Form::OpenMetrics, Kind::Counter) => (name.to_owned(), "counter"),
            (Form::Text, Kind::Info) => (format!("{name}_info"), "gauge"),
            (Form::Text, Kind::Counter) => (format!("{name}_total"), "counter"),
            (_, Kind::StateSet | Kind::Gauge) => (name.to_owned(), "gauge"),
            (_, Kind::Histogram) => (name.to_owned(), "histogram"),
        };
        self.line(format_args!("# TYPE {shown} {word}"));
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        if let (Form::OpenMetrics, Some(unit)) = (self.form, unit) {
            self.line(format_args!("# UNIT {shown} {unit}"));
        }
        self.line(format_args!("# HELP {shown} {help}"));
    }

    /// A counter, a gauge or an info.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram | Kind::StateSet => "",
        };
        self.write(suffix, labels, None, value);
    }

    /// A state of several.
    pub fn states(&mut self, labels: Labels<'_>, all: &[&str], is: &str) {
        let family = self.family.clone();
        for state in all {
            self.write("", labels, Some((&family, state)), u8::from(*state == is));
        }
    }

    /// Times.
    pub fn histogram(&mut self, labels: Labels<'_>, spread: &Spread) {
        let mut count = 0;
        for (bucket, within) in spread.counts.iter().enumerate() {
            count += within;
            let bound = BOUNDS_US.get(bucket).map_or("+Inf".to_owned(), |&us| le(us));
            self.write("_bucket", labels, Some(("le", &bound)), count);
        }
        let (seconds, nanos) = (spread.sum_ns / 1_000_000_000, spread.sum_ns % 1_000_000_000);
        self.write("_sum", labels, None, format_args!("{seconds}.{nanos:09}"));
        self.write("_count", labels, None, count);
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, more: Option<(&str, &str)>, value: impl Display) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = labels.iter().copied().chain(more);
        let labels: Vec<String> = labels.map(|(name, of)| format!("{name}=\"{}\"", escaped(of))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let family = std::mem::take(&mut self.family);
        self.line(format_args!("{family}{suffix}{labels} {value}"));
        self.family = family;
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a text takes any text");
    }

    /// The whole page.
    #[must_use]
    pub fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.line("# EOF");
        }
        self.text
    }
}

/// A bound in seconds, as OpenMetrics writes numbers: always with a point.
fn le(micros: u64) -> String {
    let fraction = format!("{:06}", micros % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", micros / 1_000_000, if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: Form) -> String {
        let mut page = Page::new(form);
        page.family(Kind::Counter, "sends", "Sends.");
        page.sample(&[("probe", "a\"b")], 7);
        page.family(Kind::StateSet, "state", "State.");
        page.states(&[("probe", "a")], &["up", "down"], "down");
        page.family(Kind::Gauge, "store_bytes", "Bytes.");
        page.sample(&[], 12);
        page.end()
    }

    #[test]
    fn openmetrics_and_the_text_format_differ_where_their_pages_say_so() {
        let openmetrics = "# TYPE sends counter\n# HELP sends Sends.\nsends_total{probe=\"a\\\"b\"} 7\n\
            # TYPE state stateset\n# HELP state State.\nstate{probe=\"a\",state=\"up\"} 0\n\
            state{probe=\"a\",state=\"down\"} 1\n\
            # TYPE store_bytes gauge\n# UNIT store_bytes bytes\n# HELP store_bytes Bytes.\nstore_bytes 12\n# EOF\n";
        assert_eq!(page(Form::OpenMetrics), openmetrics);
        let text = openmetrics.replace("TYPE sends", "TYPE sends_total").replace("HELP sends", "HELP sends_total");
        let text = text.replace("stateset", "gauge").replace("# UNIT store_bytes bytes\n", "").replace("# EOF\n", "");
        assert_eq!(page(Form::Text), text);
    }

    #[test]
    fn a_bucket_holds_all_up_to_its_bound_and_those_of_the_buckets_before() {
        let mut spread = Spread::default();
        [0, 500_000, 500_001, 1_000_000_000, 60_000_000_000].into_iter().for_each(|nanos| spread.record_ns(nanos));
        let mut page = Page::new(Form::OpenMetrics);
        page.family(Kind::Histogram, "rtt_seconds", "RTT.");
        page.histogram(&[], &spread);
        let page = page.end();
        for line in [
            "rtt_seconds_bucket{le=\"0.0005\"} 2",
            "rtt_seconds_bucket{le=\"0.001\"} 3",
            "rtt_seconds_bucket{le=\"0.5\"} 3",
            "rtt_seconds_bucket{le=\"1.0\"} 4",
            "rtt_seconds_bucket{le=\"5.0\"} 4",
            "rtt_seconds_bucket{le=\"+Inf\"} 5",
            "rtt_seconds_sum 61.001000001",
            "rtt_seconds_count 5",
        ] {
            assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
        }
    }
}
