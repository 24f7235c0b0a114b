//! A sequence's outputs depend on its request alone.

use proptest::prelude::*;

use crate::{
    Constraint,
    penalties::Penalties,
    sampler::{Choice, Sampler},
    scripted::logits_after,
};

use super::{forcing::Interruption, *};

/// Allows tokens of a parity that changes with what was accepted: a constraint with a memory.
struct Alternating(u32);

impl Constraint for Alternating {
    fn mask(&mut self, allowed: &mut [u64]) {
        allowed.fill(if self.0.is_multiple_of(2) { 0x5555_5555_5555_5555 } else { !0x5555_5555_5555_5555 });
    }

    fn accept(&mut self, token: u32) {
        self.0 += token / 2 + 1;
    }

    fn rollback(&mut self, _tokens: usize) {}
}

/// A request as data, so that it can be made twice.
#[derive(Debug, Clone)]
struct Plan {
    prompt: Vec<u32>,
    sampling: Sampling,
    max_tokens: usize,
    min_tokens: usize,
    end_tokens: Vec<u32>,
    logprobs: Option<usize>,
    prompt_logprobs: bool,
    salt: u64,
    constrained: bool,
    /// Tokens of its own after which some are forced, again and again.
    interrupted_after: Option<usize>,
    /// Hangs up once it has read this many outputs.
    leaves_after: Option<usize>,
    /// Reads this many outputs at a time, at most.
    reads: usize,
}

impl Plan {
    fn request(&self) -> SequenceRequest {
        SequenceRequest {
            prompt: self.prompt.clone(),
            sampling: self.sampling.clone(),
            max_tokens: self.max_tokens,
            min_tokens: self.min_tokens,
            end_tokens: self.end_tokens.clone(),
            logprobs: self.logprobs,
            prompt_logprobs: self.prompt_logprobs,
            salt: self.salt,
            constraint: self.constrained.then(|| Box::new(Alternating(0)) as Box<dyn Constraint>),
            forcing: self.interrupted_after.and_then(|most| Interruption::new(most, &[1, 2, 3, 4, 90]).boxed()),
        }
    }
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (
        prop_oneof![Just(0.0_f32), 0.3_f32..2.0],
        prop_oneof![Just(0_usize), 1_usize..50],
        prop_oneof![Just(1.0_f32), 0.1_f32..1.0],
        prop_oneof![Just(0.0_f32), 0.01_f32..0.5],
        prop_oneof![Just((1.0_f32, 0.0_f32, 0.0_f32)), (0.8_f32..1.5, -1.0_f32..1.0, -0.5_f32..0.5)],
        prop::collection::vec((0_u32..97, -5.0_f32..5.0), 0..3),
        any::<u64>(),
    )
        .prop_map(|(temperature, top_k, top_p, min_p, penalties, logit_bias, seed)| Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty: penalties.0,
            presence_penalty: penalties.1,
            frequency_penalty: penalties.2,
            logit_bias,
            seed,
        })
}

