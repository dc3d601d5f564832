//! The format of decrees and forwards: requests in bulk.
//!
//! All numbers are little endian. A decree of the application:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 1 | version of the format: 1 |
//! | 1 | 1 | flags: 1 this decree opens its leadership; the others are reserved, 0 |
//! | 2 | 2 | number of segments |
//! | 4 | 4 | reserved, 0 |
//! | 8 | 16 | ballot in which it was proposed first: round, node |
//! | 24 | 8 | slot of the decree before it in that ballot; 0 when it opens |
//! | 32 | | segments |
//!
//! A segment, the requests of one origin:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 24 | origin: node, incarnation, boot |
//! | 24 | 8 | base: requests are numbered from here |
//! | 32 | 4 | number of requests, at least 1 |
//! | 36 | 4 | bytes of the requests |
//! | 40 | | requests |
//!
//! A request:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 4 | its number minus the base; grows from request to request |
//! | 4 | 4 | length of the body |
//! | 8 | length | the body |
//!
//! A run, which a forward carries; the leader copies its requests into a segment as they are:
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 1 | version of the format: 1 |
//! | 1 | 1 | flags: 1 the request is alone and must not share a decree; the others reserved, 0 |
//! | 2 | 2 | reserved, 0 |
//! | 4 | 4 | number of requests, at least 1 |
//! | 8 | 8 | base |
//! | 16 | | requests |
//!
//! Everything is checked before anything is used: a decree that is wrong in its last byte has no
//! effect at all, on no replica.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::origin::Origin;
use crate::wire::FieldError;
use crate::wire::field::{Fields, narrow, put_ballot, put_slot};
use crate::{Ballot, Boot, Incarnation, NodeId, Slot};

const VERSION: u8 = 1;
/// The size of a decree without segments.
pub(super) const DECREE_HEAD_BYTES: usize = 32;
/// The size of a segment without requests.
pub(super) const SEGMENT_HEAD_BYTES: usize = 40;
/// The size of a run without requests.
pub(super) const RUN_HEAD_BYTES: usize = 16;
/// The size of a request without a body.
pub(super) const REQUEST_HEAD_BYTES: usize = 8;
/// Requests are numbered below this, so that arithmetic on numbers cannot overflow.
const NUMBER_LIMIT: u64 = 1 << 62;

/// What is wrong with a decree or a run: whoever made it has a fault or follows another format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Malformed {
    Version(u8),
    Field(FieldError),
    /// The number of a request is not above the one before it, or beyond all bounds.
    Number(u64),
    /// A segment or a run without requests.
    Empty,
    /// A run that wants a decree of its own and has more than one request.
    NotAlone,
}

impl From<FieldError> for Malformed {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "version {version} is not known here"),
            Self::Field(error) => error.fmt(f),
            Self::Number(number) => write!(f, "request {number} is out of order or range"),
            Self::Empty => f.write_str("requests are announced and none follows"),
            Self::NotAlone => f.write_str("an exclusive request has company"),
        }
    }
}

/// What a decree says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The ballot in which it was proposed first. Later leaders propose it again as it is.
    pub(super) ballot: Ballot,
    /// The slot of the decree before it in that ballot; `None` when it is the first.
    pub(super) previous: Option<Slot>,
}

/// A decree that was found sound, read request by request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    bytes: Bytes,
    at: usize,
    /// Of the segment at hand.
    base: u64,
    /// Its requests, as long as they were not handed out.
    left: u32,
}

impl Batch {
    /// Checks all of `bytes`.
    pub(super) fn open(bytes: Bytes) -> Result<(Head, Self), Malformed> {
        let (head, mut rest) = bytes.split_first_chunk().ok_or(FieldError::Short)?;
        let (head, segments) = read_head(head)?;
        for _ in 0..segments {
            let (segment, behind) = rest.split_first_chunk().ok_or(FieldError::Short)?;
            let Segment { origin: _, base, count, len } = read_segment_head(segment);
            let (requests, behind) = behind.split_at_checked(len).ok_or(FieldError::Short)?;
            check_requests(requests, base, count)?;
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(FieldError::Excess(rest.len()).into());
        }
        Ok((head, Self { bytes, at: DECREE_HEAD_BYTES, base: 0, left: 0 }))
    }

