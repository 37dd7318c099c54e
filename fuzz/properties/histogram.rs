//! A histogram from others: what is read is packed and read again as the same.

use wanproof::measure::histogram::Packed;
use wanproof::measure::outcome::Outcomes;

/// The property.
pub fn holds(data: &[u8]) {
    if let Ok(histogram) = Packed::from_bytes(data.to_vec()).unpack() {
        let again = histogram.pack().map(|packed| packed.unpack());
        assert_eq!(again.is_none(), histogram.count() == 0);
        if let Some(again) = again {
            assert_eq!(
                again.as_ref().map(|again| again.recorded().collect::<Vec<_>>()),
                Ok(histogram.recorded().collect())
            );
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Packed::from_base64(text).map(|packed| packed.unpack());
        if let Ok(outcomes) = text.parse::<Outcomes>() {
            assert_eq!(outcomes.to_string().parse(), Ok(outcomes));
        }
    }
}
