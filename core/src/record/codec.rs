//! Records to bytes and back.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::{RecordError, Stamp};
use crate::checksum::{self, Crc, crc32c};
use crate::wire::FieldError;
use crate::wire::field::{Fields, narrow, put_ballot, put_header, put_slot};
use crate::wire::run::{self, Expected, PROPOSAL_BYTES_MIN};
use crate::{Ballot, Body, Boot, Header, Incarnation, MEMBERS_MAX, NodeId, Proposal, Record, Slot};

/// The letters that every record starts with.
pub const MAGIC: [u8; 4] = *b"SyRe";

/// The version of the format that this library writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// The bytes that [`claimed_len`] needs to see, the same in every version of the format.
pub const PREFIX_BYTES: usize = 8;

/// Every record is a multiple of this long, so records stay aligned behind each other.
pub const ALIGNMENT: usize = 8;

/// The length of a record with an empty body; no record is shorter.
pub const RECORD_BYTES_MIN: usize = 136;

/// Where the checksum stands.
const CHECKSUM_AT: usize = PREFIX_BYTES;

const KIND_MARK: u8 = 0;
const KIND_ACCEPTED: u8 = 1;
const KIND_LEARNED: u8 = 2;
const KIND_ROSTER: u8 = 3;

const FLAG_VOTES: u8 = 1;

/// The size of a member in a roster.
const MEMBER_BYTES: usize = 16;

/// The length of the record that starts with `prefix`, as far as it can be believed before its
/// checksum is known, or `None` while fewer than [`PREFIX_BYTES`] bytes are there.
///
/// # Errors
/// [`RecordError::Magic`] or [`RecordError::Length`] when no record of any version starts so.
pub fn claimed_len(prefix: &[u8]) -> Result<Option<usize>, RecordError> {
    let Some((magic, rest)) = prefix.split_first_chunk() else { return Ok(None) };
    if *magic != MAGIC {
        return Err(RecordError::Magic);
    }
    let Some(length) = rest.first_chunk() else { return Ok(None) };
    let claimed = u32::from_le_bytes(*length);
    // Lossless: no target of this library has addresses of less than 32 bits.
    let len = claimed as usize;
    // Thirteen bytes are fixed for all versions; a newer one may well have shorter records.
    if len < SEALED_BYTES_MIN || !len.is_multiple_of(ALIGNMENT) {
        return Err(RecordError::Length { claimed });
    }
    Ok(Some(len))
}

/// The shortest record of any version: the part that all have in common, aligned.
const SEALED_BYTES_MIN: usize = 16;

/// The length of the record that [`encode`] makes of `record`, padding included.
#[must_use]
pub fn encoded_len(record: &Record<'_, Bytes>) -> usize {
    let body = match record.body {
        Body::Mark => 0,
        Body::Accepted(run) | Body::Learned(run) => {
            run::encoded_len(expected(run, record.promised), run)
        }
        Body::Roster { members, .. } => members.len() * MEMBER_BYTES,
    };
    (RECORD_BYTES_MIN + body).next_multiple_of(ALIGNMENT)
}

/// Appends one record to `out`, which grows once, by [`encoded_len`]. Decrees are copied once.
///
/// Pre-condition: `record` is within the limits of a configuration that passes its check.
pub fn encode(header: &Header, stamp: &Stamp, record: &Record<'_, Bytes>, out: &mut BytesMut) {
    encode_with(crc32c, header, stamp, record, out);
}

/// [`encode`] with a checksum function of the host's.
pub fn encode_with(
    crc: Crc,
    header: &Header,
    stamp: &Stamp,
    record: &Record<'_, Bytes>,
    out: &mut BytesMut,
) {
    let start = out.len();
    let len = encoded_len(record);
    out.reserve(len);
    put(header, stamp, record, len, out);
    debug_assert_eq!(out.len() - start, len, "the length announced is the length written");
    crate::wire::seal(crc, out.get_mut(start..).unwrap_or_default(), CHECKSUM_AT);
}

/// Encodes one record at the start of memory that the host already has (a mapped log, a registered
/// buffer) and returns its length; `None`, and nothing written, when it does not fit.
pub fn encode_into(
    header: &Header,
    stamp: &Stamp,
    record: &Record<'_, Bytes>,
    out: &mut [u8],
) -> Option<usize> {
    encode_into_with(crc32c, header, stamp, record, out)
}

