//! The headers that tell a caller what is left of its limits a minute.

use account::{LimitKind, Resets, Standing, Tenant, Timestamp};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::tenancy::{Tenancy, now};

/// Names of one limit's headers: how much there may be, what is left, when it is all back.
type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];

const TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Writes how the tightest limits of a tenant stand: of an answer in one piece with its own usage counted, of a stream with
/// what it holds.
pub(crate) fn write(headers: &mut HeaderMap, tenancy: &Tenancy, tenant: &Tenant) {
    let now = now();
    let standings = tenancy.meter().standings(tenant, now);
    for (kind, names) in [(LimitKind::RequestsPerMinute, REQUESTS), (LimitKind::TokensPerMinute, TOKENS)] {
        let tightest = standings.iter().filter(|standing| standing.limit == kind).min_by_key(|one| one.remaining());
        if let Some(standing) = tightest {
            for (name, value) in names.into_iter().zip(values(standing, now)) {
                headers.insert(name, value);
            }
        }
    }
}

fn values(standing: &Standing, now: Timestamp) -> [HeaderValue; 3] {
    let number = |number: i128| HeaderValue::from(i64::try_from(number).unwrap_or(i64::MAX));
    let wait = match standing.resets {
        Resets::At(moment) => moment.since(now).as_millis().div_ceil(1000),
        Resets::WhenRunningEnd | Resets::Never => 0,
    };
    // Digits and a letter are a header's value.
    let wait = HeaderValue::from_str(&format!("{wait}s")).unwrap_or(HeaderValue::from_static("0s"));
    [number(standing.allowed), number(standing.remaining()), wait]
}
