//! Parts of lists.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use wire::admin::List;

use crate::{Control, error::ApiError};

/// Things in a part, unless the caller says otherwise.
const USUAL: u32 = 100;

/// Most things in a part.
const MOST: u32 = 1000;

/// A query that is read, or refused in our words.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Control> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::Invalid {
            parameter: None,
            message: format!("the query cannot be read: {}", error.body_text()),
        })
    }
}

/// How many things a part may have.
pub(crate) fn size(limit: Option<u32>) -> Result<u32, ApiError> {
    let size = limit.unwrap_or(USUAL);
    if (1..=MOST).contains(&size) {
        Ok(size)
    } else {
        Err(ApiError::invalid("limit", format!("limit is {size}; it must be between 1 and {MOST}")))
    }
}

/// A part of `size` things of which one more was read, if there is one. `name` says how the next part is asked for, given
/// the last thing of this one.
pub(crate) fn part<T, W>(
    mut read: Vec<T>,
    size: u32,
    name: impl Fn(&T) -> String,
    convert: impl Fn(&T) -> W,
) -> List<W> {
    let more = read.len() > size as usize;
    read.truncate(size as usize);
    let next = read.last().filter(|_| more).map(name);
    List { data: read.iter().map(convert).collect(), next }
}
