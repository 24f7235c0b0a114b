//! The thread: start, load, stop.

use std::sync::mpsc;

use crate::{Engine, random};

use super::*;

fn start(script: Script, config: Config) -> Engine {
    Engine::start(Box::new(Scripted::new(script)), config)
}

fn rest(tokens: &mut Tokens) -> Vec<Output> {
    std::iter::from_fn(|| tokens.blocking_next()).collect()
}

#[test]
fn tokens_come_through_the_thread() {
    let engine = start(Script::default(), Config::default());
    let mut streams: Vec<Tokens> =
        (0..64).map(|i| engine.submit(request(&[i, i + 1], 40)).expect("there is room")).collect();
    for (i, tokens) in (0..).zip(&mut streams) {
        assert_eq!(rest(tokens), alone(&Script::default(), request(&[i, i + 1], 40)));
    }
    assert!(engine.snapshot().is_idle(), "who has seen the end sees the blocks free");
}

#[test]
fn what_can_never_run_is_refused() {
    let engine = start(Script { kv_blocks: 2, ..Script::default() }, Config::default());
    let limit = 2 * BLOCK_LEN;
    let refusal = |prompt: &[u32], max_tokens| engine.submit(request(prompt, max_tokens)).err();
    assert_eq!(refusal(&vec![1; limit], 1), Some(SubmitError::TooLong));
    assert_eq!(refusal(&vec![1; limit - 1], 100), None);
    assert_eq!(refusal(&[], 1), Some(SubmitError::InvalidPrompt));
    assert_eq!(refusal(&[96, 97], 1), Some(SubmitError::InvalidPrompt));
    assert!(engine.wait_idle(AGES));
}

#[test]
fn a_full_queue_refuses() {
    let (gate, closed) = mpsc::channel();
    let runner = Scripted::gated(Script::default(), closed);
    let engine = Engine::start(Box::new(runner), Config { max_sequences: 1, max_queue: 2, ..Config::default() });
    let mut accepted: Vec<Tokens> =
        (0..3).map(|_| engine.submit(request(&[1], 5)).expect("one runs and two wait")).collect();
    assert_eq!(engine.submit(request(&[1], 5)).err(), Some(SubmitError::QueueFull));
    drop(gate);
    for tokens in &mut accepted {
        assert_eq!(end(&rest(tokens)), Some(Finish::MaxTokens));
    }
    assert!(engine.submit(request(&[1], 5)).is_ok(), "there is room again");
}

#[test]
fn shutdown_lets_accepted_sequences_finish_and_refuses_others() {
    let (gate, closed) = mpsc::channel();
    let runner = Scripted::gated(Script::default(), closed);
    let engine = Engine::start(Box::new(runner), Config { max_sequences: 1, ..Config::default() });
    let mut accepted: Vec<Tokens> = (0..3).map(|_| engine.submit(request(&[1], 5)).expect("there is room")).collect();
    engine.shutdown(AGES);
    assert_eq!(engine.submit(request(&[1], 5)).err(), Some(SubmitError::Stopped));
    drop(gate);
    for tokens in &mut accepted {
        assert_eq!(end(&rest(tokens)), Some(Finish::MaxTokens));
    }
    assert!(engine.wait_idle(AGES));
}

#[test]
fn shutdown_ends_what_outlasts_its_grace() {
    let (gate, closed) = mpsc::channel();
    let runner = Scripted::gated(Script::default(), closed);
    let engine = Engine::start(Box::new(runner), Config { max_sequences: 1, ..Config::default() });
    let mut running = engine.submit(request(&[1], 100)).expect("there is room");
    let mut waiting = engine.submit(request(&[1], 100)).expect("there is room");
    gate.send(()).expect("the runner is there");
    assert!(matches!(running.blocking_next(), Some(Output::Token(_))));
    engine.shutdown(AGES);
    engine.shutdown(Duration::ZERO); // an impatient operator
    drop(gate);
    for tokens in [&mut running, &mut waiting] {
        assert_eq!(end(&rest(tokens)), Some(Finish::ShutDown));
    }
    assert!(engine.wait_idle(AGES));
}

#[test]
fn the_last_handle_ends_the_thread_and_drops_the_runner() {
    let (gate, closed) = mpsc::channel();
    let engine = Engine::start(Box::new(Scripted::gated(Script::default(), closed)), Config::default());
    let other = engine.clone();
    let mut tokens = engine.submit(request(&[1], 400)).expect("there is room");
    drop(engine);
    gate.send(()).expect("the other handle keeps the engine running");
    assert!(matches!(tokens.blocking_next(), Some(Output::Token(_))));
    drop(other);
    // Steps are let through until the runner, which holds the other end, is gone.
    while gate.send(()).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(end(&rest(&mut tokens)), Some(Finish::ShutDown));
}

#[test]
fn a_reader_that_wakes_up_wakes_the_engine() {
    let engine = start(Script::default(), Config::default());
    let mut tokens = engine.submit(request(&[1], 400)).expect("there is room");
    let mut other = engine.submit(request(&[2], 300)).expect("there is room");
    rest(&mut other); // meanwhile the first one's queue fills up and it stops
    assert_eq!(rest(&mut tokens), alone(&Script::default(), request(&[1], 400)));
}

#[test]
fn a_thousand_requests_that_come_and_go_leave_nothing() {
    let engine = start(
        Script { kv_blocks: 14, ..Script::default() },
        Config { max_sequences: 8, max_queue: 24, step_rows: 24, ..Config::default() },
    );
    let mut running = std::collections::VecDeque::new();
    for i in 0..1000_u64 {
        let dice = |n: u64, sides: u64| random::bits(i, n) % sides;
        let prompt: Vec<u32> = (0..1 + dice(0, 60)).map(|n| dice(n + 10, 97) as u32).collect();
        let asked = SequenceRequest { salt: dice(1, 3), ..request(&prompt, 1 + dice(2, 60) as usize) };
        loop {
            match engine.submit(clone(&asked)) {
                Ok(tokens) => {
                    running.push_back((tokens, clone(&asked), dice(3, 2) == 0, dice(4, 40)));
                    break;
                }
                Err(SubmitError::QueueFull) => settle(running.pop_front().expect("the queue is full of them")),
                Err(refused) => panic!("{refused}"),
            }
        }
    }
    running.into_iter().for_each(settle);
    assert!(engine.wait_idle(AGES), "{:?}", engine.snapshot());
}

/// Half of them are read to the end, and right; the others hang up somewhere.
fn settle((mut tokens, asked, stays, after): (Tokens, SequenceRequest, bool, u64)) {
    if stays {
        assert_eq!(rest(&mut tokens), alone(&Script::default(), asked));
    } else {
        (0..after).for_each(|_| drop(try_next(&mut tokens)));
    }
}

fn clone(request: &SequenceRequest) -> SequenceRequest {
    SequenceRequest {
        prompt: request.prompt.clone(),
        sampling: request.sampling.clone(),
        end_tokens: request.end_tokens.clone(),
        constraint: None,
        forcing: None,
        ..*request
    }
}
