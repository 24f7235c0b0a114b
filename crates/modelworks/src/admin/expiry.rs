//! Times as people write them: `30m`, `24h`, `7d`.

use std::time::Duration;

use account::Timestamp;
use anyhow::{Context, Result};

/// A length of time: a number with `s`, `m`, `h` or `d`.
pub fn length(text: &str) -> Result<Duration> {
    let wrong = || format!("`{text}` is not a time; write a number with s, m, h or d, such as 24h");
    let unit = text.chars().last().with_context(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => anyhow::bail!(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().ok().with_context(wrong)?;
    Ok(Duration::from_secs(number.checked_mul(seconds).with_context(wrong)?))
}

/// A moment as the server reads it: a time from now, or the moment itself.
pub fn moment(text: &str, now: Timestamp) -> Result<String> {
    match length(text) {
        Ok(length) => Ok(now.after(length).to_string()),
        Err(_) => {
            Ok(Timestamp::parse(text).with_context(|| format!("`{text}` is neither a time nor a moment"))?.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_moments_are_read_and_other_texts_refused() {
        assert_eq!(length("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(length("7d").unwrap(), Duration::from_secs(604_800));
        for text in ["", "d", "7", "-1h", "1.5h", "ü", "99999999999999999999d", "9999999999999999999d"] {
            assert!(length(text).is_err(), "{text}");
        }
        let now = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(moment("24h", now).unwrap(), "2026-01-02T00:00:00Z");
        assert_eq!(moment("2027-01-01T01:00:00+01:00", now).unwrap(), "2027-01-01T00:00:00Z");
        assert!(moment("tomorrow", now).is_err());
    }
}
