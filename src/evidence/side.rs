//! Whose side an outage lies on: a rule over what was seen around its beginning, and the record of that.
//!
//! A *reference* is a probe of something on the customer's side of the line (`role = "reference"`: the gateway, the CPE),
//! measured by the same host at the same time. The first row that applies decides:
//!
//! | # | what was seen while the probe failed | side | because |
//! |---|---|---|---|
//! | 1 | the interface had no carrier | unknown | cable, power and line end look the same from here |
//! | 2 | none of its sends left this host | customer | the fault is in this host |
//! | 3 | a reference did not answer at all | customer | the fault is at the reference or before it |
//! | 4 | every reference answered, a service was asked (not echo), and the target answered the trace | unknown | the path carries; the service failed |
//! | 5 | every reference answered | provider | the fault is beyond what the customer answers for |
//! | 6 | no reference, or some answered only at times; this host was busy | unknown | the measurement itself is in doubt |
//! | 7 | the same, and the target answered the trace | unknown | the path carries, or carries again |
//! | 8 | the same, and a router with a public address answered the trace | provider | packets came beyond the customer's network |
//! | 9 | anything else | unknown | it cannot be told |
//!
//! Public is what is neither private (RFC 1918, RFC 4193), link-local nor loopback; the shared space of RFC 6598 belongs to
//! carriers, and counts as public. Being busy does not excuse row 5: the same busy host measured the references.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::evidence::summary::{Carrier, Side};
use crate::measure::outcome::Outcome;

/// This host was busy when its processors were, by so many percent or more.
pub const BUSY_PERCENT: f64 = 95.0;

/// What was seen around an outage's beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What the probe asked for.
    pub asked: Asked,
    /// What became of its sends since the outage began.
    pub sends: Tally,
    /// The carrier of the interface that it leaves by: down when it was at any time since.
    pub carrier: Carrier,
    /// The references, by name, with what became of their sends since the outage began.
    pub references: Vec<(String, Tally)>,
    /// How busy this host's processors were, of 100.
    pub cpu_percent: Option<f64>,
    /// What went over the interface just before, this host's own load included.
    pub traffic: Option<Traffic>,
    /// The ICMP errors that sends since the outage began were refused with: who said what.
    pub refused_by: Vec<(IpAddr, String)>,
    /// What a trace towards the target saw.
    pub traced: Option<Traced>,
}

/// What a probe asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An echo: any host that is reached answers.
    Echo,
    /// A service, which may fail although its host is reached.
    Service,
}

/// What an interface carried over some seconds. The rule does not ask for it; it tells people whether the line was full.
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

