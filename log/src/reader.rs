//! Reads decided decrees back from the segments.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use synod_core::record::Decoder;
use synod_core::{Body, Incarnation, Proposal, Slot};

use crate::device::read_full;
use crate::index::{Index, Place};
use crate::segment::segment_name;
use crate::slots::Slots;
use crate::{Damage, Device, Fault, IoFailure, LogError, Most, ReadBack};

/// Reads from a [`FileLog`](crate::FileLog), with files of its own: the log may write meanwhile.
///
/// What it returns are handles on the memory that was read, without a copy.
pub struct FileReader<D: Device> {
    device: D,
    index: Arc<Mutex<Index>>,
    /// The segment read last, which is most likely read next.
    open: Option<(u64, D::File)>,
    decoder: Decoder,
    incarnation: Incarnation,
}

impl<D: Device> FileReader<D> {
    pub(crate) fn new(device: &D, index: &Arc<Mutex<Index>>, incarnation: Incarnation) -> Self {
        let (device, index) = (device.for_reading(), Arc::clone(index));
        let decoder = Decoder::with_crc(crc32c::crc32c_append);
        Self { device, index, open: None, decoder, incarnation }
    }

    /// Reads one place and puts what it holds of `from..end` into `slots`.
    fn read_place(
        &mut self,
        place: Place,
        from: Slot,
        end: Slot,
        slots: &mut Slots,
    ) -> Result<(), LogError> {
        let mut rest = self.load(place)?;
        while !rest.is_empty() {
            let offset = place.offset + place.bytes - rest.len() as u64;
            let position = place.position + (offset - place.offset);
            let decoded = match self.decoder.decode(&rest) {
                // A sound record at another place than it names was put there by mistake.
                Ok(decoded)
                    if decoded.stamp.position == position
                        && decoded.header.incarnation == self.incarnation =>
                {
                    decoded
                }
                Ok(_) | Err(_) => return Err(damaged(&self.device, place, offset)),
            };
            let (learned, run) = match decoded.record.body {
                Body::Accepted(run) => (false, run),
                Body::Learned(run) => (true, run),
                Body::Mark | Body::Roster { .. } => (false, &[] as &[Proposal<Bytes>]),
            };
            for proposal in run {
                if (from..end).contains(&proposal.slot) {
                    slots.put(learned, proposal.clone());
                }
            }
            let len = decoded.len;
            rest = rest.slice(len..);
        }
        self.decoder.clear();
        Ok(())
    }

    fn load(&mut self, place: Place) -> Result<Bytes, LogError> {
        let name = segment_name(place.segment);
        let file = match self.open.take() {
            Some((number, file)) if number == place.segment => file,
            Some(_) | None => self
                .device
                .open(&name)
                .map_err(|error| IoFailure::new("open", self.device.describe(&name), &error))?,
        };
        // The index never holds a place larger than a stretch or a record.
        let mut bytes = BytesMut::zeroed(place.bytes as usize);
        let read = read_full(&file, &mut bytes, place.offset)
            .map_err(|error| IoFailure::new("read", self.device.describe(&name), &error))?;
        self.open = Some((place.segment, file));
        if read < bytes.len() {
            return Err(damaged(&self.device, place, place.offset + read as u64));
        }
        Ok(bytes.freeze())
    }
}

impl<D: Device> ReadBack for FileReader<D> {
    fn read(
        &mut self,
        from: Slot,
        end: Slot,
        most: Most,
    ) -> Result<Vec<Proposal<Bytes>>, LogError> {
        let mut end = end.min(Slot(from.0.saturating_add(most.slots.max(1) as u64)));
        let places = {
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            if from < index.retained() { Vec::new() } else { index.places(from, end) }
        };
        let mut slots = Slots::default();
        for place in places {
            // What would not be returned is not read, so memory is bounded by what is returned and
            // one place more.
            if place.slots.from >= end {
                continue;
            }
            self.read_place(place, from, end, &mut slots)?;
            end = slots.shorten(from, end, most);
        }
        Ok(slots.run(from, end, most))
    }

    fn retained(&self) -> Slot {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).retained()
    }
}

impl<D: Device> Clone for FileReader<D> {
    fn clone(&self) -> Self {
        Self::new(&self.device, &self.index, self.incarnation)
    }
}

impl<D: Device> std::fmt::Debug for FileReader<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader").finish_non_exhaustive()
    }
}

fn damaged<D: Device>(device: &D, place: Place, offset: u64) -> LogError {
    LogError::Damaged(Damage {
        fault: Fault::Record,
        file: device.describe(&segment_name(place.segment)),
        offset,
        position: place.position + (offset - place.offset),
        proven: place.position + place.bytes,
        from: place.slots.from,
        legible_again: Some(place.slots.end),
    })
}
