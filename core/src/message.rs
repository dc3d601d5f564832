//! The messages of the protocol.

use core::fmt;

use crate::{Ballot, Incarnation, MEMBERS_MAX, NodeSet, Proposal, Slot};

/// A message between two replicas. Bodies are borrowed: from the window of the replica that sends,
/// from the scratch of the decoder at the one that receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a, D> {
    /// Liveness, the leader's round, and who hears whom. Uses no slot and no disk write.
    Beat(Beat),
    /// Phase 1a: asks for promises of `ballot`, and for what was accepted at or above `from`.
    Prepare {
        /// The ballot to promise; its node is the sender.
        ballot: Ballot,
        /// The sender knows everything below to be decided.
        from: Slot,
    },
    /// Phase 1b, one part of it. Parts are sequenced: `from` is the `end` of the part before.
    Promise {
        /// The ballot promised; durable before this leaves (C1).
        ballot: Ballot,
        /// The first slot that this part reports on.
        from: Slot,
        /// The end of this part, which has a proposal for each slot of `from..end` (R1: no gaps).
        end: Slot,
        /// The end of the last part.
        limit: Slot,
        /// Everything below is decided; the sender reports nothing on it.
        decided: Slot,
        /// The first slot that the sender can still serve to a replica that catches up.
        retained: Slot,
        /// What the sender accepted, highest ballot per slot, in the order of slots.
        proposals: &'a [Proposal<D>],
    },
    /// Phase 2a. Without proposals it is a notice of what is decided, or a probe.
    Accept {
        /// The sender's ballot.
        ballot: Ballot,
        /// The slot of the first proposal.
        from: Slot,
        /// A run of proposals of `ballot`, without gaps.
        proposals: &'a [Proposal<D>],
        /// Everything below is decided (C8).
        decided: Slot,
    },
    /// Phase 2b: everything below `end` is accepted in `ballot`, and durable here (R1, R2).
    Accepted {
        /// The ballot accepted in.
        ballot: Ballot,
        /// Cumulative.
        end: Slot,
        /// The sender saw a gap: send again from `end`.
        resend: bool,
    },
    /// Refuses a ballot and teaches the higher one promised here. First-hand only.
    Nack {
        /// The ballot refused; its node is the addressee.
        refused: Ballot,
        /// What the sender promised instead.
        promised: Ballot,
    },
    /// Asks for chosen decrees at or above `from`.
    Learn {
        /// The sender's `decided`.
        from: Slot,
    },
    /// Chosen decrees, without gaps, from `from` on.
    Learned {
        /// The slot of the first proposal.
        from: Slot,
        /// Each is chosen; its ballot is one in which it was proposed.
        proposals: &'a [Proposal<D>],
        /// The sender's `decided`: how far it can still help.
        decided: Slot,
    },
}

/// The body of [`Message::Beat`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beat {
    /// The ballot of the leader that the sender hears (its own, when it leads); zero for none.
    pub leader: Ballot,
    /// From the leader: the number of its latest round. From others: the latest round of `leader`
    /// that they heard.
    pub round: u64,
    /// The sender's own promise, durable. Never a ballot known second-hand (R12).
    pub promised: Ballot,
    /// The sender's `decided`.
    pub decided: Slot,
    /// The members that the sender hears.
    pub hears: NodeSet,
    /// The incarnation that the sender has on record for each member, by index (R10).
    pub roster: [Incarnation; MEMBERS_MAX],
}

impl<D> Message<'_, D> {
    /// The name of the message, as counters and transcripts show it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Beat(_) => "beat",
            Self::Prepare { .. } => "1a",
            Self::Promise { .. } => "1b",
            Self::Accept { .. } => "2a",
            Self::Accepted { .. } => "2b",
            Self::Nack { .. } => "nack",
            Self::Learn { .. } => "learn",
            Self::Learned { .. } => "learned",
        }
    }

    /// The proposals that it carries; none for most messages.
    #[must_use]
    pub const fn proposals(&self) -> &[Proposal<D>] {
        match self {
            Self::Promise { proposals, .. }
            | Self::Accept { proposals, .. }
            | Self::Learned { proposals, .. } => proposals,
            Self::Beat(_)
            | Self::Prepare { .. }
            | Self::Accepted { .. }
            | Self::Nack { .. }
            | Self::Learn { .. } => &[],
        }
    }
}

/// As transcripts show it: `2a 1.0 [0=x@1.0] decided=0`.
impl<D: fmt::Display> fmt::Display for Message<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beat(beat) => {
                write!(f, "beat leader={} round={} ", beat.leader, beat.round)?;
                write!(f, "promised={} decided={}", beat.promised, beat.decided)
            }
            Self::Prepare { ballot, from } => write!(f, "1a {ballot} from={from}"),
            Self::Promise { ballot, from, end, limit, decided, retained: _, proposals } => {
                write!(f, "1b {ballot} {from}..{end} {}", Run(proposals))?;
                if end < limit {
                    write!(f, " …")?;
                }
                write!(f, " decided={decided}")
            }
            Self::Accept { ballot, from, proposals, decided } => {
                if proposals.is_empty() {
                    return write!(f, "2a {ballot} [] from={from} decided={decided}");
                }
                write!(f, "2a {ballot} {} decided={decided}", Run(proposals))
            }
            Self::Accepted { ballot, end, resend } => {
                write!(f, "2b {ballot} end={end}{}", if *resend { " resend" } else { "" })
            }
            Self::Nack { refused, promised } => write!(f, "nack {refused} promised={promised}"),
            Self::Learn { from } => write!(f, "learn from={from}"),
            Self::Learned { from, proposals, decided } => {
                write!(f, "learned from={from} {} decided={decided}", Run(proposals))
            }
        }
    }
}

/// A run of proposals, as transcripts show it: `[0=x@1.0 1=y@1.0]`.
pub(crate) struct Run<'a, D>(pub(crate) &'a [Proposal<D>]);

impl<D: fmt::Display> fmt::Display for Run<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (place, proposal) in self.0.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{proposal}")?;
        }
        f.write_str("]")
    }
}
