//! `unsafe` stays in its two homes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Where `unsafe` may stand: a folder or a file below the root.
const HOMES: &[&str] = &["crates/kernels", "crates/weights/src/mapping.rs"];

/// Sources outside the homes that hold the keyword, or that lift the lint against it.
pub fn check(root: &Path, sources: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for source in sources {
        let path = source.strip_prefix(root).unwrap_or(source);
        if HOMES.iter().any(|home| path.starts_with(home)) || path.ends_with("unsafe_code.rs") {
            continue;
        }
        let text = fs::read_to_string(source).with_context(|| format!("reading {}", path.display()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| mentions_unsafe(line)) {
            faults.push(format!("{}:{}: `unsafe` outside its homes: {}", path.display(), number + 1, line.trim()));
        }
    }
    Ok(faults)
}

/// Whether a line of code, its comment left out, holds the keyword or switches its lint off.
fn mentions_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    // A word with a hyphen is a text, such as a keyword of a content security policy.
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let keyword = code.split(|c| !is_word(c)).any(|word| word == "unsafe");
    let lifted = code.contains("unsafe_code") && (code.contains("allow") || code.contains("expect"));
    keyword || lifted
}

#[cfg(test)]
mod tests {
    use super::mentions_unsafe;

    #[test]
    fn the_keyword_is_found_in_code_alone() {
        assert!(mentions_unsafe("let x = unsafe { y };"));
        assert!(mentions_unsafe("unsafe impl Send for X {}"));
        assert!(mentions_unsafe("#![allow(unsafe_code)]"));
        assert!(!mentions_unsafe("// unsafe is explained here"));
        assert!(!mentions_unsafe("mod unsafe_code;"));
        assert!(!mentions_unsafe("let not_unsafe = 1;"));
        assert!(!mentions_unsafe("style-src 'unsafe-inline'"));
    }
}
