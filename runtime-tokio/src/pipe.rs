//! Pipes: how a caller with many requests under way talks to its node, without a future for each.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::{fmt, mem};

use synod_core::Ballot;
use synod_core::service::{Outcome, Rejected, Request, Why};
use tokio::task::coop;

use crate::Handle;
use crate::caller::Caller;

/// A way to a node for one caller with many requests under way: requests go in one by one, outcomes
/// come out in lists, each with the number of its request. It costs a fraction of a
/// [`Submitted`](crate::Submitted) for each request.
///
/// What holds for [`Handle::submit`] holds here, too: the requests of one pipe are applied in the
/// order in which they were submitted, and each has exactly one outcome (A1), also when the node
/// dies. Outcomes come in the order in which they are known, which is another when some requests
/// are refused. A pipe that is dropped leaves its requests to take their course.
#[derive(Debug)]
pub struct Pipe<R> {
    handle: Handle<R>,
    outcomes: Arc<Outcomes<R>>,
    /// The number of the next request.
    next: u64,
    outstanding: usize,
    outstanding_max: usize,
}

/// What came of requests and was not yet taken, on its way from the loop.
pub(crate) struct Outcomes<R>(Mutex<Inner<R>>);

struct Inner<R> {
    /// At most as many as the pipe has outstanding.
    known: Vec<(u64, Outcome<R>)>,
    /// The caller, when it waits.
    sleeper: Option<Waker>,
    /// The pipe was dropped: nobody wants to know any more.
    is_gone: bool,
}

/// The loop's end of one request.
pub(crate) struct Ticket<R> {
    /// Where its outcome goes; none once it is there.
    outcomes: Option<Arc<Outcomes<R>>>,
    number: u64,
}

impl<R> Handle<R> {
    /// A pipe for at most `outstanding_max` requests without an outcome taken.
    #[must_use]
    pub fn pipe(&self, outstanding_max: usize) -> Pipe<R> {
        let inner = Inner { known: Vec::new(), sleeper: None, is_gone: false };
        let outcomes = Arc::new(Outcomes(Mutex::new(inner)));
        Pipe { handle: self.clone(), outcomes, next: 0, outstanding: 0, outstanding_max }
    }
}

impl<R> Pipe<R> {
    /// Submits a request, at once. Returns its number: the requests that were taken are counted
    /// from zero.
    ///
    /// # Errors
    /// With the request, which was not and will not be applied: too many wait ([`Why::Busy`]), in
    /// this pipe or at the node, or the node has ended.
    pub fn submit(&mut self, request: Request) -> Result<u64, Rejected> {
        if self.outstanding >= self.outstanding_max {
            return Err(Rejected { request, why: Why::Busy });
        }
        let number = self.next;
        let ticket = Ticket { outcomes: Some(Arc::clone(&self.outcomes)), number };
        self.handle.send(request, Caller::Piped(ticket))?;
        self.next += 1;
        self.outstanding += 1;
        Ok(number)
    }

    /// Requests whose outcome was not taken yet.
    #[must_use]
    pub const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Waits until there are outcomes, and moves all that there are to the end of `out`, each with
    /// the number of its request. Returns how many; zero, at once, when nothing is outstanding.
    ///
    /// Dropped before it is ready, it has taken nothing.
    pub async fn outcomes(&mut self, out: &mut Vec<(u64, Outcome<R>)>) -> usize {
        poll_fn(|cx| self.poll_outcomes(cx, out)).await
    }

    /// As [`outcomes`](Self::outcomes), for a caller that polls.
    pub fn poll_outcomes(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<(u64, Outcome<R>)>,
    ) -> Poll<usize> {
        // A caller that never has to wait lets the other tasks of its thread have their turns.
        let turn = ready!(coop::poll_proceed(cx));
        if self.outstanding == 0 {
            turn.made_progress();
            return Poll::Ready(0);
        }
        let mut inner = self.outcomes.lock();
        let count = inner.known.len();
        if count == 0 {
            if !inner.sleeper.as_ref().is_some_and(|sleeper| sleeper.will_wake(cx.waker())) {
                let former = inner.sleeper.replace(cx.waker().clone());
                // Whatever goes with the last waker of a task goes outside of the lock: that may be
                // the node itself, with all its tickets.
                drop(inner);
                drop(former);
            }
            return Poll::Pending;
        }
        if out.is_empty() {
            mem::swap(out, &mut inner.known);
        } else {
            out.append(&mut inner.known);
        }
        drop(inner);
        turn.made_progress();
        self.outstanding -= count;
        Poll::Ready(count)
    }
}

impl<R> Drop for Pipe<R> {
    fn drop(&mut self) {
        // Requests that are under way, perhaps for long, hold on to no reply and to no task.
        self.outcomes.forget();
    }
}

impl<R> Outcomes<R> {
    fn put(&self, number: u64, outcome: Outcome<R>) {
        let sleeper = {
            let mut inner = self.lock();
            if inner.is_gone {
                // Outside of the lock: a reply may own anything.
                drop(inner);
                return drop(outcome);
            }
            inner.known.push((number, outcome));
            inner.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Keeps nothing of what is there, nor of what is yet to come.
    fn forget(&self) {
        let kept = {
            let mut inner = self.lock();
            inner.is_gone = true;
            (mem::take(&mut inner.known), inner.sleeper.take())
        };
        drop(kept);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<R>> {
        // No code under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Ticket<R> {
    pub(crate) fn answer(mut self, outcome: Outcome<R>) {
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.put(self.number, outcome);
        }
    }

    /// The request was given back to its caller, who expects nothing more.
    pub(crate) fn void(mut self) {
        self.outcomes = None;
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        if let Some(outcomes) = self.outcomes.take() {
            // The loop died with the request in its hands.
            outcomes.put(self.number, Outcome::Unknown { ballot: Ballot::ZERO });
        }
    }
}

impl<R> fmt::Debug for Outcomes<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("known", &self.lock().known.len()).finish()
    }
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.number)
    }
}
