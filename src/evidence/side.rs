//! Whose side an outage lies on: a rule over what was seen around its beginning, and the record of
//! that.
//!
//! A *reference* is a probe of something on the customer's side of the line (`role = "reference"`:
//! the gateway, the CPE), measured by the same host at the same time. [`TABLE`] is the rule: the
//! first row that applies decides. It stands in docs/operations.md too, and a test holds the two
//! equal.
//!
//! What the table cannot know is whose the target is. Where the target itself has answered, the
//! path is not what failed, and the side is unknown: a contract says whether that counts (`sides`),
//! and an event or a ticket may say `third_party`.
//!
//! Public is what is neither private (RFC 1918, RFC 4193), link-local nor loopback; the shared
//! space of RFC 6598 belongs to carriers, and counts as public. Being busy does not excuse what the
//! references show: the same busy host measured them.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::measure::carrier::Carrier;
use crate::measure::outcome::Outcome;
use crate::sla::terms::Side;

/// This host was busy when its processors were, by so many percent or more.
pub const BUSY_PERCENT: f64 = 95.0;

/// What was seen around an outage's beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What the probe asked for.
    pub asked: ProbeSubject,
    /// What became of its sends since the outage began.
    pub sends: Tally,
    /// The carrier of the interface that it leaves by: down when it was at any time since.
    pub carrier: Carrier,
    /// The next hop, when the link was asked for its hardware address and nobody said it.
    pub silent_hop: Option<NextHop>,
    /// The references, by name, with what became of their sends since the outage began.
    pub references: Vec<(String, Tally)>,
    /// Other probes of the same address by the same circuit, by name, with what became of their
    /// sends since the outage began.
    pub same_target: Vec<(String, Tally)>,
    /// How busy this host's processors were, of 100.
    pub cpu_percent: Option<f64>,
    /// What went over the interface just before, this host's own load included.
    pub traffic: Option<Traffic>,
    /// The ICMP errors that sends since the outage began were refused with: who said what.
    pub refused_by: Vec<(IpAddr, String)>,
    /// What a trace towards the target saw.
    pub traced: Option<Traced>,
}

/// The first to whom a packet is handed on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// Its address: the gateway's, or the target's own where that is on the link.
    pub address: IpAddr,
    /// The interface that leads to it.
    pub interface: String,
}

/// What a probe asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeSubject {
    /// An echo: any host that is reached answers.
    Echo,
    /// A service, which may fail although its host is reached.
    Service,
}

/// What an interface carried over some seconds. The rule does not ask for it; it tells people
/// whether the line was full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The interface.
    pub interface: String,
    /// Over how many milliseconds.
    pub millis: u64,
    /// Bytes received and sent.
    pub bytes: [u64; 2],
    /// Packets received and to be sent that were damaged or dropped by this host.
    pub lost: [u64; 2],
}

/// How many of some sends ended how. What was not observed is in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Answered, in time or late.
    pub answered: u32,
    /// Lost or refused.
    pub failed: u32,
    /// Those of the failed that the target itself refused: packets went there and back.
    pub by_target: u32,
    /// Not sent.
    pub not_sent: u32,
}

/// What a trace saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// One line for each hop.
    pub lines: Vec<String>,
    /// Whether the target itself answered.
    pub reached: bool,
    /// The routers that answered.
    pub routers: Vec<IpAddr>,
}

/// A row of the rule.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What was seen while the probe failed.
    pub seen: &'static str,
    /// Whose side it is then.
    pub side: Side,
    /// Why, in words: an outage's `evidence` has them.
    pub why: &'static str,
    applies: fn(&Seen) -> bool,
}

