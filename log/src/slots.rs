//! The last word on each slot of a range.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::{Proposal, Slot};

use crate::Most;

/// Proposals by slot: the last one put counts, and learned ones outrank accepted ones (R5).
#[derive(Debug, Default)]
pub(crate) struct Slots {
    held: BTreeMap<Slot, Held>,
    /// Invariant: the sum of the sizes of all decrees in `held`.
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    proposal: Proposal<Bytes>,
    learned: bool,
}

impl Slots {
    /// Takes a proposal, in the order of the log.
    pub(crate) fn put(&mut self, learned: bool, proposal: Proposal<Bytes>) {
        let slot = proposal.slot;
        if let Some(held) = self.held.get(&slot) {
            // R5: what was learned is chosen, whatever was accepted before or after.
            if held.learned && !learned {
                return;
            }
            self.bytes -= held.proposal.decree.size_bytes();
        }
        self.bytes += proposal.decree.size_bytes();
        self.held.insert(slot, Held { proposal, learned });
    }

    /// Forgets the first slot, if it is below `end`. Returns the first slot that is left.
    pub(crate) fn forget_first(&mut self, end: Slot) -> Option<Slot> {
        let first = self.held.first_entry().filter(|first| *first.key() < end)?;
        self.bytes -= first.remove().proposal.decree.size_bytes();
        Some(self.held.first_key_value().map_or(end, |(slot, _)| *slot))
    }

    /// The bytes of all decrees.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The run that starts at `from`: without gaps, below `end`, at most `most` but at least one.
    pub(crate) fn run(&self, from: Slot, end: Slot, most: Most) -> Vec<Proposal<Bytes>> {
        let cut = self.cut(from, end, most);
        if cut <= from {
            return Vec::new();
        }
        self.held.range(from..cut).map(|(_, held)| held.proposal.clone()).collect()
    }

    /// Forgets what [`run`](Self::run) would not return because there is enough before it. Returns
    /// the new end, which is below `end` once there is enough.
    pub(crate) fn shorten(&mut self, from: Slot, end: Slot, most: Most) -> Slot {
        let cut = self.cut(from, end, most);
        if cut >= end || !self.held.contains_key(&cut) {
            // There is a gap, which later records may fill.
            return end;
        }
        let dropped = self.held.split_off(&cut);
        self.bytes -= dropped.values().map(|held| held.proposal.decree.size_bytes()).sum::<usize>();
        cut
    }

    /// The end of what [`run`](Self::run) returns.
    fn cut(&self, from: Slot, end: Slot, most: Most) -> Slot {
        if end <= from {
            return from;
        }
        let (mut cut, mut bytes) = (from, 0);
        for (slot, held) in self.held.range(from..end) {
            let more = bytes + held.proposal.decree.size_bytes();
            let is_enough = cut.since(from) >= most.slots as u64 || more > most.bytes;
            if *slot != cut || (is_enough && cut > from) {
                break;
            }
            bytes = more;
            cut = cut.next();
        }
        cut
    }
}
