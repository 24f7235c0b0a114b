//! What a request would cost, without running it.

use account::{Counts, LimitKind, Nano, Service as ServiceClass, Standing};
use axum::{Json as JsonAnswer, extract::State};
use serde_json::Value;
use wire::{
    openai::ErrorResponse,
    tenant::{Quote, QuotedLimit},
};

use super::{anthropic, openai, tenant::limit};
use crate::{
    Service,
    admission::admit,
    body::{Json, parse},
    caller::Caller,
    error::ApiError,
    exchange::Exchange,
    family::Family,
    generation::{self, Ask, Extent},
    tenancy::now,
};

/// What the body of any call for text would need: its tokens, the least and the most that it can cost, and the limits that
/// it counts for. Nothing is generated. A body with `messages` is one of `/v1/chat/completions`, or, with the header
/// `anthropic-version`, one of `/v1/messages`; a body with `prompt` is one of `/v1/completions`.
#[utoipa::path(
    post, path = "/v1/quote", tag = "tenant", request_body = Object,
    responses(
        (status = 200, description = "The answer", body = Quote),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn quote(
    State(service): State<Service>,
    caller: Caller,
    exchange: Exchange,
    family: Family,
    Json(body): Json<Value>,
) -> Result<JsonAnswer<Quote>, ApiError> {
    let ask = ask(&service, &caller, family, &body)?;
    let model = ask.model.clone();
    let admitted = admit(&service, &caller, exchange, &model)?;
    let extent = generation::measure(&service, admitted, ask).await?;
    let version = service.tenancy().price(&model, now()).map_err(|_| ApiError::NotPriced { model: model.clone() })?;
    let Extent { prompt_tokens, output_tokens, exact } = extent;
    let too_much = |error: account::AmountOverflow| ApiError::invalid("max_tokens", error.to_string());
    let (price, class) = (version.price, ServiceClass::Standard);
    let most = price.bound(&Counts::tokens(prompt_tokens, 0, 0), output_tokens, class).map_err(too_much)?;
    let least_output = if exact { output_tokens } else { 0 };
    let cost = |cached| price.cost(&Counts::tokens(prompt_tokens, cached, least_output), class).map_err(too_much);
    let least = cost(0)?.min(cost(prompt_tokens)?);
    let standings = service.tenancy().meter().standings(&caller.tenant(), now());
    let limits =
        standings.iter().map(|standing| QuotedLimit { limit: limit(standing), most: need(standing, &extent, most) });
    Ok(JsonAnswer(Quote {
        model,
        price_id: version.id.to_string(),
        input_tokens: prompt_tokens,
        most_output_tokens: output_tokens,
        least_cost_nano: least.get(),
        least_cost: least.to_string(),
        most_cost_nano: most.get(),
        most_cost: most.to_string(),
        limits: limits.collect(),
    }))
}

fn ask(service: &Service, caller: &Caller, family: Family, body: &Value) -> Result<Ask, ApiError> {
    // What was read is written again, so that a wrong field is named with its path.
    let bytes = serde_json::to_vec(body).map_err(|_| inference::Error::Internal)?;
    match family {
        Family::Anthropic => anthropic::routes::message_ask(parse(&bytes)?, caller),
        Family::OpenAi if body.get("messages").is_some() => {
            openai::routes::chat_ask(parse(&bytes)?, caller, service.config())
        }
        Family::OpenAi if body.get("prompt").is_some() => {
            openai::routes::completion_ask(parse(&bytes)?, caller, service.config())
        }
        // Ollama's requests are known by their address, which is not this one.
        Family::OpenAi | Family::Ollama => {
            Err(ApiError::invalid("messages", "a quote needs a body with `messages` or `prompt`"))
        }
    }
}

/// The most that the request counts for a limit, in the limit's own unit.
fn need(standing: &Standing, extent: &Extent, money: Nano) -> i64 {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match standing.limit {
        LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => 1,
        LimitKind::InputTokensPerMinute => count(extent.prompt_tokens),
        LimitKind::OutputTokensPerMinute => count(extent.output_tokens),
        LimitKind::TokensPerMinute => count(extent.prompt_tokens.saturating_add(extent.output_tokens)),
        LimitKind::BudgetDay | LimitKind::BudgetMonth | LimitKind::BudgetEver | LimitKind::Balance => money.get(),
    }
}