/// The rule. The first row that applies decides; the last one always does.
pub const TABLE: [Row; 12] = [
    Row {
        seen: "the interface had no carrier at some time",
        side: Side::Unknown,
        why: "the interface had no carrier: cable, power and line end look the same from here",
        applies: |seen| seen.carrier == Carrier::Down,
    },
    Row {
        seen: "none of the probe's packets left this host",
        side: Side::Customer,
        why: "none of the probe's packets left this host",
        applies: |seen| seen.sends.not_sent > 0 && seen.sends.answered + seen.sends.failed == 0,
    },
    Row {
        seen: "the target itself refused some of them: a status, a certificate, a body, a reset, \
            a DNS code, its own ICMP error",
        side: Side::Unknown,
        why: "the target itself answered and refused: packets went there and back, and the \
            service failed",
        applies: |seen| seen.sends.by_target > 0,
    },
    Row {
        seen: "another probe of the same address, by the same circuit, was answered throughout (a \
            refusal by the target itself is an answer)",
        side: Side::Unknown,
        why: "another probe of the same target was answered meanwhile: the path carried",
        applies: |seen| {
            seen.same_target.iter().any(|(_, tally)| tally.reference() == Reference::Answered)
        },
    },
    Row {
        seen: "the next hop (the gateway, or a target on the link itself) never said its hardware \
            address",
        side: Side::Customer,
        why: "the next hop did not say its hardware address: nothing came further than this link",
        applies: |seen| seen.silent_hop.is_some(),
    },
    Row {
        seen: "a reference (`role = \"reference\"`: the gateway, the CPE) did not answer at all, \
            not even by a refusal of its own",
        side: Side::Customer,
        why: "a reference did not answer either: the fault is at it or before it",
        applies: |seen| seen.references() == Reference::Silent,
    },
    Row {
        seen: "all references answered; a service was asked (HTTP, TCP, DNS), and its host \
            answered the trace",
        side: Side::Unknown,
        why: "the target answered a trace: the path carried, and the service failed",
        applies: |seen| {
            seen.references() == Reference::Answered
                && seen.asked == ProbeSubject::Service
                && seen.reached()
        },
    },
    Row {
        seen: "all references answered",
        side: Side::Provider,
        why: "the references answered meanwhile: the fault is beyond them",
        applies: |seen| seen.references() == Reference::Answered,
    },
    Row {
        seen: "references answered at times, or there is none; and this host was busy",
        side: Side::Unknown,
        why: "this host was busy, and no reference answered throughout",
        applies: Seen::is_busy,
    },
    Row {
        seen: "the same, not busy, and the target answered the trace",
        side: Side::Unknown,
        why: "the target answered a trace: the path carried, or carried again",
        applies: Seen::reached,
    },
    Row {
        seen: "the same, and a router with a public address answered the trace, and the target \
            did not",
        side: Side::Provider,
        why: "a router with a public address answered a trace, and the target did not",
        applies: |seen| seen.routers().any(is_public),
    },
    Row {
        seen: "anything else",
        side: Side::Unknown,
        why: "no reference probe is configured that could tell, and no trace came beyond private \
            addresses",
        applies: |_| true,
    },
];

/// What a reference, or all of them, did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    Answered,
    Silent,
    /// At times, or not heard of.
    Unclear,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered | Outcome::Late => self.answered += 1,
            Outcome::Lost | Outcome::Refused => self.failed += 1,
            Outcome::NotSent => self.not_sent += 1,
            Outcome::NotObserved => {}
        }
    }

    /// What a reference, or another probe of the target, proves of the way to it: a refusal of its
    /// own is an answer, too.
    const fn reference(self) -> Reference {
        match (self.answered + self.by_target, self.failed - self.by_target) {
            (0, 0) => Reference::Unclear,
            (0, _) => Reference::Silent,
            (_, 0) => Reference::Answered,
            _ => Reference::Unclear,
        }
    }
}

impl FromIterator<Outcome> for Tally {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut all = Self::default();
        outcomes.into_iter().for_each(|outcome| all.add(outcome));
        all
    }
}

