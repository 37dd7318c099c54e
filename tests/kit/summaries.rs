//! Exported summaries, read as a stranger would: signatures by josekit, histograms by HdrHistogram,
//! the rest by the wire format.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use josekit::jwk::Jwk;
use josekit::jws;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// One summary, verified.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its compact JWS.
    pub jws: String,
    /// Its payload.
    pub body: Value,
}

/// The payload of a JWS, verified with a key, whose `kid` and this `typ` its header must have.
pub fn verified(jws: &str, key: &Value, typ: &str) -> Value {
    let mut public = serde_json::Map::new();
    for member in ["kty", "crv", "x"] {
        public.insert(member.to_owned(), key[member].clone());
    }
    let jwk =
        Jwk::from_bytes(serde_json::to_vec(&public).expect("it is JSON")).expect("it is a key");
    let verifier = jws::EdDSA.verifier_from_jwk(&jwk).expect("it is an Ed25519 key");
    let (payload, header) =
        jws::deserialize_compact(jws, &verifier).unwrap_or_else(|fault| panic!("{jws}: {fault}"));
    assert_eq!((header.token_type(), header.key_id()), (Some(typ), Some(thumbprint(key).as_str())));
    serde_json::from_slice(&payload).expect("a payload is JSON")
}

/// A key's thumbprint (RFC 7638).
pub fn thumbprint(key: &Value) -> String {
    digest(&format!(r#"{{"crv":{},"kty":{},"x":{}}}"#, key["crv"], key["kty"], key["x"]))
}

/// The base64url SHA-256 of a text.
pub fn digest(text: &str) -> String {
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// The files of an export, as (agent or nothing, chain, number, `jws` or `receipt.jws`) and their
/// text.
pub fn exported(dir: &Path) -> BTreeMap<(String, u64, String), String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("it was exported").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().expect("it is a file").to_string_lossy().into_owned();
            let chain =
                path.parent().and_then(Path::file_name).expect("it lies in its chain's folder");
            let (number, kind) = name.split_once('.').expect("it is named <seq>.jws");
            let number = number.parse().expect("it is named <seq>.jws");
            let text =
                std::fs::read_to_string(&path).expect("it was just written").trim_end().to_owned();
            let before =
                files.insert((chain.to_string_lossy().into_owned(), number, kind.to_owned()), text);
            assert!(before.is_none(), "{} is there twice", path.display());
        }
    }
    files
}

/// Summaries in the order of their numbers, verified, after the chain between them was checked.
pub fn chained(files: &BTreeMap<(String, u64, String), String>, key: &Value) -> Vec<Summary> {
    let mut summaries: Vec<Summary> = Vec::new();
    for ((chain, number, _), jws) in files.iter().filter(|((_, _, kind), _)| kind == "jws") {
        let body = verified(jws, key, "wanproof-summary+jws");
        let expected = summaries.last().map_or(Value::Null, |last| digest(&last.jws).into());
        assert_eq!((&body["v"], &body["agent"]), (&Value::from(1), &Value::from(thumbprint(key))));
        assert_eq!(
            (&body["chain"], &body["seq"]),
            (&Value::from(chain.as_str()), &Value::from(*number))
        );
        assert_eq!(
            *number,
            summaries.len() as u64,
            "the numbers rise by one, from 0, in one chain"
        );
        assert_eq!(body["prev"], expected, "summary {number} does not follow the one before");
        summaries.push(Summary { jws: jws.clone(), body });
    }
    summaries
}

/// What the summaries say of one probe, joined.
pub struct Told {
    /// One letter for each send, in order.
    pub outcomes: String,
    /// All RTTs, in microseconds.
    pub rtt_us: Histogram<u64>,
    /// Second answers.
    pub duplicates: u64,
    /// How many RTTs are by kernel stamps.
    pub kernel_stamped: u64,
    /// Why, counted.
    pub reasons: BTreeMap<String, u64>,
}

/// Joins a probe's intervals, checking that each adds up in itself.
pub fn told(summaries: &[Summary], probe: &str) -> Told {
    let histogram =
        || Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are HdrHistogram's");
    let (mut outcomes, mut rtt_us) = (String::new(), histogram());
    let (mut duplicates, mut kernel_stamped, mut reasons) = (0, 0, BTreeMap::new());
    let probes = summaries
        .iter()
        .flat_map(|summary| array(&summary.body["probes"]))
        .filter(|one| one["name"] == probe);
    for (one, interval) in
        probes.flat_map(|one| array(&one["intervals"]).iter().map(move |interval| (one, interval)))
    {
        let letters = letters(interval["outcomes"].as_str().expect("outcomes are a text"));
        let answered = letters.bytes().filter(|letter| b"at".contains(letter)).count() as u64;
        let neighbours = letters
            .as_bytes()
            .windows(2)
            .filter(|two| two.iter().all(|letter| b"at".contains(letter)));
        let (rtts, ipdvs) = (decoded(&interval["rtt_us"]), decoded(&interval["ipdv_us"]));
        assert_eq!(rtts.len(), answered, "{interval}");
        assert_eq!(ipdvs.len(), neighbours.count() as u64, "{interval}");
        let due = interval["seconds"].as_f64().expect("seconds is a number") * 1000.0
            / one["period_ms"].as_f64().expect("period_ms is a number");
        assert!((due - letters.len() as f64).abs() <= 1.0, "{due} were due: {interval}");
        outcomes.push_str(&letters);
        rtt_us.add(&rtts).expect("they have the same bounds");
        duplicates += interval["duplicates"].as_u64().expect("duplicates are a number");
        kernel_stamped += interval["kernel_stamped"].as_u64().expect("kernel_stamped is a number");
        for (reason, count) in interval["reasons"].as_object().expect("reasons are an object") {
            *reasons.entry(reason.clone()).or_default() +=
                count.as_u64().expect("they are counted");
        }
    }
    Told { outcomes, rtt_us, duplicates, kernel_stamped, reasons }
}

/// An array, or nothing.
pub fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// `3a1l` as `aaal`.
pub fn letters(runs: &str) -> String {
    let mut letters = String::new();
    let mut count = 0;
    for c in runs.chars() {
        match c.to_digit(10) {
            Some(digit) => count = count * 10 + digit as usize,
            None => letters.extend(std::iter::repeat_n(c, std::mem::take(&mut count))),
        }
    }
    letters
}

fn decoded(value: &Value) -> Histogram<u64> {
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let Some(text) = value.as_str() else {
        return Histogram::new(3).expect("three digits are HdrHistogram's");
    };
    assert!(text.starts_with("HISTFAAA"), "{text}");
    let bytes = engine.decode(text).expect("it is base64");
    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("it is a histogram")
}
