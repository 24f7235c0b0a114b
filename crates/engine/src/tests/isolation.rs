//! What goes wrong in one request stays there.

use std::sync::Mutex;

use crate::Constraint;

use super::*;

/// Allows what `allow` allows, and panics on demand.
struct Scene {
    allow: fn(u32) -> bool,
    panics_in_mask: bool,
    panics_after: usize,
    panics_in_drop: bool,
    accepted: usize,
}

impl Default for Scene {
    fn default() -> Self {
        Self { allow: |_| true, panics_in_mask: false, panics_after: usize::MAX, panics_in_drop: false, accepted: 0 }
    }
}

impl Constraint for Scene {
    fn mask(&mut self, allowed: &mut [u64]) {
        assert!(!self.panics_in_mask, "the scene says so");
        for id in (0..97).filter(|&id| (self.allow)(id)) {
            allowed[id as usize / 64] |= 1 << (id % 64);
        }
    }

    fn accept(&mut self, _token: u32) {
        self.accepted += 1;
        assert!(self.accepted <= self.panics_after, "the scene says so");
    }

    fn rollback(&mut self, tokens: usize) {
        self.accepted -= tokens;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        assert!(!self.panics_in_drop || std::thread::panicking(), "the scene says so");
    }
}

/// Runs the troublemaker between two innocents, which must not notice; how the troublemaker ended.
fn among_innocents(script: Script, trouble: SequenceRequest) -> Option<Finish> {
    let mut harness = Harness::new(script.clone(), Config { step_rows: 16, ..Config::default() });
    let mut first = harness.submit(request(&[1, 2, 3], 30));
    let mut second = harness.submit(trouble);
    let mut third = harness.submit(request(&[4, 5, 6], 30));
    let end_of_second = end(&harness.finish(&mut second));
    let expected = [request(&[1, 2, 3], 30), request(&[4, 5, 6], 30)].map(|request| alone(&script, request));
    assert_eq!([harness.finish(&mut first), harness.finish(&mut third)], expected);
    harness.assert_idle();
    end_of_second
}

fn constrained(scene: Scene) -> SequenceRequest {
    SequenceRequest { constraint: Some(Box::new(scene)), ..request(&[9], 10) }
}

#[test]
fn a_constraint_limits_its_own_sequence() {
    let outputs = alone(&Script::default(), constrained(Scene { allow: |id| id % 10 == 3, ..Scene::default() }));
    let tokens = ids(&outputs);
    assert!(tokens.len() == 10 && tokens.iter().all(|id| id % 10 == 3), "{tokens:?}");
}

#[test]
fn a_constraint_that_panics_fails_its_own_sequence() {
    let scenes = [
        Scene { panics_in_mask: true, ..Scene::default() },
        Scene { panics_after: 3, ..Scene::default() },
        Scene { panics_after: 0, ..Scene::default() },
    ];
    for scene in scenes {
        assert_eq!(among_innocents(Script::default(), constrained(scene)), Some(Finish::Failed));
    }
}

#[test]
fn a_panic_while_dropping_hurts_nobody() {
    let scene = Scene { panics_in_drop: true, ..Scene::default() };
    assert_eq!(among_innocents(Script::default(), constrained(scene)), Some(Finish::MaxTokens));
}

#[test]
fn a_constraint_that_allows_nothing_fails() {
    let scene = Scene { allow: |_| false, ..Scene::default() };
    assert_eq!(among_innocents(Script::default(), constrained(scene)), Some(Finish::Failed));
}

#[test]
fn a_constraint_that_allows_only_the_end_beats_min_tokens() {
    let scene = Scene { allow: |id| id == 8, ..Scene::default() };
    let trouble = SequenceRequest { end_tokens: vec![8], min_tokens: 5, ..constrained(scene) };
    assert_eq!(among_innocents(Script::default(), trouble), Some(Finish::EndToken));
}

#[test]
fn logits_that_are_no_numbers_fail_their_own_sequence() {
    let script = Script { nan_at: Some(77), ..Script::default() };
    for prompt_logprobs in [false, true] {
        let trouble = SequenceRequest { prompt_logprobs, ..request(&[77], 10) };
        assert_eq!(among_innocents(script.clone(), trouble), Some(Finish::Failed));
    }
}

