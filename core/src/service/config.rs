//! The configuration of a service, with every limit.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::batch::{DECREE_HEAD_BYTES, REQUEST_HEAD_BYTES, SEGMENT_HEAD_BYTES};
use crate::{Config, ConfigError, Limits};

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

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.replica.check()?;
        self.limits.check(&self.replica.limits)
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

    fn check(&self, replica: &Limits) -> Result<(), ConfigError> {
        const { assert!(OVERHEAD_NEEDED <= Self::OVERHEAD_BYTES) }
        let in_range = |name, value, range: RangeInclusive<usize>| {
            if range.contains(&value) { Ok(()) } else { Err(ConfigError::Limit(name)) }
        };
        let room = replica.decree_bytes_max.saturating_sub(Self::OVERHEAD_BYTES);
        let any = usize::MAX;
        in_range("requests_pending_max", self.requests_pending_max, 1..=1 << 20)?;
        in_range("request_bytes_max", self.request_bytes_max, 1..=room)?;
        in_range("pending_bytes_max", self.pending_bytes_max, self.request_bytes_max..=any)?;
        in_range("batch_bytes_max", self.batch_bytes_max, 1..=replica.decree_bytes_max)?;
        in_range("batch_requests_max", self.batch_requests_max, 1..=1 << 15)?;
        in_range("pipeline", self.pipeline, 1..=replica.window)?;
        in_range("forward_requests_max", self.forward_requests_max, 1..=1 << 20)?;
        in_range("forward_bytes_max", self.forward_bytes_max, 1..=1 << 30)?;
        if self.request_timeout.is_zero() {
            return Err(ConfigError::Timeout("request_timeout"));
        }
        Ok(())
    }
}

const OVERHEAD_NEEDED: usize = DECREE_HEAD_BYTES + SEGMENT_HEAD_BYTES + REQUEST_HEAD_BYTES;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterId, Configuration, GroupId, NodeId};

    #[test]
    fn bad_limits_are_named() {
        let members = Configuration::first(&[NodeId(1)]).expect("one member");
        let sound = ServiceConfig::new(Config::new(ClusterId(1), GroupId(0), NodeId(1), members));
        assert_eq!(sound.check(), Ok(()));
        let broken = |change: fn(&mut ServiceLimits)| {
            let mut config = sound.clone();
            change(&mut config.limits);
            config.check()
        };
        let limit = |name| Err(ConfigError::Limit(name));
        assert_eq!(broken(|l| l.requests_pending_max = 0), limit("requests_pending_max"));
        assert_eq!(broken(|l| l.request_bytes_max = 1 << 20), limit("request_bytes_max"));
        assert_eq!(broken(|l| l.request_bytes_max = 0), limit("request_bytes_max"));
        assert_eq!(broken(|l| l.pending_bytes_max = 1000), limit("pending_bytes_max"));
        assert_eq!(broken(|l| l.batch_bytes_max = 0), limit("batch_bytes_max"));
        assert_eq!(broken(|l| l.batch_bytes_max = 1 << 21), limit("batch_bytes_max"));
        assert_eq!(broken(|l| l.batch_requests_max = 1 << 16), limit("batch_requests_max"));
        assert_eq!(broken(|l| l.pipeline = 0), limit("pipeline"));
        assert_eq!(broken(|l| l.pipeline = 1 << 12), limit("pipeline"));
        assert_eq!(broken(|l| l.forward_requests_max = 0), limit("forward_requests_max"));
        assert_eq!(broken(|l| l.forward_bytes_max = 0), limit("forward_bytes_max"));
        let timeout = ConfigError::Timeout("request_timeout");
        assert_eq!(broken(|l| l.request_timeout = Duration::ZERO), Err(timeout));
        let mut stranger = sound.clone();
        stranger.replica.node = NodeId(2);
        assert_eq!(stranger.check(), Err(ConfigError::NotAMember(NodeId(2))));
    }
}
