//! The body is in `tests/fuzzing`, where the stable tests run it too.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::run("key_set", input));
