//! The engine's loop body: `schedule -> run -> commit`.
//!
//! Synchronous and driven from outside, with the time as an argument, so that tests need no thread and no clock.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use models::{Batch, Logits, Runner, Segment};

use crate::{
    Config, Finish, Snapshot,
    budget::{Rows, StepCost},
    inbox::Inbox,
    scheduler::{Planned, Scheduler, SequenceId},
    sequence::{Committed, Sequence, Tools},
    softmax::BadLogits,
};

/// What to do after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Step again.
    Again,
    /// Nothing can run until something arrives in the inbox, or until then.
    Sleep(Option<Instant>),
}

/// Rows that the drafts of one step have together: more would cost more time than they save.
const DRAFT_ROWS: usize = 12;

/// The runner, and everything that changes from step to step.
pub(crate) struct Steps {
    runner: Box<dyn Runner>,
    live: Live,
}

/// All live sequences and what they need beside the runner.
struct Live {
    sequences: BTreeMap<SequenceId, Sequence>,
    scheduler: Scheduler,
    cost: StepCost,
    /// What the last step computed and when it began: it ends when the next one begins.
    last_step: Option<(Rows, Instant)>,
    tools: Tools,
    /// Sequences that have ended, whose blocks are let go and whose readers are not told yet.
    ended: Vec<(Sequence, Finish)>,
    config: Config,
    vocabulary: usize,
    kv_blocks: usize,
    /// Tokens that a sequence may have.
    token_limit: usize,
    next_id: u64,
    inbox: Arc<Inbox>,
    steps: u64,
    step_rows: usize,
    rows_total: u64,
    tokens_drafted: u64,
    tokens_accepted: u64,
    forward_time: Duration,
    /// Preemptions that schedulers before this one counted.
    earlier_preemptions: u64,
}

/// The forward pass of a step gave nothing that can be used.
struct ForwardFailed;

impl Steps {
    /// No sequences. A sequence ends when it has `token_limit` tokens.
    pub fn new(runner: Box<dyn Runner>, config: Config, token_limit: usize, inbox: Arc<Inbox>) -> Self {
        let kv_blocks = runner.kv_blocks();
        let live = Live {
            sequences: BTreeMap::new(),
            scheduler: Scheduler::new(kv_blocks, config.max_sequences, config.step_rows),
            cost: StepCost::default(),
            last_step: None,
            tools: Tools::new(inbox.waker()),
            ended: Vec::new(),
            config,
            vocabulary: runner.vocabulary(),
            kv_blocks,
            token_limit,
            next_id: 0,
            inbox,
            steps: 0,
            step_rows: 0,
            rows_total: 0,
            tokens_drafted: 0,
            tokens_accepted: 0,
            forward_time: Duration::ZERO,
            earlier_preemptions: 0,
        };
        live.publish_figures(0);
        Self { runner, live }
    }

    /// Takes a sequence in; it waits.
    pub fn add(&mut self, sequence: Sequence) {
        self.live.add(sequence);
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.live.sequences.is_empty() && self.live.ended.is_empty()
    }

    /// One step, or the news that nothing can run. How long a step takes is told by the time of the call after it, which is
    /// to come at once.
    pub fn step(&mut self, now: Instant) -> Next {
        let Self { runner, live } = self;
        if let Some((rows, began)) = live.last_step.take() {
            live.cost.observe(rows, now.saturating_duration_since(began));
        }
        let plan = live.schedule(now);
        if plan.is_empty() {
            live.publish();
            return live.sleep(now);
        }
        let started = Instant::now();
        let logits = run(&mut **runner, live, &plan);
        live.count(&plan, started.elapsed());
        match logits {
            Ok(logits) => {
                live.last_step = Some((live.rows(&plan), now));
                live.commit(&plan, logits);
            }
            // Whose rows made it panic cannot be known, so all of the step fail; the others go on.
            Err(ForwardFailed) => plan.iter().for_each(|planned| live.end(planned.id, Finish::Failed)),
        }
        live.publish();
        Next::Again
    }

    /// Ends every sequence.
    pub fn end_all(&mut self, finish: Finish) {
        let ids: Vec<SequenceId> = self.live.sequences.keys().copied().collect();
        ids.into_iter().for_each(|id| self.live.end(id, finish));
        self.live.publish();
    }

    /// Fails every sequence and starts the block accounting anew.
    pub fn reset(&mut self) {
        let live = &mut self.live;
        live.earlier_preemptions += live.scheduler.preemptions();
        live.scheduler = Scheduler::new(live.kv_blocks, live.config.max_sequences, live.config.step_rows);
        live.tools = Tools::new(live.inbox.waker());
        self.end_all(Finish::Failed);
    }
}

