//! JSON from others, read strictly: UTF-8, no member twice, not nested too deep, nothing after it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// How deep objects and arrays may lie in each other; a summary needs six.
pub const DEPTH: u8 = 32;
/// How many values, lists and objects there may be in all; a summary of the greatest length has
/// fewer than a third of it.
pub const VALUES: usize = 250_000;

/// Why bytes are not what was to be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// They are not UTF-8.
    #[error("it is not UTF-8")]
    Utf8,
    /// They are not JSON, a member is there twice, or it is nested deeper than [`DEPTH`].
    #[error("it is not strict JSON: {0}")]
    Json(String),
    /// It is JSON, but not of the form that was expected.
    #[error("{0}")]
    Form(String),
}

/// Reads a value of a known form; members that the form does not know are ignored, but must be
/// strict JSON as well.
///
/// # Errors
/// When the bytes are not strict JSON, or not of that form.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotRead> {
    serde_json::from_str(strict(bytes)?).map_err(|error| NotRead::Form(error.to_string()))
}

/// Checks that bytes are one JSON value in UTF-8 without doubled members, nested at most [`DEPTH`]
/// deep, of at most [`VALUES`] values.
///
/// # Errors
/// When they are not.
pub fn strict(bytes: &[u8]) -> Result<&str, NotRead> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotRead::Utf8)?;
    let fault = |error: serde_json::Error| NotRead::Json(error.to_string());
    let mut from = serde_json::Deserializer::from_str(text);
    let values = Cell::new(VALUES);
    Walk { left: DEPTH, values: &values }.deserialize(&mut from).map_err(fault)?;
    from.end().map_err(fault)?;
    Ok(text)
}

/// Walks through a value and keeps nothing of it.
struct Walk<'a> {
    left: u8,
    /// How many values may still come.
    values: &'a Cell<usize>,
}

impl Walk<'_> {
    fn deeper<E: Error>(&self) -> Result<u8, E> {
        self.left
            .checked_sub(1)
            .ok_or_else(|| E::custom(format_args!("nested deeper than {DEPTH}")))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        let left = self.values.get().checked_sub(1);
        self.values
            .set(left.ok_or_else(|| D::Error::custom(format_args!("more than {VALUES} values")))?);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let left = self.deeper()?;
        while seq.next_element_seed(Walk { left, values: self.values })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let left = self.deeper()?;
        let mut seen = Names::default();
        while let Some(name) = map.next_key_seed(Name)? {
            if let Some(name) = seen.twice(name) {
                return Err(A::Error::custom(format_args!("the member {name:?} is there twice")));
            }
            map.next_value_seed(Walk { left, values: self.values })?;
        }
        Ok(())
    }
}

/// The names of one object's members; a few are compared one by one, many are hashed.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// Remembers a name, and gives it back when it was there before.
    fn twice(&mut self, name: Cow<'de, str>) -> Option<Cow<'de, str>> {
        if self.few.contains(&name) || self.many.contains(&name) {
            return Some(name);
        }
        if self.few.len() < 32 {
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        None
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(strict(nested(usize::from(DEPTH)).as_bytes()).is_ok());
        assert!(strict(nested(usize::from(DEPTH) + 1).as_bytes()).is_err());
        assert!(strict(nested(1_000_000).as_bytes()).is_err());
        assert!(strict(r#"{"a":"#.repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn values_are_counted_however_they_lie() {
        let of = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert!(strict(of(VALUES - 1).as_bytes()).is_ok());
        assert!(strict(of(VALUES).as_bytes()).unwrap_err().to_string().contains("values"));
        let lists = format!("[{}]", vec![of(9); VALUES / 10].join(","));
        assert!(strict(lists.as_bytes()).is_err());
    }

    #[test]
    fn a_member_twice_is_refused_however_it_is_written_and_how_many_there_are() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#]
        {
            assert!(strict(text.as_bytes()).unwrap_err().to_string().contains("twice"), "{text}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("\"m{n}\":0")).collect();
        assert!(strict(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
        assert!(strict(format!("{{{},\"m77\":0}}", many.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_json_is_refused_even_in_members_that_are_ignored() {
        #[derive(Debug, serde::Deserialize)]
        struct A {
            #[serde(rename = "a")]
            _a: u8,
        }
        assert!(read::<A>(br#"{"a":1,"other":[{}]}"#).is_ok());
        for bytes in [
            &b"{\"a\":1,\"other\":\"\xff\"}"[..],
            b"{\"a\":1,\"other\":\"\\ud800\"}",
            b"{\"a\":1} {}",
            b"{\"a\":1}\0",
            b"\xef\xbb\xbf{\"a\":1}",
            b"{\"a\":1,\"other\":NaN}",
            b"{\"a\":1,\"other\":1e999}",
            b"",
        ] {
            assert!(read::<A>(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read::<serde_json::Value>(&bytes);
        }
    }
}
