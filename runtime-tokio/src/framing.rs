//! Cuts the bytes of a connection into frames.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use synod_core::wire::{self, WireError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads whole frames from a connection, several at once where several have arrived.
///
/// The bytes are read into one buffer that lives as long as the connection. Frames that fit into it
/// leave it by one copy, into memory of exactly their length: a decree that the replica keeps in
/// its window then holds on to the frames that came with it, never to a read buffer full of others.
/// A frame larger than the buffer is read right where it stays.
#[derive(Debug)]
pub(crate) struct FrameReader<S> {
    from: S,
    /// Invariant: never longer than `buffer_bytes`.
    buffer: BytesMut,
    buffer_bytes: usize,
    frame_bytes_max: usize,
    large: Option<LargeFrame>,
}

/// A frame that is larger than the buffer, as far as it has been read.
#[derive(Debug)]
struct LargeFrame {
    bytes: BytesMut,
    length: usize,
}

/// Why no further frame can be read.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The connection broke, or ended inside a frame.
    Io(io::Error),
    /// These are no bytes of a frame.
    Garbage(WireError),
}

impl<S: AsyncRead + Unpin> FrameReader<S> {
    /// Pre-condition: `buffer_bytes` holds at least the prefix of a frame.
    pub(crate) fn new(from: S, buffer_bytes: usize, frame_bytes_max: usize) -> Self {
        let buffer = BytesMut::with_capacity(buffer_bytes);
        Self { from, buffer, buffer_bytes, frame_bytes_max, large: None }
    }

    /// The connection.
    pub(crate) const fn get_ref(&self) -> &S {
        &self.from
    }

