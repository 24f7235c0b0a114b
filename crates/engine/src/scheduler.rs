//! Which rows run in the next step, and which KV blocks they use. Plain data, no tensors; tokens are looked at only to
//! share blocks.
//!
//! - Every running sequence that wants one row (decode) gets it. Prompts get chunks of what the step has left, at most half
//!   of it while anything decodes, so that a long prompt stalls nobody.
//! - Chunks go to the salt that was served the fewest rows, first come first served inside a salt. A salt that comes back
//!   starts no lower than the least served of those that stayed (the virtual counters of Sheng et al. 2024, "Fairness in
//!   Serving Large Language Models"), so nobody saves up.
//! - A waiting sequence is admitted when there is a place and blocks for all that it has to compute, and one spare block
//!   for every running sequence, so that admission does not lead straight to preemption. When the first in turn cannot be
//!   admitted, nobody overtakes it. What the [prefix tree](crate::prefix_tree) has of it is not computed, and counts for
//!   nothing in its salt's turn.
//! - A decode row that finds no block takes those of the newest running sequence, which waits again; what the prefix tree
//!   has lost of that one by then is computed anew. The oldest is never robbed, so it always gets on; that and the bound on
//!   one sequence's length make livelock impossible.

use std::collections::BTreeMap;

use crate::{
    blocks::{BLOCK_LEN, blocks_for},
    prefix_tree::PrefixTree,
    turns::Turns,
};

/// Order of submission, from oldest to newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SequenceId(pub u64);

/// What a sequence's reader allows in the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// At most this many rows.
    Rows(usize),
    /// Nothing; it keeps its place and its blocks.
    Stalled,
    /// Nothing, and whoever needs its place or its blocks may have them.
    Yielding,
}

/// Consecutive rows of one sequence in the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Whose.
    pub id: SequenceId,
    /// Position of the first.
    pub position: usize,
    /// How many.
    pub rows: usize,
}

/// A sequence as the scheduler sees it.
#[derive(Debug)]
struct Entry {
    salt: u64,
    /// Tokens it has, prompt and output.
    tokens: usize,
    /// Tokens whose keys and values are in its blocks.
    computed: usize,
    /// Its blocks in order of position. A sequence runs when it has any, and waits otherwise. Those that are computed to
    /// their end are nodes of the tree, the others are private.
    blocks: Vec<u32>,
    readiness: Readiness,
}

impl Entry {
    fn is_running(&self) -> bool {
        !self.blocks.is_empty()
    }

    fn wants(&self) -> usize {
        self.tokens - self.computed
    }

    /// Rows that may run now.
    fn ready(&self) -> usize {
        match self.readiness {
            Readiness::Rows(rows) => rows.min(self.wants()),
            Readiness::Stalled | Readiness::Yielding => 0,
        }
    }

    fn decodes(&self) -> bool {
        self.is_running() && self.wants() == 1 && self.ready() == 1
    }
}

/// All live sequences, their blocks and their turns.
#[derive(Debug)]
pub(crate) struct Scheduler {
    tree: PrefixTree,
    entries: BTreeMap<SequenceId, Entry>,
    turns: Turns,
    max_sequences: usize,
    step_rows: usize,
    running: usize,
    preemptions: u64,
}

impl Scheduler {
    /// No sequences, all of `blocks` free.
    pub fn new(blocks: usize, max_sequences: usize, step_rows: usize) -> Self {
        Self {
            tree: PrefixTree::new(blocks),
            entries: BTreeMap::new(),
            turns: Turns::default(),
            max_sequences: max_sequences.max(1),
            step_rows: step_rows.max(1),
            running: 0,
            preemptions: 0,
        }
    }

    /// A new sequence of `tokens` tokens, which waits. Ids are given in rising order and never again.
    pub fn add(&mut self, id: SequenceId, salt: u64, tokens: usize) {
        self.turns.enter(salt);
        let entry = Entry { salt, tokens, computed: 0, blocks: Vec::new(), readiness: Readiness::Rows(usize::MAX) };
        self.entries.insert(id, entry);
    }

    /// The sequence is gone; its blocks are free.
    pub fn remove(&mut self, id: SequenceId) {
        self.release(id);
        if let Some(entry) = self.entries.remove(&id) {
            self.turns.leave(entry.salt);
        }
    }

