//! The window: the slots that a replica holds in memory.

use alloc::vec::Vec;
use core::mem;

use crate::{Decree, Kind, Proposal, Slot, WriteId};

/// A ring of slots, `base..end` of them in use, without gaps (R1).
///
/// The ring lends runs of consecutive slots as one slice; a run never crosses the end of the ring.
/// All memory is taken in [`Window::new`].
#[derive(Clone, Debug)]
pub(crate) struct Window<D> {
    slots: Vec<Proposal<D>>,
    notes: Vec<Note>,
    base: Slot,
    end: Slot,
    /// Of the decrees held.
    bytes: usize,
}

/// What a replica knows about the content of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    /// The write that holds the present content, if one does; `WriteId(0)` stands for what was
    /// found in the log.
    write: Option<WriteId>,
    /// The content was learned as chosen, not accepted.
    learned: bool,
}

/// How much one message or record may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunLimit {
    pub(crate) slots: usize,
    pub(crate) bytes: usize,
}

impl<D: Decree> Window<D> {
    /// An empty window at `base` with room for `capacity` slots, a power of two.
    pub(crate) fn new(capacity: usize, base: Slot) -> Self {
        debug_assert!(capacity.is_power_of_two());
        let mut slots = Vec::new();
        slots.resize_with(capacity, Proposal::default);
        let notes = alloc::vec![Note::default(); capacity];
        Self { slots, notes, base, end: base, bytes: 0 }
    }

    /// Puts a proposal into its slot, which is in use or the next one; its content has then been
    /// written nowhere.
    pub(crate) fn put(&mut self, proposal: Proposal<D>, learned: bool) {
        let slot = proposal.slot;
        assert!(slot >= self.base && slot <= self.end, "slot {slot} would leave a gap");
        if slot == self.end {
            assert!(self.room() > 0, "no room for slot {slot}");
            self.end = slot.next();
        }
        let place = self.place(slot);
        // Nothing is left in a slot that is not in use.
        self.bytes += proposal.decree.size_bytes();
        self.bytes -= self.slots[place].decree.size_bytes();
        self.slots[place] = proposal;
        self.notes[place] = Note { write: None, learned };
    }

    /// Drops the slots below `floor`, and with them the handles on their decrees.
    pub(crate) fn evict_below(&mut self, floor: Slot) {
        while self.base < floor && self.base < self.end {
            self.evict_first();
        }
    }

    /// Drops slots below `floor` until what is held has at most `bytes_max` bytes.
    pub(crate) fn evict_beyond(&mut self, bytes_max: usize, floor: Slot) {
        // An empty window has no bytes.
        while self.bytes > bytes_max && self.base < floor {
            self.evict_first();
        }
    }

    fn evict_first(&mut self) {
        let place = self.place(self.base);
        let evicted = mem::replace(&mut self.slots[place].decree, Kind::Noop);
        self.bytes -= evicted.size_bytes();
        self.base = self.base.next();
    }

    /// Notes that `write` holds the present content of `from..end`.
    pub(crate) fn written(&mut self, from: Slot, end: Slot, write: WriteId) {
        for number in from.0..end.0 {
            let place = self.place(Slot(number));
            self.notes[place].write = Some(write);
        }
    }

    /// The lowest slot held.
    pub(crate) const fn base(&self) -> Slot {
        self.base
    }

    /// The end of the slots held.
    pub(crate) const fn end(&self) -> Slot {
        self.end
    }

    /// The bytes of the decrees held.
    #[cfg(test)]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many slots the window can hold.
    pub(crate) const fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many more slots it can hold.
    pub(crate) fn room(&self) -> usize {
        self.capacity() - (self.end - self.base) as usize
    }

    /// The content of a slot held.
    pub(crate) fn get(&self, slot: Slot) -> Option<&Proposal<D>> {
        self.holds(slot).then(|| &self.slots[self.place(slot)])
    }

    /// The write that holds the present content of `slot`, if one does.
    pub(crate) fn write_of(&self, slot: Slot) -> Option<WriteId> {
        self.holds(slot).then(|| self.notes[self.place(slot)].write).flatten()
    }

