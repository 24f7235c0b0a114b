//! What was used and what it cost, for whoever may know.

use account::{Action, Class, Forbidden, OrgId, Reach, Timestamp};
use axum::{
    Json,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use store::{Apart, Part, UsageOf};
use wire::{
    csv,
    openai::ErrorResponse,
    tenant::{Bucket, Format, UsageList, UsageQuery, UsageSum},
};

use crate::{Service, caller::Caller, error::ApiError, parameter, tenancy::now};

/// Longest stretch of one report.
const MOST_DAYS: i64 = 400;

/// The same of a report by the hour.
const MOST_DAYS_OF_HOURS: i64 = 32;

/// Most sums of one report.
const MOST_SUMS: usize = 100_000;

/// What was used and what it cost, by time, project, key and model, or by end user or tag instead of the key. A key sees its
/// project; one with an `admin:` scope its organisation. Periods are those of the organisation's time zone.
#[utoipa::path(
    get, path = "/v1/usage", tag = "tenant", params(UsageQuery),
    responses(
        (status = 200, description = "The answer; with `text/csv` the same as lines", body = UsageList),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
        (status = "5XX", description = "Failed here: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn usage(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let query = parameter::query(query)?;
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
    let (from, until) = stretch(&query, bucket)?;
    let asked = UsageOf {
        org,
        zone: service.tenancy().meter().zone(org),
        from,
        until,
        bucket: match bucket {
            Bucket::Hour => store::Bucket::Hour,
            Bucket::Day => store::Bucket::Day,
            Bucket::Month => store::Bucket::Month,
        },
        apart: apart(query.group_by.as_deref())?,
        most: MOST_SUMS,
    };
    let sums = service.tenancy().journal().usage(asked).await.map_err(|error| match error {
        store::Error::TooMany { .. } => ApiError::invalid("start_time", error.to_string()),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "reading usage failed");
            ApiError::NotDurable
        }
    })?;
    let sums = sums.into_iter().filter(|sum| whole.is_ok() || sum.project == tenant.project).map(written);
    let accepts_csv = || headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
    let as_csv = query.format.map_or_else(accepts_csv, |format| format == Format::Csv);
    if as_csv {
        let sums: Vec<_> = sums.collect();
        return Ok(lines(sums));
    }
    Ok(Json(UsageList { object: "list", bucket, data: sums.collect() }).into_response())
}

/// The stretch of time that is asked for.
fn stretch(query: &UsageQuery, bucket: Bucket) -> Result<(Timestamp, Timestamp), ApiError> {
    let seconds = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let until = query.end_time.map_or_else(now, seconds);
    let day_before = Timestamp::from_millis(until.as_millis() - 86_400_000);
    let from = query.start_time.map_or(day_before, seconds);
    let most = if bucket == Bucket::Hour { MOST_DAYS_OF_HOURS } else { MOST_DAYS };
    if until.as_millis().saturating_sub(from.as_millis()) > most * 86_400_000 {
        let message =
            format!("a report covers at most {MOST_DAYS} days, by the hour {MOST_DAYS_OF_HOURS}; ask for parts");
        return Err(ApiError::invalid("start_time", message));
    }
    Ok((from, until))
}

fn apart(group_by: Option<&str>) -> Result<Apart<'_>, ApiError> {
    match group_by {
        None | Some("key") => Ok(Apart::Key),
        Some("end_user") => Ok(Apart::EndUser),
        Some(other) => match other.strip_prefix("tag:").filter(|name| !name.is_empty()) {
            Some(name) => Ok(Apart::Tag(name)),
            None => {
                let message = format!("group_by must be key, end_user or tag:NAME, but it is {other:?}");
                Err(ApiError::invalid("group_by", message))
            }
        },
    }
}

fn written(sum: store::UsageSum) -> UsageSum {
    let store::UsageSum { start, project, part, model, rows, counts, charge } = sum;
    let other = part == Part::Value(None);
    let (key_id, value) = match part {
        Part::Key(key) => (Some(key.to_string()), None),
        Part::Value(value) => (None, Some(value.map_or_else(|| "other".to_owned(), String::from))),
    };
    UsageSum {
        start: start.to_string(),
        project_id: project.to_string(),
        key_id,
        value,
        other,
        model: model.into(),
        requests: rows,
        input_tokens: counts.of(Class::Input),
        cached_input_tokens: counts.of(Class::CachedInput),
        output_tokens: counts.of(Class::Output),
        cost_nano: charge.get(),
        cost: charge.to_string(),
    }
}

/// The sums as comma-separated values, written as they are sent.
fn lines(sums: Vec<UsageSum>) -> Response {
    const HEADINGS: &[&str] = &[
        "start",
        "project_id",
        "key_id",
        "value",
        "other",
        "model",
        "requests",
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "cost_nano",
        "cost",
    ];
    let line = |sum: UsageSum| {
        csv::Line::default()
            .plain(sum.start)
            .plain(sum.project_id)
            .plain(sum.key_id.unwrap_or_default())
            .text(&sum.value.unwrap_or_default())
            .plain(sum.other)
            .text(&sum.model)
            .plain(sum.requests)
            .plain(sum.input_tokens)
            .plain(sum.cached_input_tokens)
            .plain(sum.output_tokens)
            .plain(sum.cost_nano)
            .plain(sum.cost)
            .end()
    };
    let lines = std::iter::once(csv::Line::of(HEADINGS)).chain(sums.into_iter().map(line));
    let body = Body::from_stream(stream::iter(lines.map(Ok::<_, std::convert::Infallible>)));
    ([(header::CONTENT_TYPE, csv::CONTENT_TYPE)], body).into_response()
}
