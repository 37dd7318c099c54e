//! The collector, asked by an agent that somebody else wrote.
#![cfg(all(feature = "agent", feature = "collector"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod kit;
use kit::foreign;
use std::path::Path;
use std::time::Duration;

use foreign::{Foreign, SUMMARY, b64, digest, verify};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use wanproof::base::time::{Clock as _, SystemClock};
use wanproof::collector::archive::agents::AgentStatus;
use wanproof::collector::archive::{Archive, ArchiveError};
use wanproof::collector::{self, Central};
use wanproof::config::collector::Database;
use wanproof::evidence::key::Kid;

/// A collector on loopback, and a client that knows nothing of it.
struct Desk {
    central: Central,
    http: reqwest::Client,
    at: TempDir,
}

async fn open(dir: &Path) -> (Central, reqwest::Client) {
    let central = collector::on_loopback(&dir.join("c")).await.unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    (central, http)
}

impl Desk {
    async fn open() -> Self {
        let at = tempfile::tempdir().unwrap();
        let (central, http) = open(at.path()).await;
        Self { central, http, at }
    }

    /// Stops the collector and starts it again on the same files.
    async fn restart(self) -> Self {
        let Self { central, at, .. } = self;
        central.stop().await.unwrap();
        let (central, http) = open(at.path()).await;
        Self { central, http, at }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.central.url))
    }

    async fn enrol(&self, agent: &Foreign) -> (StatusCode, Value) {
        let enrolment = agent.enrolment(Some(&self.central.token));
        let answer = self
            .post("/v1/enrol")
            .header("content-type", "application/jose")
            .body(enrolment)
            .send()
            .await;
        let answer = answer.unwrap();
        (answer.status(), json_of(answer).await)
    }

    /// An agent that was let in.
    async fn agent(&self) -> Foreign {
        let agent = Foreign::new();
        let (status, answer) = self.enrol(&agent).await;
        assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("approved")));
        agent
    }

    fn jose(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/v1/summaries").header("content-type", "application/jose").body(body)
    }

    fn ndjson(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/v1/summaries").header("content-type", "application/x-ndjson").body(body)
    }

    /// What is said of one summary: its receipt, or the problem's type without its URN.
    async fn said(&self, jws: &str) -> Result<String, String> {
        let answer = self.jose(jws.to_owned()).send().await.unwrap();
        let mut results = results(answer).await;
        assert_eq!(results.len(), 1);
        let (digest_said, said) = results.remove(0);
        assert_eq!(digest_said, digest(jws));
        said
    }

    async fn agents(&self) -> Value {
        let database = self.at.path().join("c/collector.db");
        let archive = Archive::open_existing(&Database::Sqlite(database)).unwrap();
        // As an operator looks at it a day later.
        let now = SystemClock.now().wall + Duration::from_secs(86_400);
        let rows = archive.agents().unwrap();
        serde_json::to_value(
            rows.into_iter().map(|row| collector::fleet::view(row, 3, now)).collect::<Vec<_>>(),
        )
        .unwrap()
    }
}

/// The lines of an answer: the digest, and the receipt or the problem's type.
async fn results(answer: Response) -> Vec<(String, Result<String, String>)> {
    assert_eq!(answer.status(), StatusCode::OK);
    let text = answer.text().await.unwrap();
    assert!(text.ends_with('\n'));
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let said = match (&line["receipt"], &line["error"]) {
            (Value::String(receipt), Value::Null) => Ok(receipt.clone()),
            (Value::Null, error) => Err(kind(error)),
            _ => panic!("{line}"),
        };
        (line["digest"].as_str().unwrap().to_owned(), said)
    };
    text.lines().map(line).collect()
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// The type of a problem document, which must be whole.
fn kind(problem: &Value) -> String {
    assert!(
        problem["status"].is_u64() && problem["title"].is_string() && problem["detail"].is_string(),
        "{problem}"
    );
    problem["type"].as_str().unwrap().strip_prefix("urn:wanproof:").unwrap().to_owned()
}

async fn problem(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = json_of(answer).await;
    assert_eq!(problem["status"], status);
    (status, kind(&problem))
}

fn err(kind: &str) -> Result<String, String> {
    Err(kind.to_owned())
}

