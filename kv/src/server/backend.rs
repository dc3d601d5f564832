//! What a server stands in front of: a node, or something like one in tests.

use core::future::Future;
use core::task::{Context, Poll};

use synod_core::service::{Outcome, Request, Why};
use synod_core::{Ballot, Slot};

use crate::command::Link;
use crate::store::Reply;

/// Takes requests and tells what came of them.
pub trait Backend: Send + Sync + 'static {
    /// The way of one connection to the node.
    type Pipe: Pipe;

    /// A pipe for at most `outstanding_max` requests whose outcome was not taken.
    fn pipe(&self, outstanding_max: usize) -> Self::Pipe;

    /// How the node is; `None` when it has ended.
    fn facts(&self) -> impl Future<Output = Option<NodeFacts>> + Send + 'static;
}

/// Takes the requests of one connection, many at a time. Dropped, it leaves those that are under
/// way to take their course.
pub trait Pipe: Send + 'static {
    /// Submits a request, at once: requests are applied in the order of these calls. Returns its
    /// number: the requests that were taken are counted from zero.
    ///
    /// # Errors
    /// When it was not and will not be applied.
    fn submit(&mut self, request: Request) -> Result<u64, Why>;

    /// Requests whose outcome was not taken yet.
    fn outstanding(&self) -> usize;

    /// Moves the outcomes that there are to the end of `out`, each with the number of its request,
    /// in any order, exactly one for each that was taken. Returns how many; not ready while there
    /// are none but some are to come.
    fn poll_outcomes(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) -> Poll<usize>;
}

/// What came of requests, each with its number.
pub type Outcomes = Vec<(u64, Outcome<Reply>)>;

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// The ballot of the leader that it knows; the node in it leads.
    pub leader: Option<Ballot>,
    /// Whether it votes.
    pub votes: bool,
    /// Everything below is known there to be chosen.
    pub decided: Slot,
    /// Everything below is applied there.
    pub applied: Slot,
    /// The digest of the state at `applied`.
    pub digest: u64,
    /// The links to its peers.
    pub links: Vec<Link>,
}
