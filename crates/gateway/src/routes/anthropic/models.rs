//! The list of models, page by page.

use catalog::Entry;
use wire::anthropic::{Model, ModelList, ModelPage};

use crate::{error::ApiError, parameter::integer, timestamp::rfc3339};

/// Anthropic's default.
const PAGE: u32 = 20;

/// The part of `entries` (by name) that the caller wants.
pub(crate) fn page(entries: Vec<Entry>, page: &ModelPage) -> Result<ModelList, ApiError> {
    let limit = integer("limit", page.limit, 1..=1000)?.unwrap_or(PAGE) as usize;
    let position = |parameter: &str, id: &str| {
        let found = entries.iter().position(|entry| entry.name == id);
        found.ok_or_else(|| ApiError::invalid(parameter, format!("{parameter} names no model of the list: {id:?}")))
    };
    let (range, has_more) = match (&page.after_id, &page.before_id) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("before_id", "after_id and before_id exclude each other; give one of them"));
        }
        (None, Some(before)) => {
            let end = position("before_id", before)?;
            let start = end.saturating_sub(limit);
            (start..end, start > 0)
        }
        (after, None) => {
            let start = match after {
                Some(after) => position("after_id", after)? + 1,
                None => 0,
            };
            let end = entries.len().min(start + limit);
            (start..end, end < entries.len())
        }
    };
    let data: Vec<Model> = entries.into_iter().skip(range.start).take(range.len()).map(model).collect();
    let id = |model: Option<&Model>| model.map(|model| model.id.clone());
    Ok(ModelList { has_more, first_id: id(data.first()), last_id: id(data.last()), data })
}

/// A model, as Anthropic's clients read it.
pub(crate) fn model(entry: Entry) -> Model {
    Model {
        r#type: "model",
        display_name: entry.name.clone(),
        id: entry.name,
        created_at: rfc3339(entry.created),
        lifecycle: "active",
    }
}
