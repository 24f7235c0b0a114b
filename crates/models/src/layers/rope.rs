//! Rotary positions: the frequencies of a model and their stretching for long contexts.
//!
//! Sources: RoFormer (arXiv 2104.09864), linear interpolation (arXiv 2306.15595), YaRN (arXiv 2309.00071), LongRoPE
//! (arXiv 2402.13753), and for `llama3` the rule published with Llama 3.1.

use std::f64::consts::TAU;

use crate::{
    Error,
    settings::{Key, Settings},
};

const BASE: Key = Key::new("rope.freq_base", "rope_theta");
const DIMENSIONS: Key = Key::only_gguf("rope.dimension_count");
const PARTIAL: Key = Key::only_hugging_face("partial_rotary_factor");
const KIND: Key = Key::new("rope.scaling.type", "rope_type");
const KIND_OLD: Key = Key::only_hugging_face("type");
const FACTOR: Key = Key::new("rope.scaling.factor", "factor");
const FACTOR_OLD: Key = Key::only_gguf("rope.scale_linear");
const ORIGINAL: Key = Key::new("rope.scaling.original_context_length", "original_max_position_embeddings");
const MAGNITUDE: Key = Key::new("rope.scaling.attn_factor", "attention_factor");
const FAST: Key = Key::new("rope.scaling.yarn_beta_fast", "beta_fast");
const SLOW: Key = Key::new("rope.scaling.yarn_beta_slow", "beta_slow");
const LOW: Key = Key::only_hugging_face("low_freq_factor");
const HIGH: Key = Key::only_hugging_face("high_freq_factor");
const TRUNCATE: Key = Key::only_hugging_face("truncate");
const MSCALE: Key = Key::only_hugging_face("mscale");
const SHORT_FACTORS: Key = Key::only_hugging_face("short_factor");
const LONG_FACTORS: Key = Key::only_hugging_face("long_factor");

/// Beyond a turn per position there is no rotation to speak of; this only keeps angles finite.
const FASTEST: f64 = 1e6;

/// How a model's frequencies come about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rope {
    /// Wavelengths grow from 2π to 2π times this.
    pub(crate) base: f64,
    /// How many leading dimensions of a head rotate; even.
    pub(crate) dimensions: usize,
    /// How they are stretched.
    pub(crate) scaling: Scaling,
}

/// Stretching for contexts longer than those of the first training.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scaling {
    /// As trained.
    None,
    /// All frequencies divided by the factor.
    Linear { factor: f64 },
    /// Long waves divided by the factor, short ones kept, between them a blend.
    Llama3 { factor: f64, low: f64, high: f64, original: f64 },
    /// The same idea with a ramp over dimensions, and larger scores.
    Yarn { factor: f64, fast: f64, slow: f64, original: f64, magnitude: Magnitude, truncate: bool },
    /// A divisor for each pair of dimensions, from one of two sets. `None`: a GGUF keeps them in tensors.
    ///
    /// The authors change from one set to the other when a text outgrows `original`, which would change what its first
    /// tokens mean in hindsight. Here the context that the model is loaded with decides, once and for all texts.
    LongRope { factors: Option<Factors>, original: f64, magnitude: f64 },
}

/// LongRoPE's two sets of divisors, one number for each pair of dimensions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factors {
    /// For contexts no longer than those of the first training.
    short: Vec<f64>,
    /// For longer ones.
    long: Vec<f64>,
}

/// YaRN's factor on cosine and sine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Magnitude {
    /// The file gives it.
    Is(f64),
    /// `0.1 ln(factor) + 1`, times what the file gives.
    ByFactor(f64),
}

impl Rope {
    /// A rope of its own, without scaling.
    pub(crate) fn plain(base: f64, dimensions: usize) -> Self {
        Self { base, dimensions, scaling: Scaling::None }
    }

    /// Reads the model's (global) rope. In a `config.json` it is `rope_theta` and `rope_scaling`, or in newer ones
    /// `rope_parameters`.
    pub(crate) fn read(
        settings: &Settings<'_>,
        head_dim: usize,
        context_length: usize,
        default_base: f64,
    ) -> Result<Self, Error> {
        if let Some(parameters) = settings.object("rope_parameters") {
            // Models with two kinds of layers have one set for each.
            let parameters = parameters.get("full_attention").unwrap_or(parameters);
            let nested = Settings::HuggingFace { config: parameters };
            let base = nested.positive(BASE)?.or(settings.positive(BASE)?);
            let base = checked_base(&nested, base.unwrap_or(default_base))?;
            let dimensions = dimensions(&nested, head_dim)?;
            let scaling = Scaling::read(&nested, settings, context_length, dimensions)?;
            return Ok(Self { base, dimensions, scaling });
        }
        let base = checked_base(settings, settings.positive(BASE)?.unwrap_or(default_base))?;
        let dimensions = dimensions(settings, head_dim)?;
        let scaling = match settings.object("rope_scaling") {
            Some(config) => Scaling::read(&Settings::HuggingFace { config }, settings, context_length, dimensions)?,
            None if settings.is_gguf() => Scaling::read(settings, settings, context_length, dimensions)?,
            None => Scaling::None,
        };
        Ok(Self { base, dimensions, scaling })
    }

