//! How far a runner's next-token distributions are from exact ones.
//!
//! The fixtures give, for a text, the mean negative log-likelihood and at many positions the ten most likely next tokens
//! with their log-probabilities, in arithmetic that rounds nothing but to f32. With exact probabilities p and ours q of
//! those ten, r = 1 − Σp and s = 1 − Σq, the distance at a position is Σ p·ln(p/q) + r·ln(r/s): the divergence of the
//! two distributions once all other tokens count as one.

#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::{collections::BTreeMap, fs};

use models::Runner;
use serde_json::Value as Json;

use crate::drive::{self, fingerprint, fixture};

/// Where the exact gap between the two best tokens is wider than this many nats, ours must choose the same. Below it,
/// rounding may choose otherwise.
const TIE: f64 = 0.25;

/// A text with what exact arithmetic says about it.
pub struct Text {
    pub name: String,
    pub tokens: Vec<u32>,
    /// Mean negative log-likelihood of all tokens but the first, in nats; a text of one token has none.
    nll: Option<f64>,
    /// By position: the most likely next tokens with their log-probabilities, best first.
    top: BTreeMap<usize, Vec<(u32, f64)>>,
}

impl Text {
    fn read(json: &Json) -> Self {
        let whole = |value: &Json| u32::try_from(value.as_u64().expect("a token id")).expect("a token id");
        let list = |value: &Json| -> Vec<(u32, f64)> {
            let pairs = value.as_array().expect("a list of pairs").iter();
            pairs.map(|pair| (whole(&pair[0]), pair[1].as_f64().expect("a log-probability"))).collect()
        };
        let top = match (&json["top"], &json["top_at"]) {
            (Json::Array(all), _) => all.iter().map(list).enumerate().collect(),
            (_, Json::Object(some)) => {
                some.iter().map(|(position, top)| (position.parse().expect("a position"), list(top))).collect()
            }
            _ => panic!("a fixture has `top` or `top_at`"),
        };
        Self {
            name: json["name"].as_str().expect("a name").to_string(),
            tokens: json["tokens"].as_array().expect("a list of token ids").iter().map(whole).collect(),
            nll: json["nll"].as_f64(),
            top,
        }
    }

    /// The texts of a fixture: one JSON document, a list of them, or one a line.
    pub fn all_of(file: &str) -> Vec<Self> {
        let text = fs::read_to_string(fixture(file)).expect("the fixture is there");
        let documents = serde_json::Deserializer::from_str(&text).into_iter::<Json>();
        let documents: Vec<Json> = documents.collect::<Result<_, _>>().expect("the fixture is JSON");
        let texts: Vec<Self> = match &documents[..] {
            [Json::Array(list)] => list.iter().map(Self::read).collect(),
            several => several.iter().map(Self::read).collect(),
        };
        assert!(texts.iter().any(|text| !text.top.is_empty()), "{file} has something to compare with");
        texts
    }
}

/// What may lie between a model's distributions and the exact ones.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Mean of the distances, in nats.
    pub mean: f64,
    /// Their 95th percentile.
    pub most: f64,
    /// The largest.
    pub worst: f64,
    /// Relative difference of a text's mean negative log-likelihood.
    pub nll: f64,
}

/// What was found over one or several texts.
#[derive(Default)]
pub struct Distances {
    all: Vec<f64>,
    /// Largest relative difference of a text's NLL.
    nll: f64,
    /// Where another token was the best one although the exact gap is wide.
    flips: Vec<String>,
}

impl Distances {
    /// Runs a text in the given chunks and adds what is found. Returns each row's exact bits as a number.
    pub fn measure(&mut self, runner: &mut dyn Runner, text: &Text, chunks: &[usize], blocks: &[u32]) -> Vec<u64> {
        let mut bits = Vec::new();
        let mut losses = Vec::new();
        drive::run(runner, &text.tokens, chunks, blocks, &mut |position, logits| {
            bits.push(fingerprint(logits));
            let total = log_sum_exp(logits);
            let log_probability = |token: u32| f64::from(logits[token as usize]) - total;
            if let Some(next) = text.tokens.get(position + 1) {
                losses.push(-log_probability(*next));
            }
            if let Some(top) = text.top.get(&position) {
                self.all.push(divergence(top, log_probability));
                let gap = top[0].1 - top[1].1;
                let best = argmax(logits);
                if gap > TIE && best != top[0].0 {
                    let Text { name, .. } = text;
                    self.flips.push(format!("{name} at {position}: {best}, not {}, by {gap:.2} nat", top[0].0));
                }
            }
        });
        if let Some(exact) = text.nll {
            let found = losses.iter().sum::<f64>() / losses.len() as f64;
            self.nll = larger(self.nll, (found / exact - 1.0).abs());
        }
        bits
    }

    /// Asserts that everything that was measured is within bounds.
    #[track_caller]
    pub fn check(mut self, what: &str, bounds: Bounds) {
        assert!(!self.all.is_empty(), "{what}: nothing was measured");
        let mean = self.all.iter().sum::<f64>() / self.all.len() as f64;
        self.all.sort_by(f64::total_cmp);
        let most = self.all[(self.all.len() * 95).div_ceil(100) - 1];
        let worst = self.all[self.all.len() - 1];
        let found = format!(
            "{what}: over {} positions the mean distance is {mean:.2e}, the 95th percentile {most:.2e}, the worst \
             {worst:.2e}; NLL differs by {:.2e}; allowed {bounds:?}",
            self.all.len(),
            self.nll
        );
        // Written so that a NaN fails.
        let within = mean <= bounds.mean && most <= bounds.most && worst <= bounds.worst && self.nll <= bounds.nll;
        assert!(within, "{found}");
        assert!(self.flips.is_empty(), "{what}: other tokens are the best ones: {}", self.flips.join("; "));
    }
}

/// The larger of two, and NaN when one is.
fn larger(a: f64, b: f64) -> f64 {
    if a >= b { a } else { b }
}

fn divergence(top: &[(u32, f64)], log_probability: impl Fn(u32) -> f64) -> f64 {
    let (mut sum, mut exact_rest, mut rest) = (0.0, 1.0, 1.0);
    for (token, exact) in top {
        let found = log_probability(*token);
        sum += exact.exp() * (exact - found);
        exact_rest -= exact.exp();
        rest -= found.exp();
    }
    // The fixture's five digits can leave a rest of nothing, or a little less.
    if exact_rest > 0.0 { sum + exact_rest * (exact_rest / rest.max(1e-9)).ln() } else { sum }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    most + logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum::<f64>().ln()
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.expect("a vocabulary is not empty").0 as u32
}
