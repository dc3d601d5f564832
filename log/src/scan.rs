//! Walks through the records of one segment.

use std::io;

use bytes::{Bytes, BytesMut};
use synod_core::Slot;
use synod_core::record::{ALIGNMENT, Decoded, Decoder, MAGIC, PREFIX_BYTES};
use synod_core::record::{RECORD_BYTES_MIN, RecordError};

use crate::DeviceFile;
use crate::device::read_full;
use crate::index::Range;
use crate::segment::SegmentHeader;

/// Reads a segment in chunks and hands out its records.
pub(crate) struct Scan<'a, F> {
    file: &'a F,
    header: &'a SegmentHeader,
    /// Nothing is read at or behind this position.
    limit: u64,
    /// Where the next record is looked for.
    position: u64,
    /// What is in memory: the bytes from `loaded` on.
    chunk: Bytes,
    loaded: u64,
    decoder: Decoder,
}

/// What is at a position.
#[derive(Debug)]
pub(crate) enum Found<'s> {
    /// A record of this log, in its place.
    Record(Decoded<'s>),
    /// No record of this log: damage, or the torn end.
    Nothing,
    /// A sound record that this program cannot read.
    Sealed(RecordError),
    /// The position is the limit.
    End,
}

/// What the bytes behind a bad record tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Evidence {
    /// The highest `durable_upto` of any legible record (R11).
    pub(crate) durable_upto: u64,
    /// The lowest slot of the first legible record that has any.
    pub(crate) legible_again: Option<Slot>,
    /// The end of the bytes that are not zero.
    pub(crate) used_end: u64,
}

/// How much is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

impl<'a, F: DeviceFile> Scan<'a, F> {
    /// Starts at the first record; ends at `limit`.
    pub(crate) fn new(file: &'a F, header: &'a SegmentHeader, limit: u64) -> Self {
        let decoder = Decoder::with_crc(crc32c::crc32c_append);
        let (position, loaded) = (header.start, header.start);
        Self { file, header, limit, position, chunk: Bytes::new(), loaded, decoder }
    }

    /// The header of the segment.
    pub(crate) const fn header(&self) -> &'a SegmentHeader {
        self.header
    }

    /// Where the next record is looked for: the end of those found.
    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// The record at the position, which then moves behind it. It stays where no record is.
    pub(crate) fn next(&mut self) -> io::Result<Found<'_>> {
        if self.position >= self.limit {
            return Ok(Found::End);
        }
        let at = self.position;
        let Some(len) = self.load_record(at)? else { return Ok(Found::Nothing) };
        let bytes = self.loaded_at(at).slice(..len);
        let header = self.header;
        match self.decoder.decode(&bytes) {
            Ok(found) if found.stamp.generation != header.generation => Ok(Found::Nothing),
            Ok(found) if !is_ours(header, &found, at) => Ok(Found::Nothing),
            Ok(found) => {
                self.position += found.len as u64;
                Ok(Found::Record(found))
            }
            Err(error) if error.is_sealed() => Ok(Found::Sealed(error)),
            Err(_) => Ok(Found::Nothing),
        }
    }

    /// Looks for records of this log anywhere behind the bad one at `bad` (R11), also for those of
    /// earlier generations.
    pub(crate) fn evidence(&mut self, bad: u64) -> io::Result<Evidence> {
        let mut evidence = Evidence { used_end: bad, ..Evidence::default() };
        let (mut at, mut counted) = (bad, bad);
        while at < self.limit {
            self.load(at, PREFIX_BYTES as u64)?;
            if counted <= at {
                counted = self.loaded + self.chunk.len() as u64;
                let used = used_len(&self.loaded_at(at)) as u64;
                evidence.used_end = evidence.used_end.max(at + used);
            }
            let Some(skip) = next_magic(&self.loaded_at(at)) else {
                at = self.loaded + self.chunk.len() as u64;
                continue;
            };
            at += skip as u64;
            // The bad record itself is not legible, so it is passed over like any other bytes.
            at += self.look(at, &mut evidence)?.unwrap_or(ALIGNMENT as u64);
        }
        Ok(evidence)
    }

    /// Takes the record at `at` as evidence, if one is there, and returns its length.
    fn look(&mut self, at: u64, evidence: &mut Evidence) -> io::Result<Option<u64>> {
        self.load(at, RECORD_BYTES_MIN as u64)?;
        if !self.names_its_place(at) {
            return Ok(None);
        }
        let Some(len) = self.load_record(at)? else { return Ok(None) };
        let bytes = self.loaded_at(at).slice(..len);
        let Ok(found) = self.decoder.decode(&bytes) else { return Ok(None) };
        if found.stamp.generation > self.header.generation || !is_ours(self.header, &found, at) {
            return Ok(None);
        }
        evidence.durable_upto = evidence.durable_upto.max(found.stamp.durable_upto);
        let slots = Range::of(&found.record.body);
        if evidence.legible_again.is_none() && slots.from < slots.end {
            evidence.legible_again = Some(slots.from);
        }
        Ok(Some(len as u64))
    }

    /// Loads what may be a record at `at`, and returns the length that it claims, if it fits.
    fn load_record(&mut self, at: u64) -> io::Result<Option<usize>> {
        self.load(at, PREFIX_BYTES as u64)?;
        let Ok(Some(len)) = synod_core::record::claimed_len(&self.loaded_at(at)) else {
            return Ok(None);
        };
        // A length beyond what this log writes is not believed, and costs no memory.
        let most = self.header.record_bytes_max.min(self.limit - at);
        if len as u64 > most {
            return Ok(None);
        }
        self.load(at, len as u64)?;
        Ok((self.loaded_at(at).len() >= len).then_some(len))
    }

    /// Whether the bytes at `at` say that they are a record that stands there, in this life of the
    /// disk. Looked at before any checksum is computed: a client could fill its decrees with what
    /// looks like the starts of long records, and keep a start busy for hours. It cannot guess the
    /// incarnation.
    fn names_its_place(&self, at: u64) -> bool {
        let bytes = self.loaded_at(at);
        let word = |from: usize| bytes.get(from..from + 8);
        word(INCARNATION_AT) == Some(&self.header.incarnation.0.to_le_bytes())
            && word(POSITION_AT) == Some(&at.to_le_bytes())
    }

    /// Makes sure that `bytes` bytes at `at` are in memory, as far as the segment has them.
    fn load(&mut self, at: u64, bytes: u64) -> io::Result<()> {
        let wanted = bytes.min(self.limit - at);
        if at >= self.loaded && at + wanted <= self.loaded + self.chunk.len() as u64 {
            return Ok(());
        }
        let size = wanted.max(CHUNK_BYTES).min(self.limit - at);
        // Fits: a chunk, or a record that fits the memory of the host that wrote it.
        let mut chunk = BytesMut::zeroed(size as usize);
        let read = read_full(self.file, &mut chunk, self.header.offset(at))?;
        // Behind the end of the file nothing was ever written: zeros, as `chunk` has them.
        debug_assert!(read <= chunk.len());
        self.chunk = chunk.freeze();
        self.loaded = at;
        Ok(())
    }

    /// The bytes in memory from `at` on.
    fn loaded_at(&self, at: u64) -> Bytes {
        self.chunk.slice((at - self.loaded) as usize..)
    }
}

