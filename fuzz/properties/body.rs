//! The body of a request, before anything of it is believed: expanded within its limit and cut into
//! lines, or refused.

use wanproof::collector::body::{Encoding, Type, expand, lines};

/// Far below the collector's own, so that a bomb is found soon.
const LIMIT: usize = 64 * 1024;

/// The property.
pub fn holds(data: &[u8]) {
    let Some((how, body)) = data.split_first() else { return };
    let encoding = match how % 3 {
        0 => Encoding::None,
        1 => Encoding::Gzip,
        _ => Encoding::Zstd,
    };
    let Ok(plain) = expand(body.to_vec(), encoding, LIMIT) else { return };
    assert!(plain.len() <= LIMIT);
    for of in [Type::Jose, Type::Ndjson] {
        if let Ok(lines) = lines(&plain, of) {
            assert!(
                !lines.is_empty()
                    && lines.iter().map(|line| line.len()).sum::<usize>() <= plain.len()
            );
        }
    }
}
