use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const ALL: Readiness = Readiness::Rows(usize::MAX);

/// A sequence as the test knows it: what the scheduler says is checked against this.
#[derive(Debug)]
struct Twin {
    salt: u64,
    tokens: Vec<u32>,
    /// Tokens that it will have at its end.
    last: usize,
    computed: usize,
    readiness: Readiness,
    /// It may take blocks that others computed.
    reuses: bool,
}

impl Twin {
    /// The next token. Two are all there is, so that sequences which part may meet again.
    fn next(&self) -> u32 {
        self.tokens.iter().sum::<u32>() / 3 % 2
    }

    fn wants(&self) -> usize {
        self.tokens.len() - self.computed
    }
}

/// A scheduler, and a naive record of what it must have done.
struct Check {
    scheduler: Scheduler,
    twins: BTreeMap<SequenceId, Twin>,
    /// What each block holds: the salt and all tokens up to its last position that was written.
    contents: Vec<(u64, Vec<u32>)>,
    next: u64,
    blocks: usize,
    step_rows: usize,
    max_sequences: usize,
    /// Rows of prompts that the budget of time allows, whatever decodes.
    prompt_rows: usize,
    /// When nobody waits and all decode, drafts have this many tokens, and the first so many are right.
    drafts: (usize, usize),
}

impl Check {
    fn new(blocks: usize, max_sequences: usize, step_rows: usize) -> Self {
        Self {
            scheduler: Scheduler::new(blocks, max_sequences, step_rows),
            twins: BTreeMap::new(),
            contents: vec![(0, Vec::new()); blocks],
            next: 0,
            blocks,
            step_rows,
            max_sequences,
            prompt_rows: usize::MAX,
            drafts: (0, 0),
        }
    }

    /// A sequence whose prompt is nobody else's.
    fn add(&mut self, salt: u64, prompt: usize, output: usize) -> SequenceId {
        let own = 100 + self.next as u32;
        self.add_tokens(salt, vec![own; prompt], output, true)
    }

