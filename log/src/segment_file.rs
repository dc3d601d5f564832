//! Makes, seals and cuts the files of segments.

use std::io::ErrorKind;

use synod_core::record;

use crate::device::{read_full, write_full};
use crate::recovery::Contents;
use crate::segment::{HEADER_BYTES, SegmentHeader, new_name, segment_name};
use crate::{Device, DeviceFile, IoFailure};

/// A segment that is written to.
pub(crate) struct Segment<F> {
    pub(crate) header: SegmentHeader,
    pub(crate) file: F,
}

/// Makes the file of a segment, without its header and under a name that does not count.
pub(crate) fn reserve<D: Device>(device: &D, header: &SegmentHeader) -> Result<D::File, IoFailure> {
    let name = new_name(header.number);
    device.create(&name, header.file_bytes).map_err(|error| {
        // Space that was reserved in part is given back; failing that, by the next start.
        let _ = device.remove(&name);
        IoFailure::new("make", device.describe(&name), &error)
    })
}

/// Gives the file its header and its name, both durable when this returns.
pub(crate) fn establish<D: Device>(
    device: &D,
    header: SegmentHeader,
    file: D::File,
) -> Result<Segment<D::File>, IoFailure> {
    let (from, to) = (new_name(header.number), segment_name(header.number));
    write_full(&file, &header.encode(), 0)
        .map_err(|error| IoFailure::new("write", device.describe(&from), &error))?;
    file.sync().map_err(|error| IoFailure::new("sync", device.describe(&from), &error))?;
    device
        .rename(&from, &to)
        .map_err(|error| IoFailure::new("rename", device.describe(&from), &error))?;
    device.sync_directory().map_err(|error| IoFailure::new("sync", device.describe(""), &error))?;
    Ok(Segment { header, file })
}

/// Cuts what the header of the next segment has cut off already: unused space, and a torn tail. A
/// segment that is cut cannot be taken for the last one, so a next one that is lost is missed.
pub(crate) fn cut<D: Device>(
    device: &D,
    sealed: &Segment<D::File>,
    end: u64,
) -> Result<(), IoFailure> {
    let Segment { header, file } = sealed;
    file.truncate(header.offset(end)).map_err(|error| {
        IoFailure::new("cut", device.describe(&segment_name(header.number)), &error)
    })
}

/// Makes what was read durable. It may have been written and not synced; and after a failed sync
/// the system may show bytes that never reached the disk and never will, unless written again.
pub(crate) fn rewrite<D: Device>(
    device: &D,
    last: &SegmentHeader,
    contents: &Contents,
) -> Result<(), IoFailure> {
    let name = segment_name(last.number);
    let failure = |doing, error| IoFailure::new(doing, device.describe(&name), &error);
    let file = device.open(&name).map_err(|error| failure("open", error))?;
    let mut block = vec![0; REWRITE_BYTES];
    let mut at = contents.proven;
    while at < contents.end {
        let len = (contents.end - at).min(REWRITE_BYTES as u64) as usize;
        let block = &mut block[..len];
        read_full(&file, block, last.offset(at)).map_err(|error| failure("read", error))?;
        write_full(&file, block, last.offset(at)).map_err(|error| failure("write", error))?;
        at += len as u64;
    }
    file.sync().map_err(|error| failure("sync", error))
}

pub(crate) fn remove<D: Device>(device: &D, names: &[String]) -> Result<(), IoFailure> {
    for name in names {
        match device.remove(name) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(IoFailure::new("remove", device.describe(name), &error)),
        }
    }
    Ok(())
}

const REWRITE_BYTES: usize = 1 << 16;
const _: () = assert!(HEADER_BYTES.is_multiple_of(record::ALIGNMENT as u64));
