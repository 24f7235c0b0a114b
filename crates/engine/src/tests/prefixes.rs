//! What is computed once is not computed again, and nobody can tell from the tokens.

use futures::FutureExt;

use super::*;

fn distinct(from: u32, tokens: u32) -> Vec<u32> {
    (from..from + tokens).map(|id| id % 97).collect()
}

/// The tokens that the sequence, which has run, found.
fn cached(tokens: &mut Tokens) -> usize {
    tokens.started().now_or_never().expect("the sequence has begun")
}

/// Runs the request to its end; its outputs, the tokens that it found, and the rows that it took.
fn observe(harness: &mut Harness, request: SequenceRequest) -> (Vec<Output>, usize, u64) {
    let before = harness.steps.snapshot().rows_total;
    let mut tokens = harness.submit(request);
    let outputs = harness.finish(&mut tokens);
    (outputs, cached(&mut tokens), harness.steps.snapshot().rows_total - before)
}

#[test]
fn a_second_request_computes_only_what_the_first_did_not() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let (first, cached, rows) = observe(&mut harness, request(&distinct(0, 40), 5));
    assert_eq!((cached, rows), (0, 40 + 4));
    let (again, cached, rows) = observe(&mut harness, request(&distinct(0, 40), 5));
    assert_eq!((cached, rows), (32, 8 + 4), "two whole blocks of the prompt");
    assert_eq!(again, first);
    // The same beginning, another end: the first block only.
    let other: Vec<u32> = [distinct(0, 20), distinct(50, 20)].concat();
    let (outputs, cached, _) = observe(&mut harness, request(&other, 5));
    assert_eq!((outputs, cached), (alone(&Script::default(), request(&other, 5)), 16));
    harness.assert_idle();
}

#[test]
fn the_last_token_of_a_prompt_is_always_computed() {
    for length in [16, 17, 32, 33] {
        let mut harness = Harness::new(Script::default(), Config::default());
        let prompt = distinct(3, length);
        let (first, ..) = observe(&mut harness, request(&prompt, 1));
        let (again, cached, rows) = observe(&mut harness, request(&prompt, 1));
        assert_eq!(again, first);
        assert_eq!(cached, (length as usize - 1) / BLOCK_LEN * BLOCK_LEN);
        assert_eq!(rows as usize, length as usize - cached);
    }
}

#[test]
fn the_next_turn_of_a_conversation_finds_prompt_and_answer() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let prompt = distinct(0, 30);
    let (outputs, ..) = observe(&mut harness, request(&prompt, 40));
    let next = [&prompt[..], &ids(&outputs), &distinct(60, 9)].concat();
    let (outputs, cached, _) = observe(&mut harness, request(&next, 10));
    // The answer's last token was never run, but 69 before it were: four blocks.
    assert_eq!(cached, 64);
    assert_eq!(outputs, alone(&Script::default(), request(&next, 10)));
}

#[test]
fn running_sequences_share_what_is_computed() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let prompt = distinct(0, 80);
    let mut first = harness.submit(request(&prompt, 60));
    harness.step();
    assert_eq!(harness.steps.snapshot().kv_blocks_used, 5);
    let mut second = harness.submit(request(&prompt, 30));
    harness.step();
    // All of the prompt in common (the second computed its end again, and has let go of its own), and where the first goes on.
    assert_eq!(harness.steps.snapshot().kv_blocks_used, 5 + 1);
    let expected = |tokens| alone(&Script::default(), request(&prompt, tokens));
    assert_eq!(harness.finish(&mut second), expected(30));
    assert_eq!(cached(&mut second), 64);
    assert_eq!(harness.finish(&mut first), expected(60));
    assert_eq!(cached(&mut first), 0);
    harness.assert_idle();
}

