//! What an answer's headers say about how the request was understood.

use axum::http::{HeaderName, HeaderValue};

/// Instructions of the system were moved to where the model's chat template has a place for them.
const MERGED_SYSTEM: HeaderName = HeaderName::from_static("x-modelworks-merged-system");

/// The header that says so, or none.
pub(crate) fn merged_system(merged: bool) -> Option<[(HeaderName, HeaderValue); 1]> {
    merged.then(|| [(MERGED_SYSTEM, HeaderValue::from_static("true"))])
}
