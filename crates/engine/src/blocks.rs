//! Which KV blocks are free. Plain numbers: the keys and values themselves are the runner's.

/// Positions in a block, as the runner's cache has it.
pub(crate) use kernels::kv::BLOCK_LEN;

/// Blocks that `positions` positions need.
pub(crate) fn blocks_for(positions: usize) -> usize {
    positions.div_ceil(BLOCK_LEN)
}

/// All KV blocks, each either free or held: by one sequence, or by the prefix tree.
#[derive(Debug)]
pub(crate) struct BlockPool {
    /// Free block ids; the last is taken next, so that recently used memory is used again.
    free: Vec<u32>,
    /// Indexed by block id.
    held: Vec<bool>,
}

impl BlockPool {
    /// A pool of `total` free blocks with the ids `0..total`.
    pub fn new(total: usize) -> Self {
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        Self { free: (0..total).rev().collect(), held: vec![false; total as usize] }
    }

    /// Blocks in all.
    pub fn total(&self) -> usize {
        self.held.len()
    }

    /// Blocks that nobody holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Blocks that are held.
    pub fn used(&self) -> usize {
        self.total() - self.free()
    }

    /// Takes a free block.
    pub fn take(&mut self) -> Option<u32> {
        let block = self.free.pop()?;
        self.held[block as usize] = true;
        Some(block)
    }

    /// Returns a block.
    ///
    /// # Panics
    ///
    /// When nobody holds it: going on would give one block to two sequences.
    pub fn give_back(&mut self, block: u32) {
        let held = &mut self.held[block as usize];
        assert!(*held, "KV block {block} was given back twice");
        *held = false;
        self.free.push(block);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn positions_need_whole_blocks() {
        assert_eq!([0, 1, BLOCK_LEN, BLOCK_LEN + 1].map(blocks_for), [0, 1, 1, 2]);
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn a_block_is_given_back_once() {
        let mut pool = BlockPool::new(2);
        let block = pool.take().expect("two are free");
        pool.give_back(block);
        pool.give_back(block);
    }

    proptest! {
        /// The twin is a set of held blocks.
        #[test]
        fn no_block_is_held_twice_and_sums_match(total in 0_usize..20, takes in prop::collection::vec(any::<(bool, u8)>(), 0..200)) {
            let mut pool = BlockPool::new(total);
            let mut held = BTreeSet::new();
            for (take, pick) in takes {
                if take {
                    match pool.take() {
                        Some(block) => prop_assert!(held.insert(block) && (block as usize) < total),
                        None => prop_assert_eq!(held.len(), total),
                    }
                } else if let Some(&block) = held.iter().nth(usize::from(pick) % held.len().max(1)) {
                    held.remove(&block);
                    pool.give_back(block);
                }
                prop_assert_eq!((pool.used(), pool.free(), pool.total()), (held.len(), total - held.len(), total));
            }
        }
    }
}
