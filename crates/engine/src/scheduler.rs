//! Which rows run in the next step, and which KV blocks they use. Plain data, no tensors; tokens are looked at only to
//! share blocks.
//!
//! - Every running sequence that wants one row (decode) gets it. Prompts get chunks of what the step has left, which is as
//!   much as the [budget](crate::budget) of time allows, so that a long prompt stalls nobody.
//! - Salts that were served more than [`BURST`] rows beyond the least served one wait. A salt that comes back starts no
//!   lower than the least served of those that stayed (the virtual counters of Sheng et al. 2024, "Fairness in Serving Large
//!   Language Models"), so nobody saves up.
//! - Of the prompts whose salts do not wait, the one with the fewest rows left goes first: that keeps the mean time to first
//!   token lowest (Schrage 1968, "A Proof of the Optimality of the Shortest Remaining Processing Time Discipline"). A
//!   quarter of the rows goes to the oldest instead, so that short prompts slow a long one down to that and no further.
//! - Waiting sequences are admitted in the order in which they came: when there is a place and blocks for all that one has
//!   to compute, and one spare block for every running sequence, so that admission does not lead straight to preemption.
//!   When the first cannot be admitted, nobody overtakes it. What the [prefix tree](crate::prefix_tree) has of it is not
//!   computed, and counts for nothing in its salt's turn.
//! - A decode row that finds no block takes those of the newest running sequence, which waits again; what the prefix tree
//!   has lost of that one by then is computed anew. The oldest is never robbed, so it always gets on; that and the bound on
//!   one sequence's length make livelock impossible.

use std::collections::BTreeMap;

use crate::{
    blocks::{BLOCK_LEN, blocks_for},
    prefix_tree::PrefixTree,
    turns::Turns,
};

/// Rows that a salt may be served beyond the least served one before it waits. A request that is shorter is served without
/// regard to turns, unless its salt is ahead already.
const BURST: u64 = 128;

/// For each row of the oldest prompt, the shortest ones may get this many.
const SHORTEST: usize = 3;

/// Rows that are handed out at a time: those of a block, or more where the step is large.
const CHUNK: usize = BLOCK_LEN;

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
    /// While it waits: tokens that were found in the tree when its length was first of interest.
    found: Option<usize>,
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
    /// Rows that went to the shortest prompts since the oldest had its share.
    owed: usize,
}

