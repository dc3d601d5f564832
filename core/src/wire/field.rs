//! The fields that frames and records are made of: how they are put and how they are read.

use core::fmt;

use bytes::{BufMut, Bytes};

use crate::{
    Ballot, Boot, ClusterId, Epoch, GroupId, Header, Incarnation, MEMBERS_MAX, NodeId, NodeSet,
    Slot,
};

/// What is wrong with the fields of a frame or a record whose checksum is right: whoever wrote it
/// has a fault, or follows another format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldError {
    /// The bytes end before the last field does.
    Short,
    /// This many bytes follow behind the last field.
    Excess(usize),
    /// A slot at or above [`Slot::LIMIT`].
    Slot(u64),
    /// The round of a ballot is at or above [`Ballot::ROUND_LIMIT`].
    Round(u64),
    /// A count of proposals or members that the bytes present, or the limits, cannot hold.
    Count(u32),
    /// A kind of decree that this version does not know.
    DecreeKind(u8),
    /// A no-op with bytes in it.
    NoopLength(u32),
    /// Flags that this version does not know.
    Flags(u8),
    /// A slot or a ballot is spelled out although the fields before it imply it.
    Redundant,
    /// The slot that a record names for its first proposal is not the one that proposal has.
    First(u64),
    /// Reserved bytes that are not zero.
    Reserved,
    /// A set of members with bits beyond [`MEMBERS_MAX`].
    Members(u16),
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it ends before its last field"),
            Self::Excess(bytes) => write!(f, "{bytes} bytes too many follow its last field"),
            Self::Slot(slot) => write!(f, "slot {slot} is out of range"),
            Self::Round(round) => write!(f, "round {round} of a ballot is out of range"),
            Self::Count(count) => write!(f, "it cannot hold the {count} items it claims"),
            Self::DecreeKind(kind) => write!(f, "decree kind {kind} is not known here"),
            Self::NoopLength(bytes) => write!(f, "a no-op claims {bytes} bytes"),
            Self::Flags(flags) => write!(f, "flags {flags:#04x} are not known here"),
            Self::Redundant => f.write_str("it spells out a slot or ballot that is implied"),
            Self::First(slot) => write!(f, "its first proposal is not for slot {slot}"),
            Self::Reserved => f.write_str("reserved bytes are not zero"),
            Self::Members(bits) => write!(f, "{bits:#06x} is no set of members"),
        }
    }
}

impl core::error::Error for FieldError {}

/// The size of an encoded [`Header`].
pub(crate) const HEADER_BYTES: usize = 60;

/// The size of an encoded [`Ballot`].
pub(crate) const BALLOT_BYTES: usize = 16;

/// The size of an encoded [`Slot`].
pub(crate) const SLOT_BYTES: usize = 8;

pub(crate) fn put_slot(slot: Slot, out: &mut impl BufMut) {
    out.put_u64_le(slot.0);
}

pub(crate) fn put_ballot(ballot: Ballot, out: &mut impl BufMut) {
    out.put_u64_le(ballot.round);
    out.put_u64_le(ballot.node.0);
}

pub(crate) fn put_header(header: &Header, out: &mut impl BufMut) {
    out.put_u64_le(header.cluster.0);
    out.put_u64_le(header.group.0);
    out.put_u32_le(header.epoch.number);
    put_slot(header.epoch.first, out);
    out.put_u64_le(header.epoch.digest);
    out.put_u64_le(header.node.0);
    out.put_u64_le(header.incarnation.0);
    out.put_u64_le(header.boot.0);
}

/// A length or a count on its way out. The limits of a configuration keep all of them below 2^32;
/// what exceeds that regardless becomes a number that every reader refuses.
pub(crate) fn narrow(length: usize) -> u32 {
    debug_assert!(u32::try_from(length).is_ok(), "limits keep lengths and counts in 32 bits");
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads fields one after the other, never beyond the end, and lends out no byte of its own:
/// decrees are handles on the memory behind `bytes`.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    bytes: &'a Bytes,
    /// Invariant: `at <= bytes.len()`.
    at: usize,
}