    fn add_tokens(&mut self, salt: u64, tokens: Vec<u32>, output: usize, reuses: bool) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.scheduler.add(id, salt, tokens.len());
        let last = tokens.len() + output;
        let twin = Twin { salt, tokens, last, computed: 0, readiness: ALL, reuses };
        self.twins.insert(id, twin);
        id
    }

    fn remove(&mut self, id: SequenceId) {
        self.twins.remove(&id);
        self.scheduler.remove(id);
    }

    fn set(&mut self, id: SequenceId, readiness: Readiness) {
        self.scheduler.set_readiness(id, readiness);
        self.twins.get_mut(&id).expect("a live sequence").readiness = readiness;
    }

    fn schedule(&mut self) -> Vec<Planned> {
        let preemptions = self.scheduler.preemptions();
        let twins = &self.twins;
        let prompt_rows = self.prompt_rows;
        let reusable = |id| if twins[&id].reuses { &twins[&id].tokens[..] } else { &[] };
        let plan = self.scheduler.schedule(|_| prompt_rows, reusable);
        for (id, twin) in &mut self.twins {
            if self.scheduler.blocks(*id).is_empty() {
                twin.computed = 0; // waits, or was preempted
            }
        }
        for planned in &plan {
            let twin = self.twins.get_mut(&planned.id).expect("planned sequences are live");
            if planned.position != twin.computed {
                let admitted = twin.computed == 0 || self.scheduler.preemptions() > preemptions;
                assert!(admitted && (twin.reuses || planned.position == 0), "{planned:?} {twin:?}");
                assert_eq!(planned.position % BLOCK_LEN, 0, "only whole blocks are shared");
                twin.computed = planned.position;
            }
        }
        plan
    }

    /// One step; the plan, after everything that must hold of it was checked.
    fn step(&mut self) -> Vec<Planned> {
        let waited: BTreeSet<SequenceId> =
            self.twins.keys().copied().filter(|&id| self.scheduler.blocks(id).is_empty()).collect();
        let mut plan = self.schedule();
        let mut holders = BTreeMap::<u32, usize>::new();
        let mut running = 0;
        for (&id, twin) in &self.twins {
            let blocks = self.scheduler.blocks(id);
            running += usize::from(!blocks.is_empty());
            blocks.iter().for_each(|&block| *holders.entry(block).or_default() += 1);
            // What it will read is there: its own tokens from the first one on, computed for its salt.
            let computed = twin.tokens[..twin.computed].chunks(BLOCK_LEN).scan(0, |end, chunk| {
                *end += chunk.len();
                Some(&twin.tokens[..*end])
            });
            for (&block, tokens) in blocks.iter().zip(computed) {
                let (salt, content) = &self.contents[block as usize];
                // Behind them a wrong draft may have written.
                assert!(
                    *salt == twin.salt && content.starts_with(tokens),
                    "{id:?} would read another prefix in block {block}"
                );
            }
        }
        assert_eq!(self.scheduler.blocks_used(), holders.len());
        assert!(holders.len() + self.scheduler.blocks_cached() <= self.blocks);
        assert_eq!(self.scheduler.running(), running);
        assert!(running <= self.max_sequences && self.scheduler.is_consistent());

        let mut seen = BTreeSet::new();
        let mut decodes = 0;
        for planned in &plan {
            assert!(seen.insert(planned.id), "one segment for a sequence");
            let twin = &self.twins[&planned.id];
            assert_eq!(planned.position, twin.computed);
            assert!((1..=twin.wants()).contains(&planned.rows));
            assert!(matches!(twin.readiness, Readiness::Rows(most) if planned.rows <= most));
            assert!(self.scheduler.blocks(planned.id).len() * BLOCK_LEN >= planned.position + planned.rows);
            decodes += usize::from(twin.wants() == 1);
        }
        let rows: usize = plan.iter().map(|planned| planned.rows).sum();
        let most = self.step_rows.saturating_sub(decodes).min(self.prompt_rows).max(1);
        assert!(rows <= decodes + most, "{rows} rows, {decodes} of them decode");
        for (id, twin) in &self.twins {
            let decodes = twin.computed > 0 && twin.wants() == 1 && twin.readiness == ALL;
            assert!(!decodes || seen.contains(id), "a running sequence was not decoded");
        }
        // Inside a salt, places and blocks go to whoever came first.
        let admitted = |id: &SequenceId| !self.scheduler.blocks(*id).is_empty();
        for id in waited.iter().filter(|id| !admitted(id) && self.twins[id].readiness == ALL) {
            let same = |other: &&SequenceId| *other > id && self.twins[other].salt == self.twins[id].salt;
            let overtaker = waited.iter().filter(same).find(|other| admitted(other));
            assert!(overtaker.is_none(), "{id:?} was overtaken by {overtaker:?}");
        }
        let drafts = self.draft(&mut plan);
        for (planned, draft) in plan.iter().zip(&drafts) {
            let twin = &self.twins[&planned.id];
            let tokens = [&twin.tokens[..], &draft[..]].concat();
            let blocks = self.scheduler.blocks(planned.id);
            for end in planned.position + 1..=planned.position + planned.rows {
                let block = blocks[(end - 1) / BLOCK_LEN];
                let held = holders.get(&block).copied().unwrap_or(1); // it may be new, for a draft
                assert_eq!(held, 1, "{planned:?} writes to block {block}, which others read");
                self.contents[block as usize] = (twin.salt, tokens[..end].to_vec());
            }
        }
        for (planned, draft) in plan.iter().zip(drafts) {
            let twin = self.twins.get_mut(&planned.id).expect("planned sequences are live");
            let mut right = 0;
            if planned.position + planned.rows >= twin.tokens.len() {
                let mut next = twin.next();
                twin.tokens.push(next);
                while draft.get(right) == Some(&next) {
                    next = twin.next();
                    twin.tokens.push(next);
                    right += 1;
                }
            }
            let rows = planned.rows - draft.len() + right;
            twin.computed += rows;
            self.scheduler.commit(planned.id, rows, &twin.tokens);
        }
        plan
    }

    /// Drafts for the rows of a step that only decodes, each as long as there were blocks for.
    fn draft(&mut self, plan: &mut [Planned]) -> Vec<Vec<u32>> {
        let alone = !self.scheduler.has_waiting() && plan.iter().all(|planned| self.twins[&planned.id].wants() == 1);
        let mut drafts = vec![Vec::new(); plan.len()];
        for (planned, draft) in plan.iter_mut().zip(&mut drafts).filter(|_| alone) {
            let twin = &self.twins[&planned.id];
            let length = self.drafts.0.min((twin.last - twin.tokens.len()).saturating_sub(1));
            self.scheduler.lengthen(planned, 1 + length);
            let mut next = Twin { tokens: twin.tokens.clone(), ..*twin };
            for at in 0..planned.rows - 1 {
                let token = next.next();
                draft.push(if at < self.drafts.1 { token } else { 1 - token });
                next.tokens.push(token);
            }
        }
        drafts
    }

    /// Removes the sequences that have all their tokens.
    fn remove_finished(&mut self) -> Vec<SequenceId> {
        let done: Vec<SequenceId> =
            self.twins.iter().filter(|(_, twin)| twin.tokens.len() >= twin.last).map(|(&id, _)| id).collect();
        done.iter().for_each(|&id| self.remove(id));
        done
    }
}

