//! Whether the model thinks, how much, and whether the caller is told what.

use wire::anthropic::Thinking as Asked;

use crate::{
    error::ApiError,
    parameter::{integer, only},
    thinking::Thinking,
};

/// Least tokens of a budget, as Anthropic has it.
const LEAST_BUDGET: u32 = 1024;

/// How much the model thinks, by what `thinking` and the word for an effort ask for. A budget in tokens counts before one
/// in a word.
pub(super) fn convert(
    asked: Option<&Asked>,
    effort: Option<String>,
    max_tokens: Option<i64>,
) -> Result<Thinking, ApiError> {
    let by_effort = Thinking::of_effort("output_config.effort", effort)?;
    // An effort bounds the thinking, and does not ask for it.
    let Some(asked) = asked else { return Ok(Thinking { whether: None, ..by_effort }) };
    match asked.r#type.as_str() {
        "disabled" => Ok(Thinking { whether: Some(false), budget: None, ..by_effort }),
        "adaptive" => Ok(Thinking { whether: Some(true), ..by_effort }),
        "enabled" => {
            let budget = Some(budget(asked.budget_tokens, max_tokens)?);
            Ok(Thinking { whether: Some(true), budget, ..by_effort })
        }
        other => {
            let message = format!("thinking.type must be disabled, adaptive or enabled, but it is {other:?}");
            Err(ApiError::invalid("thinking.type", message))
        }
    }
}

fn budget(tokens: Option<i64>, max_tokens: Option<i64>) -> Result<u32, ApiError> {
    const BUDGET: &str = "thinking.budget_tokens";
    let budget = integer(BUDGET, tokens, LEAST_BUDGET..=u32::MAX)?;
    let budget =
        budget.ok_or_else(|| ApiError::invalid(BUDGET, "thinking of type \"enabled\" needs thinking.budget_tokens"))?;
    match max_tokens.filter(|most| *most <= i64::from(budget)) {
        Some(most) => {
            let message = format!("{BUDGET} is {budget}, but it must be less than max_tokens, {most}");
            Err(ApiError::invalid(BUDGET, message))
        }
        None => Ok(budget),
    }
}

/// Whether the answer holds what was thought, or only that something was.
pub(super) fn is_shown(asked: Option<&Asked>) -> Result<bool, ApiError> {
    let display = asked.and_then(|asked| asked.display.as_deref());
    only("thinking.display", display, &["summarized", "omitted"])?;
    Ok(display != Some("omitted"))
}
