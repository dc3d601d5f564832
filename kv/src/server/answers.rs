//! The answers that one connection owes, in the order of its commands.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

use bytes::Bytes;
use synod_core::service::Outcome;
use tokio::sync::OwnedSemaphorePermit;

use super::{Backend, NodeFacts};
use crate::resp::Version;
use crate::store::Reply;

/// A queue of answers. Its length is bounded by its owner.
pub(super) struct Answers<B: Backend> {
    queue: VecDeque<Owed<B>>,
    /// Invariant: the first `ready` of the queue are not [`Owed::Waiting`] or [`Owed::Asking`],
    /// and the one behind them, if any, is one of these.
    ready: usize,
}

/// One answer.
pub(super) enum Owed<B: Backend> {
    /// It is written already.
    Written(Bytes),
    /// The outcome is known.
    Known { outcome: Outcome<Reply>, is_read: bool, version: Version },
    /// The node was asked how it is, and has answered.
    Told { facts: Option<NodeFacts>, sections: Vec<Bytes>, version: Version },
    /// A request is in flight. Its permit goes back as soon as the outcome is there, whether or
    /// not the client takes its answers: one that does not must not hold up the others.
    Waiting {
        submitted: B::Submitted,
        _permit: OwnedSemaphorePermit,
        is_read: bool,
        version: Version,
    },
    /// The node was asked how it is.
    Asking { asked: Asked, sections: Vec<Bytes>, version: Version },
}

/// The answer of a node that was asked how it is.
pub(super) type Asked = Pin<Box<dyn Future<Output = Option<NodeFacts>> + Send>>;

impl<B: Backend> Answers<B> {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), ready: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an answer is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.ready < self.queue.len()
    }

    pub(super) fn push(&mut self, owed: Owed<B>) {
        if !self.is_waiting() && owed.is_ready() {
            self.ready += 1;
        }
        self.queue.push_back(owed);
    }

    /// The next answer, if it is ready.
    pub(super) fn pop(&mut self) -> Option<Owed<B>> {
        self.ready = self.ready.checked_sub(1)?;
        self.queue.pop_front()
    }

    /// Waits until the first answer that is still to come has come, and those behind it that need
    /// no more waiting. Cancelling loses nothing.
    pub(super) async fn advance(&mut self) {
        poll_fn(|cx| self.poll_advance(cx)).await;
    }

    fn poll_advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.ready;
        while let Some(owed) = self.queue.get_mut(self.ready) {
            if owed.poll_ready(cx).is_pending() {
                break;
            }
            self.ready += 1;
        }
        if self.ready > before { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<B: Backend> Owed<B> {
    const fn is_ready(&self) -> bool {
        match self {
            Self::Written(_) | Self::Known { .. } | Self::Told { .. } => true,
            Self::Waiting { .. } | Self::Asking { .. } => false,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Written(_) | Self::Known { .. } | Self::Told { .. } => {}
            Self::Waiting { submitted, _permit: _, is_read, version } => {
                let Poll::Ready(outcome) = Pin::new(submitted).poll(cx) else {
                    return Poll::Pending;
                };
                *self = Self::Known { outcome, is_read: *is_read, version: *version };
            }
            Self::Asking { asked, sections, version } => {
                let Poll::Ready(facts) = asked.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                let sections = core::mem::take(sections);
                *self = Self::Told { facts, sections, version: *version };
            }
        }
        Poll::Ready(())
    }
}
