//! Durations in fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::text::Text;

/// Counts of durations in fixed buckets. Observing is two additions, without a lock.
pub(super) struct Histogram {
    /// Upper bounds in seconds, ascending.
    bounds: &'static [f64],
    /// One count for each bound, and one for what is above all of them; not cumulative.
    counts: Vec<AtomicU64>,
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// A histogram of nothing; `bounds` are seconds, ascending.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, nanoseconds: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[self.bounds.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Writes the cumulative buckets, sum and count that Prometheus wants.
    pub(super) fn render(&self, text: &mut Text, name: &str, help: &str) {
        text.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (bound, count) in self.bounds.iter().map(f64::to_string).chain(["+Inf".into()]).zip(&self.counts) {
            total += count.load(Relaxed);
            text.sample(&bucket, &[("le", &bound)], total);
        }
        text.sample(&format!("{name}_sum"), &[], self.nanoseconds.load(Relaxed) as f64 / 1e9);
        text.sample(&format!("{name}_count"), &[], total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hold_their_bound() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for milliseconds in [100, 500, 501, 2000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = Text::default();
        histogram.render(&mut text, "h", "Help");
        let expect = "# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1\"} 3\n\
                      h_bucket{le=\"+Inf\"} 4\nh_sum 3.101\nh_count 4\n";
        assert_eq!(text.finish(), expect);
    }
}
