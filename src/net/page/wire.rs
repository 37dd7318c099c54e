//! A page of metrics in Prometheus's protobuf: `io.prometheus.client` of <https://github.com/prometheus/client_model>, written as
//! <https://protobuf.dev/programming-guides/encoding/> says. The numbers are the fields' of `metrics.proto`.

use super::spread::{SCHEMA, Spread};
use super::{Kind, Labels};

/// What is nearer to zero than this counts as zero; no time is.
const ZERO: f64 = 2.938_735_877_055_719e-39;

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    whole: Vec<u8>,
    /// The family that is being written, and whether it has a sample.
    family: Message,
    used: bool,
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
        self.family.bytes(1, name.as_bytes());
        self.family.bytes(2, help.as_bytes());
        self.family.number(3, number);
    }

    /// A counter, or a gauge and what is shown as one.
    pub fn sample(&mut self, labels: Labels<'_>, more: Option<(&str, &str)>, kind: Kind, value: f64) {
        let mut of = Message::default();
        of.double(1, value);
        let field = if kind == Kind::Counter { 3 } else { 2 };
        self.metric(labels, more, field, &of);
    }

    /// Times, by buckets of both kinds; a Prometheus that knows native ones takes those.
    pub fn histogram(&mut self, labels: Labels<'_>, spread: &Spread) {
        let mut of = Message::default();
        of.number(1, spread.count());
        of.double(2, spread.sum_ns() as f64 / 1e9);
        for (bound_us, count) in spread.up_to() {
            // The last is all of them, and goes without saying.
            let Some(bound_us) = bound_us else { continue };
            let mut bucket = Message::default();
            bucket.number(1, count);
            bucket.double(2, bound_us as f64 / 1e6);
            of.message(3, &bucket);
        }
        of.signed(5, i64::from(SCHEMA));
        of.double(6, ZERO);
        let mut next = 0;
        for run in spread.native().chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let (from, length) = (i64::from(run[0].0), run.len() as u64);
            let mut span = Message::default();
            // From the end of the run before; the first from zero.
            span.signed(1, from - next);
            span.number(2, length);
            of.message(12, &span);
            next = i64::from(run[run.len() - 1].0) + 1;
        }
        let mut before = 0;
        for (_, count) in spread.native() {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            of.signed(13, count - before);
            before = count;
        }
        self.metric(labels, None, 7, &of);
    }

    fn metric(&mut self, labels: Labels<'_>, more: Option<(&str, &str)>, field: u64, of: &Message) {
        let mut metric = Message::default();
        for (name, value) in labels.iter().copied().chain(more) {
            let mut label = Message::default();
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
            metric.message(1, &label);
        }
        metric.message(field, of);
        self.family.message(4, &metric);
        self.used = true;
    }

    /// Ends a family; one without a sample is none.
    fn close(&mut self) {
        let family = std::mem::take(&mut self.family);
        if std::mem::take(&mut self.used) {
            varint(&mut self.whole, family.0.len() as u64);
            self.whole.extend(family.0);
        }
    }

    /// The whole page.
    pub fn end(mut self) -> Vec<u8> {
        self.close();
        self.whole
    }
}

/// A message, field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        varint(&mut self.0, field << 3);
        varint(&mut self.0, value);
    }

    /// A `sint32` or `sint64`: zigzag.
    fn signed(&mut self, field: u64, value: i64) {
        self.number(field, (value.unsigned_abs() << 1).wrapping_sub(u64::from(value < 0)));
    }

    fn double(&mut self, field: u64, value: f64) {
        varint(&mut self.0, (field << 3) | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        varint(&mut self.0, (field << 3) | 2);
        varint(&mut self.0, value.len() as u64);
        self.0.extend(value);
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    to.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_encodings_page_writes_them() {
        let written = |write: &dyn Fn(&mut Message)| {
            let mut message = Message::default();
            write(&mut message);
            message.0
        };
        // Its own examples: 150 in field 1, "testing" in field 2; and zigzag's table.
        assert_eq!(written(&|message| message.number(1, 150)), [0x08, 0x96, 0x01]);
        assert_eq!(written(&|message| message.bytes(2, b"testing")), *b"\x12\x07testing");
        for (value, zigzag) in
            [(0, 0), (-1, 1), (1, 2), (-2, 3), (0x7fff_ffff, 0xffff_fffe), (-0x8000_0000, 0xffff_ffff)]
        {
            assert_eq!(
                written(&|message| message.signed(1, value)),
                written(&|message| message.number(1, zigzag)),
                "{value}"
            );
        }
        assert_eq!(written(&|message| message.double(1, 1.0)), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
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
        let mut page = b"\x24\x0a\x07a_total\x12\x02A.\x18\0\x22\x13\x0a\x06\x0a\x01b\x12\x01c\x1a\x09".to_vec();
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
