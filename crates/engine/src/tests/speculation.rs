//! Speculation changes how many steps an answer takes, and nothing else.

use crate::channel::CAPACITY;

use super::{forcing::Interruption, *};

/// A model that often repeats itself.
fn script() -> Script {
    Script { habit: 9.0, ..Script::default() }
}

fn config() -> Config {
    Config { speculation: true, ..Config::default() }
}

/// Runs the request with speculation, and checks it against the one without; the harness afterwards.
fn check(script: Script, asked: impl Fn() -> SequenceRequest) -> Harness {
    let mut harness = Harness::new(script.clone(), config());
    let mut tokens = harness.submit(asked());
    assert_eq!(harness.finish(&mut tokens), alone(&script, asked()));
    harness.assert_idle();
    harness
}

#[test]
fn a_text_that_repeats_takes_fewer_steps() {
    let harness = check(script(), || request(&[1, 2, 3], 200));
    let snapshot = harness.steps.snapshot();
    assert!(snapshot.tokens_accepted > 100 && snapshot.tokens_accepted <= snapshot.tokens_drafted, "{snapshot:?}");
    assert!(snapshot.steps < 100, "{snapshot:?}");
    assert_eq!(snapshot.rows_total, snapshot.steps - 1 + 3 + snapshot.tokens_drafted, "each draft token is a row");
}

#[test]
fn without_it_nothing_is_drafted() {
    let mut harness = Harness::new(script(), Config::default());
    let mut tokens = harness.submit(request(&[1, 2, 3], 100));
    harness.finish(&mut tokens);
    let snapshot = harness.steps.snapshot();
    assert_eq!((snapshot.tokens_drafted, snapshot.steps), (0, 100));
}

#[test]
fn a_text_that_never_repeats_pays_little() {
    // Tokens of the prompt come in pairs that occur twice, so that there is something to find, and it is wrong.
    let prompt: Vec<u32> = (0..90).chain(0..90).collect();
    let snapshot = check(Script::default(), || request(&prompt, 300)).steps.snapshot();
    assert!(snapshot.tokens_drafted <= 24, "{snapshot:?}");
}

#[test]
fn every_end_is_where_it_would_be() {
    for max_tokens in 1..40 {
        check(script(), || request(&[1, 2, 3], max_tokens));
    }
    for end in 0..7 {
        check(script(), || SequenceRequest { end_tokens: vec![end], min_tokens: 20, ..request(&[1, 2], 100) });
    }
    for context_length in 30..50 {
        check(Script { context_length, ..script() }, || request(&[1, 2], 100));
    }
    check(Script { kv_blocks: 3, context_length: 48, ..script() }, || request(&[1, 2], 100));
}

#[test]
fn every_way_to_choose_is_the_same() {
    for seed in 0..20 {
        let sampling = Sampling {
            seed,
            temperature: 1.0,
            top_k: 5,
            repetition_penalty: if seed % 2 == 0 { 1.0 } else { 1.05 },
            frequency_penalty: if seed % 3 == 0 { 0.02 } else { 0.0 },
            ..Sampling::default()
        };
        check(script(), || SequenceRequest {
            sampling: sampling.clone(),
            logprobs: Some(2),
            prompt_logprobs: seed % 5 == 0,
            ..request(&[1, 2, 3, 4], 150)
        });
    }
}

#[test]
fn forced_tokens_come_where_they_would() {
    for most in 0..30 {
        let forced = || Interruption::new(most, &[60, 61, 2, 3]).boxed();
        let harness = check(script(), || SequenceRequest { forcing: forced(), ..request(&[1, 2, 3], 150) });
        let snapshot = harness.steps.snapshot();
        assert!(most < 10 || snapshot.tokens_accepted > 0, "{snapshot:?}");
    }
}

#[test]
fn nobody_reads_what_a_wrong_draft_wrote() {
    // Sampled, so that drafts are right at first and wrong in the end; the scripted runner sees every stale position.
    let warm = |seed| Sampling { seed, ..Sampling::default() };
    let mut harness = Harness::new(Script { habit: 6.0, ..Script::default() }, config());
    for seed in 0..30 {
        let asked = || SequenceRequest { sampling: warm(seed), ..request(&[1, 2, 3], 60) };
        let mut tokens = harness.submit(asked());
        let outputs = harness.finish(&mut tokens);
        // Who goes on with the answer uses its blocks.
        let next: Vec<u32> = [&[1, 2, 3][..], &ids(&outputs), &[9]].concat();
        let mut tokens = harness.submit(request(&next, 40));
        let outputs = harness.finish(&mut tokens);
        assert_eq!(outputs, alone(&Script { habit: 6.0, ..Script::default() }, request(&next, 40)));
    }
    let snapshot = harness.steps.snapshot();
    assert!(snapshot.tokens_accepted > 100, "{snapshot:?}");
    assert!(snapshot.tokens_drafted - snapshot.tokens_accepted > 100, "{snapshot:?}");
}

#[test]
fn a_step_that_others_need_drafts_nothing() {
    let mut harness = Harness::new(script(), Config { step_rows: 20, ..config() });
    let mut streams: Vec<Tokens> = (0..3).map(|at| harness.submit(request(&[at], 100))).collect();
    for _ in 0..30 {
        harness.step();
    }
    assert!(harness.steps.snapshot().tokens_accepted > 0);
    let mut prompt = harness.submit(request(&[9; 100], 1));
    while read(&mut prompt).is_empty() {
        let drafted = harness.steps.snapshot().tokens_drafted;
        harness.step();
        assert_eq!(harness.steps.snapshot().tokens_drafted, drafted, "a prompt wants the time");
    }
    // Many streams have a use for each row themselves.
    let mut many: Vec<Tokens> = (0..13).map(|at| harness.submit(request(&[at + 10], 30))).collect();
    for _ in 0..20 {
        harness.step();
    }
    let drafted = harness.steps.snapshot().tokens_drafted;
    harness.step();
    assert_eq!(harness.steps.snapshot().tokens_drafted, drafted);
    for tokens in streams.iter_mut().chain(&mut many) {
        harness.finish(tokens);
    }
    harness.assert_idle();
}

#[test]
fn a_slow_reader_bounds_its_drafts() {
    let mut harness = Harness::new(script(), config());
    let mut slow = harness.submit(request(&[1, 2], 400));
    harness.run();
    let mut outputs = read(&mut slow);
    assert_eq!(outputs.len(), CAPACITY, "the queue is full to the last place and no further");
    while end(&outputs).is_none() {
        harness.run();
        outputs.extend((0..3).map_while(|_| try_next(&mut slow)));
    }
    assert_eq!(outputs, alone(&script(), request(&[1, 2], 400)));
}
