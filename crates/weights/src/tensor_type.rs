//! How a tensor's numbers are stored, and what that means for whoever repacks them.

use crate::quant;

/// How a tensor's numbers are stored. The layouts are ggml's (`ggml-common.h`); `F32`, `F16` and `BF16` are also
/// safetensors' types of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(non_camel_case_types, reason = "the names that the field knows these types by")]
pub enum TensorType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 4 bits, one scale for 32 values.
    Q4_0,
    /// 4 bits, scale and minimum for 32 values.
    Q4_1,
    /// 5 bits, one scale for 32 values.
    Q5_0,
    /// 5 bits, scale and minimum for 32 values.
    Q5_1,
    /// 8 bits, one scale for 32 values.
    Q8_0,
    /// 2 bits; 4-bit scale and minimum for 16 values, both scaled per 256.
    Q2_K,
    /// 3 bits; 6-bit scale for 16 values, scaled per 256.
    Q3_K,
    /// 4 bits; 6-bit scale and minimum for 32 values, both scaled per 256.
    Q4_K,
    /// 5 bits; 6-bit scale and minimum for 32 values, both scaled per 256.
    Q5_K,
    /// 6 bits; 8-bit scale for 16 values, scaled per 256.
    Q6_K,
    /// 4 bits that index sixteen uneven levels; one scale for 32 values.
    IQ4_NL,
    /// The levels of IQ4_NL; 6-bit scale for 32 values, scaled per 256.
    IQ4_XS,
    /// 4-bit floating-point numbers (E2M1) with a power of two as scale for 32 values (OCP Microscaling Formats 1.0).
    MXFP4,
}

/// How a quantised type decomposes: `value = scale[group] * code + min[group]`, computed in f32 (the product rounded,
/// then the sum), is exactly what the reference computes. For every type the product is exact, so that a fused
/// multiply-add gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// Values that share a scale: 16 or 32.
    pub length: usize,
    /// What codes there are.
    pub codes: Codes,
    /// Whether `min` is ever other than zero.
    pub has_min: bool,
    /// What is known of scales and mins.
    pub scales: Scales,
}

/// The codes of a quantised type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codes {
    /// So many bits (2 to 5) without a sign.
    Unsigned(u32),
    /// So many bits (3 to 8) with a sign.
    Signed(u32),
    /// One of sixteen.
    Levels(&'static [i8; 16]),
}

/// What is known of the scales and mins of a quantised type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scales {
    /// Nothing but that they are f32.
    Any,
    /// Each is representable in f16, so that it may be kept in 16 bits without loss.
    F16,
    /// Each is the product of an f16, which 256 values have in common, and an `i8` of its own, and
    /// [`factors`](crate::factors) gives them.
    Products,
}

impl TensorType {
    /// All types, in the order of the enum.
    pub const ALL: [Self; 16] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::MXFP4,
    ];

    /// What holds for every tensor of this type; `None` for `F32`, `F16` and `BF16`.
    ///
    /// The scales of `MXFP4` are [`Scales::Any`]: those of real models are all representable in f16, but they need not be.
    /// [`Tensor::groups`](crate::Tensor::groups) looks and says so.
    pub fn groups(self) -> Option<Groups> {
        use Codes::{Levels, Signed, Unsigned};
        let (length, codes, has_min, scales) = match self {
            Self::F32 | Self::F16 | Self::BF16 => return None,
            Self::Q4_0 => (32, Signed(4), false, Scales::F16),
            Self::Q4_1 => (32, Unsigned(4), true, Scales::F16),
            Self::Q5_0 => (32, Signed(5), false, Scales::F16),
            Self::Q5_1 => (32, Unsigned(5), true, Scales::F16),
            Self::Q8_0 => (32, Signed(8), false, Scales::F16),
            Self::Q2_K => (16, Unsigned(2), true, Scales::Products),
            Self::Q3_K => (16, Signed(3), false, Scales::Products),
            Self::Q4_K => (32, Unsigned(4), true, Scales::Products),
            Self::Q5_K => (32, Unsigned(5), true, Scales::Products),
            Self::Q6_K => (16, Signed(6), false, Scales::Products),
            Self::IQ4_NL => (32, Levels(&quant::UNEVEN), false, Scales::F16),
            Self::IQ4_XS => (32, Levels(&quant::UNEVEN), false, Scales::Products),
            // Powers of two from 2^-128 to 2^127.
            Self::MXFP4 => (32, Levels(&quant::E2M1_DOUBLED), false, Scales::Any),
        };
        Some(Groups { length, codes, has_min, scales })
    }

    /// Values in a block, bytes of a block. A row is a whole number of blocks.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 | Self::IQ4_NL => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2_K => (256, 84),
            Self::Q3_K => (256, 110),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
            Self::IQ4_XS => (256, 136),
            Self::MXFP4 => (32, 17),
        }
    }

    /// The name that the field uses, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::IQ4_XS => "IQ4_XS",
            Self::MXFP4 => "MXFP4",
        }
    }

    /// The type of a number in a GGUF tensor's description (`enum ggml_type`).
    pub(crate) fn from_ggml(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            20 => Self::IQ4_NL,
            23 => Self::IQ4_XS,
            30 => Self::BF16,
            39 => Self::MXFP4,
            _ => return None,
        })
    }

    /// All names, for the error about a type that is none of them.
    pub(crate) fn known() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}
