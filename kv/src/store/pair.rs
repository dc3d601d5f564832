//! One key with its value.

use bytes::{Bytes, BytesMut};

use super::digest::Running;

/// A key and its value, one behind the other in one piece of memory: whoever has found the key has
/// the value at hand, and a value gives way to one of its length where it lies.
#[derive(Debug)]
pub(super) struct Pair {
    /// The key, then the value.
    bytes: Bytes,
    key_len: usize,
    running: Running,
}

impl Pair {
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self { bytes: bytes.into(), key_len: key.len(), running: Running::of(key, value) }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len]
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.bytes[self.key_len..]
    }

    /// A handle on the value, for an answer. It keeps that value, whatever is written later.
    pub(super) fn share(&self) -> Bytes {
        self.bytes.slice(self.key_len..)
    }

    /// The share of this pair in the digest of the state.
    pub(super) fn digest(&self) -> u64 {
        self.running.finish(self.value())
    }

    /// Replaces the value.
    pub(super) fn set(&mut self, value: &[u8]) {
        if value.len() == self.value().len() {
            match core::mem::take(&mut self.bytes).try_into_mut() {
                Ok(mut own) => {
                    own[self.key_len..].copy_from_slice(value);
                    self.bytes = own.freeze();
                    self.running = Running::of(self.key(), value);
                    return;
                }
                // An answer on its way holds the value.
                Err(shared) => self.bytes = shared,
            }
        }
        *self = Self::new(self.key(), value);
    }

    /// Grows the value, in place while no answer holds it.
    pub(super) fn append(&mut self, more: &[u8]) {
        let len_before = self.value().len();
        let own = core::mem::take(&mut self.bytes).try_into_mut();
        let mut own = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        own.extend_from_slice(more);
        self.bytes = own.freeze();
        self.running = self.running.grown(len_before, self.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pair of `key` after its value was replaced, while an answer holds it or not.
    fn replaced(before: &[u8], after: &[u8], is_held: bool) -> (Pair, bool) {
        let mut pair = Pair::new(b"key", before);
        let place = pair.bytes.as_ptr();
        let held = is_held.then(|| pair.share());
        pair.set(after);
        assert!(held.is_none_or(|held| held == before), "an answer has changed on its way");
        let is_in_place = pair.bytes.as_ptr() == place;
        (pair, is_in_place)
    }

    #[test]
    fn a_value_gives_way_where_it_lies_unless_an_answer_holds_it() {
        for (before, after, is_held, in_place) in [
            (&b"12345678"[..], &b"abcdefgh"[..], false, true),
            (b"12345678", b"abcdefgh", true, false),
            (b"12345678", b"abc", false, false),
            (b"", b"abc", false, false),
        ] {
            let (pair, was_in_place) = replaced(before, after, is_held);
            assert_eq!((pair.key(), pair.value()), (&b"key"[..], after));
            assert_eq!(pair.digest(), Pair::new(b"key", after).digest());
            assert_eq!(was_in_place, in_place, "{before:?} {after:?} {is_held}");
        }
    }

    #[test]
    fn a_value_can_give_way_again_when_its_answer_has_left() {
        let mut pair = Pair::new(b"key", b"one");
        drop(pair.share());
        let place = pair.bytes.as_ptr();
        pair.set(b"two");
        pair.append(b"");
        assert_eq!((pair.value(), pair.bytes.as_ptr()), (&b"two"[..], place));
    }

    #[test]
    fn what_grew_is_as_if_it_had_been_written_whole() {
        let mut pair = Pair::new(b"", b"");
        for _ in 0..3 {
            let held = pair.share();
            pair.append(b"seven..");
            assert_eq!(held.len() + 7, pair.value().len());
        }
        assert_eq!(pair.value(), b"seven..seven..seven..");
        assert_eq!(pair.digest(), Pair::new(b"", pair.value()).digest());
    }
}