    /// What the sequence's reader allows from now on.
    pub fn set_readiness(&mut self, id: SequenceId, readiness: Readiness) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.readiness = readiness;
        }
    }

    /// The rows of the next step, in order. Each sequence of it has the blocks that its rows need.
    ///
    /// `reusable` gives the tokens of a waiting sequence, as far as blocks that others computed will do for them. A sequence
    /// that is planned for the first time begins behind what was found.
    pub fn schedule<'a>(&mut self, reusable: impl Fn(SequenceId) -> &'a [u32]) -> Vec<Planned> {
        let mut plan = Vec::new();
        self.schedule_decodes(&mut plan);
        let left = self.step_rows.saturating_sub(plan.len());
        let budget = if plan.is_empty() { left } else { left.min(self.step_rows / 2).max(1) };
        self.schedule_chunks(budget, &mut plan, reusable);
        plan
    }

    /// One row for each running sequence that wants one, oldest first.
    fn schedule_decodes(&mut self, plan: &mut Vec<Planned>) {
        let decoding: Vec<SequenceId> = self.entries.iter().filter(|(_, e)| e.decodes()).map(|(&id, _)| id).collect();
        for id in decoding {
            // An older one may have taken this one's blocks meanwhile.
            if !self.entries[&id].is_running() || !self.grow(id) {
                continue;
            }
            let entry = &self.entries[&id];
            plan.push(Planned { id, position: entry.computed, rows: 1 });
            self.turns.serve(entry.salt, 1);
        }
    }

    /// Gives the sequence the block of its next row, if need be that of the newest; `false` when it is the newest itself.
    fn grow(&mut self, id: SequenceId) -> bool {
        loop {
            let entry = self.entries.get_mut(&id).expect("only live sequences are scheduled");
            if entry.computed < entry.blocks.len() * BLOCK_LEN {
                return true;
            }
            if let Some(block) = self.tree.take() {
                entry.blocks.push(block);
                return true;
            }
            let newest = self.entries.iter().rev().find(|(_, e)| e.is_running()).map(|(&id, _)| id);
            let newest = newest.expect("at least the one that grows is running");
            self.preempt(newest);
            if newest == id {
                return false;
            }
        }
    }

    /// Fills `budget` rows with chunks of prompts, running ones and those that can be admitted.
    fn schedule_chunks<'a>(
        &mut self,
        mut budget: usize,
        plan: &mut Vec<Planned>,
        reusable: impl Fn(SequenceId) -> &'a [u32],
    ) {
        // Candidates of each salt, newest first, so that the next in turn is popped.
        let mut queues = BTreeMap::<u64, Vec<SequenceId>>::new();
        for (&id, entry) in self.entries.iter().rev() {
            if entry.ready() > 0 && !entry.decodes() {
                queues.entry(entry.salt).or_default().push(id);
            }
        }
        let mut admitting = true;
        while budget > 0 {
            let served = |salt: &u64| self.turns.served(*salt);
            let next = queues.iter().filter_map(|(salt, queue)| Some((served(salt), *queue.last()?, *salt))).min();
            let Some((_, id, salt)) = next else { return };
            if let Some(queue) = queues.get_mut(&salt) {
                queue.pop();
            }
            if !self.entries[&id].is_running() {
                admitting = admitting && self.admit(id, reusable(id));
                if !admitting {
                    continue; // those that run already may still use the step
                }
            }
            let entry = &self.entries[&id];
            let rows = entry.ready().min(budget);
            plan.push(Planned { id, position: entry.computed, rows });
            self.turns.serve(salt, rows);
            budget -= rows;
        }
    }

    /// Gives a waiting sequence its place and the blocks of all its tokens, shared ones for the beginning of `reusable`;
    /// `false` when there are too few of either.
    fn admit(&mut self, id: SequenceId, reusable: &[u32]) -> bool {
        let entry = &self.entries[&id];
        // The last token is always computed: somebody wants its logits.
        let shared = self.tree.find(entry.salt, &reusable[..reusable.len().saturating_sub(1)]);
        let needed = blocks_for(entry.tokens) - shared.len();
        loop {
            // Alone, a sequence always fits. Beside others it leaves them (and itself) a block to grow into.
            let spare = if self.running == 0 { 0 } else { self.running + 1 };
            if self.running < self.max_sequences && self.tree.available_beside(&shared) >= needed + spare {
                break;
            }
            let yielding =
                self.entries.iter().rev().find(|(_, e)| e.is_running() && e.readiness == Readiness::Yielding);
            let Some((&victim, _)) = yielding else { return false };
            self.preempt(victim);
        }
        self.tree.hold(&shared);
        let entry = self.entries.get_mut(&id).expect("only live sequences are scheduled");
        entry.computed = shared.len() * BLOCK_LEN;
        entry.blocks = shared;
        entry.blocks.extend((0..needed).map_while(|_| self.tree.take()));
        debug_assert_eq!(entry.blocks.len(), blocks_for(entry.tokens));
        self.running += 1;
        true
    }

    /// Takes a sequence's blocks: it waits, and what the tree does not keep is computed again.
    fn preempt(&mut self, id: SequenceId) {
        self.release(id);
        self.preemptions += 1;
    }

    fn release(&mut self, id: SequenceId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.is_running() {
            self.running -= 1;
        }
        self.tree.let_go(&entry.blocks);
        entry.blocks.clear();
        entry.computed = 0;
    }

    /// The planned rows ran; `tokens` are all that the sequence has now. Blocks that are computed to their end are shared
    /// from now on.
    pub fn commit(&mut self, planned: &Planned, tokens: &[u32]) {
        let Some(entry) = self.entries.get_mut(&planned.id) else { return };
        let shared = entry.computed / BLOCK_LEN;
        entry.computed += planned.rows;
        entry.tokens = tokens.len();
        let (full, _rest) = tokens[..entry.computed].as_chunks();
        for (at, &tokens) in full.iter().enumerate().skip(shared) {
            let before = at.checked_sub(1).map(|before| entry.blocks[before]);
            entry.blocks[at] = self.tree.share(entry.salt, before, tokens, entry.blocks[at]);
        }
    }

    /// The sequence's blocks in order of position; empty when it waits.
    pub fn blocks(&self, id: SequenceId) -> &[u32] {
        self.entries.get(&id).map_or(&[], |entry| &entry.blocks)
    }

    /// Sequences that hold blocks.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Blocks that sequences hold.
    pub fn blocks_used(&self) -> usize {
        self.tree.used()
    }

    /// Blocks that nobody holds and that may be shared again.
    pub fn blocks_cached(&self) -> usize {
        self.tree.cached()
    }

    /// Blocks in all.
    pub fn blocks_total(&self) -> usize {
        self.tree.total()
    }

    /// Times that a sequence lost its blocks.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Whether the block accounting agrees with the sequences.
    pub fn is_consistent(&self) -> bool {
        let running = self.entries.values().filter(|entry| entry.is_running()).count();
        running == self.running && self.tree.agrees_with(self.entries.values().map(|entry| &entry.blocks[..]))
    }
}

#[cfg(test)]
mod tests;