    /// Whether LongRoPE's second set of divisors is the one for this context.
    pub(crate) fn is_long(&self, context_length: usize) -> bool {
        matches!(self.scaling, Scaling::LongRope { original, .. } if context_length as f64 > original)
    }

    /// Radians per position of each rotating pair, and the factor on cosine and sine, for a model that is loaded with
    /// this context. `divisors` come from a GGUF's tensors, which hold a scaling already worked out.
    pub(crate) fn frequencies(
        &self,
        divisors: Option<&[f32]>,
        context_length: usize,
    ) -> Result<(Vec<f64>, f32), Error> {
        let pairs = self.dimensions / 2;
        let mut inverse: Vec<f64> =
            (0..pairs).map(|pair| self.base.powf(-2.0 * pair as f64 / self.dimensions as f64)).collect();
        let mut magnitude = 1.0;
        match &self.scaling {
            Scaling::None => {}
            Scaling::Linear { factor } => inverse.iter_mut().for_each(|frequency| *frequency /= factor),
            Scaling::Llama3 { factor, low, high, original } => {
                for frequency in &mut inverse {
                    let wavelength = TAU / *frequency;
                    if wavelength > original / low {
                        *frequency /= factor;
                    } else if wavelength >= original / high {
                        let kept = (original / wavelength - low) / (high - low);
                        *frequency = (1.0 - kept) * *frequency / factor + kept * *frequency;
                    }
                }
            }
            Scaling::Yarn { factor, fast, slow, original, magnitude: how, truncate } => {
                // The dimension whose wave turns `turns` times within the first training's context.
                let dimensions = self.dimensions as f64;
                let at = |turns: f64| dimensions * (original / (turns * TAU)).ln() / (2.0 * self.base.ln());
                let (mut low, mut high) = (at(*fast), at(*slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(dimensions - 1.0));
                if low == high {
                    high += 0.001;
                }
                for (pair, frequency) in inverse.iter_mut().enumerate() {
                    let stretched = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    *frequency = *frequency / factor * stretched + *frequency * (1.0 - stretched);
                }
                let by_factor = if *factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
                magnitude = match how {
                    Magnitude::Is(magnitude) => *magnitude,
                    Magnitude::ByFactor(more) => more * by_factor,
                };
            }
            Scaling::LongRope { factors, magnitude: given, .. } => {
                magnitude = *given;
                if let Some(Factors { short, long }) = factors {
                    let factors = if self.is_long(context_length) { long } else { short };
                    inverse.iter_mut().zip(factors).for_each(|(frequency, factor)| *frequency /= factor);
                }
            }
        }
        if let Some(divisors) = divisors {
            for (frequency, divisor) in inverse.iter_mut().zip(divisors) {
                *frequency /= f64::from(*divisor);
            }
        }
        if let Some(frequency) = inverse.iter().find(|frequency| !frequency.is_finite() || **frequency > FASTEST) {
            return Err(Error::BadSetting {
                key: "of the rotary positions".to_string(),
                found: format!("such that a frequency is {frequency}"),
                wanted: format!("frequencies up to {FASTEST}"),
            });
        }
        Ok((inverse, magnitude as f32))
    }
}

impl Scaling {
    /// `settings`: a GGUF, or the object that holds `rope_type` (once `type`); `all`: what that object is part of.
    fn read(
        settings: &Settings<'_>,
        all: &Settings<'_>,
        context_length: usize,
        dimensions: usize,
    ) -> Result<Self, Error> {
        let kind = match settings.text(KIND)? {
            Some(kind) => Some(kind),
            None => settings.text(KIND_OLD)?,
        };
        let factor = match settings.positive(FACTOR)? {
            Some(factor) => Some(factor),
            None => settings.positive(FACTOR_OLD)?,
        };
        let needed =
            |key: Key| settings.positive(key)?.ok_or_else(|| Error::MissingSetting { key: settings.spelled(key) });
        let original = || -> Result<f64, Error> { Ok(settings.positive(ORIGINAL)?.unwrap_or(context_length as f64)) };
        match kind {
            None if settings.is_gguf() && factor.is_some_and(|factor| factor != 1.0) => {
                Ok(Self::Linear { factor: factor.unwrap_or(1.0) })
            }
            None | Some("default" | "none") => Ok(Self::None),
            Some("linear") => match factor {
                Some(factor) => Ok(Self::Linear { factor }),
                None => needed(FACTOR).map(|factor| Self::Linear { factor }),
            },
            Some("llama3") => {
                let (low, high) = (needed(LOW)?, needed(HIGH)?);
                if low >= high {
                    return Err(settings.bad(LOW, low, format!("less than high_freq_factor ({high})")));
                }
                Ok(Self::Llama3 { factor: needed(FACTOR)?, low, high, original: needed(ORIGINAL)? })
            }
            Some("yarn") => {
                if settings.has(MSCALE) {
                    return Err(Error::Unsupported { feature: "yarn with mscale".to_string() });
                }
                let magnitude = match settings.positive(MAGNITUDE)? {
                    Some(more) if settings.is_gguf() => Magnitude::ByFactor(more),
                    Some(magnitude) => Magnitude::Is(magnitude),
                    None => Magnitude::ByFactor(1.0),
                };
                Ok(Self::Yarn {
                    factor: needed(FACTOR)?,
                    fast: settings.positive(FAST)?.unwrap_or(32.0),
                    slow: settings.positive(SLOW)?.unwrap_or(1.0),
                    original: original()?,
                    magnitude,
                    truncate: settings.flag(TRUNCATE)?.unwrap_or(true),
                })
            }
            // "su" is its name in the first files.
            Some("longrope" | "su") => Self::long_rope(settings, all, context_length, dimensions),
            Some(other) => Err(Error::Unsupported {
                feature: format!(
                    "{} = {other:?} (known are default, linear, llama3, yarn, longrope)",
                    settings.spelled(KIND)
                ),
            }),
        }
    }

