//! What a server stands in front of: a node, or something like one in tests.

use core::future::Future;

use synod_core::service::{Outcome, Request};
use synod_core::{Ballot, Slot};

use crate::command::Link;
use crate::store::Reply;

/// Takes requests and tells what came of them.
pub trait Backend: Send + Sync + 'static {
    /// What came of a request, to be awaited.
    type Submitted: Future<Output = Outcome<Reply>> + Send + Unpin;

    /// Submits a request, at once: requests are applied in the order of these calls.
    fn submit(&self, request: Request) -> Self::Submitted;

    /// How the node is; `None` when it has ended.
    fn facts(&self) -> impl Future<Output = Option<NodeFacts>> + Send + 'static;
}

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
