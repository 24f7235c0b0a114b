//! Projects of an organisation.

use account::{Action, OrgId, ProjectId, Reach};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use store::{Change, Made};
use wire::{
    admin::{List, NewProject, PageQuery, Project, ProjectChange},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Posted},
    convert,
    error::ApiError,
    page::{self, Asked},
    precondition::{IfMatch, tagged},
    routes::organisations,
};

/// The projects of an organisation.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/projects", tag = "admin",
    params(("org" = String, Path, description = "Whose"), PageQuery),
    responses(
        (status = 200, description = "The answer", body = List<Project>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<List<Project>>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ReadProjects, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let read = control.store().project_page(org, query.name.as_deref(), after, size + 1).await?;
    Ok(Json(page::part(read, size, |made| made.what.id.to_string(), convert::project)))
}

/// Makes a project.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/projects", tag = "admin", request_body = NewProject,
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 201, description = "Made", body = Project),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewProject>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ManageProjects, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let project = store::Project { id: ProjectId::generate()?, org, name: convert::name(&posted.body.name)? };
    let answer = convert::project(&Made { what: project.clone(), created: store::now() });
    let done = control.make(&caller, Change::AddProject(project), posted.wish, &answer).await?;
    Ok(done.answer(answer))
}

/// One project.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/projects/{project}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("project" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Project),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path((org, project)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (org, project) = (convert::id(OrgId::parse(&org))?, convert::id(ProjectId::parse(&project))?);
    caller.may(Action::ReadProjects, Reach::Project(org, project))?;
    let found = convert::project(&find(&control, org, project).await?);
    Ok(tagged(&found, &found))
}

/// Changes a project's name.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/projects/{project}", tag = "admin", request_body = ProjectChange,
    params(
        ("org" = String, Path, description = "Whose"), ("project" = String, Path, description = "Its id"),
        ("If-Match" = String, Header, description = "Its `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Project),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path((org, project)): Path<(String, String)>,
    precondition: IfMatch,
    Body(change): Body<ProjectChange>,
) -> Result<Response, ApiError> {
    let (org, project) = (convert::id(OrgId::parse(&org))?, convert::id(ProjectId::parse(&project))?);
    caller.may(Action::ManageProjects, Reach::Project(org, project))?;
    let turn = control.turn().await;
    let mut made = find(&control, org, project).await?;
    let before = convert::project(&made);
    precondition.check(&before)?;
    if let Some(name) = &change.name {
        made.what.name = convert::name(name)?;
    }
    let after = convert::project(&made);
    control.change(turn, &caller, Change::ChangeProject(made.what), &before, &after).await?;
    Ok(tagged(&after, &after))
}

/// The project, or that there is none.
pub(crate) async fn find(control: &Control, org: OrgId, project: ProjectId) -> Result<Made<store::Project>, ApiError> {
    control.store().project(org, project).await?.ok_or(ApiError::NOT_FOUND)
}
