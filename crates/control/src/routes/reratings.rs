//! Charges that are computed again after a wrong price: first shown, then corrected in the ledger.

use account::{Action, Nano, OrgId, PriceId, PriceVersion, Reach, ledger};
use axum::{
    Json,
    extract::{Path, State},
};
use store::{Change, Difference, Reratings};
use wire::{
    admin::{NewRerating, Rerating},
    openai::ErrorResponse,
};

use super::statements::amount;
use crate::{Caller, Control, body::Body, convert, error::ApiError, routes::organisations};

/// Computes charges of a model again under another price. Without `difference` it says what that would change and writes
/// nothing; with the `difference` that was said, it adds a correction to the ledger for each charge that is wrong. Done twice, it
/// corrects once; cut off, it is completed by a new preview and its `difference`.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/reratings", tag = "admin", request_body = NewRerating,
    params(("org" = String, Path, description = "Whose charges")),
    responses(
        (status = 200, description = "Seen, or done: `applied` says which", body = Rerating),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn rerate(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Body(wanted): Body<NewRerating>,
) -> Result<Json<Rerating>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ManageCredits, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    // What is seen must be what is done.
    let turn = control.turn().await;
    let asked = asked(&control, org, &wanted).await?;
    let seen = control.store().preview_rerating(&asked).await?;
    let Some(expected) = &wanted.difference else {
        return Ok(Json(written(false, &seen, control.store().head(org).await?.number)));
    };
    let expected = convert::amount("difference", expected)?;
    if i128::from(expected.get()) != seen.added {
        let message = format!("the difference is {} by now; look at it again", amount(seen.added));
        return Err(ApiError::invalid("difference", message));
    }
    let act = caller.act(None, Some(crate::control::text(&wanted)));
    let task = {
        let control = control.clone();
        // It is completed also when the caller hangs up: what is durable must become known.
        tokio::spawn(async move {
            let told = |correction: &store::Correction| control.publish(&Change::Correct(correction.clone()));
            let done = control.store().rerate(&asked, act, told).await;
            drop(turn);
            done
        })
    };
    let done = task.await.map_err(|_| ApiError::Internal)??;
    Ok(Json(written(true, &done, control.store().head(org).await?.number)))
}

/// The lines that it is about, and the price that should have held.
async fn asked(control: &Control, org: OrgId, wanted: &NewRerating) -> Result<Reratings, ApiError> {
    let NewRerating { model, from, until, wrong_price_id, price_id, .. } = wanted;
    let from = convert::moment("from", from)?;
    let until = until.as_deref().map_or(Ok(store::now()), |text| convert::moment("until", text))?;
    let wrong = wrong_price_id.as_deref().map(|id| convert::named("wrong_price_id", PriceId::parse(id))).transpose()?;
    let right = price(control, model, convert::named("price_id", PriceId::parse(price_id))?).await?;
    let store = control.store();
    let first = store.first_line_from(org, from).await?;
    let last = store.first_line_from(org, until).await? - 1;
    Ok(Reratings { org, first, last, how: ledger::Rerating { model: model.as_str().into(), wrong, right } })
}

async fn price(control: &Control, model: &str, id: PriceId) -> Result<PriceVersion, ApiError> {
    let prices = control.store().prices().await?;
    let version = prices.get(model).and_then(|history| history.versions().find(|version| version.id == id).cloned());
    version.ok_or_else(|| {
        ApiError::invalid("price_id", "the model has no price version with this id; set the right price first")
    })
}

fn written(applied: bool, difference: &Difference, line: u64) -> Rerating {
    let Difference { charges, corrected, agreed, before, added } = *difference;
    Rerating {
        applied,
        charges,
        corrected,
        agreed,
        before: amount(before),
        after: amount(before + added),
        difference: if added == 0 { Nano::ZERO.to_string() } else { amount(added) },
        line,
    }
}