#[tokio::test]
async fn an_agent_written_from_the_page_is_let_in_and_gets_receipts_that_anybody_can_verify() {
    let desk = Desk::open().await;
    let agent = Foreign::new();
    assert_eq!(desk.said(&agent.summary(0, None)).await, err("unknown-agent"));
    let (status, enrolled) = desk.enrol(&agent).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(desk.enrol(&agent).await.1, enrolled, "the same again gets the same");
    let summary = agent.summary(0, None);
    let receipt = desk.said(&summary).await.unwrap();
    let (header, said) = verify(&receipt, &enrolled["jwk"]);
    let collector = foreign::thumbprint(enrolled["jwk"]["x"].as_str().unwrap());
    assert_eq!(
        (header.token_type(), header.key_id()),
        (Some("wanproof-receipt+jws"), Some(collector.as_str()))
    );
    let received: wanproof::base::time::Wall = said["received"].as_str().unwrap().parse().unwrap();
    assert!(received > "2026-01-01T00:00:00Z".parse().unwrap());
    let mut rest = said.clone();
    rest.as_object_mut().unwrap().remove("received");
    assert_eq!(
        rest,
        json!({"v": 1, "collector": collector, "agent": agent.kid, "chain": agent.chain, "seq": 0, "digest": digest(&summary)})
    );
    assert_eq!(
        desk.said(&summary).await.unwrap(),
        receipt,
        "the same bytes again get the same receipt again"
    );
}

#[tokio::test]
async fn batches_are_answered_line_by_line_in_every_encoding() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(4);
    let forged = agent.summary(9, Some("x"));
    let body = format!("{}\n{forged}\n{}\n\n{}\n", all[0], all[1], all[2]);
    let mut answers = Vec::new();
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.as_bytes()).unwrap();
    for (encoding, body) in [
        ("zstd", zstd::bulk::compress(body.as_bytes(), 3).unwrap()),
        ("gzip", gzip.finish().unwrap()),
        ("identity", body.clone().into_bytes()),
    ] {
        let answer = desk.ndjson(body).header("content-encoding", encoding).send().await.unwrap();
        let results = results(answer).await;
        let digests: Vec<&str> = results.iter().map(|(digest, _)| digest.as_str()).collect();
        assert_eq!(
            digests,
            [digest(&all[0]), digest(&forged), digest(&all[1]), digest(""), digest(&all[2])],
            "{encoding}"
        );
        let said: Vec<Result<String, String>> = results.into_iter().map(|(_, said)| said).collect();
        assert_eq!((&said[1], &said[3]), (&err("malformed"), &err("malformed")));
        assert!(said[0].is_ok() && said[2].is_ok() && said[4].is_ok());
        answers.push(said);
    }
    assert!(
        answers.iter().all(|said| *said == answers[0]),
        "each gets its first receipt whatever way it comes"
    );
    let last = desk.ndjson(all[3].clone()).send().await.unwrap();
    assert!(results(last).await[0].1.is_ok(), "no newline at the end is fine");
}

/// A histogram of HdrHistogram's form whose counts are 64 MiB of zeros.
fn bomb() -> String {
    use base64::Engine as _;
    use std::io::Write as _;
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let mut head = 0x1c84_9313_u32.to_be_bytes().to_vec();
    head.extend((64u32 << 20).to_be_bytes());
    head.extend([0; 4]);
    head.extend(3u32.to_be_bytes());
    head.extend(1u64.to_be_bytes());
    head.extend(60_000_000_u64.to_be_bytes());
    head.extend(1f64.to_be_bytes());
    deflated.write_all(&head).unwrap();
    deflated.write_all(&vec![0; 64 << 20]).unwrap();
    let deflated = deflated.finish().unwrap();
    let mut whole = 0x1c84_9314_u32.to_be_bytes().to_vec();
    whole.extend(u32::try_from(deflated.len()).unwrap().to_be_bytes());
    whole.extend(deflated);
    base64::engine::general_purpose::STANDARD.encode(whole)
}

