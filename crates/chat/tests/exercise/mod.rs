//! Reads answers of every dialect, whole and in pieces, and checks what must hold of each. The fuzz target runs the same.

use chat::{Delta, Dialect, ToolSignature};

/// An answer, put together from its deltas.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub reasoning: String,
    /// Names and arguments.
    pub calls: Vec<(String, String)>,
    pub ended_in_calls: bool,
}

impl Answer {
    pub fn text(text: &str) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub fn called(text: &str, calls: &[(&str, &str)]) -> Self {
        let calls = calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect();
        Self { calls, ended_in_calls: true, ..Self::text(text) }
    }

    pub fn unfinished(self) -> Self {
        Self { ended_in_calls: false, ..self }
    }

    pub fn thought(self, reasoning: &str) -> Self {
        Self { reasoning: reasoning.into(), ..self }
    }
}

/// A dialect, by a template that holds its marks.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub template: &'static str,
    pub prompt: &'static str,
    pub tools: bool,
}

pub fn model(template: &'static str) -> Model {
    Model { template, prompt: "", tools: true }
}

impl Model {
    pub fn read(self, pieces: &[&str]) -> Answer {
        let tool = |name: &str, other: &[&str]| ToolSignature {
            name: name.to_owned(),
            other_than_text: other.iter().map(|name| (*name).to_owned()).collect(),
        };
        let tools = if self.tools { vec![tool("f", &["n", "list"]), tool("get_weather", &[])] } else { Vec::new() };
        let mut parser = Dialect::of(self.template).parser(self.prompt, tools);
        let mut answer = Answer::default();
        let mut deltas: Vec<Delta> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        deltas.extend(parser.finish());
        for delta in deltas {
            match delta {
                Delta::Text(text) => answer.text.push_str(&text),
                Delta::Reasoning(text) => answer.reasoning.push_str(&text),
                Delta::Call { name } => answer.calls.push((name, String::new())),
                Delta::Arguments(text) => {
                    answer.calls.last_mut().expect("arguments belong to a call").1.push_str(&text)
                }
            }
        }
        answer.ended_in_calls = parser.ended_in_calls();
        answer
    }

    /// It does not matter how the text is cut into `pieces`, and the arguments of calls that have ended are JSON objects. What
    /// the whole text means.
    #[track_caller]
    pub fn holds(self, text: &str, pieces: &[&str]) -> Answer {
        let whole = self.read(&[text]);
        assert_eq!(self.read(pieces), whole, "{self:?} {pieces:?}");
        let valid =
            |arguments: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(arguments).is_ok();
        let unfinished = usize::from(!whole.ended_in_calls && !whole.calls.is_empty());
        for (_, arguments) in &whole.calls[..whole.calls.len() - unfinished] {
            assert!(valid(arguments), "{arguments} in {text}");
        }
        whole
    }

    /// The whole text, every pair of pieces, and all characters alone give what is expected.
    #[track_caller]
    pub fn check(self, text: &str, expect: &Answer) {
        assert_eq!(self.read(&[text]), *expect, "{text}");
        for (cut, _) in text.char_indices() {
            assert_eq!(self.read(&[&text[..cut], &text[cut..]]), *expect, "{} | {}", &text[..cut], &text[cut..]);
        }
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        assert_eq!(self.read(&characters), *expect, "{text}");
    }
}

pub const HERMES: &str = "<tool_call>\n{{ call|tojson }}\n</tool_call>";
pub const QWEN: &str = "<think><tool_call>\n<function=name>";
pub const LLAMA: &str = "<|python_tag|>";
pub const MISTRAL: &str = "[TOOL_CALLS]";
pub const GEMMA: &str = "<|tool_call>call:<tool_call|><|channel>thought\\n<channel|>";
pub const HARMONY: &str = "<|start|>assistant<|channel|>final<|message|>";
pub const DEEPSEEK: &str = "<｜tool▁calls▁begin｜></think>";
pub const DSML: &str = "｜DSML｜<think>";
pub const KIMI: &str = "<|tool_call_argument_begin|>";
pub const MINIMAX: &str = "<minimax:tool_call>";
pub const PLAIN: &str = "{{ messages }}";
pub const ALL: [&str; 11] = [HERMES, QWEN, LLAMA, MISTRAL, GEMMA, HARMONY, DEEPSEEK, DSML, KIMI, MINIMAX, PLAIN];

/// A fuzzer's input: a byte chooses the dialect, one the setting, one says how many characters a piece has, and the rest is
/// the answer.
pub fn answer(bytes: &[u8]) {
    let [dialect, setting, size, text @ ..] = bytes else { return };
    let text = String::from_utf8_lossy(text);
    let template = ALL[usize::from(*dialect) % ALL.len()];
    let prompt = if setting & 1 == 1 { "<think>\n" } else { "" };
    let model = Model { template, prompt, tools: setting & 2 == 0 };
    let size = usize::from(*size % 16) + 1;
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(size).chain([text.len()]).collect();
    let pieces: Vec<&str> = starts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
    model.holds(&text, &pieces);
}
