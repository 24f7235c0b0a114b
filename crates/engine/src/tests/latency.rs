//! Steps keep their time, whatever the machine, and prompts get on all the same. The clock is the test's: it moves by what
//! the steps' rows would cost.

use super::*;

/// Milliseconds that a step, a row that decodes and a row of a prompt cost.
#[derive(Debug, Clone, Copy)]
struct Machine {
    step: f64,
    decode: f64,
    prompt: f64,
}

/// SmolLM2-135M on two cores with AVX2: 700 tokens of prefill a second.
const SMALL: Machine = Machine { step: 5.0, decode: 0.7, prompt: 1.43 };

impl Machine {
    fn time(self, step: &crate::scripted::Step) -> Duration {
        let rows =
            step.segments.iter().map(|&(_, _, rows)| if rows == 1 { self.decode } else { self.prompt * rows as f64 });
        Duration::from_secs_f64((self.step + rows.sum::<f64>()) / 1e3)
    }
}

/// An engine on a machine.
struct Timed {
    harness: Harness,
    machine: Machine,
}

impl Timed {
    fn new(machine: Machine) -> Self {
        let script = Script { context_length: 8192, kv_blocks: 4096, ..Script::default() };
        Self { harness: Harness::timed(script, Config::default()), machine }
    }

    /// One step; how long it took.
    fn step(&mut self) -> Duration {
        assert_eq!(self.harness.step(), Next::Again);
        let time =
            self.machine.time(self.harness.log.lock().expect("the runner does not panic").last().expect("a step"));
        self.harness.pass(time);
        time
    }

    /// `count` streams of another tenant that decode from now on.
    fn streams(&mut self, count: u32) -> Vec<Tokens> {
        let long = |salt| SequenceRequest { salt: 1, ..request(&[salt; 8], 8000) };
        let mut streams: Vec<Tokens> = (0..count).map(|salt| self.harness.submit(long(salt))).collect();
        let mut silent = count as usize;
        while silent > 0 {
            self.step();
            silent = streams.iter_mut().map(|tokens| usize::from(read(tokens).is_empty())).sum();
        }
        streams
    }
}

/// The value that 99 of 100 do not exceed.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

#[test]
fn streams_stay_smooth_and_short_requests_quick_beside_a_long_prompt() {
    // The short requests are the long one's tenant's, or a third's.
    for salt in [0, 2] {
        let mut timed = Timed::new(SMALL);
        let mut streams = timed.streams(8);
        let long = timed.harness.submit(SequenceRequest { salt: 0, ..request(&[9; 4000], 1) });
        let began = timed.harness.now;
        let (mut steps, mut waits) = (Vec::new(), Vec::new());
        let mut short: Option<(Tokens, Instant)> = None;
        let mut long = Some(long);
        while let Some(tokens) = &mut long {
            // One after the other, each arriving just after a step began: the worst moment.
            let arrives = short.is_none();
            let before = timed.harness.now;
            steps.push(timed.step());
            for tokens in &mut streams {
                assert_eq!(read(tokens).len(), 1, "a stream missed a step");
            }
            if let Some((tokens, since)) = &mut short
                && !read(tokens).is_empty()
            {
                waits.push(timed.harness.now - *since);
                short = None;
            }
            if arrives {
                let request = SequenceRequest { salt, ..request(&[waits.len() as u32; 20], 1) };
                short = Some((timed.harness.submit(request), before));
            }
            if !read(tokens).is_empty() {
                long = None;
            }
        }
        let took = timed.harness.now - began;
        assert!(p99(steps.clone()) <= Duration::from_millis(50), "salt {salt}: {:?}", p99(steps));
        assert!(waits.len() > 10, "{} short requests", waits.len());
        assert!(p99(waits.clone()) <= Duration::from_millis(100), "salt {salt}: {waits:?}");
        // Alone the long prompt would take 5.7 s.
        assert!(took < Duration::from_secs(20), "salt {salt}: the long prompt took {took:?}");
    }
}

#[test]
fn every_machine_fills_its_steps_and_keeps_their_time() {
    for scale in [0.02, 0.3, 1.0, 4.0] {
        let Machine { step, decode, prompt } = SMALL;
        let mut timed = Timed::new(Machine { step: step * scale, decode: decode * scale, prompt: prompt * scale });
        let mut alone = timed.harness.submit(request(&[9; 4000], 1));
        let mut times = Vec::new();
        while read(&mut alone).is_empty() {
            times.push(timed.step());
        }
        let rows = |harness: &Harness| harness.steps.snapshot().step_rows;
        let longest = times.iter().skip(1).max().copied().unwrap_or_default();
        assert!(longest <= Duration::from_millis(100), "{scale}: {longest:?}");
        let mut streams = timed.streams(2);
        let mut prompt = timed.harness.submit(request(&[8; 4000], 1));
        (0..4).for_each(|_| _ = timed.step());
        // Of two steps, as one may go without a prompt.
        let (time, rows) = (0..2).map(|_| (timed.step(), rows(&timed.harness))).max().unwrap_or_default();
        let full = rows == 512; // a fast machine has time for more rows than there may be
        let bounds = if full { 0..=50 } else { 30..=50 };
        assert!(bounds.contains(&(time.as_millis() as u64)), "{scale}: {time:?}, {rows} rows");
        assert!(read(&mut prompt).len() <= 1 && streams.iter_mut().all(|tokens| !read(tokens).is_empty()));
    }
}

#[test]
fn decoding_that_takes_all_the_time_leaves_prompts_their_part() {
    let mut timed = Timed::new(Machine { step: 5.0, decode: 10.0, prompt: 1.5 });
    let _streams = timed.streams(8);
    let mut prompt = timed.harness.submit(request(&[8; 200], 1));
    let mut steps = 0;
    while read(&mut prompt).is_empty() {
        timed.step();
        steps += 1;
    }
    assert!(steps <= 20, "{steps} steps for 200 tokens");
}
