//! Bounds of the engine.

use std::time::Duration;

/// Bounds of the engine. How many KV blocks there are is the runner's to say.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sequences that may hold KV blocks at once; 0 counts as 1.
    pub max_sequences: usize,
    /// Sequences that may wait beyond those that find a place; one more is refused.
    pub max_queue: usize,
    /// Rows of one step; 0 counts as 1. Decode rows always run; chunks of prompts fill what they leave, and at most half of
    /// this while anything decodes. Small keeps steps short (cancellation and inter-token latency), large makes prefill
    /// efficient.
    pub step_rows: usize,
    /// A reader whose queue stays full for this long is cut off.
    pub reader_timeout: Duration,
}

impl Default for Config {
    /// 64 running and 256 waiting sequences, steps of 96 rows (under 100 ms at 1,000 tokens of prefill per second) and a
    /// minute for slow readers.
    fn default() -> Self {
        Self { max_sequences: 64, max_queue: 256, step_rows: 96, reader_timeout: Duration::from_secs(60) }
    }
}
