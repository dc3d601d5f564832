//! Answers on their way to a client.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep_until};

/// The bytes that a client has not taken, and the patience with it. Bounded by their owner.
pub(super) struct Output {
    pub(super) bytes: BytesMut,
    /// Part of what the buffer held is taken, and its room not used again.
    is_cut: bool,
    /// A client that takes no byte for so long has stalled.
    stall: Duration,
    /// Since when the client takes nothing; `None` while there is nothing to take, and when it
    /// has just taken some.
    since: Option<Instant>,
    /// Fires too early, mostly: it is set anew then, and not whenever the client takes some.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Output {
    pub(super) fn new(stall: Duration) -> Self {
        Self { bytes: BytesMut::new(), is_cut: false, stall, since: None, timer: None }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes until the client takes no more, or has it all.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let Poll::Ready(len) = stream.as_mut().poll_write(cx, &self.bytes)? else {
                return Poll::Pending;
            };
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.since = None;
            if len < self.bytes.len() {
                self.bytes.advance(len);
                self.is_cut = true;
            } else if self.is_cut || self.bytes.capacity() > KEPT_MAX {
                // A large answer does not leave a large buffer behind.
                self.bytes = BytesMut::new();
                self.is_cut = false;
            } else {
                self.bytes.clear();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the client has stalled. To be asked whenever there is no more to be done.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bytes.is_empty() {
            (self.since, self.timer) = (None, None);
            return Poll::Pending;
        }
        let over = *self.since.get_or_insert_with(Instant::now) + self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(over)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= over {
                return Poll::Ready(());
            }
            timer.as_mut().reset(over);
        }
        Poll::Pending
    }
}

/// Room for so many bytes is kept while there are none.
const KEPT_MAX: usize = 4 << 10;