/// A JWS whose signature's S has the group's order added: a lenient reader would take it for the
/// same.
fn malleable(jws: &str) -> String {
    use base64::Engine as _;
    // 2^252 + 27742317777372353535851937790883648493, little-endian (RFC 8032, 5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (signed, signature) = jws.rsplit_once('.').unwrap();
    let mut bytes = engine.decode(signature).unwrap();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    format!("{signed}.{}", engine.encode(bytes))
}

#[tokio::test]
async fn every_forgery_is_refused_by_its_name() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let stranger = Foreign::new();
    let payload = serde_json::to_vec(&agent.payload(0, None)).unwrap();
    let with = |place: &str, to: Value| {
        let mut payload = agent.payload(0, None);
        *payload.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = to;
        agent.sign(SUMMARY, &payload)
    };
    let interval = |name: &str| format!("/probes/0/intervals/0/{name}");
    let kid = &agent.kid;
    let good = agent.summary(0, None);
    let deep = |open: &str, close: &str| {
        let text = String::from_utf8(payload.clone()).unwrap();
        let nested = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
        agent.sign_bytes(
            SUMMARY,
            text.replacen("\"v\":1", &format!("\"x\":{nested},\"v\":1"), 1).as_bytes(),
        )
    };
    let mut of_another = agent.payload(0, None);
    of_another["agent"] = json!(stranger.kid);
    let doubled =
        String::from_utf8(payload.clone()).unwrap().replacen("\"v\":1", "\"v\":1,\"v\":1", 1);
    let mut invalid = payload.clone();
    let at = invalid.windows(8).position(|part| part == b"leeds-01").unwrap();
    invalid[at] = 0xff;
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "no algorithm",
            agent.sign_header(
                &format!(r#"{{"alg":"none","kid":"{kid}","typ":"{SUMMARY}"}}"#),
                &payload,
            ),
            "malformed",
        ),
        (
            "no algorithm and no signature",
            format!(
                "{}.{}.",
                b64(format!(r#"{{"alg":"none","kid":"{kid}","typ":"{SUMMARY}"}}"#)),
                b64(&payload)
            ),
            "malformed",
        ),
        (
            "another algorithm",
            agent.sign_header(
                &format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{SUMMARY}"}}"#),
                &payload,
            ),
            "malformed",
        ),
        ("another typ", agent.sign("wanproof-receipt+jws", &agent.payload(0, None)), "malformed"),
        (
            "no typ",
            agent.sign_header(&format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), &payload),
            "malformed",
        ),
        (
            "unknown crit",
            agent.sign_header(
                &format!(
                    r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{SUMMARY}","crit":["exp"],"exp":1}}"#
                ),
                &payload,
            ),
            "malformed",
        ),
        (
            "a foreign key in the header",
            stranger.sign_header(
                &format!(
                    r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{SUMMARY}","jwk":{}}}"#,
                    stranger.public()
                ),
                &payload,
            ),
            "bad-signature",
        ),
        ("a foreign kid", stranger.summary(0, None), "unknown-agent"),
        ("another agent's kid", stranger.sign_header(&agent.header(), &payload), "bad-signature"),
        ("another agent's name", agent.sign(SUMMARY, &of_another), "bad-signature"),
        ("padding", format!("{good}="), "malformed"),
        ("trailing bytes", format!("{good}AA"), "malformed"),
        ("a fourth part", format!("{good}.AA"), "malformed"),
        ("a space before it", format!(" {good}"), "malformed"),
        ("cut short", good[..good.len() - 4].to_owned(), "malformed"),
        ("not a JWS", "hello".to_owned(), "malformed"),
        ("not JSON", agent.sign_bytes(SUMMARY, b"{\"v\":1"), "malformed"),
        (
            "JSON and more",
            agent.sign_bytes(SUMMARY, &[payload.as_slice(), b"{}"].concat()),
            "malformed",
        ),
        ("invalid UTF-8", agent.sign_bytes(SUMMARY, &invalid), "malformed"),
        ("a member twice", agent.sign_bytes(SUMMARY, doubled.as_bytes()), "malformed"),
        ("deep arrays", deep("[", "]"), "malformed"),
        ("deep objects", deep("{\"a\":", "}"), "malformed"),
        ("not of the page", agent.sign(SUMMARY, &json!({"v": 1})), "malformed"),
        ("another version", with("/v", json!(2)), "unsupported"),
        ("outcomes that do not add up", with(&interval("outcomes"), json!("59a2l1a")), "malformed"),
        (
            "a histogram with too few",
            with(&interval("rtt_us"), json!(foreign::histogram(&[24_000; 57]))),
            "malformed",
        ),
        (
            "a histogram with too many",
            with(&interval("rtt_us"), json!(foreign::histogram(&[24_000; 59]))),
            "malformed",
        ),
        ("a histogram that is none", with(&interval("rtt_us"), json!("HISTFAAAAAA=")), "malformed"),
        (
            "differences that do not add up",
            with(&interval("ipdv_us"), json!(foreign::histogram(&[40; 57]))),
            "malformed",
        ),
        ("a sum that is none", with(&interval("rtt_sum_ns"), json!(1)), "malformed"),
        ("a negative number", with("/seq", json!(-1)), "malformed"),
        (
            "an interval over a minute's end",
            with(&interval("from"), json!("2026-11-23T10:00:30Z")),
            "malformed",
        ),
        (
            "an interval outside of the summary",
            with(&interval("from"), json!("2026-11-23T10:01:00Z")),
            "malformed",
        ),
        ("a prev for number 0", with("/prev", json!(digest("x"))), "malformed"),
        (
            "a histogram that expands without end",
            with(&interval("rtt_us"), json!(bomb())),
            "malformed",
        ),
        ("outcomes without end", with(&interval("outcomes"), json!("4000000000a")), "malformed"),
        ("outcomes of no known letter", with(&interval("outcomes"), json!("60z")), "malformed"),
        ("the same signature in another form", malleable(&good), "bad-signature"),
        ("too long", with("/software", json!("x".repeat(1 << 20))), "too-large"),
    ];
    for (what, jws, expected) in &cases {
        assert_eq!(desk.said(jws).await, err(expected), "{what}");
    }
    desk.said(&good).await.expect("what was refused holds no number");
    assert_eq!(desk.agents().await[0]["conflicts"], 0);
}

