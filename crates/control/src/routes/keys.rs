//! API keys. A secret is in the answer that makes it and nowhere else.

use account::{Action, ApiKey, Forbidden, KeyId, KeyedHash, OrgId, Owner, ProjectId, Reach, Scope, Scopes, UserId};
use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use store::{Change, KeyRecord, KeysOf};
use wire::{
    admin::{IssuedKey, Key, KeyChange, KeyQuery, List, Me, NewKey, Rotation, Secret},
    openai::ErrorResponse,
};

use crate::{
    Caller, Control,
    body::{Body, Posted},
    control::text,
    convert,
    error::ApiError,
    page::{self, Asked},
    precondition::{IfMatch, tagged},
    routes::projects,
};

/// What a key is for, unless its maker says otherwise.
const USUAL_SCOPES: [Scope; 3] = [Scope::Inference, Scope::ModelsRead, Scope::UsageRead];

/// Which key asks. Of a person `GET /admin/v1/session` says who it is.
#[utoipa::path(
    get, path = "/admin/v1/me", tag = "admin",
    responses(
        (status = 200, description = "The answer", body = Me),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn me(caller: Caller) -> Result<Json<Me>, ApiError> {
    let key = caller.key().ok_or(ApiError::NOT_FOUND)?;
    Ok(Json(Me {
        key_id: key.id.to_string(),
        project_id: key.project.to_string(),
        organisation_id: key.org.to_string(),
        scopes: convert::scope_names(key),
    }))
}

/// Keys of one person in one organisation that have not ended.
const MOST_OF_AN_OWNER: usize = 100;

/// The keys of an organisation that the caller may see, ended ones included: all, or the caller's own.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/keys", tag = "admin",
    params(("org" = String, Path, description = "Whose"), KeyQuery),
    responses(
        (status = 200, description = "The answer", body = List<Key>),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    Asked(query): Asked<KeyQuery>,
) -> Result<Json<List<Key>>, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    caller.may(Action::ReadOwnKeys, Reach::Organisation(org))?;
    let project = query.project_id.as_deref().map(ProjectId::parse).transpose();
    let project = convert::named("project_id", project)?;
    let owner = convert::named("owner", query.owner.as_deref().map(UserId::parse).transpose())?;
    let (size, after) = (page::size(query.limit)?, convert::after(&query.after)?);
    let owner = match (caller.may(Action::ReadKeys, Reach::Organisation(org)), caller.member(org)) {
        (Ok(()), _) => owner,
        (Err(_), Some(own)) if owner.is_none_or(|owner| owner == own) => Some(own),
        // For them nobody else has any.
        (Err(_), _) => return Ok(Json(List { data: Vec::new(), next: None })),
    };
    let of = KeysOf { project, owner, name: query.name.as_deref() };
    let read = control.store().key_page(org, of, after, size + 1).await?;
    Ok(Json(page::part(read, size, |record| record.key.id.to_string(), convert::key)))
}

