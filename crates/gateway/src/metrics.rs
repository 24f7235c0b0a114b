//! Counts and latencies, in Prometheus's text format.
//!
//! A registry of its own for each service: fixed names and buckets in atomics, so that memory is bounded by construction
//! whether or not anybody scrapes, and two services in one process do not share counts.

mod histogram;
mod text;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use inference::{Load, Usage};

use histogram::Histogram;
use text::Text;

/// How a request for a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole answer was produced.
    Finished,
    /// The request was wrong, or there was no room for it.
    Refused,
    /// A failure of ours.
    Failed,
    /// The client went away.
    Cancelled,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Finished, Self::Refused, Self::Failed, Self::Cancelled];

    /// The outcome of a request that ended in `error`.
    pub(crate) fn of(error: &inference::Error) -> Self {
        use inference::Error as E;
        match error {
            E::Invalid { .. } | E::ContextLengthExceeded { .. } | E::InputTooLong { .. } | E::ModelNotFound { .. } => {
                Self::Refused
            }
            E::Overloaded { .. } | E::LimitReached { .. } | E::ShuttingDown => Self::Refused,
            E::SlowReader | E::Revoked => Self::Cancelled,
            E::Unavailable { .. } | E::Internal => Self::Failed,
        }
    }

    /// The label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Upper bounds of the buckets for the time to first token, in seconds: from a cached prompt to a model being loaded.
const FIRST_TOKEN: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Upper bounds of the buckets for the time between tokens, in seconds.
const NEXT_TOKEN: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Everything that is counted.
pub(crate) struct Metrics {
    /// By route pattern and status, of which there are few. A leaf lock, held for one addition.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    in_flight: AtomicU64,
    first_token: Histogram,
    next_token: Histogram,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
            outcomes: Default::default(),
            in_flight: AtomicU64::new(0),
            first_token: Histogram::new(FIRST_TOKEN),
            next_token: Histogram::new(NEXT_TOKEN),
            prompt_tokens: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// An HTTP request was answered. `route` is the pattern that matched, never the path itself.
    pub(crate) fn request(&self, route: &str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route.to_owned(), status)).or_default() += 1;
    }

    /// A request for a model was admitted.
    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// An admitted request ended.
    pub(crate) fn leave(&self, outcome: Outcome) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Requests for a model that are being served.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// The first token of a request came, so long after the request.
    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token.observe(after);
    }

    /// Another token of a choice came, so long after the one before.
    pub(crate) fn next_token(&self, after: Duration) {
        self.next_token.observe(after);
    }

    /// Tokens of a request that ended.
    pub(crate) fn tokens(&self, usage: Usage) {
        self.prompt_tokens.fetch_add(usage.prompt_tokens.saturating_sub(usage.cached_tokens), Relaxed);
        self.cached_tokens.fetch_add(usage.cached_tokens, Relaxed);
        self.completion_tokens.fetch_add(usage.completion_tokens, Relaxed);
    }

    /// The text for Prometheus; `load` is the sum over all loaded models.
    pub(crate) fn render(&self, load: Load) -> String {
        let mut text = Text::default();
        text.family("modelworks_requests_total", "counter", "HTTP requests by route pattern and status");
        for ((route, status), count) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [("route", route.as_str()), ("status", &status.to_string())];
            text.sample("modelworks_requests_total", &labels, *count);
        }
        text.family("modelworks_generations_total", "counter", "Admitted requests by how they ended");
        for outcome in Outcome::ALL {
            let count = self.outcomes[outcome as usize].load(Relaxed);
            text.sample("modelworks_generations_total", &[("outcome", outcome.as_str())], count);
        }
        text.family("modelworks_tokens_total", "counter", "Tokens; `prompt` is without those that were cached");
        let classes =
            [("prompt", &self.prompt_tokens), ("cached", &self.cached_tokens), ("completion", &self.completion_tokens)];
        for (class, count) in classes {
            text.sample("modelworks_tokens_total", &[("class", class)], count.load(Relaxed));
        }
        let name = "modelworks_time_to_first_token_seconds";
        self.first_token.render(&mut text, name, "From the request to its first token");
        let name = "modelworks_inter_token_latency_seconds";
        self.next_token.render(&mut text, name, "Between two tokens of one choice");
        let gauges = [
            ("modelworks_requests_in_flight", "Admitted requests being served", self.in_flight()),
            ("modelworks_sequences_running", "Sequences that hold KV blocks: the batch", load.sequences_running),
            ("modelworks_sequences_waiting", "Sequences that wait for a place: the queue", load.sequences_waiting),
            ("modelworks_kv_blocks_used", "KV blocks in use", load.kv_blocks_used),
            (
                "modelworks_kv_blocks_cached",
                "KV blocks kept for prompts that begin alike; as good as free",
                load.kv_blocks_cached,
            ),
            ("modelworks_kv_blocks_total", "KV blocks there are", load.kv_blocks_total),
        ];
        for (name, help, value) in gauges {
            text.family(name, "gauge", help);
            text.sample(name, &[], value);
        }
        let counters = [
            ("modelworks_engine_steps_total", "Forward passes of the loaded models", load.steps),
            (
                "modelworks_engine_step_rows_total",
                "Rows of those passes; by steps, the mean batch size",
                load.step_rows,
            ),
            ("modelworks_speculation_drafted_total", "Tokens that speculation proposed", load.tokens_drafted),
            ("modelworks_speculation_accepted_total", "Proposed tokens that were right", load.tokens_accepted),
        ];
        for (name, help, value) in counters {
            text.family(name, "counter", help);
            text.sample(name, &[], value);
        }
        text.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }

    #[test]
    fn classes_of_tokens_do_not_overlap() {
        let metrics = Metrics::default();
        metrics.tokens(Usage { prompt_tokens: 10, cached_tokens: 4, completion_tokens: 7, reasoning_tokens: 0 });
        let text = metrics.render(Load::default());
        for line in [r#"{class="prompt"} 6"#, r#"{class="cached"} 4"#, r#"{class="completion"} 7"#] {
            assert!(text.contains(&format!("modelworks_tokens_total{line}\n")), "{text}");
        }
    }

    #[test]
    fn gauges_are_there_without_any_model() {
        let text = Metrics::default().render(Load { kv_blocks_used: 3, ..Load::default() });
        assert!(text.contains("\nmodelworks_sequences_running 0\n"), "{text}");
        assert!(text.contains("\nmodelworks_kv_blocks_used 3\n"), "{text}");
    }
}
