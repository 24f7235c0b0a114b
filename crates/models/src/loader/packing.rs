//! From numbers as they are stored to what the kernels pack.

use kernels::matrix::{self, Format, Row};
use weights::{Codes, Groups, Scales, Tensor, TensorType};

/// Floats stay what they are, everything else keeps its codes, in the least bits that the kernels have for them.
pub(super) fn format(kind: TensorType, groups: Option<Groups>) -> Format {
    match (kind, groups) {
        (_, Some(groups)) => Format::Quantised {
            group: groups.length,
            codes: match groups.codes {
                Codes::Unsigned(..=4) => matrix::Codes::U4,
                Codes::Unsigned(_) => matrix::Codes::U5,
                Codes::Signed(..=4) => matrix::Codes::I4,
                Codes::Signed(5) => matrix::Codes::I5,
                Codes::Signed(6) => matrix::Codes::I6,
                Codes::Signed(_) => matrix::Codes::I8,
                Codes::Levels(levels) => matrix::Codes::Levels(levels),
            },
            has_min: groups.has_min,
            scales: match groups.scales {
                Scales::Any => matrix::Scales::F32,
                Scales::F16 => matrix::Scales::F16,
                Scales::Products => matrix::Scales::Products,
            },
        },
        (TensorType::F16, None) => Format::F16,
        (TensorType::BF16, None) => Format::BF16,
        (_, None) => Format::F32,
    }
}

/// Hands one row of a tensor to the packer, in the form that [`format()`] promised.
pub(super) fn give_row(tensor: &Tensor<'_>, row: usize, sink: &mut dyn FnMut(Row<'_>)) {
    let (bytes, columns) = (tensor.row(row), tensor.columns());
    match (tensor.kind, tensor.kind.groups()) {
        (kind, Some(groups)) if groups.scales == Scales::Products => {
            let (count, blocks) = (columns / groups.length, columns / kind.block().0);
            let (mut codes, mut scales, mut mins) = (vec![0; columns], vec![0; count], vec![0; count]);
            let (mut common_scales, mut common_mins) = (vec![0; blocks], vec![0; blocks]);
            let (of_groups, common) =
                ([&mut scales[..], &mut mins[..]], [&mut common_scales[..], &mut common_mins[..]]);
            weights::factors(kind, bytes, &mut codes, of_groups, common);
            sink(Row::Products {
                codes: &codes,
                scales: &scales,
                mins: &mins,
                common_scales: &common_scales,
                common_mins: &common_mins,
            });
        }
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
    fn tensors_take_the_bits_that_they_have_in_the_file() {
        for kind in TensorType::ALL {
            let tensor = Tensor { name: "w", kind, shape: &[0, 512], bytes: &[] };
            let packed = Matrix::packed_bytes(format(kind, tensor.groups()), 16, 512) as f64;
            let (values, bytes) = kind.block();
            let growth = packed / (16 * 512 / values * bytes) as f64;
            // Codes of 2 and 3 bits take 4, which is half as much again and more.
            let few_bits = matches!(kind, TensorType::Q2_K | TensorType::Q3_K);
            assert_eq!((0.99..=1.1).contains(&growth), !few_bits, "{} times {growth}", kind.name());
        }
    }
}
