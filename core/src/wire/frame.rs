//! Frames: what every message has around its body.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::field::{Fields, HEADER_BYTES, narrow, put_header};
use super::parts::{Parts, Sink};
use super::run::PROPOSAL_BYTES_MAX;
use super::{Payload, WireError, body, service};
use crate::checksum::{self, Crc, crc32c};
use crate::{Header, Limits, Proposal};

/// The letters that every frame carries behind its length.
pub const MAGIC: [u8; 2] = *b"Sy";

/// The version of the format that this library writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// The bytes that [`frame_len`] needs to see, the same in every version of the format.
pub const PREFIX_BYTES: usize = 8;

/// The length of a frame without a body; no frame is shorter.
pub const FRAME_BYTES_MIN: usize = CHECKSUM_AT + size_of::<u32>() + HEADER_BYTES;

/// Where the checksum stands.
const CHECKSUM_AT: usize = PREFIX_BYTES;

/// Where the header starts.
const HEADER_AT: usize = CHECKSUM_AT + size_of::<u32>();

/// The longest frame that replicas with these limits send to each other: the fixed parts, and
/// `run_slots_max` proposals that hold the larger of `run_bytes_max` and `decree_bytes_max`.
#[must_use]
pub const fn frame_bytes_max(limits: &Limits) -> usize {
    let single = limits.decree_bytes_max > limits.run_bytes_max;
    let decrees = if single { limits.decree_bytes_max } else { limits.run_bytes_max };
    let proposals = limits.run_slots_max.saturating_mul(PROPOSAL_BYTES_MAX);
    let fixed = FRAME_BYTES_MIN + body::FIXED_BYTES_MAX;
    fixed.saturating_add(proposals).saturating_add(decrees)
}

/// The length of the frame that starts with `prefix`, its prefix included, or `None` while fewer
/// than [`PREFIX_BYTES`] bytes are there.
///
/// Call it before memory is set aside for the frame. `bytes_max` is [`frame_bytes_max`] of the
/// limits, computed once.
///
/// # Errors
/// When no frame of this version and of a length within `bytes_max` starts so. The stream is of
/// no further use.
pub fn frame_len(prefix: &[u8], bytes_max: usize) -> Result<Option<usize>, WireError> {
    let Some((length, rest)) = prefix.split_first_chunk() else { return Ok(None) };
    let claimed = u32::from_le_bytes(*length);
    // Lossless: no target of this library has addresses of less than 32 bits.
    let len = claimed as usize;
    if len < FRAME_BYTES_MIN {
        return Err(WireError::Undersize { claimed });
    }
    if len > bytes_max {
        return Err(WireError::Oversize { claimed, max: bytes_max });
    }
    let Some(&[a, b, found, _kind]) = rest.first_chunk() else { return Ok(None) };
    if [a, b] != MAGIC {
        return Err(WireError::Magic { found: [a, b] });
    }
    if found != VERSION {
        return Err(WireError::Version { found });
    }
    Ok(Some(len))
}

/// The length of the frame that [`encode`] makes of `payload`.
#[must_use]
pub fn encoded_len(payload: &Payload<'_>) -> usize {
    let body = match payload {
        Payload::Replica(message) => body::encoded_len(message),
        Payload::Service(message) => service::encoded_len(message),
    };
    FRAME_BYTES_MIN + body
}

/// Appends one frame to `out`, which grows once, by [`encoded_len`]. Decrees are copied once.
///
/// Pre-condition: `payload` is within the limits of a configuration that passes its check.
pub fn encode(header: &Header, payload: &Payload<'_>, out: &mut BytesMut) {
    encode_with(crc32c, header, payload, out);
}

/// [`encode`] with a checksum function of the host's.
pub fn encode_with(crc: Crc, header: &Header, payload: &Payload<'_>, out: &mut BytesMut) {
    let start = out.len();
    let len = encoded_len(payload);
    out.reserve(len);
    put(header, payload, len, out);
    debug_assert_eq!(out.len() - start, len, "the length announced is the length written");
    seal(crc, out.get_mut(start..).unwrap_or_default(), CHECKSUM_AT);
}

/// Encodes one frame at the start of memory that the host already has (a registered buffer, a ring
/// in a peer's memory) and returns its length; `None`, and nothing written, when it does not fit.
pub fn encode_into(header: &Header, payload: &Payload<'_>, out: &mut [u8]) -> Option<usize> {
    encode_into_with(crc32c, header, payload, out)
}

