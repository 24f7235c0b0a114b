//! What a caller asks of a model, independent of the API family that it came through.

/// One request for generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What the model continues.
    pub input: Input,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Most tokens to generate for each choice; `None` means up to the end of the context.
    pub max_tokens: Option<u32>,
    /// End tokens and stop strings are not honoured before this many tokens.
    pub min_tokens: u32,
    /// End tokens do not end the answer.
    pub ignore_eos: bool,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Number of independent choices, at least 1.
    pub choices: u32,
    /// `Some(k)`: report the log-probability of every chosen token and of the `k` most likely ones.
    pub logprobs: Option<u32>,
    /// Repeat the prompt before the first generated text of each choice (with its log-probabilities, when asked).
    pub echo: bool,
    /// What may share cached prefixes with this request; set by the server, never by the caller.
    pub cache_salt: u64,
}

impl Request {
    /// A request with every option at its default.
    pub fn new(input: Input) -> Self {
        Self {
            input,
            sampling: Sampling::default(),
            max_tokens: None,
            min_tokens: 0,
            ignore_eos: false,
            stop: Vec::new(),
            choices: 1,
            logprobs: None,
            echo: false,
            cache_salt: 0,
        }
    }
}

/// What the model continues.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Plain text. Special tokens in it are recognised; a beginning-of-sequence token is added where the model wants one.
    Text(String),
    /// Token ids, used as they are.
    Tokens(Vec<u32>),
    /// A conversation, rendered with the model's chat template.
    Chat(ChatInput),
}

/// A conversation and what its template may need beside the messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatInput {
    /// The turns so far, oldest first.
    pub messages: Vec<Message>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text of the turn.
    pub content: String,
    /// The speaker's name, where the caller gave one.
    pub name: Option<String>,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model. OpenAI's `developer` is the same.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that chat templates use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// How the next token is chosen. `None` takes the model's own default, and where it has none, the neutral value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token. Neutral: 1.
    pub temperature: Option<f32>,
    /// Keep the `k` most likely tokens; 0 keeps all. Neutral: 0.
    pub top_k: Option<u32>,
    /// Keep the fewest tokens whose probabilities sum to this. Neutral: 1.
    pub top_p: Option<f32>,
    /// Keep tokens at least this likely, relative to the most likely one. Neutral: 0.
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens seen in prompt or answer (Keskar et al. 2019). Neutral: 1.
    pub repetition_penalty: Option<f32>,
    /// Subtracted from the logit of each token that the answer holds. Neutral: 0.
    pub presence_penalty: Option<f32>,
    /// Subtracted from a token's logit for each time that the answer holds it. Neutral: 0.
    pub frequency_penalty: Option<f32>,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes the draw reproducible; choice `i` uses `seed + i`. `None` draws a new seed.
    pub seed: Option<u64>,
}
