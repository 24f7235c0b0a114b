//! Any text as the answer of a model of any family, in pieces; what must hold is what the tests of `chat` check.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/chat/tests/exercise/mod.rs"]
#[expect(dead_code, reason = "the tests name what they expect, the fuzzer does not")]
mod exercise;

fuzz_target!(|bytes: &[u8]| {
    exercise::answer(bytes);
});
