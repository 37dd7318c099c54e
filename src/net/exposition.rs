//! A page of metrics, in each form that Prometheus reads: its protobuf, which alone has room for
//! native histograms, OpenMetrics 1.0, or its own text format 0.0.4 for whoever asks for neither.

use std::fmt::{Display, Write};

pub use spread::Spread;

mod spread;
mod wire;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
    /// Prometheus's protobuf, `io.prometheus.client.MetricFamily`, each with its length before it.
    Protobuf,
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
    wire: wire::Sheet,
    family: String,
    kind: Kind,
}

/// Labels of a sample: names and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A figure of a sample.
pub trait Figure: Display {
    /// As protobuf has all figures.
    fn as_double(&self) -> f64;
}

macro_rules! figures {
    ($($of:ty)*) => { $(impl Figure for $of { fn as_double(&self) -> f64 { *self as f64 } })* };
}
figures!(u8 i32 u64 i64 usize);

impl<T: Figure> Figure for &T {
    fn as_double(&self) -> f64 {
        (*self).as_double()
    }
}

impl Form {
    /// The form for an `Accept` header (RFC 9110, section 12.5.1): of those that are here, the one
    /// that is wanted most, and of several the first.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        let offer = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default() {
                "application/vnd.google.protobuf" => {
                    let is = |wanted: &str| range.split(';').any(|part| part.trim() == wanted);
                    let known =
                        is("proto=io.prometheus.client.MetricFamily") && is("encoding=delimited");
                    known.then_some(Self::Protobuf)?
                }
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Self::Text,
                _ => return None,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f64>);
            Some((form, weight.unwrap_or(0.0)))
        };
        let mut best = (Self::Text, 0.0);
        for (form, weight) in accept.split(',').filter_map(offer) {
            if weight > best.1 {
                best = (form, weight);
            }
        }
        best.0
    }

    /// Its Content-Type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                    encoding=delimited"
            }
        }
    }
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            form,
            text: String::new(),
            wire: wire::Sheet::default(),
            family: String::new(),
            kind: Kind::Gauge,
        }
    }

    /// Begins a family; all its samples follow. A unit ends its name.
    pub fn family(&mut self, kind: Kind, name: &str, help: &str) {
        name.clone_into(&mut self.family);
        self.kind = kind;
        let (shown, word) = match (self.form, kind) {
            (Form::OpenMetrics, Kind::Info) => (name.to_owned(), "info"),
            (Form::OpenMetrics, Kind::StateSet) => (name.to_owned(), "stateset"),
            (Form::OpenMetrics, Kind::Counter) => (name.to_owned(), "counter"),
            (Form::Text | Form::Protobuf, Kind::Info) => (format!("{name}_info"), "gauge"),
            (Form::Text | Form::Protobuf, Kind::Counter) => (format!("{name}_total"), "counter"),
            (_, Kind::StateSet | Kind::Gauge) => (name.to_owned(), "gauge"),
            (_, Kind::Histogram) => (name.to_owned(), "histogram"),
        };
        if self.form == Form::Protobuf {
            return self.wire.family(&shown, help, kind);
        }
        self.line(format_args!("# TYPE {shown} {word}"));
        let unit =
            ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
        if let (Form::OpenMetrics, Some(unit)) = (self.form, unit) {
            self.line(format_args!("# UNIT {shown} {unit}"));
        }
        self.line(format_args!("# HELP {shown} {help}"));
    }

    /// A counter, a gauge or an info.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Figure) {
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
        if self.form == Form::Protobuf {
            return self.wire.histogram(labels, spread);
        }
        for (bound_us, count) in spread.up_to() {
            let bound = bound_us.map_or("+Inf".to_owned(), le);
            self.line_of("_bucket", labels, Some(("le", &bound)), count);
        }
        let (seconds, nanos) = (spread.sum_ns() / 1_000_000_000, spread.sum_ns() % 1_000_000_000);
        self.line_of("_sum", labels, None, format_args!("{seconds}.{nanos:09}"));
        self.line_of("_count", labels, None, spread.count());
    }

    fn write(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        more: Option<(&str, &str)>,
        value: impl Figure,
    ) {
        if self.form == Form::Protobuf {
            return self.wire.sample(labels, more, self.kind, value.as_double());
        }
        self.line_of(suffix, labels, more, value);
    }

    fn line_of(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        more: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let escaped =
            |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = labels.iter().copied().chain(more);
        let labels: Vec<String> =
            labels.map(|(name, of)| format!("{name}=\"{}\"", escaped(of))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let family = std::mem::take(&mut self.family);
        self.line(format_args!("{family}{suffix}{labels} {value}"));
        self.family = family;
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a text takes any text");
    }

    /// The whole page.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        match self.form {
            Form::Protobuf => return self.wire.end(),
            Form::OpenMetrics => self.line("# EOF"),
            Form::Text => {}
        }
        self.text.into_bytes()
    }
}

/// A bound in seconds, as OpenMetrics writes numbers: always with a point.
fn le(micros: u64) -> String {
    let fraction = format!("{:06}", micros % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", micros / 1_000_000, if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests;
