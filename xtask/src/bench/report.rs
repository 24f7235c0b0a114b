//! What was measured: a line of JSON for each run, and a table of medians.

use serde::Serialize;

use super::{
    cases::Case,
    client::Server,
    statistics::{Quantiles, median},
};

/// One run of one case on one server.
#[derive(Debug, Serialize)]
pub struct Line {
    pub server: String,
    pub case: Case,
    /// Which part of the case; empty when it has one.
    pub phase: &'static str,
    pub run: u32,
    pub requests: usize,
    pub wall_s: f64,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Of all streams together, over the wall time.
    pub output_tokens_s: f64,
    /// Of one stream behind its first token: the median over the requests.
    pub decode_tokens_s: Option<f64>,
    pub first_token_ms: Option<Quantiles>,
    pub inter_token_ms: Option<Quantiles>,
    /// The mixed case: how long its long prompt waited for its first token.
    pub long_prompt_s: Option<f64>,
    /// Afterwards.
    pub resident_bytes: Option<u64>,
    pub server_cpu_s: Option<f64>,
    /// What neither the server nor the client used: a busy machine spoils a measurement.
    pub other_cpu_s: Option<f64>,
}

impl Line {
    pub fn new(server: &Server, case: Case, phase: &'static str, run: u32) -> Self {
        Self {
            server: server.name.clone(),
            case,
            phase,
            run,
            requests: 0,
            wall_s: 0.0,
            prompt_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            output_tokens_s: 0.0,
            decode_tokens_s: None,
            first_token_ms: None,
            inter_token_ms: None,
            long_prompt_s: None,
            resident_bytes: None,
            server_cpu_s: None,
            other_cpu_s: None,
        }
    }
}

/// A row of the table for each case that was measured.
struct Row {
    case: Case,
    phase: &'static str,
    title: &'static str,
    higher_is_better: bool,
    figure: fn(&Line) -> Option<f64>,
}

impl Row {
    const fn more(case: Case, phase: &'static str, title: &'static str, figure: fn(&Line) -> Option<f64>) -> Self {
        Self { case, phase, title, higher_is_better: true, figure }
    }
    const fn less(case: Case, phase: &'static str, title: &'static str, figure: fn(&Line) -> Option<f64>) -> Self {
        Self { case, phase, title, higher_is_better: false, figure }
    }
}

fn decode(line: &Line) -> Option<f64> {
    line.decode_tokens_s
}
fn output(line: &Line) -> Option<f64> {
    Some(line.output_tokens_s)
}
fn first_median(line: &Line) -> Option<f64> {
    line.first_token_ms.map(|quantiles| quantiles.p50)
}
fn first_95(line: &Line) -> Option<f64> {
    line.first_token_ms.map(|quantiles| quantiles.p95)
}
fn gap_99(line: &Line) -> Option<f64> {
    line.inter_token_ms.map(|quantiles| quantiles.p99)
}
fn long_prompt(line: &Line) -> Option<f64> {
    line.long_prompt_s
}
fn resident(line: &Line) -> Option<f64> {
    line.resident_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20))
}

const ROWS: &[Row] = &[
    Row::more(Case::Short, "", "one stream, short context: decode, tokens/s", decode),
    Row::less(Case::Short, "", "one stream, short prompt: time to first token, ms", first_median),
    Row::less(Case::Prompt, "", "a prompt of 512 tokens: time to first token, ms", first_median),
    Row::more(Case::Prompt, "", "one stream at a context of 512: decode, tokens/s", decode),
    Row::more(Case::Streams, "", "many streams, 512 tokens each: output, tokens/s", output),
    Row::less(Case::Streams, "", "many streams: median time to first token, ms", first_median),
    Row::less(Case::Streams, "", "many streams: resident memory afterwards, MiB", resident),
    Row::less(Case::Prefix, "cold", "a new prefix of 1,000 tokens: median time to first token, ms", first_median),
    Row::more(Case::Prefix, "cold", "a new prefix: output, tokens/s", output),
    Row::less(Case::Prefix, "warm", "the same prefix again: median time to first token, ms", first_median),
    Row::more(Case::Prefix, "warm", "the same prefix again: output, tokens/s", output),
    Row::less(Case::Prefix, "warm", "afterwards: resident memory, MiB", resident),
    Row::less(
        Case::Mixed,
        "",
        "a short request beside a long prompt and 8 streams: time to first token, ms",
        first_median,
    ),
    Row::less(Case::Mixed, "", "the same: 95th percentile, ms", first_95),
    Row::less(Case::Mixed, "", "the 8 streams meanwhile: 99th percentile of inter-token latency, ms", gap_99),
    Row::less(Case::Mixed, "", "the prompt of 4,000 tokens: time to first token, s", long_prompt),
    Row::less(Case::Open, "", "random arrivals: median time to first token, ms", first_median),
    Row::less(Case::Open, "", "random arrivals: 95th percentile of time to first token, ms", first_95),
    Row::less(Case::Open, "", "random arrivals: 99th percentile of inter-token latency, ms", gap_99),
];

/// Says what a server could not do.
#[expect(clippy::print_stderr, reason = "a figure will be missing, and here is why")]
pub fn failure(server: &Server, case: Case, error: &anyhow::Error) {
    eprintln!("{} failed in case {case:?}: {error:#}", server.name);
}

/// Prints, in Markdown, the median over the runs for each server, and how many times better the first one is.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub fn print(servers: &[Server], lines: &[Line]) {
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    let ratios: Vec<String> = names[1..].iter().map(|name| format!("better than {name} by")).collect();
    println!(
        "| median of the runs | {} |",
        names.iter().copied().chain(ratios.iter().map(String::as_str)).collect::<Vec<_>>().join(" | ")
    );
    println!("|---|{}", "---|".repeat(names.len() + ratios.len()));
    for row in ROWS {
        let medians: Vec<Option<f64>> = names
            .iter()
            .map(|name| {
                let of_row = |line: &&Line| line.server == *name && line.case == row.case && line.phase == row.phase;
                median(lines.iter().filter(of_row).filter_map(row.figure))
            })
            .collect();
        if medians.iter().all(Option::is_none) {
            continue;
        }
        let figures = medians.iter().map(|figure| figure.map_or_else(|| "–".to_owned(), rounded));
        let ratios = medians[1..].iter().map(|peer| match (medians[0], peer) {
            (Some(ours), Some(peer)) if row.higher_is_better => format!("× {:.2}", ours / peer),
            (Some(ours), Some(peer)) => format!("× {:.2}", peer / ours),
            _ => "–".to_owned(),
        });
        println!("| {} | {} |", row.title, figures.chain(ratios).collect::<Vec<_>>().join(" | "));
    }
}

fn rounded(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}