    /// Goes on to the next segment, and tells whose requests it holds; `None` at the end. What was
    /// checked in `open` cannot fail here.
    pub(super) fn next_segment(&mut self) -> Option<Origin> {
        let head = self.bytes.get(self.at..)?.first_chunk()?;
        let origin;
        Segment { origin, base: self.base, count: self.left, len: _ } = read_segment_head(head);
        self.at += SEGMENT_HEAD_BYTES;
        Some(origin)
    }

    /// Hands out all requests of the segment.
    // What is done for each request belongs into this loop.
    #[inline(always)]
    pub(super) fn drain_segment(&mut self, mut take: impl FnMut(u64, &[u8])) {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        for _ in 0..self.left {
            let Some((offset, len, behind)) = read_request_head(rest) else { break };
            let Some((body, next)) = behind.split_at_checked(len) else { break };
            take(self.base + u64::from(offset), body);
            rest = next;
        }
        (self.at, self.left) = (self.bytes.len() - rest.len(), 0);
    }
}

/// The requests of a forward, found sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) exclusive: bool,
    pub(super) count: u32,
    pub(super) base: u64,
    /// The number of the last request.
    pub(super) last: u64,
    /// The requests, as a segment holds them.
    pub(super) requests: Bytes,
}

impl Run {
    /// Checks all of `bytes`.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields::of(bytes, 0)?;
        read_version(&mut fields)?;
        let exclusive = fields.flag()?;
        if fields.u16()? != 0 {
            return Err(FieldError::Reserved.into());
        }
        let (count, base) = (fields.u32()?, fields.u64()?);
        let last = check_requests(fields.rest(), base, count)?;
        if exclusive && count != 1 {
            return Err(Malformed::NotAlone);
        }
        Ok(Self { exclusive, count, base, last, requests: bytes.slice(RUN_HEAD_BYTES..) })
    }

    /// Drops the requests up to and including number `taken`. `None` when none is left.
    pub(super) fn behind(mut self, taken: u64) -> Option<Self> {
        if self.last <= taken {
            return None;
        }
        let mut at = 0;
        loop {
            let (offset, len, _) = read_request_head(self.requests.get(at..)?)?;
            if self.base + u64::from(offset) > taken {
                self.requests = self.requests.slice(at..);
                return Some(self);
            }
            self.count -= 1;
            at += REQUEST_HEAD_BYTES + len;
        }
    }
}

/// Appends decrees and runs to a buffer, part by part.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut BytesMut,
    /// Where the part begins whose counts are still to be filled in.
    part_at: usize,
    segments: u16,
    base: u64,
}

impl<'a> Writer<'a> {
    /// A decree; `out` is empty.
    pub(super) fn decree(out: &'a mut BytesMut, head: Head) -> Self {
        out.put_u8(VERSION);
        out.put_u8(u8::from(head.previous.is_none()));
        out.put_u16_le(0);
        out.put_u32_le(0);
        put_ballot(head.ballot, out);
        put_slot(head.previous.unwrap_or_default(), out);
        Self { out, part_at: 0, segments: 0, base: 0 }
    }

    /// A run; `out` is empty.
    pub(super) fn run(out: &'a mut BytesMut, exclusive: bool, base: u64) -> Self {
        out.put_u8(VERSION);
        out.put_u8(u8::from(exclusive));
        out.put_u16_le(0);
        out.put_u32_le(0);
        out.put_u64_le(base);
        Self { out, part_at: 0, segments: 0, base }
    }

    /// Begins a segment; [`Writer::request`] adds to it until [`Writer::end_segment`].
    pub(super) fn segment(&mut self, origin: Origin, base: u64) {
        (self.part_at, self.base) = (self.out.len(), base);
        self.segments += 1;
        self.out.put_u64_le(origin.node.0);
        self.out.put_u64_le(origin.incarnation.0);
        self.out.put_u64_le(origin.boot.0);
        self.out.put_u64_le(base);
        self.out.put_u32_le(0);
        self.out.put_u32_le(0);
    }

    #[inline(always)]
    pub(super) fn request(&mut self, number: u64, body: &[u8]) {
        let offset = narrow((number - self.base) as usize);
        self.out.put_u64_le(u64::from(offset) | u64::from(narrow(body.len())) << 32);
        self.out.put_slice(body);
    }

