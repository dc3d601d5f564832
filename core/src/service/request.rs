//! What a caller submits.

use bytes::Bytes;

use crate::service::Why;
use crate::{Ballot, Instant};

/// Names an accepted request on the service that accepted it. Counts from 1 in each run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Something to apply.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// What the state machine gets to see. At most `request_bytes_max` bytes.
    pub body: Bytes,
    /// Whether the request must have a decree of its own (A3).
    pub exclusive: bool,
    /// When to give up; by default `request_timeout` from now (A13). A request that no leader was
    /// offered by then is refused for certain, one in flight is unknown.
    pub deadline: Option<Instant>,
    /// Apply only under this leadership; any other refuses it for certain (A10).
    pub only_in: Option<Ballot>,
}

impl Request {
    /// A request with the default deadline and no conditions.
    #[must_use]
    pub const fn new(body: Bytes) -> Self {
        Self { body, exclusive: false, deadline: None, only_in: None }
    }
}

/// A request that was not accepted, given back. It was not and will not be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// The request.
    pub request: Request,
    /// Why.
    pub why: Why,
}
