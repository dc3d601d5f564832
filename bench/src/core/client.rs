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

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(numbers: &[u64]) -> u64 {
        let mut applier = Applier::default();
        for number in numbers {
            applier.apply(&number.to_le_bytes());
        }
        applier.applied()
    }

    #[test]
    fn commands_hold_their_numbers() {
        let mut client = Client::new(12);
        let mut applier = Applier::default();
        for number in 0..3 {
            let command = client.command();
            assert_eq!((command.len(), applier.apply(&command)), (12, number));
        }
        assert_eq!((client.submitted(), client.outstanding()), (3, 3));
    }

    #[test]
    #[should_panic(expected = "applied in order")]
    fn a_command_that_is_left_out_is_noticed() {
        apply(&[0, 1, 3]);
    }

    #[test]
    #[should_panic(expected = "applied in order")]
    fn a_command_that_comes_twice_is_noticed() {
        apply(&[0, 1, 1]);
    }

    #[test]
    #[should_panic(expected = "in the order of submission")]
    fn an_outcome_of_another_command_is_noticed() {
        let mut client = Client::new(8);
        client.command();
        client.command();
        client.answer(1);
    }
}
