//! The state that is replicated: a map from keys to strings, and the requests that change it.
//!
//! [`Machine`] is the [`StateMachine`] of the program. It is deterministic: the same requests in
//! the same order give the same pairs, the same replies and the same digest on every replica, and
//! nothing else (no clock, no chance, no setting of one replica) has a say.
//!
//! [`Request`] is one operation, and its bytes are what a decree holds. [`request`] documents
//! them; they are not RESP, so the protocol of clients can change without touching the log.
//!
//! [`StateMachine`]: synod_core::service::StateMachine

mod digest;
mod machine;
mod pair;
mod reply;
pub mod request;

pub use machine::{KeyCount, Machine};
pub use reply::{Failure, Reply};
pub use request::{Condition, Request};

/// The longest value, whatever way it came to be. A constant and no setting: replicas that
/// disagreed about it would answer APPEND differently and drift apart.
pub const VALUE_BYTES_MAX: usize = 64 << 20;