#[tokio::test]
async fn what_does_not_fit_into_its_chain_is_refused_and_kept_aside() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(4);
    let receipt = desk.said(&all[0]).await.unwrap();
    desk.said(&all[1]).await.unwrap();
    let mut other = agent.payload(1, Some(&digest(&all[0])));
    other["site"] = json!("elsewhere");
    assert_eq!(
        desk.said(&agent.sign(SUMMARY, &other)).await,
        err("chain-conflict"),
        "a reused number"
    );
    assert_eq!(
        desk.said(&agent.summary(2, Some(&digest("x")))).await,
        err("chain-conflict"),
        "a wrong prev"
    );
    desk.said(&all[3]).await.unwrap();
    let mut wrong = agent.payload(2, Some(&digest(&all[1])));
    wrong["site"] = json!("elsewhere");
    assert_eq!(
        desk.said(&agent.sign(SUMMARY, &wrong)).await,
        err("chain-conflict"),
        "its successor names another"
    );
    assert_eq!(desk.agents().await[0]["conflicts"], 3);
    desk.said(&all[2]).await.unwrap();
    assert_eq!(desk.said(&all[0]).await.unwrap(), receipt, "the first one stays");
}

#[tokio::test]
async fn gaps_are_named_and_filled_by_late_ones() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(10);
    let gaps = async |desk: &Desk| {
        let agents = desk.agents().await;
        let gaps = agents[0]["gaps"].as_array().unwrap().clone();
        gaps.iter()
            .map(|gap| format!("{}-{}", gap["from_seq"], gap["to_seq"]))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (seq, expected) in [
        (3, "0-2"),
        (4, "0-2"),
        (9, "0-2 5-8"),
        (6, "0-2 5-5 7-8"),
        (1, "0-0 2-2 5-5 7-8"),
        (0, "2-2 5-5 7-8"),
        (2, "5-5 7-8"),
    ] {
        desk.said(&all[seq]).await.unwrap();
        assert_eq!(gaps(&desk).await, expected, "after {seq}");
    }
    assert_eq!(desk.agents().await[0]["last"]["seq"], 9);
    assert_eq!(desk.agents().await[0]["silent"], true);
    // What the agent says that it dropped stays missing, and is known not to come.
    let mut next = agent.payload(10, Some(&digest(&all[9])));
    next["dropped"] = json!([{"chain": agent.chain, "from_seq": 7, "to_seq": 8}]);
    desk.said(&agent.sign(SUMMARY, &next)).await.unwrap();
    let agents = desk.agents().await;
    assert_eq!(agents[0]["gaps"][0], json!({"chain": agent.chain, "from_seq": 5, "to_seq": 5}));
    assert_eq!(
        agents[0]["gaps"][1],
        json!({"chain": agent.chain, "from_seq": 7, "to_seq": 8, "dropped": true})
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_as_a_whole() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let body = agent.summary(0, None);
    let bomb = zstd::bulk::compress(&vec![b'a'; 40 << 20], 3).unwrap();
    assert!(bomb.len() < 10_000);
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b'a'; 40 << 20]).unwrap();
    let gzip = gzip.finish().unwrap();
    let wide = {
        // A window of 64 MiB, twice of what the page allows.
        let mut to = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        to.window_log(26).unwrap();
        to.write_all(body.as_bytes()).unwrap();
        to.finish().unwrap()
    };
    for (what, request, expected) in [
        ("empty", desk.jose(""), (400, "malformed")),
        ("only a newline", desk.ndjson("\n"), (400, "malformed")),
        ("no type", desk.post("/v1/summaries").body(body.clone()), (415, "unsupported")),
        (
            "another type",
            desk.post("/v1/summaries")
                .header("content-type", "application/json")
                .body(body.clone()),
            (415, "unsupported"),
        ),
        (
            "another encoding",
            desk.jose(body.clone()).header("content-encoding", "br"),
            (415, "unsupported"),
        ),
        (
            "two encodings",
            desk.jose(body.clone()).header("content-encoding", "gzip, zstd"),
            (415, "unsupported"),
        ),
        ("too much", desk.jose(vec![b'a'; (4 << 20) + 1]), (413, "too-large")),
        ("a bomb", desk.ndjson(bomb).header("content-encoding", "zstd"), (413, "too-large")),
        ("another bomb", desk.ndjson(gzip).header("content-encoding", "gzip"), (413, "too-large")),
        (
            "a window too wide",
            desk.jose(wide).header("content-encoding", "zstd"),
            (400, "malformed"),
        ),
        (
            "not compressed",
            desk.jose(body.clone()).header("content-encoding", "gzip"),
            (400, "malformed"),
        ),
        ("another address", desk.post("/v1/nothing").body(body.clone()), (404, "not-found")),
        (
            "another method",
            desk.http.get(format!("{}/v1/summaries", desk.central.url)),
            (405, "method-not-allowed"),
        ),
    ] {
        let (status, kind) = problem(request).await;
        assert_eq!((status, kind.as_str()), expected, "{what}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            desk.http.get(format!("{}{path}", desk.central.url)).send().await.unwrap().status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_token_lets_one_agent_in_and_forged_enrolments_none() {
    let desk = Desk::open().await;
    let (one, two) = (Foreign::new(), Foreign::new());
    let enrol =
        |body: String| desk.post("/v1/enrol").header("content-type", "application/jose").body(body);
    assert_eq!(problem(enrol(one.enrolment(None))).await, (403, "bad-token".into()));
    assert_eq!(problem(enrol(one.enrolment(Some("wrong")))).await, (403, "bad-token".into()));
    assert_eq!(desk.enrol(&one).await.0, StatusCode::OK);
    assert_eq!(
        problem(enrol(two.enrolment(Some(&desk.central.token)))).await,
        (403, "bad-token".into())
    );
    let of_another = json!({"v": 1, "jwk": one.public(), "site": "x", "token": "t"});
    assert_eq!(
        problem(enrol(two.sign("wanproof-enrol+jws", &of_another))).await,
        (422, "bad-signature".into())
    );
    let header = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"wanproof-enrol+jws"}}"#, one.kid);
    let forged = two.sign_header(&header, &serde_json::to_vec(&of_another).unwrap());
    assert_eq!(problem(enrol(forged)).await, (422, "bad-signature".into()));
    assert_eq!(problem(enrol(two.sign(SUMMARY, &of_another))).await, (400, "malformed".into()));
    // A point of small order, with which any message would verify.
    let weak = json!({"kty": "OKP", "crv": "Ed25519", "x": format!("AQ{}", "A".repeat(41))});
    let weak = json!({"v": 1, "jwk": weak, "site": "x", "token": desk.central.token});
    assert_eq!(
        problem(enrol(two.sign("wanproof-enrol+jws", &weak))).await,
        (400, "malformed".into())
    );
    assert_eq!(problem(enrol(String::new())).await, (400, "malformed".into()));
    assert_eq!(problem(enrol("x".repeat(100_000))).await, (413, "too-large".into()));
}

