//! Sizes in bytes as people write them: `512M`, `2GiB`, `1.5g`.

/// Parses a size. Units are powers of 1024: `K`, `M`, `G`, `T`, with or without `B` or `iB`, in any case; none means bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong =
        || format!("`{text}` is not a size; write a number with an optional unit K, M, G or T, such as 512M or 2G");
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wrong()),
    };
    let bytes = number * f64::from(1u32 << 10).powi(shift / 10);
    if !bytes.is_finite() || bytes >= 2f64.powi(63) {
        return Err(format!("`{text}` is larger than any memory"));
    }
    Ok(bytes as u64)
}

/// A size for people, with three digits.
pub fn show(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 100.0 { 0 } else { 1 };
    format!("{value:.decimals$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024_in_any_spelling() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("2GiB", 2 << 30),
            ("2 gb", 2 << 30),
            ("1.5G", 3 << 29),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for text in ["", "G", "-1", "1X", "1.2.3M", "9999999T", "nan", "inf"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_with_a_unit() {
        assert_eq!(show(12), "12 B");
        assert_eq!(show(98_362_432), "93.8 MiB");
        assert_eq!(show(5 << 30), "5.0 GiB");
    }
}
