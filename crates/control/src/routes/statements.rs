//! The bill of a month, for programs and for paper.

use account::{Billing, Nano, OrgId, ledger};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use store::{Made, Organisation};
use wire::{
    admin::{
        ClassCharges, Corrections, ModelCharges, Statement, StatementCredit, StatementEnd, StatementFormat,
        StatementQuery,
    },
    openai::ErrorResponse,
};

use super::ledger::readable;
use crate::{Caller, Control, convert, error::ApiError, page::Asked, statement_page};

/// What was charged, credited and corrected in a month of the organisation's time zone, and what the balance was before and
/// after. As `text/html` it is a page to be printed.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/statements/{month}", tag = "admin",
    params(
        ("org" = String, Path, description = "Whose"), ("month" = String, Path, description = "Such as `2026-11`"),
        StatementQuery,
    ),
    responses(
        (status = 200, description = "The answer", body = Statement),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path((org, month)): Path<(String, String)>,
    Asked(query): Asked<StatementQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (org, of) = readable(&control, &caller, &org).await?;
    let period = of.what.zone.parse_month(&month).map_err(|error| ApiError::invalid("month", error))?;
    let statement = control.store().statement(org, period).await?;
    let statement = written(org, &of, &month, period, &statement);
    let accepts_html = || headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    let as_html = query.format.map_or_else(accepts_html, |format| format == StatementFormat::Html);
    Ok(if as_html { Html(statement_page::page(&statement)).into_response() } else { Json(statement).into_response() })
}

fn written(
    org: OrgId,
    of: &Made<Organisation>,
    month: &str,
    period: account::Period,
    statement: &ledger::Statement,
) -> Statement {
    let organisation = convert::organisation(of);
    let closing = statement.closing.balance;
    let owes = of.what.billing == Billing::Postpaid && closing.is_negative();
    let credit = |source: &str, credit: &ledger::Credited| StatementCredit {
        at: credit.at.to_string(),
        source: source.to_owned(),
        line: credit.line,
        amount: amount(credit.amount),
    };
    let listed = statement.credits.iter().map(|listed| credit(listed.source.as_str(), listed));
    let further = statement.further.iter().map(|further| credit("further", further));
    Statement {
        organisation_id: org.to_string(),
        organisation: organisation.name,
        billing: organisation.billing,
        month: month.to_owned(),
        time_zone: organisation.time_zone,
        from: period.start.to_string(),
        until: period.end.unwrap_or(period.start).to_string(),
        closed: period.end.is_some_and(|end| end <= store::now()),
        opening: end(&statement.opening),
        closing: end(&statement.closing),
        charges: statement.models.iter().map(|(model, charges)| of_model(model, charges)).collect(),
        charged: amount(statement.charged()),
        credits: listed.chain(further).collect(),
        credited: amount(statement.credited()),
        corrections: Corrections { lines: statement.corrections, amount: amount(statement.corrected) },
        due: if owes { amount(-i128::from(closing.get())) } else { Nano::ZERO.to_string() },
    }
}

fn of_model(model: &str, charges: &ledger::ModelCharges) -> ModelCharges {
    let class = |(class, rate, share, units, cost): (account::Class, Nano, u16, u128, i128)| ClassCharges {
        class: class.as_str().to_owned(),
        units: u64::try_from(units).unwrap_or(u64::MAX),
        price: rate.to_string(),
        share,
        amount: amount(cost),
    };
    ModelCharges {
        model: model.to_owned(),
        requests: charges.requests,
        classes: charges.classes().map(class).collect(),
        rounding: amount(charges.rounding()),
        amount: amount(charges.amount),
    }
}

fn end(head: &ledger::Head) -> StatementEnd {
    StatementEnd { line: head.number, balance: head.balance.to_string(), head: head.hash.to_string() }
}

/// A sum, which stops at the ends of what an amount can hold.
pub(super) fn amount(sum: i128) -> String {
    let limit = if sum < 0 { i64::MIN } else { i64::MAX };
    Nano::new(i64::try_from(sum).unwrap_or(limit)).to_string()
}
