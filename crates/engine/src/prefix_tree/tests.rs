use proptest::prelude::*;

use super::*;

/// A prefix as the twin keeps it: all its tokens, found by looking at every one.
#[derive(Debug)]
struct Kept {
    salt: u64,
    tokens: Vec<u32>,
    block: u32,
    holders: usize,
    last_used: u64,
}

/// The twin: a list of prefixes, searched from end to end.
#[derive(Debug, Default)]
struct Twin {
    kept: Vec<Kept>,
    clock: u64,
}

impl Twin {
    fn find(&mut self, salt: u64, tokens: &[u32]) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.salt == salt && kept.tokens == tokens)
    }

    /// The blocks of the longest kept prefix.
    fn longest(&mut self, salt: u64, tokens: &[u32]) -> Vec<u32> {
        let ends = (1..=tokens.len() / BLOCK_LEN).map(|blocks| blocks * BLOCK_LEN);
        ends.map_while(|end| self.find(salt, &tokens[..end]).map(|kept| kept.block)).collect()
    }

    /// The prefix that goes first: of those that nobody holds and none continues, the one that was let go first.
    fn evict(&mut self) -> Option<Kept> {
        let continued = |one: &Kept| {
            let longer = |other: &&Kept| other.salt == one.salt && other.tokens.len() > one.tokens.len();
            self.kept.iter().filter(longer).any(|other| other.tokens.starts_with(&one.tokens))
        };
        let leaves = self.kept.iter().enumerate().filter(|(_, kept)| kept.holders == 0 && !continued(kept));
        let (at, _) = leaves.min_by_key(|(_, kept)| kept.last_used)?;
        Some(self.kept.remove(at))
    }

    fn let_go(&mut self, salt: u64, tokens: &[u32]) {
        self.clock += 1;
        let clock = self.clock;
        for end in (1..=tokens.len() / BLOCK_LEN).map(|blocks| blocks * BLOCK_LEN) {
            let kept = self.find(salt, &tokens[..end]).expect("what is held is kept");
            kept.holders -= 1;
            kept.last_used = clock; // overwritten as long as others hold it
        }
    }
}

/// A sequence that holds the blocks of what it computed.
#[derive(Debug)]
struct Holder {
    salt: u64,
    tokens: Vec<u32>,
    table: Vec<u32>,
    /// The last block of the table is private yet.
    private: bool,
}

impl Holder {
    fn shared(&self) -> usize {
        self.table.len() - usize::from(self.private)
    }
}

struct Check {
    tree: PrefixTree,
    twin: Twin,
    holders: Vec<Holder>,
}

impl Check {
    fn new(total: usize) -> Self {
        Self { tree: PrefixTree::new(total), twin: Twin::default(), holders: Vec::new() }
    }

    fn admit(&mut self, salt: u64, tokens: Vec<u32>) {
        let table = self.tree.find(salt, &tokens);
        assert_eq!(table, self.twin.longest(salt, &tokens));
        self.tree.hold(&table);
        for blocks in 1..=table.len() {
            self.twin.find(salt, &tokens[..blocks * BLOCK_LEN]).expect("just found").holders += 1;
        }
        self.holders.push(Holder { salt, tokens, table, private: false });
    }

    /// The sequence takes its next block.
    fn take(&mut self, at: usize) {
        let holder = &mut self.holders[at];
        if holder.private || holder.table.len() * BLOCK_LEN >= holder.tokens.len() {
            return;
        }
        let free = self.tree.pool.free();
        let taken = self.tree.take();
        if free == 0 {
            assert_eq!(taken, self.twin.evict().map(|kept| kept.block), "another block was to go");
        } else {
            assert!(taken.is_some() && self.tree.pool.free() == free - 1, "nothing is evicted while blocks are free");
        }
        holder.table.extend(taken);
        holder.private = taken.is_some();
    }

    /// The sequence has computed the block that it took.
    fn share(&mut self, at: usize) {
        let holder = &mut self.holders[at];
        let end = holder.table.len() * BLOCK_LEN;
        if !holder.private || end > holder.tokens.len() {
            return; // a block that is not full stays private
        }
        let own = holder.table.pop().expect("it took one");
        let tokens = &holder.tokens[..end];
        let last = *tokens.last_chunk().expect("at least a block");
        let shared = self.tree.share(holder.salt, holder.table.last().copied(), last, own);
        match self.twin.find(holder.salt, tokens) {
            Some(kept) => {
                assert_eq!(shared, kept.block);
                kept.holders += 1;
            }
            None => {
                assert_eq!(shared, own);
                let kept = Kept { salt: holder.salt, tokens: tokens.to_vec(), block: own, holders: 1, last_used: 0 };
                self.twin.kept.push(kept);
            }
        }
        holder.table.push(shared);
        holder.private = false;
    }

