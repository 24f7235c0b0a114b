//! An error and its causes as one line.

/// Joins an error with its causes. Many say their cause within their own message already: such a one is not said again.
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot open `x`: {0}")]
    struct Inclusive(#[source] io::Error);

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(Inclusive(io::Error::other("no light"))).context("starting").unwrap_err();
        assert_eq!(explain(&error), "starting: cannot open `x`: no light");
        let plain = Err::<(), _>(io::Error::other("no light")).context("opening `x`").unwrap_err();
        assert_eq!(explain(&plain), "opening `x`: no light");
    }
}
