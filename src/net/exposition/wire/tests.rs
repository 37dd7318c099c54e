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
    for (value, zigzag) in
        [(0, 0), (-1, 1), (1, 2), (-2, 3), (0x7fff_ffff, 0xffff_fffe), (-0x8000_0000, 0xffff_ffff)]
    {
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
        b"\x24\x0a\x07a_total\x12\x02A.\x18\0\x22\x13\x0a\x06\x0a\x01b\x12\x01c\x1a\x09".to_vec();
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
