//! The models that there are. Two families have the list at the same address; each client gets the shape that it knows.

use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use wire::{
    anthropic::ModelPage,
    models::{Model, ModelList},
    openai::ErrorResponse,
};

use crate::{
    Service,
    caller::Caller,
    error::ApiError,
    family::Family,
    parameter,
    routes::{anthropic, openai},
};

/// Every model that requests may name. Who sends `anthropic-version` gets Anthropic's shape.
#[utoipa::path(
    get, path = "/v1/models", tag = "models", params(ModelPage),
    responses(
        (status = 200, description = "The answer", body = ModelList),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn list(
    State(service): State<Service>,
    _: Caller,
    family: Family,
    page: Result<Query<ModelPage>, QueryRejection>,
) -> Result<Json<ModelList>, ApiError> {
    let entries = service.catalog().models();
    match family {
        Family::OpenAi | Family::Ollama => {
            let data = entries.into_iter().map(openai::routes::model).collect();
            Ok(Json(ModelList::OpenAi(wire::openai::ModelList { object: "list", data })))
        }
        Family::Anthropic => {
            let page = parameter::query(page)?;
            Ok(Json(ModelList::Anthropic(anthropic::models::page(entries, &page)?)))
        }
    }
}

/// One model. Who sends `anthropic-version` gets Anthropic's shape.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "models", params(("id" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "The answer", body = Model),
        (status = "4XX", description = "Refused: `code` says why", body = ErrorResponse),
    )
)]
pub(crate) async fn retrieve(
    State(service): State<Service>,
    _: Caller,
    family: Family,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    let Path(id) = path.map_err(|_| ApiError::invalid("model", "the model's name in the path is not valid UTF-8"))?;
    let entry = service.catalog().model(&id).ok_or(inference::Error::ModelNotFound { model: id })?;
    Ok(Json(match family {
        Family::OpenAi | Family::Ollama => Model::OpenAi(openai::routes::model(entry)),
        Family::Anthropic => Model::Anthropic(anthropic::models::model(entry)),
    }))
}