/// Calls foreign code. Each caller says why what a panic leaves behind is safe to go on with.
fn guarded<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
}

/// Runs the planned rows; the wanted logits, `[wanted rows, vocabulary]`.
fn run<'a>(runner: &'a mut dyn Runner, live: &Live, plan: &[Planned]) -> Result<&'a [f32], ForwardFailed> {
    let segments: Vec<Segment<'_>> = plan
        .iter()
        .map(|planned| {
            let sequence = &live.sequences[&planned.id];
            Segment {
                tokens: sequence.rows(planned),
                position: planned.position,
                blocks: live.scheduler.blocks(planned.id),
                logits: sequence.wanted(planned),
            }
        })
        .collect();
    let wanted: usize = segments.iter().map(|segment| wanted_rows(segment.logits, segment.tokens.len())).sum();
    // The runner promises nothing about what a panicking step wrote but that it can run again. That step's rows are never
    // committed, so the blocks that it wrote to are private still and go with their sequences; shared ones it only read.
    let batch = Batch { segments: &segments };
    let Ok(logits) = guarded(move || runner.forward(&batch)) else {
        tracing::error!(sequences = plan.len(), "a forward pass panicked; its sequences fail");
        return Err(ForwardFailed);
    };
    if logits.len() != wanted * live.vocabulary {
        tracing::error!(
            expected = wanted * live.vocabulary,
            found = logits.len(),
            "a forward pass gave too few logits"
        );
        return Err(ForwardFailed);
    }
    Ok(logits)
}

/// Rows of logits that a segment of `rows` rows gets.
fn wanted_rows(logits: Logits, rows: usize) -> usize {
    match logits {
        Logits::None => 0,
        Logits::Last => 1,
        Logits::All => rows,
    }
}

impl Live {
    fn add(&mut self, sequence: Sequence) {
        if sequence.is_done() {
            self.ended.push((sequence, Finish::MaxTokens));
            return;
        }
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.scheduler.add(id, sequence.salt(), sequence.tokens().len());
        self.sequences.insert(id, sequence);
    }

    /// Looks at every reader and every mask that is waited for, then plans the next step.
    fn schedule(&mut self, now: Instant) -> Vec<Planned> {
        self.resume();
        let mut ended = Vec::new();
        for (&id, sequence) in &mut self.sequences {
            if sequence.is_cancelled() {
                ended.push((id, Finish::ShutDown)); // nobody hears the reason
            } else if let Some(readiness) = sequence.readiness(now, self.config.reader_timeout) {
                self.scheduler.set_readiness(id, readiness);
            } else {
                ended.push((id, Finish::SlowReader));
            }
        }
        for (id, finish) in ended {
            self.end(id, finish);
        }
        let (cost, config) = (&self.cost, &self.config);
        let prompt_rows =
            |decode| cost.prompt_rows(decode, if decode > 0 { config.decode_step } else { config.prefill_step });
        let mut plan = self.scheduler.schedule(prompt_rows, |id| self.sequences[&id].reusable());
        if self.config.speculation {
            self.speculate(&mut plan);
        }
        for planned in &plan {
            if let Some(sequence) = self.sequences.get_mut(&planned.id) {
                sequence.begin(planned);
            }
        }
        plan
    }

    /// Lengthens the rows of sequences that decode by what may come next, when the step has nothing else to do: nobody waits
    /// or computes a prompt, and few decode.
    fn speculate(&mut self, plan: &mut [Planned]) {
        let most = DRAFT_ROWS / plan.len().max(1);
        if most == 0 || self.scheduler.has_waiting() || !plan.iter().all(|planned| self.generates(planned)) {
            return;
        }
        for planned in plan {
            if let Some(sequence) = self.sequences.get_mut(&planned.id) {
                let drafted = sequence.propose(most, self.token_limit);
                self.scheduler.lengthen(planned, 1 + drafted);
                self.tokens_drafted += planned.rows as u64 - 1;
            }
        }
    }

    /// Whether the first of the planned rows is that of the last token, whose logits give the next one.
    fn generates(&self, planned: &Planned) -> bool {
        planned.position + 1 == self.sequences[&planned.id].tokens().len()
    }

    /// What the step computes.
    fn rows(&self, plan: &[Planned]) -> Rows {
        let mut rows = Rows::default();
        for planned in plan {
            *(if self.generates(planned) { &mut rows.decode } else { &mut rows.prompt }) += planned.rows;
        }
        rows
    }