impl Seen {
    /// Whose side it is: the first row of [`TABLE`] that applies.
    #[must_use]
    pub fn finding(&self) -> &'static Row {
        TABLE.iter().find(|row| (row.applies)(self)).expect("the last row always applies")
    }

    /// Whether what was seen of the target up to an outage's end overturns that it was the path:
    /// the target itself answered at least half of what failed, or another probe of it was answered
    /// throughout, and more than once. A single answer at the very end, when the path may carry
    /// again, does not.
    #[must_use]
    pub fn is_target_s_word(&self) -> bool {
        let Tally { failed, by_target, .. } = self.sends;
        let heard = |tally: &Tally| tally.answered + tally.by_target;
        let throughout =
            |tally: &Tally| tally.reference() == Reference::Answered && heard(tally) > 1;
        by_target > 0 && by_target >= failed - by_target
            || self.same_target.iter().any(|(_, tally)| throughout(tally))
    }

    fn reached(&self) -> bool {
        self.traced.as_ref().is_some_and(|traced| traced.reached)
    }

    fn routers(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.traced.iter().flat_map(|traced| &traced.routers).copied()
    }

    /// All references together: the worst, and unclear when there is none.
    fn references(&self) -> Reference {
        let mut all = self.references.iter().map(|(_, tally)| tally.reference());
        if all.clone().any(|each| each == Reference::Silent) {
            Reference::Silent
        } else if !self.references.is_empty() && all.all(|each| each == Reference::Answered) {
            Reference::Answered
        } else {
            Reference::Unclear
        }
    }

    fn is_busy(&self) -> bool {
        self.cpu_percent.is_some_and(|percent| percent >= BUSY_PERCENT)
    }

    /// What was seen and what was made of it, as an outage's evidence. What is not known is absent.
    #[must_use]
    pub fn evidence(&self) -> Map<String, Value> {
        let word = |reference| match reference {
            Reference::Answered => "answered",
            Reference::Silent => "silent",
            Reference::Unclear => "unclear",
        };
        let tally = |tally: &Tally| {
            let mut told = json!({"answered": tally.answered, "failed": tally.failed, "not_sent": tally.not_sent});
            if tally.by_target > 0 {
                told["refused_by_target"] = json!(tally.by_target);
            }
            told
        };
        let mut all = Map::new();
        all.insert("why".to_owned(), json!(self.finding().why));
        all.insert("carrier".to_owned(), json!(self.carrier));
        all.insert("sends".to_owned(), tally(&self.sends));
        if let Some(NextHop { address, interface }) = &self.silent_hop {
            all.insert(
                "silent_next_hop".to_owned(),
                json!({"address": address, "interface": interface}),
            );
        }
        if !self.same_target.is_empty() {
            let each = self.same_target.iter().map(|(name, of)| (name.clone(), tally(of)));
            all.insert("same_target".to_owned(), Value::Object(each.collect()));
        }
        if !self.references.is_empty() {
            all.insert("gateway".to_owned(), json!(word(self.references())));
            let each = self.references.iter().map(|(name, of)| (name.clone(), tally(of)));
            all.insert("references".to_owned(), Value::Object(each.collect()));
        }
        if let Some(percent) = self.cpu_percent {
            all.insert("cpu_percent".to_owned(), json!(percent));
        }
        if let Some(Traffic { interface, millis, bytes: [rx, tx], lost: [rx_lost, tx_lost] }) =
            &self.traffic
        {
            let bits = |bytes: &u64| u128::from(*bytes) * 8 * 1000 / u128::from(*millis).max(1);
            let told = json!({
                "interface": interface, "milliseconds": millis,
                "rx_bits_per_second": u64::try_from(bits(rx)).unwrap_or(u64::MAX),
                "tx_bits_per_second": u64::try_from(bits(tx)).unwrap_or(u64::MAX),
                "rx_packets_lost": rx_lost, "tx_packets_lost": tx_lost,
            });
            all.insert("traffic".to_owned(), told);
        }
        if !self.refused_by.is_empty() {
            let each = self.refused_by.iter().map(|(from, kind)| format!("{from} {kind}"));
            all.insert("refused_by".to_owned(), json!(each.collect::<Vec<_>>()));
        }
        if let Some(traced) = &self.traced {
            all.insert("trace".to_owned(), json!(traced.lines));
        }
        all
    }
}

