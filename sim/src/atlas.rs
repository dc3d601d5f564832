//! The fault atlas: where a disk may be damaged so that its log must notice.
//!
//! It reads the segments from outside, by their documented format, as they are on the disk for
//! certain. A log can tell damage from a torn tail only below a position that a later record or
//! the header of the next segment names durable (R11); the damage that is drawn here lies below
//! such a position, and leaves the proof alone.

mod dead;

use bytes::Bytes;
use synod_core::record::Decoder;
use synod_core::{Ballot, Body, Slot};
use synod_log::{Damage, Device, Fault, OpenError, SimDevice};

pub use dead::{Graves, Tail, tear};

use crate::prng::Prng;

/// How a disk is damaged at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// A few bits flip, in a record or in a header.
    Rot,
    /// A write that was reported durable never reached the disk.
    LostWrite,
    /// A write landed where another one was.
    StrayWrite,
    /// A sector reads as garbage.
    BadSector,
    /// A file is gone.
    LostFile,
}

/// What was done to a disk, and how a start must report it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Harmed {
    /// What.
    pub harm: Harm,
    /// The file.
    pub file: String,
    /// Where in the file what is damaged begins: a record, or the header. That is what a start
    /// names.
    pub offset: u64,
    /// Whether it is the header.
    pub is_header: bool,
}

/// A durable record, as the atlas finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    position: u64,
    offset: u64,
    len: u64,
    durable_upto: u64,
    /// It holds no more than promise and mark.
    is_mark: bool,
    /// The first slot in it.
    slot: Option<Slot>,
    /// The promise and the mark in it.
    says: (Ballot, Slot),
}

/// A durable segment.
#[derive(Clone, Debug)]
struct Chart {
    name: String,
    /// Where the next segment begins, when there is one: everything before is proven.
    sealed: Option<u64>,
    places: Vec<Place>,
    bytes: Bytes,
}

/// A stretch of a file that may be damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    from: u64,
    to: u64,
}

impl Harm {
    /// Damages a disk, where its log must notice. `None` when there is no such place.
    #[must_use]
    pub fn strike(self, device: &SimDevice, sector: u64, prng: &mut Prng) -> Option<Harmed> {
        let charts = charts(device);
        let place = prng.below(charts.len() as u64) as usize;
        let chart = charts.get(place)?;
        match self {
            Self::Rot => chart.rot(device, prng),
            Self::LostWrite => chart.lose_write(device, prng),
            Self::StrayWrite => chart.stray_write(device, prng),
            Self::BadSector => chart.bad_sector(device, sector, prng),
            Self::LostFile => chart.lose_file(device),
        }
    }
}

/// Has the next read of some durable record show other bytes. `false` when there is none.
#[must_use]
pub fn misread(device: &SimDevice, prng: &mut Prng) -> bool {
    let charts = charts(device);
    let place = prng.below(charts.len() as u64) as usize;
    let Some(chart) = charts.get(place) else { return false };
    let Some((first, _)) = chart.draw(1, prng) else { return false };
    let here = chart.places[first];
    // Another record of the same length is what is hardest to tell from the right one.
    let alike = |place: &&Place| place.len == here.len && **place != here;
    let twins: Vec<&Place> = chart.places.iter().filter(alike).collect();
    let other = match twins.len() as u64 {
        0 => chart.places[prng.below(chart.places.len() as u64) as usize],
        count => *twins[prng.below(count) as usize],
    };
    let stale = prng.chance(500_000) || other == here;
    device.misread(&chart.name, here.offset, here.len, (!stale).then_some(other.offset))
}

