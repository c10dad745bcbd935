//! Seeds: 200 with every run of the tests, as many as `DHOW_SIM_SEEDS` says otherwise. A failure
//! names its seed: `DHOW_SIM_SEED=N cargo test -p sim` runs that one alone, and with
//! `DHOW_SIM_SHOW=1` and `-- --nocapture` it prints all events and what the regions log.

use std::env;

use sim::Scenario;

const SEEDS: u64 = 200;
/// Of folders that are put back.
const PUT_BACK: u64 = 16;
/// Of versions that are ahead of their time.
const POISONED: u64 = 12;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds of another scenario: `few`, or as many as are asked for.
fn more(few: u64) -> Vec<u64> {
    match number("DHOW_SIM_SEED") {
        Some(one) => vec![one],
        None => (0..number("DHOW_SIM_SEEDS").unwrap_or(few)).collect(),
    }
}

/// The seeds of one of four tests, which run side by side.
fn seeds(quarter: u64) -> Vec<u64> {
    if let Some(one) = number("DHOW_SIM_SEED") {
        return if quarter == 0 { vec![one] } else { Vec::new() };
    }
    let all = number("DHOW_SIM_SEEDS").unwrap_or(SEEDS);
    (0..all).filter(|seed| seed % 4 == quarter).collect()
}

fn check(quarter: u64) {
    check_all(&seeds(quarter), Scenario::Ordinary);
}

fn check_all(seeds: &[u64], scenario: Scenario) {
    if env::var_os("DHOW_SIM_SHOW").is_some() {
        let log = tracing_subscriber::fmt().without_time().with_ansi(false);
        // Another of the four may have begun it.
        drop(log.with_env_filter("debug").try_init());
    }
    let mut acknowledged = 0;
    for seed in seeds {
        let outcome = sim::run(*seed, scenario);
        acknowledged += outcome.acknowledged;
        if !outcome.findings.is_empty() {
            let (tail, findings) = (outcome.tail.join("\n"), outcome.findings.join("\n"));
            panic!("{tail}\n\nseed {seed} (DHOW_SIM_SEED={seed}):\n{findings}");
        }
    }
    // Runs in which nothing happens show nothing.
    assert!(
        acknowledged >= seeds.len() * 20,
        "only {acknowledged} writes"
    );
}

#[test]
fn seeds_0() {
    check(0);
}

#[test]
fn seeds_1() {
    check(1);
}

#[test]
fn seeds_2() {
    check(2);
}

#[test]
fn seeds_3() {
    check(3);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 2000..2003 {
        let (a, b) = (
            sim::run(seed, Scenario::PutBack),
            sim::run(seed, Scenario::PutBack),
        );
        assert_eq!(a.hash, b.hash, "seed {seed}");
    }
    for seed in 1000..1025 {
        let (a, b) = (
            sim::run(seed, Scenario::Ordinary),
            sim::run(seed, Scenario::Ordinary),
        );
        assert!(a.findings.is_empty(), "seed {seed}: {:?}", a.findings);
        assert_eq!(a.hash, b.hash, "seed {seed}");
    }
}

#[test]
fn versions_years_ahead_of_their_time() {
    check_all(&more(POISONED), Scenario::Poisoned);
}

#[test]
fn folders_put_back() {
    check_all(&more(PUT_BACK), Scenario::PutBack);
}
