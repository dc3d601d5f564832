//! Dead records: whole ones behind the torn one where a log was cut. The run that wrote them was
//! never told that they were durable, and the next one goes on where the cut is. A device may show
//! them again, in a block that nobody has written since: a start must not take them for its own.

use bytes::Bytes;
use synod_core::record::{ALIGNMENT, Decoder};
use synod_log::{Device, Keep, SimDevice};

use super::{GENERATION_AT, HEADER_BYTES, START_AT, charts, places, word};

/// What lies behind the end of a log.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The newest segment.
    name: String,
    /// Where in it the records end.
    offset: u64,
    /// The position of that.
    end: u64,
    /// Whole records of the same run behind it.
    dead: Vec<Dead>,
}

/// A record that nobody will ever read, as the run that wrote it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Dead {
    position: u64,
    bytes: Bytes,
}

/// The dead records that a disk once had.
#[derive(Clone, Debug, Default)]
pub struct Graves {
    dead: Vec<Dead>,
}

impl Tail {
    /// The tail of the log on a device, as a start will find it.
    #[must_use]
    pub fn of(device: &SimDevice) -> Option<Self> {
        let names = device.list().ok()?;
        let name = names.into_iter().filter(|name| name.ends_with(".seg")).max()?;
        let bytes = Bytes::from(device.contents(&name)?);
        if (bytes.len() as u64) < HEADER_BYTES {
            return None;
        }
        let places = places(&bytes, None);
        let offset = places.last().map_or(HEADER_BYTES, |place| place.offset + place.len);
        let start = word(&bytes, START_AT);
        let end = start + (offset - HEADER_BYTES);
        let dead = dead(&bytes, offset);
        Some(Self { name, offset, end, dead })
    }
}

/// The power fails: what was written and not durable is kept, and the first record of it is torn.
/// Whether there was one, and another behind it.
#[must_use]
pub fn tear(device: &SimDevice) -> (SimDevice, bool) {
    let torn = first_of_several(device);
    let device = device.power_cut(Keep::Everything);
    let is_torn = torn.is_some_and(|(name, offset)| device.rot(&name, offset, 1));
    (device, is_torn)
}

/// A byte of the first record that is written and not durable, when there is another behind it.
fn first_of_several(device: &SimDevice) -> Option<(String, u64)> {
    let charts = charts(device);
    let durable = charts.last()?;
    let written = places(&Bytes::from(device.contents(&durable.name)?), None);
    let torn = written.get(durable.places.len())?;
    let is_first = written.len() > durable.places.len() + 1;
    is_first.then(|| (durable.name.clone(), torn.offset + torn.len / 2))
}

/// The whole records behind `offset` that stand where they say.
fn dead(bytes: &Bytes, offset: u64) -> Vec<Dead> {
    let (start, generation) = (word(bytes, START_AT), word(bytes, GENERATION_AT));
    let mut decoder = Decoder::with_crc(crc32c::crc32c_append);
    let mut dead = Vec::new();
    for at in (offset as usize..bytes.len()).step_by(ALIGNMENT) {
        let position = start + (at as u64 - HEADER_BYTES);
        let Ok(found) = decoder.decode(&bytes.slice(at..)) else { continue };
        if found.stamp.generation.0 == generation && found.stamp.position == position {
            dead.push(Dead { position, bytes: bytes.slice(at..at + found.len) });
        }
    }
    dead
}

impl Graves {
    /// Whether the log ends just before a dead record of an earlier run.
    #[must_use]
    pub fn are_at_end_of(&self, device: &SimDevice) -> bool {
        let at = |tail: Tail| self.dead.iter().any(|dead| dead.position == tail.end);
        !self.dead.is_empty() && Tail::of(device).is_some_and(at)
    }

    /// Where the log ends just before a dead record of an earlier run, the device shows that again.
    /// Whether it does.
    #[must_use]
    pub fn open(&self, device: &SimDevice, tail: &Tail) -> bool {
        let dead = self.dead.iter().find(|dead| dead.position == tail.end);
        dead.is_some_and(|dead| device.overwrite(&tail.name, tail.offset, &dead.bytes))
    }

    /// A start has cut off what is behind `tail`.
    pub fn bury(&mut self, tail: Tail) {
        self.dead.retain(|dead| dead.position >= tail.end && tail.dead.is_empty());
        self.dead.extend(tail.dead);
    }
}
