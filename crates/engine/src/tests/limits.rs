//! Where a sequence ends, and what is refused from the start.

use crate::{scripted::logits_after, softmax::maximum};

use super::*;

/// Greedy continuation worked out without the engine.
fn greedy(prompt: &[u32], tokens: usize) -> Vec<u32> {
    let mut all = prompt.to_vec();
    for _ in 0..tokens {
        let logits = logits_after(97, &all);
        let largest = maximum(&logits).expect("scripted logits are finite");
        all.push(logits.iter().position(|&x| x == largest).expect("the maximum is among them") as u32);
    }
    all.split_off(prompt.len())
}

#[test]
fn greedy_tokens_are_the_most_likely_ones_and_max_tokens_ends_them() {
    let outputs = alone(&Script::default(), request(&[1, 2, 3], 20));
    assert_eq!(ids(&outputs), greedy(&[1, 2, 3], 20));
    assert_eq!(end(&outputs), Some(Finish::MaxTokens));
}

#[test]
fn an_end_token_is_the_last_token() {
    let plain = greedy(&[5], 20);
    let stop = plain[7];
    let first = plain.iter().position(|&id| id == stop).expect("it is there");
    let outputs = alone(&Script::default(), SequenceRequest { end_tokens: vec![96, stop], ..request(&[5], 20) });
    assert_eq!(ids(&outputs), &plain[..=first]);
    assert_eq!(end(&outputs), Some(Finish::EndToken));
}

#[test]
fn without_end_tokens_nothing_ends_early() {
    let outputs = alone(&Script::default(), request(&[5], 300));
    assert_eq!((ids(&outputs).len(), end(&outputs)), (300, Some(Finish::MaxTokens)));
}

#[test]
fn min_tokens_puts_end_tokens_off() {
    for min_tokens in 0..12 {
        // Every other token ends: without the minimum, a few tokens would be all.
        let end_tokens: Vec<u32> = (0..97).step_by(2).collect();
        let ending = SequenceRequest { end_tokens, min_tokens, ..request(&[5], 50) };
        let tokens = ids(&alone(&Script::default(), ending));
        let early = tokens.iter().take(min_tokens).filter(|&id| id % 2 == 0);
        assert_eq!(early.count(), 0, "end tokens before {min_tokens} tokens: {tokens:?}");
        assert!(tokens.len() > min_tokens);
    }
}

#[test]
fn the_context_ends_a_sequence_and_so_does_the_whole_cache() {
    for (context_length, kv_blocks, limit) in [(40, 256, 40), (512, 3, 3 * BLOCK_LEN)] {
        let mut harness = Harness::new(Script { context_length, kv_blocks, ..Script::default() }, Config::default());
        let mut tokens = harness.submit(request(&[1; 10], 1000));
        let outputs = harness.finish(&mut tokens);
        assert_eq!((ids(&outputs).len(), end(&outputs)), (limit - 10, Some(Finish::ContextFull)));
        harness.assert_idle();
    }
}

#[test]
fn a_prompt_is_reported_in_order_with_its_logprobs() {
    let prompt: Vec<u32> = (0..60).map(|i| i * 7 % 97).collect();
    let asked = SequenceRequest { prompt_logprobs: true, logprobs: Some(2), ..request(&prompt, 3) };
    let outputs = alone(&Script::default(), asked);
    for (position, &id) in prompt.iter().enumerate() {
        let Output::Prompt(token) = &outputs[position] else { panic!("position {position} is not of the prompt") };
        assert_eq!(token.id, id);
        if position == 0 {
            assert_eq!((token.logprob, token.top.len()), (None, 0));
            continue;
        }
        let logits = logits_after(97, &prompt[..position]);
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let exact = f64::from(logits[id as usize]) - sum.ln();
        assert!((f64::from(token.logprob.expect("asked for")) - exact).abs() < 1e-5);
        assert_eq!(token.top.len(), 2);
    }
    assert_eq!(ids(&outputs), greedy(&prompt, 3));
    assert_eq!(outputs.len(), 60 + 3 + 1);
}

#[test]
fn nothing_to_generate_is_nothing_but_the_prompt() {
    let outputs = alone(&Script::default(), request(&[1, 2], 0));
    assert_eq!(outputs, [Output::Finished(Finish::MaxTokens)]);
    let outputs = alone(&Script::default(), SequenceRequest { prompt_logprobs: true, ..request(&[1, 2], 0) });
    assert_eq!((outputs.len(), end(&outputs)), (3, Some(Finish::MaxTokens)));
}

#[test]
fn a_step_has_no_more_rows_than_it_may_and_is_shared() {
    let mut harness = Harness::new(Script::default(), Config { step_rows: 32, ..Config::default() });
    let mut first = harness.submit(request(&[1; 100], 50));
    let mut second = harness.submit(request(&[2; 100], 50));
    harness.finish(&mut first);
    harness.finish(&mut second);
    let log = harness.log.lock().expect("the runner does not panic");
    assert!(log.iter().all(|step| step.rows() <= 32));
    let both = log.iter().filter(|step| step.segments.len() == 2);
    assert!(both.count() > 40, "the two should share most steps");
}

#[test]
fn the_figures_add_up() {
    let mut harness = Harness::new(Script::default(), Config { step_rows: 8, ..Config::default() });
    let mut tokens = harness.submit(request(&[1; 20], 5));
    assert_eq!((harness.steps.snapshot().waiting, harness.steps.snapshot().running), (1, 0));
    harness.step();
    let snapshot = harness.steps.snapshot();
    assert_eq!((snapshot.waiting, snapshot.running, snapshot.step_rows), (0, 1, 8));
    assert_eq!((snapshot.kv_blocks_used, snapshot.kv_blocks_total), (2, 256));
    harness.finish(&mut tokens);
    let snapshot = harness.steps.snapshot();
    assert_eq!((snapshot.rows_total, snapshot.steps), (20 + 4, 3 + 4));
    harness.assert_idle();
}
