//! The Redis serialization protocol (RESP), versions 2 and 3.
//!
//! [`Parser`] reads what clients send: arrays of bulk strings, or inline commands as a person
//! types them. It is incremental (any split of the bytes gives the same commands), pipelined and
//! bounded by [`Limits`]. [`Writer`] writes what the server answers. [`Value`] and [`decode`] are
//! the other direction: they read answers, for the program's own client.
//!
//! Nothing here panics on any input; a fault is a [`ProtocolError`] with Redis's own text.

mod inline;
mod limits;
mod parse;
mod value;
mod write;

pub use limits::Limits;
pub use parse::{Parser, ProtocolError};
pub use value::{BadReply, Value, decode};
pub use write::{Version, Writer};