    /// The next frames, one or more, back to back; `None` at the end of the connection.
    ///
    /// Not to be called again after an error.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, FrameError>> {
        loop {
            if self.large.is_some() {
                return self.poll_large_frame(cx).map_ok(Some);
            }
            let (whole, next) = self.whole_frames()?;
            if whole > 0 {
                let frames = Bytes::copy_from_slice(&self.buffer[..whole]);
                // What remains is the start of one frame: moving it to the front costs little.
                let rest = self.buffer.len() - whole;
                self.buffer.copy_within(whole.., 0);
                self.buffer.truncate(rest);
                return Poll::Ready(Ok(Some(frames)));
            }
            if let Some(length) = next.filter(|length| *length > self.buffer_bytes) {
                let mut bytes = BytesMut::with_capacity(length);
                bytes.extend_from_slice(&self.buffer);
                self.buffer.clear();
                self.large = Some(LargeFrame { bytes, length });
                continue;
            }
            if !ready!(self.poll_fill(cx))? {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The length of the whole frames in the buffer, and that of the frame behind them, if known.
    fn whole_frames(&self) -> Result<(usize, Option<usize>), FrameError> {
        let mut whole = 0;
        loop {
            let rest = &self.buffer[whole..];
            match wire::frame_len(rest, self.frame_bytes_max) {
                Ok(Some(length)) if length <= rest.len() => whole += length,
                Ok(next) => return Ok((whole, next)),
                // The frames before the garbage are sound: they are handed out first.
                Err(_) if whole > 0 => return Ok((whole, None)),
                Err(error) => return Err(FrameError::Garbage(error)),
            }
        }
    }

    /// Reads more. False at the end of the connection.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, FrameError>> {
        let room = self.buffer_bytes - self.buffer.len();
        let count = ready!(poll_read(&mut self.from, cx, &mut self.buffer, room))?;
        if count == 0 && !self.buffer.is_empty() {
            return Poll::Ready(Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(Ok(count > 0))
    }

    /// Reads the frame that is larger than the buffer.
    fn poll_large_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, FrameError>> {
        let Self { from, large, .. } = self;
        while let Some(LargeFrame { bytes, length }) = large
            && bytes.len() < *length
        {
            let room = *length - bytes.len();
            if ready!(poll_read(from, cx, bytes, room))? == 0 {
                return Poll::Ready(Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())));
            }
        }
        let bytes = large.take().map(|frame| frame.bytes).unwrap_or_default();
        Poll::Ready(Ok(bytes.freeze()))
    }
}

/// Reads at most `room` bytes to the end of `out`.
fn poll_read(
    from: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    out: &mut BytesMut,
    room: usize,
) -> Poll<Result<usize, FrameError>> {
    let mut limited = bytes::BufMut::limit(out, room);
    // The future keeps nothing between two calls: what it waits for, `from` knows.
    let read = pin!(from.read_buf(&mut limited));
    read.poll(cx).map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;

    use synod_core::wire::Payload;
    use synod_core::{Ballot, Header, Kind, Limits, Message, NodeId, Proposal, Slot};
    use tokio::io::ReadBuf;

    use super::*;

    const BUFFER: usize = 1 << 10;

    /// Bytes that arrive a few at a time.
    struct Trickle<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl AsyncRead for Trickle<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.step.min(out.remaining()).min(self.bytes.len());
            let (head, rest) = self.bytes.split_at(count);
            out.put_slice(head);
            self.bytes = rest;
            Poll::Ready(Ok(()))
        }
    }

    /// A frame with a decree of so many bytes.
    fn frame(decree_bytes: usize) -> Bytes {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let decree = Kind::App(Bytes::from(vec![decree_bytes as u8; decree_bytes]));
        let proposals = [Proposal { slot: Slot(0), ballot, decree }];
        let (from, decided) = (Slot(0), Slot(0));
        let message = Message::Accept { ballot, from, proposals: &proposals, decided };
        let mut out = BytesMut::new();
        wire::encode(&Header::default(), &Payload::Replica(message), &mut out);
        out.freeze()
    }

    fn frame_bytes_max() -> usize {
        wire::frame_bytes_max(&Limits { decree_bytes_max: 8 * BUFFER, ..Limits::default() })
    }

    /// Everything that is read until the connection ends or fails.
    async fn read_all(bytes: &[u8], step: usize) -> (Vec<Bytes>, Option<FrameError>) {
        let from = Trickle { bytes, step };
        let mut reader = FrameReader::new(from, BUFFER, frame_bytes_max());
        let mut batches = Vec::new();
        loop {
            match poll_fn(|cx| reader.poll_next(cx)).await {
                Ok(Some(frames)) => batches.push(frames),
                Ok(None) => return (batches, None),
                Err(error) => return (batches, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn frames_of_all_sizes_come_out_whole_however_they_arrive() {
        let sizes = [1, 50, 900, 951, 952, 953, 1_000, 5_000, 3, 7 * BUFFER, 1, 1];
        let frames: Vec<Bytes> = sizes.map(frame).to_vec();
        let all = frames.concat();
        for step in [1, 7, 71, 72, 73, BUFFER - 1, BUFFER, 100 * BUFFER] {
            let (batches, error) = read_all(&all, step).await;
            assert!(error.is_none(), "step {step}: {error:?}");
            assert_eq!(batches.concat(), all, "step {step}");
            for batch in batches {
                // Whole frames, and memory of just their length.
                let mut rest = &batch[..];
                while !rest.is_empty() {
                    let length = wire::frame_len(rest, frame_bytes_max()).expect("a frame");
                    rest = &rest[length.expect("its length")..];
                }
            }
        }
    }

    #[tokio::test]
    async fn what_was_sound_before_garbage_is_handed_out_first() {
        let mut bytes = [frame(10), frame(20)].concat();
        let sound = bytes.clone();
        bytes.extend_from_slice(&[0xEE; 100]);
        for step in [1, 40, BUFFER] {
            let (batches, error) = read_all(&bytes, step).await;
            assert_eq!(batches.concat(), sound);
            assert!(matches!(error, Some(FrameError::Garbage(_))), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_frame_too_large_is_refused_before_it_is_read() {
        let mut bytes = frame(100).to_vec();
        bytes[..4].copy_from_slice(&(frame_bytes_max() as u32 + 1).to_le_bytes());
        let (batches, error) = read_all(&bytes, BUFFER).await;
        assert!(batches.is_empty());
        match error {
            Some(FrameError::Garbage(WireError::Oversize { .. })) => {}
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_inside_a_frame_is_an_error() {
        for size in [10, 5 * BUFFER] {
            let whole = frame(size);
            for end in [1, 5, 40, whole.len() - 1] {
                let (batches, error) = read_all(&whole[..end], BUFFER).await;
                assert!(batches.is_empty());
                match error {
                    Some(FrameError::Io(error)) => {
                        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    }
                    other => panic!("cut at {end}: {other:?}"),
                }
            }
        }
    }
}
