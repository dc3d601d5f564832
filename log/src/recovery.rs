//! What a start finds in the segments: everything that was durable, or a reason not to start.
//!
//! Nothing is changed here. A start that crashes leaves things as they were.

use bytes::Bytes;
use synod_core::record::{RecordError, Replay};
use synod_core::{Epoch, Slot};

use crate::device::read_full;
use crate::error::{Damage, Fault};
use crate::index::{Index, Range};
use crate::scan::{Evidence, Found, Scan};
use crate::segment::{
    FileKind, HEADER_BYTES, HeaderError, SegmentHeader, VERSION, kind_of, segment_name,
};
use crate::{Device, DeviceFile, Identity, IoFailure, OpenError};

/// The files of a directory, as their names and headers have them.
pub(crate) struct Survey {
    /// The segments that the log needs, in order, without gaps. Empty for a directory without a
    /// log.
    pub(crate) segments: Vec<SegmentHeader>,
    /// Files to remove: unfinished segments, and those older than the oldest still needed.
    pub(crate) leftovers: Vec<String>,
}

/// What the segments hold.
pub(crate) struct Contents {
    pub(crate) replay: Replay<Bytes>,
    pub(crate) index: Index,
    /// The end of the records; behind it is the torn tail, if any.
    pub(crate) end: u64,
    /// Everything below was known durable to some record, or to a header.
    pub(crate) proven: u64,
    /// The number of records.
    pub(crate) records: u64,
    /// How many bytes behind the end are not zero.
    pub(crate) torn_bytes: u64,
    /// The end of all slots.
    slots_end: Slot,
}

impl Contents {
    fn new(retained: Slot) -> Self {
        Self {
            replay: Replay::new(),
            index: Index::new(retained),
            end: 0,
            proven: 0,
            records: 0,
            torn_bytes: 0,
            slots_end: Slot::ZERO,
        }
    }
}

/// Reads the names and the headers.
pub(crate) fn survey<D: Device>(device: &D, identity: &Identity) -> Result<Survey, OpenError> {
    let names =
        device.list().map_err(|error| IoFailure::new("list", device.describe(""), &error))?;
    let (mut numbers, mut leftovers) = (Vec::new(), Vec::new());
    for name in names {
        match kind_of(&name) {
            FileKind::Segment(number) => numbers.push(number),
            FileKind::New => leftovers.push(name),
            FileKind::Foreign => {}
        }
    }
    numbers.sort_unstable();
    let Some(newest) = numbers.last().copied() else {
        return Ok(Survey { segments: Vec::new(), leftovers });
    };
    let last = read_header(device, newest, numbers.len() == 1)?;
    last.check_identity(&device.describe(&segment_name(newest)), identity)?;
    check_members(device, &last, identity.epoch)?;
    let mut segments = Vec::new();
    for number in last.oldest..newest {
        if numbers.binary_search(&number).is_err() {
            return Err(damaged_file(device, number, Fault::Missing));
        }
        segments.push(read_header(device, number, false)?);
    }
    segments.push(last);
    check_chain(device, &segments)?;
    let is_old = |number: &&u64| **number < last.oldest;
    leftovers.extend(numbers.iter().filter(is_old).map(|number| segment_name(*number)));
    Ok(Survey { segments, leftovers })
}

/// Reads all records.
pub(crate) fn read<D: Device>(
    device: &D,
    segments: &[SegmentHeader],
) -> Result<Contents, OpenError> {
    let mut contents = Contents::new(segments.last().map_or(Slot::ZERO, |last| last.retained));
    for (place, header) in segments.iter().enumerate() {
        // The header of a segment seals the one before it.
        let sealed = segments.get(place + 1).map(|next| next.start);
        read_segment(device, header, sealed, &mut contents)?;
    }
    Ok(contents)
}

fn read_segment<D: Device>(
    device: &D,
    header: &SegmentHeader,
    sealed: Option<u64>,
    contents: &mut Contents,
) -> Result<(), OpenError> {
    let name = segment_name(header.number);
    let failure = |doing, error| IoFailure::new(doing, device.describe(&name), &error);
    let file = device.open(&name).map_err(|error| failure("open", error))?;
    let len = file.len_bytes().map_err(|error| failure("look at", error))?;
    let limit = sealed.unwrap_or_else(|| header.limit());
    if len < header.offset(limit) {
        // As far as the file goes, the slots are known.
        let evidence = Evidence { durable_upto: limit, ..Evidence::default() };
        let place = (header, header.start + len.saturating_sub(HEADER_BYTES));
        let mut scan = Scan::new(&file, header, place.1);
        read_records(device, &mut scan, contents)?;
        return Err(damaged(device, place, Fault::Short, evidence, contents.slots_end));
    }
    let mut scan = Scan::new(&file, header, limit);
    let Some(bad) = read_records(device, &mut scan, contents)? else { return Ok(()) };
    // R11: damage, or the torn tail of what was never synced?
    let mut evidence = scan.evidence(bad).map_err(|error| failure("read", error))?;
    evidence.durable_upto = evidence.durable_upto.max(sealed.unwrap_or(0));
    if evidence.durable_upto > bad {
        let place = (header, bad);
        return Err(damaged(device, place, Fault::Record, evidence, contents.slots_end));
    }
    contents.torn_bytes = evidence.used_end - bad;
    Ok(())
}

