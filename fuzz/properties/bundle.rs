//! A bundle from others: checked without a panic, and never ok by a key that signed nothing in it.

use wanproof::evidence::bundle;
use wanproof::evidence::key::SecretKey;
use wanproof::evidence::verify::Verifier;

/// The property.
pub fn holds(data: &[u8]) {
    let mut verifier = Verifier::new();
    verifier.trust(*SecretKey::from_seed(&[0x5a; 32]).public());
    assert!(!bundle::check("b.zip", data, verifier).ok);
}
