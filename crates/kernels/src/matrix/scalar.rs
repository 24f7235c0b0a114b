//! The recipe in plain Rust: slow, obvious, and what the other levels are tested against.

use super::{
    activations::Activations,
    layout::{Groups, Layout},
    pack,
};

/// The product of row `lane` of a panel and row `m` of the activations.
pub(super) fn dot(layout: &Layout, panel: &[u8], lane: usize, activations: &Activations, m: usize) -> f32 {
    match layout.groups() {
        Some(groups) => quantised(&groups, panel, lane, activations, m),
        None => {
            let values = &activations.values[m * layout.columns..][..layout.columns];
            values
                .iter()
                .enumerate()
                .fold(0.0, |sum, (column, value)| pack::float(layout.format, panel, lane, column).mul_add(*value, sum))
        }
    }
}

fn quantised(groups: &Groups, panel: &[u8], lane: usize, activations: &Activations, m: usize) -> f32 {
    let padded = activations.padded_columns();
    let codes = activations.codes[m * padded..][..padded].chunks_exact(groups.length);
    let terms = &activations.terms(groups.length)[m * groups.count..][..groups.count];
    let mut sum = 0.0;
    for (group, (codes, terms)) in codes.zip(terms).enumerate() {
        let products = codes.iter().enumerate();
        let dot: i32 =
            products.map(|(column, &code)| pack::code(groups, panel, group, lane, column) * i32::from(code)).sum();
        let scale = pack::scale(groups, panel, group, lane);
        sum = (dot as f32).mul_add(scale * terms.scale, sum);
        if groups.has_min {
            let min = pack::min(groups, panel, group, lane);
            sum = min.mul_add(terms.sum, sum);
        }
    }
    sum
}
