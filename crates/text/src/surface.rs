//! What a token of a `tokenizer.json` adds to a text, read off its decoder.

use serde_json::Value;

use crate::bytes::{SPACE, fallback_byte, unspell};

/// How names of tokens become bytes of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Surface {
    spelling: Spelling,
    /// `<0x0A>` is a byte.
    pub byte_fallback: bool,
    /// A space at the start of a text is the tokenizer's own.
    pub drop_space: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Spelling {
    /// The byte-level alphabet.
    Bytes,
    /// A mark stands for the space.
    Mark(String),
    /// A word begins without the prefix and goes on with it.
    Prefix(String),
    /// A word ends with the suffix.
    Suffix(String),
    /// As it stands.
    Plain,
}

impl Surface {
    /// From the `decoder` of a `tokenizer.json`. Decoders whose effect depends on neighbouring tokens (the tidying of
    /// WordPiece, CTC) are not imitated: no model that writes text uses them.
    pub(crate) fn of(decoder: Option<&Value>) -> Self {
        let mut surface = Self { spelling: Spelling::Plain, byte_fallback: false, drop_space: false };
        if let Some(decoder) = decoder {
            surface.read(decoder);
        }
        surface
    }

    fn read(&mut self, decoder: &Value) {
        let text = |key: &str| decoder.get(key).and_then(Value::as_str).map(str::to_owned);
        match decoder.get("type").and_then(Value::as_str) {
            Some("Sequence") => {
                decoder
                    .get("decoders")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .for_each(|part| self.read(part));
            }
            Some("ByteLevel") => self.spelling = Spelling::Bytes,
            Some("ByteFallback") => self.byte_fallback = true,
            Some("Metaspace") => {
                self.spelling = Spelling::Mark(text("replacement").unwrap_or_else(|| SPACE.to_string()));
                let prefixed = decoder.get("add_prefix_space").and_then(Value::as_bool).unwrap_or(true);
                self.drop_space = prefixed && text("prepend_scheme").as_deref() != Some("never");
            }
            Some("Replace") => {
                let pattern = decoder.get("pattern").and_then(|pattern| pattern.get("String"));
                if let (Some(mark), Some(" ")) = (pattern.and_then(Value::as_str), text("content").as_deref()) {
                    self.spelling = Spelling::Mark(mark.to_owned());
                }
            }
            Some("Strip") => {
                let start = decoder.get("start").and_then(Value::as_u64).unwrap_or(0);
                self.drop_space |= start > 0 && text("content").as_deref() == Some(" ");
            }
            Some("WordPiece") => {
                self.spelling = Spelling::Prefix(text("prefix").unwrap_or_else(|| "##".to_owned()));
                self.drop_space = true;
            }
            Some("BPEDecoder") => {
                self.spelling = Spelling::Suffix(text("suffix").unwrap_or_else(|| "</w>".to_owned()));
            }
            _ => {}
        }
    }

    /// The bytes of a token of the model.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        if let Some(byte) = fallback_byte(name).filter(|_| self.byte_fallback) {
            return vec![byte];
        }
        match &self.spelling {
            Spelling::Bytes => unspell(name),
            Spelling::Mark(mark) => name.replace(mark.as_str(), " ").into_bytes(),
            Spelling::Prefix(prefix) => match name.strip_prefix(prefix.as_str()) {
                Some(rest) => rest.as_bytes().to_vec(),
                None => format!(" {name}").into_bytes(),
            },
            Spelling::Suffix(suffix) => match name.strip_suffix(suffix.as_str()) {
                Some(word) => format!("{word} ").into_bytes(),
                None => name.as_bytes().to_vec(),
            },
            Spelling::Plain => name.as_bytes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(decoder: &str, name: &str, expect: &str, drop_space: bool) {
        let surface = Surface::of(Some(&serde_json::from_str(decoder).unwrap()));
        assert_eq!(String::from_utf8(surface.bytes(name)).unwrap(), expect);
        assert_eq!(surface.drop_space, drop_space);
    }

    #[test]
    fn the_usual_decoders() {
        check(r#"{"type":"ByteLevel"}"#, "Ġa", " a", false);
        check(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}"#, "▁a▁", " a ", true);
        check(r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never"}"#, "▁a", " a", false);
        check(r###"{"type":"WordPiece","prefix":"##","cleanup":true}"###, "##a", "a", true);
        check(r###"{"type":"WordPiece","prefix":"##","cleanup":true}"###, "a", " a", true);
        check(r#"{"type":"BPEDecoder","suffix":"</w>"}"#, "a</w>", "a ", false);
        let llama = r#"{"type":"Sequence","decoders":[
            {"type":"Replace","pattern":{"String":"▁"},"content":" "},
            {"type":"ByteFallback"},
            {"type":"Fuse"},
            {"type":"Strip","content":" ","start":1,"stop":0}]}"#;
        check(llama, "▁a", " a", true);
        check(llama, "<0x0A>", "\n", true);
        assert_eq!(Surface::of(None).bytes("<0x0A>"), b"<0x0A>");
    }
}
