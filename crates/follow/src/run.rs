//! The runner.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Backoff;

/// What came of a step that had no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It moved on, and there may be more. A fault after that is a first one.
    Moved,
    /// It waited by itself, in vain.
    Idle,
    /// There is nothing to do until the follower is woken, or for so long.
    Wait(Duration),
    /// It moved on, and the cursor is to be read anew.
    Anew,
}

/// Follows a change log, or does other work step by step.
pub trait Follow: Send {
    /// Where it is. The truth about that is in rows; this is what was read of them, and what only
    /// speeds up the next step.
    type Cursor: Send;
    /// Why a step failed.
    type Fault: Send;

    /// Reads the cursor: first, and after each fault.
    fn open(&mut self) -> impl Future<Output = Result<Self::Cursor, Self::Fault>> + Send;

    /// Applies what comes next, and then saves the cursor. What was applied and not saved comes
    /// again: applying it twice changes nothing.
    fn step(
        &mut self,
        cursor: &mut Self::Cursor,
    ) -> impl Future<Output = Result<Step, Self::Fault>> + Send;

    /// Ends when there may be more to do. It may be dropped at any point, and must not miss what
    /// comes before it is called again. By itself, a follower that steps only in time.
    fn woken(
        &mut self,
        _: &mut Self::Cursor,
    ) -> impl Future<Output = Result<(), Self::Fault>> + Send {
        std::future::pending()
    }

    /// Says that a step failed, and is tried again after a pause.
    fn failed(&mut self, fault: Self::Fault);
}

/// Runs until it is dropped.
pub async fn run<F: Follow>(mut follower: F, mut backoff: Backoff) {
    loop {
        if let Err(fault) = run_once(&mut follower, &mut backoff).await {
            follower.failed(fault);
            sleep(backoff.pause()).await;
        }
    }
}

