use serde_json::{Value, json};

use super::*;
use crate::evidence::key::PublicKey;
use crate::measure::histogram::Histogram;
use crate::measure::interval::{Interval, Phase, Spread};

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn packed(values: &[u64]) -> Packed {
    let mut histogram = Histogram::new();
    values.iter().for_each(|&value| {
        histogram.record_us(value);
    });
    histogram.pack().unwrap()
}

/// The page's own example, with real digests and histograms.
fn example() -> Value {
    let rtts: Vec<u64> = (0..58).map(|n| 23_500 + n * 17).collect();
    let sum: u64 = rtts.iter().sum::<u64>() * 1000;
    let interval = json!({
        "from": "2026-11-23T10:00:00Z", "seconds": 60, "first_ms": 412, "outcomes": "57a2l1a",
        "reasons": {"lost/timeout": 2}, "duplicates": 0, "reordered": 0, "kernel_stamped": 58,
        "rtt_us": packed(&rtts), "rtt_sum_ns": sum,
        "ipdv_us": packed(&[17; 56]), "ipdv_sum_ns": 17_000 * 56, "rfc3550_max_ns": 700_000,
        "phases_us": {"resolve": packed(&[5; 58]), "connect": packed(&[5; 58])}
    });
    json!({
        "v": 1, "agent": key().kid(), "site": "leeds-01", "chain": "0d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77",
        "seq": 1812, "prev": Digest::of(b"before"),
        "dropped": [{"chain": "1d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77", "from_seq": 3, "to_seq": 9}],
        "from": "2026-11-23T10:00:00Z", "to": "2026-11-23T10:05:00Z",
        "boot": "b", "software": "wanproof 0.1.0",
        "clock": {"state": "synchronised", "max_error_us": 1500, "steps": [{"at": "2026-11-23T10:04:00Z", "by_us": -2500000}]},
        "contracts": [{"id": "ACME-MPLS-2026", "version": 3, "sha256": Digest::of(b"toml").hex()}],
        "probes": [{
            "name": "hq-icmp", "service": "ckt-0042", "kind": "icmp", "target": "hq.example.net",
            "address": "192.0.2.1", "period_ms": 1000, "timeout_ms": 2000, "cutoff_ms": 1000, "settings": "s",
            "intervals": [interval]
        }],
        "link": [{"interface": "wan0", "carrier": "up", "changes": [{"at": "2026-11-23T10:01:00Z", "carrier": "down"}],
                  "rx_bytes": 1, "tx_bytes": 1, "cpu_percent": 12.5}],
        "outages": [{"service": "ckt-0042", "probe": "hq-icmp", "from": "2026-11-23T10:00:57.412Z", "to": null,
                     "definition": "ACME-MPLS-2026/3#avail", "side": "provider",
                     "evidence": {"gateway": "answered", "carrier": "up", "trace": ["a"]}}],
        "verdicts": [{"contract": "ACME-MPLS-2026", "version": 3, "service": "ckt-0042", "objective": "avail",
                      "period": "2026-11", "result": "met", "actual": "99.981", "target": "99.9", "coverage": "100.00"}]
    })
}

/// A summary without anything measured.
pub(in crate::evidence) fn empty(agent: Kid) -> Summary {
    let mut value = example();
    for list in ["dropped", "probes", "link", "outages", "verdicts"] {
        value[list] = json!([]);
    }
    Summary { agent, ..serde_json::from_value(value).unwrap() }
}

#[test]
fn every_list_of_a_summary_has_a_bound() {
    let many = |one: Value| Value::Array(vec![one; 4097]);
    let of = |pointer: &str| example().pointer(pointer).unwrap().clone();
    for pointer in [
        "/clock/steps",
        "/contracts",
        "/probes",
        "/link",
        "/outages",
        "/verdicts",
        "/link/0/changes",
        "/probes/0/intervals",
    ] {
        let one = of(&format!("{pointer}/0"));
        let fault = read_value(&with(pointer, many(one))).unwrap_err().to_string();
        assert!(fault.contains("of at most 4096"), "{pointer}: {fault}");
    }
    let reasons: serde_json::Map<String, Value> =
        (0..4097).map(|n| (format!("lost/{n}"), json!(0))).collect();
    let fault = read_value(&with("/probes/0/intervals/0/reasons", Value::Object(reasons)))
        .unwrap_err()
        .to_string();
    assert!(fault.contains("of at most 4096"), "{fault}");
    let ranges = |count| with("/dropped", Value::Array(vec![of("/dropped/0"); count]));
    assert!(read_value(&ranges(64)).is_ok());
    assert!(read_value(&ranges(65)).unwrap_err().to_string().contains("of at most 64"));
    let trace = with("/outages/0/evidence/trace", json!(vec![""; 1024]));
    assert!(read_value(&trace).unwrap_err().to_string().contains("of at most 1024"));
}

