//! Every crate of others that a crate of ours names is argued for in CONTRIBUTING.md.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result};

use crate::metadata::Metadata;

/// Where the reasons stand, one table row for each need.
const LIST: &str = "CONTRIBUTING.md";

/// Direct dependencies that the list lacks, and names in its table that nothing uses any more.
pub fn check(root: &Path, metadata: &Metadata) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(LIST)).with_context(|| format!("reading {LIST}"))?;
    let argued = argued(&text);
    let used = used(metadata);
    let missing = used.difference(&argued).map(|name| format!("{LIST} has no reason for the dependency `{name}`"));
    let stale = argued.difference(&used).map(|name| format!("{LIST} argues for `{name}`, which no crate names"));
    Ok(missing.chain(stale).collect())
}

/// Names in backticks in the second column of the table of dependencies.
fn argued(text: &str) -> BTreeSet<&str> {
    let table = text.lines().skip_while(|line| !line.starts_with("| need |")).skip(2);
    table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|row| row.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

fn used(metadata: &Metadata) -> BTreeSet<&str> {
    let ours = metadata.packages.values().filter(|package| package.ours);
    ours.flat_map(|package| package.dependencies.iter().chain(&package.test_dependencies))
        .filter_map(|id| metadata.packages.get(id))
        .filter(|package| !package.ours)
        .map(|package| package.name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_second_column_of_the_right_table_counts() {
        let text = "| other | `no` |\n\n| need | crates | why |\n|---|---|---|\n| a `b` | `c` with `d` | `e` |\n\n| x | `y` | |\n";
        assert_eq!(argued(text), BTreeSet::from(["c", "d"]));
    }
}
