//! Quantiles.

use serde::Serialize;

/// Three quantiles of some figures.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Quantiles {
    /// `None` without figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&figures, share);
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
    }
}

/// The median, `None` without figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    Quantiles::of(figures).map(|quantiles| quantiles.p50)
}

/// Between the two nearest figures, in proportion.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let quantiles = Quantiles::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(quantiles.p50, 2.5);
        assert!((quantiles.p95 - 3.85).abs() < 1e-12, "{quantiles:?}");
        assert_eq!(median([7.0]), Some(7.0));
        assert!(Quantiles::of([]).is_none());
    }
}
