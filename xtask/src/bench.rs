//! `cargo xtask bench serve`: the same load on several servers that speak the OpenAI API, in turns and in one run.
//!
//! A machine's speed drifts by more than what is to be measured, so servers take turns within each run, and medians over
//! the runs are compared. Load goes to this machine alone and is bounded in count and time.

mod cases;
mod client;
mod process;
mod prompts;
mod recording;
mod report;
mod statistics;

use std::{fs::File, io::Write, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use cases::Case;
use client::Server;
use report::Line;

/// What to measure.
#[derive(Debug, Args)]
pub struct Serve {
    /// Our server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Key for our server.
    #[arg(long, env = "MODELWORKS_KEY", hide_env_values = true, default_value = "none")]
    key: String,
    /// A server to compare with; may be given several times.
    #[arg(long = "peer", value_name = "NAME=URL")]
    peers: Vec<String>,
    /// What the servers call the model.
    #[arg(long, default_value = "smollm2-135m")]
    model: String,
    /// Which cases; all when left out.
    #[arg(long, value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// How often each server gets each case.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Streams at once in the cases that have several.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    streams: u32,
    /// Requests a second of the open-loop case, which lasts ten seconds.
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    rate: f64,
    /// Other prompts with another number; a server may have kept those of the last time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where every measurement goes as a line of JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.1..=100.0).contains(rate));
    rate.ok_or_else(|| "a rate is a number of requests a second from 0.1 to 100".to_owned())
}

/// Runs all cases and prints a table of medians.
pub fn serve(arguments: &Serve) -> Result<()> {
    let mut servers = vec![Server::new("ours", &arguments.url, &arguments.key)?];
    for peer in &arguments.peers {
        let (name, url) = peer.split_once('=').with_context(|| format!("--peer is NAME=URL, not {peer:?}"))?;
        ensure!(servers.iter().all(|server| server.name != name), "two servers are called {name}");
        servers.push(Server::new(name, url, "none")?);
    }
    let mut out = arguments.out.as_ref().map(File::create).transpose().context("creating the file for --out")?;
    let cases = if arguments.cases.is_empty() { Case::ALL } else { &arguments.cases };
    let load = cases::Load {
        model: &arguments.model,
        streams: arguments.streams as usize,
        rate: arguments.rate,
        seed: arguments.seed,
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = tokio::task::LocalSet::new().block_on(&runtime, async {
        for server in &servers {
            load.warm_up(server).await.with_context(|| format!("a first request to {}", server.name))?;
        }
        let mut lines = Vec::<Line>::new();
        for run in 0..arguments.runs {
            for case in cases {
                for turn in 0..servers.len() {
                    // Who goes first changes from run to run.
                    let server = &servers[(turn + run as usize) % servers.len()];
                    let measured = match load.measure(*case, run, server).await {
                        Ok(measured) => measured,
                        // A peer may lack what a case needs, such as a context for the long prompt; the rest goes on.
                        Err(error) => {
                            report::failure(server, *case, &error);
                            continue;
                        }
                    };
                    for line in &measured {
                        if let Some(out) = &mut out {
                            writeln!(out, "{}", serde_json::to_string(line)?)?;
                        }
                    }
                    lines.extend(measured);
                }
            }
        }
        anyhow::Ok(lines)
    })?;
    report::print(&servers, &lines);
    Ok(())
}
