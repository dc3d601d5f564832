//! The one client of every contender: it makes numbered commands and counts their outcomes.

use bytes::{BufMut, Bytes, BytesMut};

/// Makes the payloads: a number, then filling. They are cut from large chunks, so that what is
/// measured is not the allocator's work for the caller.
#[derive(Debug)]
pub(crate) struct Client {
    chunk: BytesMut,
    size: usize,
    submitted: u64,
    answered: u64,
}

impl Client {
    /// A client whose commands have so many bytes, at least eight.
    ///
    /// # Panics
    /// When a command has no room for its number.
    #[must_use]
    pub(crate) fn new(size: usize) -> Self {
        assert!(size >= 8, "a command holds its number");
        Self { chunk: BytesMut::new(), size, submitted: 0, answered: 0 }
    }

    /// The next command.
    pub(crate) fn command(&mut self) -> Bytes {
        if self.chunk.capacity() < self.size {
            self.chunk = BytesMut::with_capacity(CHUNK_BYTES.max(self.size));
        }
        self.chunk.put_u64_le(self.submitted);
        self.chunk.put_bytes(0x5A, self.size - 8);
        self.submitted += 1;
        self.chunk.split().freeze()
    }

    /// An outcome arrived: commands are answered in order, each once.
    ///
    /// # Panics
    /// When it is the outcome of another command than the next one.
    pub(crate) fn answer(&mut self, number: u64) {
        assert_eq!(number, self.answered, "outcomes come in the order of submission");
        self.answered += 1;
    }

    /// Commands that have no outcome yet.
    #[must_use]
    pub(crate) const fn outstanding(&self) -> u64 {
        self.submitted - self.answered
    }

    /// Commands submitted so far.
    #[must_use]
    pub(crate) const fn submitted(&self) -> u64 {
        self.submitted
    }
}

/// Applies commands and checks that they come in order, none twice, none left out.
#[derive(Debug, Default)]
pub(crate) struct Applier {
    next: u64,
}

impl Applier {
    /// Applies a command; the answer is its number.
    ///
    /// # Panics
    /// When it is not the next one.
    pub(crate) fn apply(&mut self, command: &[u8]) -> u64 {
        let number = command.first_chunk().copied().map(u64::from_le_bytes);
        assert_eq!(number, Some(self.next), "commands are applied in order");
        self.next += 1;
        self.next - 1
    }

    /// How many were applied.
    #[must_use]
    pub(crate) const fn applied(&self) -> u64 {
        self.next
    }
}

const CHUNK_BYTES: usize = 64 << 10;
