//! Log-probabilities as the model gives them: temperature 1, before penalties, bias and constraints.

use crate::{
    Token,
    selection::{self, largest},
    softmax::{BadLogits, maximum, sum_exp},
};

/// Computes log-probabilities; keeps its scratch memory.
#[derive(Debug, Default)]
pub(crate) struct Logprobs {
    keys: Vec<u64>,
}

impl Logprobs {
    /// Token `id` with its log-probability, and the `top` most likely tokens, under a row of raw `logits`.
    pub fn token(&mut self, logits: &[f32], id: u32, top: usize) -> Result<Token, BadLogits> {
        let maximum = maximum(logits)?;
        let log_sum = sum_exp(logits, maximum).ln();
        let logprob = |id: u32| (f64::from(logits[id as usize]) - f64::from(maximum) - log_sum) as f32;
        largest(logits, top, &mut self.keys);
        let top = self.keys.iter().map(|&key| selection::id(key)).map(|id| (id, logprob(id))).collect();
        Ok(Token { id, logprob: Some(logprob(id)), top })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logprobs_agree_with_f64() {
        let row: Vec<f32> =
            (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 4096.0 - 8.0).collect();
        let exact_sum = row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        let exact = |id: u32| f64::from(row[id as usize]) - exact_sum;
        let token = Logprobs::default().token(&row, 17, 5).expect("the row is finite");
        assert!((f64::from(token.logprob.expect("asked for")) - exact(17)).abs() < 2e-6);
        let mut ids: Vec<u32> = (0..3000).collect();
        ids.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b)));
        assert_eq!(token.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), &ids[..5]);
        for (id, logprob) in token.top {
            assert!((f64::from(logprob) - exact(id)).abs() < 2e-6);
        }
    }

    #[test]
    fn an_impossible_token_has_probability_zero() {
        let token = Logprobs::default().token(&[0.0, f32::NEG_INFINITY], 1, 2).expect("one is possible");
        assert_eq!(token.logprob, Some(f32::NEG_INFINITY));
        assert_eq!(token.top, [(0, 0.0)]);
    }
}
