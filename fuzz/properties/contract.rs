//! A contract from others: read, or refused with its faults.

/// The property.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(faults) = wanproof::sla::contract::parse(text, "contract.toml") {
        assert!(!faults.is_empty());
    }
}