/// A prompt that may get rows of the step.
#[derive(Debug)]
struct Candidate {
    id: SequenceId,
    salt: u64,
    /// Rows that it has got.
    planned: usize,
    /// Rows that it may still get.
    ready: usize,
    /// Rows until its first token, as far as that can be told.
    left: usize,
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
            owed: 0,
        }
    }

    /// A new sequence of `tokens` tokens, which waits. Ids are given in rising order and never again.
    pub fn add(&mut self, id: SequenceId, salt: u64, tokens: usize) {
        self.turns.enter(salt);
        let readiness = Readiness::Rows(usize::MAX);
        let entry = Entry { salt, tokens, computed: 0, blocks: Vec::new(), readiness, found: None };
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
    /// `prompt_rows` says how many rows of prompts go well with so many that decode. Whoever says none has to say more soon.
    ///
    /// `reusable` gives the tokens of a waiting sequence, as far as blocks that others computed will do for them. A sequence
    /// that is planned for the first time begins behind what was found.
    pub fn schedule<'a>(
        &mut self,
        prompt_rows: impl Fn(usize) -> usize,
        reusable: impl Fn(SequenceId) -> &'a [u32],
    ) -> Vec<Planned> {
        let mut plan = Vec::new();
        self.schedule_decodes(&mut plan);
        let most = self.step_rows.saturating_sub(plan.len()).max(1);
        self.schedule_chunks(prompt_rows(plan.len()).min(most), &mut plan, reusable);
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
        let chunk = CHUNK.max(budget / 8);
        let mut candidates = self.candidates(&reusable);
        while budget > 0 {
            let Some(oldest) = self.in_turn(&candidates).next() else { break };
            let next =
                if self.owed >= SHORTEST * chunk { oldest } else { self.shortest(&candidates).unwrap_or(oldest) };
            let id = candidates[next].id;
            if !self.entries[&id].is_running() {
                let first = self.first_waiting(&candidates).unwrap_or(next);
                if self.admit(candidates[first].id, reusable(candidates[first].id)) {
                    candidates[first] = self.candidate(candidates[first].id);
                } else {
                    // Those that run already may still use the step.
                    candidates.retain(|candidate| self.entries[&candidate.id].is_running());
                }
                continue;
            }
            let candidate = &mut candidates[next];
            let rows = chunk.min(candidate.ready).min(budget);
            candidate.planned += rows;
            candidate.ready -= rows;
            candidate.left -= rows;
            budget -= rows;
            self.turns.serve(candidate.salt, rows);
            self.owed = if next == oldest { self.owed.saturating_sub(SHORTEST * rows) } else { self.owed + rows };
        }
        let planned = candidates.iter().filter(|candidate| candidate.planned > 0);
        plan.extend(planned.map(|candidate| Planned {
            id: candidate.id,
            position: self.entries[&candidate.id].computed,
            rows: candidate.planned,
        }));
    }

    /// All prompts that may get rows, oldest first.
    fn candidates<'a>(&mut self, reusable: impl Fn(SequenceId) -> &'a [u32]) -> Vec<Candidate> {
        for (&id, entry) in &mut self.entries {
            if !entry.is_running() && entry.found.is_none() {
                let shared = self.tree.find(entry.salt, all_but_last(reusable(id)));
                entry.found = Some(shared.len() * BLOCK_LEN);
            }
        }
        let chunks = self.entries.iter().filter(|(_, entry)| entry.ready() > 0 && !entry.decodes());
        chunks.map(|(&id, _)| self.candidate(id)).collect()
    }

    fn candidate(&self, id: SequenceId) -> Candidate {
        let entry = &self.entries[&id];
        let found = if entry.is_running() { 0 } else { entry.found.unwrap_or(0) };
        Candidate { id, salt: entry.salt, planned: 0, ready: entry.ready(), left: entry.wants() - found }
    }

    /// The one of those in turn with the fewest rows left.
    fn shortest(&self, candidates: &[Candidate]) -> Option<usize> {
        self.in_turn(candidates).min_by_key(|&at| (candidates[at].left, candidates[at].id))
    }

    /// The oldest of those in turn that wait.
    fn first_waiting(&self, candidates: &[Candidate]) -> Option<usize> {
        self.in_turn(candidates).find(|&at| !self.entries[&candidates[at].id].is_running())
    }

    /// Those that can take rows and whose salts are not ahead of others, oldest first.
    fn in_turn<'a>(&'a self, candidates: &'a [Candidate]) -> impl Iterator<Item = usize> + 'a {
        let ready = |candidate: &&Candidate| candidate.ready > 0;
        let served = candidates.iter().filter(ready).map(|candidate| self.turns.served(candidate.salt));
        let most = served.min().unwrap_or(0) + BURST;
        let in_turn = move |candidate: &Candidate| candidate.ready > 0 && self.turns.served(candidate.salt) <= most;
        candidates.iter().enumerate().filter(move |(_, candidate)| in_turn(candidate)).map(|(at, _)| at)
    }

    /// Gives a waiting sequence its place and the blocks of all its tokens, shared ones for the beginning of `reusable`;
    /// `false` when there are too few of either.
    fn admit(&mut self, id: SequenceId, reusable: &[u32]) -> bool {
        let entry = &self.entries[&id];
        let shared = self.tree.find(entry.salt, all_but_last(reusable));
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
        entry.found = None;
    }

    /// Gives a planned sequence that decodes the blocks of `rows` rows, as far as they are there for nobody's loss; so many
    /// rows it may run.
    pub fn lengthen(&mut self, planned: &mut Planned, rows: usize) {
        let Some(entry) = self.entries.get_mut(&planned.id) else { return };
        while entry.blocks.len() < blocks_for(entry.computed + rows) {
            let Some(block) = self.tree.take() else { break };
            entry.blocks.push(block);
        }
        planned.rows = rows.min(entry.blocks.len() * BLOCK_LEN - entry.computed);
    }

    /// Of the planned rows the first `rows` ran for tokens that the sequence has; `tokens` are all that it has now. Blocks
    /// that are computed to their end are shared from now on. Where a draft was wrong, nothing is: the rows behind are
    /// written anew before anybody reads them.
    pub fn commit(&mut self, id: SequenceId, rows: usize, tokens: &[u32]) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        // The row of the last token was served when it was planned, those of a prompt too.
        let decoded = entry.computed + 1 == entry.tokens;
        if decoded && rows > 1 {
            self.turns.serve(entry.salt, rows - 1);
        }
        let shared = entry.computed / BLOCK_LEN;
        entry.computed += rows;
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

    /// Whether a sequence waits.
    pub fn has_waiting(&self) -> bool {
        self.running < self.entries.len()
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

/// What others may have computed of a sequence: its last token is always computed, because somebody wants its logits.
fn all_but_last(tokens: &[u32]) -> &[u32] {
    &tokens[..tokens.len().saturating_sub(1)]
}

#[cfg(test)]
mod tests;