#[derive(Debug, Clone)]
enum Op {
    Add { salt: u64, prompt: Vec<u32>, output: usize, reuses: bool },
    Remove(usize),
    Ready(usize, Readiness),
    Step,
}

/// Prompts that often begin alike: zeros, and a one somewhere.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    (1_usize..60, 0_usize..60).prop_map(|(length, one)| (0..length).map(|at| u32::from(at == one)).collect())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0_u64..3, prompt(), 1_usize..60, prop::bool::weighted(0.9))
            .prop_map(|(salt, prompt, output, reuses)| Op::Add { salt, prompt, output, reuses }),
        1 => any::<usize>().prop_map(Op::Remove),
        2 => (any::<usize>(), prop_oneof![
            3 => Just(ALL), 1 => Just(Readiness::Rows(3)), 1 => Just(Readiness::Stalled), 1 => Just(Readiness::Yielding)
        ]).prop_map(|(at, readiness)| Op::Ready(at, readiness)),
        12 => Just(Op::Step),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_accounting_holds_and_everybody_finishes(
        ops in prop::collection::vec(op(), 1..250),
        // One sequence of 120 tokens needs 8.
        blocks in 8_usize..30,
        max_sequences in 1_usize..6,
        step_rows in 1_usize..40,
        prompt_rows in 1_usize..40,
        drafts in (0_usize..9, 0_usize..9),
    ) {
        let mut check = Check { prompt_rows, drafts, ..Check::new(blocks, max_sequences, step_rows) };
        for op in ops {
            let pick = |twins: &BTreeMap<SequenceId, Twin>, at: usize| twins.keys().nth(at % twins.len().max(1)).copied();
            match op {
                Op::Add { salt, prompt, output, reuses } => { check.add_tokens(salt, prompt, output, reuses); }
                Op::Remove(at) => if let Some(id) = pick(&check.twins, at) { check.remove(id) },
                Op::Ready(at, readiness) => if let Some(id) = pick(&check.twins, at) { check.set(id, readiness) },
                Op::Step => { check.step(); check.remove_finished(); }
            }
        }
        let left: Vec<SequenceId> = check.twins.keys().copied().collect();
        left.iter().for_each(|&id| check.set(id, ALL));
        // Nobody starves: alone one after the other they would take this many rows, each preempted for every token at worst.
        let bound: usize = check.twins.values().map(|twin| twin.last * twin.last).sum();
        for _ in 0..=bound {
            if check.twins.is_empty() { break; }
            let plan = check.step();
            prop_assert!(!plan.is_empty(), "something can always run");
            check.remove_finished();
        }
        prop_assert!(check.twins.is_empty(), "{} sequences never finished", check.twins.len());
        prop_assert_eq!((check.scheduler.blocks_used(), check.scheduler.blocks_total()), (0, blocks));
    }
}

#[test]
fn the_least_served_salt_goes_first() {
    let mut check = Check::new(1000, 100, 32);
    for _ in 0..20 {
        check.add(1, 300, 5);
    }
    (0..5).for_each(|_| drop(check.step()));
    let late = check.add(2, 300, 5);
    let served_before = check.scheduler.turns.served(1);
    // From now on the two salts get the same, though one has twenty times the work.
    let mut rows = [0, 0];
    while check.twins.get(&late).is_some_and(|twin| twin.tokens.len() < 301) {
        for planned in check.step() {
            rows[(check.twins[&planned.id].salt - 1) as usize] += planned.rows;
        }
    }
    assert!(served_before > 0 && rows[1] >= 300);
    assert!(rows[0].abs_diff(rows[1]) <= BURST as usize + 32, "{rows:?}");
}

#[test]
fn the_newest_is_preempted_and_comes_back() {
    // 6 blocks for two sequences that will need 5 each: when they run out, the younger pays.
    let mut check = Check::new(6, 4, 100);
    let old = check.add(0, 14, 60);
    let young = check.add(0, 14, 60);
    while check.scheduler.preemptions() == 0 {
        check.step();
        assert!(check.remove_finished().is_empty());
    }
    assert!(!check.scheduler.blocks(old).is_empty() && check.scheduler.blocks(young).is_empty());
    let mut finished = Vec::new();
    while finished.len() < 2 {
        check.step();
        finished.extend(check.remove_finished());
    }
    assert_eq!(finished, [old, young]);
}

