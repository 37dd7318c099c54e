use super::*;
use proptest::prelude::*;

fn exact(text: &str) -> Exact {
    Exact::parse(text).unwrap()
}

#[test]
fn decimals_are_read_exactly_and_anything_else_is_refused() {
    assert_eq!(exact("99.90"), exact("99.9"));
    assert_eq!(&exact("0.1") + &exact("0.2"), exact("0.3"));
    assert_eq!(exact("-0.5"), Exact::ratio(-1, 2).unwrap());
    for text in
        ["", ".", "1.", ".5", "1e5", "1,5", " 1", "+1", "--1", "0x1", "1.2.3", "NaN", "\u{0661}"]
    {
        assert!(Exact::parse(text).is_err(), "{text:?}");
    }
    assert!(Exact::parse(&"9".repeat(61)).is_err());
}

#[test]
fn a_half_goes_where_the_contract_says() {
    for (text, up, down, even) in [
        ("55.005", "55.01", "55.00", "55.00"),
        ("55.015", "55.02", "55.01", "55.02"),
        ("55.004", "55.00", "55.00", "55.00"),
        ("-0.005", "-0.01", "0.00", "0.00"),
        ("0.0051", "0.01", "0.00", "0.01"),
    ] {
        let value = exact(text);
        assert_eq!(value.fixed(2, Rounding::HalfUp), up, "{text}");
        assert_eq!(value.fixed(2, Rounding::Down), down, "{text}");
        assert_eq!(value.fixed(2, Rounding::HalfEven), even, "{text}");
    }
    assert_eq!(exact("1234.5").fixed(0, Rounding::HalfUp), "1235");
}

#[test]
fn a_number_is_written_without_needless_zeros() {
    assert_eq!(exact("750.500").trimmed(6), "750.5");
    assert_eq!(exact("100").trimmed(6), "100");
    assert_eq!(Exact::ratio(2, 3).unwrap().trimmed(6), "0.666666");
    assert_eq!(Exact::zero().to_string(), "0");
}

#[test]
fn nothing_is_divided_by_zero() {
    assert_eq!(exact("1").over(&Exact::zero()), None);
    assert_eq!(Exact::ratio(1, 0), None);
}

proptest! {
    #[test]
    fn what_is_written_with_all_its_decimals_is_read_back(
        whole in -1_000_000_000i64..1_000_000_000,
        scale in 0u32..9,
    ) {
        let value = Exact::ratio(whole, 10i128.pow(scale)).unwrap();
        prop_assert_eq!(exact(&value.fixed(scale, Rounding::Down)), value.clone());
        prop_assert_eq!(exact(&value.trimmed(9)), value);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,80}") {
        let _ = Exact::parse(&text);
    }
}
