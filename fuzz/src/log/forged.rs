//! Directories that nobody ever wrote: segments, headers and records made up from chance, some of
//! them with checksums that are right.

use arbitrary::Arbitrary;
use bytes::{BufMut, BytesMut};
use synod_core::record::{self, Stamp};
use synod_core::{Boot, Header, Incarnation};
use synod_log::{Identity, SimDevice};

use super::image::{HEADER_BYTES, HEADER_CHECKSUM_AT};
use super::{INCARNATION, config, goes_on, identity, open};
use crate::plan::{Few, HeaderPlan, Number, Rarely, RecordPlan};

/// A directory.
#[derive(Clone, Debug, Arbitrary)]
pub struct Forged {
    files: Few<FilePlan>,
}

#[derive(Clone, Debug, Arbitrary)]
struct FilePlan {
    /// Not the next number; a file that is being made; a name of nobody's.
    odd_name: Rarely<NamePlan>,
    /// Nothing that is known as a header.
    bytes: Rarely<Vec<u8>>,
    /// Fields of the header that do not fit.
    odd_fields: Few<Rarely<(u8, Number)>>,
    /// The version of the format.
    odd_version: Rarely<u32>,
    /// The end of the file is not where the header says.
    odd_length: Rarely<u16>,
    entries: Few<EntryPlan>,
    /// Bits that flip after all checksums were computed.
    flips: Few<Rarely<(u16, u8)>>,
    /// Space that was reserved and not used.
    room: u16,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum NamePlan {
    Segment(u8),
    New(u8),
    Any(u16),
}

#[derive(Clone, Debug, Arbitrary)]
struct EntryPlan {
    record: RecordPlan,
    odd_header: Rarely<HeaderPlan>,
    odd_position: Rarely<Number>,
    odd_generation: Rarely<Number>,
    /// How far behind its own position it says that the log was durable.
    lag: u8,
    odd_durable: Rarely<Number>,
    /// Bytes that are none of it, before the next.
    behind: Rarely<Vec<u8>>,
}

/// Where the chain of segments has got to.
struct Chain {
    number: u64,
    position: u64,
    generation: u64,
}

/// Opens the directory. What is refused is refused again in the same words; what opens goes on.
/// Returns whether it opened with records in it.
///
/// # Panics
/// When opening does, or when an opened log does not work.
pub fn forged(case: &Forged) -> bool {
    let device = SimDevice::new(512);
    let mut chain = Chain { number: 0, position: 0, generation: 1 };
    for plan in &case.files.0 {
        let (name, bytes) = plan.file(&mut chain);
        device.put(&name, &bytes);
    }
    let config = config(0);
    match open(&device, config) {
        Ok(opened) => {
            let records = opened.0.recovery().records;
            goes_on(&device, config, opened);
            records > 0
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let again = open(&device.kill(), config).map(|(_, recovered)| recovered);
            assert_eq!(again, Err(error), "another try changes nothing");
            false
        }
    }
}

impl FilePlan {
    fn file(&self, chain: &mut Chain) -> (String, Vec<u8>) {
        let name = match self.odd_name.0 {
            None => format!("{:08}.seg", chain.number),
            Some(NamePlan::Segment(number)) => format!("{number:08}.seg"),
            Some(NamePlan::New(number)) => format!("{number:08}.new"),
            Some(NamePlan::Any(number)) => format!("{number}.seg"),
        };
        if let Some(bytes) = &self.bytes.0 {
            return (name, bytes.clone());
        }
        let start = chain.position;
        let mut records = BytesMut::new();
        for entry in &self.entries.0 {
            entry.write(chain, start, &mut records);
        }
        let room = usize::from(self.room % 4096) & !7;
        let mut bytes = self.header(chain, start, HEADER_BYTES + records.len() + room);
        bytes.extend_from_slice(&records);
        bytes.resize(bytes.len() + room, 0);
        chain.number += 1;
        chain.position = start + records.len() as u64;
        chain.generation += 1;
        if let Some(len) = self.odd_length.0 {
            bytes.resize(usize::from(len), 0);
        }
        for (at, bits) in self.flips.0.iter().filter_map(|flip| flip.0) {
            let len = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(usize::from(at) % len) {
                *byte ^= bits;
            }
        }
        (name, bytes)
    }

    /// A header as `synod_log::segment` describes it, with a checksum that is right.
    fn header(&self, chain: &Chain, start: u64, file_bytes: usize) -> Vec<u8> {
        let Identity { cluster, group, epoch, node } = identity();
        let version = u64::from(self.odd_version.0.unwrap_or(1));
        let mut words = [
            u64::from_le_bytes(*b"SynodSeg"),
            version | (HEADER_BYTES as u64) << 32,
            cluster.0,
            group.0,
            node.0,
            INCARNATION.0,
            epoch.number.into(),
            epoch.first.0,
            epoch.digest,
            chain.number,
            start,
            file_bytes as u64,
            chain.generation,
            0,
            0,
            super::RECORD_BYTES_MAX as u64,
        ];
        for (place, number) in self.odd_fields.0.iter().filter_map(|field| field.0) {
            // Not the magic and the version. A log that would start so near the end of all
            // numbers cannot go on for long, so the numbers stay a little below the limit.
            let fields = words.len() - 2;
            if let Some(word) = words.get_mut(2 + usize::from(place) % fields) {
                *word = number.0.saturating_sub(1 << 32);
            }
        }
        let mut block = Vec::with_capacity(HEADER_BYTES);
        words.iter().for_each(|word| block.put_u64_le(*word));
        block.resize(HEADER_CHECKSUM_AT, 0);
        let checksum = synod_core::checksum::crc32c(0, &block);
        block.put_u32_le(checksum);
        block
    }
}

impl EntryPlan {
    fn write(&self, chain: &Chain, start: u64, out: &mut BytesMut) {
        let Identity { cluster, group, epoch, node } = identity();
        let (incarnation, boot) = (INCARNATION, Boot(chain.generation));
        let sound = Header { cluster, group, epoch, node, incarnation, boot };
        let odd = self.odd_header.0.as_ref().map(HeaderPlan::header);
        let header = odd.map_or(sound, |odd| Header { incarnation: Incarnation(7), ..odd });
        let here = start + out.len() as u64;
        let position = self.odd_position.0.map_or(here, |number| number.0);
        let durable = here.saturating_sub(u64::from(self.lag) * 8);
        let stamp = Stamp {
            generation: Boot(self.odd_generation.0.map_or(chain.generation, |number| number.0)),
            position,
            durable_upto: self.odd_durable.0.map_or(durable, |number| number.0),
        };
        let loan = self.record.loan();
        record::encode(&header, &stamp, &self.record.record(&loan), out);
        if let Some(behind) = &self.behind.0 {
            out.extend_from_slice(behind);
            out.resize(out.len().next_multiple_of(8), 0);
        }
    }
}
