//! What segment files hold, read the simple way, from the description of the format alone: the
//! twin of the log's own start, for files that are sound.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::record::{Decoder, claimed_len};

use super::author::Note;

/// The files of a directory.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The size of the header block.
pub(super) const HEADER_BYTES: usize = 4096;

/// Where the checksum of the header stands.
pub(super) const HEADER_CHECKSUM_AT: usize = HEADER_BYTES - 4;

/// The segments of a log, and their records in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) segments: Vec<Segment>,
    pub(super) records: Vec<Found>,
}

/// A segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    /// The position of its first record. Everything below is durable.
    pub(super) start: u64,
    generation: u64,
}

/// A record in its place.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its segment, by place in the image.
    segment: usize,
    offset: usize,
    len: usize,
    pub(super) position: u64,
    durable_upto: u64,
    pub(super) note: Note,
}

impl Image {
    /// Reads sound files.
    pub(super) fn read(files: &Files) -> Self {
        let mut image = Self::default();
        for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".seg")) {
            let (start, generation) = (word(bytes, 80), word(bytes, 96));
            image.segments.push(Segment { name: name.clone(), start, generation });
        }
        for place in 0..image.segments.len() {
            image.read_segment(place, files);
        }
        image
    }

    /// The position behind the last record.
    pub(super) fn end(&self) -> u64 {
        let start = self.segments.last().map_or(0, |last| last.start);
        self.records.last().map_or(start, |last| last.position + last.len as u64).max(start)
    }

    fn read_segment(&mut self, place: usize, files: &Files) {
        let Segment { name, start, generation } = self.segments[place].clone();
        // What the next segment seals ends where that begins.
        let sealed = self.segments.get(place + 1).map(|next| next.start);
        let Some(bytes) = files.get(&name) else { return };
        let mut offset = HEADER_BYTES;
        let mut decoder = Decoder::new();
        while let Some(Ok(Some(len))) = bytes.get(offset..).map(claimed_len) {
            let position = start + (offset - HEADER_BYTES) as u64;
            let Some(record) = bytes.get(offset..offset + len) else { break };
            let record = Bytes::copy_from_slice(record);
            let Ok(decoded) = decoder.decode(&record) else { break };
            let stamp = decoded.stamp;
            let ours = stamp.position == position && stamp.generation.0 == generation;
            if !ours || sealed.is_some_and(|sealed| position >= sealed) {
                break;
            }
            let (durable_upto, note) = (stamp.durable_upto, Note::of(&decoded.record));
            self.records.push(Found { segment: place, offset, len, position, durable_upto, note });
            offset += len;
        }
    }

    /// Everything below is proven durable by what is in its place in `files`, byte by byte.
    pub(super) fn proven(&self, files: &Files, harmed: &Files) -> u64 {
        let intact = |segment: &Segment| is_intact(files, harmed, &segment.name, 0, HEADER_BYTES);
        let starts = self.segments.iter().filter(|segment| intact(segment));
        let start = starts.map(|segment| segment.start).max();
        let records = self.records.iter().filter(|found| {
            let segment = &self.segments[found.segment];
            intact(segment) && is_intact(files, harmed, &segment.name, found.offset, found.len)
        });
        let stamped = records.map(|found| found.durable_upto).max();
        start.max(stamped).unwrap_or(0)
    }

    /// Whether the last segment is still there and no name stands behind it.
    pub(super) fn ends_as_before(&self, files: &Files, harmed: &Files) -> bool {
        let Some(last) = self.segments.last() else { return false };
        let newest = harmed.keys().rfind(|name| name.ends_with(".seg"));
        newest == Some(&last.name) && is_intact(files, harmed, &last.name, 0, HEADER_BYTES)
    }

    /// The file of one of the records, where it starts there and where it ends.
    pub(super) fn place(&self, nth: u8) -> Option<(&str, usize, usize)> {
        let found = self.records.get(usize::from(nth) % self.records.len().max(1))?;
        let name = &self.segments[found.segment].name;
        Some((name, found.offset, found.offset + found.len))
    }

    /// The end of the records, in bytes of the last file.
    pub(super) fn used_bytes(&self, name: &str) -> usize {
        let mine = |found: &&Found| self.segments[found.segment].name == name;
        let last = self.records.iter().rfind(mine);
        last.map_or(HEADER_BYTES, |last| last.offset + last.len)
    }
}

fn is_intact(files: &Files, harmed: &Files, name: &str, offset: usize, len: usize) -> bool {
    let part = |files: &Files| Some(files.get(name)?.get(offset..offset + len)?.to_vec());
    part(files).is_some() && part(files) == part(harmed)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
