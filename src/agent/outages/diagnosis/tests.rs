use super::*;

#[test]
fn an_outage_of_a_run_before_is_told_at_its_end_with_what_the_judge_counted_since() {
    let reasons = json!({"refused/status-503": 421});
    let outage = Outage {
        service: None,
        probe: "portal".to_owned(),
        definition: "builtin".to_owned(),
        from: Wall::from_secs(1_700_000_000),
        to: Some(Wall::from_secs(1_700_000_421)),
        side: "customer".to_owned(),
        evidence: json!({"why": "known before", "reasons": reasons}),
    };
    let mut diagnosis = Diagnosis::new(Live::new("agent".to_owned()));
    let key = OutageKey::New(7);
    let told = diagnosis.closed(key, &outage).unwrap();
    assert_eq!(told, Attribution { key, side: outage.side, evidence: outage.evidence });
}
