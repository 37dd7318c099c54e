//! JSON texts that people wrote: keys that are there twice, of whose two values nobody knows which
//! is meant, and readers differ in which one they take; and marks before the text.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// A text without the byte order mark that Windows' editors put before it, which readers may pass
/// over (RFC 8259, section 8.1).
#[must_use]
pub fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The places of the keys that are there twice, such as `events[0].from`, in their order.
///
/// # Errors
/// When the text is not one JSON value, or is nested too deep.
pub fn twice(text: &str) -> Result<Vec<String>, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_str(text);
    let found = RefCell::new(Vec::new());
    Value { path: &Path::Top, found: &found }.deserialize(&mut from)?;
    from.end()?;
    Ok(found.into_inner())
}

/// Where a value lies.
enum Path<'a> {
    Top,
    Key(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Key(Self::Top, key) => f.write_str(key),
            Self::Key(of, key) => write!(f, "{of}.{key}"),
            Self::Element(of, at) => write!(f, "{of}[{at}]"),
        }
    }
}

struct Value<'a> {
    path: &'a Path<'a>,
    found: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
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
        let mut count = 0;
        while seq
            .next_element_seed(Value { path: &Path::Element(self.path, count), found: self.found })?
            .is_some()
        {
            count += 1;
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys: BTreeSet<String> = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            if keys.contains(&key) {
                self.found.borrow_mut().push(path.to_string());
            }
            map.next_value_seed(Value { path: &path, found: self.found })?;
            keys.insert(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_twice_are_all_told_with_their_places() {
        let text =
            r#"{"a": 1, "b": [{"c": 2, "c": 2.5}, {"d": {"e": null, "\u0065": 0}}], "a": 3}"#;
        assert_eq!(twice(text).unwrap(), ["b[0].c", "b[1].d.e", "a"]);
    }

    #[test]
    fn what_is_not_one_value_or_is_too_deep_is_refused() {
        assert_eq!(twice("{} {}").unwrap_err().column(), 4);
        assert!(twice(&"[".repeat(100_000)).unwrap_err().to_string().contains("recursion limit"));
    }
}