/// Whether a sound record belongs to this log and stands where it says.
fn is_ours(header: &SegmentHeader, found: &Decoded<'_>, position: u64) -> bool {
    let identity = &header.identity;
    found.header.cluster == identity.cluster
        && found.header.group == identity.group
        && found.header.node == identity.node
        && found.header.incarnation == header.incarnation
        && found.stamp.position == position
        && found.stamp.durable_upto <= position
}

/// The next place, aligned, where a record may start.
fn next_magic(bytes: &[u8]) -> Option<usize> {
    let mut blocks = bytes.chunks(ZEROS.len()).enumerate();
    blocks.find_map(|(block, bytes)| {
        // Most of a segment is zeros that were never written.
        if bytes == &ZEROS[..bytes.len()] {
            return None;
        }
        let place = bytes.chunks(ALIGNMENT).position(|word| word.starts_with(&MAGIC))?;
        Some(block * ZEROS.len() + place * ALIGNMENT)
    })
}

/// The length of `bytes` without the zeros at the end.
fn used_len(bytes: &[u8]) -> usize {
    let is_used = |(_, block): &(usize, &[u8])| *block != &ZEROS[..block.len()];
    let last = bytes.chunks(ZEROS.len()).enumerate().rfind(is_used);
    let Some((place, block)) = last else { return 0 };
    let used = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    place * ZEROS.len() + used
}

const ZEROS: [u8; 4096] = [0; 4096];

/// Where a record names the life of the disk and its position, in version 1 of the format.
const INCARNATION_AT: usize = 60;
const POSITION_AT: usize = 88;

#[cfg(test)]
mod tests {
    use synod_core::record::{Stamp, encode};
    use synod_core::{Ballot, Body, Header, Incarnation, Record};

    use super::*;

    #[test]
    fn a_record_names_its_place_where_we_look_for_it() {
        let header = Header { incarnation: Incarnation(0x0102_0304), ..Header::default() };
        let stamp = Stamp { position: 0x0506_0708, ..Stamp::default() };
        let record = Record { promised: Ballot::ZERO, decided: Slot::ZERO, body: Body::Mark };
        let mut bytes = BytesMut::new();
        encode(&header, &stamp, &record, &mut bytes);
        assert_eq!(bytes[INCARNATION_AT..][..8], 0x0102_0304_u64.to_le_bytes());
        assert_eq!(bytes[POSITION_AT..][..8], 0x0506_0708_u64.to_le_bytes());
    }

    #[test]
    fn magic_is_found_behind_blocks_of_zeros() {
        let mut bytes = vec![0; 20_000];
        assert_eq!(next_magic(&bytes), None);
        assert_eq!(used_len(&bytes), 0);
        bytes[12_004..12_008].copy_from_slice(&MAGIC);
        assert_eq!(next_magic(&bytes), None, "not aligned");
        bytes[16_000..16_004].copy_from_slice(&MAGIC);
        assert_eq!(next_magic(&bytes), Some(16_000));
        assert_eq!(next_magic(&bytes[16_000..]), Some(0));
        assert_eq!(used_len(&bytes), 16_004);
    }
}
