//! What a key may ask about itself: its limits.

use account::{LimitKind, Owner, Resets, Standing};
use axum::{Json, extract::State};
use wire::{
    openai::ErrorResponse,
    tenant::{Limit, LimitList},
};

use crate::{Service, caller::Caller, tenancy::now};

/// The limits above a key, the nearest first, and how they stand.
#[utoipa::path(
    get, path = "/v1/limits", tag = "tenant",
    responses(
        (status = 200, description = "The answer", body = LimitList),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn limits(State(service): State<Service>, caller: Caller) -> Json<LimitList> {
    let standings = service.tenancy().meter().standings(&caller.tenant(), now());
    Json(LimitList { object: "list", data: standings.iter().map(limit).collect() })
}

pub(super) fn limit(standing: &Standing) -> Limit {
    let number = |number: i128| i64::try_from(number).unwrap_or(i64::MAX);
    let (owner, owner_id) = match standing.owner {
        Owner::Organisation(id) => ("organisation", id.to_string()),
        Owner::Project(id) => ("project", id.to_string()),
        Owner::Key(id) => ("key", id.to_string()),
    };
    let unit = match standing.limit {
        limit if limit.is_money() => "nano",
        LimitKind::RequestsPerMinute | LimitKind::ConcurrentRequests => "requests",
        _ => "tokens",
    };
    let resets_at = match standing.resets {
        Resets::At(moment) => Some(moment.to_string()),
        Resets::WhenRunningEnd | Resets::Never => None,
    };
    Limit {
        limit: standing.limit.as_str(),
        owner,
        owner_id,
        unit,
        allowed: number(standing.allowed),
        used: number(standing.used),
        held: number(standing.held),
        remaining: number(standing.remaining()),
        resets_at,
    }
}
