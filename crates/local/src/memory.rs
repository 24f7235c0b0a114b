//! How much memory a model will take, decided before anything is read.

use models::{BLOCK_LEN, Description};
use thiserror::Error;

/// Tokens whose keys and values share a block.
pub const TOKENS_PER_KV_BLOCK: u64 = BLOCK_LEN as u64;

/// KV cache that is taken when nobody says otherwise: this many whole contexts, when memory allows.
const DEFAULT_CONTEXTS: u64 = 8;

/// Part of the memory that weights leave which the KV cache takes by default: one in this many.
const DEFAULT_KV_SHARE: u64 = 4;

/// What activations, logits and the tokenizer take beside weights and KV cache, as a rough upper bound.
const SCRATCH_BYTES: u64 = 192 << 20;

/// Fewest tokens of context with which a model is still of use.
const LEAST_CONTEXT: u64 = 256;

/// What the operator asked for and what the machine grants.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes that this process may use altogether.
    pub available: u64,
    /// Tokens of context, when set by the operator.
    pub context_length: Option<u64>,
    /// Bytes of KV cache, when set by the operator.
    pub kv_bytes: Option<u64>,
}

/// Sizes that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Most tokens that prompt and answer may have together.
    pub context_length: u64,
    /// Blocks of the KV cache.
    pub kv_blocks: u64,
    /// Bytes of the KV cache.
    pub kv_bytes: u64,
    /// Bytes of the repacked weights.
    pub weight_bytes: u64,
    /// `kv_bytes + weight_bytes` and scratch memory.
    pub total_bytes: u64,
}

/// Why a model cannot be loaded into the memory at hand.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MemoryError {
    /// Weights and a useful KV cache are larger than what is available.
    #[error(
        "the model needs {} MiB ({} MiB of weights, {} MiB of KV cache for {context_length} tokens, {} MiB of scratch), but {} MiB are \
         available; lower --context or --kv-memory, choose a smaller model, or give the process more memory",
        mebibytes(*needed), mebibytes(*weights), mebibytes(*kv), mebibytes(SCRATCH_BYTES), mebibytes(*available)
    )]
    DoesNotFit {
        /// Bytes altogether.
        needed: u64,
        /// Bytes of repacked weights.
        weights: u64,
        /// Bytes of KV cache.
        kv: u64,
        /// Tokens that this cache was to hold.
        context_length: u64,
        /// Bytes there are.
        available: u64,
    },
    /// The operator's cache is smaller than the operator's context.
    #[error(
        "a KV cache of {} MiB holds {holds} tokens, fewer than the {context_length} tokens of context; raise --kv-memory to at least \
         {} MiB or lower --context",
        mebibytes(*kv), mebibytes(*needed)
    )]
    CacheTooSmall {
        /// Bytes of KV cache.
        kv: u64,
        /// Tokens that fit in it.
        holds: u64,
        /// Tokens of one sequence at full length.
        context_length: u64,
        /// Bytes that one such sequence needs.
        needed: u64,
    },
}

fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Chooses context length and KV cache for a model.
///
/// What the operator set is kept or refused, never changed. What is left open shrinks to what fits.
pub fn plan(model: &Description, budget: Budget) -> Result<MemoryPlan, MemoryError> {
    let block = BLOCK_LEN as u64;
    let trained = model.context_length as u64;
    let fixed = model.weight_bytes.saturating_add(SCRATCH_BYTES);
    let left = budget.available.saturating_sub(fixed);
    let bytes_of = |tokens: u64| tokens.div_ceil(block).saturating_mul(model.kv_block_bytes);

    let wanted_context = budget.context_length.unwrap_or(trained).min(trained).max(1);
    let (context_length, kv_bytes) = match (budget.context_length, budget.kv_bytes) {
        (Some(_), Some(kv)) => (wanted_context, kv),
        (Some(_), None) => (wanted_context, (left / DEFAULT_KV_SHARE).max(bytes_of(wanted_context))),
        (None, kv) => {
            let kv = kv.unwrap_or(left / DEFAULT_KV_SHARE);
            let holds = kv / model.kv_block_bytes.max(1) * block;
            (wanted_context.min(holds.max(LEAST_CONTEXT)), kv.max(bytes_of(LEAST_CONTEXT.min(wanted_context))))
        }
    };
    let one_context = bytes_of(context_length);
    let kv_bytes = match budget.kv_bytes {
        Some(set) => set,
        None => kv_bytes.min(one_context.saturating_mul(DEFAULT_CONTEXTS)),
    };
    let needed = fixed.saturating_add(kv_bytes);
    if needed > budget.available {
        return Err(MemoryError::DoesNotFit {
            needed,
            weights: model.weight_bytes,
            kv: kv_bytes,
            context_length,
            available: budget.available,
        });
    }
    if kv_bytes < one_context {
        let holds = kv_bytes / model.kv_block_bytes.max(1) * block;
        return Err(MemoryError::CacheTooSmall { kv: kv_bytes, holds, context_length, needed: one_context });
    }
    let kv_blocks = kv_bytes / model.kv_block_bytes.max(1);
    Ok(MemoryPlan { context_length, kv_blocks, kv_bytes, weight_bytes: model.weight_bytes, total_bytes: needed })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn model(weight_bytes: u64, context_length: usize) -> Description {
        Description {
            architecture: "llama".into(),
            parameters: 1,
            context_length,
            vocabulary: 100,
            weight_bytes,
            kv_block_bytes: MIB,
            defaults: Arc::default(),
        }
    }

    fn budget(available: u64) -> Budget {
        Budget { available, context_length: None, kv_bytes: None }
    }

    #[test]
    fn a_small_model_gets_its_whole_context_several_times() {
        let plan = plan(&model(100 * MIB, 1024), budget(16 << 30)).unwrap();
        assert_eq!(plan.context_length, 1024);
        assert_eq!(plan.kv_blocks, 8 * 64);
    }

    #[test]
    fn a_long_context_shrinks_to_what_fits() {
        let plan = plan(&model(100 * MIB, 1 << 20), budget(2 << 30)).unwrap();
        assert!(plan.context_length < 1 << 20 && plan.context_length >= LEAST_CONTEXT, "{plan:?}");
        assert!(plan.kv_blocks * BLOCK_LEN as u64 >= plan.context_length, "{plan:?}");
        assert!(plan.total_bytes <= 2 << 30);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let error = plan(&model(4 << 30, 1024), budget(2 << 30)).unwrap_err().to_string();
        assert!(error.contains("4096 MiB of weights") && error.contains("2048 MiB are available"), "{error}");
    }

    #[test]
    fn settings_of_the_operator_are_kept_or_refused() {
        let small = Budget { available: 8 << 30, context_length: Some(4096), kv_bytes: Some(16 * MIB) };
        assert!(matches!(plan(&model(MIB, 8192), small), Err(MemoryError::CacheTooSmall { holds: 256, .. })));
        let whole = Budget { available: 8 << 30, context_length: Some(4096), kv_bytes: Some(256 * MIB) };
        assert_eq!(plan(&model(MIB, 8192), whole).unwrap().kv_blocks, 256);
    }

    #[test]
    fn every_plan_holds_one_sequence_at_full_length() {
        for available in [300 * MIB, 512 * MIB, 1 << 30, 1 << 40] {
            for context in [16, 300, 4096, 1 << 20] {
                if let Ok(plan) = plan(&model(10 * MIB, context), budget(available)) {
                    assert!(plan.kv_blocks * BLOCK_LEN as u64 >= plan.context_length, "{plan:?}");
                    assert!(plan.total_bytes <= available, "{plan:?}");
                }
            }
        }
    }
}
