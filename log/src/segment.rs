//! The format of segment files: their names, their headers, and what their order means.
//!
//! The records in them are those of [`synod_core::record`].
//!
//! A log is an endless stream of bytes; the **position** of a record is where it starts in that
//! stream. The stream is cut into segments, files of a fixed size named `00000000.seg`,
//! `00000001.seg` and so on. A segment is a header block of 4096 bytes and then records, one right
//! behind the other; a record never spans two segments. The byte at position `p` of a segment that
//! starts at position `s` is at offset `4096 + p - s` of its file. Space behind the last record is
//! zeros, and belongs to no position: the next segment starts at the position where this one ends.
//!
//! A segment is made as `00000007.new`: zeros of its full size, then its header, then a sync. Only
//! then it is renamed to `00000007.seg`, and the directory is synced. So a file `.seg` always has
//! a sound header and its full length, whenever a crash comes, and anything else is damage. A
//! file `.new` is a leftover of a crash and is removed.
//!
//! # Sealing
//!
//! **The header of a segment seals the segment before it**: all records below `start` are durable,
//! and nothing behind them counts. Whoever makes a segment first syncs the one before. Two things
//! follow. Only the last segment can have a torn tail. And one atomic rename does at once all that
//! a recovery has to do: it cuts the torn tail off, and it starts the next generation.
//!
//! # Header
//!
//! All numbers are little endian.
//!
//! | offset | size | field |
//! |-------:|-----:|-------|
//! | 0 | 8 | magic: the letters `SynodSeg` |
//! | 8 | 4 | version of the format: 1 |
//! | 12 | 4 | size of this header: 4096 |
//! | 16 | 8 | cluster |
//! | 24 | 8 | group |
//! | 32 | 8 | node |
//! | 40 | 8 | incarnation |
//! | 48 | 4 | epoch: number |
//! | 52 | 4 | reserved, 0 |
//! | 56 | 8 | epoch: first slot |
//! | 64 | 8 | epoch: digest |
//! | 72 | 8 | number of the segment, as in its name |
//! | 80 | 8 | start: the position of its first record |
//! | 88 | 8 | length of the file in bytes, until it is sealed |
//! | 96 | 8 | generation: that of all records in it |
//! | 104 | 8 | the oldest segment that the log still needs |
//! | 112 | 8 | retained: the first slot that the log can still read back |
//! | 120 | 8 | the largest record in it, in bytes, as far as configured |
//! | 128 | 3964 | reserved, 0 |
//! | 4092 | 4 | CRC-32C of the 4092 bytes before |

use synod_core::{Boot, ClusterId, Epoch, GroupId, Incarnation, NodeId, Slot};

use crate::{Identity, OpenError};

/// The size of the header block.
pub(crate) const HEADER_BYTES: u64 = 4096;

/// The newest version of the format, and the one written.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SynodSeg";
const CHECKSUM_AT: usize = HEADER_BYTES as usize - 4;
const FIELDS_END: usize = 128;

/// The header of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: Identity,
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
    pub(crate) start: u64,
    pub(crate) file_bytes: u64,
    pub(crate) generation: Boot,
    pub(crate) oldest: u64,
    pub(crate) retained: Slot,
    pub(crate) record_bytes_max: u64,
}

/// Why a block is no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    /// Not written by this program.
    Magic,
    /// Written by a newer program.
    Version(u32),
    /// The checksum does not fit, or a field makes no sense.
    Damaged,
}

impl SegmentHeader {
    /// The end of the positions that the segment has room for.
    pub(crate) const fn limit(&self) -> u64 {
        self.start + (self.file_bytes - HEADER_BYTES)
    }

    /// Where in the file `position` is.
    pub(crate) const fn offset(&self, position: u64) -> u64 {
        HEADER_BYTES + (position - self.start)
    }

