//! Damaged files of all kinds: they are accepted or refused, and nothing else happens.

use proptest::prelude::*;

use crate::{
    exercise,
    gguf::files,
    writer::{small, small_safetensors},
};

/// What happens to a file; positions are fractions of its length.
#[derive(Debug, Clone)]
enum Damage {
    Cut(f64),
    Flip(f64, u8),
    Overwrite(f64, Vec<u8>),
    /// A number that parsers are fond of: near a power of two, near the end of a type.
    Number(f64, u64),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        let place = |fraction: f64, length: usize| (fraction * length as f64) as usize;
        let length = file.len();
        match self {
            Self::Cut(at) => file.truncate(place(*at, length)),
            Self::Flip(at, bit) => {
                if let Some(byte) = file.get_mut(place(*at, length)) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Overwrite(at, bytes) => {
                file.iter_mut().skip(place(*at, length)).zip(bytes).for_each(|(to, from)| *to = *from)
            }
            Self::Number(at, number) => {
                let at = place(*at, length);
                file.iter_mut().skip(at).zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
            }
            Self::Insert(at, bytes) => {
                let at = place(*at, length);
                file.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = place(*at, length);
                file.drain(at..length.min(at + count));
            }
        }
    }
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let at = 0.0..1.0f64;
    let bytes = prop::collection::vec(any::<u8>(), 1..9);
    let number = (0..64u32, -2..3i64).prop_map(|(shift, near)| (1u64 << shift).wrapping_add_signed(near));
    let damage = prop_oneof![
        at.clone().prop_map(Damage::Cut),
        (at.clone(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at.clone(), bytes.clone()).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        (at.clone(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        (at.clone(), bytes).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at, 1..40usize).prop_map(|(at, count)| Damage::Remove(at, count)),
    ];
    prop::collection::vec(damage, 1..4)
}

#[test]
fn no_flipped_bit_is_fatal() {
    for (file, open) in [
        (small().write().bytes, exercise::gguf as fn(&[u8]) -> Result<(), weights::Error>),
        (small_safetensors(), exercise::safetensors),
    ] {
        let mut refused = 0;
        for bit in 0..file.len() * 8 {
            let mut file = file.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            refused += usize::from(open(&file).is_err());
        }
        assert!(refused > 0 && refused < file.len() * 8);
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_small_gguf_is_fatal(damages in damages()) {
        let mut file = small().write().bytes;
        damages.iter().for_each(|damage| damage.apply(&mut file));
        let _ = exercise::gguf(&file);
    }

    #[test]
    fn no_damage_to_any_gguf_is_fatal(file in files(), damages in damages()) {
        let mut file = file.write().bytes;
        damages.iter().for_each(|damage| damage.apply(&mut file));
        let _ = exercise::gguf(&file);
    }

    #[test]
    fn no_damage_to_a_safetensors_file_is_fatal(damages in damages()) {
        let mut file = small_safetensors();
        damages.iter().for_each(|damage| damage.apply(&mut file));
        let _ = exercise::safetensors(&file);
    }

    #[test]
    fn no_header_is_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = exercise::gguf(&bytes);
        let _ = exercise::safetensors(&bytes);
        let gguf = [b"GGUF\x03\0\0\0", &bytes[..]].concat();
        let _ = exercise::gguf(&gguf);
        let safetensors = [&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat();
        let _ = exercise::safetensors(&safetensors);
    }

    #[test]
    fn no_block_is_fatal(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        exercise::blocks(&bytes);
    }
}