/// Makes a key and shows its secret, this once. A member's is their own unless they may manage others' and say otherwise.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/keys", tag = "admin", request_body = NewKey,
    params(("org" = String, Path, description = "Whose")),
    responses(
        (status = 201, description = "Made", body = IssuedKey),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn create(
    State(control): State<Control>,
    caller: Caller,
    Path(org): Path<String>,
    posted: Posted<NewKey>,
) -> Result<Response, ApiError> {
    let org = convert::id(OrgId::parse(&org))?;
    let new = posted.body;
    let project = convert::named("project_id", ProjectId::parse(&new.project_id))?;
    caller.may(Action::ManageOwnKeys, Reach::Project(org, project))?;
    let own = caller.member(org);
    let owner = new.owner_id.as_ref().map_or(Ok(own), |named| parse_owner(named.as_deref()))?;
    if owner.is_none() || owner != own {
        caller.may(Action::ManageKeys, Reach::Project(org, project))?;
    }
    let scopes = new.scopes.as_deref().map_or(Ok(Scopes::of(&USUAL_SCOPES)), convert::scopes)?;
    caller.may_grant(scopes, org, project)?;
    projects::find(&control, org, project).await?;
    let (secret, hash) = secret(&control)?;
    let key = account::Key {
        id: KeyId::generate()?,
        org,
        project,
        owner,
        name: convert::name(&new.name)?,
        scopes,
        models: convert::models(new.models.as_deref())?,
        expires: new.expires_at.as_deref().map(|text| convert::moment("expires_at", text)).transpose()?,
        revoked: None,
        secret: hash,
        previous: None,
    };
    let answer = convert::key(&KeyRecord { key: key.clone(), created: store::now(), last_used: None });
    let turn = control.turn().await;
    check_owner(&control, &key).await?;
    let owner = Owner::Key(key.id);
    let mut changes = vec![(Change::AddKey(key), caller.act(None, Some(text(&answer))))];
    if let Some(limits) = &new.limits {
        let act = caller.act(None, Some(text(limits)));
        changes.push((Change::SetLimits { org, owner, limits: convert::new_limits(limits)? }, act));
    }
    let done = control.make_all(turn, changes, posted.wish, &answer).await?;
    Ok(done.answer(IssuedKey { key: answer, secret: Some(Secret::new(secret.expose())) }))
}

/// One key.
#[utoipa::path(
    get, path = "/admin/v1/organisations/{org}/keys/{key}", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "The answer", body = Key),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn show(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let record = find(&control, &caller, Action::ReadKeys, &org, &key).await?;
    Ok(tagged(convert::key(&record), &state(&record)))
}

