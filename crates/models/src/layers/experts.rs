//! Routed experts (arXiv 1701.06538): a router scores all experts of a layer for each row, the best few run, and what
//! they give is added up by weights that are a softmax of their scores.
//!
//! The rows of a step are grouped by expert, and each expert's matrices run once over all of its rows. A row's sum has
//! the order of the experts' numbers, ascending, whatever else is in the batch; of equal scores the lower number wins.

use kernels::{
    Pool, elementwise,
    matrix::{self, Matrix},
    rows,
    softmax::softmax,
};

use super::{Buffer, GatedMlp, Scratch, Step};
use crate::{
    Error,
    config::ModelConfig,
    loader::{Loader, Name, Rows},
    settings::{Key, Settings},
};

/// More than any model has, and little enough that nothing sized by it is absurd.
const MOST_EXPERTS: usize = 1024;

const COUNT: Key = Key::new("expert_count", "num_local_experts");
const COUNT_OLD: Key = Key::only_hugging_face("num_experts");
const USED: Key = Key::new("expert_used_count", "num_experts_per_tok");
const SHARED: Key = Key::only_gguf("expert_shared_count");
const GROUPS: Key = Key::only_gguf("expert_group_count");
const GATING: Key = Key::only_gguf("expert_gating_func");
const SCALE: Key = Key::only_gguf("expert_weights_scale");

/// The number of the softmax among a GGUF's gating functions.
const GATING_SOFTMAX: usize = 1;

/// How rows choose among the experts of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Routing {
    /// Experts of a layer.
    pub(crate) experts: usize,
    /// Those that run for a row.
    pub(crate) used: usize,
    /// Width between the two products of one expert.
    pub(crate) feed_forward: usize,
    /// What the weights are.
    pub(crate) weights: Weights,
    /// Whether the router and the experts have biases.
    pub(crate) biased: bool,
}

/// Over which scores the softmax runs that gives the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Over those of the chosen experts: the weights of a row add up to 1. The same as a softmax over all that is divided
    /// by the sum of the chosen.
    OfChosen,
    /// Over those of all experts.
    OfAll,
}

impl Routing {
    /// What the settings say of a number of experts, such as `num_local_experts = 8`; `None` when there are none.
    pub(crate) fn mentioned(settings: &Settings<'_>) -> Result<Option<String>, Error> {
        let key = count_key(settings);
        let count = settings.count_or_none(key, usize::MAX >> 1)?;
        Ok(count.map(|count| format!("{} = {count}", settings.spelled(key))))
    }

    /// Reads what all architectures with experts have in common.
    pub(crate) fn read(settings: &Settings<'_>, feed_forward: usize, weights: Weights) -> Result<Self, Error> {
        let experts = settings.needed_count(count_key(settings), MOST_EXPERTS)?;
        let used = settings.needed_count(USED, experts)?;
        for key in [SHARED, GROUPS] {
            if let Some(count) = settings.count_or_none(key, usize::MAX >> 1)? {
                return Err(Error::Unsupported { feature: format!("{} = {count}", settings.spelled(key)) });
            }
        }
        if let Some(other) = settings.count_or_none(GATING, usize::MAX >> 1)?.filter(|gate| *gate != GATING_SOFTMAX) {
            return Err(Error::Unsupported { feature: format!("{} = {other}", settings.spelled(GATING)) });
        }
        // Files that need no scale have none, or zero.
        if !matches!(settings.count_or_none(SCALE, 1), Ok(None))
            && let Some(scale) = settings.positive(SCALE)?.filter(|scale| *scale != 1.0)
        {
            return Err(Error::Unsupported { feature: format!("{} = {scale}", settings.spelled(SCALE)) });
        }
        Ok(Self { experts, used, feed_forward, weights, biased: false })
    }
}

/// Folders spell the number of experts in two ways.
fn count_key(settings: &Settings<'_>) -> Key {
    if settings.has(COUNT_OLD) { COUNT_OLD } else { COUNT }
}

