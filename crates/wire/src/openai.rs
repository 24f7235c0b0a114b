//! OpenAI's API: chat completions, completions, responses, embeddings, models and errors.
//!
//! The shapes are those of OpenAI's API reference and of its SDKs' typed models. Extensions that are not OpenAI's are
//! marked as such on the field.

mod chat;
mod completion;
mod embedding;
mod error;
mod model;
mod response;
mod response_event;
mod response_item;
mod tool;

pub use chat::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatLogprobs, ChatMessage, ChatRequest, ChatResponse, ChatTokenLogprob,
    ChatTopLogprob, Content, ContentPart, Delta, JsonSchemaFormat, ResponseFormat, ResponseMessage,
};
pub use completion::{
    CompletionChoice, CompletionLogprobs, CompletionRequest, CompletionResponse, Prompt, PromptItem, TopLogprobs,
};
pub use embedding::{EmbeddingObject, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EmbeddingVector};
pub use error::{ErrorBody, ErrorResponse};
pub use model::{Model, ModelList};
pub use response::{
    IncompleteDetails, InputTokensDetails, ItemQuery, OutputTokensDetails, ResponseDeleted, ResponseFailure,
    ResponseItemList, ResponseNamedTool, ResponseObject, ResponseQuery, ResponseReasoning, ResponseReasoningOptions,
    ResponseRequest, ResponseStatus, ResponseText, ResponseTextFormat, ResponseTextOptions, ResponseTool,
    ResponseToolChoice, ResponseUsage,
};
pub use response_event::{EventPart, ResponseEvent, ResponseEventKind};
pub use response_item::{
    ItemRole, ItemStatus, ReasoningPart, ResponseInput, ResponseInputContent, ResponseInputItem, ResponseInputPart,
    ResponseItem, ResponsePart,
};
pub use tool::{
    FunctionCall, FunctionCallDelta, FunctionDefinition, NamedFunction, NamedTool, Tool, ToolCall, ToolCallDelta,
    ToolChoice,
};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::text_or_list;

/// One stop string or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Stop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_list::deserialize(deserializer, "a string or a list of strings", Self::One, Self::Many)
    }
}

/// What a stream says beside the answer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct StreamOptions {
    /// Send the token counts in a last chunk of their own.
    #[serde(default)]
    pub include_usage: Option<bool>,
    /// Extension: send the counts so far in every chunk, and the final ones as with `include_usage`.
    #[serde(default)]
    pub continuous_usage_stats: Option<bool>,
}

/// Token counts of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Generated tokens over all choices.
    pub completion_tokens: u64,
    /// The sum of both.
    pub total_tokens: u64,
    /// Of the prompt's tokens.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Of the generated tokens.
    pub completion_tokens_details: CompletionTokensDetails,
}

/// How the prompt's tokens came to be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// Tokens that came from the prefix cache.
    pub cached_tokens: u64,
}

/// What the generated tokens were for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct CompletionTokensDetails {
    /// Tokens that were generated while the model thought, the marks around it included.
    pub reasoning_tokens: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn content_and_stop_are_a_string_or_a_list() {
        let text = r#"{"model":"m","messages":[
            {"role":"user","content":"a","surprise":1},
            {"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"x"}}]},
            {"role":"assistant","content":null}],"stop":["x","y"],"unknown":{"deep":[]}}"#;
        let request: ChatRequest = from_str(text).unwrap();
        assert!(matches!(&request.messages[0].content, Some(Content::Text(text)) if text == "a"));
        assert!(matches!(&request.messages[1].content, Some(Content::Parts(parts)) if parts[1].r#type == "image_url"));
        assert!(request.messages[2].content.is_none());
        assert_eq!(request.stop, Some(Stop::Many(vec!["x".into(), "y".into()])));
        assert_eq!(from_str::<Stop>(r#""\n""#).unwrap(), Stop::One("\n".into()));
    }

    #[test]
    fn a_prompt_is_text_or_ids_or_several() {
        let check = |text: &str, expect| assert_eq!(from_str::<Prompt>(text).unwrap(), expect);
        check(r#""a""#, Prompt::Text("a".into()));
        check("[]", Prompt::List(vec![]));
        check("[1,-2]", Prompt::List(vec![PromptItem::Id(1), PromptItem::Id(-2)]));
        check(r#"["a","b"]"#, Prompt::List(vec![PromptItem::Text("a".into()), PromptItem::Text("b".into())]));
        check("[[1],[2,3]]", Prompt::List(vec![PromptItem::Ids(vec![1]), PromptItem::Ids(vec![2, 3])]));
    }

    #[test]
    fn a_wrong_kind_of_value_is_told_with_what_would_be_right() {
        let check = |error: serde_json::Error, expect: &str| assert!(error.to_string().contains(expect), "{error}");
        check(from_str::<Stop>("1").unwrap_err(), "invalid type: integer `1`, expected a string or a list of strings");
        check(from_str::<Prompt>("{}").unwrap_err(), "expected a string, a list of strings");
        check(from_str::<Prompt>("[1.5]").unwrap_err(), "expected a token id, a string or a list of token ids");
        check(from_str::<Prompt>("[18446744073709551615]").unwrap_err(), "expected a token id");
    }

    #[test]
    fn likely_tokens_keep_their_order() {
        let top = TopLogprobs(vec![("b".into(), -0.5), ("a".into(), -1.0)]);
        assert_eq!(serde_json::to_string(&top).unwrap(), r#"{"b":-0.5,"a":-1.0}"#);
    }

    #[test]
    fn usage_is_absent_null_or_there() {
        let chunk = |usage| {
            let chunk = ChatChunk {
                id: "i",
                object: "chat.completion.chunk",
                created: 1,
                model: "m",
                system_fingerprint: "f",
                choices: vec![],
                usage,
            };
            to_value(chunk).unwrap()
        };
        assert!(chunk(None).get("usage").is_none());
        assert!(chunk(Some(None))["usage"].is_null());
        let usage = Usage {
            prompt_tokens: 2,
            completion_tokens: 3,
            total_tokens: 5,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: 1 },
            completion_tokens_details: CompletionTokensDetails { reasoning_tokens: 2 },
        };
        let expect = json!({"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,
            "prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}});
        assert_eq!(chunk(Some(Some(usage)))["usage"], expect);
    }
}
