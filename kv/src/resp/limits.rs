//! The limits of what a client may send in one command.

/// How much one command of a client may hold.
///
/// One connection keeps at most `query_bytes_max` bytes of a command that is not complete, and one
/// handle of 32 bytes per argument: `query_bytes_max + 32 * args_max` in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most bytes in one bulk string (Redis: `proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// The most bytes in all arguments of one command together.
    pub query_bytes_max: usize,
    /// The most arguments of one command, its name included.
    pub args_max: usize,
}

impl Limits {
    /// The most bytes in an inline command, or in a line that announces a length. As in Redis.
    pub const LINE_BYTES_MAX: usize = 64 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { bulk_bytes_max: 16 << 20, query_bytes_max: 32 << 20, args_max: 1 << 16 }
    }
}
