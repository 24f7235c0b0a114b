//! The key-value pairs of a GGUF file and typed access to them.

use std::collections::BTreeMap;

use crate::Error;

/// GGUF key-value pairs, by key. The keys that models use are listed in the GGUF specification
/// (`docs/gguf.md` of the ggml project).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(pub BTreeMap<String, Value>);

/// A GGUF value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are the specification's own types")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// A GGUF array; all its elements are of one type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are the specification's own types")]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    Str(Vec<String>),
    Array(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl Metadata {
    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// A string; `None` when the key is absent.
    ///
    /// # Errors
    /// [`Error::WrongType`] when the key holds something else; so for all getters.
    pub fn str(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", |value| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer of any width and signedness that is not negative: writers differ in which one they choose.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.typed(key, "an integer that is not negative", |value| match *value {
            Value::U8(number) => Some(number.into()),
            Value::U16(number) => Some(number.into()),
            Value::U32(number) => Some(number.into()),
            Value::U64(number) => Some(number),
            Value::I8(number) => number.try_into().ok(),
            Value::I16(number) => number.try_into().ok(),
            Value::I32(number) => number.try_into().ok(),
            Value::I64(number) => number.try_into().ok(),
            _ => None,
        })
    }

    /// A floating-point number; a double is rounded to single precision.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a floating-point number", |value| match *value {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "a bool", |value| match *value {
            Value::Bool(truth) => Some(truth),
            _ => None,
        })
    }

    /// An array of any element type.
    pub fn array(&self, key: &str) -> Result<Option<&Array>, Error> {
        self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read(value) {
            Some(found) => Ok(Some(found)),
            None => Err(Error::WrongType { key: key.to_owned(), found: value.described(), wanted }),
        }
    }
}

impl Value {
    /// What an error says that was found: the type, and the value where it is short.
    fn described(&self) -> String {
        match self {
            Self::U8(number) => format!("the u8 {number}"),
            Self::I8(number) => format!("the i8 {number}"),
            Self::U16(number) => format!("the u16 {number}"),
            Self::I16(number) => format!("the i16 {number}"),
            Self::U32(number) => format!("the u32 {number}"),
            Self::I32(number) => format!("the i32 {number}"),
            Self::U64(number) => format!("the u64 {number}"),
            Self::I64(number) => format!("the i64 {number}"),
            Self::F32(number) => format!("the f32 {number}"),
            Self::F64(number) => format!("the f64 {number}"),
            Self::Bool(truth) => format!("the bool {truth}"),
            Self::Str(text) => format!("a string of {} bytes", text.len()),
            Self::Array(array) => format!("an array of {} {}", array.len(), array.element_type()),
        }
    }
}

/// Calls `$body` with the vector that any variant holds.
macro_rules! any_array {
    ($array:expr, $elements:ident => $body:expr) => {
        match $array {
            Array::U8($elements) => $body,
            Array::I8($elements) => $body,
            Array::U16($elements) => $body,
            Array::I16($elements) => $body,
            Array::U32($elements) => $body,
            Array::I32($elements) => $body,
            Array::F32($elements) => $body,
            Array::Bool($elements) => $body,
            Array::Str($elements) => $body,
            Array::Array($elements) => $body,
            Array::U64($elements) => $body,
            Array::I64($elements) => $body,
            Array::F64($elements) => $body,
        }
    };
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        any_array!(self, elements => elements.len())
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type as the specification names it in short: `u32`, `f32`, `bool`, `string`, `array`, …
    pub fn element_type(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::F32(_) => "f32",
            Self::Bool(_) => "bool",
            Self::Str(_) => "string",
            Self::Array(_) => "array",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(value: Value) -> Metadata {
        Metadata([("key".to_owned(), value)].into())
    }

    #[test]
    fn every_integer_that_is_not_negative_reads_as_u64() {
        let seven = [
            Value::U8(7),
            Value::I8(7),
            Value::U16(7),
            Value::I16(7),
            Value::U32(7),
            Value::I32(7),
            Value::U64(7),
            Value::I64(7),
        ];
        for value in seven {
            assert_eq!(metadata(value).u64("key").unwrap(), Some(7));
        }
        for value in [Value::I8(-1), Value::I16(-1), Value::I32(-1), Value::I64(-1), Value::F32(7.0), Value::Bool(true)]
        {
            assert!(metadata(value).u64("key").is_err());
        }
        assert_eq!(metadata(Value::U64(u64::MAX)).u64("key").unwrap(), Some(u64::MAX));
    }

    #[test]
    fn an_absent_key_is_none_for_every_getter() {
        let empty = Metadata::default();
        assert!(empty.get("key").is_none());
        assert_eq!(empty.str("key").unwrap(), None);
        assert_eq!(empty.u64("key").unwrap(), None);
        assert_eq!(empty.f32("key").unwrap(), None);
        assert_eq!(empty.bool("key").unwrap(), None);
        assert_eq!(empty.array("key").unwrap(), None);
    }

    #[test]
    fn a_wrong_type_names_key_found_and_wanted() {
        let text = |value, read: fn(&Metadata) -> Option<Error>| read(&metadata(value)).unwrap().to_string();
        assert_eq!(
            text(Value::I32(-3), |m| m.u64("key").err()),
            "metadata \"key\" holds the i32 -3, wanted an integer that is not negative"
        );
        assert_eq!(
            text(Value::Array(Array::Str(vec![String::new(); 2])), |m| m.str("key").err()),
            "metadata \"key\" holds an array of 2 string, wanted a string"
        );
        assert_eq!(
            text(Value::Str("yes".into()), |m| m.bool("key").err()),
            "metadata \"key\" holds a string of 3 bytes, wanted a bool"
        );
        assert_eq!(text(Value::U8(1), |m| m.array("key").err()), "metadata \"key\" holds the u8 1, wanted an array");
        assert_eq!(
            text(Value::U8(1), |m| m.f32("key").err()),
            "metadata \"key\" holds the u8 1, wanted a floating-point number"
        );
    }
}
