//! Records of rows: reading never panics, and what reads is written back to the same meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| objects::fuzzing::records(data));
