//! How the page writes times, lengths and what may be absent.

use std::borrow::Cow;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::base::time::Wall;

/// Absent and null alike are the default.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A side that can be measured.
pub mod side {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer};

    pub use crate::sla::as_text::word::serialize;
    use crate::sla::terms::Side;

    /// Reads it; a third party's is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Side, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        match &*text {
            "provider" => Ok(Side::Provider),
            "customer" => Ok(Side::Customer),
            "unknown" => Ok(Side::Unknown),
            other => Err(D::Error::unknown_variant(other, &["provider", "customer", "unknown"])),
        }
    }
}

/// An RFC 3339 instant in UTC, of the years 1970 to 2261.
pub fn utc<'de, D: Deserializer<'de>>(from: D) -> Result<Wall, D::Error> {
    let text = <Cow<'de, str>>::deserialize(from)?;
    let fault = || {
        D::Error::custom(format_args!(
            "{:?} is not a time in UTC, such as 2026-06-03T01:00:00Z",
            &*text
        ))
    };
    if is_utc(&text) { text.parse().map_err(|_| fault()) } else { Err(fault()) }
}

/// As [`utc`]; absent and null alike are none.
pub fn utc_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Wall>, D::Error> {
    #[derive(Deserialize)]
    struct At(#[serde(deserialize_with = "utc")] Wall);
    Ok(Option::<At>::deserialize(from)?.map(|at| at.0))
}

/// Whether a text has the form of RFC 3339 in UTC; the calendar is left to the parser. Years that
/// nanoseconds in 64 bits cannot hold are left out.
fn is_utc(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 {
        return false;
    }
    let (date, rest) = bytes.split_at(19);
    let form = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, &wanted): (&u8, &u8)| match wanted {
        b'd' => byte.is_ascii_digit(),
        _ => *byte == wanted,
    };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    date.iter().zip(form).all(fits)
        && (&b"1970"[..]..=&b"2261"[..]).contains(&&date[..4])
        && matches!(rest, b"Z" | b"+00:00")
}

/// A length in seconds with at most three decimals, as milliseconds.
pub mod seconds {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// No interval is longer than its minute.
    const LONGEST: u32 = 60_000;

    /// Writes it, whole seconds without decimals.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(millis: &u32, to: S) -> Result<S::Ok, S::Error> {
        if millis.is_multiple_of(1000) {
            to.serialize_u32(millis / 1000)
        } else {
            to.serialize_f64(f64::from(*millis) / 1000.0)
        }
    }

    /// Reads it. A decimal of three places and a quotient by 1000 are both the nearest float, so
    /// they are equal.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let seconds = f64::deserialize(from)?;
        let fault = || {
            D::Error::custom(format_args!(
                "{seconds} seconds: at most 60, with at most three decimals"
            ))
        };
        let millis = (seconds * 1000.0).round();
        if !(0.0..=f64::from(LONGEST)).contains(&millis) {
            return Err(fault());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0 to 60,000, and whole"
        )]
        let whole = millis as u32;
        if f64::from(whole) / 1000.0 == seconds { Ok(whole) } else { Err(fault()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Length(#[serde(with = "seconds")] u32);

    #[test]
    fn every_number_of_milliseconds_is_written_and_read_back() {
        for millis in 0..=60_000 {
            let text = serde_json::to_string(&Length(millis)).unwrap();
            assert_eq!(serde_json::from_str::<Length>(&text).unwrap(), Length(millis), "{text}");
            let padded = format!("{}.{:03}", millis / 1000, millis % 1000);
            assert_eq!(
                serde_json::from_str::<Length>(&padded).unwrap(),
                Length(millis),
                "{padded}"
            );
        }
        assert_eq!(serde_json::to_string(&Length(60_000)).unwrap(), "60");
        assert_eq!(serde_json::to_string(&Length(59_999)).unwrap(), "59.999");
    }

    #[test]
    fn lengths_with_four_decimals_negative_or_above_a_minute_are_refused() {
        for text in
            ["59.9999", "0.0001", "-1", "-0.001", "60.001", "61", "1e9", "null", "\"60\"", "[]"]
        {
            assert!(serde_json::from_str::<Length>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_in_utc_and_written_out() {
        for text in [
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:00.5Z",
            "2026-11-23T10:00:00.123456789Z",
            "2026-11-23T10:00:00+00:00",
        ] {
            assert!(is_utc(text) && text.parse::<Wall>().is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T10:00Z",
            "2026-11-23T10:00:00",
            "2026-11-23T11:00:00+01:00",
            "2026-11-23 10:00:00Z",
            "2026-11-23T10:00:00.Z",
            "2026-11-23T10:00:00.1234567890Z",
            "2026-11-23T10:00:00Z[UTC]",
            "2026-11-23T10:00:00ZZ",
            "0001-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "+2026-11-23T10:00:00Z",
            "２０２６-11-23T10:00:00Z",
        ] {
            assert!(!is_utc(text), "{text}");
        }
    }
}
