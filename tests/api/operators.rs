//! Operators: who did what, by which token, and who guesses.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Desk, contract, json_of};

#[tokio::test]
async fn what_an_operator_does_is_written_down_by_who_he_is_and_not_by_what_he_says() {
    let desk = Desk::open("").await;
    let (_, made) = desk.post("/v1/tokens", &json!({"name": "anna", "scope": "admin"})).await;
    let anna = made["token"].as_str().unwrap();
    assert!(made["until"].is_string(), "a token that changes ends: {made}");
    let ask = async |path: &str, body: Value| {
        let answer =
            desk.ask(Method::POST, path, anna, Some(("application/json", body.to_string()))).await;
        (answer.status().as_u16(), json_of(answer).await)
    };
    assert_eq!(desk.import(contract()).await.0, 201);
    let said = json!({"who": "somebody else", "at": "2020-01-01T00:00:00Z"});
    let (status, view) = ask("/v1/agreements/FLEET/1/propose", said.clone()).await;
    assert_eq!(status, 200, "{view}");
    let entry = &view["log"][0];
    assert_eq!((&entry["who"], &entry["said"]), (&json!("anna"), &said));
    assert_eq!(entry["at"], entry["recorded"], "the time is the collector's: {entry}");
    assert_ne!(entry["at"], said["at"]);
    // When a version takes effect is what the operator decides, not when he does it.
    assert_eq!(ask("/v1/agreements/FLEET/1/sign", json!({})).await.0, 200);
    let (_, view) =
        ask("/v1/agreements/FLEET/1/take_effect", json!({"at": "2026-02-01T00:00:00Z"})).await;
    assert_eq!(view["in_force_from"], "2026-02-01T00:00:00Z");
    assert_eq!(view["signatures"], json!([]), "that it was signed is her word");
    assert_eq!(
        ask("/v1/agreements/FLEET/1/end", json!({"at": "2020-01-01T00:00:00Z", "odd": 1})).await.0,
        422
    );

    let agent = desk.enrol().await;
    let path = format!("/v1/agents/{}/revoke", agent.kid);
    assert_eq!(desk.ask(Method::POST, &path, anna, None).await.status(), 204);
    assert_eq!(
        desk.ask(Method::DELETE, "/v1/tokens/anna", "let me in, I work here", None).await.status(),
        204
    );

    let audit = desk.get("/v1/audit").await;
    let all: Vec<[&str; 4]> = (audit.as_array().unwrap().iter().rev())
        .map(|each| ["who", "via", "action", "subject"].map(|key| each[key].as_str().unwrap()))
        .collect();
    assert_eq!(
        all,
        [
            ["operator", "api", "token.make", "anna"],
            ["operator", "api", "contract.import", "FLEET/1"],
            ["anna", "api", "contract.propose", "FLEET/1"],
            ["anna", "api", "contract.sign", "FLEET/1"],
            ["anna", "api", "contract.take_effect", "FLEET/1"],
            ["anna", "api", "agent.revoke", &agent.kid],
            ["operator", "api", "token.revoke", "anna"],
        ],
        "what was refused is not there"
    );
    assert!(!audit.to_string().contains(anna), "a token is nowhere");
    let propose =
        audit.as_array().unwrap().iter().find(|each| each["action"] == "contract.propose").unwrap();
    assert_eq!(propose["detail"]["said"], said);
    let page = desk.ask(Method::GET, "/v1/audit?limit=2", "let me in, I work here", None).await;
    let link = page.headers()["link"].to_str().unwrap().to_owned();
    let next = desk.get(link.strip_prefix('<').unwrap().split('>').next().unwrap()).await;
    assert_eq!(next[0]["action"], "contract.take_effect");
    let (_, reader) = desk.post("/v1/tokens", &json!({"name": "grafana", "scope": "read"})).await;
    let refused = desk.ask(Method::GET, "/v1/audit", reader["token"].as_str().unwrap(), None).await;
    assert_eq!(refused.status(), 403, "who only reads the fleet does not read who did what");
    desk.close().await;
}

