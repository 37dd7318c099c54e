//! How values of the rules stand in JSON: by their text, or by the word of a list.

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

use crate::sla::reader::Word;

/// What is written as its text.
pub mod text {
    use super::{Deserializer, Serializer, parse};

    /// Writes it.
    ///
    /// # Errors
    /// When the form does not take it.
    pub fn serialize<T: std::fmt::Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not such a text.
    pub fn deserialize<'de, T: std::str::FromStr, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        parse(&<String as serde::Deserialize>::deserialize(from)?)
    }
}

/// The same, or null.
pub mod maybe {
    use super::{Deserializer, Serializer, parse};

    /// Writes it.
    ///
    /// # Errors
    /// When the form does not take it.
    pub fn serialize<T: std::fmt::Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is neither null nor such a text.
    pub fn deserialize<'de, T: std::str::FromStr, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        let text = <Option<String> as serde::Deserialize>::deserialize(from)?;
        text.map(|text| parse(&text)).transpose()
    }
}

/// A word of a list.
pub mod word {
    use super::{Deserializer, Serializer, Word, one_of};

    /// Writes it.
    ///
    /// # Errors
    /// When the form does not take it.
    pub fn serialize<T: Word, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.word())
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is none of the words.
    pub fn deserialize<'de, T: Word, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        one_of(from)
    }
}

fn parse<T: std::str::FromStr, E: serde::de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(|_| E::custom(format_args!("{text:?} is not understood")))
}

fn one_of<'de, T: Word, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    let known = T::ALL.iter().copied().find(|word| word.word() == text);
    known.ok_or_else(|| D::Error::custom(format_args!("{text:?} is none of its words")))
}
