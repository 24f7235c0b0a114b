//! Tests of the engine as a whole, with a scripted runner. Most drive its steps by hand, without a thread and with a clock
//! of their own; `lifecycle` starts the thread.

mod determinism;
mod forcing;
mod isolation;
mod latency;
mod lifecycle;
mod limits;
mod prefixes;
mod readers;
mod speculation;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::Stream;

use crate::{
    Config, Finish, Output, Sampling, SequenceRequest, SubmitError, Tokens,
    blocks::BLOCK_LEN,
    channel::channel,
    inbox::Inbox,
    scripted::{Log, Script, Scripted},
    sequence::Sequence,
    step::{Next, Steps},
};

/// A greedy request without any limit but `max_tokens`.
fn request(prompt: &[u32], max_tokens: usize) -> SequenceRequest {
    SequenceRequest {
        prompt: prompt.to_vec(),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        max_tokens,
        min_tokens: 0,
        end_tokens: Vec::new(),
        logprobs: None,
        prompt_logprobs: false,
        salt: 0,
        constraint: None,
        forcing: None,
    }
}

/// Long enough for anything; nothing waits for it unless it fails.
const AGES: Duration = Duration::from_secs(3600);

/// An engine whose steps and clock are in the test's hand.
struct Harness {
    steps: Steps,
    inbox: Arc<Inbox>,
    now: Instant,
    log: Log,
}

impl Harness {
    /// Its steps have all the time they want: `step_rows` alone bounds them.
    fn new(script: Script, config: Config) -> Self {
        Self::timed(script, Config { decode_step: AGES, prefill_step: AGES, ..config })
    }

    fn timed(script: Script, config: Config) -> Self {
        let inbox = Arc::<Inbox>::default();
        let token_limit = script.context_length.min(script.kv_blocks * BLOCK_LEN);
        let runner = Scripted::new(script);
        let log = runner.log();
        let steps = Steps::new(Box::new(runner), config, token_limit, Arc::clone(&inbox));
        Self { steps, inbox, now: Instant::now(), log }
    }

    fn submit(&mut self, request: SequenceRequest) -> Tokens {
        let (sender, tokens) = channel(Arc::clone(&self.inbox));
        let accepted: Result<(), SubmitError> = self.inbox.submit(Sequence::new(request, sender), usize::MAX);
        accepted.expect("the harness never stops");
        for sequence in self.inbox.take().sequences {
            self.steps.add(sequence);
        }
        tokens
    }

    fn step(&mut self) -> Next {
        self.steps.step(self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Steps until nothing can run.
    fn run(&mut self) {
        for _ in 0..100_000 {
            if self.step() != Next::Again {
                return;
            }
        }
        panic!("100,000 steps did not bring the engine to rest");
    }

    /// Steps and reads until the sequence ends; all that it gave.
    fn finish(&mut self, tokens: &mut Tokens) -> Vec<Output> {
        let mut outputs = Vec::new();
        for _ in 0..100_000 {
            outputs.extend(read(tokens));
            if let Some(Output::Finished(_)) = outputs.last() {
                return outputs;
            }
            self.step();
        }
        panic!("100,000 steps did not bring the sequence to its end");
    }

    /// Every sequence is gone and so are their blocks.
    fn assert_idle(&mut self) {
        self.run();
        assert!(self.steps.is_empty());
        let snapshot = self.steps.snapshot();
        assert!(snapshot.is_idle(), "{snapshot:?}");
    }
}

/// The next output, if it is there already.
fn try_next(tokens: &mut Tokens) -> Option<Output> {
    match Pin::new(tokens).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => None,
    }
}

/// All outputs that are there already.
fn read(tokens: &mut Tokens) -> Vec<Output> {
    std::iter::from_fn(|| try_next(tokens)).collect()
}

/// The ids of generated tokens.
fn ids(outputs: &[Output]) -> Vec<u32> {
    let id = |output: &Output| match output {
        Output::Token(token) => Some(token.id),
        Output::Prompt(_) | Output::Finished(_) => None,
    };
    outputs.iter().filter_map(id).collect()
}

/// Why it ended.
fn end(outputs: &[Output]) -> Option<Finish> {
    match outputs.last() {
        Some(Output::Finished(finish)) => Some(*finish),
        _ => None,
    }
}

/// What the request gives when nothing else runs, in one engine of its own with room for everything.
fn alone(script: &Script, request: SequenceRequest) -> Vec<Output> {
    let script = Script { kv_blocks: script.kv_blocks.max(64), ..script.clone() };
    let config = Config { step_rows: 1000, ..Config::default() };
    let mut harness = Harness::new(script, config);
    let mut tokens = harness.submit(request);
    let outputs = harness.finish(&mut tokens);
    harness.assert_idle();
    outputs
}