#[tokio::test]
async fn a_revoked_agent_is_out_for_good() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(2);
    desk.said(&all[0]).await.unwrap();
    let database = desk.at.path().join("c/collector.db");
    let kid: Kid = agent.kid.parse().unwrap();
    let mut archive = Archive::open_existing(&Database::Sqlite(database)).unwrap();
    // By another process, while the collector runs.
    assert!(
        archive
            .write(|archive| archive.set_standing(kid, AgentStatus::Revoked))
            .map_err(|e: ArchiveError| e)
            .unwrap()
    );
    assert_eq!(desk.said(&all[1]).await, err("revoked"));
    let (status, answer) = desk.enrol(&agent).await;
    assert_eq!((status, kind(&answer).as_str()), (StatusCode::FORBIDDEN, "revoked"));
}

#[tokio::test]
async fn an_agents_key_is_replaced_by_a_summary_that_both_keys_sign() {
    let desk = Desk::open().await;
    let old = desk.agent().await;
    let new = Foreign { agent: old.agent.clone(), chain: old.chain.clone(), ..Foreign::new() };
    let consent = |seq: u64| {
        let said = json!({"v": 1, "agent": old.agent, "jwk": new.public(), "chain": old.chain, "seq": seq});
        new.sign("wanproof-rotation+jws", &said)
    };
    let zero = old.summary(0, None);
    let mut one = old.payload(1, Some(&digest(&zero)));
    one["next_key"] = json!(consent(7));
    assert_eq!(
        desk.said(&old.sign(SUMMARY, &one)).await,
        err("malformed"),
        "consent for another summary"
    );
    one["next_key"] = json!(consent(1));
    let one = old.sign(SUMMARY, &one);
    let two = new.summary(2, Some(&digest(&one)));
    assert_eq!(desk.said(&two).await, err("unknown-agent"), "not before it was named");
    // The naming and the first summary by the new key in one request.
    let body = format!("{zero}\n{one}\n{two}\n");
    let said = results(desk.ndjson(body).send().await.unwrap()).await;
    assert!(said.iter().all(|(_, said)| said.is_ok()), "{said:?}");
    let three = |by: &Foreign| by.summary(3, Some(&digest(&two)));
    assert_eq!(
        desk.said(&three(&old)).await,
        err("unknown-agent"),
        "the old key signs nothing more"
    );
    desk.said(&three(&new)).await.unwrap();
    desk.said(&one).await.expect("what it signed before stays good");
    assert_eq!(desk.agents().await[0]["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn contracts_are_read_once_by_whom_they_concern() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let url = format!("{}/v1/contracts", desk.central.url);
    let keys = desk
        .http
        .get(format!("{}/v1/keys", desk.central.url))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let collector: Value = serde_json::to_value(desk.central.collector.key()).unwrap();
    let (_, keys) = verify(&keys, &collector);
    assert_eq!((&keys["jwk"], &keys["next"]), (&collector, &Value::Null));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let request = |by: &Foreign, iat: u64, exp: u64, path: &str, jti: &str| {
        by.sign(
            "wanproof-request+jws",
            &json!({"v": 1, "agent": by.agent, "aud": collector["kid"], "method": "GET", "path": path, "iat": iat, "exp": exp, "jti": jti}),
        )
    };
    let get =
        |token: String| desk.http.get(&url).header("authorization", format!("Bearer {token}"));
    let good = request(&agent, now, now + 60, "/v1/contracts", "a");
    let answer = get(good.clone()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (header, said) = verify(&answer.text().await.unwrap(), &collector);
    assert_eq!(
        (header.token_type(), &said),
        (Some("wanproof-contracts+jws"), &json!({"v": 1, "contracts": []}))
    );
    for (what, token, expected) in [
        ("again", good, (401, "unauthorized")),
        ("too long", request(&agent, now, now + 61, "/v1/contracts", "b"), (401, "unauthorized")),
        ("over", request(&agent, now - 120, now - 60, "/v1/contracts", "c"), (401, "unauthorized")),
        ("another path", request(&agent, now, now + 60, "/v1/keys", "d"), (401, "unauthorized")),
        (
            "a stranger",
            request(&Foreign::new(), now, now + 60, "/v1/contracts", "e"),
            (403, "unknown-agent"),
        ),
        ("a summary", agent.summary(0, None), (400, "malformed")),
    ] {
        let (status, kind) = problem(get(token)).await;
        assert_eq!((status, kind.as_str()), expected, "{what}");
    }
    assert_eq!(problem(desk.http.get(&url)).await, (401, "unauthorized".into()));
    assert_eq!(
        problem(desk.http.get(format!("{}/v1/agents", desk.central.url))).await,
        (401, "unauthorized".into())
    );
}

#[tokio::test]
async fn nobody_can_use_up_another_agents_share() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(3);
    desk.said(&all[0]).await.unwrap();
    let stranger = Foreign::new();
    let payload = serde_json::to_vec(&agent.payload(1, None)).unwrap();
    // The share on loopback is 600 a minute; 650 forged requests and 650 copies of what is stored
    // use none of it.
    let forged = stranger.sign_header(&agent.header(), &payload);
    for _ in 0..650 {
        assert_eq!(desk.said(&forged).await, err("bad-signature"));
    }
    let mut copies = 0;
    loop {
        let answer = desk.jose(all[0].clone()).send().await.unwrap();
        if answer.status() != StatusCode::OK {
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
            let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait));
            assert_eq!(kind(&json_of(answer).await), "busy");
            break;
        }
        copies += 1;
        assert!(copies < 10_000, "it is never too much");
    }
    desk.said(&all[1]).await.expect("the agent's own share is whole");
}

