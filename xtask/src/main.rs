//! What is done to the project, not by it: checks that the compiler cannot make, and measurements of the running product.

mod bench;
mod dependencies;
mod edges;
mod licences;
mod metadata;
mod names;
mod synthesize;
mod unsafe_code;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Tasks of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Check what the compiler cannot: crate edges, dependencies, licences, names, `unsafe`.
    Tidy,
    /// Measure.
    #[command(subcommand)]
    Bench(Bench),
    /// Write a GGUF file with a large model's shape and random weights.
    Synthesize(synthesize::Synthesize),
}

/// What can be measured.
#[derive(Debug, Subcommand)]
enum Bench {
    /// Put load on a running server, and on others beside it.
    Serve(bench::Serve),
}

fn main() -> Result<ExitCode> {
    match Task::parse() {
        Task::Tidy => tidy(),
        Task::Synthesize(arguments) => synthesize::write(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Bench(Bench::Serve(arguments)) => bench::serve(&arguments).map(|()| ExitCode::SUCCESS),
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
