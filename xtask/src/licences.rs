//! Licences of everything that is built in, against the ones that we accept.

use crate::metadata::Metadata;

/// SPDX identifiers that may be part of the binary.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages whose licence is not accepted.
pub fn check(metadata: &Metadata) -> Vec<String> {
    metadata
        .packages
        .values()
        .filter(|package| !package.licence.as_deref().is_some_and(accepted))
        .map(|package| {
            let licence = package.licence.as_deref().unwrap_or("nothing");
            format!(
                "package `{} {}` is under {licence}, which is not on the list of accepted licences",
                package.name, package.version
            )
        })
        .collect()
}

/// Whether an SPDX expression can be met with accepted licences alone: `AND` binds closer than `OR`, `/` is an old `OR`.
/// What does not parse is not met.
fn accepted(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest) == Some(true) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> Option<bool> {
    let mut met = all_of(words)?;
    while take(words, "OR") {
        met |= all_of(words)?;
    }
    Some(met)
}

fn all_of(words: &mut &[&str]) -> Option<bool> {
    let mut met = one(words)?;
    while take(words, "AND") {
        met &= one(words)?;
    }
    Some(met)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let met = any_of(words)?;
        return take(words, ")").then_some(met);
    }
    let mut licence = next(words)?.to_owned();
    if take(words, "WITH") {
        licence = format!("{licence} WITH {}", next(words)?);
    }
    Some(ACCEPTED.contains(&licence.as_str()))
}

fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    Some(first)
}

fn take(words: &mut &[&str], expected: &str) -> bool {
    let found = words.first() == Some(&expected);
    if found {
        *words = &words[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::accepted;

    #[test]
    fn expressions_are_met_as_spdx_defines() {
        for met in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(accepted(met), "{met}");
        }
        for unmet in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT",
            "MIT ISC",
            "",
            "MIT OR",
            "GPL-2.0 WITH Classpath-exception-2.0",
            "MIT AND (GPL-3.0 OR AGPL-3.0)",
        ] {
            assert!(!accepted(unmet), "{unmet}");
        }
    }
}
