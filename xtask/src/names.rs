//! Files are named for their subject.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"];

/// Every Rust source of the project.
pub fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    let mut open: Vec<PathBuf> = ["crates", "xtask", "fuzz"].iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(path);
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// Sources whose own name or whose folder's name is empty of meaning.
pub fn check(root: &Path, sources: &[PathBuf]) -> Vec<String> {
    sources
        .iter()
        .filter_map(|source| {
            let path = source.strip_prefix(root).unwrap_or(source);
            let empty = path
                .iter()
                .filter_map(|part| Path::new(part).file_stem()?.to_str())
                .find(|part| EMPTY_NAMES.contains(part))?;
            Some(format!("{}: `{empty}` does not say what is inside", path.display()))
        })
        .collect()
}
