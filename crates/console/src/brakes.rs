//! Limits on attempts to sign in.

use std::{collections::HashMap, net::IpAddr};

use parking_lot::Mutex;

/// Failures of one network in a minute.
const NETWORK_FAILURES: u32 = 20;
/// Failures of one key from one network in a minute; each further one doubles the wait.
const KEY_FAILURES: u32 = 5;
/// The longest wait.
const WAIT_MAX_MS: u64 = 15 * 60_000;
const MINUTE_MS: u64 = 60_000;
/// Attempts of everybody in a second, and of one network.
const ATTEMPTS_PER_S: u32 = 100;
const NETWORK_ATTEMPTS_PER_S: u32 = 25;
/// Networks and keys that are kept.
const KEPT_MAX: usize = 20_000;

/// Who may try again when.
#[derive(Default)]
pub struct Brakes(Mutex<State>);

#[derive(Default)]
struct State {
    failures: HashMap<(Option<String>, [u8; 8]), Failures>,
    second: u64,
    attempts: u32,
    /// Of this second, by network.
    by_network: HashMap<[u8; 8], u32>,
}

#[derive(Default, Clone, Copy)]
struct Failures {
    count: u32,
    until_ms: u64,
    last_ms: u64,
}

/// A customer's network: /24 and /56, so that an address changed in its last digits is no new one.
fn network(from: IpAddr) -> [u8; 8] {
    let mut out = [0; 8];
    match from.to_canonical() {
        IpAddr::V4(v4) => {
            out[..3].copy_from_slice(&v4.octets()[..3]);
            out[7] = 4;
        }
        IpAddr::V6(v6) => out[..7].copy_from_slice(&v6.octets()[..7]),
    }
    out
}

/// The same as text.
pub fn network_text(from: IpAddr) -> String {
    let octets = network(from);
    match from.to_canonical() {
        IpAddr::V4(_) => format!("{}.{}.{}.0/24", octets[0], octets[1], octets[2]),
        IpAddr::V6(_) => {
            let mut whole = [0; 16];
            whole[..7].copy_from_slice(&octets[..7]);
            format!("{}/56", std::net::Ipv6Addr::from(whole))
        }
    }
}

impl State {
    /// Counts an attempt of this second.
    fn count(&mut self, from: IpAddr, now_ms: u64) -> Result<(), u64> {
        if self.second != now_ms / 1000 {
            (self.second, self.attempts) = (now_ms / 1000, 0);
            self.by_network.clear();
        }
        let own = self.by_network.entry(network(from)).or_default();
        if *own >= NETWORK_ATTEMPTS_PER_S || self.attempts >= ATTEMPTS_PER_S {
            return Err(1);
        }
        *own += 1;
        self.attempts += 1;
        Ok(())
    }
}

impl Brakes {
    /// Takes one attempt; `Err` is the number of seconds to wait.
    pub fn attempt(&self, key: &str, from: IpAddr, now_ms: u64) -> Result<(), u64> {
        let mut state = self.0.lock();
        // Who is refused takes nothing from others.
        for who in [None, Some(key.to_owned())] {
            let failures = state.failures.get(&(who, network(from)));
            let until = failures.map_or(0, |failures| failures.until_ms);
            if until > now_ms {
                return Err((until - now_ms).div_ceil(1000));
            }
        }
        state.count(from, now_ms)
    }

    /// Takes one return from an identity provider, which decides by itself who fails too often;
    /// `Err` is the number of seconds to wait.
    pub fn visit(&self, from: IpAddr, now_ms: u64) -> Result<(), u64> {
        self.0.lock().count(from, now_ms)
    }

    /// Notes how an attempt ended.
    pub fn ended(&self, key: &str, from: IpAddr, well: bool, now_ms: u64) {
        let mut state = self.0.lock();
        let of_key = (Some(key.to_owned()), network(from));
        if well {
            state.failures.remove(&of_key);
            return;
        }
        if state.failures.len() >= KEPT_MAX {
            let ends = |failures: &Failures| failures.last_ms + WAIT_MAX_MS > now_ms;
            state.failures.retain(|_, failures| ends(failures));
            if state.failures.len() >= KEPT_MAX {
                state.failures.clear();
            }
        }
        for (who, most) in [
            ((None, network(from)), NETWORK_FAILURES),
            (of_key, KEY_FAILURES),
        ] {
            let failures = state.failures.entry(who).or_default();
            if failures.last_ms.max(failures.until_ms) + MINUTE_MS < now_ms {
                *failures = Failures::default();
            }
            failures.count += 1;
            failures.last_ms = now_ms;
            if failures.count >= most {
                let doubled = MINUTE_MS << (failures.count - most).min(8);
                failures.until_ms = now_ms + doubled.min(WAIT_MAX_MS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    #[test]
    fn a_key_that_fails_waits_longer_each_time_and_only_from_there() {
        let brakes = Brakes::default();
        for _ in 0..KEY_FAILURES {
            assert_eq!(brakes.attempt("K", HERE, 1000), Ok(()));
            brakes.ended("K", HERE, false, 1000);
        }
        assert_eq!(brakes.attempt("K", HERE, 1000), Err(60));
        assert_eq!(brakes.attempt("K", THERE, 1000), Ok(()));
        assert_eq!(brakes.attempt("L", HERE, 1000), Ok(()));
        assert_eq!(brakes.attempt("K", HERE, 61_001), Ok(()));
        brakes.ended("K", HERE, false, 61_001);
        assert_eq!(brakes.attempt("K", HERE, 61_001), Err(120));
    }

    #[test]
    fn a_network_is_no_single_address() {
        for (from, network) in [
            ("192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.0/24"),
            ("2001:db8:1:2345:6::7", "2001:db8:1:2300::/56"),
        ] {
            assert_eq!(network_text(from.parse().unwrap()), network);
        }
    }

    #[test]
    fn a_network_that_tries_many_keys_waits() {
        let brakes = Brakes::default();
        for n in 0..NETWORK_FAILURES {
            brakes.ended(&format!("K{n}"), HERE, false, 1000);
        }
        assert_eq!(brakes.attempt("another", HERE, 1000), Err(60));
        let same: IpAddr = "192.0.2.99".parse().unwrap();
        assert_eq!(brakes.attempt("another", same, 1000), Err(60));
    }

    #[test]
    fn all_together_have_so_many_attempts_a_second() {
        let brakes = Brakes::default();
        for n in 0..ATTEMPTS_PER_S as u8 {
            let from = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, n, 1));
            assert_eq!(brakes.attempt(&n.to_string(), from, 1000), Ok(()));
        }
        assert_eq!(brakes.attempt("K", THERE, 1000), Err(1));
        assert_eq!(brakes.attempt("K", THERE, 2000), Ok(()));
    }

    #[test]
    fn one_network_takes_no_attempts_from_others() {
        let brakes = Brakes::default();
        for n in 0..1000 {
            let first = brakes.attempt(&n.to_string(), HERE, 1000);
            assert_eq!(first.is_ok(), n < NETWORK_ATTEMPTS_PER_S, "{n}");
        }
        assert_eq!(brakes.attempt("K", THERE, 1000), Ok(()));
    }
}