    /// Whether the content of `slot` was learned as chosen.
    pub(crate) fn is_learned(&self, slot: Slot) -> bool {
        self.holds(slot) && self.notes[self.place(slot)].learned
    }

    /// The slots of `from..end`, as far as they fit into one message. At least one slot when the
    /// range is not empty.
    pub(crate) fn run(&self, from: Slot, end: Slot, limit: RunLimit) -> &[Proposal<D>] {
        self.slice(from, self.run_end(from, end, limit))
    }

    /// The end of [`Window::run`].
    pub(crate) fn run_end(&self, from: Slot, end: Slot, limit: RunLimit) -> Slot {
        if from >= end || from < self.base || end > self.end {
            return from;
        }
        if end == from.next() {
            return end;
        }
        let start = self.place(from);
        let count = ((end - from) as usize).min(limit.slots).min(self.capacity() - start);
        let mut fitting = 1;
        let mut bytes = self.slots[start].decree.size_bytes();
        for proposal in &self.slots[start + 1..start + count.max(1)] {
            bytes += proposal.decree.size_bytes();
            if bytes > limit.bytes {
                break;
            }
            fitting += 1;
        }
        from.plus(fitting)
    }

    /// The slots of `from..end`, which are held and do not cross the end of the ring.
    pub(crate) fn slice(&self, from: Slot, end: Slot) -> &[Proposal<D>] {
        let start = self.place(from);
        &self.slots[start..start + end.since(from) as usize]
    }

    fn holds(&self, slot: Slot) -> bool {
        slot >= self.base && slot < self.end
    }

    const fn place(&self, slot: Slot) -> usize {
        // The capacity is a power of two, so the mask keeps the low bits.
        slot.0 as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ballot, NodeId};

    const ALL: RunLimit = RunLimit { slots: 100, bytes: 100 };

    fn proposal(slot: u64) -> Proposal<u8> {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        Proposal { slot: Slot(slot), ballot, decree: Kind::App(slot as u8) }
    }

    #[test]
    fn a_run_stops_at_the_end_of_the_ring() {
        let mut window = Window::new(4, Slot(2));
        for slot in 2..6 {
            window.put(proposal(slot), false);
        }
        assert_eq!(window.room(), 0);
        assert_eq!(window.run(Slot(2), Slot(6), ALL).len(), 2);
        assert_eq!(window.run(Slot(4), Slot(6), ALL).len(), 2);
        assert!(window.run(Slot(1), Slot(3), ALL).is_empty());
        assert!(window.run(Slot(5), Slot(7), ALL).is_empty());
    }

    #[test]
    fn a_run_keeps_to_the_limits_but_is_never_empty() {
        let mut window = Window::new(8, Slot(0));
        for slot in 0..8 {
            window.put(proposal(slot), false);
        }
        let run = |slots, bytes| window.run(Slot(0), Slot(8), RunLimit { slots, bytes }).len();
        assert_eq!(run(3, 100), 3);
        assert_eq!(run(100, 5), 5);
        assert_eq!(run(100, 0), 1);
    }

    #[test]
    fn new_content_is_unwritten() {
        let mut window = Window::new(4, Slot(0));
        window.put(proposal(0), false);
        assert_eq!(window.write_of(Slot(0)), None);
        window.written(Slot(0), Slot(1), WriteId(7));
        assert_eq!(window.write_of(Slot(0)), Some(WriteId(7)));
        window.put(proposal(0), true);
        assert_eq!(window.write_of(Slot(0)), None);
        assert!(window.is_learned(Slot(0)));
    }

    #[test]
    fn eviction_drops_the_handles() {
        let mut window = Window::new(4, Slot(0));
        window.put(proposal(0), false);
        window.evict_below(Slot(9));
        assert_eq!((window.base(), window.end()), (Slot(1), Slot(1)));
        assert_eq!(window.get(Slot(0)), None);
        assert_eq!(window.slots[0].decree, Kind::Noop);
    }

    #[test]
    #[should_panic(expected = "would leave a gap")]
    fn a_gap_is_impossible() {
        Window::new(4, Slot(0)).put(proposal(1), false);
    }
}

#[cfg(test)]
#[path = "window_twin.rs"]
mod twin;
