//! Any bytes as the body of a request to each API family; what must hold is what the tests of `gateway` check.

#![no_main]

use exercise::Exercise;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/gateway/tests/it/exercise.rs"]
mod exercise;
#[path = "../../crates/gateway/tests/it/stage.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod stage;

thread_local! {
    static EXERCISE: Exercise = Exercise::default();
}

fuzz_target!(|bytes: &[u8]| {
    EXERCISE.with(|exercise| exercise.body(bytes));
});