/// Until the cursor is to be read anew.
async fn run_once<F: Follow>(follower: &mut F, backoff: &mut Backoff) -> Result<(), F::Fault> {
    let mut cursor = follower.open().await?;
    loop {
        match follower.step(&mut cursor).await? {
            Step::Moved => backoff.reset(),
            Step::Idle => {}
            Step::Wait(most) => {
                if let Ok(woken) = timeout(most, follower.woken(&mut cursor)).await {
                    woken?;
                }
            }
            Step::Anew => {
                backoff.reset();
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::watch,
        time::{Instant, advance},
    };

    use super::*;
    use crate::{Task, Tries};

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(3);
    const WAIT: Duration = Duration::from_secs(20);

    /// A log, and the rows of who follows it.
    #[derive(Default)]
    struct Rows {
        log: Vec<&'static str>,
        saved: usize,
        applied: Vec<&'static str>,
        /// Of entries that were given up.
        dead: Vec<&'static str>,
        opened: usize,
        steps: usize,
        failed: Vec<Instant>,
        /// What cannot be applied.
        bad: Vec<&'static str>,
    }

    struct Following {
        rows: watch::Sender<Rows>,
        tries: Option<Tries<&'static str>>,
    }

    impl Following {
        fn apply(&mut self, entry: &'static str) -> Result<(), &'static str> {
            if !self.rows.borrow().bad.contains(&entry) {
                self.rows.send_modify(|rows| rows.applied.push(entry));
                return Ok(());
            }
            match self.tries.as_mut().is_some_and(|t| t.failed(entry)) {
                true => self.rows.send_modify(|rows| rows.dead.push(entry)),
                false => return Err(entry),
            }
            Ok(())
        }
    }

    impl Follow for Following {
        type Cursor = usize;
        type Fault = &'static str;

        async fn open(&mut self) -> Result<usize, &'static str> {
            self.rows.send_modify(|rows| rows.opened += 1);
            Ok(self.rows.borrow().saved)
        }

        async fn step(&mut self, cursor: &mut usize) -> Result<Step, &'static str> {
            self.rows.send_modify(|rows| rows.steps += 1);
            let page: Vec<_> = self
                .rows
                .borrow()
                .log
                .iter()
                .skip(*cursor)
                .copied()
                .collect();
            if page.is_empty() {
                return Ok(Step::Wait(WAIT));
            }
            for entry in page {
                if entry == "anew" && self.rows.borrow().opened == 1 {
                    return Ok(Step::Anew);
                }
                self.apply(entry)?;
                *cursor += 1;
            }
            self.rows.send_modify(|rows| rows.saved = *cursor);
            Ok(Step::Moved)
        }

        async fn woken(&mut self, cursor: &mut usize) -> Result<(), &'static str> {
            let mut rows = self.rows.subscribe();
            let _ = rows.wait_for(|rows| rows.log.len() > *cursor).await;
            Ok(())
        }

        fn failed(&mut self, _: &'static str) {
            self.rows
                .send_modify(|rows| rows.failed.push(Instant::now()));
        }
    }

    fn begin(tries: Option<usize>) -> (watch::Sender<Rows>, Task) {
        let rows = watch::Sender::<Rows>::default();
        let follower = Following {
            rows: rows.clone(),
            tries: tries.map(Tries::of),
        };
        let task = Task::begin(run(follower, Backoff::new(MIN, MAX, "test")));
        (rows, task)
    }

    async fn until(rows: &watch::Sender<Rows>, done: impl Fn(&Rows) -> bool) {
        let mut rows = rows.subscribe();
        rows.wait_for(|rows| done(rows)).await.unwrap();
    }

    fn push(rows: &watch::Sender<Rows>, entries: &[&'static str]) {
        rows.send_modify(|rows| rows.log.extend(entries));
    }

    #[tokio::test(start_paused = true)]
    async fn news_wakes_at_once() {
        let (rows, _task) = begin(None);
        until(&rows, |rows| rows.steps == 1).await;
        let begun = Instant::now();
        push(&rows, &["a"]);
        until(&rows, |rows| rows.saved == 1).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn without_news_it_steps_after_its_wait() {
        let (rows, _task) = begin(None);
        let begun = Instant::now();
        until(&rows, |rows| rows.steps == 3).await;
        let waited = begun.elapsed();
        assert!(waited >= 2 * WAIT && waited < 3 * WAIT, "{waited:?}");
        assert_eq!(rows.borrow().opened, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_are_short_again_after_progress() {
        let (rows, _task) = begin(None);
        rows.send_modify(|rows| rows.bad.push("b"));
        push(&rows, &["b"]);
        until(&rows, |rows| rows.failed.len() == 9).await;
        let failed = rows.borrow().failed.clone();
        // A clock that is paused goes in milliseconds.
        let more = Duration::from_millis(2);
        assert!(failed[1] - failed[0] <= MIN + more, "{failed:?}");
        let last = failed[8] - failed[7];
        assert!(last > MAX * 3 / 4 && last <= MAX + more, "{last:?}");
        rows.send_modify(|rows| rows.bad.clear());
        until(&rows, |rows| rows.saved == 1).await;
        rows.send_modify(|rows| rows.bad.push("c"));
        push(&rows, &["c"]);
        until(&rows, |rows| rows.failed.len() == 11).await;
        let failed = rows.borrow().failed.clone();
        assert!(failed[10] - failed[9] <= MIN + more, "{failed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_fault_it_goes_on_from_what_was_saved() {
        let (rows, _task) = begin(None);
        push(&rows, &["a"]);
        until(&rows, |rows| rows.saved == 1).await;
        rows.send_modify(|rows| rows.bad.push("c"));
        push(&rows, &["b", "c"]);
        until(&rows, |rows| rows.failed.len() == 1).await;
        rows.send_modify(|rows| rows.bad.clear());
        until(&rows, |rows| rows.saved == 3).await;
        // What was applied and not saved comes again, and nothing is left out.
        assert_eq!(rows.borrow().applied, ["a", "b", "b", "c"]);
        assert_eq!(rows.borrow().opened, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_is_read_anew_without_a_pause() {
        let (rows, _task) = begin(None);
        let begun = Instant::now();
        push(&rows, &["anew"]);
        until(&rows, |rows| rows.saved == 1).await;
        assert_eq!(rows.borrow().opened, 2);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_is_given_up_does_not_stop_those_behind_it() {
        let (rows, _task) = begin(Some(3));
        rows.send_modify(|rows| rows.bad.push("b"));
        push(&rows, &["a", "b", "c"]);
        until(&rows, |rows| rows.saved == 3).await;
        let rows = rows.borrow();
        assert_eq!((rows.dead.as_slice(), rows.failed.len()), (&["b"][..], 2));
        assert_eq!(rows.applied.last(), Some(&"c"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_order_matters_it_stops_before_what_cannot_be_applied() {
        let (rows, _task) = begin(None);
        rows.send_modify(|rows| rows.bad.push("b"));
        push(&rows, &["a", "b", "c"]);
        until(&rows, |rows| rows.failed.len() == 50).await;
        let rows = rows.borrow();
        assert!(!rows.applied.contains(&"c") && rows.dead.is_empty());
        assert_eq!(rows.saved, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_at_once_while_it_waits_and_while_it_pauses() {
        for bad in [false, true] {
            let (rows, task) = begin(None);
            match bad {
                true => {
                    rows.send_modify(|rows| rows.bad.push("a"));
                    push(&rows, &["a"]);
                    until(&rows, |rows| rows.failed.len() == 6).await;
                }
                false => until(&rows, |rows| rows.steps == 1).await,
            }
            let (begun, steps) = (Instant::now(), rows.borrow().steps);
            task.end().await;
            assert_eq!(begun.elapsed(), Duration::ZERO);
            push(&rows, &["b"]);
            advance(WAIT * 2).await;
            assert_eq!(rows.borrow().steps, steps);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_ends_when_it_is_dropped() {
        let (rows, task) = begin(None);
        until(&rows, |rows| rows.steps == 1).await;
        assert!(!task.has_ended());
        drop(task);
        push(&rows, &["a"]);
        advance(WAIT * 2).await;
        assert_eq!(rows.borrow().saved, 0);
    }
}