/// Where a folder keeps the parts of a layer with experts. GGUFs have the same names for all architectures.
#[derive(Default)]
pub(crate) struct Names {
    /// The router.
    pub(crate) router: &'static str,
    /// What stands before an expert's number.
    pub(crate) experts: &'static str,
    /// Gate, up and down: what stands after it.
    pub(crate) parts: [&'static str; 3],
}

const ROUTER: &str = "ffn_gate_inp";
/// All experts' gates, ups and downs, one tensor each.
const STACKED: [&str; 3] = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"];
/// Their biases.
const STACKED_BIASES: [Name; 3] =
    [Name::new("ffn_gate_exps.bias", ""), Name::new("ffn_up_exps.bias", ""), Name::new("ffn_down_exps.bias", "")];
/// All experts' gates and ups: of each expert first the gate.
const STACKED_GATE_UP: &str = "ffn_gate_up_exps";

/// One layer's experts.
pub(crate) struct Experts {
    router: Matrix,
    router_bias: Option<Vec<f32>>,
    experts: Vec<GatedMlp>,
    used: usize,
    weights: Weights,
}

impl Experts {
    /// Takes one layer's tensors.
    pub(crate) fn load(
        loader: &Loader<'_>,
        config: &ModelConfig,
        routing: Routing,
        layer: usize,
        names: &Names,
    ) -> Result<Self, Error> {
        let (hidden, wide) = (config.hidden, routing.feed_forward);
        let fused = loader.has_in_layer(layer, Name::new(STACKED_GATE_UP, ""));
        let lengths = [wide, wide, hidden];
        let mut biases = [Vec::new(), Vec::new(), Vec::new()];
        for part in (0..3).filter(|_| routing.biased) {
            biases[part] = loader.expert_vectors(layer, STACKED_BIASES[part], routing.experts, lengths[part])?;
        }
        let of_expert = |expert: usize| {
            let matrix = |part: usize, rows: usize, columns| {
                let (gguf, rows) = match part {
                    0 | 1 if fused => {
                        (STACKED_GATE_UP, Rows { stored: 2 * rows, taken: part * rows..(part + 1) * rows })
                    }
                    _ => (STACKED[part], Rows::all(rows)),
                };
                let hugging_face = format!("{}.{expert}.{}", names.experts, names.parts[part]);
                loader.expert_matrix(layer, (gguf, &hugging_face), (expert, routing.experts), &rows, columns)
            };
            let matrices = [matrix(0, wide, hidden)?, matrix(1, wide, hidden)?, matrix(2, hidden, wide)?];
            let biases = std::array::from_fn(|part| biases[part].get(expert).cloned());
            Ok(GatedMlp::of_parts(matrices, biases, config.activation))
        };
        let router = Name::new(ROUTER, names.router);
        let experts = (0..routing.experts).map(of_expert).collect::<Result<Vec<_>, Error>>()?;
        Self::of_parts(loader, config, routing, layer, router, experts)
    }

    /// Takes the router, and has the experts already.
    pub(crate) fn of_parts(
        loader: &Loader<'_>,
        config: &ModelConfig,
        routing: Routing,
        layer: usize,
        router: Name,
        experts: Vec<GatedMlp>,
    ) -> Result<Self, Error> {
        let rows = Rows::all(routing.experts);
        let router_bias = match loader.layer_bias(layer, router, &rows)? {
            None if routing.biased => return Err(loader.lacks_layer_bias(layer, router, &rows)),
            bias => bias,
        };
        Ok(Self {
            router: loader.layer_matrix(layer, router, &rows, config.hidden)?,
            router_bias,
            experts,
            used: routing.used,
            weights: routing.weights,
        })
    }

    /// `scratch.rows = experts(scratch.rows)`.
    pub(crate) fn apply(&self, step: &mut Step<'_>) {
        let (pool, count) = (step.pool, step.rows());
        let hidden = self.router.columns();
        let Scratch { rows: input, activations, gate, up, routes, gathered, sums, .. } = &mut *step.scratch;
        let x = input.of_length(count * hidden);

        let scores = routes.scores.of_length(count * self.experts.len());
        activations.set(pool, count, hidden, x);
        matrix::multiply(pool, activations, &mut [(&self.router, &mut *scores)]);
        if let Some(bias) = &self.router_bias {
            elementwise::add_bias(pool, scores, bias);
        }
        routes.choose(pool, count, self.experts.len(), self.used, self.weights);

        let out = sums.of_length(count * hidden);
        out.fill(0.0);
        for (expert, mlp) in self.experts.iter().enumerate() {
            let (chosen, weights) = routes.of(expert);
            if chosen.is_empty() {
                continue;
            }
            let picked = gathered.of_length(chosen.len() * hidden);
            rows::gather(pool, x, hidden, chosen, picked);
            mlp.run(pool, picked, activations, [&mut *gate, &mut *up]);
            rows::add_weighted(pool, picked, hidden, chosen, weights, out);
        }
        std::mem::swap(input, sums);
    }
}

/// Which rows go to which expert. The memory stays from step to step.
#[derive(Default)]
pub(crate) struct Routes {
    /// `[rows, experts]`.
    scores: Buffer,
    /// `[rows, used]`: numbers of experts, best first.
    chosen: Vec<u32>,
    /// `[rows, used]`.
    chosen_weights: Buffer,
    /// Where in `rows` each expert begins, and where the last one ends.
    starts: Vec<usize>,
    /// The rows of the first expert, ascending, then those of the next.
    rows: Vec<u32>,
    /// One for each of `rows`.
    weights: Vec<f32>,
}

impl Routes {
    /// Fills everything but the scores, from the scores.
    fn choose(&mut self, pool: &Pool, count: usize, experts: usize, used: usize, weights: Weights) {
        let Self { scores, chosen, chosen_weights, starts, rows, weights: row_weights } = self;
        let scores = scores.of_length(count * experts);
        chosen.clear();
        chosen.resize(count * used, 0);
        for (scores, chosen) in scores.chunks_exact(experts).zip(chosen.chunks_exact_mut(used)) {
            choose_best(scores, chosen);
        }
        if weights == Weights::OfAll {
            softmax(pool, scores, experts);
        }
        let chosen_weights = chosen_weights.of_length(count * used);
        for (i, (weight, expert)) in chosen_weights.iter_mut().zip(&*chosen).enumerate() {
            *weight = scores[i / used * experts + *expert as usize];
        }
        if weights == Weights::OfChosen {
            softmax(pool, chosen_weights, used);
        }

        // Counting sort: where each expert ends, and then from the last row to the first down to where it begins.
        starts.clear();
        starts.resize(experts + 1, 0);
        chosen.iter().for_each(|expert| starts[*expert as usize] += 1);
        let mut end = 0;
        for start in starts.iter_mut() {
            end += *start;
            *start = end;
        }
        rows.clear();
        rows.resize(chosen.len(), 0);
        row_weights.clear();
        row_weights.resize(chosen.len(), 0.0);
        for (i, expert) in chosen.iter().enumerate().rev() {
            let at = &mut starts[*expert as usize];
            *at -= 1;
            // Rows of a step are numbered by u32s everywhere.
            (rows[*at], row_weights[*at]) = ((i / used) as u32, chosen_weights[i]);
        }
    }