impl<'a> Fields<'a> {
    /// Reads `bytes` from `at` on.
    pub(crate) fn of(bytes: &'a Bytes, at: usize) -> Result<Self, FieldError> {
        if at > bytes.len() { Err(FieldError::Short) } else { Ok(Self { bytes, at }) }
    }

    /// The bytes not yet read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// All bytes, read or not.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FieldError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FieldError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FieldError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FieldError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn slot(&mut self) -> Result<Slot, FieldError> {
        let slot = Slot(self.u64()?);
        if slot < Slot::LIMIT { Ok(slot) } else { Err(FieldError::Slot(slot.0)) }
    }

    pub(crate) fn ballot(&mut self) -> Result<Ballot, FieldError> {
        let ballot = Ballot { round: self.u64()?, node: NodeId(self.u64()?) };
        if ballot.round < Ballot::ROUND_LIMIT {
            Ok(ballot)
        } else {
            Err(FieldError::Round(ballot.round))
        }
    }

    pub(crate) fn members(&mut self) -> Result<NodeSet, FieldError> {
        let set = NodeSet(self.u16()?);
        let known = NodeSet::first(MEMBERS_MAX);
        if set.0 & !known.0 == 0 { Ok(set) } else { Err(FieldError::Members(set.0)) }
    }

    /// A byte with one flag in it.
    pub(crate) fn flag(&mut self) -> Result<bool, FieldError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            flags => Err(FieldError::Flags(flags)),
        }
    }

    pub(crate) fn header(&mut self) -> Result<Header, FieldError> {
        Ok(Header {
            cluster: ClusterId(self.u64()?),
            group: GroupId(self.u64()?),
            epoch: Epoch { number: self.u32()?, first: self.slot()?, digest: self.u64()? },
            node: NodeId(self.u64()?),
            incarnation: Incarnation(self.u64()?),
            boot: Boot(self.u64()?),
        })
    }

    /// A count of items of at least `size` bytes each, which the bytes present must be able to
    /// hold: whoever reserves memory for them reserves no more than a multiple of what arrived.
    pub(crate) fn count(&mut self, size: usize) -> Result<usize, FieldError> {
        let claimed = self.u32()?;
        self.holds(claimed, size)
    }

    /// Whether the bytes present can hold `claimed` items of at least `size` bytes each.
    pub(crate) fn holds(&self, claimed: u32, size: usize) -> Result<usize, FieldError> {
        let error = FieldError::Count(claimed);
        let count = usize::try_from(claimed).map_err(|_| error)?;
        if count <= self.rest().len() / size { Ok(count) } else { Err(error) }
    }

    /// A handle on the next `len` bytes.
    pub(crate) fn handle(&mut self, len: u32) -> Result<Bytes, FieldError> {
        let len = usize::try_from(len).map_err(|_| FieldError::Short)?;
        if len > self.rest().len() {
            return Err(FieldError::Short);
        }
        let end = self.at + len;
        let handle = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(handle)
    }

    /// Whether everything was read.
    pub(crate) fn finish(&self) -> Result<(), FieldError> {
        match self.rest().len() {
            0 => Ok(()),
            excess => Err(FieldError::Excess(excess)),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FieldError> {
        let array = self.rest().first_chunk().ok_or(FieldError::Short)?;
        self.at += N;
        Ok(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_begin_within_the_bytes_or_at_their_end() {
        let bytes = Bytes::from_static(b"ab");
        assert_eq!(Fields::of(&bytes, 2).map(|fields| fields.rest().len()), Ok(0));
        assert_eq!(Fields::of(&bytes, 3).map(|_| ()), Err(FieldError::Short));
        assert_eq!(Fields::of(&bytes, 9).map(|_| ()), Err(FieldError::Short));
    }

    #[test]
    fn no_more_items_are_believed_than_the_bytes_can_hold() {
        let bytes = Bytes::from_static(&[0; 24]);
        let fields = Fields::of(&bytes, 0).expect("its start");
        assert_eq!(fields.holds(3, 8), Ok(3));
        assert_eq!(fields.holds(4, 8), Err(FieldError::Count(4)));
        assert_eq!(fields.holds(24, 8), Err(FieldError::Count(24)));
    }
}
