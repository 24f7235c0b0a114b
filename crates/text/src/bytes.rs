//! How tokens spell bytes: the byte-level alphabet of GPT-2, and SentencePiece's `<0x0A>`.

use std::sync::LazyLock;

/// SentencePiece's mark for a space, U+2581.
pub(crate) const SPACE: char = '▁';

/// The character that stands for each byte in byte-level vocabularies (`bytes_to_unicode` in GPT-2's `encoder.py`):
/// printable Latin-1 characters stand for themselves, the 68 others for U+0100 and on.
pub(crate) static BYTE_TO_CHAR: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut table = ['\0'; 256];
    let mut next = 0x100;
    for byte in 0..=255u8 {
        table[usize::from(byte)] = match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                next += 1;
                char::from_u32(next - 1).unwrap_or('\0')
            }
        };
    }
    table
});

/// The byte of each character below U+0144, the other way round.
static CHAR_TO_BYTE: LazyLock<[Option<u8>; 0x144]> = LazyLock::new(|| {
    let mut table = [None; 0x144];
    for byte in 0..=255u8 {
        table[BYTE_TO_CHAR[usize::from(byte)] as usize] = Some(byte);
    }
    table
});

/// Spells `text` in the byte-level alphabet, behind what is in `out`.
pub(crate) fn spell(text: &str, out: &mut String) {
    out.extend(text.bytes().map(|byte| BYTE_TO_CHAR[usize::from(byte)]));
}

/// The bytes that a byte-level token spells; a token that leaves the alphabet is plain text.
pub(crate) fn unspell(token: &str) -> Vec<u8> {
    token
        .chars()
        .map(|character| CHAR_TO_BYTE.get(character as usize).copied().flatten())
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_else(|| token.as_bytes().to_vec())
}

/// The byte of a byte-fallback token such as `<0x0A>`.
pub(crate) fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let all: Vec<u8> = (0..=255).collect();
        let spelled: String = all.iter().map(|&byte| BYTE_TO_CHAR[usize::from(byte)]).collect();
        assert_eq!(unspell(&spelled), all);
        let mut out = String::new();
        spell(" \n", &mut out);
        assert_eq!(out, "ĠĊ");
        assert_eq!(unspell("日"), "日".as_bytes());
    }

    #[test]
    fn fallback_bytes() {
        assert_eq!(fallback_byte("<0xE4>"), Some(0xE4));
        for other in ["<0xE>", "<0xE4", "<0x+4>", "0xE4", "<0xE44>"] {
            assert_eq!(fallback_byte(other), None, "{other}");
        }
    }
}
