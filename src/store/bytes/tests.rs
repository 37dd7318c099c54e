use super::*;
use proptest::prelude::*;

#[test]
fn what_lies_far_back_in_a_long_reference_costs_little() {
    let line = |number: u64| {
        let digest = crate::evidence::digest::Digest::of(&number.to_le_bytes()).to_string();
        format!("{{\"number\":{number},\"what\":\"{digest}{digest}\"}},\n")
    };
    let reference: String = (0..8_000).map(line).collect();
    let plain: String =
        (0..8_000).map(|number| format!("{}{}", number % 7, line(number))).collect();
    let body = shut(1, plain.as_bytes(), reference.as_bytes()).unwrap();
    assert!(body.len() < plain.len() / 10, "{} of {}", body.len(), plain.len());
    assert_eq!(open(&body, reference.as_bytes()).unwrap(), (1, plain.into_bytes()));
}

proptest! {
    #[test]
    fn what_is_shut_can_be_opened_and_a_changed_byte_is_found(
        plain in prop::collection::vec(any::<u8>(), 0..500),
        reference in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let mut body = shut(1, &plain, &reference).unwrap();
        prop_assert_eq!(open(&body, &reference).unwrap(), (1, plain.clone()));
        let at = 1 + at.index(body.len() - 1);
        body[at] ^= change;
        // Some bits of a frame's header say nothing of what it holds.
        prop_assert!(open(&body, &reference).map_or(true, |(_, read)| read == plain));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = open(&bytes, &[]);
        let mut reader = Reader::new(&bytes);
        while reader.number().is_ok() && reader.bytes().is_ok() {}
    }

    #[test]
    fn numbers_survive(a in any::<u64>(), b in any::<i64>(), text in "\\PC{0,20}") {
        let mut writer = Writer::default();
        writer.number(a);
        writer.signed(b);
        writer.bytes(text.as_bytes());
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(
            (reader.number(), reader.signed(), reader.text()),
            (Ok(a), Ok(b), Ok(text.as_str()))
        );
        prop_assert!(reader.is_empty());
    }
}