    /// Gives each sequence of the step its logits. What one sequence does cannot hurt another.
    fn commit(&mut self, plan: &[Planned], mut logits: &[f32]) {
        for planned in plan {
            let Some(sequence) = self.sequences.get_mut(&planned.id) else { continue };
            let rows = wanted_rows(sequence.wanted(planned), planned.rows);
            let (own, rest) = logits.split_at(rows * self.vocabulary);
            logits = rest;
            // After a panic the sequence is thrown away, and the tools hold nothing but scratch memory.
            let committed =
                guarded(|| sequence.commit(planned, own, self.vocabulary, self.token_limit, &mut self.tools));
            self.committed(planned.id, committed);
        }
    }

    /// Lets the sequences go on whose masks have come.
    fn resume(&mut self) {
        let held: Vec<SequenceId> = self.sequences.iter().filter(|(_, s)| s.is_held()).map(|(&id, _)| id).collect();
        for id in held {
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            let Some(committed) = guarded(|| sequence.resume(self.token_limit, &mut self.tools)).transpose() else {
                continue;
            };
            self.committed(id, committed);
        }
    }

    /// Takes note of what came of a sequence's rows.
    fn committed(&mut self, id: SequenceId, committed: std::thread::Result<Result<Committed, BadLogits>>) {
        let finish = match committed {
            Ok(Ok(Committed { rows, accepted, finish })) => {
                self.tokens_accepted += accepted as u64;
                if let Some(sequence) = self.sequences.get(&id) {
                    self.scheduler.commit(id, rows, sequence.tokens());
                }
                finish
            }
            // Its constraint knows why, and whose fault that is: a form that passed a limit is its caller's.
            Ok(Err(BadLogits::NothingAllowed)) => {
                tracing::debug!("a constraint allows nothing; its sequence fails");
                Some(Finish::Failed)
            }
            Ok(Err(error @ BadLogits::NotFinite)) => {
                tracing::error!(%error, "no token can be chosen; the sequence fails");
                Some(Finish::Failed)
            }
            Err(_) => {
                tracing::error!("a panic while a token was chosen; the sequence fails");
                Some(Finish::Failed)
            }
        };
        if let Some(finish) = finish {
            self.end(id, finish);
        }
    }

    /// Takes the sequence out and lets go of its blocks; its reader is told by [`publish`](Self::publish).
    fn end(&mut self, id: SequenceId, finish: Finish) {
        if let Some(sequence) = self.sequences.remove(&id) {
            self.scheduler.remove(id);
            self.ended.push((sequence, finish));
        }
    }

    /// Shows the figures, then tells the readers of ended sequences: who sees the end sees that it holds no block.
    fn publish(&mut self) {
        debug_assert!(self.scheduler.is_consistent(), "the block accounting disagrees with the sequences");
        debug_assert!(
            !self.sequences.is_empty() || self.scheduler.blocks_used() == 0,
            "KV blocks are held although no sequence is left"
        );
        self.publish_figures(self.ended.len());
        for (sequence, finish) in self.ended.drain(..) {
            // A constraint's drop and a reader's waker are foreign code.
            if guarded(|| sequence.finish(finish)).is_err() {
                tracing::error!("a panic while a sequence was dropped");
            }
        }
    }

    fn publish_figures(&self, ended: usize) {
        let snapshot = Snapshot {
            running: self.scheduler.running(),
            waiting: 0, // counted by the inbox, which knows the submitted ones too
            kv_blocks_used: self.scheduler.blocks_used(),
            kv_blocks_cached: self.scheduler.blocks_cached(),
            kv_blocks_total: self.scheduler.blocks_total(),
            steps: self.steps,
            preemptions: self.earlier_preemptions + self.scheduler.preemptions(),
            step_rows: self.step_rows,
            rows_total: self.rows_total,
            tokens_drafted: self.tokens_drafted,
            tokens_accepted: self.tokens_accepted,
            forward_time: self.forward_time,
        };
        self.inbox.publish(snapshot, ended);
    }

    fn count(&mut self, plan: &[Planned], forward_time: Duration) {
        self.steps += 1;
        self.step_rows = plan.iter().map(|planned| planned.rows).sum();
        self.rows_total += self.step_rows as u64;
        self.forward_time += forward_time;
    }

    /// Nothing can run: only a reader, a newcomer, a mask or a deadline changes that.
    fn sleep(&self, now: Instant) -> Next {
        let deadlines = self.sequences.values().filter_map(|s| s.deadline(now, self.config.reader_timeout));
        let deadline = deadlines.min();
        let masks = self.sequences.values().any(Sequence::is_held);
        debug_assert!(deadline.is_some() || masks || self.sequences.is_empty(), "sequences wait for nothing");
        Next::Sleep(deadline)
    }
}

#[cfg(test)]
impl Steps {
    /// The figures as published.
    pub fn snapshot(&self) -> Snapshot {
        self.live.inbox.snapshot()
    }
}