/// Changes a key's owner, name, scopes, models or expiry. Whoever may not do what the key may do cannot change it.
#[utoipa::path(
    patch, path = "/admin/v1/organisations/{org}/keys/{key}", tag = "admin", request_body = KeyChange,
    params(
        ("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id"),
        ("If-Match" = String, Header, description = "Its `ETag`"),
    ),
    responses(
        (status = 200, description = "Changed", body = Key),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn change(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
    precondition: IfMatch,
    Body(change): Body<KeyChange>,
) -> Result<Response, ApiError> {
    let turn = control.turn().await;
    let mut record = find(&control, &caller, Action::ManageKeys, &org, &key).await?;
    let before = state(&record);
    precondition.check(&before)?;
    let key = &mut record.key;
    caller.may_grant(key.scopes, key.org, key.project)?;
    if let Some(owner) = &change.owner_id {
        caller.may(Action::ManageKeys, Reach::Project(key.org, key.project))?;
        key.owner = parse_owner(owner.as_deref())?;
    }
    if let Some(name) = &change.name {
        key.name = convert::name(name)?;
    }
    if let Some(scopes) = &change.scopes {
        key.scopes = convert::scopes(scopes)?;
        caller.may_grant(key.scopes, key.org, key.project)?;
    }
    if let Some(models) = &change.models {
        key.models = convert::models(models.as_deref())?;
    }
    if let Some(expires) = &change.expires_at {
        key.expires = expires.as_deref().map(|text| convert::moment("expires_at", text)).transpose()?;
    }
    check_owner(&control, &record.key).await?;
    let after = state(&record);
    control.change(turn, &caller, Change::ChangeKey(record.key.clone()), &before, &after).await?;
    Ok(tagged(convert::key(&record), &after))
}

/// Replaces a key's secret and shows the new one, this once. The one before works for the time of grace; limits and
/// counters are one.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/keys/{key}/rotate", tag = "admin", request_body = Rotation,
    params(("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id")),
    responses(
        (status = 201, description = "Rotated", body = IssuedKey),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn rotate(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
    posted: Posted<Rotation>,
) -> Result<Response, ApiError> {
    let grace = convert::grace(&posted.body, "work")?;
    let turn = control.turn().await;
    let mut record = find(&control, &caller, Action::ManageKeys, &org, &key).await?;
    // Who learns the secret may do all that the key may do.
    caller.may_grant(record.key.scopes, record.key.org, record.key.project)?;
    let before = state(&record);
    let (secret, hash) = secret(&control)?;
    record.key.rotate(hash, store::now(), grace);
    let answer = convert::key(&record);
    let act = caller.act(Some(text(&before)), Some(text(&answer)));
    let changes = vec![(Change::ChangeKey(record.key), act)];
    let done = control.make_all(turn, changes, posted.wish, &answer).await?;
    Ok(done.answer(IssuedKey { key: answer, secret: Some(Secret::new(secret.expose())) }))
}

/// Ends a key: its secrets stop to work at once, and what runs with it is cancelled. A second time changes nothing.
#[utoipa::path(
    post, path = "/admin/v1/organisations/{org}/keys/{key}/revoke", tag = "admin",
    params(("org" = String, Path, description = "Whose"), ("key" = String, Path, description = "Its id")),
    responses(
        (status = 200, description = "Ended", body = Key),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn revoke(
    State(control): State<Control>,
    caller: Caller,
    Path((org, key)): Path<(String, String)>,
) -> Result<Json<Key>, ApiError> {
    let turn = control.turn().await;
    let mut record = find(&control, &caller, Action::ManageKeys, &org, &key).await?;
    caller.may_end(&record.key)?;
    if record.key.revoked.is_none() {
        let before = convert::key(&record);
        record.key.revoke(store::now());
        let change = Change::ChangeKey(record.key.clone());
        control.change(turn, &caller, change, &before, &convert::key(&record)).await?;
    }
    Ok(Json(convert::key(&record)))
}

/// A key that the caller may do `action` to, or that there is none.
pub(crate) async fn find(
    control: &Control,
    caller: &Caller,
    action: Action,
    org: &str,
    key: &str,
) -> Result<KeyRecord, ApiError> {
    let (org, key) = (convert::id(OrgId::parse(org))?, convert::id(KeyId::parse(key))?);
    let found = control.store().key(org, key).await?.ok_or(ApiError::NOT_FOUND)?;
    caller.may_with(action, &found.key)?;
    Ok(found)
}

fn parse_owner(named: Option<&str>) -> Result<Option<UserId>, ApiError> {
    convert::named("owner_id", named.map(UserId::parse).transpose())
}

/// Refuses a key that may do more than its owner, or that is one too many for them. Who asks holds the right to change.
async fn check_owner(control: &Control, key: &account::Key) -> Result<(), ApiError> {
    let Some(owner) = key.owner.filter(|_| key.revoked.is_none()) else { return Ok(()) };
    let role = control.store().member(key.org, owner).await?.map(|(_, role)| role);
    match key.check_owner(role) {
        Ok(()) => {}
        Err(Forbidden::Grants { action }) => {
            let message = format!("a key may do no more than its owner, and this one's lacks the right {action:?}");
            return Err(ApiError::invalid("owner_id", message));
        }
        Err(_) => return Err(ApiError::invalid("owner_id", "nobody of the organisation has this id")),
    }
    let theirs = control.store().keys_of(owner).await?;
    let others = theirs.iter().filter(|other| other.key.org == key.org && other.key.id != key.id).count();
    if others < MOST_OF_AN_OWNER {
        Ok(())
    } else {
        Err(ApiError::TooMany { what: "keys of one owner", most: MOST_OF_AN_OWNER })
    }
}

/// What changes of a key count for: its use is none.
fn state(record: &KeyRecord) -> Key {
    Key { last_used_at: None, ..convert::key(record) }
}

fn secret(control: &Control) -> Result<(ApiKey, KeyedHash), ApiError> {
    let secret = ApiKey::generate()?;
    let hash = control.pepper().hash(&secret.hash());
    Ok((secret, hash))
}