    /// An expert's rows, ascending, and their weights.
    fn of(&self, expert: usize) -> (&[u32], &[f32]) {
        let range = self.starts[expert]..self.starts[expert + 1];
        (&self.rows[range.clone()], &self.weights[range])
    }
}

/// The numbers of the greatest scores, greatest first, of equal ones the lower number.
fn choose_best(scores: &[f32], chosen: &mut [u32]) {
    let mut count = 0;
    for (number, score) in scores.iter().enumerate() {
        let better = |other: &&u32| scores[**other as usize].total_cmp(score).is_ge();
        let at = chosen[..count].iter().take_while(better).count();
        if at < chosen.len() {
            count = (count + 1).min(chosen.len());
            chosen.copy_within(at..count - 1, at + 1);
            chosen[at] = number as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use kernels::Level;

    use super::*;

    #[test]
    fn the_best_are_chosen_and_of_equals_the_first() {
        let best = |scores: &[f32], used| {
            let mut chosen = vec![u32::MAX; used];
            choose_best(scores, &mut chosen);
            chosen
        };
        assert_eq!(best(&[1.0, 3.0, 2.0, 3.0, -1.0], 3), [1, 3, 2]);
        assert_eq!(best(&[0.0; 4], 2), [0, 1]);
        assert_eq!(best(&[1.0, 2.0, 3.0], 3), [2, 1, 0]);
        assert_eq!(best(&[f32::NAN, f32::NAN, f32::NAN], 2).len(), 2);
        assert_eq!(best(&[f32::NEG_INFINITY, 5.0], 1), [1]);
    }

    #[test]
    fn rows_are_grouped_by_expert_with_their_weights() {
        let scores = [[0.0f32, 2.0, 1.0], [5.0, 5.0, -9.0], [0.0, 1.0, 3.0]];
        let pool = Pool::new(Level::detect(), 1);
        for weights in [Weights::OfChosen, Weights::OfAll] {
            let mut routes = Routes::default();
            // More rows first: what they leave must not matter.
            routes.scores.of_length(30).fill(1.0);
            routes.choose(&pool, 10, 3, 2, weights);
            let places = |routes: &Routes| {
                let Routes { chosen, starts, rows, weights, .. } = routes;
                (chosen.as_ptr(), starts.as_ptr(), rows.as_ptr(), weights.as_ptr(), rows.capacity())
            };
            let before = places(&routes);
            routes.scores.of_length(9).copy_from_slice(scores.as_flattened());
            routes.choose(&pool, 3, 3, 2, weights);
            assert_eq!(places(&routes), before, "nothing is allocated for a step that is not larger");
            let rows: Vec<&[u32]> = (0..3).map(|expert| routes.of(expert).0).collect();
            assert_eq!(rows, [&[1][..], &[0, 1, 2], &[0, 2]]);
            for expert in 0..3 {
                let (rows, found) = routes.of(expert);
                for (row, found) in rows.iter().zip(found) {
                    let scores = scores[*row as usize];
                    let all: f32 = scores.iter().map(|score| score.exp()).sum();
                    let worst = scores.iter().copied().fold(f32::INFINITY, f32::min).exp();
                    let sum = if weights == Weights::OfAll { all } else { all - worst };
                    let wanted = scores[expert].exp() / sum;
                    assert!((found - wanted).abs() < 1e-6, "{weights:?}, row {row} of {expert}: {found}, not {wanted}");
                }
            }
        }
    }
}