/// [`encode_into`] with a checksum function of the host's.
pub fn encode_into_with(
    crc: Crc,
    header: &Header,
    stamp: &Stamp,
    record: &Record<'_, Bytes>,
    out: &mut [u8],
) -> Option<usize> {
    let len = encoded_len(record);
    let place = out.get_mut(..len)?;
    let mut rest = &mut *place;
    put(header, stamp, record, len, &mut rest);
    debug_assert!(rest.is_empty(), "the length announced is the length written");
    crate::wire::seal(crc, place, CHECKSUM_AT);
    Some(len)
}

/// Puts a record of `len` bytes, its checksum left open.
fn put(
    header: &Header,
    stamp: &Stamp,
    record: &Record<'_, Bytes>,
    len: usize,
    out: &mut impl BufMut,
) {
    let (kind, flags, count, run) = match record.body {
        Body::Mark => (KIND_MARK, 0, 0, NO_RUN),
        Body::Accepted(run) => (KIND_ACCEPTED, 0, run.len(), run),
        Body::Learned(run) => (KIND_LEARNED, 0, run.len(), run),
        Body::Roster { votes: false, members } => (KIND_ROSTER, 0, members.len(), NO_RUN),
        Body::Roster { votes: true, members } => (KIND_ROSTER, FLAG_VOTES, members.len(), NO_RUN),
    };
    let expected = expected(run, record.promised);
    out.put_slice(&MAGIC);
    out.put_u32_le(narrow(len));
    out.put_u32_le(0);
    out.put_slice(&[VERSION, kind, flags, 0]);
    put_header(header, out);
    out.put_u32_le(narrow(count));
    out.put_u64_le(stamp.generation.0);
    out.put_u64_le(stamp.position);
    out.put_u64_le(stamp.durable_upto);
    put_ballot(record.promised, out);
    put_slot(record.decided, out);
    put_slot(expected.slot, out);
    let body = match record.body {
        Body::Mark => 0,
        Body::Accepted(run) | Body::Learned(run) => {
            run::put(expected, run, out);
            run::encoded_len(expected, run)
        }
        Body::Roster { members, .. } => {
            put_members(members, out);
            members.len() * MEMBER_BYTES
        }
    };
    out.put_bytes(0, len - RECORD_BYTES_MIN - body);
}

fn put_members(members: &[(NodeId, Incarnation)], out: &mut impl BufMut) {
    for (node, incarnation) in members {
        out.put_u64_le(node.0);
        out.put_u64_le(incarnation.0);
    }
}

/// A record as it was found in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<'s> {
    /// Who wrote it, about which log.
    pub header: Header,
    /// What the log added.
    pub stamp: Stamp,
    /// What the replica handed out.
    pub record: Record<'s, Bytes>,
    /// The length of the record in bytes, padding included: the next one starts behind it.
    pub len: usize,
}

/// Decodes records, one after the other, without copying: decrees are handles on the memory of the
/// bytes handed in, proposals and members stand in a scratch that the decoder reuses.
///
/// No limit of a configuration applies, since a log may have been written under others; memory is
/// bounded by eight times the length of the record.
#[derive(Debug)]
pub struct Decoder {
    crc: Crc,
    proposals: Vec<Proposal<Bytes>>,
    members: Vec<(NodeId, Incarnation)>,
}