#[tokio::test]
async fn after_a_restart_the_key_the_receipts_and_the_chains_are_the_same() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(2);
    let receipt = desk.said(&all[0]).await.unwrap();
    let key = desk.central.collector.key().kid();
    let desk = desk.restart().await;
    assert_eq!(desk.central.collector.key().kid(), key);
    assert_eq!(desk.said(&all[0]).await.unwrap(), receipt);
    desk.said(&all[1]).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_the_databases_refuses_to_start() {
    let desk = Desk::open().await;
    let Desk { central, at, .. } = desk;
    central.stop().await.unwrap();
    let key = at.path().join("c/collector.key");
    std::fs::rename(&key, at.path().join("kept")).unwrap();
    let missing = collector::on_loopback(&at.path().join("c")).await.unwrap_err().to_string();
    assert!(missing.contains("the key file is missing"), "{missing}");
    assert!(!key.exists(), "no other key is made in its place");
    wanproof::store::keyfile::load_or_create(&key).unwrap();
    let other = collector::on_loopback(&at.path().join("c")).await.unwrap_err().to_string();
    assert!(other.contains("with another key no agent would believe it"), "{other}");
    std::fs::rename(at.path().join("kept"), &key).unwrap();
    collector::on_loopback(&at.path().join("c")).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn many_agents_at_once_are_each_stored_once() {
    let desk = Desk::open().await;
    let agent = desk.agent().await;
    let all = agent.summaries(20);
    let mut requests = Vec::new();
    for part in all.chunks(5) {
        for _ in 0..3 {
            requests.push(tokio::spawn(
                desk.ndjson(part.join("\n")).timeout(Duration::from_secs(60)).send(),
            ));
        }
    }
    let mut receipts: std::collections::BTreeMap<String, Vec<String>> =
        std::collections::BTreeMap::new();
    for request in requests {
        for (digest, said) in results(request.await.unwrap().unwrap()).await {
            receipts.entry(digest).or_default().push(said.unwrap());
        }
    }
    assert_eq!(receipts.len(), 20);
    assert!(receipts.values().all(|all| all.len() == 3 && all.iter().all(|one| *one == all[0])));
}
