//! What a new user sees first: the whole job on loopback, and the same found again by the commands
//! that it names.

#![expect(clippy::unwrap_used, reason = "a test may panic where it cannot go on")]

use std::process::{Command, Output};

use serde_json::Value;

fn wanproof(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wanproof")).args(words).output().unwrap()
}

#[test]
fn quickstart_finds_the_scripted_outage_and_proves_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("quickstart");
    let dir = dir.to_str().unwrap();
    let output = wanproof(&["quickstart", "--for", "15s", "--dir", dir]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for told in ["QUICKSTART/1#availability", "breached", "60.00 EUR", "\nverified: "] {
        assert!(said.contains(told), "{told}: {said}");
    }

    let config = format!("{dir}/agent.toml");
    let json = |words: &[&str]| -> Value {
        let output = wanproof(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let outages = json(&["outages", "--json", "--config", &config]);
    assert_eq!(outages.as_array().map(Vec::len), Some(1), "{outages}");
    assert_eq!(
        (&outages[0]["probe"], &outages[0]["service"]),
        (&"portal".into(), &"portal-access".into())
    );
    assert!(outages[0]["seconds"].as_f64() > Some(0.0), "{outages}");
    let reports = json(&["report", "--json", "--config", &config]);
    let verdict = &reports["reports"][0]["objectives"][0];
    assert_eq!(
        (&verdict["id"], &verdict["result"]),
        (&"availability".into(), &"breached".into()),
        "{reports}"
    );
    assert_eq!(reports["reports"][0]["credit"], "60.00");
    let verified = json(&["verify", "--json", "--config", &config, &format!("{dir}/evidence")]);
    assert_eq!(verified["ok"], true, "{verified}");
    assert!(verified["checked"]["receipts"].as_u64() > Some(0), "{verified}");
    assert_eq!(verified["checked"]["gaps"], Value::Array(Vec::new()));

    let again = wanproof(&["quickstart", "--for", "15s", "--dir", dir]);
    assert_eq!(again.status.code(), Some(3), "what is there is not overwritten");
}

#[test]
fn quickstart_refuses_a_length_that_shows_nothing() {
    let output = wanproof(&["quickstart", "--for", "1s"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("from 15s to 1h"));
}
