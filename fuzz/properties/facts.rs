//! A facts file from others: read, or refused with its faults.

/// The property.
pub fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(faults) = wanproof::sla::facts::parse(text, "facts.json") {
        assert!(!faults.is_empty());
    }
}
