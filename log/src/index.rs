//! Where in the segments which slots stand.

use bytes::Bytes;
use synod_core::{Body, Proposal, Slot};

use crate::segment::{HEADER_BYTES, SegmentHeader};

/// The index remembers the range of slots of so many bytes of log at a time (or of one record, if
/// that is longer). What a reader reads for one slot is bounded by it.
pub const STRETCH_BYTES: u64 = 256 << 10;

/// The index of a log: the range of slots in each stretch of each segment.
///
/// Ranges and not slots, so memory is small. Stretches overlap when slots were written again under
/// a higher ballot; a reader then reads each of them and lets the last word count.
#[derive(Debug, Default)]
pub(crate) struct Index {
    retained: Slot,
    /// In the order of the log.
    segments: Vec<SegmentIndex>,
}

#[derive(Debug)]
struct SegmentIndex {
    number: u64,
    /// The position of its first record.
    start: u64,
    slots: Range,
    /// Invariant: one right behind the other.
    stretches: Vec<Stretch>,
}

/// A half-open range of slots; empty when nothing was added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) from: Slot,
    pub(crate) end: Slot,
}

/// Consecutive records of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    position: u64,
    bytes: u64,
    slots: Range,
}

/// Where to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) bytes: u64,
    pub(crate) slots: Range,
}

impl Range {
    pub(crate) const EMPTY: Self = Self { from: Slot(u64::MAX), end: Slot::ZERO };

    /// The slots in the body of a record.
    pub(crate) fn of(body: &Body<'_, Bytes>) -> Self {
        match body {
            Body::Accepted(run) | Body::Learned(run) => Self::of_run(run),
            Body::Mark | Body::Roster { .. } => Self::EMPTY,
        }
    }

    fn of_run(run: &[Proposal<Bytes>]) -> Self {
        match (run.first(), run.last()) {
            (Some(first), Some(last)) => Self { from: first.slot, end: last.slot.next() },
            (None, _) | (_, None) => Self::EMPTY,
        }
    }

    fn add(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.end = self.end.max(other.end);
    }

    fn meets(self, from: Slot, end: Slot) -> bool {
        self.from < end && from < self.end
    }
}

impl Index {
    pub(crate) const fn new(retained: Slot) -> Self {
        Self { retained, segments: Vec::new() }
    }

    pub(crate) const fn retained(&self) -> Slot {
        self.retained
    }

    /// Adds a record of segment `header`, right behind the one added before it.
    pub(crate) fn add(&mut self, header: &SegmentHeader, position: u64, bytes: u64, slots: Range) {
        let SegmentHeader { number, start, .. } = *header;
        if self.segments.last().is_none_or(|last| last.number != number) {
            let stretches = Vec::new();
            self.segments.push(SegmentIndex { number, start, slots: Range::EMPTY, stretches });
        }
        let Some(segment) = self.segments.last_mut() else { return };
        segment.slots.add(slots);
        match segment.stretches.last_mut() {
            Some(stretch) if stretch.bytes + bytes <= STRETCH_BYTES => {
                debug_assert_eq!(stretch.position + stretch.bytes, position, "no gap");
                stretch.bytes += bytes;
                stretch.slots.add(slots);
            }
            Some(_) | None => segment.stretches.push(Stretch { position, bytes, slots }),
        }
    }

    /// Every place that may hold a slot in `from..end`, in the order of the log.
    pub(crate) fn places(&self, from: Slot, end: Slot) -> Vec<Place> {
        let segments = self.segments.iter().filter(|segment| segment.slots.meets(from, end));
        let places = segments.flat_map(|segment| {
            let met = segment.stretches.iter().filter(|stretch| stretch.slots.meets(from, end));
            met.map(|stretch| {
                let Stretch { position, bytes, slots } = *stretch;
                let offset = HEADER_BYTES + (position - segment.start);
                Place { segment: segment.number, offset, position, bytes, slots }
            })
        });
        places.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::example_header;

    fn range(from: u64, end: u64) -> Range {
        Range { from: Slot(from), end: Slot(end) }
    }

    #[test]
    fn records_share_a_stretch_until_it_is_full() {
        let mut index = Index::new(Slot::ZERO);
        let half = STRETCH_BYTES / 2;
        let (first, second) = (example_header(0, 800), example_header(1, 4_000_000));
        index.add(&first, 800, half, range(0, 5));
        index.add(&first, 800 + half, half, range(5, 9));
        index.add(&first, 800 + 2 * half, 8, range(9, 10));
        index.add(&second, 4_000_000, 3 * STRETCH_BYTES, range(4, 6));
        let found: Vec<_> = index.places(Slot(5), Slot(6));
        let found: Vec<_> = found.iter().map(|p| (p.segment, p.offset, p.bytes)).collect();
        assert_eq!(found, [(0, 4096, STRETCH_BYTES), (1, 4096, 3 * STRETCH_BYTES)]);
        assert_eq!(index.places(Slot(9), Slot(20))[0].offset, 4096 + STRETCH_BYTES);
        assert_eq!(index.places(Slot(10), Slot(20)), []);
    }

    #[test]
    fn marks_belong_to_no_range() {
        let mut index = Index::new(Slot::ZERO);
        let header = example_header(0, 0);
        index.add(&header, 0, 136, Range::EMPTY);
        assert_eq!(index.places(Slot::ZERO, Slot::LIMIT), []);
        index.add(&header, 136, 200, range(0, 1));
        assert_eq!(index.places(Slot::ZERO, Slot(1)).len(), 1);
    }
}
