//! The ledger and the balance.

use account::{
    Action, Class, OrgId, Reach,
    ledger::{Entry, Line, Terms},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, TryStreamExt, stream};
use store::{Made, Organisation, Store};
use wire::{
    admin::{Balance, LedgerQuery, List},
    csv,
    openai::ErrorResponse,
    tenant::Format,
};

use crate::{
    Caller, Control, convert,
    error::ApiError,
    page::{self, Asked},
    routes::organisations,
};

/// Lines that are read at a time for comma-separated values.
const TURN: u32 = 500;

/// What an organisation has, and the end of its ledger.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/balance", tag = "admin",
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 200, description = "The answer", body = Balance),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn balance(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<Json<Balance>, ApiError> {
    let (org, _) = readable(&control, &caller, &org).await?;
    let head = control.store().head(org).await?;
    Ok(Json(Balance {
        organisation_id: org.to_string(),
        balance: head.balance.to_string(),
        lines: head.number,
        head: head.hash.to_string(),
    }))
}

/// Lines of the ledger, oldest first, in their canonical bytes: `docs/verify_ledger.py` checks them. As `text/csv` their fields,
/// all lines unless `limit` says otherwise.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/ledger", tag = "admin",
    params(("org" = String, Path, description = "Whose"), LedgerQuery),
    responses(
        (status = 200, description = "The answer", body = List<String>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn lines(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<LedgerQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (org, _) = readable(&control, &caller, &org).await?;
    let after = query.after.unwrap_or(0);
    let accepts_csv = || headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
    if query.format.map_or_else(accepts_csv, |format| format == Format::Csv) {
        let last = match query.limit {
            Some(limit) => after.saturating_add(page::size(Some(limit))?.into()),
            None => u64::MAX,
        };
        // What is written meanwhile belongs to the next export.
        let last = last.min(control.store().head(org).await?.number);
        let body = Body::from_stream(fields(control.store().clone(), org, after, last));
        return Ok(([(header::CONTENT_TYPE, csv::CONTENT_TYPE)], body).into_response());
    }
    let size = page::size(query.limit)?;
    let read = control.store().lines(org, after.saturating_add(1), size + 1).await?;
    let last = after.saturating_add(size.into());
    Ok(Json(page::part(read, size, |_| last.to_string(), Clone::clone)).into_response())
}

/// The organisation, for whoever may read its bills.
pub(super) async fn readable(
    control: &Control,
    caller: &Caller,
    org: &str,
) -> Result<(OrgId, Made<Organisation>), ApiError> {
    let org = convert::id(OrgId::parse(org))?;
    caller.may(Action::ReadBills, Reach::Organisation(org))?;
    Ok((org, organisations::find(control, org).await?))
}

/// Lines behind `after` up to `last` as comma-separated values, read as they are sent. A reader that is slow holds some lines
/// and nothing of the database; a failure cuts the answer off.
fn fields(
    store: Store,
    org: OrgId,
    after: u64,
    last: u64,
) -> impl futures::Stream<Item = Result<String, store::Error>> {
    let rest = stream::try_unfold(after, move |after| {
        let store = store.clone();
        async move {
            let most = u32::try_from(last.saturating_sub(after)).unwrap_or(TURN).min(TURN);
            if most == 0 {
                return Ok(None);
            }
            let lines = store.lines(org, after + 1, most).await?;
            let text = lines.iter().map(|line| of_line(line)).collect::<Result<String, _>>()?;
            let next = if lines.is_empty() { last } else { after + lines.len() as u64 };
            Ok(Some((text, next)))
        }
    });
    let failed = |error: &store::Error| {
        tracing::error!(error = error as &dyn std::error::Error, "an export of the ledger was cut off");
    };
    stream::iter([Ok(headings())]).chain(rest.inspect_err(failed))
}

fn headings() -> String {
    let first =
        ["number", "at", "kind", "request", "project", "key", "model", "cause", "service", "source", "external"];
    let terms = ["corrects", "price", "share"];
    let line = first.into_iter().chain(terms).fold(csv::Line::default(), |line, heading| line.text(heading));
    let line = Class::ALL
        .into_iter()
        .fold(line, |line, class| line.text(class.as_str()).text(&format!("{}_price", class.as_str())));
    line.text("amount").text("balance").text("hash").end()
}

fn of_line(text: &str) -> Result<String, store::Error> {
    let line = Line::parse(text).map_err(|_| store::Error::Corrupt { what: "line of the ledger" })?;
    let begun = csv::Line::default().plain(line.number).plain(line.at);
    let (begun, terms) = match &line.entry {
        Entry::Charge(charge) => {
            let begun = begun.plain("charge").plain(charge.request).plain(charge.project).plain(charge.key);
            let begun = begun.text(&charge.model).plain(charge.cause.code()).plain(charge.service.as_str());
            (begun.plain("").plain("").plain(""), Some(&charge.terms))
        }
        Entry::Credit { source, external } => {
            let external: String = external.iter().map(|byte| format!("{byte:02x}")).collect();
            let begun = empty(begun.plain("credit"), 6).plain(source.as_str()).plain(external);
            (begun.plain(""), None)
        }
        Entry::Correction { corrects, terms } => (empty(begun.plain("correction"), 8).plain(corrects), terms.as_ref()),
    };
    let priced = match terms {
        Some(Terms { price, share, counts, rates }) => Class::ALL
            .into_iter()
            .fold(begun.plain(price).plain(share), |line, class| line.plain(counts.of(class)).plain(rates.of(class))),
        None => empty(begun, 2 + 2 * Class::ALL.len()),
    };
    Ok(priced.plain(line.amount).plain(line.balance).plain(line.hash()).end())
}

fn empty(line: csv::Line, cells: usize) -> csv::Line {
    (0..cells).fold(line, |line, _| line.plain(""))
}
