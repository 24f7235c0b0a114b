//! Instruction-set levels, and which of them this CPU has.

#[cfg(target_arch = "x86_64")]
mod amx;

use std::fmt;

/// An instruction-set level. Levels are ordered: a CPU that has one has all lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust: the reference that the other levels are tested against, and the only level off x86-64.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, on top of [`Level::Avx2`].
    Avx512,
    /// AVX-512 VNNI, on top of [`Level::Avx512`].
    Avx512Vnni,
    /// AMX for 8-bit integers, on top of [`Level::Avx512Vnni`].
    Amx,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Amx];

    /// The best level that this CPU has, and that the operating system lets this process use.
    ///
    /// What the CPU says of itself; [`Selection`](crate::Selection) also checks that it computes right.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if !(has!("avx2") && has!("fma") && has!("f16c")) {
                return Self::Scalar;
            }
            if !(has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl")) {
                return Self::Avx2;
            }
            if !has!("avx512vnni") {
                return Self::Avx512;
            }
            if amx::may_be_used() { Self::Amx } else { Self::Avx512Vnni }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Scalar
    }

    /// All levels that this CPU can run, lowest first.
    pub fn available() -> Vec<Self> {
        let best = Self::detect();
        Self::ALL.into_iter().filter(|&level| level <= best).collect()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Amx => "amx",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_runs_from_scalar_to_the_detected_level() {
        let available = Level::available();
        assert_eq!(available.first(), Some(&Level::Scalar));
        assert_eq!(available.last(), Some(&Level::detect()));
        assert!(available.is_sorted() && Level::ALL.is_sorted());
    }
}
