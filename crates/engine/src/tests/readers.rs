//! Readers that are slow, asleep or gone.

use crate::channel::CAPACITY;

use super::*;

fn config() -> Config {
    Config { reader_timeout: Duration::from_secs(60), ..Config::default() }
}

#[test]
fn a_full_queue_stops_its_sequence_and_no_other() {
    let mut harness = Harness::new(Script::default(), config());
    let mut sleepy = harness.submit(request(&[1], 400));
    let mut awake = harness.submit(request(&[2], 400));
    harness.finish(&mut awake);
    assert!(matches!(harness.step(), Next::Sleep(Some(_))), "nothing is left to run");
    assert_eq!(harness.steps.snapshot().running, 1, "the sleepy one keeps its blocks");
    let first = read(&mut sleepy);
    assert_eq!(first.len(), CAPACITY);
    let rest = harness.finish(&mut sleepy);
    assert_eq!([first, rest].concat(), alone(&Script::default(), request(&[1], 400)));
    harness.assert_idle();
}

#[test]
fn a_reader_that_reads_nothing_is_cut_off_in_time() {
    let mut harness = Harness::new(Script::default(), config());
    let mut sleepy = harness.submit(request(&[1], 400));
    harness.run();
    harness.pass(Duration::from_millis(59_999));
    assert!(matches!(harness.step(), Next::Sleep(Some(at)) if at == harness.now + Duration::from_millis(1)));
    harness.pass(Duration::from_millis(1));
    assert_eq!(harness.step(), Next::Sleep(None));
    let outputs = read(&mut sleepy);
    assert_eq!((ids(&outputs).len(), end(&outputs)), (CAPACITY, Some(Finish::SlowReader)));
    harness.assert_idle();
}

#[test]
fn a_reader_that_reads_a_little_has_its_time_again() {
    let mut harness = Harness::new(Script::default(), config());
    let mut slow = harness.submit(request(&[1], 300));
    let mut outputs = Vec::new();
    while end(&outputs).is_none() {
        harness.run();
        harness.pass(Duration::from_secs(59));
        outputs.extend(try_next(&mut slow));
    }
    assert_eq!(end(&outputs), Some(Finish::MaxTokens));
}

#[test]
fn the_report_of_a_prompt_waits_for_its_reader_too() {
    let prompt = [3; 400];
    let asked = || SequenceRequest { prompt_logprobs: true, ..request(&prompt, 10) };
    let mut harness = Harness::new(Script::default(), config());
    let mut slow = harness.submit(asked());
    let mut outputs = Vec::new();
    while end(&outputs).is_none() {
        harness.run();
        outputs.extend(try_next(&mut slow));
    }
    assert_eq!(outputs, alone(&Script::default(), asked()));
}

#[test]
fn a_sleeping_reader_gives_way_to_those_who_need_its_place() {
    let mut harness = Harness::new(Script::default(), Config { max_sequences: 1, ..config() });
    let mut sleepy = harness.submit(request(&[1], 400));
    harness.run();
    let mut next = harness.submit(request(&[2], 5));
    assert!(matches!(harness.step(), Next::Sleep(Some(_))), "a short nap costs nothing");
    harness.pass(Duration::from_secs(1));
    assert_eq!(end(&harness.finish(&mut next)), Some(Finish::MaxTokens));
    assert_eq!(harness.steps.snapshot().preemptions, 1);
    // Its text is not changed by that.
    assert_eq!(harness.finish(&mut sleepy), alone(&Script::default(), request(&[1], 400)));
    harness.assert_idle();
}

#[test]
fn hanging_up_frees_the_blocks_before_the_next_step() {
    let mut harness = Harness::new(Script::default(), config());
    let gone = harness.submit(request(&[1; 50], 100));
    let mut stays = harness.submit(request(&[2], 30));
    harness.step();
    drop(gone);
    assert!(harness.inbox.is_signalled(), "the engine is woken");
    harness.step();
    assert_eq!(harness.steps.snapshot().kv_blocks_used, 1);
    let log = harness.log.lock().expect("the runner does not panic").clone();
    assert_eq!(log.last().map(|step| step.segments.len()), Some(1));
    assert_eq!(harness.finish(&mut stays), alone(&Script::default(), request(&[2], 30)));
    harness.assert_idle();
}

#[test]
fn hanging_up_while_waiting_leaves_nothing() {
    let mut harness = Harness::new(Script::default(), Config { max_sequences: 1, ..config() });
    let mut running = harness.submit(request(&[1], 10));
    let waiting = harness.submit(request(&[2], 10));
    harness.step();
    drop(waiting);
    harness.finish(&mut running);
    harness.assert_idle();
    let log = harness.log.lock().expect("the runner does not panic");
    assert!(log.iter().all(|step| step.segments.iter().all(|&(token, position, _)| position > 0 || token == 1)));
}

#[test]
fn an_idle_engine_sleeps() {
    let mut harness = Harness::new(Script::default(), config());
    assert_eq!(harness.step(), Next::Sleep(None));
    assert_eq!(harness.steps.snapshot().steps, 0);
}
