//! The summary: what an agent signs and ships of one span, as docs/wire.md writes it down.
//!
//! The types have the page's form; [`read`] takes foreign bytes and gives back only what adds up,
//! and [`Head::sign`] signs only what [`check`] lets through, so that nobody is sent what has to be
//! refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::time::Wall;
use crate::evidence::chain::{ChainId, Dropped, Follows, Head};
use crate::evidence::digest::Digest;
use crate::evidence::json;
use crate::evidence::jws::{self, Typ};
use crate::evidence::key::{Kid, SecretKey};
use crate::evidence::rotation;
use crate::measure::carrier::Carrier;
use crate::measure::clock_state::ClockState;
use crate::measure::histogram::Packed;
use crate::measure::outcome::Outcomes;
use crate::sla::terms::Side;

mod check;
mod convert;
mod form;
mod split;
#[cfg(test)]
pub(in crate::evidence) mod tests;
mod texts;

pub use check::{Malformed, check};
pub use split::{Layout, Lengths, Piece, bare, length};
pub use texts::{AHEAD, BEFORE_ENROLMENT, check_texts, check_window};

/// The version of the format that is written and read here.
pub const VERSION: u64 = 1;
/// A summary's compact JWS is never longer, in bytes.
pub const LIMIT: usize = 1024 * 1024;

/// What an agent signs of one span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of the format, [`VERSION`].
    pub v: u64,
    /// Whose it is: the thumbprint of the agent's first key.
    pub agent: Kid,
    /// The site that the agent is at.
    pub site: String,
    /// The chain.
    pub chain: ChainId,
    /// Its number in the chain.
    pub seq: u64,
    /// The digest of the one before; [`None`] for number 0.
    #[serde(default)]
    pub prev: Option<Digest>,
    /// What a later chain follows; only number 0 has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// What the outbox dropped since the last summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::or_default")]
    pub dropped: Vec<Dropped>,
    /// Where the span begins.
    #[serde(deserialize_with = "form::utc")]
    pub from: Wall,
    /// Where it ends.
    #[serde(deserialize_with = "form::utc")]
    pub to: Wall,
    /// The kernel's boot id; opaque.
    pub boot: String,
    /// Which program made this.
    pub software: String,
    /// The state of the clock.
    pub clock: Clock,
    /// The contracts that the agent judges by.
    pub contracts: Vec<ContractRef>,
    /// The probes and their intervals.
    pub probes: Vec<ProbePart>,
    /// The interfaces that the probes leave by.
    pub link: Vec<LinkPart>,
    /// Outages that touch the span.
    pub outages: Vec<OutagePart>,
    /// The agent's own verdicts.
    pub verdicts: Vec<VerdictPart>,
    /// How late the agent itself was in the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_lag_us: Option<OwnLag>,
    /// A JWS by the agent's next key, when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<String>,
}

/// How late the agent itself was, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLag {
    /// How long after their time its sends were handed to the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<LagPart>,
    /// How long replies lay unread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive: Option<LagPart>,
}

/// Delays, by their mean and the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagPart {
    /// Their mean.
    pub mean: u64,
    /// The longest.
    pub max: u64,
}

/// The state of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Whether the kernel holds it to be synchronised.
    pub state: ClockState,
    /// The kernel's bound of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_us: Option<u64>,
    /// How it was stepped in the span.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "form::or_default")]
    pub steps: Vec<ClockStep>,
}

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// When, by the clock before the step.
    #[serde(deserialize_with = "form::utc")]
    pub at: Wall,
    /// By how much; negative when it was set back.
    pub by_us: i64,
}

/// A contract that the agent judges by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractRef {
    /// Its identifier.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of the file's bytes, in lowercase hexadecimal.
    pub sha256: String,
}

/// A probe, and what it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbePart {
    /// Its name.
    pub name: String,
    /// The service that it measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `icmp`, `http`, `tcp` or `dns`.
    pub kind: String,
    /// The target as it was configured.
    pub target: String,
    /// The address behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// From one due send to the next; not zero.
    pub period_ms: u32,
    /// How long an answer is waited for.
    pub timeout_ms: u32,
    /// An answer that took longer is late.
    pub cutoff_ms: u32,
    /// The digest of its checked settings; opaque.
    pub settings: String,
    /// What it saw.
    pub intervals: Vec<IntervalPart>,
}

/// What a probe saw within one UTC minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalPart {
    /// Where it begins.
    #[serde(deserialize_with = "form::utc")]
    pub from: Wall,
    /// Its length in milliseconds; on the wire `seconds`, with three decimals.
    #[serde(rename = "seconds", with = "form::seconds")]
    pub millis: u32,
    /// From its beginning to its first due send; absent is zero.
    #[serde(default, deserialize_with = "form::or_default")]
    pub first_ms: u32,
    /// One for each send that was due.
    pub outcomes: Outcomes,
    /// Why, by `outcome-word/kind`.
    pub reasons: BTreeMap<String, u32>,
    /// Answers beyond the first to one send.
    pub duplicates: u32,
    /// Answers that came after the answer to a later send.
    pub reordered: u32,
    /// RTTs between two kernel stamps.
    pub kernel_stamped: u32,
    /// RTTs, one for each answered or late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<Packed>,
    /// Their exact sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_sum_ns: Option<u64>,
    /// Absolute differences of neighbouring RTTs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipdv_us: Option<Packed>,
    /// Their exact sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipdv_sum_ns: Option<u64>,
    /// The highest interarrival jitter of RFC 3550.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rfc3550_max_ns: Option<u64>,
    /// The parts of an HTTP exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases_us: Option<Phases>,
}

