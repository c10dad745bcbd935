//! Who has the connections of the listener. When all places are taken and one more comes, one on
//! which nothing happens makes room: one of the network that has the most of them. So whoever
//! opens connections without end takes places from itself, and keeps out nobody who has few.
//!
//! A request notes nothing here: it is looked at who rests only when there is no place left.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::{Future, poll_fn},
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{http2::Marks, watchdog::Activity};

/// How soon it is looked again where all were at work.
const AGAIN: Duration = Duration::from_millis(50);

/// The connections of a listener, by the network that they come from.
#[derive(Default)]
pub(crate) struct Shares(Mutex<Table>);

#[derive(Default)]
struct Table {
    next: u64,
    networks: HashMap<IpAddr, Network>,
    /// The same by how many each has.
    by_count: BTreeSet<(usize, IpAddr)>,
}

/// The connections of one network, in the order in which they came.
type Network = BTreeMap<u64, Arc<Held>>;

/// What is known of a connection.
#[derive(Default)]
pub(crate) struct Held {
    work: OnceLock<Work>,
    ended: AtomicBool,
    task: OnceLock<Waker>,
}

enum Work {
    One(Arc<Activity>),
    Streams(Arc<Marks>),
}

impl Held {
    /// How little happens on it. One that has not sent its first request is idle.
    fn rests(&self) -> Rests {
        let (busy, rests) = match self.work.get() {
            None => (false, true),
            Some(Work::One(activity)) => (activity.is_busy(), activity.rests()),
            Some(Work::Streams(marks)) => (marks.is_busy(), false),
        };
        match (busy, rests) {
            (true, _) => Rests::Not,
            (false, false) => Rests::Perhaps,
            (false, true) => Rests::Surely,
        }
    }

    /// Does what `connection` does, as all of a task, until another one needs the place.
    pub(crate) async fn until_needed(self: Arc<Self>, connection: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            self.task.get_or_init(|| cx.waker().clone());
            match self.ended.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => connection.as_mut().poll(cx),
            }
        })
        .await;
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

/// How little happens on a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rests {
    /// A request is answered.
    Not,
    /// The last of an answer may still be on its way.
    Perhaps,
    Surely,
}

/// The share of one connection, until it is dropped.
pub(crate) struct Share {
    of: Arc<Shares>,
    id: u64,
    network: IpAddr,
    held: Arc<Held>,
}

impl Table {
    fn change<T>(&mut self, network: IpAddr, change: impl FnOnce(&mut Network) -> T) -> T {
        let of = self.networks.entry(network).or_default();
        let before = of.len();
        let changed = change(of);
        let after = of.len();
        self.by_count.remove(&(before, network));
        match after {
            0 => drop(self.networks.remove(&network)),
            _ => drop(self.by_count.insert((after, network))),
        }
        changed
    }

    /// Takes out one that rests, of the network that has the most: the oldest that surely does, of
    /// those that have half as many at least; then any.
    fn resting(&mut self) -> Option<Arc<Held>> {
        let (most, _) = *self.by_count.last()?;
        let large = |(count, _): &&(usize, IpAddr)| count * 2 >= most;
        let sure = self.find(Rests::Surely, large);
        let (network, id) = sure.or_else(|| self.find(Rests::Perhaps, |_| true))?;
        self.change(network, |of| of.remove(&id))
    }

    /// One that rests so far at least.
    fn find(
        &self,
        rests: Rests,
        among: impl Fn(&&(usize, IpAddr)) -> bool,
    ) -> Option<(IpAddr, u64)> {
        let mut networks = self.by_count.iter().rev().take_while(among);
        networks.find_map(|(_, network)| {
            let mut open = self.networks.get(network)?.iter();
            let found = open.find(|(_, held)| held.rests() >= rests);
            found.map(|(id, _)| (*network, *id))
        })
    }
}

impl Shares {
    /// Counts a connection that has come from this address.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Share {
        let network = types::connections::network(from);
        let held = Arc::new(Held::default());
        let mut table = self.0.lock();
        let id = table.next;
        table.next += 1;
        table.change(network, |of| of.insert(id, Arc::clone(&held)));
        Share {
            of: Arc::clone(self),
            id,
            network,
            held,
        }
    }

    /// A place for a connection that has come. It waits only while all others have requests
    /// under way. `None` when the listener has ended.
    pub(crate) async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                return Some(place);
            }
            if !types::planted("places-for-who-came-first") {
                self.make_room();
            }
            let waiting = tokio::time::timeout(AGAIN, Arc::clone(places).acquire_owned());
            if let Ok(place) = waiting.await {
                return place.ok();
            }
        }
    }

    fn make_room(&self) -> bool {
        let resting = self.0.lock().resting();
        resting.inspect(|held| held.end()).is_some()
    }
}

