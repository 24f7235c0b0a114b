//! Anthropic's API: messages, models and errors.
//!
//! The shapes are those of Anthropic's API reference and of its SDKs' typed models.

mod error;
mod messages;
mod model;
mod stream;

pub use error::{ErrorBody, ErrorResponse};
pub use messages::{
    Block, Content, ContentBlock, InputMessage, Message, MessagesRequest, OutputTokensDetails, Thinking, TokenCount,
    Tool, ToolChoice, Usage,
};
pub use model::{Model, ModelList, ModelPage};
pub use stream::{BlockDelta, MessageDelta, StreamEvent};

#[cfg(test)]
mod tests {
    use serde_json::{from_str, json, to_value};

    use super::*;

    #[test]
    fn content_is_a_string_or_blocks() {
        let text = r#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
            "messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},
            {"type":"tool_use","id":"t","name":"n","input":{}}]}],"surprise":{"deep":[]}}"#;
        let request: MessagesRequest = from_str(text).unwrap();
        assert!(matches!(&request.system, Some(Content::Blocks(blocks)) if blocks[0].text.as_deref() == Some("s")));
        assert!(matches!(&request.messages[0].content, Content::Text(text) if text == "a"));
        assert!(matches!(&request.messages[1].content, Content::Blocks(blocks) if blocks[1].r#type == "tool_use"));
        let error = from_str::<Content>("5").unwrap_err().to_string();
        assert!(error.contains("expected a string or a list of content blocks"), "{error}");
    }

    #[test]
    fn stream_events_carry_their_type() {
        let delta = StreamEvent::ContentBlockDelta { index: 0, delta: BlockDelta::TextDelta { text: "a" } };
        assert_eq!(delta.name(), "content_block_delta");
        let expect = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}});
        assert_eq!(to_value(delta).unwrap(), expect);
        assert_eq!(to_value(StreamEvent::Ping {}).unwrap(), json!({"type": "ping"}));
    }
}
