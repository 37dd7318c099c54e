//! `wanproof contract sign`, `countersign` and `signatures`, as the two parties call them.

use std::path::Path;
use std::process::Command;

const PAGE: &str = include_str!("../testdata/contracts/page.toml");

fn wanproof(directory: &Path, arguments: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wanproof"));
    let output = command
        .arg("contract")
        .args(arguments)
        .arg("--json")
        .current_dir(directory)
        .output()
        .expect("it runs");
    let value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), value, String::from_utf8(output.stderr).expect("UTF-8"))
}

/// The public half of a private key's file.
fn publish(directory: &Path, key: &str) {
    let text = std::fs::read_to_string(directory.join(key)).expect("a key");
    let key_of = wanproof::evidence::key::SecretKey::from_jwk(&text).expect("a key");
    std::fs::write(directory.join(format!("{key}.pub")), key_of.public().to_jwk())
        .expect("written");
}

#[test]
fn both_parties_sign_one_version_and_anyone_can_prove_that_it_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("c.toml"), PAGE).unwrap();
    let (code, signed, err) =
        wanproof(here, &["sign", "c.toml", "--as", "customer", "--key", "acme.jwk"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(signed["signature"], "c.customer.jws");
    publish(here, "acme.jwk");
    // The provider countersigns what it was shown to be the same, and nothing else.
    let theirs = [
        "--as",
        "provider",
        "--key",
        "carrier.jwk",
        "--signature",
        "c.customer.jws",
        "--signer",
        "acme.jwk.pub",
    ];
    std::fs::write(here.join("other.toml"), PAGE.replace("target = \"99.9\"", "target = \"99.8\""))
        .unwrap();
    let (code, _, err) = wanproof(here, &[&["countersign", "other.toml"], &theirs[..]].concat());
    assert_eq!(code, Some(2));
    assert!(err.contains("the two parties do not hold the same"), "{err}");
    let (code, _, err) = wanproof(here, &[&["countersign", "c.toml"], &theirs[..]].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    publish(here, "carrier.jwk");
    let proof = [
        "--signature",
        "c.provider.jws",
        "--signature",
        "c.customer.jws",
        "--key",
        "acme.jwk.pub",
        "--key",
        "carrier.jwk.pub",
    ];
    let (code, proven, _) = wanproof(here, &[&["signatures", "c.toml"], &proof[..]].concat());
    assert_eq!((code, proven["ok"].as_bool()), (Some(0), Some(true)));
    assert_eq!(
        (&proven["signatures"][0]["party"], &proven["sha256"]),
        (&"customer".into(), &signed["sha256"])
    );
    let (code, proven, _) = wanproof(here, &[&["signatures", "other.toml"], &proof[..]].concat());
    assert_eq!((code, proven["ok"].as_bool()), (Some(1), Some(false)));
}
