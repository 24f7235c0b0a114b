//! Credit, and codes that are worth some.

use account::{Action, ApiKey, CodeId, OrgId, Reach, ledger::CreditSource};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use store::{Change, CodeRecord};
use wire::{
    admin::{Code, Credit, IssuedCode, List, NewCode, NewCredit, PageQuery, Redemption, Secret},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::Posted,
    convert,
    error::ApiError,
    page::{self, Asked},
    routes::organisations,
};

/// Longest name of a payment.
const MOST_EXTERNAL_ID_BYTES: usize = 256;

/// Grants credit. A payment that is told twice credits once: then the answer is 200.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/credits", tag = "admin", request_body = NewCredit,
    params(("org" = String, Path, description = "To whom")),
    responses(
        (status = 201, description = "Credited", body = Credit),
        (status = 200, description = "Was credited before", body = Credit),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn grant(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewCredit>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ManageCredits, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let NewCredit { amount, external_id } = posted.body;
    let amount = convert::credit(&amount)?;
    if external_id.is_empty() || external_id.len() > MOST_EXTERNAL_ID_BYTES || external_id.starts_with(CodeId::PREFIX) {
        let message = format!(
            "the name of a payment has 1 to {MOST_EXTERNAL_ID_BYTES} bytes and does not begin with `{}`",
            CodeId::PREFIX
        );
        return Err(ApiError::invalid("external_id", message));
    }
    let answer =
        Credit { organisation_id: org.to_string(), amount: amount.to_string(), external_id: external_id.clone() };
    let (source, external_id) = (CreditSource::Grant, external_id.into());
    let change = Change::AddCredit(store::Credit { org, source, external_id, amount });
    let done = control.make(&caller, change, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// Redeems a code: its credit goes to whoever is first.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/redeem", tag = "admin", request_body = Redemption,
    params(("org" = String, Path, description = "To whom")),
    responses(
        (status = 201, description = "Credited", body = Credit),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn redeem(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<Redemption>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::RedeemCredits, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let unknown = || ApiError::invalid("code", "this is no code of this installation");
    let secret = ApiKey::parse(posted.body.code.expose().trim()).map_err(|_| unknown())?;
    let record = control.store().code(&control.pepper().hash(&secret.hash())).await?.ok_or_else(unknown)?;
    let (code, amount) = (record.code.id, record.code.amount);
    let answer = Credit { organisation_id: org.to_string(), amount: amount.to_string(), external_id: code.to_string() };
    let change = Change::RedeemCode { org, code, amount };
    let done = control.make(&caller, change, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// Codes that were made, and what became of them.
#[utoipa::path(
    get, path = "/admin/v1/codes", tag = "admin", params(PageQuery),
    responses(
        (status = 200, description = "The answer", body = List<Code>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn codes(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<List<Code>>, ApiError> {
    caller.may(Action::ManageCredits, Reach::Installation)?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().codes(after, size + 1).await?;
    Ok(Json(page::part(read, size, |record| record.code.id.to_string(), convert::code)))
}

/// Makes a code and shows its secret, this once.
#[utoipa::path(
    post, path = "/admin/v1/codes", tag = "admin", request_body = NewCode,
    responses(
        (status = 201, description = "Made", body = IssuedCode),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create_code(
    State(control): State<Control>,
    caller: Caller,
    posted: Posted<NewCode>,
) -> Result<Response, ApiError> {
    caller.may(Action::ManageCredits, Reach::Installation)?;
    let secret = ApiKey::generate()?;
    let code = store::Code {
        id: CodeId::generate()?,
        hash: control.pepper().hash(&secret.hash()),
        amount: convert::credit(&posted.body.amount)?,
        expires: posted.body.expires_at.as_deref().map(|text| convert::moment("expires_at", text)).transpose()?,
    };
    let answer = convert::code(&CodeRecord { code: code.clone(), created: store::now(), redeemed: None });
    let done = control.make(&caller, Change::AddCode(code), posted.wish, &answer).await?;
    Ok(done.answer(IssuedCode { code: answer, secret: Some(Secret::new(secret.expose())) }))
}
