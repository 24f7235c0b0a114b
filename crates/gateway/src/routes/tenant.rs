//! What a key may ask about itself: its limits and its usage.

use std::collections::BTreeMap;

use account::{Action, Class, Counts, Forbidden, LimitKind, Nano, OrgId, Owner, Reach, Resets, Standing, Timestamp};
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use wire::{
    openai::ErrorResponse,
    tenant::{Bucket, Limit, LimitList, UsageList, UsageQuery, UsageSum},
};

use crate::{Service, caller::Caller, error::ApiError, tenancy::now};

/// Longest stretch of one report.
const MOST_DAYS: i64 = 400;

/// The limits above a key, the nearest first, and how they stand.
#[utoipa::path(
    get, path = "/v1/limits", tag = "tenant",
    responses((status = 200, description = "The answer", body = LimitList))
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

/// What was used and what it cost, by time, project, key and model. A key sees its project; one with an `admin:` scope its
/// organisation. Days and months are those of the organisation's time zone.
#[utoipa::path(
    get, path = "/v1/usage", tag = "tenant", params(UsageQuery),
    responses(
        (status = 200, description = "The answer", body = UsageList),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn usage(
    State(service): State<Service>,
    caller: Caller,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Result<Json<UsageList>, ApiError> {
    let Query(query) = query.map_err(|error| inference::Error::Invalid {
        parameter: None,
        message: format!("the query cannot be read: {}", error.body_text()),
    })?;
    let tenant = caller.tenant();
    let org = match &query.organisation_id {
        None => tenant.org,
        Some(id) => OrgId::parse(id).map_err(|_| Forbidden::Elsewhere)?,
    };
    let whole = caller.may(Action::ReadUsage, Reach::Organisation(org));
    if org != tenant.org {
        whole?;
    }
    let bucket = query.bucket.unwrap_or(Bucket::Day);
    let seconds = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let until = query.end_time.map_or_else(now, seconds);
    let day_before = Timestamp::from_millis(until.as_millis() - 86_400_000);
    let from = query.start_time.map_or(day_before, seconds);
    if until.as_millis().saturating_sub(from.as_millis()) > MOST_DAYS * 86_400_000 {
        return Err(ApiError::invalid(
            "start_time",
            format!("a report covers at most {MOST_DAYS} days; ask for parts"),
        ));
    }
    // Whole periods: the one that holds the first moment up to the one that holds the last.
    let first = period_start(&service, org, bucket, from);
    let sums = service.tenancy().journal().usage(org, first, until).await.ok_or(ApiError::NotDurable)?;
    let mut report: BTreeMap<_, (u64, Counts, i128)> = BTreeMap::new();
    for sum in sums.into_iter().filter(|sum| whole.is_ok() || sum.project == tenant.project) {
        let start = period_start(&service, org, bucket, sum.quarter);
        let entry = report.entry((start, sum.project, sum.key, sum.model)).or_default();
        entry.0 += sum.rows;
        entry.1 = entry.1.plus(&sum.counts);
        entry.2 += i128::from(sum.charge.get());
    }
    let data = report.into_iter().map(|((start, project, key, model), (requests, counts, charge))| {
        let cost = Nano::new(i64::try_from(charge).unwrap_or(i64::MAX));
        UsageSum {
            start: start.to_string(),
            project_id: project.to_string(),
            key_id: key.to_string(),
            model: model.into(),
            requests,
            input_tokens: counts.of(Class::Input),
            cached_input_tokens: counts.of(Class::CachedInput),
            output_tokens: counts.of(Class::Output),
            cost_nano: cost.get(),
            cost: cost.to_string(),
        }
    });
    Ok(Json(UsageList { object: "list", bucket, data: data.collect() }))
}

fn period_start(service: &Service, org: OrgId, bucket: Bucket, moment: Timestamp) -> Timestamp {
    let periods = || service.tenancy().meter().periods(org, moment);
    match bucket {
        Bucket::Hour => Timestamp::from_millis(moment.as_millis() - moment.as_millis().rem_euclid(3_600_000)),
        Bucket::Day => periods().day.start,
        Bucket::Month => periods().month.start,
    }
}