#[test]
fn blocks_that_two_computed_at_once_are_kept_once() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let mut pair = [0, 1].map(|_| harness.submit(request(&distinct(0, 40), 20)));
    harness.step();
    assert_eq!(harness.steps.snapshot().rows_total, 80, "neither could wait for the other");
    assert_eq!(harness.steps.snapshot().kv_blocks_used, 2 + 1 + 1);
    for tokens in &mut pair {
        assert_eq!(harness.finish(tokens), alone(&Script::default(), request(&distinct(0, 40), 20)));
        assert_eq!(cached(tokens), 0);
    }
    harness.assert_idle();
}

#[test]
fn salts_never_share() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let salted = |salt| SequenceRequest { salt, ..request(&distinct(0, 64), 20) };
    let mut running = harness.submit(salted(1));
    harness.step();
    assert_eq!(observe(&mut harness, salted(2)).1, 0, "not with one that runs");
    harness.finish(&mut running);
    assert_eq!(observe(&mut harness, salted(3)).1, 0, "nor with one that ran");
    for salt in 1..=3 {
        assert_eq!(observe(&mut harness, salted(salt)).1, 48);
    }
}

#[test]
fn who_wants_the_prompts_probabilities_computes_all_of_it() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let prompt = distinct(0, 50);
    observe(&mut harness, request(&prompt, 1));
    let reported = || SequenceRequest { prompt_logprobs: true, logprobs: Some(2), ..request(&prompt, 3) };
    let (outputs, cached, rows) = observe(&mut harness, reported());
    assert_eq!((cached, rows), (0, 50 + 2));
    assert_eq!(outputs, alone(&Script::default(), reported()));
    // What it computed is no other block than the one that was there.
    assert_eq!(harness.steps.snapshot().kv_blocks_cached, 3);
}

#[test]
fn what_is_found_after_a_preemption_was_not_cached_for_the_caller() {
    // Both need 8 blocks and there are 9.
    let script = Script { kv_blocks: 9, ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config::default());
    let asked = |from| request(&distinct(from, 20), 100);
    let mut old = harness.submit(asked(0));
    let mut young = harness.submit(asked(50));
    assert_eq!(harness.finish(&mut old), alone(&script, asked(0)));
    assert_eq!(harness.finish(&mut young), alone(&script, asked(50)));
    let snapshot = harness.steps.snapshot();
    assert!(snapshot.preemptions > 0);
    assert_eq!(cached(&mut young), 0);
    harness.assert_idle();
}

#[test]
fn blocks_of_a_step_that_failed_are_not_kept() {
    let script = Script { panics_at: Some(96), ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config { step_rows: 32, ..Config::default() });
    let mut trouble = harness.submit(request(&[distinct(0, 60), vec![96]].concat(), 5));
    assert_eq!(end(&harness.finish(&mut trouble)), Some(Finish::Failed));
    assert_eq!(harness.steps.snapshot().kv_blocks_cached, 2, "those of the first step, which went well");
    let innocent = || request(&distinct(0, 60), 5);
    let (outputs, cached, _) = observe(&mut harness, innocent());
    assert_eq!((outputs, cached), (alone(&script, innocent()), 32));
}

#[test]
fn a_cache_full_of_old_prefixes_is_as_good_as_empty() {
    let script = Script { kv_blocks: 12, ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config::default());
    for from in 0..30 {
        let asked = || request(&distinct(from, 50), 10);
        let mut pair = [harness.submit(asked()), harness.submit(asked())];
        for tokens in &mut pair {
            assert_eq!(harness.finish(tokens), alone(&script, asked()));
        }
    }
    let snapshot = harness.steps.snapshot();
    assert_eq!((snapshot.kv_blocks_used, snapshot.preemptions), (0, 0));
    assert!(snapshot.kv_blocks_cached >= 2 * 3, "the blocks of two prompts fit: {snapshot:?}");
    // The last one is kept whole, the first is long gone.
    assert_eq!(observe(&mut harness, request(&distinct(29, 50), 1)).1, 48);
    assert_eq!(observe(&mut harness, request(&distinct(0, 50), 1)).1, 0);
}
