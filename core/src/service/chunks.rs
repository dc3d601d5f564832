//! The memory of decrees and forwards: written in large chunks, used again when nobody holds them.

use alloc::collections::VecDeque;
use core::mem;

use bytes::{Bytes, BytesMut};

/// Hands out buffers that are cut from chunks.
///
/// A chunk rests while handles on its decrees live: in the window, in frames, in log buffers. They
/// are dropped in the order of slots, more or less, so the chunk that rests longest is free first.
/// In a steady state no chunk is allocated.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    current: BytesMut,
    begun: bool,
    resting: VecDeque<BytesMut>,
}

/// The size of a chunk, unless something larger must go into it.
const CHUNK_BYTES: usize = 256 << 10;

/// More chunks than this are given back to the allocator when their handles are dropped: 64 MiB
/// are kept at most.
const RESTING_MAX: usize = 256;

impl Chunks {
    /// A buffer with room for `bytes`, empty before `write`; returns what was written.
    pub(super) fn write(&mut self, bytes: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        let mut chunk = mem::take(&mut self.current);
        if chunk.capacity() < bytes && !chunk.try_reclaim(bytes) {
            chunk = self.next_chunk(chunk, bytes);
        }
        write(&mut chunk);
        let written = chunk.split().freeze();
        self.current = chunk;
        written
    }

    fn next_chunk(&mut self, full: BytesMut, bytes: usize) -> BytesMut {
        // The buffer that nothing was ever written to is no chunk.
        if mem::replace(&mut self.begun, true) {
            self.resting.push_back(full);
        }
        if self.resting.len() > RESTING_MAX {
            self.resting.pop_front();
        }
        if let Some(mut free) = self.resting.pop_front() {
            if free.try_reclaim(bytes) {
                return free;
            }
            self.resting.push_front(free);
        }
        BytesMut::with_capacity(bytes.max(CHUNK_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use bytes::BufMut;

    use super::*;

    fn write(chunks: &mut Chunks, bytes: usize) -> Bytes {
        chunks.write(bytes, |buffer| buffer.put_bytes(7, bytes))
    }

    #[test]
    fn a_chunk_is_used_again_when_its_handles_are_gone() {
        let mut chunks = Chunks::default();
        let piece = CHUNK_BYTES / 4;
        let mut held = VecDeque::new();
        let mut places = Vec::new();
        for _ in 0..64 {
            let bytes = write(&mut chunks, piece);
            assert_eq!(bytes.len(), piece);
            places.push(bytes.as_ptr());
            held.push_back(bytes);
            if held.len() > 8 {
                held.pop_front();
            }
        }
        // Eight live pieces span three chunks; a fourth and fifth are in turn.
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 20, "{} places of 64 pieces", places.len());
        assert!(chunks.resting.len() <= 5);
    }

    #[test]
    fn what_is_held_is_never_written_over() {
        let mut chunks = Chunks::default();
        let first = write(&mut chunks, 100);
        for _ in 0..10 {
            drop(chunks.write(CHUNK_BYTES, |buffer| buffer.put_bytes(9, CHUNK_BYTES)));
        }
        assert!(first.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn what_is_larger_than_a_chunk_has_room() {
        let mut chunks = Chunks::default();
        assert_eq!(write(&mut chunks, 3 * CHUNK_BYTES).len(), 3 * CHUNK_BYTES);
        assert_eq!(write(&mut chunks, 10).len(), 10);
    }

    #[test]
    fn chunks_that_stay_in_use_are_not_hoarded() {
        let mut chunks = Chunks::default();
        let held: Vec<Bytes> =
            (0..RESTING_MAX + 20).map(|_| write(&mut chunks, CHUNK_BYTES)).collect();
        assert!(chunks.resting.len() <= RESTING_MAX);
        assert!(held.iter().all(|bytes| bytes.len() == CHUNK_BYTES));
    }
}