/// Any tokens, or the beginning of a text that many requests share and a few tokens of their own.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    let own = |tokens| prop::collection::vec(0_u32..97, 1..tokens);
    prop_oneof![own(70), (0_u32..60, own(10)).prop_map(|(common, own)| (0..common).chain(own).collect())]
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        (prompt(), sampling(), 0_usize..90, 0_usize..20),
        prop::collection::vec(0_u32..97, 0..6),
        (
            prop::option::of(0_usize..4),
            any::<bool>(),
            0_u64..3,
            any::<bool>(),
            prop::option::weighted(0.3, 0_usize..30),
        ),
        (prop::option::weighted(0.3, 0_usize..60), prop_oneof![Just(1000_usize), 1_usize..4]),
    )
        .prop_map(|(what, end_tokens, how, reader)| Plan {
            prompt: what.0,
            sampling: what.1,
            max_tokens: what.2,
            min_tokens: what.3,
            end_tokens,
            logprobs: how.0,
            prompt_logprobs: how.1,
            salt: how.2,
            constrained: how.3,
            interrupted_after: how.4,
            leaves_after: reader.0,
            reads: reader.1,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_sequence_gives_the_same_in_any_company(
        plans in prop::collection::vec((plan(), 0_usize..60), 1..14),
        step_rows in 1_usize..50,
        max_sequences in 1_usize..9,
        // 159 tokens at most: the least is what one sequence may need, so blocks are short nearly always.
        kv_blocks in 10_usize..40,
        speculation in any::<bool>(),
        habit in prop_oneof![Just(0.0_f32), Just(4.0), Just(9.0)],
    ) {
        let script = Script { kv_blocks, habit, ..Script::default() };
        let config = Config { max_sequences, step_rows, speculation, ..Config::default() };
        let mut harness = Harness::new(script.clone(), config);
        let mut coming: Vec<_> = plans.iter().enumerate().collect();
        let mut running: Vec<(usize, Option<Tokens>, Vec<Output>)> = Vec::new();
        let mut step = 0;
        while !coming.is_empty() || running.iter().any(|(_, tokens, _)| tokens.is_some()) {
            coming.retain(|&(index, (plan, at))| {
                if *at <= step {
                    running.push((index, Some(harness.submit(plan.request())), Vec::new()));
                }
                *at > step
            });
            harness.step();
            harness.pass(Duration::from_millis(40)); // sleepy readers come to the end of our patience
            for (index, tokens, outputs) in &mut running {
                let plan = &plans[*index].0;
                let Some(reader) = tokens else { continue };
                for _ in 0..plan.reads {
                    if plan.leaves_after.is_some_and(|after| outputs.len() >= after) {
                        *tokens = None;
                        break;
                    }
                    let Some(output) = try_next(reader) else { break };
                    outputs.push(output);
                    if end(outputs).is_some() {
                        *tokens = None;
                        break;
                    }
                }
            }
            step += 1;
            prop_assert!(step < 100_000, "the engine does not get on");
        }
        for (index, _, outputs) in &running {
            let expected = alone(&script, plans[*index].0.request());
            // Who hung up has seen the beginning of the same.
            let seen = if end(outputs).is_some() { &expected[..] } else { &expected[..outputs.len()] };
            prop_assert_eq!(&outputs[..], seen);
        }
        harness.assert_idle();
    }
}

#[test]
fn preemption_changes_no_token_and_loses_none() {
    // Two sequences that need 8 blocks each with 9 to share: the younger is preempted again and again.
    let script = Script { kv_blocks: 9, ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config::default());
    let ask = |seed| SequenceRequest {
        sampling: Sampling { seed, ..Sampling::default() },
        logprobs: Some(1),
        ..request(&[7; 20], 100)
    };
    let mut streams: Vec<Tokens> = (0..4).map(|seed| harness.submit(ask(seed))).collect();
    for (seed, tokens) in (0..).zip(&mut streams) {
        assert_eq!(harness.finish(tokens), alone(&script, ask(seed)));
    }
    assert!(harness.steps.snapshot().preemptions > 0);
    harness.assert_idle();
}

#[test]
fn the_seed_makes_the_tokens() {
    let ask = |seed| {
        ids(&alone(
            &Script::default(),
            SequenceRequest { sampling: Sampling { seed, ..Sampling::default() }, ..request(&[7], 30) },
        ))
    };
    assert_eq!(ask(1), ask(1));
    assert_ne!(ask(1), ask(2));
}

#[test]
fn the_nth_token_is_the_samplers_nth_draw_given_all_before_it() {
    let sampling = Sampling {
        temperature: 1.5,
        repetition_penalty: 1.2,
        presence_penalty: 0.4,
        frequency_penalty: 0.9,
        seed: 11,
        ..Sampling::default()
    };
    let prompt = [7, 8, 9];
    let outputs = alone(&Script::default(), SequenceRequest { sampling: sampling.clone(), ..request(&prompt, 60) });
    let (mut sampler, mut all) = (Sampler::default(), prompt.to_vec());
    for index in 0..60 {
        let mut penalties = Penalties::new(&sampling, &prompt);
        all[prompt.len()..].iter().for_each(|&id| penalties.count(id));
        let choice = Choice { sampling: &sampling, penalties: &penalties, allowed: None, deferred: &[], index };
        all.push(sampler.choose(&logits_after(97, &all), &choice).expect("scripted logits are finite"));
    }
    assert_eq!(ids(&outputs), all[prompt.len()..]);
}

#[test]
fn a_prompt_whose_report_is_preempted_is_reported_once() {
    // The older sequence grows into blocks that the younger one holds while its prompt is still being reported.
    let script = Script { kv_blocks: 12, ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config { step_rows: 3, ..Config::default() });
    let mut old = harness.submit(request(&[1], 150));
    while harness.steps.snapshot().kv_blocks_used < 2 {
        harness.step();
    }
    let reported = || SequenceRequest { prompt_logprobs: true, logprobs: Some(1), ..request(&[3; 120], 5) };
    let mut young = harness.submit(reported());
    let (mut outputs, mut first) = (Vec::new(), Vec::new());
    while harness.steps.snapshot().preemptions == 0 {
        harness.step();
        outputs.extend(read(&mut young));
        first.extend(read(&mut old));
    }
    assert!((1..120).contains(&outputs.len()), "{} positions were reported before the preemption", outputs.len());
    first.extend(harness.finish(&mut old));
    outputs.extend(harness.finish(&mut young));
    assert_eq!(first, alone(&script, request(&[1], 150)));
    assert_eq!(outputs, alone(&script, reported()));
    harness.assert_idle();
}
