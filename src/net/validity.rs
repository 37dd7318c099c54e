//! From when until when a certificate is valid (RFC 5280, section 4.1), and nothing else of it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::base::time::Wall;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notBefore` and `notAfter` of a DER certificate; [`None`] when the bytes are none.
pub fn of(certificate: &[u8]) -> Option<(Wall, Wall)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Serial number, the signature's algorithm, the issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, until) = time(validity)?;
    time(until).map(|(until, _)| (from, until))
}

/// The content of the DER element at the beginning, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // A certificate is shorter than 4 GiB, and DER writes lengths from 128 on in 1 to 4 bytes.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (digits.iter().fold(0usize, |length, &digit| length << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time, in one of its two forms, and what follows it.
fn time(bytes: &[u8]) -> Option<(Wall, &[u8])> {
    let (digits, rest, century) = match bytes.first()? {
        &UTC_TIME => {
            let (digits, rest) = element(bytes, UTC_TIME)?;
            // Two digits of the year: from 50 on they are of the last century.
            (digits, rest, if digits.first()? >= &b'5' { "19" } else { "20" })
        }
        _ => {
            let (digits, rest) = element(bytes, GENERALIZED_TIME)?;
            (digits, rest, "")
        }
    };
    let text = format!("{century}{}", std::str::from_utf8(digits).ok()?);
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    // RFC 5280, section 4.1.2.5: 99991231235959Z says that there is no end, and is after all
    // instants here.
    let at = TimeZone::UTC.to_timestamp(at).unwrap_or(jiff::Timestamp::MAX);
    Some((Wall::from(at), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(until: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1998, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 2, 3);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (year, at) in [
            (2031, "2031-02-03T00:00:00Z"),
            (2051, "2051-02-03T00:00:00Z"),
            (1999, "1999-02-03T00:00:00Z"),
        ] {
            let from = "1998-01-01T00:00:00Z".parse().unwrap();
            assert_eq!(of(&certificate(year)), Some((from, at.parse().unwrap())), "{year}");
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_read_or_refused_without_a_panic(
            at in any::<prop::sample::Index>(),
            to in any::<u8>(),
        ) {
            let mut bytes = certificate(2031);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = of(&bytes);
            let _ = of(&bytes[..at]);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let _ = of(&bytes);
        }
    }
}
