//! The requests on their way from handles to the loop.
//!
//! A list under a lock that is held for a few instructions: the loop takes all of it in one go, and
//! only the first request of a turn wakes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::{fmt, mem};

use tokio::task::coop;

use crate::handle::Submit;

/// The end that handles put requests into.
pub(crate) struct SubmitSender<R>(Arc<Queue<R>>);

/// The loop's end. Dropped, it closes the queue, and nobody answers what was in it.
pub(crate) struct SubmitReceiver<R>(Arc<Queue<R>>);

struct Queue<R> {
    inner: Mutex<Inner<R>>,
    waiting_max: usize,
}

struct Inner<R> {
    /// At most `waiting_max`.
    waiting: Vec<Submit<R>>,
    is_closed: bool,
    /// The loop, when it waits for a request.
    sleeper: Option<Waker>,
}

/// Why a request was not taken; it is given back.
#[derive(Debug)]
pub(crate) enum NotTaken<R> {
    Full(Submit<R>),
    Closed(Submit<R>),
}

/// A queue for at most `waiting_max` requests.
pub(crate) fn queue<R>(waiting_max: usize) -> (SubmitSender<R>, SubmitReceiver<R>) {
    let inner = Inner { waiting: Vec::new(), is_closed: false, sleeper: None };
    let queue = Arc::new(Queue { inner: Mutex::new(inner), waiting_max });
    (SubmitSender(queue.clone()), SubmitReceiver(queue))
}

impl<R> SubmitSender<R> {
    /// Hands a request over.
    pub(crate) fn send(&self, submit: Submit<R>) -> Result<(), NotTaken<R>> {
        let sleeper = {
            let mut inner = self.0.lock();
            if inner.is_closed {
                return Err(NotTaken::Closed(submit));
            }
            if inner.waiting.len() >= self.0.waiting_max {
                return Err(NotTaken::Full(submit));
            }
            inner.waiting.push(submit);
            inner.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        Ok(())
    }
}

impl<R> SubmitReceiver<R> {
    /// Moves requests to the end of `out`, the oldest first and `count_max` at most. Ready when
    /// there was one.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<Submit<R>>,
        count_max: usize,
    ) -> Poll<()> {
        // The other sources keep to the share that the runtime gives a task. If this one did not, a
        // flood would have the loop go on with requests alone, and deaf to everything else.
        let turn = ready!(coop::poll_proceed(cx));
        let mut inner = self.0.lock();
        if inner.waiting.is_empty() {
            if !inner.sleeper.as_ref().is_some_and(|sleeper| sleeper.will_wake(cx.waker())) {
                inner.sleeper = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if out.is_empty() && inner.waiting.len() <= count_max {
            mem::swap(out, &mut inner.waiting);
        } else {
            let count = inner.waiting.len().min(count_max);
            out.extend(inner.waiting.drain(..count));
        }
        turn.made_progress();
        Poll::Ready(())
    }

    /// Takes no further requests, and returns those that were taken.
    pub(crate) fn close(&mut self) -> Vec<Submit<R>> {
        let mut inner = self.0.lock();
        inner.is_closed = true;
        mem::take(&mut inner.waiting)
    }
}

impl<R> Drop for SubmitReceiver<R> {
    fn drop(&mut self) {
        // Whoever waits for an outcome is told by the end of its channel, outside of the lock.
        drop(self.close());
    }
}

impl<R> Queue<R> {
    fn lock(&self) -> MutexGuard<'_, Inner<R>> {
        // No code under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Clone for SubmitSender<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> fmt::Debug for SubmitSender<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitSender").field("waiting", &self.0.lock().waiting.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use synod_core::service::Request;
    use tokio::sync::oneshot;

    use super::*;
    use crate::caller::Caller;

    fn submit(text: &'static str) -> Submit<u64> {
        let (outcome, _) = oneshot::channel();
        Submit { request: Request::new(text.into()), caller: Caller::Lone(outcome) }
    }

    fn texts(submits: &[Submit<u64>]) -> Vec<&[u8]> {
        submits.iter().map(|submit| &submit.request.body[..]).collect()
    }

    async fn recv(receiver: &mut SubmitReceiver<u64>, count_max: usize) -> Vec<Submit<u64>> {
        let mut out = Vec::new();
        poll_fn(|cx| receiver.poll_recv(cx, &mut out, count_max)).await;
        out
    }

    #[tokio::test]
    async fn requests_come_out_in_order_a_few_at_a_time() {
        let (sender, mut receiver) = queue(4);
        for text in ["1", "2", "3", "4"] {
            sender.clone().send(submit(text)).expect("there is room");
        }
        assert!(matches!(sender.send(submit("5")), Err(NotTaken::Full(_))));
        assert_eq!(texts(&recv(&mut receiver, 3).await), [b"1", b"2", b"3"]);
        sender.send(submit("6")).expect("there is room again");
        assert_eq!(texts(&recv(&mut receiver, 3).await), [b"4", b"6"]);
    }

    #[tokio::test]
    async fn a_loop_that_waits_is_woken() {
        let (sender, mut receiver) = queue(4);
        let waiting = tokio::spawn(async move { recv(&mut receiver, 4).await.len() });
        tokio::task::yield_now().await;
        sender.send(submit("1")).expect("there is room");
        assert_eq!(waiting.await.expect("no panic"), 1);
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_gives_back_what_it_had() {
        let (sender, mut receiver) = queue(4);
        sender.send(submit("1")).expect("there is room");
        assert_eq!(texts(&receiver.close()), [b"1"]);
        assert!(matches!(sender.send(submit("2")), Err(NotTaken::Closed(_))));
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_loop_that_died() {
        let (sender, receiver) = queue::<u64>(4);
        let (outcome, waiting) = oneshot::channel();
        sender
            .send(Submit { request: Request::default(), caller: Caller::Lone(outcome) })
            .expect("there is room");
        drop(receiver);
        waiting.await.expect_err("nobody answers");
    }
}
