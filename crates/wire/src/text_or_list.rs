//! Reads a value that may be a string or a list.
//!
//! `#[serde(untagged)]` would do it too, but it says only that no variant matched. This names what was found, and the
//! position inside of a list stays known.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};

/// Deserialises a string through `text`, or a list of `T` through `list`. `expecting` completes "expected …".
pub(crate) fn deserialize<'de, D, T, R>(
    deserializer: D,
    expecting: &'static str,
    text: fn(String) -> R,
    list: fn(Vec<T>) -> R,
) -> Result<R, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(TextOrList { expecting, text, list, item: PhantomData })
}

struct TextOrList<T, R> {
    expecting: &'static str,
    text: fn(String) -> R,
    list: fn(Vec<T>) -> R,
    item: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, R> Visitor<'de> for TextOrList<T, R> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E>(self, value: &str) -> Result<R, E> {
        Ok((self.text)(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<R, E> {
        Ok((self.text)(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<R, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(self.list)
    }
}
