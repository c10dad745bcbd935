//! Forms: no panic, and the same result however the wire cuts them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    gateway::fuzzing::form(data);
});
