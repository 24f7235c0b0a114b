//! Prices of models. Versions are added and never changed.

use account::{Action, Class, Nano, PriceId, PriceVersion, Rates, Reach};
use axum::{Json, extract::State, response::Response};
use store::Change;
use wire::{
    admin::{List, NewPrice, Price, PriceQuery},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::Posted,
    convert,
    error::ApiError,
    page::{self, Asked},
};

/// Versions of prices, in the order in which they were set.
#[utoipa::path(
    get, path = "/admin/v1/prices", tag = "admin", params(PriceQuery),
    responses(
        (status = 200, description = "The answer", body = List<Price>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    _: Caller,
    Asked(query): Asked<PriceQuery>,
) -> Result<Json<List<Price>>, ApiError> {
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().price_page(query.model.as_deref(), after, size + 1).await?;
    let convert = |(model, version): &(Box<str>, PriceVersion)| convert::price(model, version);
    Ok(Json(page::part(read, size, |(_, version)| version.id.to_string(), convert)))
}

/// Sets what a model costs from now on, or from a later moment.
#[utoipa::path(
    post, path = "/admin/v1/prices", tag = "admin", request_body = NewPrice,
    responses(
        (status = 201, description = "Set", body = Price),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    posted: Posted<NewPrice>,
) -> Result<Response, ApiError> {
    caller.may(Action::ManagePrices, Reach::Installation)?;
    let new = posted.body;
    if new.model.is_empty() || new.model.len() > 256 {
        return Err(ApiError::invalid("model", "a model's name has 1 to 256 bytes"));
    }
    let now = store::now();
    let from = new.from.as_deref().map_or(Ok(now), |text| convert::moment("from", text))?;
    if from < now {
        let message = "a price holds from now on or later; what was charged before is corrected in the ledger";
        return Err(ApiError::invalid("from", message));
    }
    let price = account::Price::new(rates(&new)?, new.batch_share.unwrap_or(1000));
    let price = price.map_err(|error| ApiError::Invalid { parameter: None, message: error.to_string() })?;
    let version = PriceVersion { id: PriceId::generate()?, from, price };
    let answer = convert::price(&new.model, &version);
    let change = Change::AddPrice { model: new.model.into(), version };
    let done = control.make(&caller, change, posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

fn rates(new: &NewPrice) -> Result<Rates, ApiError> {
    let cached_input = new.cached_input.as_ref().unwrap_or(&new.input);
    let given = [
        (Class::Input, Some(&new.input)),
        (Class::CachedInput, Some(cached_input)),
        (Class::Output, Some(&new.output)),
        (Class::Seconds, new.seconds.as_ref()),
        (Class::Images, new.images.as_ref()),
        (Class::Requests, new.requests.as_ref()),
    ];
    given.into_iter().try_fold(Rates::default(), |rates, (class, text)| {
        let rate = text.map_or(Ok(Nano::ZERO), |text| convert::amount(class.as_str(), text))?;
        Ok(rates.with(class, rate))
    })
}
