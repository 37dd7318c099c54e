use super::*;
use proptest::prelude::*;

fn of(values: &[u64]) -> Histogram {
    let mut all = Histogram::new();
    values.iter().for_each(|&value| {
        all.record_us(value);
    });
    all
}

#[test]
fn the_text_form_begins_as_every_compressed_v2_histogram_does() {
    let text = of(&[24_012]).pack().unwrap().to_base64();
    assert!(text.starts_with("HISTFAAA"), "{text}");
    assert_eq!(Packed::from_base64(&text).unwrap().unpack().unwrap(), of(&[24_012]));
}

/// Stored summaries hold their histograms' counts only: with other bytes here their digests
/// would not hold any more. If this fails after an update of a dependency, that update must not
/// be taken.
#[test]
fn the_same_values_are_the_same_bytes_in_every_version() {
    let spread = (0..60).map(|n| 24_000 + n * n * 37 % 4_001).collect();
    let many = (0..3000).map(|n| n * n % 100_003).collect();
    let found = [vec![24_012], spread, many].map(|values| {
        let all = of(&values);
        let mut library = Vec::new();
        let mut serializer = hdrhistogram::serialization::V2DeflateSerializer::new();
        serializer.serialize(&all.0, &mut library).unwrap();
        let bytes = all.pack().unwrap().bytes().into_owned();
        assert_eq!(bytes, library, "they are the library's own");
        use sha2::Digest as _;
        sha2::Sha256::digest(&bytes)[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    });
    assert_eq!(found, ["82795e67402b81ee", "f10318af307df5fc", "33066ac605f27cf0"]);
}

#[test]
fn an_empty_histogram_has_no_portable_form() {
    assert_eq!(Histogram::new().pack(), None);
}

#[test]
fn a_value_beyond_a_minute_is_clamped_and_said_so() {
    let mut all = Histogram::new();
    assert_eq!(all.record_ns(60_000_000_000), Recorded::Exactly);
    assert_eq!(all.record_ns(60_000_001_000), Recorded::Clamped);
    assert_eq!(all.count(), 2);
}

#[test]
fn another_shape_and_a_wrong_length_are_refused() {
    let mut other = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1_000, 2).unwrap();
    other.record(7).unwrap();
    let mut bytes = Vec::new();
    hdrhistogram::serialization::V2DeflateSerializer::new().serialize(&other, &mut bytes).unwrap();
    assert_eq!(Packed::from_bytes(bytes).unpack(), Err(NotAHistogram::Shape));
    let mut longer = of(&[5]).pack().unwrap().bytes().into_owned();
    longer.push(0);
    assert!(matches!(Packed::from_bytes(longer).unpack(), Err(NotAHistogram::Form(_))));
}

proptest! {
    #[test]
    fn figures_are_those_of_the_histogram(
        values in prop::collection::vec(0u64..70_000_000, 0..60),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let Some(packed) = of(&values).pack() else { return Ok(()) };
        let mut plain = packed.plain().unwrap();
        // As it is, and with one byte changed and compressed again.
        for change in [false, true] {
            if change {
                let at = at.index(plain.len());
                plain[at] = to;
            }
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut zlib, &plain).unwrap();
            let body = zlib.finish().unwrap();
            let length = u32::try_from(body.len()).unwrap();
            let again = Packed::from_bytes(
                [&COMPRESSED.to_be_bytes()[..], &length.to_be_bytes(), &body].concat(),
            );
            match (again.unpack(), again.figures()) {
                (Ok(histogram), Ok(figures)) => {
                    let sum = |of: fn(&hdrhistogram::Histogram<u64>, u64) -> u64| -> u128 {
                        histogram
                            .0
                            .iter_recorded()
                            .map(|value| {
                                u128::from(value.count_at_value())
                                    * u128::from(of(&histogram.0, value.value_iterated_to()))
                            })
                            .sum()
                    };
                    prop_assert_eq!(figures.count, histogram.count());
                    prop_assert_eq!(
                        figures.lowest_us,
                        sum(hdrhistogram::Histogram::lowest_equivalent)
                    );
                    prop_assert_eq!(
                        figures.highest_us,
                        sum(hdrhistogram::Histogram::highest_equivalent)
                    );
                }
                (Err(_), Err(_)) => {}
                (unpacked, figures) => {
                    prop_assert!(false, "{:?} {:?}", unpacked.map(|one| one.count()), figures)
                }
            }
        }
    }

    #[test]
    fn a_percentile_by_rank_is_the_librarys_percentile(
        values in prop::collection::vec(1u64..60_000_000, 1..300),
        tenths in 1u32..=1000,
    ) {
        let all = of(&values);
        let float = all.percentile_us(f64::from(tenths) / 10.0);
        let exact = all.value_at_us(u64::from(tenths), 1000);
        // The library's rank comes from a float; where the exact rank is a whole number it may
        // round up by one.
        let next = all.value_at_us(u64::from(tenths) * 1_000_000 + 1, 1_000_000_000);
        prop_assert!(exact == float || next == float, "{exact} {next} {float}");
    }

    #[test]
    fn merging_two_is_recording_all(
        a in prop::collection::vec(0u64..100_000_000, 0..50),
        b in prop::collection::vec(0u64..100_000_000, 0..50),
    ) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        prop_assert_eq!(merged, of(&[a, b].concat()));
    }

    #[test]
    fn damaged_bytes_are_read_or_refused_without_a_panic(
        values in prop::collection::vec(1u64..60_000_000, 1..20),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = of(&values).pack().unwrap().bytes().into_owned();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = Packed::from_bytes(bytes).unpack();
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Packed::from_bytes(bytes).unpack().is_err());
    }
}
