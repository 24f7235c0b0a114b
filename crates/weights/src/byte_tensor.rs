//! Tensors of bytes, in which some models pack their weights in ways of their own.

/// A tensor of bytes. `shape` counts bytes, outermost dimension first.
#[derive(Debug, Clone, Copy)]
pub struct ByteTensor<'a> {
    /// Its dimensions, none of them zero.
    pub shape: &'a [usize],
    /// As many as the shape says.
    pub bytes: &'a [u8],
}

/// A block of MXFP4 whose codes are stored apart from their scale, neighbours sharing a byte, the first of them in the
/// low nibble: how the folders of gpt-oss have them (`..._blocks` and `..._scales`). The result is what the other
/// functions of this crate take for a block.
pub fn mxfp4_block(scale: u8, pairs: &[u8; 16]) -> [u8; 17] {
    let code = |value: usize| pairs[value / 2] >> (value % 2 * 4) & 0xf;
    let mut block = [scale; 17];
    for (value, byte) in block[1..].iter_mut().enumerate() {
        *byte = code(value) | code(value + 16) << 4;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TensorType, dequantize};

    #[test]
    fn a_block_holds_the_values_in_the_order_of_the_pairs() {
        let pairs: [u8; 16] = std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ 0x5b);
        let mut found = [0.0; 32];
        // An exponent of 128 is a scale of 2.
        dequantize(TensorType::MXFP4, &mxfp4_block(128, &pairs), &mut found);
        let values = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        for (found, code) in found.iter().zip(pairs.iter().flat_map(|pair| [pair & 15, pair >> 4])) {
            let value: f32 = 2.0 * values[usize::from(code & 7)];
            assert_eq!(*found, if code < 8 { value } else { -value }, "code {code}");
        }
    }
}