/// As [`misread`], where another record of the same length shows; of the records that begin with
/// a slot below `decided`. Returns that slot.
#[must_use]
pub fn misread_slot(device: &SimDevice, decided: Slot, prng: &mut Prng) -> Option<Slot> {
    let charts = charts(device);
    let chart = charts.get(prng.below(charts.len() as u64) as usize)?;
    let twins = chart.places.iter().flat_map(|here| {
        let alike = |other: &&Place| other.len == here.len && *other != here && !other.is_mark;
        let slot = here.slot.filter(|slot| *slot < decided);
        let other = chart.places.iter().find(alike);
        slot.zip(other).map(|(slot, other)| (slot, here, other))
    });
    let twins: Vec<(Slot, &Place, &Place)> = twins.collect();
    let (slot, here, other) = twins.get(prng.below(twins.len() as u64) as usize)?;
    let done = device.misread(&chart.name, here.offset, here.len, Some(other.offset));
    done.then_some(*slot)
}

/// Whether a log in use says what it must say, so that damage can be told from a torn tail (R11).
/// At most `lag` writes are in flight at any time; when the log `is_quiet`, all is proven.
///
/// # Errors
/// What it does not say.
pub fn audit(device: &SimDevice, lag: usize, is_quiet: bool) -> Result<(), String> {
    let charts = charts(device);
    for chart in &charts {
        // What was handed out so many records ago was reported durable before this one.
        for (old, new) in chart.places.iter().zip(chart.places.iter().skip(lag)) {
            let end = old.position + old.len;
            if new.durable_upto < end {
                let Place { position, durable_upto, .. } = new;
                return Err(format!(
                    "the record at position {position} says that all below {durable_upto} was \
                     durable then, but all below {end} was"
                ));
            }
        }
    }
    let Some(last) = charts.last() else { return Ok(()) };
    let run = word(&last.bytes, GENERATION_AT);
    for (sealed, next) in charts.iter().zip(charts.iter().skip(1)) {
        // What a crash undid in earlier runs, or came too early for, may stay so.
        if word(&sealed.bytes, GENERATION_AT) != run {
            continue;
        }
        let (start, end) = (word(&sealed.bytes, START_AT), word(&next.bytes, START_AT));
        let (len, bytes) = (HEADER_BYTES + (end - start), device.contents(&sealed.name));
        let is = bytes.map_or(0, |bytes| bytes.len() as u64);
        if is != len {
            return Err(format!("{} is sealed at {len} bytes and has {is}", sealed.name));
        }
    }
    let body = last.places.iter().rfind(|place| !place.is_mark);
    let proven = last.proven(&(0..0));
    match body.map(|place| place.position + place.len).filter(|end| is_quiet && proven < *end) {
        Some(end) => Err(format!(
            "it is quiet, but nothing in it proves that all below {end} is durable, only {proven}"
        )),
        None => Ok(()),
    }
}

/// Whether a log that its host has just settled proves everything in it: the last record of all
/// that says anything new, be it a promise or a mark alone.
///
/// # Errors
/// What it does not prove.
pub fn audit_settled(device: &SimDevice) -> Result<(), String> {
    let charts = charts(device);
    let Some(last) = charts.last() else { return Ok(()) };
    let mut before = charts.iter().rev().skip(1).find_map(|chart| chart.places.last());
    let mut news = None;
    for place in &last.places {
        let repeats = before.is_some_and(|before| place.is_mark && before.says == place.says);
        news = if repeats { news } else { Some(place) };
        before = Some(place);
    }
    let (end, proven) = (news.map_or(0, |place| place.position + place.len), last.proven(&(0..0)));
    if proven < end {
        return Err(format!(
            "its host has settled it, but nothing in it proves that all below {end} is durable, \
             only {proven}"
        ));
    }
    Ok(())
}

