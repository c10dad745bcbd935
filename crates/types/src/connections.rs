//! Which connections a listener has open, and which of them goes when one more comes than it may
//! have. Whoever connects and does nothing gives way to whoever comes later; nobody is kept out by
//! connections on which nothing happens, and an address that has many gives way before one that
//! has few.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The connections of one listener.
pub struct Connections {
    most: usize,
    busy_most: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Open>,
}

struct Open {
    from: IpAddr,
    busy: bool,
    since: Instant,
    end: Box<dyn Fn() + Send + Sync>,
}

/// The place of one connection, until it is dropped or another one needs it.
pub struct ConnectionSlot {
    of: Arc<Connections>,
    id: u64,
}

impl Connections {
    /// At most `most` at once. One that is at work does not give way for `busy_most`.
    pub fn new(most: usize, busy_most: Duration) -> Arc<Self> {
        Arc::new(Self {
            most,
            busy_most,
            table: Mutex::default(),
        })
    }

    /// A place for a connection that has just come. If there is none, the connection that has done
    /// nothing for longest makes room: one of the address that has the most. Its `end` is called,
    /// once; it must not wait. `None` when all are at work.
    pub fn enter(
        self: &Arc<Self>,
        from: IpAddr,
        end: impl Fn() + Send + Sync + 'static,
    ) -> Option<ConnectionSlot> {
        let (from, now) = (network(from), Instant::now());
        let mut table = self.lock();
        let mut gone = None;
        if table.open.len() >= self.most {
            gone = Some(self.gives_way(&table, now)?);
        }
        let gone = gone.and_then(|id| table.open.remove(&id));
        let id = table.next;
        table.next += 1;
        let open = Open {
            from,
            busy: false,
            since: now,
            end: Box::new(end),
        };
        table.open.insert(id, open);
        drop(table);
        if let Some(gone) = gone {
            (gone.end)();
        }
        Some(ConnectionSlot {
            of: Arc::clone(self),
            id,
        })
    }

    fn gives_way(&self, table: &Table, now: Instant) -> Option<u64> {
        let mut of = HashMap::new();
        for open in table.open.values() {
            *of.entry(open.from).or_insert(0usize) += 1;
        }
        let may = |open: &Open| !open.busy || now.duration_since(open.since) > self.busy_most;
        let candidates = table.open.iter().filter(|(_, open)| may(open));
        let most = candidates.max_by_key(|(id, open)| {
            let age = now.duration_since(open.since);
            (of.get(&open.from).copied(), age, std::cmp::Reverse(**id))
        });
        most.map(|(id, _)| *id)
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

/// What an address is counted as: whoever has one of the sixth version has all of its network.
pub fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

impl ConnectionSlot {
    /// A request has come and is worked on.
    pub fn busy(&self) {
        self.note(true);
    }

    /// It is answered.
    pub fn idle(&self) {
        self.note(false);
    }

    fn note(&self, busy: bool) {
        let mut table = self.of.lock();
        if let Some(open) = table.open.get_mut(&self.id) {
            open.busy = busy;
            open.since = Instant::now();
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.of.lock().open.remove(&self.id);
    }
}

impl fmt::Debug for ConnectionSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSlot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const FOREVER: Duration = Duration::from_secs(3600);

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    struct Client(Option<ConnectionSlot>, Arc<AtomicUsize>);

    impl Client {
        fn enter(of: &Arc<Connections>, from: IpAddr) -> Self {
            let ended = Arc::new(AtomicUsize::new(0));
            let note = Arc::clone(&ended);
            let place = of.enter(from, move || {
                note.fetch_add(1, Ordering::SeqCst);
            });
            Self(place, ended)
        }
        fn is_ended(&self) -> bool {
            self.1.load(Ordering::SeqCst) == 1
        }
    }

    #[test]
    fn who_does_nothing_gives_way_and_who_works_does_not() {
        let all = Connections::new(2, FOREVER);
        let (first, second) = (Client::enter(&all, ip(1)), Client::enter(&all, ip(1)));
        first.0.as_ref().unwrap().busy();
        let third = Client::enter(&all, ip(1));
        assert!(second.is_ended() && !first.is_ended() && third.0.is_some());
        third.0.as_ref().unwrap().busy();
        assert!(Client::enter(&all, ip(1)).0.is_none());
        first.0.as_ref().unwrap().idle();
        let fourth = Client::enter(&all, ip(1));
        assert!(first.is_ended() && fourth.0.is_some() && !third.is_ended());
        // What was ended before has no place to give back.
        drop((first, second));
        assert_eq!(all.open(), 2);
        drop((third, fourth));
        assert_eq!(all.open(), 0);
    }

    #[test]
    fn the_address_that_has_the_most_gives_way() {
        let all = Connections::new(4, FOREVER);
        let lone = Client::enter(&all, ip(1));
        let many: Vec<Client> = (0..50).map(|_| Client::enter(&all, ip(2))).collect();
        assert!(!lone.is_ended());
        assert_eq!(many.iter().filter(|c| !c.is_ended()).count(), 3);
        // One network of the sixth version is one.
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, n, n, n, n]);
        let all = Connections::new(3, FOREVER);
        let lone = Client::enter(&all, ip(1));
        let many: Vec<Client> = (0..9).map(|n| Client::enter(&all, v6(n))).collect();
        assert!(!lone.is_ended() && many[..7].iter().all(Client::is_ended));
    }

    #[test]
    fn work_that_takes_too_long_gives_way() {
        let all = Connections::new(1, Duration::ZERO);
        let first = Client::enter(&all, ip(1));
        first.0.as_ref().unwrap().busy();
        std::thread::sleep(Duration::from_millis(2));
        assert!(Client::enter(&all, ip(1)).0.is_some() && first.is_ended());
    }
}
