use super::*;
use proptest::prelude::*;

#[test]
fn outcomes_are_written_as_runs_and_counted() {
    let all: Outcomes = "57a2l1a".parse().unwrap();
    assert_eq!((all.len(), all.count(Outcome::Lost), all.with_rtt()), (60, 2, 58));
    assert_eq!(all.to_string(), "57a2l1a");
    assert_eq!("".parse::<Outcomes>().unwrap(), Outcomes::default());
}

#[test]
fn what_is_no_run_of_outcomes_is_refused() {
    for text in
        ["a", "0a", "01a", "5", "5z", "5a3", "4294967295a1l", "99999999999a", "3 a", "-1a", "1é"]
    {
        assert!(text.parse::<Outcomes>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_sequence_survives_its_encoding(letters in "[atlunx]{0,200}") {
        let all: Outcomes = letters.chars().filter_map(Outcome::from_letter).collect();
        let back: Outcomes = all.to_string().parse().unwrap();
        prop_assert_eq!(&back, &all);
        prop_assert_eq!(back.iter().map(Outcome::letter).collect::<String>(), letters);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}") {
        let _ = text.parse::<Outcomes>();
    }
}
