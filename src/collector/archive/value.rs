//! What goes into a query: the values that both databases take.

use crate::base::time::Wall;
use crate::evidence::chain::ChainId;
use crate::evidence::digest::Digest;
use crate::evidence::key::Kid;

/// What goes into a query.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// The parameters of a query, each of what [`Value`] can be made from.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::collector::archive::value::Value::from($value)),*] };
}

pub(crate) use args;

macro_rules! values {
    ($($of:ty, $value:ident => $made:expr;)*) => {
        $(impl<'a> From<$of> for Value<'a> {
            fn from($value: $of) -> Self { $made }
        })*
    };
}

values! {
    i64, value => Self::Int(value);
    u32, value => Self::Int(value.into());
    // Numbers of summaries are below 2^53 by the wire format; what is larger cannot be kept, and
    // finds nothing.
    u64, value => Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    &'a str, value => Self::Text(value);
    &'a String, value => Self::Text(value);
    &'a [u8], value => Self::Blob(value);
    &'a Vec<u8>, value => Self::Blob(value);
    &'a Kid, value => Self::Blob(value.bytes());
    &'a Digest, value => Self::Blob(value.bytes());
    &'a ChainId, value => Self::Blob(value.bytes());
    Wall, value => Self::Int(value.nanos());
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Blob(value)
    }
}

impl<'a, T: Into<Self>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}
