//! A call as a name, marks, and a JSON object: Mistral, DeepSeek, Kimi.

use super::{
    super::{
        Malformed,
        json::{Json, Step},
    },
    Progress, Sink,
};

/// Longest text before the arguments, in bytes.
const MOST_HEAD: usize = 512;

/// Reads a call whose name stands before its arguments.
#[derive(Debug)]
pub(crate) struct Named {
    /// The name in what stands before the arguments.
    name: fn(&str) -> Option<&str>,
    head: String,
    arguments: Option<Json>,
}

impl Named {
    pub(super) fn new(name: fn(&str) -> Option<&str>) -> Self {
        Self { name, head: String::new(), arguments: None }
    }

    pub(super) fn push(&mut self, c: char, sink: &mut Sink<'_>) -> Result<Progress, Malformed> {
        if self.arguments.is_none() {
            if c != '{' {
                self.head.push(c);
                return if self.head.len() > MOST_HEAD { Err(Malformed) } else { Ok(Progress::More) };
            }
            sink.begin((self.name)(&self.head).ok_or(Malformed)?)?;
        }
        let mut new = String::new();
        let step = self.arguments.get_or_insert_default().push(c, &mut new)?;
        sink.arguments(&new)?;
        if step == Step::Done {
            sink.end("");
            return Ok(Progress::Done);
        }
        Ok(Progress::More)
    }

    pub(super) fn closing(&self) -> String {
        self.arguments.as_ref().map(Json::closing).unwrap_or_default()
    }
}

/// `NAME[CALL_ID]ID[ARGS]`, `NAME[ARGS]`, or `NAME` alone.
pub(super) fn mistral(head: &str) -> Option<&str> {
    let (name, marks) = head.split_at(head.find('[').unwrap_or(head.len()));
    let known = marks.trim_end().is_empty() || marks.trim_end().ends_with("[ARGS]");
    known.then(|| name.trim())
}

/// `function<sep>NAME` and a line "```json", or `NAME<sep>`.
pub(super) fn deepseek(head: &str) -> Option<&str> {
    let (first, second) = head.split_once("<｜tool▁sep｜>")?;
    if second.trim().is_empty() {
        return Some(first.trim());
    }
    let (name, fence) = second.split_once('\n')?;
    (fence.trim() == "```json" || fence.trim().is_empty()).then(|| name.trim())
}

/// `functions.NAME:INDEX<|tool_call_argument_begin|>`.
pub(super) fn kimi(head: &str) -> Option<&str> {
    let id = head.trim().strip_suffix("<|tool_call_argument_begin|>")?.trim();
    let name = id.strip_prefix("functions.").unwrap_or(id);
    match name.rsplit_once(':') {
        Some((name, index)) if index.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
        _ => Some(name),
    }
}
