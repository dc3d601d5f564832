//! The answers that one connection owes, in the order of its commands.

use core::future::Future;
use core::pin::Pin;
use core::task::Context;
use std::collections::VecDeque;

use bytes::Bytes;
use synod_core::service::Outcome;

use super::NodeFacts;
use crate::resp::Version;
use crate::store::Reply;

/// A queue of answers. Its length is bounded by its owner.
#[derive(Default)]
pub(super) struct Answers {
    queue: VecDeque<Owed>,
    /// Answers that have left the queue.
    gone: u64,
    /// Where the answers of requests stand, from request `oldest` on, counted as `gone` counts;
    /// [`SETTLED`] when the outcome is there. Invariant: the first is not [`SETTLED`].
    places: VecDeque<u64>,
    /// The first request without an outcome.
    oldest: u64,
}

/// One answer.
pub(super) enum Owed {
    /// It is written already.
    Written(Bytes),
    /// The outcome is known.
    Known { outcome: Outcome<Reply>, kind: Kind },
    /// The node was asked how it is, and has answered.
    Told { facts: Option<NodeFacts>, sections: Vec<Bytes>, version: Version },
    /// A request is in flight.
    Waiting(Kind),
    /// The node was asked how it is.
    Asking { asked: Asked, sections: Vec<Bytes>, version: Version },
}

/// What the answer to a request depends on besides its outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind {
    pub(super) is_read: bool,
    /// Of the protocol, when it was asked.
    pub(super) version: Version,
}

/// The answer of a node that was asked how it is.
pub(super) type Asked = Pin<Box<dyn Future<Output = Option<NodeFacts>> + Send>>;

impl Answers {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds an answer that needs no request.
    pub(super) fn push(&mut self, owed: Owed) {
        self.queue.push_back(owed);
    }

    /// Adds the answer to the request with this number, the next one.
    pub(super) fn push_request(&mut self, number: u64, kind: Kind) {
        debug_assert_eq!(number, self.oldest + self.places.len() as u64, "requests are counted");
        self.places.push_back(self.gone + self.queue.len() as u64);
        self.queue.push_back(Owed::Waiting(kind));
    }

    /// The outcome of the request with this number is there.
    pub(super) fn settle(&mut self, number: u64, outcome: Outcome<Reply>) {
        let request = number.checked_sub(self.oldest).and_then(|n| usize::try_from(n).ok());
        let place = request.and_then(|request| self.places.get_mut(request));
        let place = place.map(|place| core::mem::replace(place, SETTLED));
        while self.places.front() == Some(&SETTLED) {
            self.places.pop_front();
            self.oldest += 1;
        }
        // A request without an outcome keeps its answer, and all behind it, in the queue.
        let place = place.and_then(|place| usize::try_from(place - self.gone).ok());
        if let Some(owed) = place.and_then(|place| self.queue.get_mut(place))
            && let Owed::Waiting(kind) = *owed
        {
            *owed = Owed::Known { outcome, kind };
        } else {
            debug_assert!(false, "a second outcome of request {number}");
        }
    }

    /// The next answer, if it is ready. A node that was asked for it wakes the caller.
    pub(super) fn pop(&mut self, cx: &mut Context<'_>) -> Option<Owed> {
        let owed = match self.queue.front_mut()? {
            Owed::Waiting(_) => return None,
            Owed::Asking { asked, sections, version } => {
                let core::task::Poll::Ready(facts) = asked.as_mut().poll(cx) else { return None };
                let sections = core::mem::take(sections);
                let version = *version;
                self.queue.pop_front();
                Owed::Told { facts, sections, version }
            }
            Owed::Written(_) | Owed::Known { .. } | Owed::Told { .. } => self.queue.pop_front()?,
        };
        self.gone += 1;
        Some(owed)
    }

    /// A long pipeline does not leave a large queue behind.
    pub(super) fn shrink(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > KEPT_MAX {
            self.queue = VecDeque::new();
            self.places = VecDeque::new();
        }
    }
}

/// In place of a place.
const SETTLED: u64 = u64::MAX;

/// Room for so many answers is kept while there are none.
const KEPT_MAX: usize = 64;
