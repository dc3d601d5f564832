//! Order: every run of every replica applies the slots in order, leaves none out, and applies the
//! same requests in the same places as every other run. Agreement on what is applied.

use std::collections::{BTreeMap, BTreeSet};

use synod_core::service::At;
use synod_core::{Ballot, Kind, MemberIndex, Slot};

use super::history::{Applied, Place, RequestKey, Sealed};
use super::images::Images;
use super::witness::Decree;
use crate::violation::{Checked, check};

/// What the runs have applied so far.
#[derive(Clone, Debug)]
pub struct Order {
    /// What each slot applies, in order, with the reply of each.
    canon: BTreeMap<Slot, Vec<(RequestKey, u64)>>,
    /// The state after each slot that has an effect.
    sealed: BTreeMap<Slot, Sealed>,
    /// Slots whose decree some run passed over: it is void, because a later leadership had begun.
    void: BTreeSet<Slot>,
    /// The leadership of each slot that applies something. It never goes back.
    leaders: BTreeMap<Slot, Ballot>,
    /// Where each node is in its present run.
    cursors: Vec<Place>,
}

impl Order {
    /// Nothing applied yet.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            canon: BTreeMap::new(),
            sealed: BTreeMap::new(),
            void: BTreeSet::new(),
            leaders: BTreeMap::new(),
            cursors: vec![Place::default(); nodes],
        }
    }

    /// A run of `node` starts, and its state machine holds everything below `applied`.
    pub fn on_start(&mut self, node: MemberIndex, applied: Slot) {
        self.cursors[node.place()] = Place { slot: applied, within: 0 };
    }

    /// `node` applied a request. Returns its place, and whether it is the first to apply there.
    ///
    /// # Errors
    /// Order, Agreement, Durability.
    pub fn on_applied(
        &mut self,
        images: &Images,
        node: MemberIndex,
        applied: &Applied,
    ) -> Result<(Place, bool), crate::violation::Violation> {
        let cursor = self.cursors[node.place()];
        let slot = applied.slot;
        check!(
            Order,
            slot >= cursor.slot,
            "member {} applies in slot {slot} after slot {}",
            node.0,
            cursor.slot
        );
        let chosen = images.chosen(slot);
        check!(
            Durability,
            chosen.is_some(),
            "member {} applies a request in slot {slot}, for which nothing is chosen by durable \
             votes",
            node.0
        );
        let place = if slot == cursor.slot {
            cursor
        } else {
            self.leave(images, node, cursor, slot)?;
            Place { slot, within: 0 }
        };
        check!(
            Order,
            !self.void.contains(&slot),
            "member {} applies a request in slot {slot}, which another passed over",
            node.0
        );
        self.led(node, slot, applied.ballot)?;
        let canon = self.canon.entry(slot).or_default();
        let first = place.within == canon.len();
        if first {
            canon.push((applied.key, applied.reply));
        }
        let known = canon.get(place.within).copied();
        check!(
            Agreement,
            known == Some((applied.key, applied.reply)),
            "member {} {}",
            node.0,
            unlike(applied, place, known)
        );
        self.cursors[node.place()] = Place { slot, within: place.within + 1 };
        Ok((place, first))
    }

    /// `node` applied all of a decree: its state is that of every other that did.
    ///
    /// # Errors
    /// Order, Agreement.
    pub fn on_sealed(&mut self, node: MemberIndex, sealed: &Sealed) -> Checked {
        let Sealed { at: At { slot, .. }, digest } = *sealed;
        self.led(node, slot, sealed.at.ballot)?;
        let known = self.sealed.entry(slot).or_insert(*sealed).digest;
        check!(
            Agreement,
            known == digest,
            "after slot {slot} the state of member {} has the digest {digest:x}, and that of \
             another had {known:x}; {HINT}",
            node.0
        );
        Ok(())
    }

    /// The slots that have an effect. Some are named twice.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.canon.keys().chain(self.sealed.keys()).copied()
    }

    /// What was applied in `slot`, and the digest of the state behind it.
    pub(super) fn decree(&self, slot: Slot) -> Option<Decree<'_>> {
        let sealed = self.sealed.get(&slot);
        let led = self.leaders.get(&slot).map(|ballot| At { slot, ballot: *ballot });
        let requests = self.canon.get(&slot).map_or(&[][..], Vec::as_slice);
        Some((sealed.map(|sealed| sealed.at).or(led)?, requests, sealed.map(|s| s.digest)))
    }

    /// `node` is done with everything below `end`.
    ///
    /// # Errors
    /// Order.
    pub fn on_applied_upto(&mut self, images: &Images, node: MemberIndex, end: Slot) -> Checked {
        let cursor = self.cursors[node.place()];
        if end > cursor.slot {
            self.leave(images, node, cursor, end)?;
            self.cursors[node.place()] = Place { slot: end, within: 0 };
        }
        Ok(())
    }

    /// `node` goes on to slot `next`: it applied all of the slot it was in, and what lies between
    /// has nothing to apply.
    fn leave(&mut self, images: &Images, node: MemberIndex, cursor: Place, next: Slot) -> Checked {
        let others = self.canon.get(&cursor.slot).map_or(0, Vec::len);
        check!(
            Order,
            cursor.within >= others,
            "member {} leaves {cursor}, where another applied {others} requests",
            node.0
        );
        let mut slot = if cursor.within > 0 { cursor.slot.next() } else { cursor.slot };
        while slot < next {
            let others = self.canon.get(&slot).map_or(0, Vec::len);
            check!(
                Order,
                others == 0,
                "member {} goes on to slot {next} without applying slot {slot}, where another \
                 applied {others} requests",
                node.0
            );
            let chosen = images.chosen(slot);
            check!(
                Durability,
                chosen.is_some(),
                "member {} goes on to slot {next}, but nothing is chosen for slot {slot}",
                node.0
            );
            if chosen.is_some_and(|chosen| chosen.bytes != Kind::Noop) {
                self.void.insert(slot);
            }
            slot = slot.next();
        }
        Ok(())
    }

    /// The leaderships of decrees with an effect never go back.
    fn led(&mut self, node: MemberIndex, slot: Slot, ballot: Ballot) -> Checked {
        let before = self.leaders.range(..slot).next_back().map(|(_, ballot)| *ballot);
        let behind = self.leaders.range(slot.next()..).next().map(|(_, ballot)| *ballot);
        let here = *self.leaders.entry(slot).or_insert(ballot);
        let is_between = before.is_none_or(|before| before <= ballot)
            && behind.is_none_or(|behind| ballot <= behind);
        check!(
            Order,
            here == ballot && is_between,
            "member {} applies slot {slot} as of {ballot}; another applied it as of {here}, and \
             the slot before as of {before:?}, the one behind as of {behind:?}",
            node.0
        );
        Ok(())
    }
}

