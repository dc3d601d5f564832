//! The state machine of the lone service: it keeps what it is handed, and judges the order.

use bytes::Bytes;
use synod_core::service::{At, StateMachine};

/// What the state machine was handed.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    pub(super) durable: bool,
    pub(super) last: Option<At>,
    pub(super) open: Option<At>,
    pub(super) bodies: Vec<Bytes>,
}

impl StateMachine for Journal {
    type Reply = usize;

    fn apply(&mut self, at: At, request: &[u8]) -> usize {
        assert_eq!(self.open, Some(at), "within its decree");
        self.bodies.push(Bytes::copy_from_slice(request));
        self.bodies.len() - 1
    }

    fn before_decree(&mut self, at: At) {
        assert_eq!(self.open, None, "one decree at a time");
        if let Some(last) = self.last {
            assert!(at.slot > last.slot, "slots grow: {at:?} behind {last:?}");
            assert!(at.ballot >= last.ballot, "A10: no ballot goes back: {at:?} behind {last:?}");
        }
        self.open = Some(at);
    }

    fn after_decree(&mut self, at: At) {
        assert_eq!(self.open.take(), Some(at));
        self.last = Some(at);
    }

    fn applied(&self) -> Option<At> {
        self.last.filter(|_| self.durable)
    }
}
