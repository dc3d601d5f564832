//! The frames that wait to be sent to one peer: bounded in bytes, and never in the way of others.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// The queue between the loop, which pushes, and the link to one peer, which sends.
///
/// A frame is shared: the same bytes stand in the queues of all peers that it goes to. A frame that
/// finds no room, or no link, is dropped: the protocol sends again what was lost.
#[derive(Debug)]
pub(crate) struct SendQueue {
    inner: Mutex<Inner>,
    filled: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether a link is up. Without one nothing is kept: it would be stale when one comes.
    is_open: bool,
    frames: VecDeque<Bytes>,
    /// Bytes in `frames` and in the hands of the link. Invariant: at most `bytes_max`.
    bytes: usize,
    sent: u64,
    dropped: u64,
    /// Frames came in since the link was last woken.
    wake_is_due: bool,
}

/// What went through a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct QueueTally {
    pub(crate) is_open: bool,
    /// Waiting now.
    pub(crate) bytes: usize,
    /// Frames, since the node started.
    pub(crate) sent: u64,
    /// Frames, since the node started.
    pub(crate) dropped: u64,
}

impl SendQueue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), filled: Notify::new(), bytes_max }
    }

    /// Queues a frame, unless it finds no room or no link. Does not wake the link yet.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut inner = self.lock();
        if !inner.is_open || inner.bytes + frame.len() > self.bytes_max {
            inner.dropped += 1;
            return;
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        inner.wake_is_due = true;
    }

    /// Wakes the link if frames came in. Once per turn of the loop.
    pub(crate) fn flush(&self) {
        if std::mem::take(&mut self.lock().wake_is_due) {
            self.filled.notify_one();
        }
    }

    /// A link is up: frames are kept from now on.
    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// The link is gone, and with it all that waited for it.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_open = false;
        inner.dropped += inner.frames.len() as u64;
        inner.frames.clear();
        inner.bytes = 0;
    }

    /// Waits for frames and moves up to `count_max` of them to the end of `out`.
    pub(crate) async fn take(&self, count_max: usize, out: &mut VecDeque<Bytes>) {
        loop {
            if self.try_take(count_max, out) {
                return;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self, count_max: usize, out: &mut VecDeque<Bytes>) -> bool {
        let mut inner = self.lock();
        let count = inner.frames.len().min(count_max);
        out.extend(inner.frames.drain(..count));
        inner.sent += count as u64;
        count > 0
    }

    /// The socket took `bytes` of what was taken out: there is room for others.
    pub(crate) fn written(&self, bytes: usize) {
        let mut inner = self.lock();
        // After `close` the count starts anew, so it may be less than what the old link had.
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    pub(crate) fn tally(&self) -> QueueTally {
        let inner = self.lock();
        let Inner { is_open, bytes, sent, dropped, .. } = *inner;
        QueueTally { is_open, bytes, sent, dropped }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    #[tokio::test]
    async fn bytes_are_bounded_until_the_socket_took_them() {
        let queue = SendQueue::new(100);
        queue.open();
        for _ in 0..3 {
            queue.push(frame(40));
        }
        assert_eq!(queue.tally().bytes, 80);
        assert_eq!(queue.tally().dropped, 1);

        // In the hands of the link they still count.
        let mut out = VecDeque::new();
        queue.take(1, &mut out).await;
        assert_eq!(out.len(), 1);
        queue.push(frame(40));
        assert_eq!(queue.tally().dropped, 2);

        queue.written(40);
        queue.push(frame(40));
        assert_eq!(queue.tally().dropped, 2);
        assert_eq!(queue.tally().bytes, 80);
    }

    #[tokio::test]
    async fn nothing_is_kept_without_a_link() {
        let queue = SendQueue::new(100);
        queue.push(frame(1));
        assert_eq!(queue.tally(), QueueTally { dropped: 1, ..QueueTally::default() });
        queue.open();
        queue.push(frame(1));
        queue.close();
        assert_eq!(queue.tally(), QueueTally { dropped: 2, ..QueueTally::default() });
    }

    #[tokio::test]
    async fn a_waiting_link_is_woken() {
        let queue = std::sync::Arc::new(SendQueue::new(100));
        queue.open();
        let taker = tokio::spawn({
            let queue = queue.clone();
            async move {
                let mut out = VecDeque::new();
                queue.take(10, &mut out).await;
                out
            }
        });
        tokio::task::yield_now().await;
        queue.push(frame(3));
        queue.flush();
        assert_eq!(taker.await.expect("no panic"), [frame(3)]);
    }
}
