//! An agent of the fleet: its key, its chain, and the summaries of its site's year, one after
//! another.

use wanproof::base::time::Wall;
use wanproof::evidence::chain::{ChainId, Head};
use wanproof::evidence::digest::Digest;
use wanproof::evidence::enrol;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::summary::{Clock, LinkPart, Signed, Summary};
use wanproof::measure::carrier::Carrier;
use wanproof::measure::clock_state::ClockState;

use super::script::{BEGIN, Script, Site, random};

/// Minutes of a summary's span.
pub const SPAN: i64 = 5;

/// An agent.
pub struct Agent {
    /// Where it is.
    pub site: Site,
    /// Its key.
    pub key: SecretKey,
    head: Head,
    second: i64,
}

impl Agent {
    /// The agent of a site, at a second of the year, with nothing shipped yet. `run` makes it
    /// another than in other runs.
    pub fn new(site: Site, second: i64, run: u64) -> Self {
        let bytes = |salt: u64| -> Vec<u8> {
            (0..4)
                .flat_map(|part| random(random(site.0 ^ run) ^ (salt + part)).to_be_bytes())
                .collect()
        };
        let seed: [u8; 32] = bytes(100).try_into().expect("four times eight bytes");
        let chain: [u8; 16] = bytes(200)[..16].try_into().expect("sixteen bytes");
        Self {
            site,
            key: SecretKey::from_seed(&seed),
            head: Head::new(ChainId::from_bytes(chain), None),
            second,
        }
    }

    /// Its chain.
    pub fn chain(&self) -> ChainId {
        self.head.chain
    }

    /// Goes on after summaries that were stored without it.
    pub fn go_on(&mut self, next: u64, prev: Digest) {
        (self.head.next, self.head.prev) = (next, Some(prev));
    }

    /// What it asks to be let in with.
    pub fn enrolment(&self) -> String {
        enrol::sign(&self.site.name(), None, &self.key)
    }

    /// The summary of the next span, signed.
    pub fn next(&mut self, script: &Script) -> Signed {
        let at = |second: i64| Wall::from_nanos(BEGIN.nanos() + second * 1_000_000_000);
        let (from, to) = (self.second, self.second + 60 * SPAN);
        let traffic = random(self.site.0 ^ from.cast_unsigned()) % 1_000_000_000;
        let summary = Summary {
            v: 1,
            agent: self.key.kid(),
            site: self.site.name(),
            chain: self.head.chain,
            seq: 0,
            prev: None,
            follows: None,
            dropped: Vec::new(),
            from: at(from),
            to: at(to),
            boot: "5a0e0a2e-8f0c-4c53-9d0e-2f6d1c1f6f77".to_owned(),
            software: concat!("wanproof ", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: Clock {
                state: ClockState::Synchronised,
                max_error_us: Some(1500),
                steps: Vec::new(),
            },
            contracts: Vec::new(),
            probes: script.probes(self.site, from, SPAN),
            own_lag_us: None,
            link: vec![LinkPart {
                interface: "wan0".to_owned(),
                carrier: Carrier::Up,
                changes: Vec::new(),
                rx_bytes: traffic,
                tx_bytes: traffic / 7,
                cpu_percent: Some(12.5),
            }],
            outages: Vec::new(),
            verdicts: Vec::new(),
            next_key: None,
        };
        self.second = to;
        self.head.sign(summary, &self.key).expect("the script adds up")
    }
}
