//! Rules about parameters that only OpenAI's API has.

use std::collections::BTreeMap;

use crate::{error::ApiError, parameter::within};

/// From token id (JSON's keys are strings) to bias. Whether the model has the token is not known yet.
pub(super) fn logit_bias(bias: Option<BTreeMap<String, f64>>) -> Result<Vec<(u32, f32)>, ApiError> {
    let entry = |(key, value): (String, f64)| {
        let id = key.parse().map_err(|_| {
            ApiError::invalid("logit_bias", format!("the keys of logit_bias are token ids, but one is {key:?}"))
        })?;
        within("logit_bias", value, &(-100.0..=100.0))?;
        Ok((id, value as f32))
    };
    bias.unwrap_or_default().into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_by_token_id() {
        let bias = |key: &str, value| logit_bias(Some(BTreeMap::from([(key.to_owned(), value)])));
        assert_eq!(bias("7", -100.0).unwrap(), [(7, -100.0)]);
        for (key, value) in [("seven", 1.0), ("-1", 1.0), ("4294967296", 1.0), ("7", 100.5)] {
            let error = bias(key, value).unwrap_err();
            assert_eq!(error.openai().error.param.as_deref(), Some("logit_bias"));
        }
    }
}
