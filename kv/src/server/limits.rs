//! The limits of the client port.

use core::time::Duration;

use crate::resp::Limits;

/// How much clients may ask at once.
///
/// A connection holds at most one incomplete command ([`Limits`]), `pipeline_max` answers, and
/// `output_bytes_max` bytes of written answers plus the value that crossed that mark. An answer
/// that waits is a handle on the values in it, not a copy. When a bound is reached the connection
/// is not read from until the client has taken answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientLimits {
    /// The most clients at one time; a further one is told so and closed.
    pub clients_max: usize,
    /// The most commands of one connection that are submitted and not answered.
    pub pipeline_max: usize,
    /// The most requests in flight of all connections together; further ones wait their turn.
    pub requests_in_flight_max: usize,
    /// While so many bytes of answers wait to be taken, no more commands are read.
    pub output_bytes_max: usize,
    /// A client that takes no byte of its answers for so long is closed.
    pub stall: Duration,
    /// How long a server that stops waits for commands in flight.
    pub drain: Duration,
    /// The limits of one command.
    pub resp: Limits,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            clients_max: 10_000,
            pipeline_max: 1024,
            requests_in_flight_max: 4096,
            output_bytes_max: 1 << 20,
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            resp: Limits::default(),
        }
    }
}