    /// The header block.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_BYTES as usize);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
        let identity = &self.identity;
        for word in [identity.cluster.0, identity.group.0, identity.node.0, self.incarnation.0] {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(&u64::from(identity.epoch.number).to_le_bytes());
        let epoch = [identity.epoch.first.0, identity.epoch.digest];
        let place = [self.number, self.start, self.file_bytes, self.generation.0];
        let kept = [self.oldest, self.retained.0, self.record_bytes_max];
        for word in epoch.into_iter().chain(place).chain(kept) {
            block.extend_from_slice(&word.to_le_bytes());
        }
        debug_assert_eq!(block.len(), FIELDS_END, "the fields are as documented");
        block.resize(CHECKSUM_AT, 0);
        let checksum = crc32c::crc32c(&block);
        block.extend_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads a header block.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, HeaderError> {
        if block.len() != HEADER_BYTES as usize {
            let is_ours = block.starts_with(&MAGIC);
            return Err(if is_ours { HeaderError::Damaged } else { HeaderError::Magic });
        }
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&block[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let half = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&block[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        // As if the magic were right: a header with a damaged magic is still known as one.
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&MAGIC), &block[8..CHECKSUM_AT]);
        match (block.starts_with(&MAGIC), checksum == half(CHECKSUM_AT)) {
            (true, true) => {}
            (true, false) | (false, true) => return Err(HeaderError::Damaged),
            (false, false) => return Err(HeaderError::Magic),
        }
        // Every version keeps the magic, the checksum and the size of the block.
        if half(8) != VERSION {
            return Err(HeaderError::Version(half(8)));
        }
        let epoch = Epoch { number: half(48), first: Slot(word(56)), digest: word(64) };
        let (cluster, group) = (ClusterId(word(16)), GroupId(word(24)));
        let header = Self {
            identity: Identity { cluster, group, epoch, node: NodeId(word(32)) },
            incarnation: Incarnation(word(40)),
            number: word(72),
            start: word(80),
            file_bytes: word(88),
            generation: Boot(word(96)),
            oldest: word(104),
            retained: Slot(word(112)),
            record_bytes_max: word(120),
        };
        if header.is_sane() { Ok(header) } else { Err(HeaderError::Damaged) }
    }

    /// Whether arithmetic on the fields is safe.
    const fn is_sane(&self) -> bool {
        self.file_bytes >= HEADER_BYTES
            && self.file_bytes < 1 << 62
            && self.start < 1 << 62
            && self.start.is_multiple_of(8)
            && self.generation.0 >= 1
            && self.generation.0 < 1 << 62
            && self.number < 1 << 62
            && self.oldest <= self.number
            && self.record_bytes_max < 1 << 32
    }

    /// Whether the log is the one that `wanted` names.
    pub(crate) fn check_identity(&self, file: &str, wanted: &Identity) -> Result<(), OpenError> {
        let (found, file) = (&self.identity, file.to_owned());
        if found.cluster != wanted.cluster {
            let (found, wanted) = (found.cluster, wanted.cluster);
            return Err(OpenError::OtherCluster { file, found, wanted });
        }
        if found.group != wanted.group {
            let (found, wanted) = (found.group, wanted.group);
            return Err(OpenError::OtherGroup { file, found, wanted });
        }
        if found.node != wanted.node {
            let (found, wanted) = (found.node, wanted.node);
            return Err(OpenError::OtherNode { file, found, wanted });
        }
        Ok(())
    }
}

/// The name of segment `number`.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}.seg")
}

/// The name of segment `number` while it is being made.
pub(crate) fn new_name(number: u64) -> String {
    format!("{number:08}.new")
}

/// What a file in the directory of a log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    /// A segment.
    Segment(u64),
    /// A segment that was being made.
    New,
    /// None of ours: it is let be.
    Foreign,
}

/// Tells a file by its name.
pub(crate) fn kind_of(name: &str) -> FileKind {
    let (stem, is_new) = match (name.strip_suffix(".seg"), name.strip_suffix(".new")) {
        (Some(stem), _) => (stem, false),
        (None, Some(stem)) => (stem, true),
        (None, None) => return FileKind::Foreign,
    };
    match stem.parse() {
        Ok(number) if segment_name(number) == name => FileKind::Segment(number),
        Ok(number) if is_new && new_name(number) == name => FileKind::New,
        Ok(_) | Err(_) => FileKind::Foreign,
    }
}

/// A header in which no two fields are equal.
#[cfg(test)]
pub(crate) const fn example_header(number: u64, start: u64) -> SegmentHeader {
    let epoch = Epoch { number: 7, first: Slot(9), digest: 11 };
    let (cluster, group, node) = (ClusterId(1), GroupId(2), NodeId(3));
    SegmentHeader {
        identity: Identity { cluster, group, epoch, node },
        incarnation: Incarnation(4),
        number,
        start,
        file_bytes: 1 << 30,
        generation: Boot(6),
        oldest: 0,
        retained: Slot(12),
        record_bytes_max: 1 << 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        example_header(5, 4800)
    }

    #[test]
    fn a_header_comes_back_as_it_was() {
        let block = header().encode();
        assert_eq!(block.len(), HEADER_BYTES as usize);
        assert_eq!(SegmentHeader::decode(&block), Ok(header()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let block = header().encode();
        for bit in 0..block.len() * 8 {
            let mut bad = block.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), Err(HeaderError::Damaged), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&block[..4095]), Err(HeaderError::Damaged));
        assert_eq!(SegmentHeader::decode(&block[..5]), Err(HeaderError::Magic));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut block = header().encode();
        block[8] = 2;
        let checksum = crc32c::crc32c(&block[..CHECKSUM_AT]);
        block[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(HeaderError::Version(2)));
    }

    #[test]
    fn names_are_told_apart() {
        assert_eq!(segment_name(7), "00000007.seg");
        assert_eq!(kind_of("00000007.seg"), FileKind::Segment(7));
        assert_eq!(kind_of("123456789012.seg"), FileKind::Segment(123_456_789_012));
        assert_eq!(kind_of("00000007.new"), FileKind::New);
        for foreign in ["lock", "7.seg", "000000007.seg", "+0000007.seg", "x.seg", ".seg", ""] {
            assert_eq!(kind_of(foreign), FileKind::Foreign, "{foreign}");
        }
    }
}
