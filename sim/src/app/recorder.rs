//! What the clients of registers did and heard, by register, and whether it has an order.

use std::collections::BTreeMap;

use super::registers::{Done, Operation as Call};
use super::{Ending, Tag, Tally};
use crate::checkers::linearizable::{Model, Operation, Verdict, search};
use crate::violation::{Checked, check};

/// One register, as the search for an order knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register {
    /// Sums stay in the family of the value that was written: no history adds so much that they
    /// leave it.
    has_families: bool,
    /// What all additions without a reply come to.
    added_open: u64,
}

/// An operation on a register.
pub type RegisterOperation = Operation<Call, Done>;

/// The histories of all registers.
#[derive(Debug, Default)]
pub struct Recorder {
    events: u64,
    /// Under way: of which register, and which of its operations.
    open: BTreeMap<Tag, (u16, usize)>,
    registers: BTreeMap<u16, Vec<Recorded>>,
}

/// An operation, and whose it is; refused ones did nothing.
#[derive(Debug)]
struct Recorded {
    tag: Tag,
    refused: bool,
    operation: RegisterOperation,
}

impl Register {
    /// The register that `history` is of.
    #[must_use]
    pub fn of(history: &[RegisterOperation]) -> Self {
        let added = history.iter().map(|operation| match operation.call {
            Call::Add(more) => more,
            Call::Get | Call::Put(_) | Call::Swap { .. } => 0,
        });
        let added = added.fold(0, u64::saturating_add);
        let fits = history.iter().all(|operation| match operation.call {
            Call::Put(value) | Call::Swap { new: value, .. } => {
                (value & (FAMILY - 1)).saturating_add(added) < FAMILY
            }
            Call::Get | Call::Add(_) => true,
        });
        let open = history.iter().filter(|operation| operation.ended.is_none());
        let added_open = open.map(|operation| match operation.call {
            Call::Add(more) => more,
            Call::Get | Call::Put(_) | Call::Swap { .. } => 0,
        });
        let added_open = added_open.fold(0, u64::saturating_add);
        Self { has_families: fits && added < FAMILY, added_open }
    }
}

/// Values that are written lie so far apart that sums tell which of them they are of.
pub const FAMILY: u64 = 1 << 32;

impl Model for Register {
    type State = u64;
    type Call = Call;
    type Reply = Done;

    fn initial(&self) -> u64 {
        0
    }

    fn step(&self, state: &u64, (call, reply): (&Call, Option<&Done>)) -> Option<u64> {
        let (after, done) = call.run(*state);
        reply.is_none_or(|reply| *reply == done).then_some(after)
    }

    fn overwrites(&self, call: &Call) -> bool {
        match call {
            Call::Put(_) => true,
            Call::Get | Call::Swap { .. } | Call::Add(_) => false,
        }
    }

    fn family(&self, state: &u64) -> u64 {
        if self.has_families { state / FAMILY } else { 0 }
    }

    fn makes(&self, call: &Call) -> Option<u64> {
        match call {
            Call::Put(value) | Call::Swap { new: value, .. } => Some(self.family(value)),
            Call::Get | Call::Add(_) => None,
        }
    }

    fn needs(&self, call: &Call, reply: Option<&Done>) -> Option<u64> {
        match (call, reply) {
            (Call::Get | Call::Swap { .. }, Some(Done::Held(held))) => Some(*held),
            (Call::Add(more), Some(Done::Sum(sum))) => Some(sum.wrapping_sub(*more)),
            (Call::Swap { expected, .. }, None) => Some(*expected),
            // A reply of another kind fits in no state.
            (Call::Get | Call::Swap { .. } | Call::Add(_) | Call::Put(_), _) => None,
        }
    }

    fn may_reach(&self, from: &u64, to: &u64) -> bool {
        to.wrapping_sub(*from) <= self.added_open
    }
}

impl Recorder {
    /// An operation is sent.
    pub fn sent(&mut self, tag: Tag, operation: &[u8]) {
        let Some((key, call)) = Call::decode(operation) else { return };
        self.events += 1;
        let register = self.registers.entry(key).or_default();
        self.open.insert(tag, (key, register.len()));
        let operation = Operation { call, began: self.events, ended: None };
        register.push(Recorded { tag, refused: false, operation });
    }

    /// An operation has its outcome.
    pub fn ended(&mut self, tag: Tag, ending: &Ending) {
        self.events += 1;
        let Some((key, place)) = self.open.remove(&tag) else { return };
        let register = self.registers.get_mut(&key);
        let Some(recorded) = register.and_then(|register| register.get_mut(place)) else { return };
        match ending {
            Ending::Applied(_) => {
                let done = ending.reply::<Done>().copied();
                recorded.operation.ended = done.map(|done| (self.events, done));
            }
            Ending::Refused(_) => recorded.refused = true,
            Ending::Unknown => {}
        }
    }

    /// Searches the history of each register for an order.
    ///
    /// # Errors
    /// Linearizable.
    pub fn judge(&self, steps_max: u64, tally: &mut Tally) -> Checked {
        for (key, recorded) in &self.registers {
            let kept: Vec<&Recorded> = recorded.iter().filter(|one| !one.refused).collect();
            let history: Vec<RegisterOperation> =
                kept.iter().map(|one| one.operation.clone()).collect();
            let ended = history.iter().filter(|operation| operation.ended.is_some()).count();
            tally.ended += ended as u64;
            tally.open += (history.len() - ended) as u64;
            match search(&Register::of(&history), &history, steps_max) {
                Verdict::Ordered { .. } => tally.ordered += 1,
                Verdict::Undecided => tally.undecided += 1,
                Verdict::Impossible { stuck, state, placed } => {
                    let Tag { client, serial } = kept[stuck].tag;
                    let RegisterOperation { call, ended, .. } = history[stuck];
                    let heard = ended.map(|(_, done)| done);
                    check!(
                        Linearizable,
                        false,
                        "no order explains what the clients of register {key} heard: client \
                         {client} heard {heard:?} to {call:?}, its request {serial}; the longest \
                         order has {placed} operations and ends with the register at {state:#x}"
                    );
                }
            }
        }
        Ok(())
    }
}
