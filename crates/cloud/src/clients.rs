//! What one client may do of something that nobody signs, so that none takes it all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use parking_lot::Mutex;

/// Clients of whom it is counted; with more all are dropped.
const CLIENTS_MAX: usize = 10_000;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A second.
    pub per_second: f64,
    /// At once.
    pub burst: f64,
}

/// What is left of a pace, and since when.
pub(crate) type Left = Option<(f64, Instant)>;

impl Pace {
    /// Takes one, if there is one.
    pub(crate) fn take(&self, left: &mut Left, now: Instant) -> bool {
        self.take_many(left, 1.0, now)
    }

    /// Takes so many, if there are as many.
    pub(crate) fn take_many(&self, left: &mut Left, many: f64, now: Instant) -> bool {
        let (before, since) = left.unwrap_or((self.burst, now));
        let passed = now.saturating_duration_since(since).as_secs_f64();
        let have = passed.mul_add(self.per_second, before).min(self.burst);
        let takes = have >= many;
        *left = Some((if takes { have - many } else { have }, now));
        takes
    }
}

/// One client's addresses: with IPv6 a client has a network of them.
pub(crate) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

/// What each client has left.
pub struct Clients {
    pace: Pace,
    left: Mutex<HashMap<IpAddr, Left>>,
}

impl Clients {
    /// Each client has so much.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            left: Mutex::default(),
        }
    }

    fn with<T>(&self, from: Option<IpAddr>, then: impl FnOnce(&mut Left) -> T) -> T {
        // Those of whom no address is known count as one.
        let from = client(from.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
        let mut left = self.left.lock();
        if left.len() >= CLIENTS_MAX && !left.contains_key(&from) {
            left.clear();
        }
        then(left.entry(from).or_default())
    }

    /// Takes one of what a client has, if it has one.
    pub fn take(&self, from: Option<IpAddr>, now: Instant) -> bool {
        let takes = self.with(from, |left| self.pace.take(left, now));
        takes || types::planted("tokens-without-end")
    }

    /// Gives a client back what was taken.
    pub fn give_back(&self, from: Option<IpAddr>) {
        self.with(from, |left| {
            if let Some((left, _)) = left {
                *left = (*left + 1.0).min(self.pace.burst);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_client_has_its_own_and_ipv6_counts_by_network() {
        let clients = Clients::new(Pace {
            per_second: 1.0,
            burst: 2.0,
        });
        let now = Instant::now();
        let at = |text: &str| Some(text.parse().unwrap());
        let takes = |from, now| clients.take(from, now);
        let (one, other) = (at("192.0.2.1"), at("192.0.2.2"));
        assert!(takes(one, now) && takes(one, now) && !takes(one, now));
        assert!(takes(at("::ffff:192.0.2.2"), now) && takes(other, now) && !takes(other, now));
        clients.give_back(one);
        assert!(takes(one, now) && !takes(one, now));
        assert!(takes(one, now + Duration::from_secs(1)));
        assert!(takes(at("2001:db8::1"), now) && takes(at("2001:db8::2"), now));
        assert!(!takes(at("2001:db8::3"), now) && takes(at("2001:db8:0:1::1"), now));
        assert!(takes(None, now) && takes(None, now) && !takes(None, now));
    }
}
