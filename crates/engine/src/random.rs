//! Random numbers that are a pure function of a seed and a counter.
//!
//! The draw for a sequence's n-th token depends on nothing but its seed and n, so preemption, batch mates and readers cannot
//! shift it. The generator is SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators"; the
//! constants are those of Vigna's public-domain `splitmix64.c`), whose state is a counter already: the n-th output is the
//! mixed sum of the start and n increments.

/// The increment: the golden ratio in 64 bits, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The `index`-th 64 random bits of the stream that `seed` starts.
///
/// The seed is mixed before it starts the counter, because callers use neighbouring seeds for the choices of one request.
pub(crate) fn bits(seed: u64, index: u64) -> u64 {
    let start = mix(seed.wrapping_add(GOLDEN));
    mix(start.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// The `index`-th number of `seed`'s stream, evenly spread over `0.0..1.0`.
pub(crate) fn uniform(seed: u64, index: u64) -> f64 {
    // The upper 53 bits are what an f64 holds exactly.
    (bits(seed, index) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The published first outputs for the seed 1234567.
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
        ];
        let ours: Vec<u64> = (1..=4).map(|n: u64| mix(1_234_567_u64.wrapping_add(n.wrapping_mul(GOLDEN)))).collect();
        assert_eq!(ours, published);
    }

    #[test]
    fn uniform_numbers_are_spread_over_the_unit_interval() {
        let mut bins = [0_u32; 20];
        for seed in 0..200 {
            for index in 0..100 {
                let x = uniform(seed, index);
                assert!((0.0..1.0).contains(&x));
                bins[(x * 20.0) as usize] += 1;
            }
        }
        let expected = 1000.0;
        let chi2: f64 = bins.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi2 < 43.8, "chi-square {chi2} of 19 degrees of freedom; one in a thousand is above 43.8");
    }

    #[test]
    fn neighbouring_seeds_are_unrelated() {
        for seed in 0..100 {
            let same =
                (0..64).filter(|&i| bits(seed, i + 1) == bits(seed + 1, i) || bits(seed, i) == bits(seed + 1, i));
            assert_eq!(same.count(), 0);
        }
    }
}
