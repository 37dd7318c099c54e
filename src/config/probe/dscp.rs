//! DSCP code points by name (RFC 2474).

/// A DSCP by its name (RFC 2474, 2597, 3246, 5865, 8622) or its number; [`None`] for what is
/// neither.
#[must_use]
pub fn dscp(written: Result<&str, i64>) -> Option<u8> {
    let name = match written {
        Err(number) => return u8::try_from(number).ok().filter(|code| *code <= 63),
        Ok(name) => name.to_ascii_lowercase(),
    };
    let names: [(&str, u8); 5] = [("be", 0), ("default", 0), ("le", 1), ("va", 44), ("ef", 46)];
    if let Some((_, code)) = names.iter().find(|(known, _)| *known == name) {
        return Some(*code);
    }
    let digits: Vec<u8> = name
        .chars()
        .skip(2)
        .filter_map(|c| c.to_digit(10).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match (name.get(..2)?, digits.as_slice()) {
        ("cs", [class @ 0..=7]) if name.len() == 3 => Some(class * 8),
        ("af", [class @ 1..=4, drop @ 1..=3]) if name.len() == 4 => Some(class * 8 + drop * 2),
        _ => None,
    }
}
