//! The configuration of a service, with every limit.

use core::time::Duration;

use crate::Config;

/// What a service is told when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceConfig {
    /// The replica.
    pub replica: Config,
    /// The limits of the service.
    pub limits: ServiceLimits,
    /// Whether a replica that does not lead hands requests on to the leader (R14). If not, it
    /// rejects them and names the leader (A2).
    pub forward: bool,
}

impl ServiceConfig {
    /// Default limits, and requests are forwarded.
    #[must_use]
    pub fn new(replica: Config) -> Self {
        Self { replica, limits: ServiceLimits::default(), forward: true }
    }
}

/// The limits of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceLimits {
    /// Requests without an outcome; more are rejected as busy. 1 to 2^20.
    pub requests_pending_max: usize,
    /// Bytes of the bodies of these; more are rejected as busy.
    pub pending_bytes_max: usize,
    /// The largest body of a request. With [`ServiceLimits::OVERHEAD_BYTES`] it must fit the
    /// replica's `decree_bytes_max`, so that nothing that cannot be decided is ever taken.
    pub request_bytes_max: usize,
    /// A decree takes in requests up to this size, unless a single one is larger.
    pub batch_bytes_max: usize,
    /// A decree takes in at most this many requests.
    pub batch_requests_max: usize,
    /// A leader makes a new decree while fewer than this many are undecided. What arrives
    /// meanwhile piles up and shares the next one.
    pub pipeline: usize,
    /// Requests of one node at the leader, forwarded and not yet applied.
    pub forward_requests_max: usize,
    /// Bytes of these, unless a single one is larger.
    pub forward_bytes_max: usize,
    /// The deadline of a request that names none, from its submission.
    pub request_timeout: Duration,
}

impl ServiceLimits {
    /// What a decree or a forward adds to the body of a single request, at most.
    pub const OVERHEAD_BYTES: usize = 128;
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            requests_pending_max: 1 << 14,
            pending_bytes_max: 64 << 20,
            request_bytes_max: (1 << 20) - Self::OVERHEAD_BYTES,
            batch_bytes_max: 128 << 10,
            batch_requests_max: 1024,
            pipeline: 16,
            forward_requests_max: 4096,
            forward_bytes_max: 4 << 20,
            request_timeout: Duration::from_secs(10),
        }
    }
}