/// How what a member applied at a place differs from what it or another applied there before.
fn unlike(applied: &Applied, place: Place, known: Option<(RequestKey, u64)>) -> String {
    let Applied { key, reply, .. } = *applied;
    match known {
        Some((same, before)) if same == key => format!(
            "replies {reply:x} to {key:?} at {place}, where it or another replied {before:x} \
             before (digests of the replies); {HINT}"
        ),
        Some((other, _)) => {
            format!("applies {key:?} at {place}, where it or another applied {other:?} before")
        }
        None => format!("applies {key:?} at {place}, before which a place is left out"),
    }
}

/// What to ask when the same requests lead to different replies or states.
pub(super) const HINT: &str = "is the state machine deterministic?";

#[cfg(test)]
mod tests {
    use synod_core::NodeId;

    use super::*;

    #[test]
    fn what_differs_is_told_in_one_form() {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let (key, other) = (RequestKey(7 << 32), RequestKey(9 << 32));
        let applied = Applied { slot: Slot(3), ballot, key, reply: 0x1f };
        let place = Place { slot: Slot(3), within: 2 };
        let told = [Some((key, 0x2e)), Some((other, 0x1f))];
        let told = told.map(|known| unlike(&applied, place, known));
        let replies = "replies 1f to r00000007 at slot 3 place 2, where it or another replied 2e";
        assert!(told[0].starts_with(replies) && told[0].ends_with(HINT), "{}", told[0]);
        let requests = "applies r00000007 at slot 3 place 2, where it or another applied r00000009";
        assert!(told[1].starts_with(requests) && !told[1].contains(HINT), "{}", told[1]);
    }
}
