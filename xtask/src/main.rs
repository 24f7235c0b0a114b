//! Checks that the compiler cannot make: `cargo xtask tidy`.

mod dependencies;
mod edges;
mod licences;
mod metadata;
mod names;
mod unsafe_code;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        _ => bail!("usage: cargo xtask tidy"),
    }
}

/// Runs every check and reports all that is wrong, not just the first.
fn tidy() -> Result<ExitCode> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?.to_path_buf();
    let metadata = metadata::Metadata::read(&root)?;
    let mut faults = edges::check(&metadata);
    faults.extend(dependencies::check(&root, &metadata)?);
    faults.extend(licences::check(&metadata));
    let sources = names::sources(&root)?;
    faults.extend(names::check(&root, &sources));
    faults.extend(unsafe_code::check(&root, &sources)?);
    report(&faults);
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the report is what this tool is for")]
fn report(faults: &[String]) {
    for fault in faults {
        println!("tidy: {fault}");
    }
    println!("tidy: {} faults", faults.len());
}
