//! Work that outlives its caller.
//!
//! A caller may go away at any await: its connection broke, its task was ended. A commit that has
//! been handed to the engine lands all the same, and a change of several steps must not stop
//! between two of them. Such work is wrapped in [`Owned`]: while the caller waits it runs in the
//! caller's task and costs one allocation; when the caller goes away it goes on in a task of its
//! own, with all that it holds (pins, locks, permits).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Work that goes on when this is dropped, once it has begun.
pub(crate) struct Owned<T: Send + 'static> {
    /// `None` once it has ended.
    work: Option<Work<T>>,
    begun: bool,
}

/// Wraps `work`.
pub(crate) fn owned<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Owned<T> {
    Owned {
        work: Some(Box::pin(work)),
        begun: false,
    }
}

impl<T: Send + 'static> Future for Owned<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out meanwhile: work that panics is not polled again by the drop that follows.
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
            self.begun = true;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Owned<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take().filter(|_| self.begun)
            && !types::planted("changes-end-with-callers")
            // Without a runtime the process is at its end, and as good as crashed.
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn begun_work_goes_on_when_its_caller_goes_away() {
        let (go, gone) = oneshot::channel::<()>();
        let (ended, end) = oneshot::channel();
        let mut work = owned(async move {
            let _ = gone.await;
            let _ = ended.send("done");
        });
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(end.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn work_that_never_began_does_nothing() {
        let ran = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ran);
        drop(owned(async move { seen.store(true, Ordering::SeqCst) }));
        tokio::task::yield_now().await;
        assert!(!ran.load(Ordering::SeqCst));
    }
}
