//! One request, after its end, for its owner.

use account::{Action, Class, Forbidden, Payer, Reach, RequestId};
use axum::{
    Json,
    extract::{Path, State},
};
use store::RequestRecord;
use wire::{openai::ErrorResponse, tenant::RequestReport};

use crate::{Service, caller::Caller, error::ApiError};

/// What one request was, how long it waited and ran, how it ended and what it cost. The id is the `x-request-id` of its
/// answer; it is there also where the client had gone. A key sees its own requests, one with `admin:requests` those of its
/// organisation.
#[utoipa::path(
    get, path = "/v1/requests/{id}", tag = "tenant", params(("id" = String, Path, description = "Its id, `req_…`")),
    responses(
        (status = 200, description = "The answer", body = RequestReport),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(service): State<Service>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<RequestReport>, ApiError> {
    let id = RequestId::parse(&id).map_err(|_| Forbidden::Elsewhere)?;
    let tenant = caller.tenant();
    let found = service.tenancy().journal().request(tenant.org, id).await.ok_or(ApiError::NotDurable)?;
    let record = found.ok_or(Forbidden::Elsewhere)?;
    let of_others = record.tenant.key != tenant.key;
    // Whoever may not see it does not learn that it is there.
    if of_others && caller.may(Action::ReadRequests, Reach::Project(record.tenant.org, record.tenant.project)).is_err()
    {
        return Err(Forbidden::Elsewhere.into());
    }
    Ok(Json(report(&record)))
}

fn report(record: &RequestRecord) -> RequestReport {
    RequestReport {
        id: record.request.to_string(),
        route: record.route.as_deref().map(str::to_owned),
        model: record.model.to_string(),
        service: record.service.as_str(),
        project_id: record.tenant.project.to_string(),
        key_id: record.tenant.key.to_string(),
        admitted_at: record.admitted.to_string(),
        ended_at: record.ended.to_string(),
        queued_ms: record.queued_ms,
        first_output_ms: record.first_output_ms,
        duration_ms: record.ended.since(record.admitted).as_millis() as u64,
        cause: record.cause.code(),
        paid: record.cause.payer() == Payer::Caller,
        input_tokens: record.counts.of(Class::Input),
        cached_input_tokens: record.counts.of(Class::CachedInput),
        output_tokens: record.counts.of(Class::Output),
        price_id: record.price.map(|price| price.to_string()),
        cost_nano: record.charge.get(),
        cost: record.charge.to_string(),
        ledger_line: record.line,
        end_user: record.labels.end_user().map(str::to_owned),
        tags: record.labels.tags().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    }
}