/// Neither private, link-local nor loopback.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_private() || v4.is_link_local() || v4.is_loopback() || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6.is_loopback()
                || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answered: u32, failed: u32, not_sent: u32) -> Tally {
        Tally { answered, failed, not_sent, by_target: 0 }
    }

    fn traced(reached: bool, routers: &[&str]) -> Option<Traced> {
        let routers = routers.iter().map(|text| text.parse().unwrap()).collect();
        Some(Traced { lines: vec!["1 10.0.0.1 0.412 ms".to_owned()], reached, routers })
    }

    /// An echo probe that lost three, with nothing else known.
    fn lost() -> Seen {
        Seen {
            asked: ProbeSubject::Echo,
            sends: tally(0, 3, 0),
            carrier: Carrier::Up,
            silent_hop: None,
            references: Vec::new(),
            same_target: Vec::new(),
            cpu_percent: None,
            traffic: None,
            refused_by: Vec::new(),
            traced: None,
        }
    }

    fn with(references: &[Tally]) -> Seen {
        let named =
            references.iter().enumerate().map(|(at, &tally)| (format!("gateway-{at}"), tally));
        Seen { references: named.collect(), ..lost() }
    }

    fn side(seen: &Seen) -> Side {
        seen.finding().side
    }

    const NONE: Tally = Tally { answered: 0, failed: 0, not_sent: 0, by_target: 0 };
    const GOOD: Tally = Tally { answered: 3, ..NONE };
    const DEAD: Tally = Tally { failed: 3, ..NONE };
    const MIXED: Tally = Tally { answered: 1, failed: 2, ..NONE };

    /// The table as docs/operations.md has it.
    fn as_written() -> String {
        let rows = TABLE.iter().zip(1..).map(|(row, number)| {
            let side = row.side;
            format!("| {number} | {} | {side} | {} |\n", row.seen, row.why)
        });
        rows.collect()
    }

    #[test]
    fn the_manual_has_the_table_row_by_row() {
        let manual = include_str!("../../docs/operations.md");
        let (_, after) = manual
            .split_once("| # | seen while the probe failed | side | why |\n|---|---|---|---|\n")
            .unwrap();
        let rows: Vec<&str> = after.lines().take_while(|line| line.starts_with('|')).collect();
        let expected = as_written();
        assert_eq!(
            rows,
            expected.lines().collect::<Vec<_>>(),
            "the manual should have:\n{expected}"
        );
    }

    /// Which row decides, from 1 on.
    fn row(seen: &Seen) -> usize {
        let why = seen.finding().why;
        TABLE.iter().position(|row| row.why == why).unwrap() + 1
    }

    /// What may be seen besides and changes nothing in the rows from this one on: all that later
    /// rows ask for.
    fn besides(row: usize, seen: &Seen) -> Vec<Seen> {
        let named =
            |tallies: &[Tally]| tallies.iter().map(|tally| ("r".to_owned(), *tally)).collect();
        let mut all = vec![seen.clone()];
        let hop =
            || Some(NextHop { address: IpAddr::from([10, 0, 0, 1]), interface: "wan0".to_owned() });
        if row < 3 {
            all.push(Seen {
                sends: Tally { by_target: seen.sends.failed, ..seen.sends },
                ..seen.clone()
            });
        }
        if row < 4 {
            all.push(Seen { same_target: named(&[GOOD]), ..seen.clone() });
        }
        if row < 5 {
            all.push(Seen { silent_hop: hop(), ..seen.clone() });
        }
        if row < 6 {
            for references in [&[GOOD][..], &[DEAD], &[GOOD, DEAD], &[MIXED], &[]] {
                all.push(Seen { references: named(references), ..seen.clone() });
            }
        }
        if row < 8 {
            all.push(Seen { cpu_percent: Some(100.0), ..seen.clone() });
        }
        if row < 7 {
            all.push(Seen {
                asked: ProbeSubject::Service,
                traced: traced(true, &["192.0.2.1"]),
                ..seen.clone()
            });
            all.push(Seen { traced: traced(false, &["192.0.2.1"]), ..seen.clone() });
        }
        all
    }

    #[track_caller]
    fn decides(expected: usize, side: Side, seen: &Seen) {
        for seen in besides(expected, seen) {
            assert_eq!((row(&seen), seen.finding().side), (expected, side), "{seen:?}");
        }
    }

    #[test]
    fn row_1_without_a_carrier_nothing_else_is_asked() {
        decides(1, Side::Unknown, &Seen { carrier: Carrier::Down, ..lost() });
        decides(
            1,
            Side::Unknown,
            &Seen { carrier: Carrier::Down, sends: tally(0, 0, 3), ..lost() },
        );
    }

    #[test]
    fn row_2_what_never_left_this_host_is_the_customer_s() {
        decides(2, Side::Customer, &Seen { sends: tally(0, 0, 3), ..lost() });
        decides(
            2,
            Side::Customer,
            &Seen { sends: tally(0, 0, 3), carrier: Carrier::Unknown, ..lost() },
        );
        assert_ne!(row(&Seen { sends: tally(0, 1, 3), ..with(&[GOOD]) }), 2, "some of it left");
    }

    #[test]
    fn row_3_where_the_target_itself_refuses_the_path_is_not_what_failed() {
        for asked in [ProbeSubject::Echo, ProbeSubject::Service] {
            for by_target in [1, 3] {
                let sends = Tally { by_target, ..tally(0, 3, 0) };
                decides(3, Side::Unknown, &Seen { asked, sends, ..lost() });
            }
        }
    }

    #[test]
    fn row_4_where_another_probe_of_the_target_is_answered_the_path_is_not_what_failed() {
        let by = |others: &[Tally]| {
            let same_target = others.iter().map(|tally| ("other".to_owned(), *tally)).collect();
            Seen { same_target, ..with(&[GOOD]) }
        };
        decides(4, Side::Unknown, &by(&[GOOD]));
        decides(4, Side::Unknown, &by(&[DEAD, GOOD]));
        decides(4, Side::Unknown, &by(&[Tally { by_target: 3, ..DEAD }]));
        for other in [DEAD, MIXED, NONE, tally(0, 0, 3)] {
            assert_eq!(
                (row(&by(&[other])), side(&by(&[other]))),
                (8, Side::Provider),
                "{other:?} proves nothing"
            );
        }
    }

    #[test]
    fn row_5_what_came_no_further_than_the_link_is_the_customer_s() {
        let silent_hop =
            Some(NextHop { address: IpAddr::from([10, 0, 0, 1]), interface: "wan0".to_owned() });
        decides(5, Side::Customer, &Seen { silent_hop, ..lost() });
    }

    #[test]
    fn row_6_one_silent_reference_is_the_customer_s_whatever_a_trace_says() {
        decides(6, Side::Customer, &with(&[DEAD]));
        decides(6, Side::Customer, &with(&[GOOD, DEAD]));
        assert_eq!(
            row(&with(&[Tally { by_target: 3, ..DEAD }])),
            8,
            "a reference that refuses is reached"
        );
    }

    #[test]
    fn row_7_a_service_whose_host_answers_the_trace_failed_by_itself() {
        let reached = Seen { traced: traced(true, &[]), ..with(&[GOOD]) };
        decides(7, Side::Unknown, &Seen { asked: ProbeSubject::Service, ..reached.clone() });
        assert_eq!(
            row(&reached),
            8,
            "an echo that was lost is the path's, though it carries again"
        );
    }

    #[test]
    fn row_8_where_the_references_answer_it_is_beyond_them() {
        decides(8, Side::Provider, &with(&[GOOD, GOOD]));
        decides(8, Side::Provider, &Seen { cpu_percent: Some(100.0), ..with(&[GOOD]) });
        decides(8, Side::Provider, &Seen { asked: ProbeSubject::Service, ..with(&[GOOD]) });
    }

    #[test]
    fn rows_9_to_12_without_a_clear_reference_only_a_public_router_tells() {
        for references in
            [&[][..], &[MIXED], &[GOOD, MIXED], &[tally(0, 0, 3)], &[Tally::default()]]
        {
            let seen = with(references);
            decides(12, Side::Unknown, &seen);
            let public = Seen { traced: traced(false, &["10.0.0.1", "192.0.2.1"]), ..seen };
            decides(11, Side::Provider, &public);
            decides(9, Side::Unknown, &Seen { cpu_percent: Some(95.0), ..public.clone() });
            decides(11, Side::Provider, &Seen { cpu_percent: Some(94.9), ..public.clone() });
            decides(
                10,
                Side::Unknown,
                &Seen { traced: traced(true, &["192.0.2.1"]), ..public.clone() },
            );
            let private =
                ["10.0.0.1", "172.16.9.1", "192.168.1.1", "169.254.0.1", "fd00::1", "fe80::1"];
            decides(12, Side::Unknown, &Seen { traced: traced(false, &private), ..public.clone() });
            for carrier in ["100.64.0.1", "2001:db8::1"] {
                decides(
                    11,
                    Side::Provider,
                    &Seen { traced: traced(false, &[carrier]), ..public.clone() },
                );
            }
        }
    }

    #[test]
    fn only_what_the_target_says_of_most_sends_overturns_what_was_thought_of_the_path() {
        let sends =
            |failed, by_target| Seen { sends: Tally { failed, by_target, ..NONE }, ..lost() };
        assert!(sends(3, 3).is_target_s_word() && sends(4, 2).is_target_s_word());
        assert!(!sends(3600, 1).is_target_s_word(), "one refusal while the path comes back");
        assert!(!lost().is_target_s_word());
        let other = |tally| Seen { same_target: vec![("o".to_owned(), tally)], ..lost() };
        assert!(other(GOOD).is_target_s_word());
        assert!(!other(tally(1, 0, 0)).is_target_s_word() && !other(MIXED).is_target_s_word());
    }

    #[test]
    fn the_evidence_says_what_was_seen_and_leaves_out_what_was_not() {
        let traffic = Traffic {
            interface: "wan0".to_owned(),
            millis: 8000,
            bytes: [1_000_000, 3_000],
            lost: [0, 7],
        };
        let seen = Seen {
            traced: traced(false, &["10.0.0.1"]),
            cpu_percent: Some(12.5),
            traffic: Some(traffic),
            refused_by: vec![(IpAddr::from([10, 0, 0, 9]), "host-unreachable".to_owned())],
            ..with(&[GOOD])
        };
        let expected = json!({
            "why": "the references answered meanwhile: the fault is beyond them",
            "carrier": "up",
            "sends": {"answered": 0, "failed": 3, "not_sent": 0},
            "gateway": "answered",
            "references": {"gateway-0": {"answered": 3, "failed": 0, "not_sent": 0}},
            "cpu_percent": 12.5,
            "traffic": {
                "interface": "wan0", "milliseconds": 8000, "rx_bits_per_second": 1_000_000, "tx_bits_per_second": 3000,
                "rx_packets_lost": 0, "tx_packets_lost": 7,
            },
            "refused_by": ["10.0.0.9 host-unreachable"],
            "trace": ["1 10.0.0.1 0.412 ms"],
        });
        assert_eq!(Value::Object(seen.evidence()), expected);
        let mut bare: Vec<String> = lost().evidence().keys().cloned().collect();
        bare.sort();
        assert_eq!(bare, ["carrier", "sends", "why"]);
    }

    #[test]
    fn outcomes_are_counted_by_what_they_say_of_the_path() {
        let all: Tally = Outcome::ALL.into_iter().collect();
        assert_eq!(all, tally(2, 2, 1));
        let hop = NextHop { address: IpAddr::from([10, 0, 0, 1]), interface: "wan0".to_owned() };
        let sends = Tally { by_target: 2, ..tally(0, 3, 0) };
        let same_target = vec![("web".to_owned(), GOOD)];
        let seen = Seen { sends, silent_hop: Some(hop), same_target, ..lost() };
        let told = Value::Object(seen.evidence());
        assert_eq!(told["sends"]["refused_by_target"], 2);
        assert_eq!(told["silent_next_hop"], json!({"address": "10.0.0.1", "interface": "wan0"}));
        assert_eq!(told["same_target"]["web"]["answered"], 3);
    }
}