/// Whose side it is, and why it is thought so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub side: Side,
    /// Why, in words.
    pub why: &'static str,
}

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

    const fn reference(self) -> Reference {
        match (self.answered, self.failed) {
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
    /// Whose side it is, by the table above.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let is = |side, why| Finding { side, why };
        let reached = self.traced.as_ref().is_some_and(|traced| traced.reached);
        if self.carrier == Carrier::Down {
            return is(
                Side::Unknown,
                "the interface had no carrier: cable, power and line end look the same from here",
            );
        }
        if self.sends.not_sent > 0 && self.sends.answered + self.sends.failed == 0 {
            return is(Side::Customer, "none of the probe's packets left this host");
        }
        match self.references() {
            Reference::Silent => {
                return is(Side::Customer, "a reference did not answer either: the fault is at it or before it");
            }
            Reference::Answered if self.asked == Asked::Service && reached => {
                return is(Side::Unknown, "the target answered a trace: the path carried, and the service failed");
            }
            Reference::Answered => {
                return is(Side::Provider, "the references answered meanwhile: the fault is beyond them");
            }
            Reference::Unclear => {}
        }
        if self.is_busy() {
            return is(Side::Unknown, "this host was busy, and no reference answered throughout");
        }
        if reached {
            return is(Side::Unknown, "the target answered a trace: the path carried, or carried again");
        }
        if self.traced.iter().flat_map(|traced| &traced.routers).any(|&router| is_public(router)) {
            return is(Side::Provider, "a router with a public address answered a trace, and the target did not");
        }
        is(
            Side::Unknown,
            "no reference probe is configured that could tell, and no trace came beyond private addresses",
        )
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
        let tally =
            |tally: &Tally| json!({"answered": tally.answered, "failed": tally.failed, "not_sent": tally.not_sent});
        let mut all = Map::new();
        all.insert("why".to_owned(), json!(self.finding().why));
        all.insert("carrier".to_owned(), json!(self.carrier));
        all.insert("sends".to_owned(), tally(&self.sends));
        if !self.references.is_empty() {
            all.insert("gateway".to_owned(), json!(word(self.references())));
            let each = self.references.iter().map(|(name, of)| (name.clone(), tally(of)));
            all.insert("references".to_owned(), Value::Object(each.collect()));
        }
        if let Some(percent) = self.cpu_percent {
            all.insert("cpu_percent".to_owned(), json!(percent));
        }
        if let Some(Traffic { interface, millis, bytes: [rx, tx], lost: [rx_lost, tx_lost] }) = &self.traffic {
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
        IpAddr::V4(v4) => !(v4.is_private() || v4.is_link_local() || v4.is_loopback() || v4.is_unspecified()),
        IpAddr::V6(v6) => {
            !(v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(answered: u32, failed: u32, not_sent: u32) -> Tally {
        Tally { answered, failed, not_sent }
    }

    fn traced(reached: bool, routers: &[&str]) -> Option<Traced> {
        let routers = routers.iter().map(|text| text.parse().unwrap()).collect();
        Some(Traced { lines: vec!["1 10.0.0.1 0.412 ms".to_owned()], reached, routers })
    }

    /// An echo probe that lost three, with nothing else known.
    fn lost() -> Seen {
        Seen {
            asked: Asked::Echo,
            sends: tally(0, 3, 0),
            carrier: Carrier::Up,
            references: Vec::new(),
            cpu_percent: None,
            traffic: None,
            refused_by: Vec::new(),
            traced: None,
        }
    }

    fn with(references: &[Tally]) -> Seen {
        let named = references.iter().enumerate().map(|(at, &tally)| (format!("gateway-{at}"), tally));
        Seen { references: named.collect(), ..lost() }
    }

    fn side(seen: &Seen) -> Side {
        seen.finding().side
    }

    const GOOD: Tally = Tally { answered: 3, failed: 0, not_sent: 0 };
    const DEAD: Tally = Tally { answered: 0, failed: 3, not_sent: 0 };
    const MIXED: Tally = Tally { answered: 1, failed: 2, not_sent: 0 };

    #[test]
    fn row_1_without_a_carrier_nothing_else_is_asked() {
        for references in [&[][..], &[GOOD], &[DEAD]] {
            let seen = Seen { carrier: Carrier::Down, sends: tally(0, 0, 3), ..with(references) };
            assert_eq!(side(&seen), Side::Unknown, "{references:?}");
        }
    }

    #[test]
    fn row_2_what_never_left_this_host_is_the_customer_s() {
        assert_eq!(side(&Seen { sends: tally(0, 0, 3), ..with(&[GOOD]) }), Side::Customer);
        assert_eq!(side(&Seen { sends: tally(0, 1, 3), ..with(&[GOOD]) }), Side::Provider);
        assert_eq!(side(&Seen { sends: tally(0, 0, 3), carrier: Carrier::Unknown, ..lost() }), Side::Customer);
    }

    #[test]
    fn row_3_one_silent_reference_is_the_customer_s_whatever_a_trace_says() {
        assert_eq!(side(&with(&[DEAD])), Side::Customer);
        assert_eq!(side(&with(&[GOOD, DEAD])), Side::Customer);
        assert_eq!(side(&Seen { traced: traced(false, &["192.0.2.1"]), ..with(&[DEAD]) }), Side::Customer);
    }

    #[test]
    fn rows_4_and_5_when_the_references_answer_it_is_the_provider_s_unless_only_the_service_failed() {
        assert_eq!(side(&with(&[GOOD, GOOD])), Side::Provider);
        assert_eq!(side(&Seen { cpu_percent: Some(100.0), ..with(&[GOOD]) }), Side::Provider);
        let reached = Seen { traced: traced(true, &[]), ..with(&[GOOD]) };
        assert_eq!(side(&reached), Side::Provider, "an echo that was lost is the path's, though it carries again");
        assert_eq!(side(&Seen { asked: Asked::Service, ..reached }), Side::Unknown);
        assert_eq!(side(&Seen { asked: Asked::Service, ..with(&[GOOD]) }), Side::Provider);
    }

    #[test]
    fn rows_6_to_9_without_a_clear_reference_only_a_public_router_tells() {
        for references in [&[][..], &[MIXED], &[GOOD, MIXED], &[tally(0, 0, 3)], &[Tally::default()]] {
            let seen = with(references);
            assert_eq!(side(&seen), Side::Unknown, "{references:?}");
            let public = Seen { traced: traced(false, &["10.0.0.1", "192.0.2.1"]), ..seen };
            assert_eq!(side(&public), Side::Provider, "{references:?}");
            assert_eq!(side(&Seen { cpu_percent: Some(95.0), ..public.clone() }), Side::Unknown);
            assert_eq!(side(&Seen { cpu_percent: Some(94.9), ..public.clone() }), Side::Provider);
            assert_eq!(side(&Seen { traced: traced(true, &["192.0.2.1"]), ..public.clone() }), Side::Unknown);
            let private = ["10.0.0.1", "172.16.9.1", "192.168.1.1", "169.254.0.1", "fd00::1", "fe80::1"];
            assert_eq!(side(&Seen { traced: traced(false, &private), ..public.clone() }), Side::Unknown);
            for carrier in ["100.64.0.1", "2001:db8::1"] {
                assert_eq!(side(&Seen { traced: traced(false, &[carrier]), ..public.clone() }), Side::Provider);
            }
        }
    }

    #[test]
    fn the_evidence_says_what_was_seen_and_leaves_out_what_was_not() {
        let traffic = Traffic { interface: "wan0".to_owned(), millis: 8000, bytes: [1_000_000, 3_000], lost: [0, 7] };
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
    }
}
