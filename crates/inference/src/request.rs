//! What a caller asks of a model, independent of the API family that it came through.

/// One request for generated text.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// What the model continues.
    pub input: Input,
    /// The parameter that holds it, by the name that the caller used: faults of the input are told under it.
    pub parameter: &'static str,
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
    /// The form that the answer is held to.
    pub constraint: Option<Constraint>,
    /// What may share cached prefixes with this request; set by the server, never by the caller.
    pub cache_salt: u64,
}

impl Request {
    /// A request with every option at its default, whose input is called `messages` if it is a conversation, else `prompt`.
    pub fn new(input: Input) -> Self {
        let parameter = match input {
            Input::Chat(_) => "messages",
            Input::Text(_) | Input::Tokens(_) | Input::Gap { .. } => "prompt",
        };
        Self {
            input,
            parameter,
            sampling: Sampling::default(),
            max_tokens: None,
            min_tokens: 0,
            ignore_eos: false,
            stop: Vec::new(),
            choices: 1,
            logprobs: None,
            echo: false,
            constraint: None,
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
    /// A text with a gap: the answer is what stands between the two. Names of special tokens in them are text.
    Gap {
        /// What comes before.
        prefix: String,
        /// What comes behind.
        suffix: String,
    },
    /// A conversation, rendered with the model's chat template.
    Chat(ChatInput),
}

/// A form that an answer is held to: whatever is generated has it, unless the answer is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The form.
    pub form: Form,
    /// The parameter that asked for it, by the name that the caller used.
    pub parameter: String,
}

/// What an answer can be held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON that validates against this JSON schema, as text.
    JsonSchema(String),
    /// A text that this regular expression matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A text of this grammar, in Lark's syntax.
    Lark(String),
    /// A text of this grammar, in llama.cpp's syntax.
    Gbnf(String),
}

/// A conversation, the tools that the model may call, and how it is to think.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatInput {
    /// The turns so far, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it calls them.
    pub tool_choice: ToolChoice,
    /// At most one call a turn.
    pub one_call: bool,
    /// Whether the model thinks first; `None` leaves that to its chat template.
    pub thinking: Option<bool>,
    /// How much it thinks, in the words of its chat template, such as `low`.
    pub reasoning_effort: Option<String>,
    /// Most tokens that the model thinks: those spent, its thinking is ended and the answer begins. A model that does not
    /// think has no use for it.
    pub thinking_budget: Option<u32>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text of the turn, or what a tool answered.
    pub content: String,
    /// The speaker's name, where the caller gave one.
    pub name: Option<String>,
    /// What the model thought in this turn.
    pub reasoning: Option<String>,
    /// The tools that the model calls in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool answers in this turn.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A turn that only says something.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let content = content.into();
        Self { role, content, name: None, reasoning: None, tool_calls: Vec::new(), tool_call_id: None }
    }
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
    /// A tool that the model called.
    Tool,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The tool's name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// The JSON schema of its arguments, as text.
    pub parameters: Option<String>,
    /// Every call of it has arguments that validate, or the request is refused.
    pub strict: bool,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Names the call; the turn of the tool that answers it says the same.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It does not, and is not told of them.
    None,
    /// It calls at least one.
    Required,
    /// It calls the tool of this name, once.
    Named(String),
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
