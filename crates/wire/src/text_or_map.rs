//! Reads a value that may be a string or an object, and names what was found where it is neither, as [`crate::text_or_list`] does.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Deserialises a string through `text`, or an object that is a `T` through `map`. `expecting` completes "expected …".
pub(crate) fn deserialize<'de, D, T, R>(
    deserializer: D,
    expecting: &'static str,
    text: fn(String) -> R,
    map: fn(T) -> R,
) -> Result<R, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(TextOrMap { expecting, text, map })
}

struct TextOrMap<T, R> {
    expecting: &'static str,
    text: fn(String) -> R,
    map: fn(T) -> R,
}

impl<'de, T: Deserialize<'de>, R> Visitor<'de> for TextOrMap<T, R> {
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

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<R, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}
