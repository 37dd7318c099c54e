//! What can be proven: summaries, signatures, chains, receipts.
//!
//! Everything here follows docs/wire.md and is pure: bytes in, words or a refusal out.

pub mod answer;
pub mod base64url;
pub mod bundle;
pub mod chain;
pub mod contract_signature;
pub mod digest;
pub mod enrol;
pub mod json;
pub mod jws;
pub mod key;
pub mod late;
pub mod problem;
pub mod receipt;
pub mod register;
pub mod report_page;
pub mod request;
pub mod rotation;
pub mod side;
pub mod summary;
pub mod told;
pub mod verify;
