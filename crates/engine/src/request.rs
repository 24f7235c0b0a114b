//! What a caller submits.

use crate::{Constraint, Forcing};

/// What to generate.
pub struct SequenceRequest {
    /// Token ids to continue; at least one, each below the vocabulary's size.
    pub prompt: Vec<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Most tokens to generate. 0 generates nothing; the prompt then runs only if its log-probabilities are wanted.
    pub max_tokens: usize,
    /// End tokens cannot be chosen before this many tokens are generated, unless a constraint allows nothing else.
    pub min_tokens: usize,
    /// Tokens that end the sequence and are its last token; empty to ignore the model's own.
    pub end_tokens: Vec<u32>,
    /// `Some(k)`: report the log-probability of every chosen token and of the `k` most likely ones.
    pub logprobs: Option<usize>,
    /// Report every token of the prompt first, with its log-probability and as many alternatives as `logprobs` says. Then
    /// all of the prompt is computed.
    pub prompt_logprobs: bool,
    /// Who asks, as far as the engine is concerned: salts that were served least go first, and no two share KV blocks.
    pub salt: u64,
    /// Limits what may be generated.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Says which tokens are not the model's to choose.
    pub forcing: Option<Box<dyn Forcing>>,
}

/// How the next token is chosen, all values resolved. Applied in the order of the fields: penalties, bias (then the
/// constraint and `min_tokens`), temperature, top-k, top-p, min-p.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 (or anything that is not above 0) takes the most likely token, the lowest id among equals.
    pub temperature: f32,
    /// Keep the `k` most likely tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest tokens whose probabilities, among those that top-k kept, sum to at least this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens in prompt or output (Keskar et al. 2019, CTRL); 1 is
    /// neutral.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token that the output holds; 0 is neutral.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit for each time that the output holds it; 0 is neutral.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens; ids outside the vocabulary are ignored.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes the draws: the same request with the same seed gives the same tokens, whatever else runs.
    pub seed: u64,
}

impl Default for Sampling {
    /// Plain sampling from the model's own distribution, with seed 0.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}
