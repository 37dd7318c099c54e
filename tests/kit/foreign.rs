//! An agent that somebody else wrote from docs/wire.md: JOSE by josekit (OpenSSL), histograms by
//! hdrhistogram itself, JSON by hand. It uses nothing of this crate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use josekit::jwk::Jwk;
use josekit::jwk::alg::ed::{EdCurve, EdKeyPair};
use josekit::jws::{EdDSA, JwsHeader};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub const SUMMARY: &str = "wanproof-summary+jws";

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The digest of a compact JWS.
pub fn digest(jws: &str) -> String {
    b64(Sha256::digest(jws.as_bytes()))
}

/// Histogram text of some microseconds.
pub fn histogram(values: &[u64]) -> String {
    let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).unwrap();
    values.iter().for_each(|&value| all.record(value).unwrap());
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&all, &mut bytes).unwrap();
    STANDARD.encode(bytes)
}

#[derive(Clone)]
pub struct Foreign {
    pub jwk: Jwk,
    pub kid: String,
    pub chain: String,
    /// Whose summaries these are: the first key's thumbprint.
    pub agent: String,
}

/// RFC 7638, by hand.
pub fn thumbprint(x: &str) -> String {
    b64(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

impl Foreign {
    pub fn new() -> Self {
        let pair: EdKeyPair = EdDSA.generate_key_pair(EdCurve::Ed25519).unwrap();
        let jwk = pair.to_jwk_key_pair();
        let kid = thumbprint(jwk.parameter("x").unwrap().as_str().unwrap());
        let chain = Sha256::digest(&kid)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { jwk, agent: kid.clone(), kid, chain }
    }

    pub fn public(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": self.jwk.parameter("x").unwrap()})
    }

    /// A JWS with the page's header.
    pub fn sign(&self, typ: &str, payload: &Value) -> String {
        self.sign_bytes(typ, &serde_json::to_vec(payload).unwrap())
    }

    pub fn sign_bytes(&self, typ: &str, payload: &[u8]) -> String {
        let mut header = JwsHeader::new();
        header.set_token_type(typ);
        header.set_key_id(&self.kid);
        let signer = EdDSA.signer_from_jwk(&self.jwk).unwrap();
        josekit::jws::serialize_compact(payload, &header, &signer).unwrap()
    }

    /// A signature over any header and payload.
    pub fn sign_header(&self, header: &str, payload: &[u8]) -> String {
        use josekit::jws::JwsSigner as _;
        let input = format!("{}.{}", b64(header), b64(payload));
        let signature = EdDSA.signer_from_jwk(&self.jwk).unwrap().sign(input.as_bytes()).unwrap();
        format!("{input}.{}", b64(signature))
    }

    pub fn header(&self) -> String {
        format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"{SUMMARY}"}}"#, self.kid)
    }

    pub fn enrolment(&self, token: Option<&str>) -> String {
        let mut said = json!({"v": 1, "jwk": self.public(), "site": "leeds-01"});
        if let Some(token) = token {
            said["token"] = json!(token);
        }
        self.sign("wanproof-enrol+jws", &said)
    }

    /// The payload of a summary of one minute.
    pub fn payload(&self, seq: u64, prev: Option<&str>) -> Value {
        let rtts: Vec<u64> = (0..58).map(|n| 23_500 + (n * 37) % 900).collect();
        let minute = seq % 60;
        let interval = json!({
            "from": format!("2026-11-23T10:{minute:02}:00Z"), "seconds": 60, "first_ms": 412, "outcomes": "57a2l1a",
            "reasons": {"lost/timeout": 2}, "duplicates": 0, "reordered": 0, "kernel_stamped": 58,
            "rtt_us": histogram(&rtts), "rtt_sum_ns": rtts.iter().sum::<u64>() * 1000,
            "ipdv_us": histogram(&[40; 56])
        });
        let probe = json!({
            "name": "hq-icmp", "service": "ckt-0042", "kind": "icmp", "target": "hq.example.net", "address": "192.0.2.1",
            "period_ms": 1000, "timeout_ms": 2000, "cutoff_ms": 1000, "settings": "s", "intervals": [interval]
        });
        let to = if minute == 59 {
            "2026-11-23T11:00:00Z".to_owned()
        } else {
            format!("2026-11-23T10:{:02}:00Z", minute + 1)
        };
        json!({
            "v": 1, "agent": self.agent, "site": "leeds-01", "chain": self.chain, "seq": seq, "prev": prev,
            "from": format!("2026-11-23T10:{minute:02}:00Z"), "to": to, "boot": "b", "software": "another 1.0",
            "clock": {"state": "synchronised"}, "contracts": [], "probes": [probe], "link": [], "outages": [], "verdicts": []
        })
    }

    pub fn summary(&self, seq: u64, prev: Option<&str>) -> String {
        self.sign(SUMMARY, &self.payload(seq, prev))
    }

    /// The first summaries of its chain, each after the one before.
    pub fn summaries(&self, count: u64) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for seq in 0..count {
            let prev = all.last().map(|before| digest(before));
            all.push(self.summary(seq, prev.as_deref()));
        }
        all
    }
}

/// Verifies a JWS by another implementation than the one that signed it, and gives header and
/// payload.
pub fn verify(jws: &str, public: &Value) -> (JwsHeader, Value) {
    let jwk = Jwk::from_map(public.as_object().unwrap().clone()).unwrap();
    let verifier = EdDSA.verifier_from_jwk(&jwk).unwrap();
    let (payload, header) = josekit::jws::deserialize_compact(jws, &verifier).unwrap();
    (header, serde_json::from_slice(&payload).unwrap())
}
