//! Bounds of the engine.

use std::time::Duration;

/// Bounds of the engine. How many KV blocks there are is the runner's to say.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sequences that may hold KV blocks at once; 0 counts as 1.
    pub max_sequences: usize,
    /// Sequences that may wait beyond those that find a place; one more is refused.
    pub max_queue: usize,
    /// Most rows of one step, whatever time it has; 0 counts as 1. Decode rows always run, chunks of prompts fill what they
    /// leave.
    pub step_rows: usize,
    /// How long a step may take that carries prompts while others decode: the bound of their inter-token latency. The engine
    /// learns from its steps how many rows of prompt that is. Small keeps streams smooth, large makes prompts quick.
    pub decode_step: Duration,
    /// How long a step may take while nobody decodes: the bound of how late a cancellation or a new request is seen. A model
    /// that takes longer for a handful of rows gets those.
    pub prefill_step: Duration,
    /// Guess tokens of sequences that repeat themselves, and check the guesses with rows that would cost little: where few
    /// sequences run and none waits. The tokens are the same either way.
    pub speculation: bool,
    /// A reader whose queue stays full for this long is cut off.
    pub reader_timeout: Duration,
}

impl Default for Config {
    /// 64 running and 256 waiting sequences, at most 512 rows and 50 ms a step (100 ms while nobody decodes), no speculation,
    /// and a minute for slow readers.
    fn default() -> Self {
        Self {
            max_sequences: 64,
            max_queue: 256,
            step_rows: 512,
            decode_step: Duration::from_millis(50),
            prefill_step: Duration::from_millis(100),
            speculation: false,
            reader_timeout: Duration::from_secs(60),
        }
    }
}
