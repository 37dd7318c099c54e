//! What can be proven: summaries, signatures, chains, receipts.
//!
//! Everything here follows docs/wire.md and is pure: bytes in, words or a refusal out.

pub mod base64url;
pub mod digest;
mod json;
pub mod jws;
pub mod key;
