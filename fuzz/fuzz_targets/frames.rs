//! Frames of the journal: reading never panics, whatever lies on the disk.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| store::embedded::fuzzing::frames(data));
