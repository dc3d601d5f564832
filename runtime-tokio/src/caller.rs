//! Whoever waits for the outcome of a request, as the loop sees it.

use synod_core::service::Outcome;
use tokio::sync::oneshot;

use crate::pipe::{Gathered, Ticket};

/// The caller of one request.
#[derive(Debug)]
pub(crate) enum Caller<R> {
    /// Waits for this outcome alone.
    Lone(oneshot::Sender<Outcome<R>>),
    /// Takes outcomes as they come.
    Piped(Ticket<R>),
}

impl<R> Caller<R> {
    /// Tells the outcome, at the latest when what was gathered is handed over.
    pub(crate) fn answer_with(self, outcome: Outcome<R>, gathered: &mut Gathered<R>) {
        match self {
            Self::Lone(_) => self.answer(outcome),
            Self::Piped(ticket) => gathered.put(ticket, outcome),
        }
    }

    /// Tells the outcome, now.
    pub(crate) fn answer(self, outcome: Outcome<R>) {
        match self {
            // A caller that is gone does not want to know.
            Self::Lone(caller) => drop(caller.send(outcome)),
            Self::Piped(ticket) => ticket.answer(outcome),
        }
    }

    /// The request was never taken, and its caller has it back.
    pub(crate) fn void(self) {
        match self {
            Self::Lone(_) => {}
            Self::Piped(ticket) => ticket.void(),
        }
    }
}
