//! The files of tokens, line by line: those that let an agent in once, and the operator's own. What
//! is wrong with a line is said with its number, never with the token.

use crate::base::time::Wall;
use crate::evidence::digest::Digest;

/// An operator's token has at least so many characters: whoever can guess it can do everything.
pub const SHORTEST: usize = 16;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// A token that lets an agent in once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its digest, by which it is compared and remembered.
    pub digest: Digest,
    /// The only site that it is good for.
    pub site: Option<String>,
    /// When it ends: at the end of its last day, in UTC.
    pub until: Option<Wall>,
}

/// The tokens of an enrolment file: one a line; then, apart by spaces, `site=NAME` (or the name
/// alone; in quotes where there are spaces in it) and `until=2026-12-31`, the last day in UTC. `#`
/// begins a comment. A line with a fault lets nobody in.
#[must_use]
pub fn enrolment(text: &str) -> (Vec<Token>, Vec<String>) {
    lines(text, |line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (token, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        (!token.is_empty()).then(|| one(token, rest.trim()))
    })
}

fn one(token: &str, mut rest: &str) -> Result<Token, String> {
    let mut found = Token { digest: Digest::of(token.as_bytes()), site: None, until: None };
    while !rest.is_empty() {
        let (name, value) = match rest.split_once('=') {
            Some((name @ ("site" | "until"), value)) => (name, value),
            _ => ("site", rest),
        };
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
        };
        match name {
            "until" if found.until.is_none() => found.until = Some(end_of(value)?),
            "site" if found.site.is_none() && !value.is_empty() => {
                found.site = Some(value.to_owned())
            }
            _ => {
                return Err(format!(
                    "{name} is there twice, or empty: expected TOKEN [site=NAME] [until=2026-12-31]"
                ));
            }
        }
        rest = after.trim_start();
    }
    Ok(found)
}

/// The operator's own token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its digest.
    pub digest: Digest,
    /// When it ends: at the end of its last day, in UTC.
    pub until: Option<Wall>,
}

/// The operator's tokens: one a line, the token itself or `sha256:` and its digest in hexadecimal,
/// after `until=2026-12-31` where it has a last day. A line that begins with `#` is a comment. A
/// line with a fault lets nobody in.
#[must_use]
pub fn admin(text: &str) -> (Vec<Admin>, Vec<String>) {
    lines(text, |line| {
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then(|| own(line))
    })
}

fn own(line: &str) -> Result<Admin, String> {
    let (until, token) = match line.strip_prefix("until=") {
        Some(rest) => {
            let (day, token) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (Some(end_of(day)?), token.trim())
        }
        None => (None, line),
    };
    if let Some(hex) = token.strip_prefix("sha256:") {
        let digest =
            Digest::from_hex(hex).ok_or("sha256: is not followed by 64 hexadecimal digits")?;
        return Ok(Admin { digest, until });
    }
    let count = token.chars().count();
    if count < SHORTEST {
        return Err(format!(
            "a token of {count} characters can be guessed: it has at least {SHORTEST}; `openssl \
                rand -base64 24` makes one"
        ));
    }
    Ok(Admin { digest: Digest::of(token.as_bytes()), until })
}

/// The end of a day in UTC, written as 2026-12-31.
///
/// # Errors
/// When it is no such day.
pub fn end_of(day: &str) -> Result<Wall, String> {
    let begins = Some(day)
        .filter(|day| day.len() == 10)
        .and_then(|day| format!("{day}T00:00:00Z").parse::<Wall>().ok());
    let begins = begins.ok_or_else(|| {
        format!("until={day:?} is not right: expected the last day, such as 2026-12-31")
    })?;
    Ok(Wall::from_secs(begins.secs() + DAY))
}

fn lines<T>(text: &str, read: impl Fn(&str) -> Option<Result<T, String>>) -> (Vec<T>, Vec<String>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (line, number) in text.lines().zip(1..) {
        match read(line) {
            Some(Ok(token)) => found.push(token),
            Some(Err(what)) => faults.push(format!("line {number}: {what}")),
            None => {}
        }
    }
    (found, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Wall {
        text.parse().unwrap()
    }

    #[test]
    fn a_line_is_a_token_with_a_site_and_a_last_day_where_it_says_so() {
        let text = "# lines\n\nbare\nold leeds-01\n new\tsite=leeds-02  until=2026-12-31 # why\n\
                    q site=\"köln west\"\nday until=2027-01-01\nboth york until=2026-02-28\n";
        let (found, faults) = enrolment(text);
        assert_eq!(faults, [""; 0]);
        let expected = [
            ("bare", None, None),
            ("old", Some("leeds-01"), None),
            ("new", Some("leeds-02"), Some("2027-01-01T00:00:00Z")),
            ("q", Some("köln west"), None),
            ("day", None, Some("2027-01-02T00:00:00Z")),
            ("both", Some("york"), Some("2026-03-01T00:00:00Z")),
        ];
        let expected = expected.map(|(token, site, until)| Token {
            digest: Digest::of(token.as_bytes()),
            site: site.map(str::to_owned),
            until: until.map(day),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_with_a_fault_lets_nobody_in_and_is_told_by_its_number() {
        let (found, faults) =
            enrolment("a until=31.12.2026\nb x y\nc site=\nd site=\"x\ne until=2026-02-30\nf");
        assert_eq!(found.len(), 1);
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(faults[0].starts_with("line 1: until=\"31.12.2026\""), "{faults:?}");
        let (found, faults) =
            admin("# short ones\nlet me in\nsha256:00\nuntil=soon 0123456789abcdef\n");
        assert_eq!(found, []);
        assert!(
            faults[0].starts_with("line 2: a token of 9 characters can be guessed"),
            "{faults:?}"
        );
        assert!(!faults.join("").contains("let me in"), "{faults:?}");
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn an_operators_token_may_hold_spaces_and_have_a_last_day() {
        let hex = Digest::of(b"x").hex();
        let text = format!(
            "let me in, I work here\nsha256:{}\nuntil=2026-12-31 0123456789 abcdef",
            hex.to_uppercase()
        );
        let (found, faults) = admin(&text);
        assert_eq!(faults, [""; 0]);
        let digests = [&b"let me in, I work here"[..], b"x", b"0123456789 abcdef"].map(Digest::of);
        assert_eq!(found.iter().map(|each| each.digest).collect::<Vec<_>>(), digests);
        assert_eq!(found[2].until, Some(day("2027-01-01T00:00:00Z")));
    }
}