impl Share {
    /// A proxy has said that the connection is another client's.
    pub(crate) fn is_of(&mut self, from: IpAddr) {
        let network = types::connections::network(from);
        if network == self.network {
            return;
        }
        let mut table = self.of.0.lock();
        // It may have been taken out to make room.
        let Some(held) = table.change(self.network, |of| of.remove(&self.id)) else {
            return;
        };
        table.change(network, |of| of.insert(self.id, held));
        self.network = network;
    }

    /// It answers requests one by one, and notes here whether it does now.
    pub(crate) fn works(&self, activity: &Arc<Activity>) {
        let _ = self.held.work.set(Work::One(Arc::clone(activity)));
    }

    /// The same of several at once.
    pub(crate) fn works_on_streams(&self, marks: &Arc<Marks>) {
        let _ = self.held.work.set(Work::Streams(Arc::clone(marks)));
    }

    pub(crate) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.of.0.lock();
        table.change(self.network, |of| of.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn is_ended(share: &Share) -> bool {
        share.held.ended.load(Ordering::SeqCst)
    }

    #[test]
    fn who_has_the_most_makes_room_and_who_works_does_not() {
        let all = Arc::<Shares>::default();
        let lone = all.enter(ip(1));
        let many: Vec<Share> = (0..200).map(|_| all.enter(ip(2))).collect();
        let activity = Activity::new();
        let busy = activity.begin();
        for share in &many[..150] {
            share.works(&activity);
        }
        assert!(all.make_room() && is_ended(&many[150]) && !is_ended(&lone));
        // The last of an answer may be on its way after the work: those come later.
        drop(busy);
        assert!(all.make_room() && is_ended(&many[151]) && !is_ended(&many[0]));
        for share in &many[152..] {
            share.works(&activity);
        }
        assert!(all.make_room() && is_ended(&many[0]) && !is_ended(&lone));
        // A network with few gives only where those with many have none that rests.
        let _busy = activity.begin();
        assert!(all.make_room() && is_ended(&lone) && !all.make_room());
    }

    #[test]
    fn who_is_at_work_everywhere_leaves_the_room_to_nobody() {
        let all = Arc::<Shares>::default();
        let activity = Activity::new();
        let _busy = activity.begin();
        let shares: Vec<Share> = (1..4).map(|n| all.enter(ip(n))).collect();
        shares.iter().for_each(|share| share.works(&activity));
        assert!(!all.make_room());
        drop(shares);
        let table = all.0.lock();
        assert!(table.networks.is_empty() && table.by_count.is_empty());
    }

    #[test]
    fn a_connection_counts_for_whom_the_proxy_says() {
        let all = Arc::<Shares>::default();
        let mut of_proxy: Vec<Share> = (0..4).map(|_| all.enter(ip(9))).collect();
        for (n, share) in of_proxy.iter_mut().enumerate() {
            share.is_of(ip(n as u8));
        }
        let two = [all.enter(ip(20)), all.enter(ip(20))];
        assert!(all.make_room() && is_ended(&two[0]));
        assert!(!of_proxy.iter().any(is_ended));
    }

    #[tokio::test]
    async fn a_place_comes_of_who_rests_and_soon() {
        let (all, places) = (Arc::<Shares>::default(), Arc::new(Semaphore::new(2)));
        let enter = async |from| {
            let place = all.place(&places).await.unwrap();
            (all.enter(from), place)
        };
        let rest = |(share, place): (Share, OwnedSemaphorePermit)| {
            tokio::spawn(async move {
                share.held().until_needed(std::future::pending()).await;
                drop((share, place));
            })
        };
        let lone = rest(enter(ip(1)).await);
        let mut others = Vec::new();
        for _ in 0..50 {
            let entered = tokio::time::timeout(Duration::from_secs(30), enter(ip(2)));
            others.push(rest(entered.await.unwrap()));
        }
        for gone in others.drain(..49) {
            gone.await.unwrap();
        }
        assert!(!lone.is_finished() && !others[0].is_finished());
        lone.abort();
        others[0].abort();
    }
}