    /// LongRoPE, whose divisors a GGUF keeps in tensors and a `config.json` in two lists. Arguments as for `read`.
    pub(crate) fn long_rope(
        settings: &Settings<'_>,
        all: &Settings<'_>,
        context_length: usize,
        dimensions: usize,
    ) -> Result<Self, Error> {
        let original = settings.positive(ORIGINAL)?.or(all.positive(ORIGINAL)?).unwrap_or(context_length as f64);
        if original <= 1.0 {
            return Err(settings.bad(ORIGINAL, original, "more than one token"));
        }
        let given = settings.positive(MAGNITUDE)?;
        if settings.is_gguf() {
            return Ok(Self::LongRope { factors: None, original, magnitude: given.unwrap_or(1.0) });
        }
        let factors = |key: Key| {
            let numbers = settings.numbers(key)?.ok_or_else(|| Error::MissingSetting { key: settings.spelled(key) })?;
            if numbers.len() != dimensions / 2 || numbers.iter().any(|number| *number <= 0.0) {
                let wanted = format!("{} numbers above zero, one for each pair of dimensions", dimensions / 2);
                return Err(settings.bad(key, format!("a list of {}", numbers.len()), wanted));
            }
            Ok(numbers)
        };
        let factor = settings.positive(FACTOR)?.unwrap_or(context_length as f64 / original);
        let by_factor = if factor > 1.0 { (1.0 + factor.ln() / original.ln()).sqrt() } else { 1.0 };
        Ok(Self::LongRope {
            factors: Some(Factors { short: factors(SHORT_FACTORS)?, long: factors(LONG_FACTORS)? }),
            original,
            magnitude: given.unwrap_or(by_factor),
        })
    }
}

/// Bases outside of this are mistakes, and would make angles overflow.
pub(crate) fn checked_base(settings: &Settings<'_>, base: f64) -> Result<f64, Error> {
    if base > 1.0 && base <= 1e15 { Ok(base) } else { Err(settings.bad(BASE, base, "a number above 1, up to 1e15")) }
}

fn dimensions(settings: &Settings<'_>, head_dim: usize) -> Result<usize, Error> {
    let (key, dimensions) = match (settings.count(DIMENSIONS, usize::MAX >> 1)?, settings.positive(PARTIAL)?) {
        (Some(dimensions), _) => (DIMENSIONS, dimensions),
        (None, Some(part)) => (PARTIAL, (head_dim as f64 * part) as usize),
        (None, None) => return Ok(head_dim),
    };
    if dimensions.is_multiple_of(2) && (2..=head_dim).contains(&dimensions) {
        Ok(dimensions)
    } else {
        Err(settings.bad(key, dimensions, format!("an even number of dimensions up to the head's {head_dim}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pair_turns_one_radian_a_position_and_the_rest_fall_off_by_the_base() {
        let (inverse, magnitude) = Rope::plain(10_000.0, 4).frequencies(None, 4096).expect("plain");
        assert_eq!(magnitude, 1.0);
        assert_eq!(inverse[0], 1.0);
        assert!((inverse[1] - 0.01).abs() < 1e-15);
    }

    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let scaling = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let rope = Rope { base: 500_000.0, dimensions: 128, scaling };
        let (plain, _) = Rope::plain(500_000.0, 128).frequencies(None, 4096).expect("plain");
        let (scaled, _) = rope.frequencies(None, 4096).expect("scaled");
        assert_eq!(plain[0], scaled[0]);
        assert_eq!(plain[63] / 8.0, scaled[63]);
        let ratios: Vec<f64> = plain.iter().zip(&scaled).map(|(plain, scaled)| plain / scaled).collect();
        assert!(ratios.is_sorted(), "{ratios:?}");
        assert!(ratios.iter().any(|ratio| (1.5..7.5).contains(ratio)), "some are blended: {ratios:?}");
    }

    /// The figures of Qwen2.5: waves of pair 23.59 turn 32 times in 32,768 positions, those of pair 39.65 once.
    #[test]
    fn yarn_blends_between_whole_dimensions_unless_told_not_to() {
        let (plain, _) = Rope::plain(1e6, 128).frequencies(None, 4096).expect("plain");
        for (truncate, low, high) in [(true, 23.0, 40.0), (false, 23.594, 39.651)] {
            let magnitude = Magnitude::ByFactor(1.0);
            let scaling = Scaling::Yarn { factor: 4.0, fast: 32.0, slow: 1.0, original: 32768.0, magnitude, truncate };
            let rope = Rope { base: 1e6, dimensions: 128, scaling };
            let (scaled, magnitude) = rope.frequencies(None, 4096).expect("scaled");
            assert_eq!(magnitude, 1.138_629_4);
            for (pair, (plain, scaled)) in plain.iter().zip(&scaled).enumerate() {
                let kept: f64 = 1.0 - ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let wanted = plain * (kept + (1.0 - kept) / 4.0);
                assert!(
                    (scaled / wanted - 1.0).abs() < 1e-4,
                    "pair {pair}, truncate {truncate}: {scaled}, not {wanted}"
                );
            }
        }
    }

    #[test]
    fn divisors_that_overflow_are_an_error() {
        assert!(Rope::plain(10_000.0, 4).frequencies(Some(&[1e-30, 1.0]), 4096).is_err());
    }

    fn read(config: &str) -> Result<Rope, Error> {
        let config: serde_json::Value = serde_json::from_str(config).expect("the test's own JSON");
        Rope::read(&Settings::HuggingFace { config: &config }, 64, 4096, 10_000.0)
    }

    #[test]
    fn the_context_chooses_between_short_and_long_divisors() {
        let lists = r#""short_factor": [1, 2], "long_factor": [4, 8]"#;
        let config = format!(
            r#"{{"original_max_position_embeddings": 512, "partial_rotary_factor": 0.0625,
                 "rope_scaling": {{"type": "su", {lists}}}}}"#
        );
        let rope = read(&config).expect("all is there");
        for (context_length, wanted) in [(512, [1.0, 0.005]), (513, [0.25, 0.00125])] {
            let (inverse, magnitude) = rope.frequencies(None, context_length).expect("within reason");
            assert!(inverse.iter().zip(wanted).all(|(found, wanted)| (found / wanted - 1.0).abs() < 1e-12));
            // The context is stretched eightfold: √(1 + ln 8 / ln 512) = √(1 + 1/3).
            assert_eq!(magnitude, (4.0f64 / 3.0).sqrt() as f32);
        }
    }

    #[test]
    fn both_spellings_of_a_config_mean_the_same() {
        let old = read(r#"{"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}}"#).expect("old");
        let new = read(r#"{"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 4}}"#).expect("new");
        assert_eq!(old, new);
        assert_eq!(old.scaling, Scaling::Linear { factor: 4.0 });
        assert_eq!(read("{}").expect("absent"), Rope::plain(10_000.0, 64));
    }

    #[test]
    fn what_is_not_known_or_cannot_be_is_an_error() {
        for config in [
            r#"{"rope_scaling": {"type": "dynamic", "factor": 4}}"#,
            r#"{"rope_scaling": {"rope_type": "longrope"}}"#,
            r#"{"rope_scaling": {"rope_type": "longrope", "long_factor": [1], "short_factor": [1]}}"#,
            r#"{"rope_scaling": {"rope_type": "longrope", "long_factor": 1, "short_factor": 1}}"#,
            r#"{"rope_scaling": {"rope_type": "linear"}}"#,
            r#"{"rope_scaling": {"rope_type": "linear", "factor": -1}}"#,
            r#"{"rope_theta": 0.5}"#,
            r#"{"rope_theta": "many"}"#,
            r#"{"partial_rotary_factor": 7}"#,
            r#"{"partial_rotary_factor": 0.01}"#,
        ] {
            assert!(read(config).is_err(), "{config}");
        }
    }
}
