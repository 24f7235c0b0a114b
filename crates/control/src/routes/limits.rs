//! Limits of an organisation, a project or a key.

use account::{Action, OrgId, Owner, ProjectId, Reach};
use axum::{
    extract::{Path, State},
    response::Response,
};
use store::Change;
use wire::{
    admin::{Limits, LimitsChange},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::Body,
    convert,
    error::ApiError,
    precondition::{IfMatch, tagged},
    routes::{keys, organisations, projects},
};

/// The limits of an organisation, for all of its projects together.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/limits", tag = "admin",
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 200, description = "The answer", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_organisation(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
) -> Result<Response, ApiError> {
    let (org, owner) = organisation(&control, &caller, Action::ReadLimits, &org).await?;
    read(&control, org, owner).await
}

/// Changes the limits of an organisation; what runs meets them at its next tokens.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/limits", tag = "admin", request_body = LimitsChange,
    params(("org" = String, Path, description = "Whose"), ("If-Match" = String, Header, description = "Their `ETag`")),
    responses(
        (status = 200, description = "Changed", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_organisation(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    precondition: IfMatch,
    Body(wanted): Body<LimitsChange>,
) -> Result<Response, ApiError> {
    let (org, owner) = organisation(&control, &caller, Action::ManageLimits, &org).await?;
    change(&control, &caller, org, owner, &precondition, &wanted).await
}

/// The limits of a project, for all of its keys together.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/projects/{project}/limits", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("project" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_project(
    State(control): State<Control>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (org, owner) = project(&control, &caller, Action::ReadLimits, &org, &id).await?;
    read(&control, org, owner).await
}

/// Changes the limits of a project; what runs meets them at its next tokens.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/projects/{project}/limits", tag = "admin", request_body = LimitsChange,
    params(
        ("org" = String, Path, description = "Whose"), ("project" = String, Path, description = "Its id"),
        ("If-Match" = String, Header, description = "Their `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_project(
    State(control): State<Control>,
    caller: Caller,
    Path((org, id)): Path<(String, String)>,
    precondition: IfMatch,
    Body(wanted): Body<LimitsChange>,
) -> Result<Response, ApiError> {
    let (org, owner) = project(&control, &caller, Action::ManageLimits, &org, &id).await?;
    change(&control, &caller, org, owner, &precondition, &wanted).await
}

/// The limits of a key.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/keys/{key}/limits", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn of_key(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let found = keys::find(&control, &caller, Action::ReadLimits, &org, &key).await?.key;
    read(&control, found.org, Owner::Key(found.id)).await
}

/// Changes the limits of a key; what runs meets them at its next tokens.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/keys/{key}/limits", tag = "admin", request_body = LimitsChange,
    params(
        ("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id"),
        ("If-Match" = String, Header, description = "Their `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Limits),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change_key(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
    precondition: IfMatch,
    Body(wanted): Body<LimitsChange>,
) -> Result<Response, ApiError> {
    let found = keys::find(&control, &caller, Action::ManageLimits, &org, &key).await?.key;
    change(&control, &caller, found.org, Owner::Key(found.id), &precondition, &wanted).await
}

async fn organisation(
    control: &Control,
    caller: &Caller,
    action: Action,
    org: &str,
) -> Result<(OrgId, Owner), ApiError> {
    let org = convert::id(OrgId::parse(org))?;
    caller.may(action, Reach::Organisation(org))?;
    organisations::find(control, org).await?;
    Ok((org, Owner::Organisation(org)))
}

async fn project(
    control: &Control,
    caller: &Caller,
    action: Action,
    org: &str,
    project: &str,
) -> Result<(OrgId, Owner), ApiError> {
    let (org, project) = (convert::id(OrgId::parse(org))?, convert::id(ProjectId::parse(project))?);
    caller.may(action, Reach::Project(org, project))?;
    projects::find(control, org, project).await?;
    Ok((org, Owner::Project(project)))
}

async fn read(control: &Control, org: OrgId, owner: Owner) -> Result<Response, ApiError> {
    let limits = convert::limits(&control.store().limits_of(org, &owner).await?);
    Ok(tagged(&limits, &limits))
}

async fn change(
    control: &Control,
    caller: &Caller,
    org: OrgId,
    owner: Owner,
    precondition: &IfMatch,
    wanted: &LimitsChange,
) -> Result<Response, ApiError> {
    let turn = control.turn().await;
    let limits = control.store().limits_of(org, &owner).await?;
    let before = convert::limits(&limits);
    precondition.check(&before)?;
    let limits = convert::changed_limits(limits, wanted)?;
    let after = convert::limits(&limits);
    control.change(turn, caller, Change::SetLimits { org, owner, limits }, &before, &after).await?;
    Ok(tagged(&after, &after))
}
