//! Handles: how the rest of a program talks to its node.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use synod_core::Ballot;
use synod_core::service::{Outcome, Rejected, Request, Why};
use tokio::sync::{mpsc, oneshot, watch};

use crate::caller::Caller;
use crate::submits::{NotTaken, SubmitSender};
use crate::{NodeError, NodeStatus};

/// A handle on a running node, whose state machine answers with `R`. Clones are cheap, and any
/// thread may use them; no call runs the state machine on the caller's stack, and none blocks.
///
/// The node goes on while it runs, whoever holds a handle. When the last handle and the
/// [`Node`](crate::Node) are gone nobody could stop it any more, so it shuts down by itself.
#[derive(Debug)]
pub struct Handle<R> {
    pub(crate) submits: SubmitSender<R>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) leader: watch::Receiver<Option<Ballot>>,
    pub(crate) ended: watch::Receiver<Option<Result<(), NodeError>>>,
}

/// A request on its way to the loop.
#[derive(Debug)]
pub(crate) struct Submit<R> {
    pub(crate) request: Request,
    pub(crate) caller: Caller<R>,
}

/// What else a handle asks of the loop.
#[derive(Debug)]
pub(crate) enum Order {
    Status(oneshot::Sender<NodeStatus>),
    ShutDown,
}

/// The outcome of a request, to be awaited. The request takes its course whether it is or not.
#[derive(Debug)]
#[must_use = "the outcome says whether the request was applied"]
pub struct Submitted<R>(State<R>);

#[derive(Debug)]
enum State<R> {
    Refused(Why),
    Waiting(oneshot::Receiver<Outcome<R>>),
}

impl<R> Handle<R> {
    /// Submits a request, at once: the requests of one caller are applied in the order of these
    /// calls, whether it awaits each outcome first or not.
    ///
    /// There is exactly one outcome (A1). Also when the node dies before it knows: it is
    /// [`Outcome::Unknown`] then, in ballot zero, which stands for no ballot.
    pub fn submit(&self, request: Request) -> Submitted<R> {
        self.try_submit(request).unwrap_or_else(|rejected| Submitted(State::Refused(rejected.why)))
    }

    /// Submits a request as [`submit`](Self::submit) does, but gives it back when it cannot even
    /// be handed to the node: when too many wait ([`Why::Busy`]) or the node has ended.
    ///
    /// # Errors
    /// With the request, which was not and will not be applied.
    pub fn try_submit(&self, request: Request) -> Result<Submitted<R>, Rejected> {
        let (outcome, waiting) = oneshot::channel();
        self.send(request, Caller::Lone(outcome))?;
        Ok(Submitted(State::Waiting(waiting)))
    }

    /// Hands a request to the loop, or gives it back.
    pub(crate) fn send(&self, request: Request, caller: Caller<R>) -> Result<(), Rejected> {
        let (submit, why) = match self.submits.send(Submit { request, caller }) {
            Ok(()) => return Ok(()),
            Err(NotTaken::Full(submit)) => (submit, Why::Busy),
            Err(NotTaken::Closed(submit)) => (submit, self.why_ended()),
        };
        submit.caller.void();
        Err(Rejected { request: submit.request, why })
    }

    /// How the node is: its replica, its links, its faults.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn status(&self) -> Result<NodeStatus, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.orders.send(Order::Status(sender)).await.map_err(|_| Ended)?;
        receiver.await.map_err(|_| Ended)
    }

    /// The leadership that this node knows of, as it changes.
    #[must_use]
    pub fn leader(&self) -> watch::Receiver<Option<Ballot>> {
        self.leader.clone()
    }

    /// Shuts the node down and waits until it has ended. Later submits are refused; requests in
    /// flight still get their outcome, for as long as `shutdown_timeout`; the log is settled and
    /// its directory free when this returns. Fine to call twice.
    ///
    /// # Errors
    /// When the node ended by an error, now or earlier.
    pub async fn shutdown(&self) -> Result<(), NodeError> {
        // A node that takes no orders any more has ended or is about to.
        let _ = self.orders.send(Order::ShutDown).await;
        self.ended().await
    }

    /// Waits until the node has ended, of itself or by a shutdown.
    ///
    /// # Errors
    /// When it ended by an error.
    pub async fn ended(&self) -> Result<(), NodeError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Err(NodeError::Died)),
            Err(_) => Err(NodeError::Died),
        }
    }

    fn why_ended(&self) -> Why {
        match *self.ended.borrow() {
            Some(Ok(())) => Why::ShuttingDown,
            // The loop closes its queue only to shut down; if it just died, it stopped.
            None if self.ended.has_changed().is_ok() => Why::ShuttingDown,
            None | Some(Err(_)) => Why::Stopped,
        }
    }
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self {
            submits: self.submits.clone(),
            orders: self.orders.clone(),
            leader: self.leader.clone(),
            ended: self.ended.clone(),
        }
    }
}

impl<R> Future for Submitted<R> {
    type Output = Outcome<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        match &mut self.0 {
            State::Refused(why) => Poll::Ready(Outcome::Refused(*why)),
            State::Waiting(outcome) => Pin::new(outcome).poll(cx).map(|outcome| {
                // The loop died with the request in its hands.
                outcome.unwrap_or(Outcome::Unknown { ballot: Ballot::ZERO })
            }),
        }
    }
}

/// The node has ended; [`Handle::ended`] says how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the node has ended")
    }
}

impl std::error::Error for Ended {}
