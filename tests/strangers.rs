//! Bytes from strangers, damaged at random: the properties that the fuzz targets look for
//! counter-examples of, each for a bounded while from the same seeds.
#![cfg(all(feature = "agent", feature = "collector"))]

#[path = "../fuzz/properties/mod.rs"]
mod properties;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use properties::{body, bundle, contract, facts, histogram, jws, packet, summary};

/// What is done to a seed.
#[derive(Clone, Debug)]
enum Damage {
    Bit(Index, u8),
    Byte(Index, u8),
    Cut(Index),
    Gone(Index, usize),
    Doubled(Index, usize),
    Foreign(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        (place(), 0u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        place().prop_map(Damage::Cut),
        (place(), 1usize..64).prop_map(|(at, length)| Damage::Gone(at, length)),
        (place(), 1usize..64).prop_map(|(at, length)| Damage::Doubled(at, length)),
        (place(), prop::collection::vec(any::<u8>(), 1..16))
            .prop_map(|(at, bytes)| Damage::Foreign(at, bytes)),
    ]
}

impl Damage {
    fn done_to(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Bit(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Gone(at, count) => {
                let from = at.index(length);
                bytes.drain(from..(from + count).min(length));
            }
            Self::Doubled(at, count) => {
                let from = at.index(length);
                let again = bytes[from..(from + count).min(length)].to_vec();
                bytes.splice(from..from, again);
            }
            Self::Foreign(at, foreign) => {
                let at = at.index(length);
                bytes.splice(at..at, foreign.iter().copied());
            }
        }
    }
}

/// Holds for every seed as it is, and for seeds damaged up to four times.
fn from_its_seeds(name: &str, cases: u32, holds: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&dir)
        .expect("each target has seeds")
        .map(|entry| {
            std::fs::read(entry.expect("it can be listed").path()).expect("it can be read")
        })
        .collect();
    assert!(!seeds.is_empty());
    seeds.sort();
    seeds.iter().for_each(|seed| holds(seed));
    let damaged = (prop::sample::select(seeds), prop::collection::vec(damage(), 1..4)).prop_map(
        |(mut bytes, damages)| {
            damages.iter().for_each(|damage| damage.done_to(&mut bytes));
            bytes
        },
    );
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let property = |bytes: Vec<u8>| {
        holds(&bytes);
        Ok(())
    };
    TestRunner::new(config).run(&damaged, property).expect("it holds");
}

#[test]
fn a_requests_body_is_expanded_within_its_limit_or_refused() {
    from_its_seeds("body", 5000, body::holds);
}

#[test]
fn a_bundle_of_a_stranger_is_never_ok() {
    from_its_seeds("bundle", 300, bundle::holds);
}

#[test]
fn a_contract_is_read_or_refused_with_its_faults() {
    from_its_seeds("contract", 2000, contract::holds);
}

#[test]
fn facts_are_read_or_refused_with_their_faults() {
    from_its_seeds("facts", 5000, facts::holds);
}

#[test]
fn a_histogram_that_is_read_is_written_as_the_same() {
    from_its_seeds("histogram", 5000, histogram::holds);
}

#[test]
fn a_message_is_never_verified_by_a_key_that_did_not_sign_it() {
    from_its_seeds("jws", 1000, jws::holds);
}

#[test]
fn a_packet_belongs_to_its_send_or_to_nobody() {
    from_its_seeds("packet", 10000, packet::holds);
}

#[test]
fn a_summary_that_is_taken_is_written_as_the_same() {
    from_its_seeds("summary", 3000, summary::holds);
}
