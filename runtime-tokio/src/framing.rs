//! Cuts the bytes of a connection into frames.

use std::io;

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
        Self { from, buffer, buffer_bytes, frame_bytes_max }
    }

    /// The next frames, one or more, back to back; `None` at the end of the connection.
    ///
    /// Not to be called again after an error, nor after a call that was abandoned half-way.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            let (whole, next) = self.whole_frames()?;
            if whole > 0 {
                let frames = Bytes::copy_from_slice(&self.buffer[..whole]);
                // What remains is the start of one frame: moving it to the front costs little.
                let rest = self.buffer.len() - whole;
                self.buffer.copy_within(whole.., 0);
                self.buffer.truncate(rest);
                return Ok(Some(frames));
            }
            if let Some(length) = next.filter(|length| *length > self.buffer_bytes) {
                return self.large_frame(length).await.map(Some);
            }
            if !self.fill().await? {
                return Ok(None);
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
    async fn fill(&mut self) -> Result<bool, FrameError> {
        let room = self.buffer_bytes - self.buffer.len();
        let mut limited = bytes::BufMut::limit(&mut self.buffer, room);
        let count = self.from.read_buf(&mut limited).await.map_err(FrameError::Io)?;
        if count == 0 && !self.buffer.is_empty() {
            return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(count > 0)
    }

    /// Reads one frame that is larger than the buffer, whose start is in the buffer.
    async fn large_frame(&mut self, length: usize) -> Result<Bytes, FrameError> {
        let mut frame = BytesMut::with_capacity(length);
        frame.extend_from_slice(&self.buffer);
        self.buffer.clear();
        while frame.len() < length {
            let room = length - frame.len();
            let mut limited = bytes::BufMut::limit(&mut frame, room);
            if self.from.read_buf(&mut limited).await.map_err(FrameError::Io)? == 0 {
                return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(frame.freeze())
    }
}
