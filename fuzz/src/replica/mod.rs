//! Target: a lone replica among peers that may say anything.
//!
//! The replica may refuse; it may not panic, break an invariant, or break a promise that it made,
//! across any number of crashes. Its host is honest: a disk that keeps what it confirmed and any
//! part of the rest in order, a clock that does not go back, a state machine.
//!
//! Made-up numbers alone would never get past the first judgement, so most of what is said is
//! close to what the replica has: its next slot, the ballot it promised, the one above.

pub(crate) mod disk;
mod lone;
pub(crate) mod said;
pub(crate) mod watch;

use arbitrary::{Arbitrary, Result, Unstructured};

use lone::Lone;
pub use lone::Reached;
pub use said::{Oddity, Said};

use crate::plan::{Many, Rarely};
use crate::shorten::Story;

/// A life of a lone replica.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    /// Three, five, or nobody else at all.
    members: u8,
    /// Whether its disk was met by all others before: without that it has no vote.
    votes: bool,
    ops: Many<Op>,
}

impl Story for Case {
    fn leave_out(&mut self, from: usize, end: usize) {
        self.ops.0.drain(from..end);
    }

    fn len(&self) -> usize {
        self.ops.0.len()
    }
}

/// Something that happens to the replica.
#[derive(Clone, Debug)]
pub enum Op {
    /// A message arrives.
    Hear {
        /// The sender, by index.
        from: u8,
        /// What is wrong with its header; mostly nothing is.
        oddity: Rarely<Oddity>,
        /// The message.
        said: Said,
    },
    /// Peers play along, each that has a bit: they beat, promise and accept as asked.
    Support(u8),
    /// A link was made.
    PeerUp(u8),
    /// A link broke.
    PeerDown(u8),
    /// The disk confirms so many writes.
    Persist(u8),
    /// The disk fails, if the number is the highest.
    Fail(u8),
    /// The state machine applies so many of the slots that it was handed.
    Apply(u8),
    /// The host is done serving a peer from the log.
    CaughtUp(u8),
    /// Time passes, in milliseconds.
    Wait(u16),
    /// The next deadline comes.
    Deadline,
    /// A decree of so many bytes is proposed.
    Propose(u8),
    /// The process dies and starts again.
    Restart {
        /// So many of the writes that were not confirmed made it to the disk.
        kept: u8,
        /// The state machine keeps what it applied.
        machine_kept: bool,
    },
}

/// Messages half of the time; the process dies once in a while.
impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 64 {
            0 => Self::PeerUp(u.arbitrary()?),
            32..38 => Self::Support(u.arbitrary()?),
            1 => Self::PeerDown(u.arbitrary()?),
            2..12 => Self::Persist(u.arbitrary()?),
            12 => Self::Fail(u.arbitrary()?),
            13..18 => Self::Apply(u.arbitrary()?),
            18..20 => Self::CaughtUp(u.arbitrary()?),
            20..22 => Self::Wait(u.arbitrary()?),
            22..27 => Self::Deadline,
            27..31 => Self::Propose(u.arbitrary()?),
            31 => Self::Restart { kept: u.arbitrary()?, machine_kept: u.arbitrary()? },
            _hear => {
                Self::Hear { from: u.arbitrary()?, oddity: u.arbitrary()?, said: u.arbitrary()? }
            }
        })
    }
}

/// Runs `case`. Returns what it reached.
///
/// # Panics
/// When the replica does, or when it breaks its word.
#[must_use]
pub fn replica(case: &Case) -> Reached {
    let members = [3, 5, 1].get(usize::from(case.members) % 3).copied().unwrap_or(3);
    let mut lone = Lone::new(members, case.votes);
    lone.drain();
    for op in &case.ops.0 {
        lone.apply(op);
        lone.drain();
    }
    lone.reached()
}