/// [`encode_into`] with a checksum function of the host's.
pub fn encode_into_with(
    crc: Crc,
    header: &Header,
    payload: &Payload<'_>,
    out: &mut [u8],
) -> Option<usize> {
    let len = encoded_len(payload);
    let frame = out.get_mut(..len)?;
    let mut rest = &mut *frame;
    put(header, payload, len, &mut rest);
    debug_assert!(rest.is_empty(), "the length announced is the length written");
    seal(crc, frame, CHECKSUM_AT);
    Some(len)
}

impl Parts {
    /// Encodes a frame, the same that [`encode_with`] makes, in place of the one before.
    ///
    /// Pre-condition: `payload` is within the limits of a configuration that passes its check.
    pub fn encode_with(&mut self, crc: Crc, header: &Header, payload: &Payload<'_>) {
        let len = encoded_len(payload);
        self.begin(len);
        put(header, payload, len, self);
        debug_assert_eq!(self.len(), len, "the length announced is the length written");
        self.seal(crc, CHECKSUM_AT);
    }
}

/// Puts a frame of `len` bytes, its checksum left open.
fn put(header: &Header, payload: &Payload<'_>, len: usize, out: &mut impl Sink) {
    let own = out.own();
    own.put_u32_le(narrow(len));
    own.put_slice(&MAGIC);
    own.put_u8(VERSION);
    own.put_u8(match payload {
        Payload::Replica(message) => body::kind(message),
        Payload::Service(message) => service::kind(message),
    });
    own.put_u32_le(0);
    put_header(header, own);
    match payload {
        Payload::Replica(message) => body::put(message, out),
        Payload::Service(message) => service::put(message, own),
    }
}

/// Writes the checksum of `bytes` into its place at `at`.
pub(crate) fn seal(crc: Crc, bytes: &mut [u8], at: usize) {
    let sum = checksum::around(crc, bytes, at);
    let place = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut());
    debug_assert!(place.is_some(), "the place of the checksum was written");
    if let Some(place) = place {
        *place = sum.to_le_bytes();
    }
}

/// Decodes frames, one after the other, without copying or allocating: decrees are handles on the
/// memory of the frame, and the proposals of a run stand in a scratch that the decoder reuses.
///
/// The scratch keeps the frame decoded last in memory, until the next one or [`Decoder::clear`].
#[derive(Debug)]
pub struct Decoder {
    crc: Crc,
    bytes_max: usize,
    slots_max: usize,
    scratch: Vec<Proposal<Bytes>>,
}

impl Decoder {
    /// A decoder that takes what replicas with these limits send to each other. Its memory,
    /// `run_slots_max` proposals of some 64 bytes, is set aside here.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self::with_crc(crc32c, limits)
    }

    /// A decoder with a checksum function of the host's.
    #[must_use]
    pub fn with_crc(crc: Crc, limits: &Limits) -> Self {
        let slots_max = limits.run_slots_max;
        let bytes_max = frame_bytes_max(limits);
        Self { crc, bytes_max, slots_max, scratch: Vec::with_capacity(slots_max) }
    }

    /// Decodes `frame`, which is exactly one frame, as [`frame_len`] cuts it.
    ///
    /// # Errors
    /// Names the first fault. Nothing of the frame was taken.
    pub fn decode<'s>(&'s mut self, frame: &Bytes) -> Result<(Header, Payload<'s>), WireError> {
        self.scratch.clear();
        let len = frame_len(frame, self.bytes_max)?;
        if len != Some(frame.len()) {
            let claimed = frame.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            return Err(WireError::Length { claimed, present: frame.len() });
        }
        let mut fields = Fields::of(frame, PREFIX_BYTES - 1)?;
        let (kind, claimed) = (fields.u8()?, fields.u32()?);
        let computed = checksum::around(self.crc, frame, CHECKSUM_AT);
        if claimed != computed {
            return Err(WireError::Checksum { claimed, computed });
        }
        let header = fields.header()?;
        let payload = if service::KINDS.contains(&kind) {
            Payload::Service(service::read(kind, fields)?)
        } else {
            Payload::Replica(body::read(kind, fields, self.slots_max, &mut self.scratch)?)
        };
        Ok((header, payload))
    }

    /// Lets go of the frame decoded last.
    pub fn clear(&mut self) {
        self.scratch.clear();
    }

    /// The proposals that fit without a new allocation.
    #[cfg(test)]
    pub(super) const fn capacity(&self) -> usize {
        self.scratch.capacity()
    }
}

const _: () = assert!(HEADER_AT + HEADER_BYTES == FRAME_BYTES_MIN);
const _: () = assert!(FRAME_BYTES_MIN == 72, "the offsets in the documentation of the module");