    fn let_go(&mut self, at: usize) {
        let holder = self.holders.swap_remove(at);
        self.tree.let_go(&holder.table);
        self.twin.let_go(holder.salt, &holder.tokens[..holder.shared() * BLOCK_LEN]);
    }

    fn assert_equal(&self) {
        assert!(self.tree.agrees_with(self.holders.iter().map(|holder| &holder.table[..])));
        assert_eq!(self.tree.blocks.len(), self.twin.kept.len());
        for kept in &self.twin.kept {
            assert_eq!(self.tree.node(kept.block).holders, kept.holders, "{kept:?}");
        }
        let cached = self.twin.kept.iter().filter(|kept| kept.holders == 0).count();
        let private = self.holders.iter().filter(|holder| holder.private).count();
        assert_eq!(self.tree.cached(), cached);
        assert_eq!(self.tree.used(), self.twin.kept.len() - cached + private);
        assert_eq!(self.tree.used() + self.tree.available_beside(&[]), self.tree.total());
    }
}

#[derive(Debug, Clone)]
enum Op {
    Admit { salt: u64, tokens: Vec<u32> },
    Take(usize),
    Share(usize),
    LetGo(usize),
}

/// Up to five blocks, each one of two that differ in a single token, and perhaps a part of another.
fn tokens() -> impl Strategy<Value = Vec<u32>> {
    (prop::collection::vec(0_u32..2, 1..6), 0..BLOCK_LEN).prop_map(|(kinds, rest)| {
        let mut tokens = vec![0; kinds.len() * BLOCK_LEN + rest];
        for (at, kind) in kinds.into_iter().enumerate() {
            tokens[at * BLOCK_LEN + 9] = kind;
        }
        tokens
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_u64..2, tokens()).prop_map(|(salt, tokens)| Op::Admit { salt, tokens }),
        8 => any::<usize>().prop_map(Op::Take),
        8 => any::<usize>().prop_map(Op::Share),
        2 => any::<usize>().prop_map(Op::LetGo),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_tree_does_what_the_list_does(total in 1_usize..16, ops in prop::collection::vec(op(), 1..200)) {
        let mut check = Check::new(total);
        for op in ops {
            let count = check.holders.len();
            match op {
                Op::Admit { salt, tokens } => check.admit(salt, tokens),
                Op::Take(at) if count > 0 => check.take(at % count),
                Op::Share(at) if count > 0 => check.share(at % count),
                Op::LetGo(at) if count > 0 => check.let_go(at % count),
                _ => {}
            }
            check.assert_equal();
        }
        while !check.holders.is_empty() {
            check.let_go(0);
            check.assert_equal();
        }
        // Nobody is left: every block can be had again, and those that were kept go in the twin's order.
        prop_assert_eq!(check.tree.used(), 0);
        check.admit(9, vec![1; total * BLOCK_LEN]);
        for _ in 0..total {
            check.take(0);
            prop_assert!(check.holders[0].private);
            check.share(0);
            check.assert_equal();
        }
        prop_assert_eq!((check.tree.used(), check.tree.cached()), (total, 0));
        prop_assert_eq!(check.tree.take(), None);
    }
}

#[test]
fn a_very_long_prefix_is_found_and_evicted_from_its_end() {
    const BLOCKS: usize = 50_000;
    let mut tree = PrefixTree::new(BLOCKS);
    let tokens: Vec<u32> = (0..(BLOCKS * BLOCK_LEN) as u32).collect();
    let mut table = Vec::new();
    for &block_tokens in tokens.as_chunks().0 {
        let block = tree.take().expect("there is one for each");
        table.push(tree.share(7, table.last().copied(), block_tokens, block));
    }
    assert_eq!(tree.take(), None, "what is held is not evicted");
    tree.let_go(&table);
    assert_eq!(tree.find(7, &tokens), table);
    assert!(tree.find(8, &tokens).is_empty());
    for &block in table.iter().rev() {
        assert_eq!(tree.take(), Some(block));
    }
    assert!(tree.find(7, &tokens).is_empty());
}

#[test]
#[should_panic(expected = "once too often")]
fn a_node_is_let_go_once_a_holder() {
    let mut tree = PrefixTree::new(1);
    let block = tree.take().expect("one is free");
    tree.share(0, None, [0; BLOCK_LEN], block);
    tree.let_go(&[block]);
    tree.let_go(&[block]);
}
