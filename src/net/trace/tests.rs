use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_hop_is_a_line_and_what_kept_it_from_leaving_is_one_too() {
    let answer = |from, micros, said| {
        Some(Answer { from: ip(from), after: Duration::from_micros(micros), said })
    };
    let trace = Trace {
        to: ip("192.0.2.9"),
        hops: vec![
            Hop { ttl: 1, answer: answer("10.0.0.1", 412, HopReply::Passing) },
            Hop { ttl: 2, answer: None },
            Hop {
                ttl: 3,
                answer: answer("192.0.2.1", 12_345, HopReply::Refused("host-unreachable")),
            },
        ],
        unsent: Some(Unsent::NoRoute.reason()),
    };
    assert!(!trace.reached());
    let lines = [
        "1 10.0.0.1 0.412 ms",
        "2 *",
        "3 192.0.2.1 12.345 ms host-unreachable",
        "not-sent/no-route",
    ];
    assert_eq!(trace.lines(), lines);
}

#[test]
fn an_answer_to_an_earlier_trace_or_another_target_is_nobody_s() {
    let refused =
        |whose| Arrival::Refused { whose, kind: "ttl-exceeded", from: Some(ip("10.0.0.1")) };
    let at = |whose| understood(refused(whose), ip("192.0.2.9"), 65_534).map(|(place, ..)| place);
    assert_eq!(
        at(Whose::Token(Token { lane: 3, send: 1 })),
        Some(3),
        "the numbers begin anew at 65536"
    );
    assert_eq!(at(Whose::Token(Token { lane: 3, send: 9 })), None);
    assert_eq!(at(Whose::Seq(ip("192.0.2.9"), 65_535)), Some(1));
    assert_eq!(at(Whose::Seq(ip("192.0.2.8"), 65_535)), None);
}
