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

/// Outcomes on their way to one pipe, for which its lock is taken once and its caller woken once.
pub(crate) struct Gathered<R> {
    /// Whose they are; none when there are none.
    outcomes: Option<Arc<Outcomes<R>>>,
    /// Fewer than `GATHERED_MAX`.
    known: Vec<(u64, Outcome<R>)>,
}

/// So many outcomes go to their pipe at once, though the turn is not over: a caller on another
/// thread begins with them meanwhile.
const GATHERED_MAX: usize = 256;

impl<R> Handle<R> {
    /// A pipe for at most `outstanding_max` requests without an outcome taken.
    #[must_use]
    pub fn pipe(&self, outstanding_max: usize) -> Pipe<R> {
        let outcomes = Arc::new(Outcomes::new());
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
    const fn new() -> Self {
        Self(Mutex::new(Inner { known: Vec::new(), sleeper: None, is_gone: false }))
    }

    /// Takes all of `fresh`, and leaves it empty.
    fn put(&self, fresh: &mut Vec<(u64, Outcome<R>)>) {
        let sleeper = {
            let mut inner = self.lock();
            if inner.is_gone {
                // Outside of the lock: a reply may own anything.
                drop(inner);
                return fresh.clear();
            }
            if inner.known.is_empty() {
                mem::swap(fresh, &mut inner.known);
            } else {
                inner.known.append(fresh);
            }
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

impl<R> Gathered<R> {
    pub(crate) const fn new() -> Self {
        Self { outcomes: None, known: Vec::new() }
    }

    /// Takes the outcome of a request.
    pub(crate) fn put(&mut self, mut ticket: Ticket<R>, outcome: Outcome<R>) {
        let Some(outcomes) = ticket.outcomes.take() else { return };
        if !self.outcomes.as_ref().is_some_and(|own| Arc::ptr_eq(own, &outcomes)) {
            self.hand_over();
            self.outcomes = Some(outcomes);
        }
        self.known.push((ticket.number, outcome));
        if self.known.len() >= GATHERED_MAX {
            self.hand_over();
        }
    }

    /// Hands what was gathered to the pipe, in the order in which it came.
    pub(crate) fn hand_over(&mut self) {
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.put(&mut self.known);
        }
    }
}

impl<R> Drop for Gathered<R> {
    fn drop(&mut self) {
        // The loop died, and these outcomes were known before.
        self.hand_over();
    }
}

impl<R> Ticket<R> {
    pub(crate) fn answer(mut self, outcome: Outcome<R>) {
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.put(&mut vec![(self.number, outcome)]);
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
            outcomes.put(&mut vec![(self.number, Outcome::Unknown { ballot: Ballot::ZERO })]);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// A pipe as the loop sees it, with a caller that waits and counts how often it is woken.
    struct End {
        outcomes: Arc<Outcomes<u64>>,
        woken: Arc<Woken>,
    }

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl End {
        fn new() -> Self {
            let end = Self {
                outcomes: Arc::new(Outcomes::new()),
                woken: Arc::new(Woken(AtomicUsize::new(0))),
            };
            end.wait();
            end
        }

        fn wait(&self) {
            self.outcomes.lock().sleeper = Some(Waker::from(self.woken.clone()));
        }

        fn ticket(&self, number: u64) -> Ticket<u64> {
            Ticket { outcomes: Some(self.outcomes.clone()), number }
        }

        /// The numbers of the requests whose outcome is known, and how often the caller was woken.
        fn known(&self) -> (Vec<u64>, usize) {
            let numbers = self.outcomes.lock().known.iter().map(|(number, _)| *number).collect();
            (numbers, self.woken.0.load(Ordering::Relaxed))
        }
    }

    fn unknown() -> Outcome<u64> {
        Outcome::Unknown { ballot: Ballot::ZERO }
    }

    #[test]
    fn what_was_gathered_comes_in_order_and_wakes_once() {
        let (end, mut gathered) = (End::new(), Gathered::new());
        for turn in 0..3 {
            for number in [5, 3, 4] {
                gathered.put(end.ticket(turn * 10 + number), unknown());
            }
            gathered.hand_over();
        }
        // The caller went on waiting for nothing after it was woken.
        assert_eq!(end.known(), (vec![5, 3, 4, 15, 13, 14, 25, 23, 24], 1));
        end.wait();
        gathered.hand_over();
        assert_eq!(end.known().1, 1, "there is nothing new");
    }

    #[test]
    fn each_pipe_has_its_own() {
        let (left, right, mut gathered) = (End::new(), End::new(), Gathered::new());
        for number in 0..6 {
            let end = if number % 3 == 0 { &left } else { &right };
            gathered.put(end.ticket(number), unknown());
        }
        gathered.hand_over();
        assert_eq!(left.known(), (vec![0, 3], 1));
        assert_eq!(right.known(), (vec![1, 2, 4, 5], 1));
    }

    #[test]
    fn a_long_turn_does_not_keep_outcomes_to_its_end() {
        let (end, mut gathered) = (End::new(), Gathered::new());
        for number in 1..GATHERED_MAX as u64 {
            gathered.put(end.ticket(number), unknown());
            assert_eq!(end.known().0.len(), 0);
        }
        gathered.put(end.ticket(0), unknown());
        assert_eq!((end.known().0.len(), end.known().1), (GATHERED_MAX, 1));
    }

    #[test]
    fn a_loop_that_dies_has_told_what_it_knew() {
        let (end, mut gathered) = (End::new(), Gathered::new());
        let outcome = Outcome::Refused(Why::Busy);
        gathered.put(end.ticket(0), outcome);
        drop(end.ticket(1));
        drop(gathered);
        assert_eq!(end.known(), (vec![1, 0], 1));
        let known = mem::take(&mut end.outcomes.lock().known);
        assert!(matches!(known[0].1, Outcome::Unknown { .. }));
        assert!(matches!(known[1].1, Outcome::Refused(Why::Busy)));
    }

    #[test]
    fn what_was_gathered_for_a_pipe_that_is_gone_is_let_go_of() {
        let (outcomes, reply) = (Arc::new(Outcomes::new()), Arc::new(()));
        let mut gathered = Gathered::new();
        let (slot, ballot) = (synod_core::Slot(0), Ballot::ZERO);
        let outcome = Outcome::Applied { reply: reply.clone(), slot, ballot };
        gathered.put(Ticket { outcomes: Some(outcomes.clone()), number: 0 }, outcome);
        outcomes.forget();
        gathered.hand_over();
        assert_eq!(Arc::strong_count(&reply), 1);
    }
}
