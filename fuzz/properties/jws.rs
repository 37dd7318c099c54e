//! Every JWS that a stranger may send: read or refused, and never verified by a key that did not
//! sign it.

use wanproof::base::time::Wall;
use wanproof::evidence::key::{PublicKey, SecretKey};
use wanproof::evidence::request::{self, ReadRequest};
use wanproof::evidence::{answer, enrol, receipt, rotation};
use wanproof::evidence::{chain::ChainId, verify::Verifier};

/// The property.
pub fn holds(data: &[u8]) {
    let key = SecretKey::from_seed(&[0x5a; 32]);
    assert!(receipt::verify(data, key.public()).is_err());
    assert!(answer::verify_contracts(data, key.public()).is_err());
    assert!(answer::verify_keys(data, key.public()).is_err());
    let asked = ReadRequest { collector: key.kid(), method: "GET", path: "/v1/contracts" };
    assert!(request::verify(data, key.public(), asked, Wall::from_secs(1_800_000_000)).is_err());
    // An enrolment and a rotation bring their own key, so a valid one is possible, and must then be
    // whole.
    if let Ok(said) = enrol::verify(data) {
        assert_eq!(enrol::verify(data).map(|again| again.jwk), Ok(said.jwk));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = rotation::verify(text, key.kid(), ChainId::from_bytes([0; 16]), 0);
        let _ = PublicKey::from_jwk(text);
        let _ = SecretKey::from_jwk(text);
    }
    let mut verifier = Verifier::new();
    verifier.trust(*key.public());
    verifier.add("0.jws", data);
    assert!(!verifier.verdict().ok);
}