#[test]
fn a_forward_pass_that_panics_fails_its_step_and_nothing_else() {
    let script = Script { panics_at: Some(96), ..Script::default() };
    let mut harness = Harness::new(script.clone(), Config::default());
    let mut hit = harness.submit(request(&[1], 10));
    harness.step();
    let mut trouble = harness.submit(request(&[96], 10));
    harness.step();
    for tokens in [&mut hit, &mut trouble] {
        assert_eq!(end(&read(tokens)), Some(Finish::Failed));
    }
    harness.assert_idle();
    let mut later = harness.submit(request(&[2], 10));
    assert_eq!(harness.finish(&mut later), alone(&script, request(&[2], 10)));
}

#[test]
fn sequences_outside_the_panicking_step_go_on() {
    let script = Script { panics_at: Some(96), ..Script::default() };
    // One place: the second waits while the first fails.
    let mut harness = Harness::new(script.clone(), Config { max_sequences: 1, ..Config::default() });
    let mut trouble = harness.submit(request(&[96], 10));
    let mut waiting = harness.submit(request(&[2], 10));
    assert_eq!(end(&harness.finish(&mut trouble)), Some(Finish::Failed));
    assert_eq!(harness.finish(&mut waiting), alone(&script, request(&[2], 10)));
    harness.assert_idle();
}

#[test]
fn after_a_reset_the_engine_is_empty_and_works() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let mut running = harness.submit(request(&[1], 100));
    harness.step();
    harness.steps.reset();
    assert_eq!(end(&read(&mut running)), Some(Finish::Failed));
    harness.assert_idle();
    let mut later = harness.submit(request(&[2], 10));
    assert_eq!(end(&harness.finish(&mut later)), Some(Finish::MaxTokens));
}

/// A constraint that allows everything, when the test lets it.
struct Withheld(Arc<Mutex<Gate>>);

#[derive(Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

impl Constraint for Withheld {
    fn poll_mask(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        gate.waker = Some(context.waker().clone());
        if gate.open { Poll::Ready(()) } else { Poll::Pending }
    }

    fn mask(&mut self, allowed: &mut [u64]) {
        allowed.fill(u64::MAX);
    }

    fn accept(&mut self, _token: u32) {}

    fn rollback(&mut self, _tokens: usize) {}
}

#[test]
fn while_a_mask_is_withheld_the_neighbours_go_on_and_then_nothing_is_lost() {
    let script = Script::default();
    let gate = Arc::<Mutex<Gate>>::default();
    let mut harness = Harness::new(script.clone(), Config::default());
    let constraint: Option<Box<dyn Constraint>> = Some(Box::new(Withheld(Arc::clone(&gate))));
    let mut slow = harness.submit(SequenceRequest { constraint, ..request(&[9], 10) });
    let mut neighbour = harness.submit(request(&[1, 2, 3], 30));
    assert_eq!(harness.finish(&mut neighbour), alone(&script, request(&[1, 2, 3], 30)));
    assert!(read(&mut slow).is_empty());
    // Alone, it costs no steps until it is woken.
    assert_eq!(harness.step(), Next::Sleep(None));
    assert!(!harness.inbox.is_signalled());
    gate.lock().unwrap().open = true;
    gate.lock().unwrap().waker.take().unwrap().wake();
    assert!(harness.inbox.is_signalled());
    assert_eq!(harness.finish(&mut slow), alone(&script, request(&[9], 10)));
    harness.assert_idle();
}

#[test]
fn who_leaves_while_a_mask_is_withheld_leaves_nothing_behind() {
    let mut harness = Harness::new(Script::default(), Config::default());
    let constraint: Option<Box<dyn Constraint>> = Some(Box::new(Withheld(Arc::default())));
    let slow = harness.submit(SequenceRequest { constraint, ..request(&[9], 10) });
    harness.step();
    drop(slow);
    harness.assert_idle();
}

#[test]
fn a_sequence_that_waits_for_its_mask_can_lose_its_blocks() {
    // The older neighbour needs every block there is.
    let script = Script { kv_blocks: 4, ..Script::default() };
    let gate = Arc::<Mutex<Gate>>::default();
    let mut harness = Harness::new(script.clone(), Config::default());
    let mut neighbour = harness.submit(request(&[1], 60));
    let constraint: Option<Box<dyn Constraint>> = Some(Box::new(Withheld(Arc::clone(&gate))));
    let mut slow = harness.submit(SequenceRequest { constraint, ..request(&[9], 10) });
    assert_eq!(harness.finish(&mut neighbour), alone(&script, request(&[1], 60)));
    assert_eq!(harness.steps.snapshot().preemptions, 1);
    gate.lock().unwrap().open = true;
    assert_eq!(harness.finish(&mut slow), alone(&script, request(&[9], 10)));
    harness.assert_idle();
}
