//! Opens untrusted bytes and, when they are accepted, uses everything that they promise. The fuzz targets run the same.

use weights::{Codes, Error, Gguf, Safetensors, Scales, Tensor, TensorType, decompose, dequantize, factors};

/// As a GGUF file.
pub fn gguf(bytes: &[u8]) -> Result<(), Error> {
    let gguf = Gguf::from_bytes(bytes.to_vec())?;
    let metadata = gguf.metadata();
    for key in metadata.0.keys() {
        // A wrong type is an answer as good as any; what counts is that there is one.
        let _ = (metadata.str(key), metadata.u64(key), metadata.f32(key), metadata.bool(key));
        let _ = metadata.array(key).map(|array| array.map(|array| array.len()));
    }
    tensors(gguf.tensors().collect());
    gguf.still_whole()
}

/// As a safetensors file.
pub fn safetensors(bytes: &[u8]) -> Result<(), Error> {
    let file = Safetensors::from_bytes(bytes.to_vec())?;
    tensors(file.tensors().collect());
    for name in file.raw_names() {
        let raw = file.raw(name).expect("it has a name");
        assert_eq!(raw.shape.iter().product::<usize>(), raw.bytes.len());
    }
    file.still_whole()
}

/// As blocks of each type, as far as they are whole.
pub fn blocks(bytes: &[u8]) {
    for kind in TensorType::ALL {
        let (block_values, block_bytes) = kind.block();
        let blocks = bytes.len() / block_bytes;
        let bytes = &bytes[..blocks * block_bytes];
        let mut values = vec![0.0; blocks * block_values];
        dequantize(kind, bytes, &mut values);
        let Some(groups) = kind.groups() else { continue };
        let mut codes = vec![0; values.len()];
        let mut scales = vec![0.0; values.len() / groups.length];
        let mut mins = scales.clone();
        decompose(kind, bytes, &mut codes, &mut scales, &mut mins);
        let allowed = |code: &i8| match groups.codes {
            Codes::Unsigned(bits) => (0..1 << bits).contains(&i16::from(*code)),
            Codes::Signed(bits) => (-1 << (bits - 1)..1 << (bits - 1)).contains(&i16::from(*code)),
            Codes::Levels(levels) => levels.contains(code),
        };
        assert!(codes.iter().all(allowed), "{kind:?}");
        if groups.scales == Scales::Products {
            let (mut factors_of_scales, mut factors_of_mins) = (vec![0; scales.len()], vec![0; scales.len()]);
            let (mut common_scales, mut common_mins) = (vec![0; blocks], vec![0; blocks]);
            let again = &mut vec![0; codes.len()];
            let of_groups = [&mut factors_of_scales[..], &mut factors_of_mins[..]];
            factors(kind, bytes, again, of_groups, [&mut common_scales[..], &mut common_mins[..]]);
            assert_eq!(*again, codes, "{kind:?}");
        }
        for (i, value) in values.iter().enumerate() {
            let sum = scales[i / groups.length] * f32::from(codes[i]) + mins[i / groups.length];
            assert!(sum == *value || (sum.is_nan() && value.is_nan()), "{kind:?} value {i}: {sum} and {value}");
        }
    }
}

/// Every tensor has the bytes of its shape, and no two share any.
fn tensors(all: Vec<Tensor<'_>>) {
    let mut spans = Vec::new();
    for tensor in &all {
        let (block_values, block_bytes) = tensor.kind.block();
        let values: usize = tensor.shape.iter().product();
        assert_eq!(tensor.rows() * tensor.columns(), values);
        assert_eq!(values % block_values, 0);
        assert_eq!(tensor.bytes.len(), values / block_values * block_bytes);
        let row = tensor.row(tensor.rows() - 1);
        assert_eq!(row.as_ptr_range().end, tensor.bytes.as_ptr_range().end);
        assert_eq!(tensor.to_f32().len(), values);
        assert_eq!(tensor.groups().is_some(), tensor.kind.groups().is_some());
        spans.push(tensor.bytes.as_ptr_range());
    }
    spans.sort_by_key(|span| span.start);
    assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "tensors overlap");
}
