//! A bundle from others: checked without a panic, and never ok by a key that signed nothing in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wanproof::evidence::bundle;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::verify::Verifier;

fuzz_target!(|data: &[u8]| {
    let mut verifier = Verifier::new();
    verifier.trust(*SecretKey::from_seed(&[0x5a; 32]).public());
    assert!(!bundle::check("b.zip", data, verifier).ok);
});
