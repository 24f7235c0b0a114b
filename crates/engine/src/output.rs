//! What a sequence gives.

/// What comes out of a sequence: its prompt (when asked), its tokens, and exactly one end.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// One position of the prompt (only with `prompt_logprobs`), in order; the first has no log-probability.
    Prompt(Token),
    /// A generated token.
    Token(Token),
    /// The sequence has ended and holds no KV block. Nothing follows.
    Finished(Finish),
}

/// A token, and its log-probability when it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// Natural logarithm of its probability under the model alone: temperature 1, before penalties, bias and constraints.
    pub logprob: Option<f32>,
    /// The most likely tokens at this position with their log-probabilities, most likely first, lowest id among equals.
    pub top: Vec<(u32, f32)>,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Finish {
    /// The model chose an end token; it is the last [`Output::Token`].
    EndToken,
    /// `max_tokens` are generated.
    MaxTokens,
    /// The context, or the whole KV cache, is full.
    ContextFull,
    /// The reader took nothing for too long.
    SlowReader,
    /// A panic or impossible numbers (a NaN logit, nothing that a constraint allows) in this sequence's work, or a panic in
    /// a forward pass that it was part of.
    Failed,
    /// The engine was stopped.
    ShutDown,
}
