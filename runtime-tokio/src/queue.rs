//! The frames that wait to be sent to one peer: bounded in bytes, and never in the way of others.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The queue between the loop, which pushes, and the link to one peer, which keeps the connection.
///
/// The loop itself hands frames to the socket as long as that takes them: a task of its own for
/// that would cost a wake-up for each message of a lone client. What the socket does not take
/// waits for the link, which goes on when there is room.
///
/// A frame is shared: the same bytes stand in the queues of all peers that it goes to. A frame that
/// finds no room, or no link, is dropped: the protocol sends again what was lost.
#[derive(Debug)]
pub(crate) struct SendQueue {
    inner: Mutex<Inner>,
    /// The socket is full, or broken: the link is to see to it.
    stuck: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// The way out, while the link is up. Without one nothing is kept: it would be stale when one
    /// comes.
    stream: Option<Arc<OwnedWriteHalf>>,
    /// Frames, each in one part or several.
    parts: VecDeque<Part>,
    /// Bytes in `parts`. Invariant: at most `bytes_max`.
    bytes: usize,
    sent: u64,
    dropped: u64,
    /// The socket took no more: the link waits for it, and the loop leaves it alone.
    is_full: bool,
    /// What ended the link, until it has heard of it.
    error: Option<io::Error>,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// The next part is of another frame.
    ends_frame: bool,
}

/// What went through a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct QueueTally {
    pub(crate) is_open: bool,
    /// Waiting now.
    pub(crate) bytes: usize,
    /// Frames handed to the system, since the node started.
    pub(crate) sent: u64,
    /// Frames, since the node started.
    pub(crate) dropped: u64,
}

