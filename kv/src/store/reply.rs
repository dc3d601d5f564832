//! What the state machine answers.

use core::fmt;

use bytes::Bytes;

/// The answer to one request. Values are handles: an answer copies no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Done.
    Ok,
    /// There is no such value, or the condition did not hold.
    Nil,
    /// A number: a counter, a length, a count of keys.
    Integer(i64),
    /// A value.
    Bulk(Bytes),
    /// A value per key, `None` for a key that does not exist.
    Values(Vec<Option<Bytes>>),
    /// The name of the type of a key.
    Kind(&'static str),
    /// Nothing was changed.
    Failed(Failure),
}

/// Why a request changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The value is no integer, so nothing can be added to it.
    NotAnInteger,
    /// The sum does not fit into 64 bits.
    Overflow,
    /// The value would become longer than [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX).
    TooLong,
    /// The bytes are no request. A client cannot cause this: a newer version of the program wrote
    /// them, or another program did.
    Malformed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnInteger => "ERR value is not an integer or out of range",
            Self::Overflow => "ERR increment or decrement would overflow",
            Self::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            Self::Malformed => {
                "ERR this replica does not know the request: run one version on all replicas"
            }
        })
    }
}