impl Decoder {
    /// A decoder.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_crc(crc32c)
    }

    /// A decoder with a checksum function of the host's.
    #[must_use]
    pub const fn with_crc(crc: Crc) -> Self {
        Self { crc, proposals: Vec::new(), members: Vec::new() }
    }

    /// Decodes the record at the start of `bytes`; more may follow it.
    ///
    /// # Errors
    /// Names the first fault. [`RecordError::Incomplete`] says how many bytes it takes.
    pub fn decode<'s>(&'s mut self, bytes: &Bytes) -> Result<Decoded<'s>, RecordError> {
        self.clear();
        let len = claimed_len(bytes)?.ok_or(RecordError::Incomplete { needed: PREFIX_BYTES })?;
        let Some(record) = bytes.get(..len) else {
            return Err(RecordError::Incomplete { needed: len });
        };
        let computed = checksum::around(self.crc, record, CHECKSUM_AT);
        let record = bytes.slice(..len);
        let mut fields = Fields::of(&record, CHECKSUM_AT)?;
        let claimed = fields.u32()?;
        if claimed != computed {
            return Err(RecordError::Checksum { claimed, computed });
        }
        let [found, kind, flags, reserved] = fields.array()?;
        if found != VERSION {
            return Err(RecordError::Version { found });
        }
        if kind > KIND_ROSTER {
            return Err(RecordError::Kind(kind));
        }
        if flags != 0 && (kind, flags) != (KIND_ROSTER, FLAG_VOTES) {
            return Err(FieldError::Flags(flags).into());
        }
        if reserved != 0 {
            return Err(FieldError::Reserved.into());
        }
        self.read(kind, flags, fields)
    }

    /// Lets go of the record decoded last.
    pub fn clear(&mut self) {
        self.proposals.clear();
        self.members.clear();
    }

    /// The proposals that fit without a new allocation.
    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.proposals.capacity()
    }

    fn read<'s>(
        &'s mut self,
        kind: u8,
        flags: u8,
        mut fields: Fields<'_>,
    ) -> Result<Decoded<'s>, RecordError> {
        let len = fields.len();
        let header = fields.header()?;
        let claimed = fields.u32()?;
        let generation = Boot(fields.u64()?);
        let stamp = Stamp { generation, position: fields.u64()?, durable_upto: fields.u64()? };
        let (promised, decided) = (fields.ballot()?, fields.slot()?);
        let expected = Expected { slot: fields.slot()?, ballot: promised };
        let runs = kind == KIND_ACCEPTED || kind == KIND_LEARNED;
        if expected.slot != Slot::ZERO && (claimed == 0 || !runs) {
            return Err(FieldError::Redundant.into());
        }
        let body = match kind {
            KIND_MARK if claimed == 0 => Body::Mark,
            KIND_MARK => return Err(FieldError::Count(claimed).into()),
            KIND_ACCEPTED => Body::Accepted(self.run(claimed, expected, &mut fields)?),
            KIND_LEARNED => Body::Learned(self.run(claimed, expected, &mut fields)?),
            KIND_ROSTER => {
                let members = self.members(claimed, &mut fields)?;
                Body::Roster { votes: flags == FLAG_VOTES, members }
            }
            unknown => return Err(RecordError::Kind(unknown)),
        };
        let padding = fields.rest();
        if padding.len() >= ALIGNMENT {
            return Err(FieldError::Excess(padding.len()).into());
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FieldError::Reserved.into());
        }
        Ok(Decoded { header, stamp, record: Record { promised, decided, body }, len })
    }

    fn run(
        &mut self,
        claimed: u32,
        expected: Expected,
        fields: &mut Fields<'_>,
    ) -> Result<&[Proposal<Bytes>], FieldError> {
        let count = fields.holds(claimed, PROPOSAL_BYTES_MIN)?;
        run::read(expected, count, fields, &mut self.proposals)?;
        if self.proposals.first().is_some_and(|first| first.slot != expected.slot) {
            return Err(FieldError::First(expected.slot.0));
        }
        Ok(&self.proposals)
    }

    fn members(
        &mut self,
        claimed: u32,
        fields: &mut Fields<'_>,
    ) -> Result<&[(NodeId, Incarnation)], FieldError> {
        let count = fields.holds(claimed, MEMBER_BYTES)?;
        if count > MEMBERS_MAX {
            return Err(FieldError::Count(claimed));
        }
        self.members.reserve(count);
        for _ in 0..count {
            let node = NodeId(fields.u64()?);
            self.members.push((node, Incarnation(fields.u64()?)));
        }
        Ok(&self.members)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

const NO_RUN: &[Proposal<Bytes>] = &[];

/// The record names the slot of its first proposal, which is then as expected.
fn expected(run: &[Proposal<Bytes>], promised: Ballot) -> Expected {
    Expected { slot: run.first().map_or(Slot::ZERO, |first| first.slot), ballot: promised }
}