impl Harmed {
    /// Whether this is how a start must report it.
    #[must_use]
    pub fn is_told_by(&self, error: &OpenError) -> bool {
        let Damage { fault, file, offset, .. } = match error {
            OpenError::Damaged(damage) => damage,
            // The only file of a directory is not known for a segment without its magic.
            OpenError::NotASegment { file } => return self.is_header && file.ends_with(&self.file),
            OpenError::Device(_)
            | OpenError::InUse { .. }
            | OpenError::NotADirectory { .. }
            | OpenError::Denied { .. }
            | OpenError::Full { .. }
            | OpenError::OtherCluster { .. }
            | OpenError::OtherGroup { .. }
            | OpenError::OtherNode { .. }
            | OpenError::OtherMembers { .. }
            | OpenError::NewerVersion { .. }
            | OpenError::Unreadable { .. }
            | OpenError::Inconsistent { .. }
            | OpenError::Config { .. } => return false,
        };
        let kind = match fault {
            Fault::Record => !self.is_header && self.harm != Harm::LostFile,
            Fault::Header => self.is_header,
            Fault::Missing => self.harm == Harm::LostFile,
            Fault::Short | Fault::Misplaced => false,
        };
        kind && file.ends_with(&self.file) && *offset == self.offset
    }
}

impl Chart {
    /// Everything below is proven durable without the records in `without`.
    fn proven(&self, without: &std::ops::Range<usize>) -> u64 {
        let upto = |(_, place): (usize, &Place)| place.durable_upto;
        let proofs = self.places.iter().enumerate().filter(|(nth, _)| !without.contains(nth));
        self.sealed.unwrap_or_else(|| proofs.map(upto).max().unwrap_or(0))
    }

    /// Up to `most` records next to each other that are proven by others.
    fn draw(&self, most: u64, prng: &mut Prng) -> Option<(usize, usize)> {
        let first = prng.below(self.places.len() as u64) as usize;
        let end = (first + prng.within(1, most) as usize).min(self.places.len());
        let place = self.places.get(first)?;
        (self.proven(&(first..end)) > place.position).then_some((first, end))
    }

    fn harmed(&self, harm: Harm, offset: u64, is_header: bool) -> Harmed {
        Harmed { harm, file: self.name.clone(), offset, is_header }
    }

    fn rot(&self, device: &SimDevice, prng: &mut Prng) -> Option<Harmed> {
        let bits = 1 << prng.below(8);
        if prng.chance(200_000) {
            let offset = prng.below(HEADER_BYTES);
            let done = device.rot(&self.name, offset, bits);
            return done.then(|| self.harmed(Harm::Rot, 0, true));
        }
        let (first, _) = self.draw(1, prng)?;
        let place = self.places[first];
        let done = device.rot(&self.name, place.offset + prng.below(place.len), bits);
        done.then(|| self.harmed(Harm::Rot, place.offset, false))
    }

    fn lose_write(&self, device: &SimDevice, prng: &mut Prng) -> Option<Harmed> {
        let (first, end) = self.draw(3, prng)?;
        let (from, last) = (self.places[first].offset, self.places[end - 1]);
        let zeros = vec![0; (last.offset + last.len - from) as usize];
        let done = device.overwrite(&self.name, from, &zeros);
        done.then(|| self.harmed(Harm::LostWrite, from, false))
    }

    /// The bytes of one record land on those of another: cut where the file ends or where the
    /// proof begins.
    fn stray_write(&self, device: &SimDevice, prng: &mut Prng) -> Option<Harmed> {
        let (first, _) = self.draw(1, prng)?;
        let (here, other) =
            (self.places[first], self.places[prng.below(self.places.len() as u64) as usize]);
        if other == here {
            return None;
        }
        let stretch = Stretch { from: here.offset, to: here.offset + other.len };
        self.may_lose(stretch)?;
        let bytes = &self.bytes[other.offset as usize..(other.offset + other.len) as usize];
        let done = device.overwrite(&self.name, here.offset, bytes);
        done.then(|| self.harmed(Harm::StrayWrite, here.offset, false))
    }

    fn bad_sector(&self, device: &SimDevice, sector: u64, prng: &mut Prng) -> Option<Harmed> {
        let (first, _) = self.draw(1, prng)?;
        let here = self.places[first];
        let at = here.offset + prng.below(here.len);
        let from = (at - at % sector).max(HEADER_BYTES);
        let stretch = Stretch { from, to: at - at % sector + sector };
        let hit = self.may_lose(stretch)?;
        let to = stretch.to.min(self.bytes.len() as u64);
        let garbage: Vec<u8> = (from..to).map(|_| prng.bits() as u8).collect();
        let done = device.overwrite(&self.name, from, &garbage);
        done.then(|| self.harmed(Harm::BadSector, self.places[hit].offset, false))
    }

