//! Responses that are kept: written when they are made, read by the project whose they are.

use std::sync::Arc;

use account::{ResponseId, Tenant};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Store, StoredResponse};
use wire::openai::{ResponseItem, ResponseObject, ResponseStatus};

use super::convert::Asked;
use crate::{Service, caller::Caller, error::ApiError, tenancy::now};

/// Responses that are looked at in one turn at a start.
const TURN: u32 = 100;

/// What keeps a response, or does not, as its caller wants.
#[derive(Clone)]
pub(super) struct Keeper {
    service: Service,
    /// What is known before there is an answer; none where it is not to be kept.
    row: Option<Arc<StoredResponse>>,
}

impl Keeper {
    /// What keeps the response to a request.
    pub(super) fn new(service: &Service, caller: &Caller, asked: &Asked) -> Self {
        let (created, tenant) = (now(), caller.tenant());
        let row = asked.response.store.then(|| {
            Arc::new(StoredResponse {
                id: asked.id,
                org: tenant.org,
                project: tenant.project,
                previous: asked.previous,
                created,
                expires: created.after(service.config().response_retention),
                running: false,
                input: json_text(&asked.input),
                response: Box::default(),
            })
        });
        Self { service: service.clone(), row }
    }

    /// Keeps a response that has ended, and notes in it when it did and whether it is kept.
    pub(super) async fn keep(&self, response: &mut ResponseObject) {
        end(response);
        let Some(row) = &self.row else { return };
        let stored = StoredResponse { response: json_text(response), ..StoredResponse::clone(row) };
        if let Err(error) = self.service.responses().keep(stored).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a response is not kept");
            response.store = false;
        }
    }

    /// Keeps a response that is to be made in the background.
    pub(super) async fn keep_running(&self, response: &ResponseObject) -> Result<(), ApiError> {
        let Some(row) = &self.row else { return Err(inference::Error::Internal.into()) };
        let (running, response) = (true, json_text(response));
        let stored = StoredResponse { running, response, ..StoredResponse::clone(row) };
        self.service.responses().keep(stored).await.map_err(failed)
    }

    /// Writes how far a response in the background is.
    pub(super) async fn change(&self, response: &ResponseObject, running: bool) -> Result<(), store::Error> {
        let Some(row) = &self.row else { return Ok(()) };
        let stored = StoredResponse { running, response: json_text(response), ..StoredResponse::clone(row) };
        // Whoever deleted it in the meantime does not want it back.
        self.service.responses().change(stored).await.map(drop)
    }
}

/// Notes when a response ended.
pub(super) fn end(response: &mut ResponseObject) {
    if response.status == ResponseStatus::Completed {
        response.completed_at = Some(u64::try_from(now().as_millis() / 1000).unwrap_or_default());
    }
}

/// Our own types serialise.
fn json_text(value: &impl serde::Serialize) -> Box<str> {
    serde_json::to_string(value).unwrap_or_default().into()
}

/// What is read back of a response.
#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    /// How far it is.
    pub(super) status: ResponseStatus,
    /// Whether it goes on without the client.
    pub(super) background: bool,
    /// What was answered.
    pub(super) output: Vec<ResponseItem>,
}

/// Reads a response back.
pub(super) fn standing(row: &StoredResponse) -> Result<Standing, ApiError> {
    serde_json::from_str(&row.response).map_err(|error| corrupt(row, &error))
}

fn corrupt(row: &StoredResponse, error: &serde_json::Error) -> ApiError {
    tracing::error!(response_id = %row.id, %error, "a response that is kept cannot be read");
    inference::Error::Internal.into()
}

/// The response of this id.
pub(super) async fn find(service: &Service, tenant: &Tenant, id: &str) -> Result<StoredResponse, ApiError> {
    let missing = || ApiError::response_not_found(id, None);
    let id = ResponseId::parse(id).map_err(|_| missing())?;
    service.responses().read(tenant, id).await.map_err(failed)?.ok_or_else(missing)
}

/// Deletes the response of this id.
pub(super) async fn delete(service: &Service, tenant: &Tenant, id: &str) -> Result<(), ApiError> {
    let missing = || ApiError::response_not_found(id, None);
    let known = ResponseId::parse(id).map_err(|_| missing())?;
    let deleted = service.responses().delete(tenant, known).await.map_err(failed)?;
    deleted.then_some(()).ok_or_else(missing)
}

/// All that was asked and answered before a request that continues a response. It is refused where some of that is gone:
/// a conversation is never cut silently.
pub(super) async fn earlier(
    service: &Service,
    tenant: &Tenant,
    previous: Option<ResponseId>,
) -> Result<Vec<ResponseItem>, ApiError> {
    const PARAMETER: &str = "previous_response_id";
    let Some(previous) = previous else { return Ok(Vec::new()) };
    let chain = service.responses().chain(tenant, previous).await.map_err(failed)?;
    let chain = chain.ok_or_else(|| ApiError::response_not_found(&previous.to_string(), Some(PARAMETER)))?;
    if !chain.complete {
        let message = "the response continues others, of which some were deleted or have expired, or there are too many; \
                       send the conversation as input";
        return Err(ApiError::invalid(PARAMETER, message));
    }
    let mut items = Vec::new();
    for row in &chain.responses {
        let answered = standing(row)?;
        if !matches!(answered.status, ResponseStatus::Completed | ResponseStatus::Incomplete) {
            let message = format!("the response {} has no answer that could be continued", row.id);
            return Err(ApiError::invalid(PARAMETER, message));
        }
        items.extend(input(row)?);
        items.extend(answered.output);
    }
    Ok(items)
}

/// The items that a response answers, oldest first: those of the responses that it continues, as far as they are kept, with
/// what was answered, and its own.
pub(super) async fn answered(service: &Service, tenant: &Tenant, id: &str) -> Result<Vec<ResponseItem>, ApiError> {
    let missing = || ApiError::response_not_found(id, None);
    let id = ResponseId::parse(id).map_err(|_| missing())?;
    let chain = service.responses().chain(tenant, id).await.map_err(failed)?.ok_or_else(missing)?;
    let mut items = Vec::new();
    for row in &chain.responses {
        items.extend(input(row)?);
        if row.id != id {
            items.extend(standing(row)?.output);
        }
    }
    Ok(items)
}

fn input(row: &StoredResponse) -> Result<Vec<ResponseItem>, ApiError> {
    serde_json::from_str(&row.input).map_err(|error| corrupt(row, &error))
}

fn failed(error: store::Error) -> ApiError {
    match error {
        store::Error::TooLarge { .. } => ApiError::invalid("input", format!("{error}; send store: false")),
        error => {
            tracing::error!(error = &error as &dyn std::error::Error, "the responses that are kept cannot be used");
            ApiError::NotDurable
        }
    }
}

/// Ends the responses that were being made in the background when the process before ended. To be called at the start,
/// before there are others. Returns how many there were.
pub async fn fail_interrupted_responses(store: &Store) -> Result<usize, store::Error> {
    let error = json!({
        "code": "server_error",
        "message": "the server was restarted while the response was being made; ask again",
    });
    let mut failed = 0;
    loop {
        let rows = store.running_responses(TURN).await?;
        if rows.is_empty() {
            return Ok(failed);
        }
        for row in rows {
            let mut response: Value = serde_json::from_str(&row.response).unwrap_or_else(|_| json!({}));
            (response["status"], response["error"]) = (json!("failed"), error.clone());
            store.change_response(StoredResponse { running: false, response: json_text(&response), ..row }).await?;
            failed += 1;
        }
    }
}
