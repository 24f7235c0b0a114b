//! Any bytes as a GGUF file; what must hold is what the tests of `weights` check.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/weights/tests/it/exercise.rs"]
#[expect(dead_code, reason = "each target runs one of the exercises")]
mod exercise;

fuzz_target!(|bytes: &[u8]| {
    let _ = exercise::gguf(bytes);
});
