//! The messages between services.

use bytes::Bytes;

use crate::Ballot;

/// A message between two services. Like all messages it may be lost, doubled, delayed and
/// reordered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceMessage {
    /// Requests of the sender, for the owner of `ballot` to take in exactly that ballot (R14).
    Forward {
        /// The leadership that they are meant for. Any other drops the message.
        ballot: Ballot,
        /// Numbers the forwards that the sender made for this ballot, from 1; resent ones too.
        number: u64,
        /// The request sent before these ones, so that a gap is noticed; 0 when every earlier one
        /// has its outcome.
        after: u64,
        /// The requests. Empty bytes: only asks for `Taken`. The service defines the format and
        /// checks it; a frame carries it as it is.
        requests: Bytes,
    },
    /// Answers a `Forward` that left a gap, or that asked.
    Taken {
        /// The ballot of the forwards.
        ballot: Ballot,
        /// The highest number of a forward that arrived.
        number: u64,
        /// Requests of the addressee up to and including this one were taken in this ballot or
        /// will never be. 0 for none.
        last: u64,
    },
}

impl ServiceMessage {
    /// The name of the message, as counters and transcripts show it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Forward { .. } => "forward",
            Self::Taken { .. } => "taken",
        }
    }
}