#[test]
fn the_digest_of_settings_has_a_bound_of_its_own() {
    let settings = |length| with("/probes/0/settings", json!("s".repeat(length)));
    assert!(read_value(&settings(200)).is_ok());
    assert!(read_value(&settings(201)).unwrap_err().to_string().contains("of at most 200"));
}

fn read_value(value: &Value) -> Result<Summary, NotASummary> {
    read(&serde_json::to_vec(value).unwrap())
}

/// The example with one place replaced; with [`Value::Null`] under the name `-`, without it.
fn with(pointer: &str, to: Value) -> Value {
    let mut value = example();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(members) => members.insert(name.to_owned(), to),
        Value::Array(items) => {
            Some(std::mem::replace(&mut items[name.parse::<usize>().unwrap()], to))
        }
        _ => panic!("{pointer}"),
    };
    value
}

fn without(pointer: &str) -> Value {
    let mut value = example();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let members = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    members.remove(name).unwrap_or_else(|| panic!("{pointer}"));
    value
}

const INTERVAL: &str = "/probes/0/intervals/0";

#[test]
fn the_pages_example_is_read_and_written_again() {
    let summary = read_value(&example()).unwrap();
    assert_eq!(summary.probes[0].intervals[0].outcomes.to_string(), "57a2l1a");
    let again: Value = serde_json::to_value(&summary).unwrap();
    assert_eq!(again, example());
}

#[test]
fn members_that_are_not_known_are_ignored_everywhere() {
    for place in [
        "",
        "/clock",
        "/contracts/0",
        "/probes/0",
        INTERVAL,
        "/link/0",
        "/outages/0",
        "/verdicts/0",
    ] {
        let value = with(&format!("{place}/later"), json!({"deep": [1, {"er": "x"}]}));
        read_value(&value).unwrap();
    }
    read_value(&with(&format!("{INTERVAL}/phases_us/quic"), json!({"any": 1}))).unwrap();
    read_value(&with(
        &format!("{INTERVAL}/reasons"),
        json!({"lost/timeout": 1, "lost/else": 1, "probe/limited": 99}),
    ))
    .unwrap();
}

#[test]
fn what_may_be_absent_may_be_null_too() {
    for place in [
        "/follows".to_owned(),
        "/dropped".to_owned(),
        "/clock/max_error_us".to_owned(),
        "/clock/steps".to_owned(),
        "/probes/0/service".to_owned(),
        "/probes/0/address".to_owned(),
        "/link/0/cpu_percent".to_owned(),
        "/outages/0/service".to_owned(),
        "/outages/0/to".to_owned(),
        format!("{INTERVAL}/first_ms"),
        format!("{INTERVAL}/rtt_sum_ns"),
        format!("{INTERVAL}/ipdv_sum_ns"),
        format!("{INTERVAL}/rfc3550_max_ns"),
        format!("{INTERVAL}/phases_us"),
        "/next_key".to_owned(),
    ] {
        read_value(&with(&place, Value::Null))
            .unwrap_or_else(|error| panic!("{place} null: {error}"));
        let mut value = with(&place, Value::Null);
        let (parent, name) = place.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        read_value(&value).unwrap_or_else(|error| panic!("{place} absent: {error}"));
    }
    for place in ["/contracts", "/probes", "/link", "/outages", "/verdicts"] {
        read_value(&with(place, json!([]))).unwrap();
    }
    // No answer at all: no histograms.
    let mut value = with(&format!("{INTERVAL}/outcomes"), json!("60l"));
    let interval = value.pointer_mut(INTERVAL).unwrap().as_object_mut().unwrap();
    for name in ["rtt_us", "rtt_sum_ns", "ipdv_us", "ipdv_sum_ns", "phases_us"] {
        interval.insert(name.to_owned(), Value::Null);
    }
    interval.insert("kernel_stamped".to_owned(), json!(0));
    read_value(&value).unwrap();
}

