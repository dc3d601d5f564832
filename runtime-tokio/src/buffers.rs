//! Large buffers for frames, used again when nobody holds what was written into them.
//!
//! A frame with a full batch has a hundred KiB or so. An allocator gives memory of that size back
//! to the system and asks for it anew, and then the system clears every page of it when it is
//! touched first: nearly a tenth of the processor time of a loaded node.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};

/// Hands out large buffers and takes them back.
///
/// A buffer rests while handles on what was written into it live: in the window, in the log, in the
/// queues to peers. They are dropped in the order of slots, more or less, so the buffer that rests
/// longest is free first, and in a steady state none is allocated. Of those that are free the one
/// that became so last is used first: caches may still have it.
///
/// Whoever keeps a decree keeps the buffer that it came in. So a buffer has at most twice the bytes
/// that it was asked for, and what is small gets memory of exactly its length, from the allocator.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Those that somebody held when it was last looked. The one that rests longest comes first.
    resting: VecDeque<Buffer>,
    /// Those that nobody holds. The one that became free last is the last.
    free: VecDeque<Buffer>,
    /// The sizes of all of them. Invariant: at most `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

/// Memory to write into, empty when it is handed out.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// What was written and not taken yet.
    pub(crate) bytes: BytesMut,
    /// What it has room for when nobody holds anything of it.
    size: usize,
}

/// What is smaller comes from the allocator, which has such sizes at hand.
pub(crate) const LARGE: usize = 16 << 10;

/// So many are looked at for one that is free, and as many for one that fits.
const LOOKS_MAX: usize = 8;

impl Buffers {
    /// Buffers of which those that nobody holds have at most `bytes_max` bytes.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { resting: VecDeque::new(), free: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// An empty buffer with room for `bytes`, and for at most twice as many.
    pub(crate) fn take(&mut self, bytes: usize) -> Buffer {
        if bytes < LARGE {
            return Buffer { bytes: BytesMut::with_capacity(bytes), size: bytes };
        }
        self.find_free();
        let fits = |buffer: &Buffer| (bytes..=2 * bytes).contains(&buffer.size);
        let place = self.free.iter().rev().take(LOOKS_MAX).position(fits);
        if let Some(buffer) = place.and_then(|place| self.free.remove(self.free.len() - 1 - place))
        {
            self.bytes -= buffer.size;
            return buffer;
        }
        let size = size_for(bytes);
        Buffer { bytes: BytesMut::with_capacity(size), size }
    }

    /// Takes a buffer back, to be used again as soon as nobody holds what was taken from it.
    pub(crate) fn rest(&mut self, mut buffer: Buffer) {
        if buffer.size < LARGE || buffer.size > self.bytes_max {
            return;
        }
        buffer.bytes.clear();
        self.bytes += buffer.size;
        self.resting.push_back(buffer);
        while self.bytes > self.bytes_max {
            let oldest = self.free.pop_front().or_else(|| self.resting.pop_front());
            self.bytes -= oldest.map_or(0, |oldest| oldest.size);
        }
    }

    /// Looks which of those that rest longest nobody holds any more.
    fn find_free(&mut self) {
        let mut place = 0;
        while place < LOOKS_MAX
            && let Some(buffer) = self.resting.get_mut(place)
        {
            if buffer.bytes.try_reclaim(buffer.size) {
                self.free.extend(self.resting.remove(place));
            } else {
                place += 1;
            }
        }
    }
}

impl Buffer {
    /// The bytes that it can still take.
    pub(crate) fn room(&self) -> usize {
        self.size.saturating_sub(self.bytes.len())
    }

    /// What it has room for when it is empty.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Takes out what was written. After this the buffer is good for resting only.
    pub(crate) fn split(&mut self) -> Bytes {
        if self.size < LARGE {
            // It will not rest: what is taken need not be shared with it.
            return mem::take(&mut self.bytes).freeze();
        }
        self.bytes.split().freeze()
    }
}