impl SendQueue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), stuck: Notify::new(), bytes_max }
    }

    /// Queues a frame, unless it finds no room or no link. Nothing is sent yet.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut inner = self.lock();
        if inner.takes(frame.len(), self.bytes_max) {
            inner.parts.push_back(Part { bytes: frame, ends_frame: true });
        }
    }

    /// Queues a frame in parts: all of them or none.
    pub(crate) fn push_parts(&self, frame: &[Bytes]) {
        let mut inner = self.lock();
        if inner.takes(frame.iter().map(Bytes::len).sum(), self.bytes_max) {
            let part = |bytes: &Bytes| Part { bytes: bytes.clone(), ends_frame: false };
            inner.parts.extend(frame.iter().map(part));
            if let Some(last) = inner.parts.back_mut() {
                last.ends_frame = true;
            }
        }
    }

    /// Sends what was queued, as far as the socket takes it now.
    pub(crate) fn flush(&self) {
        let mut inner = self.lock();
        if inner.parts.is_empty() || inner.is_full {
            return;
        }
        inner.send();
        if inner.is_full || inner.error.is_some() {
            self.stuck.notify_one();
        }
    }

    /// A link is up: frames are kept from now on.
    pub(crate) fn open(&self, stream: Arc<OwnedWriteHalf>) {
        let mut inner = self.lock();
        *inner = Inner {
            stream: Some(stream),
            sent: inner.sent,
            dropped: inner.dropped,
            ..Inner::default()
        };
    }

    /// The link is gone, and with it all that waited for it.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        let left = inner.parts.iter().filter(|part| part.ends_frame).count();
        let dropped = inner.dropped + left as u64;
        *inner = Inner { sent: inner.sent, dropped, ..Inner::default() };
    }

    /// Goes on where the loop could not, until the link breaks: sends as `stream`, the one that
    /// the queue was opened with, has room. A socket that has none for `stall` counts as broken.
    pub(crate) async fn keep_sending(&self, stream: &OwnedWriteHalf, stall: Duration) -> io::Error {
        loop {
            self.stuck.notified().await;
            loop {
                {
                    let mut inner = self.lock();
                    if inner.is_full {
                        inner.send();
                    }
                    if let Some(error) = inner.error.take() {
                        return error;
                    }
                    if !inner.is_full {
                        break;
                    }
                }
                match timeout(stall, stream.writable()).await {
                    Err(_) => return io::Error::new(io::ErrorKind::TimedOut, "it takes no bytes"),
                    Ok(Err(error)) => return error,
                    Ok(Ok(())) => {}
                }
            }
        }
    }

    pub(crate) fn tally(&self) -> QueueTally {
        let inner = self.lock();
        let Inner { ref stream, bytes, sent, dropped, .. } = *inner;
        QueueTally { is_open: stream.is_some(), bytes, sent, dropped }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether there is a link, and room for a frame of so many bytes, which is noted.
    fn takes(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let takes = self.stream.is_some() && self.bytes + bytes <= bytes_max;
        if takes {
            self.bytes += bytes;
        } else {
            self.dropped += 1;
        }
        takes
    }

    /// Hands frames to the socket until there are none, or it takes no more, or it breaks.
    fn send(&mut self) {
        self.is_full = false;
        let Some(stream) = self.stream.clone() else { return };
        while !self.parts.is_empty() {
            let written = {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                for (slice, part) in slices.iter_mut().zip(&self.parts) {
                    *slice = IoSlice::new(&part.bytes);
                }
                stream.try_write_vectored(&slices[..self.parts.len().min(SLICES_MAX)])
            };
            match written {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_full = true;
                    return;
                }
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    /// The socket took `count` bytes.
    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(Part { bytes, ends_frame }) = self.parts.front_mut() {
            if bytes.len() > count {
                bytes.advance(count);
                return;
            }
            count -= bytes.len();
            self.sent += u64::from(*ends_frame);
            self.parts.pop_front();
        }
    }
}

/// Parts of frames handed to the system in one call.
const SLICES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::tcp::OwnedReadHalf;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const STALL: Duration = Duration::from_secs(60);

    fn frame(len: usize) -> Bytes {
        Bytes::from(vec![7; len])
    }

    /// The way out of one end of a connection, its way in, and the other end.
    async fn connected() -> (Arc<OwnedWriteHalf>, OwnedReadHalf, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (way_in, way_out) = near.expect("a connection").into_split();
        (Arc::new(way_out), way_in, far.expect("a connection").0)
    }

    #[tokio::test]
    async fn bytes_are_bounded_until_the_socket_took_them() {
        let (near, _way_in, _far) = connected().await;
        let queue = SendQueue::new(100);
        queue.open(near);
        for _ in 0..3 {
            queue.push(frame(40));
        }
        assert_eq!((queue.tally().bytes, queue.tally().dropped), (80, 1));
        queue.flush();
        assert_eq!((queue.tally().bytes, queue.tally().sent), (0, 2));
        queue.push(frame(40));
        assert_eq!((queue.tally().bytes, queue.tally().dropped), (40, 1));
    }

    #[tokio::test]
    async fn a_frame_in_parts_is_queued_whole_or_not_at_all() {
        let (near, _way_in, mut far) = connected().await;
        let queue = SendQueue::new(100);
        queue.push_parts(&[frame(1), frame(1)]);
        assert_eq!(queue.tally(), QueueTally { dropped: 1, ..QueueTally::default() });
        queue.open(near);
        queue.push_parts(&[frame(30), frame(30)]);
        queue.push_parts(&[frame(30), frame(30)]);
        assert_eq!((queue.tally().bytes, queue.tally().dropped), (60, 2));
        queue.flush();
        far.read_exact(&mut [0; 60]).await.expect("the first frame");
        assert_eq!((queue.tally().bytes, queue.tally().sent), (0, 1));
        queue.push_parts(&[frame(30), frame(30)]);
        queue.close();
        assert_eq!(queue.tally().dropped, 3);
    }

    #[tokio::test]
    async fn nothing_is_kept_without_a_link() {
        let (near, _way_in, _far) = connected().await;
        let queue = SendQueue::new(100);
        queue.push(frame(1));
        queue.flush();
        assert_eq!(queue.tally(), QueueTally { dropped: 1, ..QueueTally::default() });
        queue.open(near);
        queue.push(frame(1));
        queue.close();
        assert_eq!(queue.tally(), QueueTally { dropped: 2, ..QueueTally::default() });
    }

    #[tokio::test]
    async fn partial_writes_leave_the_rest() {
        let part = |bytes, ends_frame| Part { bytes: Bytes::from_static(bytes), ends_frame };
        for count in 0..=7 {
            let parts = [part(b"abc", true), part(b"de", false), part(b"fg", true)].into();
            let mut inner = Inner { parts, bytes: 7, ..Inner::default() };
            inner.advance(count);
            let rest: Vec<u8> = inner.parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
            assert_eq!(rest, b"abcdefg"[count..], "{count} written");
            assert_eq!(inner.bytes, 7 - count);
            assert_eq!(inner.sent, [0, 0, 0, 1, 1, 1, 1, 2][count]);
        }
    }

    #[tokio::test]
    async fn the_link_goes_on_where_the_socket_was_full() {
        const FRAMES: usize = 200;
        const LEN: usize = 100_000;
        let (near, _way_in, mut far) = connected().await;
        let queue = SendQueue::new(FRAMES * LEN);
        queue.open(near.clone());
        for _ in 0..FRAMES {
            queue.push(frame(LEN));
            queue.flush();
        }
        assert!(queue.tally().bytes > 0, "no socket holds 20 MB");
        let mut received = vec![0; FRAMES * LEN];
        tokio::select! {
            error = queue.keep_sending(&near, STALL) => panic!("{error}"),
            read = far.read_exact(&mut received) => drop(read.expect("all of it")),
        }
        assert!(received.iter().all(|byte| *byte == 7));
        assert_eq!((queue.tally().bytes, queue.tally().sent), (0, FRAMES as u64));

        // And the loop goes on where the link has caught up.
        queue.push(frame(3));
        queue.flush();
        assert_eq!(queue.tally().bytes, 0);
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_counts_as_broken() {
        let (near, _way_in, _far) = connected().await;
        let queue = SendQueue::new(usize::MAX);
        queue.open(near.clone());
        while queue.tally().bytes == 0 {
            queue.push(frame(1 << 20));
            queue.flush();
        }
        // Nobody ever reads at the other end, so any wait is in vain.
        let error = queue.keep_sending(&near, Duration::from_millis(1)).await;
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_link_hears_of_a_socket_that_broke() {
        let (near, _way_in, far) = connected().await;
        far.set_zero_linger().expect("an option of every system");
        drop(far);
        let queue = SendQueue::new(1 << 20);
        queue.open(near.clone());
        let breaking = async {
            loop {
                queue.push(frame(1));
                queue.flush();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            error = queue.keep_sending(&near, STALL) => {
                assert_ne!(error.kind(), io::ErrorKind::TimedOut);
            }
            () = breaking => {}
        }
    }
}