#[test]
fn a_large_prompt_in_turn_is_not_overtaken_for_ever() {
    let mut check = Check::new(10, 8, 64);
    for _ in 0..4 {
        check.add(1, 16, 40);
    }
    check.step();
    let large = check.add(2, 150, 2);
    for _ in 0..400 {
        check.add(1, 16, 40); // a steady stream of small ones
        check.step();
        if check.remove_finished().contains(&large) {
            return;
        }
    }
    panic!("the large prompt starved");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one_of_its_salt() {
    let mut check = Check { prompt_rows: 25, ..Check::new(1000, 100, 500) };
    for _ in 0..8 {
        check.add(0, 16, 500);
    }
    while check.twins.values().any(|twin| twin.computed == 0) {
        check.step();
    }
    let long = check.add(0, 2000, 5);
    (0..5).for_each(|_| drop(check.step()));
    for _ in 0..10 {
        let short = check.add(0, 24, 1);
        let mut steps = 0;
        while check.twins[&short].tokens.len() == 24 {
            check.step();
            steps += 1;
        }
        assert!(steps <= 2, "{steps} steps");
        check.remove_finished();
    }
    assert!(check.twins[&long].computed < 1000);
}

#[test]
fn short_prompts_without_end_leave_a_quarter_to_a_long_one() {
    let mut check = Check { prompt_rows: 25, ..Check::new(10_000, 10_000, 500) };
    let long = check.add(0, 500, 1);
    let mut rows = 0;
    while check.twins.contains_key(&long) {
        check.add(0, 30, 1); // more than the step has rows
        rows += check.step().iter().map(|planned| planned.rows).sum::<usize>();
        check.remove_finished();
        assert!(rows <= 4 * 500 + 4 * 25, "after {rows} rows it has {}", check.twins[&long].computed);
    }
    assert!(rows > 3 * 500, "the short ones came first: {rows}");
}

/// Steps from the arrival of a prompt of `length` tokens to its first token, with another salt that floods or without.
fn steps_to_first_token(length: usize, flood: Option<(usize, usize)>, budget: usize) -> usize {
    let mut scheduler = Scheduler::new(100_000, 1000, 1000);
    let mut tokens = BTreeMap::<SequenceId, Vec<u32>>::new();
    let add = |scheduler: &mut Scheduler, tokens: &mut BTreeMap<_, _>, salt, length| {
        let id = SequenceId(tokens.len() as u64);
        scheduler.add(id, salt, length);
        tokens.insert(id, vec![id.0 as u32; length]);
        id
    };
    let step = |scheduler: &mut Scheduler, tokens: &mut BTreeMap<SequenceId, Vec<u32>>| {
        for planned in scheduler.schedule(|_| budget, |_| &[]) {
            let all = tokens.get_mut(&planned.id).expect("planned sequences are live");
            if planned.position + planned.rows == all.len() {
                all.push(0);
            }
            scheduler.commit(planned.id, planned.rows, all);
        }
    };
    let (head_start, others) = flood.unwrap_or_default();
    for _ in 0..others {
        add(&mut scheduler, &mut tokens, 1, 4000);
    }
    (0..head_start).for_each(|_| step(&mut scheduler, &mut tokens));
    let id = add(&mut scheduler, &mut tokens, 2, length);
    for steps in 1.. {
        step(&mut scheduler, &mut tokens);
        if tokens[&id].len() > length {
            return steps;
        }
    }
    unreachable!("there is no bound on steps");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A tenant that floods with prompts of 4,000 tokens at most doubles another's time to first token, but for its burst.
    #[test]
    fn a_flood_at_most_doubles_the_time_to_first_token(
        length in prop_oneof![1_usize..100, 100_usize..4000],
        head_start in 0_usize..400,
        others in 1_usize..20,
        budget in prop_oneof![Just(25_usize), 8_usize..100],
    ) {
        let alone = steps_to_first_token(length, None, budget);
        let flooded = steps_to_first_token(length, Some((head_start, others)), budget);
        let burst = (BURST as usize + budget).div_ceil(budget);
        prop_assert!(flooded <= 2 * alone + burst, "{flooded} steps instead of {alone}");
    }
}
