//! Which KV blocks are free, held and shared: full blocks are kept, in a tree whose paths are prefixes.
//!
//! A block that is taken is private to its sequence. Once all its positions are computed it becomes a node of the tree, is
//! never written again, and stays when its sequence goes. Another sequence that begins with the same tokens under the same
//! salt holds it too instead of computing it. Only whole blocks are shared: a sequence writes behind them, in blocks of
//! its own, so nothing is ever copied; what that costs is computing fewer than [`BLOCK_LEN`] tokens again.
//!
//! A node is a block, and is found by its parent and its own tokens. Keys are compared and not only hashed, and a parent
//! outlives its children, so by induction two equal keys mean the same tokens from the first one on.
//!
//! When no block is free, the least recently used leaf that nobody holds is given away. Whoever holds a node holds all its
//! ancestors, so a sequence never loses a block that it uses.

use std::collections::{BTreeSet, HashMap};

use crate::blocks::{BLOCK_LEN, BlockPool};

/// All KV blocks: free, private to a sequence, or nodes of the tree.
#[derive(Debug)]
pub(crate) struct PrefixTree {
    pool: BlockPool,
    /// The block of each node.
    blocks: HashMap<Key, u32>,
    /// Indexed by block id; `None` where the block is free or private.
    nodes: Vec<Option<Node>>,
    /// Leaves that nobody holds, each after the time of its last use.
    evictable: BTreeSet<(u64, u32)>,
    /// Nodes that nobody holds.
    cached: usize,
    /// Counts releases: the time by which use is ordered.
    clock: u64,
}

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    parent: Parent,
    tokens: [u32; BLOCK_LEN],
}

/// What comes before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Parent {
    /// Nothing: the block begins the sequences of this salt.
    Salt(u64),
    /// The prefix that ends with this block.
    Block(u32),
}

#[derive(Debug)]
struct Node {
    key: Key,
    /// Sequences that have it in their tables.
    holders: usize,
    children: usize,
    /// When its last holder let it go.
    last_used: u64,
}

impl Node {
    fn is_evictable(&self) -> bool {
        self.holders == 0 && self.children == 0
    }
}

impl PrefixTree {
    /// An empty tree over `total` free blocks with the ids `0..total`.
    pub fn new(total: usize) -> Self {
        let pool = BlockPool::new(total);
        Self {
            nodes: (0..pool.total()).map(|_| None).collect(),
            pool,
            blocks: HashMap::new(),
            evictable: BTreeSet::new(),
            cached: 0,
            clock: 0,
        }
    }

    /// Blocks in all.
    pub fn total(&self) -> usize {
        self.pool.total()
    }

    /// Blocks that sequences hold; one that several share counts once.
    pub fn used(&self) -> usize {
        self.pool.used() - self.cached
    }

    /// Blocks that nobody holds and that are kept for whoever begins with the same tokens.
    pub fn cached(&self) -> usize {
        self.cached
    }

    /// Blocks that could be taken by a sequence that holds `shared`.
    pub fn available_beside(&self, shared: &[u32]) -> usize {
        let cached = shared.iter().filter(|&&block| self.node(block).holders == 0).count();
        self.pool.free() + self.cached - cached
    }

    /// The longest kept prefix of `tokens` in whole blocks, in order. Nobody holds them by that.
    pub fn find(&self, salt: u64, tokens: &[u32]) -> Vec<u32> {
        let (full, _rest) = tokens.as_chunks();
        let mut parent = Parent::Salt(salt);
        let mut next = |&tokens: &[u32; BLOCK_LEN]| {
            let block = *self.blocks.get(&Key { parent, tokens })?;
            parent = Parent::Block(block);
            Some(block)
        };
        full.iter().map_while(&mut next).collect()
    }

    /// Holds the blocks of a prefix.
    pub fn hold(&mut self, shared: &[u32]) {
        for &block in shared {
            let node = self.nodes[block as usize].as_mut().expect("only nodes are shared");
            if node.is_evictable() {
                self.evictable.remove(&(node.last_used, block));
            }
            self.cached -= usize::from(node.holders == 0);
            node.holders += 1;
        }
    }

    /// Takes a private block: a free one, or else the leaf that was not used for longest.
    pub fn take(&mut self) -> Option<u32> {
        self.pool.take().or_else(|| self.evict())
    }

    fn evict(&mut self) -> Option<u32> {
        let (_, block) = self.evictable.pop_first()?;
        let node = self.nodes[block as usize].take().expect("only nodes can be evicted");
        self.blocks.remove(&node.key);
        self.cached -= 1;
        if let Parent::Block(parent) = node.key.parent {
            let node = self.nodes[parent as usize].as_mut().expect("a parent outlives its children");
            node.children -= 1;
            if node.is_evictable() {
                self.evictable.insert((node.last_used, parent));
            }
        }
        Some(block)
    }

    /// Turns a private block, whose positions are all computed for `tokens`, into a node behind the block `before`, or at
    /// the beginning. Its holder goes on with the block that is returned: another one when somebody was faster, whose keys
    /// and values are the same bits; the holder's own is then free.
    pub fn share(&mut self, salt: u64, before: Option<u32>, tokens: [u32; BLOCK_LEN], block: u32) -> u32 {
        let key = Key { parent: before.map_or(Parent::Salt(salt), Parent::Block), tokens };
        if let Some(&same) = self.blocks.get(&key) {
            self.hold(&[same]);
            self.pool.give_back(block);
            return same;
        }
        if let Some(before) = before {
            self.nodes[before as usize].as_mut().expect("a prefix is shared from its beginning").children += 1;
        }
        self.blocks.insert(key.clone(), block);
        self.nodes[block as usize] = Some(Node { key, holders: 1, children: 0, last_used: 0 });
        block
    }

    /// A sequence lets go of the blocks of its table: nodes stay, private ones are free.
    pub fn let_go(&mut self, table: &[u32]) {
        self.clock += 1;
        for &block in table {
            let Some(node) = &mut self.nodes[block as usize] else {
                self.pool.give_back(block);
                continue;
            };
            assert!(node.holders > 0, "KV block {block} was let go once too often");
            node.holders -= 1;
            if node.holders == 0 {
                node.last_used = self.clock;
                self.cached += 1;
                if node.children == 0 {
                    self.evictable.insert((node.last_used, block));
                }
            }
        }
    }

    fn node(&self, block: u32) -> &Node {
        self.nodes[block as usize].as_ref().expect("only nodes are shared")
    }

    /// Whether these are the tables of all sequences: each node is held as often as it is in one, and every other block is
    /// free or in exactly one.
    pub fn agrees_with<'a>(&self, tables: impl Iterator<Item = &'a [u32]>) -> bool {
        let mut holders = vec![0; self.nodes.len()];
        tables.flatten().for_each(|&block| holders[block as usize] += 1);
        let held = holders.iter().filter(|&&holders| holders > 0).count();
        held == self.used()
            && self.nodes.iter().zip(&holders).all(|(node, &holders)| match node {
                Some(node) => node.holders == holders,
                None => holders <= 1,
            })
    }
}

#[cfg(test)]
mod tests;
