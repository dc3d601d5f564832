//! The way from a log's records back to the state of a replica.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::{Ballot, Body, Boot, Incarnation, NodeId, Proposal, Record, Recovered, Slot};

/// Takes the records of a log in order and keeps what [`Recovered`] needs: the highest promise,
/// the highest mark, the proposals at or above it, the last roster.
///
/// Its memory is that of the open tail: whatever a later mark covers is let go at once.
#[derive(Clone, Debug)]
pub struct Replay<D> {
    promised: Ballot,
    decided: Slot,
    /// Invariant: no slot below `decided`.
    open: BTreeMap<Slot, Held<D>>,
    votes: bool,
    roster: Vec<(NodeId, Incarnation)>,
}

/// What the log says of one open slot.
#[derive(Clone, Debug)]
struct Held<D> {
    proposal: Proposal<D>,
    /// Known to be chosen.
    learned: bool,
}

/// Why the records of a log are not the state of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplayError {
    /// Nothing is on record for this slot although there is for a later one: records are missing.
    Gap {
        /// The first slot without a proposal.
        slot: Slot,
    },
    /// The log was trimmed above everything that it knows to be decided.
    TrimmedOpen {
        /// The highest mark.
        decided: Slot,
        /// The first slot that the log can still read back.
        retained: Slot,
    },
}

impl<D: Clone> Replay<D> {
    /// Before the first record.
    #[must_use]
    pub const fn new() -> Self {
        let (promised, decided) = (Ballot::ZERO, Slot::ZERO);
        Self { promised, decided, open: BTreeMap::new(), votes: false, roster: Vec::new() }
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &Record<'_, D>) {
        self.promised = self.promised.max(record.promised);
        match record.body {
            Body::Mark => {}
            Body::Accepted(run) => run.iter().for_each(|proposal| self.accepted(proposal)),
            Body::Learned(run) => run.iter().for_each(|proposal| self.learned(proposal)),
            Body::Roster { votes, members } => {
                self.votes = votes;
                self.roster.clear();
                self.roster.extend_from_slice(members);
            }
        }
        if record.decided > self.decided {
            self.decided = record.decided;
            self.open = self.open.split_off(&self.decided);
        }
    }

    /// The highest mark so far.
    #[must_use]
    pub const fn decided(&self) -> Slot {
        self.decided
    }

    /// The state that the records amount to. `applied` is zero: the host sets it to what its state
    /// machine holds.
    ///
    /// # Errors
    /// When the open slots are not one run from the mark on, or the mark lies below `retained`:
    /// the log has lost records, and to start from it could break a promise.
    pub fn finish(
        self,
        incarnation: Incarnation,
        boot: Boot,
        retained: Slot,
    ) -> Result<Recovered<D>, ReplayError> {
        let Self { promised, decided, open, votes, roster } = self;
        if retained > decided {
            return Err(ReplayError::TrimmedOpen { decided, retained });
        }
        let mut accepted = Vec::with_capacity(open.len());
        let mut expected = decided;
        for (slot, held) in open {
            if slot != expected {
                return Err(ReplayError::Gap { slot: expected });
            }
            expected = slot.next();
            accepted.push(held.proposal);
        }
        let applied = Slot::ZERO;
        Ok(Recovered {
            incarnation,
            boot,
            promised,
            decided,
            retained,
            applied,
            accepted,
            roster,
            votes,
        })
    }

    fn accepted(&mut self, proposal: &Proposal<D>) {
        // R8: an accept is a promise of its ballot, whatever became of the record of the promise.
        self.promised = self.promised.max(proposal.ballot);
        if proposal.slot < self.decided {
            return;
        }
        match self.open.get_mut(&proposal.slot) {
            // R5: what was learned is chosen, and outranks every ballot.
            Some(held) if held.learned => {}
            // A sound log never goes back; were it to, the highest ballot is what 1b must report.
            Some(held) if held.proposal.ballot > proposal.ballot => {}
            Some(held) => held.proposal = proposal.clone(),
            None => self.hold(proposal, false),
        }
    }

    fn learned(&mut self, proposal: &Proposal<D>) {
        // What is held is reported as accepted in its ballot, so nothing below that ballot may be
        // promised any more. To promise more than was asked for is always safe.
        self.promised = self.promised.max(proposal.ballot);
        if proposal.slot >= self.decided {
            self.hold(proposal, true);
        }
    }

    fn hold(&mut self, proposal: &Proposal<D>, learned: bool) {
        self.open.insert(proposal.slot, Held { proposal: proposal.clone(), learned });
    }
}

impl<D: Clone> Default for Replay<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { slot } => write!(
                f,
                "the log holds nothing for slot {slot} and yet something for a later one: records \
                 are missing; restore this replica from its peers"
            ),
            Self::TrimmedOpen { decided, retained } => write!(
                f,
                "the log starts at slot {retained}, above everything it knows to be decided \
                 (slot {decided}): records are missing; restore this replica from its peers"
            ),
        }
    }
}

impl core::error::Error for ReplayError {}
