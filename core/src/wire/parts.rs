//! Frames in parts: large decrees stay where they are, and the host gathers them as it writes.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::Payload;
use crate::Proposal;
use crate::checksum::Crc;

/// What frames and records are put into.
pub(crate) trait Sink {
    /// Where everything but decrees goes.
    fn own(&mut self) -> &mut impl BufMut;

    /// Takes a decree, by a copy or by a handle on it.
    fn put_decree(&mut self, decree: &Bytes);
}

impl<B: BufMut> Sink for B {
    #[inline]
    fn own(&mut self) -> &mut impl BufMut {
        self
    }

    #[inline]
    fn put_decree(&mut self, decree: &Bytes) {
        self.put_slice(decree);
    }
}

/// One frame in parts, which follow each other on the wire: what was encoded, and handles on large
/// decrees. Made to be used again: its memory is kept from frame to frame.
///
/// For hosts that write from several places in one call, as `writev` does. Nothing of a large
/// decree is copied then; its checksum is still computed.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use synod_core::wire::{self, Parts, Payload};
/// use synod_core::{Ballot, Header, Kind, Message, NodeId, Proposal, Slot, checksum::crc32c};
///
/// let ballot = Ballot { round: 1, node: NodeId(1) };
/// let decree = Bytes::from(vec![7; 100_000]);
/// let proposals = [Proposal { slot: Slot(0), ballot, decree: Kind::App(decree.clone()) }];
/// let (from, decided) = (Slot(0), Slot(0));
/// let payload =
///     Payload::Replica(Message::Accept { ballot, from, proposals: &proposals, decided });
///
/// let mut parts = Parts::new(16_384);
/// parts.encode_with(crc32c, &Header::default(), &payload);
/// let gathered: Vec<Bytes> = parts.drain().collect();
/// assert_eq!(gathered[1].as_ptr(), decree.as_ptr(), "it was not copied");
///
/// let mut whole = BytesMut::new();
/// wire::encode(&Header::default(), &payload, &mut whole);
/// assert_eq!(gathered.concat(), whole);
/// ```
#[derive(Debug)]
pub struct Parts {
    own: BytesMut,
    /// Decrees that are not copied, each with the length of `own` before it.
    lent: Vec<(usize, Bytes)>,
    copy_bytes_max: usize,
}

impl Parts {
    /// For frames whose decrees are copied up to `copy_bytes_max` bytes each.
    #[must_use]
    pub fn new(copy_bytes_max: usize) -> Self {
        Self { own: BytesMut::new(), lent: Vec::new(), copy_bytes_max }
    }

    /// Whether a decree of `payload` is too large to be copied.
    #[must_use]
    pub fn lends(&self, payload: &Payload<'_>) -> bool {
        let is_large = |proposal: &Proposal<_>| proposal.decree.size_bytes() > self.copy_bytes_max;
        match payload {
            Payload::Service(_) => false,
            Payload::Replica(message) => message.proposals().iter().any(is_large),
        }
    }

    /// Makes room for a frame, in place of one that was not drained.
    pub(super) fn begin(&mut self, payload_bytes: usize) {
        self.lent.clear();
        self.own.clear();
        // What is lent takes no room here, and is mostly all of a frame that is worth parts.
        self.own.reserve(payload_bytes.min(OWN_BYTES));
    }

    /// The length of the frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len() + self.lent.iter().map(|(_, decree)| decree.len()).sum::<usize>()
    }

    /// Whether there is no frame: none was encoded, or all of it was drained.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.lent.is_empty()
    }

    /// Takes the frame out, part by part. No part is empty.
    pub fn drain(&mut self) -> impl Iterator<Item = Bytes> + '_ {
        let mut own = self.own.split().freeze();
        let end = own.len();
        let last = core::iter::once((end, Bytes::new()));
        let mut at = 0;
        let pieces = self.lent.drain(..).chain(last).flat_map(move |(place, decree)| {
            let piece = own.split_to(place - at);
            at = place;
            [piece, decree]
        });
        pieces.filter(|part| !part.is_empty())
    }

    /// Writes the checksum of the whole but for its own place, which is at `at`, before any decree.
    pub(super) fn seal(&mut self, crc: Crc, at: usize) {
        let gap = at + size_of::<u32>();
        let mut sum = crc(0, self.own.get(..at).unwrap_or_default());
        let mut from = gap;
        for (place, decree) in &self.lent {
            sum = crc(sum, self.own.get(from..*place).unwrap_or_default());
            sum = crc(sum, decree);
            from = *place;
        }
        sum = crc(sum, self.own.get(from..).unwrap_or_default());
        let place = self.own.get_mut(at..gap);
        debug_assert!(place.is_some(), "the place of the checksum was written");
        if let Some(place) = place {
            place.copy_from_slice(&sum.to_le_bytes());
        }
    }
}

impl Sink for Parts {
    fn own(&mut self) -> &mut impl BufMut {
        &mut self.own
    }

    fn put_decree(&mut self, decree: &Bytes) {
        if decree.len() > self.copy_bytes_max {
            self.lent.push((self.own.len(), decree.clone()));
        } else {
            self.own.put_slice(decree);
        }
    }
}

/// What is set aside for the bytes of a frame that are not lent; more is found as it goes.
const OWN_BYTES: usize = 1 << 10;
