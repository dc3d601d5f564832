//! Who writes into the log: what an honest replica could hand out, one record after the other.

use arbitrary::Arbitrary;
use bytes::Bytes;
use synod_core::{Ballot, Body, Incarnation, Kind, NodeId, Proposal, Record, Recovered, Slot};

use crate::replay::Twin;

/// What the next record says.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Says {
    /// Up to four slots are accepted, some of them anew, perhaps in a new ballot.
    Accepted {
        /// So many open slots once more.
        back: u8,
        /// So many slots.
        count: u8,
        /// In the next ballot.
        anew: bool,
    },
    /// Up to four slots are learned, and decided with it or not.
    Learned {
        /// So many slots.
        count: u8,
        /// The mark goes up to their end.
        decided: bool,
    },
    /// A promise.
    Promised,
    /// The mark goes up by so many of the open slots.
    Decided(u8),
    /// The right to vote, or its loss, and so many members.
    Roster(bool, u8),
}

/// A record with all that it borrows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub(super) promised: Ballot,
    pub(super) decided: Slot,
    body: Contents,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Contents {
    Mark,
    Accepted(Vec<Proposal<Bytes>>),
    Learned(Vec<Proposal<Bytes>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

impl Note {
    /// A copy of `record`.
    pub(super) fn of(record: &Record<'_, Bytes>) -> Self {
        let body = match record.body {
            Body::Mark => Contents::Mark,
            Body::Accepted(run) => Contents::Accepted(run.to_vec()),
            Body::Learned(run) => Contents::Learned(run.to_vec()),
            Body::Roster { votes, members } => Contents::Roster(votes, members.to_vec()),
        };
        Self { promised: record.promised, decided: record.decided, body }
    }

    /// What a replica that starts from `recovered` may write first: the next slot in the next
    /// ballot, or a mere mark where there is none.
    pub(super) fn after(recovered: &Recovered<Bytes>) -> Self {
        let Recovered { promised, decided, .. } = *recovered;
        let end = recovered.accepted.last().map_or(decided, |last| last.slot.next());
        if promised.round + 1 >= LIMIT || end.0 + 1 >= LIMIT {
            return Self { promised, decided, body: Contents::Mark };
        }
        let promised = Ballot { round: promised.round + 1, ..promised };
        let run = vec![proposal(end, promised, promised.round)];
        Self { promised, decided, body: Contents::Accepted(run) }
    }

    /// The record.
    pub(super) fn record(&self) -> Record<'_, Bytes> {
        let body = match &self.body {
            Contents::Mark => Body::Mark,
            Contents::Accepted(run) => Body::Accepted(run),
            Contents::Learned(run) => Body::Learned(run),
            Contents::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: self.promised, decided: self.decided, body }
    }

    /// The proposals in it.
    pub(super) fn proposals(&self) -> &[Proposal<Bytes>] {
        match &self.body {
            Contents::Accepted(run) | Contents::Learned(run) => run,
            Contents::Mark | Contents::Roster(..) => &[],
        }
    }
}

/// Where the replica is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Author {
    round: u64,
    decided: Slot,
    end: Slot,
}

impl Author {
    /// Goes on from what a log has.
    pub(super) fn after(twin: &Twin) -> Self {
        Self { round: twin.promised().round, decided: twin.decided(), end: twin.end() }
    }

    /// The next record.
    pub(super) fn write(&mut self, says: Says) -> Note {
        let body = match says {
            Says::Accepted { back, count, anew } => {
                self.round += u64::from(anew || self.round == 0);
                let open = self.end.0 - self.decided.0;
                let from = self.end.0 - u64::from(back % 4).min(open);
                let end = from + 1 + u64::from(count % 4);
                self.end = self.end.max(Slot(end));
                let ballot = self.ballot();
                let run = (from..end).map(|slot| proposal(Slot(slot), ballot, ballot.round));
                Contents::Accepted(run.collect())
            }
            Says::Learned { count, decided } => {
                let from = self.decided;
                let end = Slot(from.0 + 1 + u64::from(count % 4));
                self.end = self.end.max(end);
                if decided {
                    self.decided = end;
                }
                // The round of what is chosen is any; the decree is the slot's one and only.
                let learned = |slot| proposal(Slot(slot), self.ballot(), 0);
                Contents::Learned((from.0..end.0).map(learned).collect())
            }
            Says::Promised => {
                self.round += 1;
                Contents::Mark
            }
            Says::Decided(by) => {
                self.decided = self.end.min(Slot(self.decided.0 + u64::from(by % 8)));
                Contents::Mark
            }
            Says::Roster(votes, count) => {
                let members = (1..=u64::from(count % 10)).map(|id| (NodeId(id), Incarnation(id)));
                Contents::Roster(votes, members.collect())
            }
        };
        Note { promised: self.ballot(), decided: self.decided, body }
    }

    const fn ballot(&self) -> Ballot {
        if self.round == 0 { Ballot::ZERO } else { Ballot { round: self.round, node: NodeId(2) } }
    }
}

/// The one decree of a slot in a ballot: a no-op once in a while, up to 300 bytes otherwise.
fn proposal(slot: Slot, ballot: Ballot, salt: u64) -> Proposal<Bytes> {
    let mixed = slot.0.wrapping_mul(37).wrapping_add(salt.wrapping_mul(11));
    let decree = match mixed % 16 {
        0 => Kind::Noop,
        _some => Kind::App(Bytes::from(vec![mixed as u8; (mixed % 301) as usize])),
    };
    Proposal { slot, ballot, decree }
}

/// Slots and rounds stay below this one.
const LIMIT: u64 = 1 << 62;
