//! Cuts the bytes of a connection into frames.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{Bytes, BytesMut};
use synod_core::wire::{self, WireError};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::buffers::{Buffer, Buffers, LARGE};

/// Reads whole frames from a connection, several at once where several have arrived.
///
/// The bytes are read into one buffer. Frames that fill only a small part of it leave it by one
/// copy, into memory of just their length; frames that fill at least half of it leave with the
/// buffer itself. So a decree that the replica keeps in its window holds on to the frames that came
/// with it, and to at most as many bytes again, never to a read buffer full of others.
///
/// The buffer has room for what came lately, so that large frames are mostly read right where they
/// stay, in one go.
#[derive(Debug)]
pub(crate) struct FrameReader<S> {
    from: S,
    buffer: Buffer,
    /// The least room of the buffer when it is empty.
    buffer_bytes: usize,
    frame_bytes_max: usize,
    /// The bytes of frames that are likely to come at once.
    expected: usize,
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
        Self { from, buffer: Buffer::default(), buffer_bytes, frame_bytes_max, expected: 0 }
    }

    /// The next frames, one or more, back to back; `None` at the end of the connection.
    ///
    /// Not to be called again after an error.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
    ) -> Poll<Result<Option<Bytes>, FrameError>> {
        loop {
            let (whole, next) = self.whole_frames()?;
            if whole > 0 {
                return Poll::Ready(Ok(Some(self.take_out(whole, buffers))));
            }
            let wanted = next.unwrap_or(1);
            if self.buffer.size() < wanted {
                let larger = buffers.take(wanted.max(self.usual()));
                self.go_on_in(larger, 0, buffers);
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
            let rest = &self.buffer.bytes[whole..];
            match wire::frame_len(rest, self.frame_bytes_max) {
                Ok(Some(length)) if length <= rest.len() => whole += length,
                Ok(next) => return Ok((whole, next)),
                // The frames before the garbage are sound: they are handed out first.
                Err(_) if whole > 0 => return Ok((whole, None)),
                Err(error) => return Err(FrameError::Garbage(error)),
            }
        }
    }

    /// Takes the first `whole` bytes out of the buffer.
    fn take_out(&mut self, whole: usize, buffers: &mut Buffers) -> Bytes {
        // Small frames between large ones do not have the buffer shrink at once.
        self.expected = whole.max(self.expected - self.expected / 8);
        if whole >= LARGE && 2 * whole >= self.buffer.size() {
            let next = buffers.take(self.usual());
            return self.go_on_in(next, whole, buffers);
        }
        let mut copy = buffers.take(whole);
        copy.bytes.extend_from_slice(&self.buffer.bytes[..whole]);
        let frames = copy.split();
        buffers.rest(copy);
        let rest = self.buffer.bytes.len() - whole;
        if self.buffer.size() > 2 * self.usual() && rest <= self.usual() {
            let smaller = buffers.take(self.usual());
            drop(self.go_on_in(smaller, whole, buffers));
        } else {
            // What remains is the start of one frame: moving it to the front costs little.
            self.buffer.bytes.copy_within(whole.., 0);
            self.buffer.bytes.truncate(rest);
        }
        frames
    }

    /// Goes on in another buffer, with what stands behind the first `whole` bytes of this one, and
    /// returns these.
    ///
    /// Pre-condition: there is room for it, so that its size stays what it is.
    fn go_on_in(&mut self, next: Buffer, whole: usize, buffers: &mut Buffers) -> Bytes {
        let mut full = mem::replace(&mut self.buffer, next);
        let rest = full.bytes.split_off(whole);
        debug_assert!(rest.len() <= self.buffer.room(), "it does not grow");
        self.buffer.bytes.extend_from_slice(&rest);
        drop(rest);
        let frames = full.split();
        buffers.rest(full);
        frames
    }

    /// The room that an empty buffer is to have.
    fn usual(&self) -> usize {
        self.expected.max(self.buffer_bytes)
    }

    /// Reads more. False at the end of the connection.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, FrameError>> {
        let room = self.buffer.room();
        let count = ready!(poll_read(&mut self.from, cx, &mut self.buffer.bytes, room))?;
        if count == 0 && !self.buffer.bytes.is_empty() {
            return Poll::Ready(Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(Ok(count > 0))
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
    use std::collections::VecDeque;
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
        wire::frame_bytes_max(&Limits { decree_bytes_max: 1 << 20, ..Limits::default() })
    }

    /// Everything that is read until the connection ends or fails.
    async fn read_all(bytes: &[u8], step: usize) -> (Vec<Bytes>, Option<FrameError>) {
        read_all_into(bytes, step, BUFFER).await
    }

    async fn read_all_into(
        bytes: &[u8],
        step: usize,
        buffer: usize,
    ) -> (Vec<Bytes>, Option<FrameError>) {
        let from = Trickle { bytes, step };
        let mut reader = FrameReader::new(from, buffer, frame_bytes_max());
        let mut buffers = Buffers::new(1 << 20);
        let mut batches = Vec::new();
        loop {
            match poll_fn(|cx| reader.poll_next(cx, &mut buffers)).await {
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
    async fn what_is_handed_out_holds_on_to_at_most_twice_its_bytes() {
        let sizes = [10, 600, 20_000, 100_000, 30_000, 40_000, 70_000, 17_000, 16_000, 90_000];
        let frames: Vec<Bytes> = [sizes, sizes].concat().into_iter().map(frame).collect();
        let all = frames.concat();
        for (step, buffer) in [(1 << 20, BUFFER), (1 << 20, 64 << 10), (999, 64 << 10)] {
            let (batches, error) = read_all_into(&all, step, buffer).await;
            assert!(error.is_none(), "{error:?}");
            assert_eq!(batches.concat(), all);
            for batch in batches {
                let len = batch.len();
                // Nobody else holds it any more, so it tells what it has.
                let held = batch.try_into_mut().expect("the only handle").capacity();
                assert!(held <= 2 * len, "{len} bytes hold {held}");
                assert!(held == len || len >= LARGE, "{len} small bytes hold {held}");
            }
        }
    }

    /// A connection by which one frame comes at a time, and which notes where it went.
    struct OneByOne {
        frames: VecDeque<Bytes>,
        places: Vec<*const u8>,
    }

    impl AsyncRead for OneByOne {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(frame) = self.frames.front_mut() {
                let part = frame.split_to(frame.len().min(out.remaining()));
                out.put_slice(&part);
                let filled = out.filled();
                self.places.push(filled[filled.len() - part.len()..].as_ptr());
            }
            self.frames.pop_front_if(|frame| frame.is_empty());
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn large_frames_stay_where_they_were_read_and_small_ones_do_not() {
        let sizes = [100_000, 100_000, 101_000, 50, 99_000, 98_000, 50, 50, 90_000];
        let frames = sizes.map(frame);
        let from = OneByOne { frames: frames.clone().into(), places: Vec::new() };
        let mut reader = FrameReader::new(from, 64 << 10, frame_bytes_max());
        let mut buffers = Buffers::new(1 << 20);
        for (place, frame) in frames.iter().enumerate() {
            let read = poll_fn(|cx| reader.poll_next(cx, &mut buffers)).await.expect("a frame");
            assert_eq!(read.as_ref(), Some(frame));
            // Nothing told that the first one would be so large.
            let reads = if place == 0 { 2 } else { 1 };
            let places = mem::take(&mut reader.from.places);
            assert_eq!(places.len(), reads, "reads of frame {place}");
            let is_there = read.is_some_and(|read| read.as_ptr() == places[0]);
            assert_eq!(is_there, place > 0 && frame.len() >= LARGE, "frame {place}");
        }
    }

    #[tokio::test]
    async fn a_buffer_that_was_large_for_one_frame_is_small_again_after_a_while() {
        let sizes = [[600_000].as_slice(), &[50; 40]].concat();
        let frames: VecDeque<Bytes> = sizes.into_iter().map(frame).collect();
        let mut reader =
            FrameReader::new(OneByOne { frames, places: Vec::new() }, 64 << 10, frame_bytes_max());
        let mut buffers = Buffers::new(0);
        while let Ok(Some(_)) = poll_fn(|cx| reader.poll_next(cx, &mut buffers)).await {}
        assert!((64 << 10..=128 << 10).contains(&reader.buffer.size()));
    }

    #[tokio::test]
    async fn a_large_frame_that_begins_when_the_buffer_is_to_be_small_comes_out_whole() {
        for small in 0..12 {
            let begins = [frame(50), frame(500_000)].concat();
            let mut frames = VecDeque::from([frame(600_000)]);
            frames.extend((0..small).map(|_| frame(50)));
            frames.push_back(begins.into());
            let all: Vec<u8> = frames.iter().flatten().copied().collect();
            let from = OneByOne { frames, places: Vec::new() };
            let mut reader = FrameReader::new(from, 64 << 10, frame_bytes_max());
            let (mut buffers, mut read) = (Buffers::new(1 << 20), Vec::new());
            while let Ok(Some(batch)) = poll_fn(|cx| reader.poll_next(cx, &mut buffers)).await {
                read.extend_from_slice(&batch);
            }
            assert!(read == all, "{} of {} bytes", read.len(), all.len());
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