/// The parts of an HTTP exchange, each with its histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// From the name to an address; not part of the RTT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Packed>,
    /// Until the connection is established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Packed>,
    /// The TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Packed>,
    /// From the request to the response's first byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Packed>,
    /// From there to the body's last byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Packed>,
}

/// An interface that probes leave by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkPart {
    /// Its name.
    pub interface: String,
    /// Its carrier at the span's end.
    pub carrier: Carrier,
    /// How that changed in the span.
    pub changes: Vec<CarrierChange>,
    /// Bytes received in the span.
    pub rx_bytes: u64,
    /// Bytes sent in the span.
    pub tx_bytes: u64,
    /// How busy this host's processors were, of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
}

/// A change of an interface's carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierChange {
    /// When.
    #[serde(deserialize_with = "form::utc")]
    pub at: Wall,
    /// To what.
    pub carrier: Carrier,
}

/// An outage that touches the span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutagePart {
    /// The service; [`None`] for a probe that no contract judges.
    #[serde(default)]
    pub service: Option<String>,
    /// The probe that showed it.
    pub probe: String,
    /// The due time of its first failed send.
    #[serde(deserialize_with = "form::utc")]
    pub from: Wall,
    /// The due time of the first good one after it; [`None`] while it lasts.
    #[serde(default, deserialize_with = "form::utc_or_none")]
    pub to: Option<Wall>,
    /// By which definition: `CONTRACT/VERSION#OBJECTIVE`, or `builtin`.
    pub definition: String,
    /// Whose side failed; never a third party's, which nobody can measure.
    #[serde(with = "form::side")]
    pub side: Side,
    /// What was seen around it: an object.
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// A verdict that the agent reached itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictPart {
    /// The contract.
    pub contract: String,
    /// Its version.
    pub version: u64,
    /// The service; empty where there is none.
    #[serde(default, deserialize_with = "form::or_default")]
    pub service: String,
    /// The objective.
    pub objective: String,
    /// The period.
    pub period: String,
    /// `met`, `breached` or `not_determined`.
    pub result: String,
    /// What was measured, as a decimal; absent when it could not be determined.
    #[serde(default)]
    pub actual: Option<String>,
    /// What was promised, as a decimal.
    pub target: String,
    /// How much of the period was observed, in percent, as a decimal.
    #[serde(default)]
    pub coverage: Option<String>,
}

/// Why a payload is no summary that can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASummary {
    /// It is of a version that is not known here.
    #[error("it is of version {0} of the format; this reads version {VERSION}")]
    Version(u64),
    /// It is not of the page, or does not add up.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Reads the payload of a summary's JWS, and checks all that must add up.
///
/// # Errors
/// When it is of another version, not strict JSON, not of the page's form, or does not add up.
pub fn read(payload: &[u8]) -> Result<Summary, NotASummary> {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let text = json::strict(payload).map_err(Malformed::from)?;
    // A later version may be of another form, so its number is looked for before the form is
    // blamed.
    let summary: Summary = match serde_json::from_str(text) {
        Ok(summary) => summary,
        Err(error) => {
            let version = serde_json::from_str(text).map_or(VERSION, |Version { v }| v);
            return Err(if version == VERSION {
                Malformed::form(&error).into()
            } else {
                NotASummary::Version(version)
            });
        }
    };
    if summary.v != VERSION {
        return Err(NotASummary::Version(summary.v));
    }
    check(&summary)?;
    Ok(summary)
}

/// Whose a summary says that it is, before anything of it is verified: for one that was signed
/// here.
#[must_use]
pub fn agent(jws: &str) -> Option<Kid> {
    #[derive(Deserialize)]
    struct Only {
        agent: Kid,
    }
    let jws = jws::parse(jws.as_bytes(), Typ::Summary).ok()?;
    serde_json::from_slice(jws.unverified_payload()).ok().map(|Only { agent }| agent)
}

/// A summary that was signed, and by that has its number for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The chain.
    pub chain: ChainId,
    /// Its number.
    pub seq: u64,
    /// The digest of the JWS.
    pub digest: Digest,
    /// The compact JWS.
    pub jws: String,
}

impl Head {
    /// Gives a summary the next number, says in it what it comes after, signs it, and moves on.
    /// What it said itself of `v`, `chain`, `seq`, `prev` and `follows` is replaced.
    ///
    /// # Errors
    /// When the summary does not add up or is too long; then the number is not used.
    pub fn sign(&mut self, summary: Summary, key: &SecretKey) -> Result<Signed, Malformed> {
        self.sign_naming(summary, key, None)
    }

    /// As [`Self::sign`], and names the key that signs from the next summary on; both sign this
    /// one.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_with_next_key(
        &mut self,
        summary: Summary,
        key: &SecretKey,
        next: &SecretKey,
    ) -> Result<Signed, Malformed> {
        self.sign_naming(summary, key, Some(next))
    }

    fn sign_naming(
        &mut self,
        mut summary: Summary,
        key: &SecretKey,
        next: Option<&SecretKey>,
    ) -> Result<Signed, Malformed> {
        summary.v = VERSION;
        (summary.chain, summary.seq, summary.prev) = (self.chain, self.next, self.prev);
        summary.follows = if self.next == 0 { self.follows } else { None };
        summary.next_key =
            next.map(|next| rotation::sign(summary.agent, self.chain, self.next, next));
        check(&summary)?;
        let jws =
            jws::sign_json(Typ::Summary, &summary, key).map_err(|error| Malformed::form(&error))?;
        if jws.len() > LIMIT {
            return Err(Malformed::new(
                "",
                format!("it is {} bytes when signed, of at most {LIMIT}", jws.len()),
            ));
        }
        let signed =
            Signed { chain: self.chain, seq: self.next, digest: Digest::of(jws.as_bytes()), jws };
        (self.next, self.prev) = (self.next + 1, Some(signed.digest));
        Ok(signed)
    }
}