/// Takes the records of a segment in order; returns where the first bad one is.
fn read_records<D: Device>(
    device: &D,
    scan: &mut Scan<'_, D::File>,
    contents: &mut Contents,
) -> Result<Option<u64>, OpenError> {
    let header = scan.header();
    contents.end = header.start;
    contents.proven = header.start;
    loop {
        let position = scan.position();
        let found = scan.next().map_err(|error| {
            IoFailure::new("read", device.describe(&segment_name(header.number)), &error)
        })?;
        match found {
            Found::Record(found) => {
                let slots = Range::of(&found.record.body);
                contents.replay.push(&found.record);
                contents.index.add(header, position, found.len as u64, slots);
                contents.slots_end = contents.slots_end.max(slots.end);
                contents.proven = contents.proven.max(found.stamp.durable_upto);
                contents.end = position + found.len as u64;
                contents.records += 1;
            }
            Found::Sealed(error) => return Err(sealed_error(device, header, position, error)),
            Found::Nothing => return Ok(Some(position)),
            Found::End => return Ok(None),
        }
    }
}

/// Reads the header of segment `number`. A file that is nothing of ours is told from a damaged one
/// by its being alone.
fn read_header<D: Device>(
    device: &D,
    number: u64,
    is_alone: bool,
) -> Result<SegmentHeader, OpenError> {
    let file = device.describe(&segment_name(number));
    match header_of(device, number)? {
        Ok(header) if header.number == number => Ok(header),
        Ok(_) => Err(damaged_file(device, number, Fault::Misplaced)),
        Err(HeaderError::Version(found)) => {
            Err(OpenError::NewerVersion { file, found, known: VERSION })
        }
        Err(HeaderError::Magic) if is_alone => Err(OpenError::NotASegment { file }),
        Err(HeaderError::Magic | HeaderError::Damaged) => {
            Err(damaged_file(device, number, Fault::Header))
        }
    }
}

type Header = Result<SegmentHeader, HeaderError>;

fn header_of<D: Device>(device: &D, number: u64) -> Result<Header, IoFailure> {
    let name = segment_name(number);
    let failure = |doing, error| IoFailure::new(doing, device.describe(&name), &error);
    let file = device.open(&name).map_err(|error| failure("open", error))?;
    let mut block = vec![0; HEADER_BYTES as usize];
    let read = read_full(&file, &mut block, 0).map_err(|error| failure("read", error))?;
    Ok(SegmentHeader::decode(&block[..read]))
}

/// Whether each segment goes on where the one before ends, in the same life of the disk.
fn check_chain<D: Device>(device: &D, segments: &[SegmentHeader]) -> Result<(), OpenError> {
    for pair in segments.windows(2) {
        let [before, header] = pair else { continue };
        let fits = header.incarnation == before.incarnation
            && header.identity.cluster == before.identity.cluster
            && header.identity.group == before.identity.group
            && header.identity.node == before.identity.node
            && header.generation >= before.generation
            && (before.start..=before.limit()).contains(&header.start);
        if !fits {
            return Err(damaged_file(device, header.number, Fault::Misplaced));
        }
    }
    Ok(())
}

/// Whether the log was written under the members that the node is told now.
fn check_members<D: Device>(
    device: &D,
    last: &SegmentHeader,
    wanted: Epoch,
) -> Result<(), OpenError> {
    let found = last.identity.epoch;
    // Another number is the business of decided configuration changes, which the core judges.
    if found.number == wanted.number && found != wanted {
        let file = device.describe(&segment_name(last.number));
        return Err(OpenError::OtherMembers { file, found, wanted });
    }
    Ok(())
}

fn damaged<D: Device>(
    device: &D,
    (header, position): (&SegmentHeader, u64),
    fault: Fault,
    evidence: Evidence,
    from: Slot,
) -> OpenError {
    OpenError::Damaged(Damage {
        fault,
        file: device.describe(&segment_name(header.number)),
        offset: header.offset(position),
        position,
        proven: evidence.durable_upto,
        from,
        legible_again: evidence.legible_again,
    })
}

/// Damage to a file as a whole. What stands before it is read to name the slots.
fn damaged_file<D: Device>(device: &D, number: u64, fault: Fault) -> OpenError {
    let mut before = Vec::new();
    for number in (0..number).rev() {
        let Ok(Ok(header)) = header_of(device, number) else { break };
        if header.number != number {
            // Another file than its name says: what lies before it cannot be told.
            break;
        }
        before.insert(0, header);
    }
    let mut contents = Contents::new(Slot::ZERO);
    for header in &before {
        let Ok(file) = device.open(&segment_name(header.number)) else { break };
        let mut scan = Scan::new(&file, header, header.limit());
        // Whatever may be wrong there too, the damage that is reported is this one.
        if read_records(device, &mut scan, &mut contents).is_err() {
            break;
        }
    }
    let file = device.describe(&segment_name(number));
    let (position, from) = (contents.end, contents.slots_end);
    let (offset, proven, legible_again) = (0, position, None);
    OpenError::Damaged(Damage { fault, file, offset, position, proven, from, legible_again })
}

fn sealed_error<D: Device>(
    device: &D,
    header: &SegmentHeader,
    position: u64,
    error: RecordError,
) -> OpenError {
    let file = device.describe(&segment_name(header.number));
    let what = format!("byte {}: {error}", header.offset(position));
    OpenError::Unreadable { file, what }
}