#[tokio::test]
async fn sign_takes_both_parties_signatures_of_this_very_text() {
    use wanproof::base::time::Wall;
    use wanproof::evidence::contract_signature::{self, Files};
    use wanproof::evidence::key::SecretKey;
    use wanproof::evidence::summary::ContractRef;
    use wanproof::sla::{contract as terms, terms::Party};

    let desk = Desk::open("").await;
    assert_eq!(desk.import(contract()).await.0, 201);
    assert_eq!(desk.post("/v1/agreements/FLEET/1/propose", &json!({})).await.0, 200);
    let of = |text: &str| {
        let sha256 = wanproof::evidence::digest::Digest::of(text.as_bytes()).hex();
        Files {
            own: ContractRef { id: "FLEET".to_owned(), version: 1, sha256 },
            parents: Vec::new(),
        }
    };
    let parsed = terms::parse(&contract(), "c.toml").unwrap();
    let [customer, provider] = [[1; 32], [2; 32]].map(|seed| SecretKey::from_seed(&seed));
    let jwk = |key: &SecretKey| serde_json::from_str::<Value>(&key.public().to_jwk()).unwrap();
    let at = Wall::from_secs(1_780_000_000);
    let both = |files: &Files| {
        let first = contract_signature::sign(files, &parsed, Party::Customer, at, None, &customer);
        let second =
            contract_signature::sign(files, &parsed, Party::Provider, at, Some(&first), &provider);
        // In whichever order they come.
        json!({"signatures": [{"jws": second, "jwk": jwk(&provider)}, {"jws": first, "jwk": jwk(&customer)}]})
    };
    let (status, refused) =
        desk.post("/v1/agreements/FLEET/1/sign", &both(&of("another text"))).await;
    assert_eq!(status, 422, "{refused}");
    let mut one = both(&of(&contract()));
    one["signatures"].as_array_mut().unwrap().pop();
    assert_eq!(
        desk.post("/v1/agreements/FLEET/1/sign", &one).await.0,
        422,
        "one party alone signs nothing"
    );
    let (status, view) = desk.post("/v1/agreements/FLEET/1/sign", &both(&of(&contract()))).await;
    assert_eq!((status, &view["state"]), (200, &json!("signed")), "{view}");
    let parties = view["signatures"].as_array().unwrap();
    let kids: Vec<[&Value; 2]> =
        parties.iter().map(|each| [&each["party"], &each["kid"]]).collect();
    let [own, theirs] = [&customer, &provider].map(|key| json!(key.kid()));
    assert_eq!(kids, [[&json!("customer"), &own], [&json!("provider"), &theirs]]);
    assert_eq!(desk.get("/v1/audit").await[0]["detail"]["signatures"], view["signatures"]);
    desk.close().await;
}

#[tokio::test]
async fn whoever_guesses_tokens_waits_and_who_works_goes_on() {
    let desk = Desk::open("").await;
    let own = "let me in, I work here";
    assert_eq!(desk.ask(Method::GET, "/v1/agents", own, None).await.status(), 200);
    let mut seen = Vec::new();
    for guess in 0..12 {
        let answer =
            desk.ask(Method::GET, "/v1/agents", &format!("guess number {guess}"), None).await;
        assert_eq!(answer.status(), 401);
        seen.push(answer.headers().contains_key("retry-after"));
    }
    assert_eq!((seen[0], seen[9], seen[11]), (false, false, true), "{seen:?}");
    // The same address goes on with what was good there; a good one that is new waits as a guess
    // does.
    let (_, made) = desk.post("/v1/tokens", &json!({"name": "new", "scope": "read"})).await;
    assert_eq!(
        desk.ask(Method::GET, "/v1/agents", made["token"].as_str().unwrap(), None).await.status(),
        401
    );
    assert_eq!(desk.ask(Method::GET, "/v1/agents", own, None).await.status(), 200);
    let past = json!({"name": "old", "scope": "read", "until": "2020-01-01T00:00:00Z"});
    assert_eq!(desk.post("/v1/tokens", &past).await.0, 422);
    desk.close().await;
}
