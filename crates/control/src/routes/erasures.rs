//! End users and tags that are erased from usage.

use account::{Action, Labels, OrgId, Reach};
use axum::{
    Json,
    extract::{Path, State},
};
use wire::{
    admin::{Erasure, NewErasure, TagValue},
    openai::ErrorResponse,
};

use crate::{Caller, Control, body::Body, convert, error::ApiError, routes::organisations};

/// Erases an end user, whom no request names then or is tagged with what only theirs were, or one value of a tag. Sums stay, and so
/// does the ledger, which never had either. Sent again, it erases what came since.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/erasures", tag = "admin", request_body = NewErasure,
    params(("org" = String, Path, description = "Whose usage")),
    responses(
        (status = 200, description = "Erased", body = Erasure),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn erase(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Body(wanted): Body<NewErasure>,
) -> Result<Json<Erasure>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ChangeOrganisation, Reach::Organisation(org))?;
    organisations::find(&control, org).await?;
    let what = Erased::of(wanted)?;
    let (store, act) = (control.store().clone(), caller.act(None, None));
    // It is completed also when the caller hangs up.
    let erased = tokio::spawn(async move {
        match what {
            Erased::EndUser(name) => store.erase_end_user(org, &name, act).await,
            Erased::Tag(TagValue { name, value }) => store.erase_tag(org, &name, &value, act).await,
        }
    });
    let requests = erased.await.map_err(|_| ApiError::Internal)??;
    Ok(Json(Erasure { requests }))
}

/// What is erased.
enum Erased {
    EndUser(String),
    Tag(TagValue),
}

impl Erased {
    fn of(wanted: NewErasure) -> Result<Self, ApiError> {
        match (wanted.end_user, wanted.tag) {
            (Some(name), None) if name.is_empty() || name.len() > Labels::MOST_VALUE_BYTES => {
                let message = format!("the name of an end user has 1 to {} bytes", Labels::MOST_VALUE_BYTES);
                Err(ApiError::invalid("end_user", message))
            }
            (None, Some(tag)) if tag.name.is_empty() || tag.name.len() > Labels::MOST_NAME_BYTES => {
                let message = format!("the name of a tag has 1 to {} bytes", Labels::MOST_NAME_BYTES);
                Err(ApiError::invalid("tag.name", message))
            }
            (None, Some(tag)) if tag.value.len() > Labels::MOST_VALUE_BYTES => {
                let message = format!("the value of a tag has at most {} bytes", Labels::MOST_VALUE_BYTES);
                Err(ApiError::invalid("tag.value", message))
            }
            (Some(name), None) => Ok(Self::EndUser(name)),
            (None, Some(tag)) => Ok(Self::Tag(tag)),
            _ => Err(ApiError::invalid("end_user", "say either `end_user` or `tag`")),
        }
    }
}
