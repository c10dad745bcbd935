//! Keys of rows and continuation tokens: they read back, keep their order, and nothing else is
//! taken for one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| objects::fuzzing::keys_and_tokens(data));
