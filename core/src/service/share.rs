//! How much goes into one decree or one forward.

use super::ServiceLimits;
use super::batch::{DECREE_HEAD_BYTES, REQUEST_HEAD_BYTES, SEGMENT_HEAD_BYTES};
use super::pending::Load;

/// What was chosen so far for one decree, and how much it may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    requests: usize,
    /// The size of the decree, all heads included.
    pub(super) bytes: usize,
    /// An exclusive request is in it: nothing else may be (A3), so `requests_max` is 0.
    alone: bool,
    requests_max: usize,
    bytes_max: usize,
}

impl Share {
    pub(super) const fn new(limits: &ServiceLimits) -> Self {
        Self {
            requests: 0,
            bytes: DECREE_HEAD_BYTES,
            alone: false,
            requests_max: limits.batch_requests_max,
            bytes_max: limits.batch_bytes_max,
        }
    }

    /// Makes room for the head of a segment.
    pub(super) const fn begin_segment(&mut self) {
        self.bytes += SEGMENT_HEAD_BYTES;
    }

    /// Adds one request, if it may still be added. The first one always may.
    pub(super) const fn add(&mut self, body_bytes: usize, exclusive: bool) -> bool {
        self.add_many(1, REQUEST_HEAD_BYTES + body_bytes, exclusive)
    }

    /// Whether a request that is neither the first nor exclusive may be added.
    #[inline(always)]
    pub(super) const fn has_room_for(&self, body_bytes: usize) -> bool {
        self.requests < self.requests_max
            && self.bytes + REQUEST_HEAD_BYTES + body_bytes <= self.bytes_max
    }

    /// Adds a request that there is room for.
    #[inline(always)]
    pub(super) const fn take(&mut self, body_bytes: usize) {
        self.requests += 1;
        self.bytes += REQUEST_HEAD_BYTES + body_bytes;
    }

    /// What was added since this share was `before`, in requests and bytes of their bodies.
    pub(super) const fn load_since(&self, before: &Self) -> Load {
        let requests = self.requests - before.requests;
        let bytes = self.bytes - before.bytes - requests * REQUEST_HEAD_BYTES;
        Load { requests, bytes }
    }

    /// Adds requests that take `bytes` together, all or none.
    #[inline(always)]
    pub(super) const fn add_many(&mut self, count: usize, bytes: usize, exclusive: bool) -> bool {
        let (requests, bytes) = (self.requests + count, self.bytes + bytes);
        let fits = requests <= self.requests_max && bytes <= self.bytes_max && !exclusive;
        if !fits && self.requests > 0 {
            return false;
        }
        (self.requests, self.bytes) = (requests, bytes);
        if exclusive {
            (self.alone, self.requests_max) = (true, 0);
        }
        true
    }

    /// Half the limits, so that two sources share a decree fairly; [`Share::whole`] undoes it.
    pub(super) const fn halved(mut self) -> Self {
        (self.requests_max, self.bytes_max) = (self.requests_max / 2, self.bytes_max / 2);
        self
    }

    /// The limits of the configuration again.
    pub(super) const fn whole(mut self, limits: &ServiceLimits) -> Self {
        self.requests_max = if self.alone { 0 } else { limits.batch_requests_max };
        self.bytes_max = limits.batch_bytes_max;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ServiceLimits {
        ServiceLimits { batch_bytes_max: 200, batch_requests_max: 3, ..ServiceLimits::default() }
    }

    fn begun() -> Share {
        let mut share = Share::new(&limits());
        share.begin_segment();
        share
    }

    #[test]
    fn limits_of_number_and_size_hold() {
        let mut share = begun();
        assert!(share.add(1, false) && share.add(1, false) && share.add(1, false));
        assert!(!share.add(1, false), "three requests are the limit");
        let mut share = begun();
        assert!(share.add(120, false));
        assert_eq!(share.bytes, 200);
        assert!(!share.add(0, false), "the bytes are used up");
    }

    #[test]
    fn a_single_request_may_exceed_the_batch() {
        let mut share = begun();
        assert!(share.add(500, false));
        assert!(!share.add(1, false));
    }

    #[test]
    fn an_exclusive_request_is_alone() {
        let mut share = begun();
        assert!(share.add(1, true));
        assert!(!share.add(1, false));
        assert!(!share.add(1, true));
        let mut share = begun();
        assert!(share.add(1, false));
        assert!(!share.add(1, true));
        assert!(share.add(1, false));
    }

    #[test]
    fn the_first_source_leaves_half_to_the_second() {
        let mut share = begun().halved();
        assert!(share.add(10, false));
        assert!(!share.add(40, false), "half the bytes are 100");
        let mut share = share.whole(&limits());
        assert!(share.add(40, false));
        let mut share = begun().halved();
        assert!(share.add(0, false));
        assert!(!share.add(0, false), "half of three requests is one");
        for (bytes, fits) in [(12, true), (13, false)] {
            let limits = ServiceLimits { batch_requests_max: 4, ..limits() };
            let mut share = Share::new(&limits).halved();
            share.begin_segment();
            assert!(share.add(0, false));
            assert_eq!(share.add(bytes, false), fits, "the heads take 88 of 100");
        }
    }

    #[test]
    fn a_decree_may_be_exactly_as_large_as_the_limit() {
        for (bytes, fits) in [(112, true), (113, false)] {
            let mut share = begun();
            assert!(share.add(0, false));
            assert_eq!(share.add(bytes, false), fits, "the heads take 88 of 200");
        }
    }
}
