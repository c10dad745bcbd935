//! The fuzz targets' properties on every seed, and on a few thousand seeded mutations of each.

use std::{fs, path::Path};

/// Mutations of each seed.
const MUTATIONS: usize = 1500;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut seeds: Vec<_> = fs::read_dir(dir.join(target))
        .expect("the seeds are checked in")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.display().to_string(), fs::read(path).expect("a seed")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    seeds
}

fn check(target: &str, property: fn(&[u8]) -> bool) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    // xorshift64: any spread will do, and the same one at each run.
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).expect("small")
    };
    for (name, seed) in seeds(target) {
        assert!(property(&seed), "{name} is not accepted");
        for _ in 0..MUTATIONS {
            let mut input = seed.clone();
            for _ in 0..=next(3) {
                let at = next(input.len());
                match next(4) {
                    0 if !input.is_empty() => input[at] ^= 1 << next(8),
                    1 => input.insert(at, u8::try_from(next(256)).expect("a byte")),
                    2 if !input.is_empty() => drop(input.remove(at)),
                    _ => input.truncate(at),
                }
            }
            property(&input);
        }
    }
}

#[test]
fn forms() {
    check("post_form", gateway::fuzzing::form);
}

#[test]
fn signed_chunks() {
    check("signed_chunks", gateway::fuzzing::signed_chunks);
}