    /// Ends the segment, which holds `count` requests.
    pub(super) fn end_segment(&mut self, count: usize) {
        let len = self.out.len() - self.part_at - SEGMENT_HEAD_BYTES;
        let counts = self.part_at + 32;
        self.out[counts..counts + 4].copy_from_slice(&narrow(count).to_le_bytes());
        self.out[counts + 4..counts + 8].copy_from_slice(&narrow(len).to_le_bytes());
    }

    /// A whole segment out of a run.
    pub(super) fn copy_of(&mut self, origin: Origin, run: &Run) {
        self.segment(origin, run.base);
        self.out.put_slice(&run.requests);
        self.end_segment(run.count as usize);
    }

    pub(super) fn end_decree(self) {
        self.out[2..4].copy_from_slice(&self.segments.to_le_bytes());
    }

    /// Ends the run, which holds `count` requests.
    pub(super) fn end_run(self, count: usize) {
        self.out[4..8].copy_from_slice(&narrow(count).to_le_bytes());
    }
}

fn read_version(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    match fields.u8()? {
        VERSION => Ok(()),
        version => Err(Malformed::Version(version)),
    }
}

fn read_head(head: &[u8; DECREE_HEAD_BYTES]) -> Result<(Head, u16), Malformed> {
    let [version, flags, low, high, ..] = head;
    if *version != VERSION {
        return Err(Malformed::Version(*version));
    }
    if *flags > 1 {
        return Err(FieldError::Flags(*flags).into());
    }
    if word(head, 0) >> 32 != 0 {
        return Err(FieldError::Reserved.into());
    }
    let ballot = Ballot { round: word(head, 8), node: NodeId(word(head, 16)) };
    if ballot.round >= Ballot::ROUND_LIMIT {
        return Err(FieldError::Round(ballot.round).into());
    }
    let (opens, previous) = (*flags == 1, Slot(word(head, 24)));
    if previous >= Slot::LIMIT {
        return Err(FieldError::Slot(previous.0).into());
    }
    if opens && previous != Slot::ZERO {
        return Err(FieldError::Redundant.into());
    }
    let head = Head { ballot, previous: (!opens).then_some(previous) };
    Ok((head, u16::from_le_bytes([*low, *high])))
}

/// The head of a segment.
struct Segment {
    origin: Origin,
    base: u64,
    count: u32,
    len: usize,
}

#[inline(always)]
fn read_segment_head(head: &[u8; SEGMENT_HEAD_BYTES]) -> Segment {
    let origin = Origin {
        node: NodeId(word(head, 0)),
        incarnation: Incarnation(word(head, 8)),
        boot: Boot(word(head, 16)),
    };
    let (base, counts) = (word(head, 24), word(head, 32));
    Segment { origin, base, count: counts as u32, len: (counts >> 32) as usize }
}

/// Eight bytes of a head; `at` is within it.
#[inline(always)]
fn word<const N: usize>(head: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&head[at..at + 8]);
    u64::from_le_bytes(word)
}

/// The number of a request minus the base, the length of its body, and what follows.
fn read_request_head(bytes: &[u8]) -> Option<(u32, usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<REQUEST_HEAD_BYTES>()?;
    let head = u64::from_le_bytes(*head);
    Some((head as u32, (head >> 32) as usize, rest))
}

/// Checks that `bytes` are exactly `count` requests, and returns the number of the last one.
fn check_requests(bytes: &[u8], base: u64, count: u32) -> Result<u64, Malformed> {
    if count == 0 {
        return Err(Malformed::Empty);
    }
    if base == 0 || base >= NUMBER_LIMIT {
        return Err(Malformed::Number(base));
    }
    if count as usize > bytes.len() / REQUEST_HEAD_BYTES {
        return Err(FieldError::Count(count).into());
    }
    let (mut rest, mut least) = (bytes, 0);
    for _ in 0..count {
        let (offset, len, behind) = read_request_head(rest).ok_or(FieldError::Short)?;
        let offset = u64::from(offset);
        if offset < least {
            return Err(Malformed::Number(base + offset));
        }
        least = offset + 1;
        rest = behind.get(len..).ok_or(FieldError::Short)?;
    }
    if !rest.is_empty() {
        return Err(FieldError::Excess(rest.len()).into());
    }
    Ok(base + least - 1)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
