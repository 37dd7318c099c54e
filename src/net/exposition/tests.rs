use super::*;

fn page(form: Form) -> String {
    let mut page = Page::new(form);
    page.family(Kind::Counter, "sends", "Sends.");
    page.sample(&[("probe", "a\"b")], 7);
    page.family(Kind::StateSet, "state", "State.");
    page.states(&[("probe", "a")], &["up", "down"], "down");
    page.family(Kind::Gauge, "store_bytes", "Bytes.");
    page.sample(&[], 12);
    String::from_utf8(page.end()).unwrap()
}

#[test]
fn whoever_asks_gets_the_form_that_they_want_most() {
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
        encoding=delimited";
    for (accept, form) in [
        ("", Form::Text),
        ("*/*", Form::Text),
        ("application/json", Form::Text),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Form::OpenMetrics,
        ),
        ("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.7", Form::Text),
        (
            &format!("{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1"),
            Form::Protobuf,
        ),
        (
            &format!("{protobuf};q=0.3,application/openmetrics-text;version=1.0.0;q=0.8"),
            Form::OpenMetrics,
        ),
        (
            "application/vnd.google.protobuf;proto=another;encoding=text,text/plain;q=0.1",
            Form::Text,
        ),
    ] {
        assert_eq!(Form::wanted(accept), form, "{accept}");
    }
}

#[test]
fn openmetrics_and_the_text_format_differ_where_their_pages_say_so() {
    let openmetrics = "# TYPE sends counter\n# HELP sends \
        Sends.\nsends_total{probe=\"a\\\"b\"} 7\n\
        # TYPE state stateset\n# HELP state State.\nstate{probe=\"a\",state=\"up\"} 0\n\
        state{probe=\"a\",state=\"down\"} 1\n\
        # TYPE store_bytes gauge\n# UNIT store_bytes bytes\n# HELP store_bytes \
        Bytes.\nstore_bytes 12\n# EOF\n";
    assert_eq!(page(Form::OpenMetrics), openmetrics);
    let text = openmetrics
        .replace("TYPE sends", "TYPE sends_total")
        .replace("HELP sends", "HELP sends_total");
    let text = text
        .replace("stateset", "gauge")
        .replace("# UNIT store_bytes bytes\n", "")
        .replace("# EOF\n", "");
    assert_eq!(page(Form::Text), text);
}

#[test]
fn a_bucket_holds_all_up_to_its_bound_and_those_of_the_buckets_before() {
    let mut spread = Spread::default();
    [0, 500_000, 500_001, 1_000_000_000, 60_000_000_000]
        .into_iter()
        .for_each(|nanos| spread.record_ns(nanos));
    let mut page = Page::new(Form::OpenMetrics);
    page.family(Kind::Histogram, "rtt_seconds", "RTT.");
    page.histogram(&[], &spread);
    let page = String::from_utf8(page.end()).unwrap();
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
