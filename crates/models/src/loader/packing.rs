//! From numbers as they are stored to what the kernels pack.

use kernels::matrix::{Format, Row};
use weights::{Groups, Tensor, TensorType};

/// Floats stay what they are, everything else decomposes into codes and scales.
pub(super) fn format(kind: TensorType, groups: Option<Groups>) -> Format {
    match (kind, groups) {
        (_, Some(groups)) => Format::Quantised {
            group: groups.length,
            code_bits: groups.code_bits,
            has_min: groups.has_min,
            f16_scales: groups.f16_scales,
        },
        (TensorType::F16, None) => Format::F16,
        (TensorType::BF16, None) => Format::BF16,
        (_, None) => Format::F32,
    }
}

/// Hands one row of a tensor to the packer.
pub(super) fn give_row(tensor: &Tensor<'_>, row: usize, sink: &mut dyn FnMut(Row<'_>)) {
    give_bytes(tensor.kind, tensor.row(row), tensor.columns(), sink);
}

/// Hands the numbers of one row to the packer, in the form that [`format`] promised.
pub(super) fn give_bytes(kind: TensorType, bytes: &[u8], columns: usize, sink: &mut dyn FnMut(Row<'_>)) {
    match (kind, kind.groups()) {
        (kind, Some(groups)) => {
            let mut codes = vec![0; columns];
            let mut scales = vec![0.0; columns / groups.length];
            let mut mins = vec![0.0; columns / groups.length];
            weights::decompose(kind, bytes, &mut codes, &mut scales, &mut mins);
            sink(Row::Quantised { codes: &codes, scales: &scales, mins: &mins });
        }
        (TensorType::F16 | TensorType::BF16, None) => {
            let (pairs, _) = bytes.as_chunks();
            let bits: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            sink(Row::Bits16(&bits));
        }
        (kind, None) => {
            let mut values = vec![0.0; columns];
            weights::dequantize(kind, bytes, &mut values);
            sink(Row::F32(&values));
        }
    }
}

#[cfg(test)]
mod tests {
    use kernels::{Level, Pool, matrix::Matrix};

    use super::*;

    /// A tensor of `columns` packed as a load does: the format, what is read back from it, and what it should be.
    fn packed(kind: TensorType, bytes: &[u8], columns: usize) -> (Format, Vec<f32>, Vec<f32>) {
        let (values, size) = kind.block();
        let shape = [bytes.len() / size * values / columns, columns];
        let tensor = Tensor { name: "w", kind, shape: &shape, bytes };
        let format = format(kind, tensor.groups());
        let pool = Pool::new(Level::detect(), 2);
        let matrix = Matrix::pack(&pool, format, shape[0], columns, &|row, sink| give_row(&tensor, row, sink));
        let mut found = vec![0.0; shape[0] * columns];
        for (row, out) in found.chunks_exact_mut(columns).enumerate() {
            matrix.row(row, out);
        }
        (format, found, tensor.to_f32())
    }

    #[test]
    fn tensors_of_every_type_are_packed_exactly() {
        for kind in TensorType::ALL {
            let (values, size) = kind.block();
            // 21 rows are a panel and a part of one.
            let (rows, columns) = (21, 512);
            let mut state = 1u64;
            let bytes: Vec<u8> = (0..rows * columns / values * size)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            let (format, found, wanted) = packed(kind, &bytes, columns);
            assert_eq!(found.len(), rows * columns);
            // Bytes drawn at random are infinities and NaNs too.
            let finite = wanted.iter().filter(|value| value.is_finite()).count();
            assert!(finite > wanted.len() / 2, "{} has hardly any numbers", kind.name());
            for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let same = found == wanted || found.is_nan() && wanted.is_nan();
                assert!(same, "{} as {format:?}: {found} at {at}, not {wanted}", kind.name());
            }
        }
    }

    #[test]
    fn q4_0_has_f16_scales_where_they_are_exact() {
        let of_scales = |scales: &[u16]| {
            let block = |scale: &u16| scale.to_le_bytes().into_iter().chain((0..16).map(|i| i << 4 | (15 - i)));
            let bytes: Vec<u8> = scales.iter().flat_map(block).collect();
            let (format, found, wanted) = packed(TensorType::Q4_0, &bytes, 32 * scales.len());
            assert_eq!(found, wanted);
            assert_eq!(wanted[..3], [7.0, 6.0, 5.0], "codes 15, 14, 13 and a scale of 1");
            matches!(format, Format::Quantised { f16_scales: true, .. })
        };
        // 1, -0.1, the smallest of all, and the largest whose eightfold is an f16 too.
        assert!(of_scales(&[0x3c00, 0xae66, 0x0001, 0x6fff]));
        assert!(!of_scales(&[0x3c00, 0x7000]));
    }
}