/// A size that frames of about the same length share: at most a quarter more than `bytes`.
fn size_for(bytes: usize) -> usize {
    bytes.next_multiple_of(bytes.next_power_of_two() / 8)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    impl Buffers {
        fn count(&self) -> usize {
            self.resting.len() + self.free.len()
        }
    }

    /// What was written into a buffer that rests from then on.
    fn write(buffers: &mut Buffers, bytes: usize) -> Bytes {
        let mut buffer = buffers.take(bytes);
        assert!(buffer.room() >= bytes && buffer.bytes.is_empty());
        let before = buffer.bytes.as_ptr();
        buffer.bytes.put_bytes(7, bytes);
        assert_eq!(buffer.bytes.as_ptr(), before, "it did not grow");
        let written = buffer.split();
        buffers.rest(buffer);
        written
    }

    /// How many places in memory `count` frames of `bytes` have, `held_max` of them held at a time.
    fn places(buffers: &mut Buffers, bytes: usize, count: usize, held_max: usize) -> usize {
        let mut held = VecDeque::new();
        let mut places = Vec::new();
        for _ in 0..count {
            let frame = write(buffers, bytes);
            places.push(frame.as_ptr());
            held.push_back(frame);
            if held.len() > held_max {
                held.pop_front();
            }
        }
        places.sort_unstable();
        places.dedup();
        places.len()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_frame_is_gone() {
        let mut buffers = Buffers::new(64 * LARGE);
        assert_eq!(places(&mut buffers, LARGE, 100, 8), 9);
        // However many there are, those are used that were used last.
        assert_eq!(places(&mut buffers, LARGE, 100, 2), 3);
        assert_eq!(buffers.count(), 9);
    }

    #[test]
    fn what_is_held_is_never_written_over() {
        let mut buffers = Buffers::new(64 * LARGE);
        let first = write(&mut buffers, LARGE);
        let second = write(&mut buffers, LARGE).slice(1..2);
        for _ in 0..10 {
            let mut buffer = buffers.take(LARGE);
            buffer.bytes.put_bytes(9, LARGE);
            buffers.rest(buffer);
        }
        assert!(first.iter().chain(&second).all(|byte| *byte == 7));
    }

    #[test]
    fn nobody_holds_more_than_twice_what_he_asked_for() {
        let mut buffers = Buffers::new(1 << 30);
        for bytes in (LARGE..40 * LARGE).step_by(777) {
            let buffer = buffers.take(bytes);
            assert!((bytes..=bytes + bytes / 4).contains(&buffer.size), "{bytes}");
            assert!(buffer.bytes.capacity() == buffer.size);
            buffers.rest(buffer);
        }
        // All of them are free.
        for bytes in (LARGE..40 * LARGE).step_by(555) {
            let buffer = buffers.take(bytes);
            assert!((bytes..=2 * bytes).contains(&buffer.bytes.capacity()), "{bytes}");
            buffers.rest(buffer);
        }
    }

    #[test]
    fn what_is_small_has_memory_of_its_length_and_does_not_rest() {
        let mut buffers = Buffers::new(1 << 30);
        let small = buffers.take(LARGE - 1);
        assert_eq!(small.bytes.capacity(), LARGE - 1);
        buffers.rest(small);
        assert_eq!(buffers.count(), 0);
    }

    #[test]
    fn no_more_rests_than_said() {
        let mut buffers = Buffers::new(10 * LARGE);
        let held: Vec<Bytes> = (0..30).map(|_| write(&mut buffers, LARGE)).collect();
        assert_eq!((buffers.count(), buffers.bytes), (10, 10 * LARGE));
        drop(held);
        drop(write(&mut buffers, 11 * LARGE));
        assert_eq!((buffers.count(), buffers.bytes), (10, 10 * LARGE), "too large to rest");
        drop(write(&mut buffers, 10 * LARGE));
        assert_eq!((buffers.count(), buffers.bytes), (1, 10 * LARGE));
        drop(buffers.take(10 * LARGE));
        assert_eq!((buffers.count(), buffers.bytes), (0, 0));
    }

    #[test]
    fn frames_that_are_kept_for_long_are_not_in_the_way_for_ever() {
        let mut buffers = Buffers::new(32 * LARGE);
        let kept: Vec<Bytes> = (0..LOOKS_MAX).map(|_| write(&mut buffers, LARGE)).collect();
        places(&mut buffers, LARGE, 100, 2);
        assert_eq!(places(&mut buffers, LARGE, 100, 2), 3);
        assert!(kept.iter().flatten().all(|byte| *byte == 7));
    }
}