#[test]
fn what_the_page_demands_may_not_be_absent() {
    let mut places: Vec<String> = Vec::new();
    for (at, names) in [
        (
            "",
            "v agent site chain seq prev from to boot software clock contracts probes link \
                outages verdicts",
        ),
        ("/clock", "state"),
        ("/contracts/0", "id version sha256"),
        ("/probes/0", "name kind target period_ms timeout_ms cutoff_ms settings intervals"),
        (
            INTERVAL,
            "from seconds outcomes reasons duplicates reordered kernel_stamped rtt_us ipdv_us",
        ),
        ("/link/0", "interface carrier changes rx_bytes tx_bytes"),
        ("/outages/0", "probe from definition side evidence"),
        ("/verdicts/0", "contract version objective period result target"),
    ] {
        places.extend(names.split(' ').map(|name| format!("{at}/{name}")));
    }
    for place in places {
        assert!(matches!(read_value(&without(&place)), Err(NotASummary::Malformed(_))), "{place}");
        assert!(
            matches!(read_value(&with(&place, Value::Null)), Err(NotASummary::Malformed(_))),
            "{place} null"
        );
    }
}

#[test]
fn another_version_is_told_apart_from_what_is_malformed() {
    assert_eq!(read(br#"{"v":2,"anything":[]}"#), Err(NotASummary::Version(2)));
    for bytes in [&br#"{"v":"1"}"#[..], br#"{"v":-1}"#, b"[]", b"null", b"", b"{", br#"{"v":1}"#] {
        assert!(
            matches!(read(bytes), Err(NotASummary::Malformed(_))),
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn what_does_not_add_up_is_refused_with_its_place() {
    let at = |name: &str| format!("{INTERVAL}/{name}");
    for (place, to, part) in [
        ("/agent".to_owned(), json!("x"), "digest"),
        ("/chain".into(), json!("0D8F6A0C6E0B4C0F9B0F2F6F0A6D1C77"), "hexadecimal"),
        ("/seq".into(), json!(-1), "invalid"),
        ("/seq".into(), json!(1.5), "invalid"),
        ("/seq".into(), json!(1u64 << 53), "seq"),
        ("/seq".into(), json!(0), "prev"),
        ("/prev".into(), json!("AAAA"), "digest"),
        (
            "/follows".into(),
            json!({"chain": "1d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77", "seq": 1, "digest": Digest::of(b"")}),
            "follows",
        ),
        (
            "/dropped".into(),
            json!([{"chain": "1d8f6a0c6e0b4c0f9b0f2f6f0a6d1c77", "from_seq": 3, "to_seq": 2}]),
            "dropped",
        ),
        ("/from".into(), json!("2026-11-23T10:05:01Z"), "before"),
        ("/from".into(), json!("2026-11-23T11:00:00+01:00"), "UTC"),
        ("/to".into(), json!("2026-11-23T11:00:01Z"), "hour"),
        ("/to".into(), json!("2026-11-23T10:00:59Z"), "span"),
        ("/clock/state".into(), json!("good"), "unknown variant"),
        ("/contracts/0/sha256".into(), json!("AB"), "hexadecimal"),
        ("/probes/0/period_ms".into(), json!(0), "period_ms"),
        ("/probes/0/period_ms".into(), json!(500), "outcomes"),
        ("/probes/0/name".into(), json!("x".repeat(201)), "201 characters"),
        ("/boot".into(), json!("x".repeat(5000)), "bytes"),
        (at("from"), json!("2026-11-23T09:59:00Z"), "span"),
        (at("from"), json!("2026-11-23T10:00:01Z"), "minute"),
        (at("seconds"), json!(59.9999), "decimals"),
        (at("seconds"), json!(61), "at most 60"),
        (at("seconds"), json!(58), "outcomes"),
        (at("first_ms"), json!(60_001), "first_ms"),
        (at("first_ms"), json!(-1), "invalid"),
        (at("outcomes"), json!("57a2l2a"), "histogram"),
        (at("outcomes"), json!("57a1l2a"), "reasons"),
        (at("outcomes"), json!("57a2q1a"), "run of outcomes"),
        (at("outcomes"), json!("4294967295a"), "outcomes"),
        (at("reasons"), json!({"lost/timeout": 3}), "reasons"),
        (at("reasons"), json!({"lost/timeout": 2, "not-sent/carrier": 1}), "reasons"),
        (at("reasons"), json!({"rtt/clamped": 59}), "clamped"),
        (at("reasons"), json!({"lost/timeout": -2}), "invalid"),
        (at("duplicates"), json!(-1), "invalid"),
        (at("kernel_stamped"), json!(59), "kernel_stamped"),
        (at("rtt_us"), json!(packed(&[24_000; 57])), "57 values"),
        (at("rtt_us"), json!(packed(&[24_000; 59])), "59 values"),
        (at("rtt_us"), json!("HISTFAAA"), "histogram"),
        (at("rtt_us"), json!("=HISTFAAA"), "base64"),
        (at("rtt_sum_ns"), json!(1_000_000), "sum"),
        (at("rtt_sum_ns"), json!(u64::MAX), "sum"),
        (at("ipdv_us"), json!(packed(&[17; 57])), "57 values"),
        (at("ipdv_us"), json!(packed(&[17; 55])), "55 values"),
        (at("ipdv_sum_ns"), json!(0), "sum"),
        (at("phases_us/connect"), json!("HISTFAAA"), "phases_us.connect"),
        ("/link/0/carrier".into(), json!("sideways"), "unknown variant"),
        ("/link/0/rx_bytes".into(), json!(-1), "invalid"),
        ("/link/0/cpu_percent".into(), json!(-0.5), "negative"),
        ("/outages/0/to".into(), json!("2026-11-23T10:00:00Z"), "before"),
        ("/outages/0/side".into(), json!("theirs"), "unknown variant"),
        ("/next_key".into(), json!("a.b.c"), "next_key"),
    ] {
        let error =
            read_value(&with(&place, to.clone())).expect_err(&format!("{place} {to}")).to_string();
        assert!(error.contains(part), "{place} {to}: {error}");
    }
}

#[test]
fn no_text_holds_what_cannot_be_shown_and_names_are_not_empty() {
    let texts = [
        "/site",
        "/boot",
        "/software",
        "/contracts/0/id",
        "/probes/0/name",
        "/probes/0/service",
        "/probes/0/kind",
        "/probes/0/target",
        "/probes/0/address",
        "/probes/0/settings",
        "/link/0/interface",
        "/outages/0/service",
        "/outages/0/probe",
        "/outages/0/definition",
        "/verdicts/0/contract",
        "/verdicts/0/service",
        "/verdicts/0/objective",
        "/verdicts/0/period",
        "/verdicts/0/result",
        "/verdicts/0/actual",
        "/verdicts/0/target",
        "/verdicts/0/coverage",
    ];
    for place in texts {
        for text in ["a\0", "\u{1b}[2Ja", "a\nb", "a\u{202e}b", "a\u{85}b", "\u{feff}a"] {
            let error = read_value(&with(place, json!(text))).expect_err(place).to_string();
            assert!(error.contains("no printable character"), "{place} {text:?}: {error}");
        }
    }
    for place in [
        "/site",
        "/contracts/0/id",
        "/probes/0/name",
        "/probes/0/service",
        "/probes/0/target",
        "/outages/0/probe",
    ] {
        assert!(read_value(&with(place, json!(""))).is_err(), "{place} is empty");
        assert!(
            read_value(&with(place, json!("é".repeat(200)))).is_ok(),
            "{place} has 200 characters"
        );
        assert!(
            read_value(&with(place, json!("é".repeat(201)))).is_err(),
            "{place} has 201 characters"
        );
    }
    for reason in ["", "lost/\0", "lost/\u{202e}", &"x".repeat(201)] {
        assert!(
            read_value(&with(&format!("{INTERVAL}/reasons"), json!({reason: 0}))).is_err(),
            "{reason:?}"
        );
    }
}

#[test]
fn a_span_outside_of_what_can_be_believed_is_refused_and_one_at_its_edge_is_not() {
    let at = |text: &str| text.parse::<Wall>().unwrap();
    let (enrolled, now) = (at("2026-11-23T10:00:00Z"), at("2027-01-01T00:00:00Z"));
    let check = |from: &str, to: &str| {
        check_window(at(from), at(to), enrolled, now).map_err(|fault| fault.to_string())
    };
    assert_eq!(check("2025-10-19T10:00:00Z", "2025-10-19T10:05:00Z"), Ok(()));
    assert!(
        check("2025-10-19T09:59:59Z", "2025-10-19T10:00:00Z")
            .unwrap_err()
            .contains("400 days before")
    );
    assert_eq!(check("2027-01-01T23:55:00Z", "2027-01-02T00:00:00Z"), Ok(()));
    assert!(
        check("2027-01-01T23:55:00Z", "2027-01-02T00:00:00.000000001Z")
            .unwrap_err()
            .contains("a day ahead")
    );
    assert!(check("2261-12-31T23:00:00Z", "2261-12-31T23:05:00Z").is_err());
    // A clock at the end of what nanoseconds can say bounds nothing, and breaks nothing.
    assert_eq!(
        check_window(enrolled, enrolled, Wall::from_nanos(i64::MIN), Wall::from_nanos(i64::MAX)),
        Ok(())
    );
}

#[test]
fn figures_at_the_edge_of_what_is_allowed_are_taken() {
    for (place, to) in [
        ("first_ms", json!(0)),
        ("seconds", json!(59)),
        ("seconds", json!(60.0)),
        ("reasons", json!({})),
        ("kernel_stamped", json!(0)),
    ] {
        let value = with(&format!("{INTERVAL}/{place}"), to.clone());
        read_value(&value).unwrap_or_else(|error| panic!("{place} {to}: {error}"));
    }
    // A value was rounded to whole microseconds, up or down, before it was recorded; its sum was
    // not.
    let values: Vec<u64> = (0..58).map(|n| 23_500 + n * 17).collect();
    let sum = values.iter().sum::<u64>() * 1000;
    for sum in [sum - 58 * 999, sum + 58 * 999] {
        read_value(&with(&format!("{INTERVAL}/rtt_sum_ns"), json!(sum))).unwrap();
    }
    // A period longer than the interval: no send is due, or one.
    let mut value = with("/probes/0/period_ms", json!(300_000));
    let interval = value.pointer_mut(INTERVAL).unwrap().as_object_mut().unwrap();
    for name in ["rtt_us", "rtt_sum_ns", "ipdv_us", "ipdv_sum_ns", "phases_us", "first_ms"] {
        interval.remove(name);
    }
    interval.insert("outcomes".into(), json!(""));
    interval.insert("reasons".into(), json!({}));
    interval.insert("kernel_stamped".into(), json!(0));
    read_value(&value).unwrap();
}

#[test]
fn what_is_signed_is_numbered_and_chained_and_read_back() {
    let key = key();
    let chain = ChainId::from_bytes([7; 16]);
    let follows = Follows { chain: ChainId::from_bytes([6; 16]), seq: 3, digest: Digest::of(b"x") };
    let mut head = Head::new(chain, Some(follows));
    let template = read_value(&example()).unwrap();
    let mut before: Option<Signed> = None;
    for seq in 0..3 {
        let signed = head.sign(template.clone(), &key).unwrap();
        let payload =
            jws::parse(signed.jws.as_bytes(), Typ::Summary).unwrap().verify(key.public()).unwrap();
        let summary = read(&payload).unwrap();
        assert_eq!((summary.seq, signed.seq, summary.chain), (seq, seq, chain));
        assert_eq!(summary.prev, before.map(|before| before.digest));
        assert_eq!(summary.follows, (seq == 0).then_some(follows));
        assert_eq!(signed.digest, Digest::of(signed.jws.as_bytes()));
        before = Some(signed);
    }
}

#[test]
fn a_summary_that_does_not_add_up_is_not_signed_and_uses_no_number() {
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let mut summary = read_value(&example()).unwrap();
    summary.probes[0].intervals[0].kernel_stamped = 59;
    assert!(head.sign(summary, &key()).is_err());
    assert_eq!((head.next, head.prev), (0, None));
}

#[test]
fn a_next_key_is_named_in_a_summary_that_both_keys_sign() {
    let (key, next) = (key(), SecretKey::from_seed(&[2; 32]));
    let mut head = Head::new(ChainId::from_bytes([7; 16]), None);
    let signed = head.sign_with_next_key(read_value(&example()).unwrap(), &key, &next).unwrap();
    let payload =
        jws::parse(signed.jws.as_bytes(), Typ::Summary).unwrap().verify(key.public()).unwrap();
    let summary = read(&payload).unwrap();
    let named: PublicKey =
        rotation::verify(summary.next_key.as_deref().unwrap(), key.kid(), signed.chain, signed.seq)
            .unwrap();
    assert_eq!(named, *next.public());
    // Carried over into another summary it is worth nothing.
    let mut stolen = read_value(&example()).unwrap();
    stolen.next_key = summary.next_key;
    assert!(check(&stolen).is_err());
}

/// The summaries that a span is laid out on.
fn split(whole: &Summary) -> Vec<Summary> {
    let mut besides = Summary { probes: Vec::new(), ..whole.clone() };
    let lengths = |probe: &ProbePart| Lengths {
        head: length(&ProbePart { intervals: Vec::new(), ..probe.clone() }),
        intervals: probe.intervals.iter().map(length).collect(),
    };
    let layout = Layout::of(&besides, whole.probes.iter().map(lengths)).unwrap();
    assert_eq!(layout.left_out, []);
    let part = |pieces: Vec<Piece>| {
        let piece = |Piece { probe, intervals }: Piece| {
            let probe = &whole.probes[probe];
            ProbePart { intervals: probe.intervals[intervals].to_vec(), ..probe.clone() }
        };
        let next = bare(&besides);
        Summary {
            probes: pieces.into_iter().map(piece).collect(),
            ..std::mem::replace(&mut besides, next)
        }
    };
    layout.parts.into_iter().map(part).collect()
}

#[test]
fn the_length_that_an_interval_has_at_most_is_no_less_than_its_length_and_for_a_minute_not_much_more()
 {
    let of = |values: u64| {
        let mut interval =
            read_value(&example()).unwrap().probes[0].intervals().next().unwrap().unwrap();
        let values: Vec<u64> =
            (0..values).map(|n| ((n * 0x9e37_79b9 + n * n * n) % 50_000_000) >> (n % 16)).collect();
        let packed = packed(&values);
        interval.phases = Phase::ALL.map(|phase| (phase, packed.clone())).into();
        interval.rtt = Some(Spread { histogram: packed, sum_ns: 0 });
        (length(&IntervalPart::from(interval.clone())), IntervalPart::length_at_most(interval))
    };
    for values in [1, 2, 60, 600, 6_000] {
        let (exactly, at_most) = of(values);
        assert!(exactly <= at_most, "{values} values: {exactly} and {at_most}");
        assert!(
            values > 60 || at_most < exactly * 3 / 2,
            "{values} values: {exactly} and {at_most}"
        );
    }
    // What would fill a summary is told exactly.
    let (exactly, at_most) = of(300_000);
    assert_eq!(exactly, at_most);
}

#[test]
fn a_large_span_is_split_by_probe_and_nothing_is_lost() {
    let mut whole = read_value(&example()).unwrap();
    let mut noisy = whole.probes[0].clone();
    let values: Vec<u64> = (0..58u64).map(|n| 1_000 + n * n * 997).collect();
    noisy.intervals[0].rtt_us = Some(packed(&values));
    noisy.intervals[0].rtt_sum_ns = None;
    let minutes: Vec<IntervalPart> = (0..5)
        .map(|minute| IntervalPart {
            from: whole.from + std::time::Duration::from_secs(60 * minute),
            ..noisy.intervals[0].clone()
        })
        .collect();
    whole.probes = (0..500)
        .map(|n| ProbePart { name: format!("p{n}"), intervals: minutes.clone(), ..noisy.clone() })
        .collect();
    // One probe that is too much by itself.
    let many: Vec<IntervalPart> = (0..2000).map(|n| minutes[n % 5].clone()).collect();
    whole.probes.insert(300, ProbePart { name: "big".into(), intervals: many, ..noisy });
    let parts = split(&whole);
    assert!(parts.len() > 2);
    let mut head = Head::new(whole.chain, None);
    let mut probes: Vec<ProbePart> = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        assert_eq!((part.from, part.to), (whole.from, whole.to));
        assert_eq!(part.outages.len(), usize::from(index == 0));
        let signed = head.sign(part.clone(), &key()).unwrap().jws;
        assert!(signed.len() <= LIMIT / 4, "a router has memory for {} bytes", signed.len());
        for probe in part.probes {
            match probes.last_mut() {
                Some(last) if last.name == probe.name => last.intervals.extend(probe.intervals),
                _ => probes.push(probe),
            }
        }
    }
    assert_eq!(probes, whole.probes);
    let small = read_value(&example()).unwrap();
    assert_eq!(split(&small), [small]);
}

#[test]
fn a_probe_of_which_one_interval_is_too_much_is_left_out_alone() {
    let besides = Summary { probes: Vec::new(), ..read_value(&example()).unwrap() };
    let lengths = |interval| Lengths { head: 300, intervals: vec![500, interval] };
    let layout = Layout::of(&besides, [500, LIMIT, 600].map(lengths)).unwrap();
    assert_eq!(layout.parts, [[0, 2].map(|probe| Piece { probe, intervals: 0..2 })]);
    assert_eq!(layout.left_out.into_iter().map(|(probe, _)| probe).collect::<Vec<_>>(), [1]);
}

#[test]
fn what_cannot_be_split_is_as_long_as_it_must_be_and_refused_beyond_the_limit() {
    let mut whole = read_value(&example()).unwrap();
    let told =
        |length| serde_json::Map::from_iter([("said".to_owned(), "x".repeat(length).into())]);
    whole.outages[0].evidence = told(300 * 1024);
    let parts = split(&whole);
    assert_eq!(
        parts.iter().map(|part| part.probes.len()).collect::<Vec<_>>(),
        [0, whole.probes.len()]
    );
    let key = key();
    let mut head = Head::new(whole.chain, None);
    assert!(parts.into_iter().all(|part| head.sign(part, &key).unwrap().jws.len() <= LIMIT));
    whole.outages[0].evidence = told(LIMIT);
    assert!(Layout::of(&whole, []).is_err());
}

#[test]
fn an_interval_is_the_same_after_its_way_through_a_summary() {
    let interval = Interval {
        from: "2026-11-23T10:00:00.25Z".parse().unwrap(),
        millis: 59_750,
        first_ms: 162,
        period_ms: 1000,
        outcomes: "57a2l1a".parse().unwrap(),
        reasons: BTreeMap::from([("lost/timeout".to_owned(), 2)]),
        duplicates: 1,
        reordered: 2,
        kernel_stamped: 3,
        rtt: Some(Spread { histogram: packed(&[24_000; 58]), sum_ns: 24_000_000 * 58 }),
        ipdv: Some(Spread { histogram: packed(&[0; 56]), sum_ns: 56 }),
        rfc3550_max_ns: Some(5),
        phases: BTreeMap::from([(Phase::Tls, packed(&[7]))]),
    };
    let mut summary = read_value(&example()).unwrap();
    summary.probes[0].intervals = vec![interval.clone().into()];
    let summary = read(&serde_json::to_vec(&summary).unwrap()).unwrap();
    let back: Vec<Interval> = summary.probes[0].intervals().map(Result::unwrap).collect();
    assert_eq!(back, [interval]);
}

#[test]
fn a_sum_that_is_absent_is_derived_from_the_histogram() {
    let mut summary = read_value(&example()).unwrap();
    summary.probes[0].intervals[0].rtt_sum_ns = None;
    let interval = summary.probes[0].intervals().next().unwrap().unwrap();
    let exact: u64 = (0..58).map(|n| 23_500 + n * 17).sum::<u64>() * 1000;
    let derived = interval.rtt.unwrap().sum_ns;
    assert!(derived.abs_diff(exact) < exact / 1000, "{derived} {exact}");
}

proptest::proptest! {
    #[test]
    fn a_payload_with_one_wrong_byte_is_read_or_refused_without_a_panic(at in proptest::prelude::any::<proptest::sample::Index>(), to in proptest::prelude::any::<u8>()) {
        let mut bytes = serde_json::to_vec(&example()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = read(&bytes);
    }
}
