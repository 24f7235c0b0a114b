//! Organisations.

use account::{Action, OrgId, Reach, Zone};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use store::{Change, Made};
use wire::{
    admin::{List, NewOrganisation, Organisation, OrganisationChange, PageQuery},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Posted},
    convert,
    error::ApiError,
    page::{self, Asked},
    precondition::{IfMatch, tagged},
};

/// The organisations that the caller reaches: all for whoever runs the installation, else its own.
#[utoipa::path(
    get, path = "/admin/v1/organisations", tag = "admin", params(PageQuery),
    responses(
        (status = 200, description = "The answer", body = List<Organisation>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<List<Organisation>>, ApiError> {
    let size = page::size(query.limit)?;
    let after = convert::after(&query.after)?;
    let read = if caller.reaches_all(Action::ReadOrganisation) {
        control.store().organisation_page(query.name.as_deref(), after, size + 1).await?
    } else if let Some(key) = caller.key() {
        let own = control.store().organisation(key.org).await?;
        let asked = |made: &Made<store::Organisation>| {
            after.is_none() && query.name.as_deref().is_none_or(|name| name == made.what.name.as_str())
        };
        own.into_iter().filter(asked).collect()
    } else {
        let (person, _) = caller.session()?;
        let own = control.store().organisation_page_of(person.id, query.name.as_deref(), after, size + 1).await?;
        own.into_iter().map(|(made, _)| made).collect()
    };
    Ok(Json(page::part(read, size, |made| made.what.id.to_string(), convert::organisation)))
}

/// Makes an organisation.
#[utoipa::path(
    post, path = "/admin/v1/organisations", tag = "admin", request_body = NewOrganisation,
    responses(
        (status = 201, description = "Made", body = Organisation),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    posted: Posted<NewOrganisation>,
) -> Result<Response, ApiError> {
    caller.may(Action::ManageOrganisations, Reach::Installation)?;
    let new = posted.body;
    let zone = new.time_zone.as_deref().map_or(Ok(Zone::UTC), Zone::parse);
    let organisation = store::Organisation {
        id: OrgId::generate()?,
        name: convert::name(&new.name)?,
        zone: zone.map_err(|error| ApiError::invalid("time_zone", error))?,
        billing: convert::billing(new.billing.unwrap_or(wire::admin::Billing::Postpaid)),
    };
    let answer = convert::organisation(&Made { what: organisation.clone(), created: store::now() });
    let done = control.make(&caller, Change::AddOrganisation(organisation), posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// One organisation.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}", tag = "admin",
    params(("org" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Organisation),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ReadOrganisation, Reach::Organisation(org))?;
    let found = convert::organisation(&find(&control, org).await?);
    Ok(tagged(&found, &found))
}

/// Changes an organisation's name, or how it pays.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}", tag = "admin", request_body = OrganisationChange,
    params(("org" = String, Path, description = "Its id"), ("If-Match" = String, Header, description = "Its `ETag`")),
    responses(
        (status = 200, description = "Changed", body = Organisation),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    precondition: IfMatch,
    Body(change): Body<OrganisationChange>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ChangeOrganisation, Reach::Organisation(org))?;
    if change.billing.is_some() {
        caller.may(Action::ManageOrganisations, Reach::Organisation(org))?;
    }
    let turn = control.turn().await;
    let mut made = find(&control, org).await?;
    let before = convert::organisation(&made);
    precondition.check(&before)?;
    if let Some(name) = &change.name {
        made.what.name = convert::name(name)?;
    }
    if let Some(billing) = change.billing {
        made.what.billing = convert::billing(billing);
    }
    let after = convert::organisation(&made);
    control.change(turn, &caller, Change::ChangeOrganisation(made.what), &before, &after).await?;
    Ok(tagged(&after, &after))
}

/// The organisation, or that there is none.
pub(crate) async fn find(control: &Control, org: OrgId) -> Result<Made<store::Organisation>, ApiError> {
    control.store().organisation(org).await?.ok_or(ApiError::NOT_FOUND)
}