    /// The first record that `stretch` meets, when the others prove it.
    fn may_lose(&self, stretch: Stretch) -> Option<usize> {
        let meets =
            |place: &Place| place.offset < stretch.to && place.offset + place.len > stretch.from;
        let first = self.places.iter().position(meets)?;
        let end = first + self.places[first..].iter().take_while(|place| meets(place)).count();
        (self.proven(&(first..end)) > self.places[first].position).then_some(first)
    }

    fn lose_file(&self, device: &SimDevice) -> Option<Harmed> {
        // The newest segment is not missed when it is gone: the one before it was cut, so it is
        // found short instead, or it was not yet, and then it is taken for the newest.
        self.sealed?;
        let done = device.lose_file(&self.name);
        done.then(|| self.harmed(Harm::LostFile, 0, false))
    }
}

/// Everything on a disk that a log will read.
fn charts(device: &SimDevice) -> Vec<Chart> {
    let segments = device
        .media()
        .into_iter()
        .filter(|(name, bytes)| name.ends_with(".seg") && bytes.len() as u64 >= HEADER_BYTES);
    let segments: Vec<(String, Bytes)> =
        segments.map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
    // Between a change of names and its sync it is open which file a name will lead to.
    let header = |bytes: &[u8]| bytes.get(..HEADER_BYTES as usize).map(<[u8]>::to_vec);
    let settled = segments.iter().all(|(name, bytes)| {
        device.contents(name).is_some_and(|seen| header(&seen) == header(bytes))
    });
    let seen = device.list().unwrap_or_default();
    if !settled || seen.iter().filter(|name| name.ends_with(".seg")).count() != segments.len() {
        return Vec::new();
    }
    let needed = segments.last().map_or(0, |(_, bytes)| word(bytes, OLDEST_AT));
    let mut charts = Vec::new();
    for (nth, (name, bytes)) in segments.iter().enumerate() {
        if word(bytes, NUMBER_AT) < needed {
            continue;
        }
        let sealed = segments.get(nth + 1).map(|(_, next)| word(next, START_AT));
        let (name, bytes) = (name.clone(), bytes.clone());
        let places = places(&bytes, sealed);
        charts.push(Chart { name, sealed, places, bytes });
    }
    charts
}

fn places(bytes: &Bytes, sealed: Option<u64>) -> Vec<Place> {
    let (start, generation) = (word(bytes, START_AT), word(bytes, GENERATION_AT));
    let mut decoder = Decoder::with_crc(crc32c::crc32c_append);
    let (mut places, mut offset) = (Vec::new(), HEADER_BYTES);
    while offset < bytes.len() as u64 {
        let position = start + (offset - HEADER_BYTES);
        if sealed.is_some_and(|end| position >= end) {
            break;
        }
        let Ok(found) = decoder.decode(&bytes.slice(offset as usize..)) else { break };
        if found.stamp.generation.0 != generation || found.stamp.position != position {
            break;
        }
        let (len, durable_upto) = (found.len as u64, found.stamp.durable_upto);
        let (is_mark, slot) = match found.record.body {
            Body::Mark => (true, None),
            Body::Roster { .. } => (false, None),
            Body::Accepted(run) | Body::Learned(run) => (false, run.first().map(|p| p.slot)),
        };
        let says = (found.record.promised, found.record.decided);
        places.push(Place { position, offset, len, durable_upto, is_mark, slot, says });
        offset += len;
    }
    places
}

/// A field of a header.
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// The format of segments, version 1, as `synod-log` documents it.
const HEADER_BYTES: u64 = 4096;
const NUMBER_AT: usize = 72;
const START_AT: usize = 80;
const GENERATION_AT: usize = 96;
const OLDEST_AT: usize = 104;

#[cfg(test)]
mod tests;
