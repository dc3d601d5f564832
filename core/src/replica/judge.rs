//! The judgement of messages: what does not fit is dropped without effect (C12, G1).

#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use super::Replica;
use crate::{Ballot, Decree, Header, MemberIndex, Message, NodeId, PeerMisbehaved, Proposal, Slot};

impl<D: Decree> Replica<D> {
    /// Whether another member of this very group, configuration and run speaks.
    pub(super) fn judge_header(&mut self, header: &Header) -> Result<MemberIndex, PeerMisbehaved> {
        // Nearly every message comes from the very run that was heard last.
        if let Some(from) = self.peers.iter().position(|peer| peer.header.as_ref() == Some(header))
        {
            return Ok(MemberIndex(from as u8));
        }
        let own = &self.header;
        if header.cluster != own.cluster {
            return Err(PeerMisbehaved::WrongCluster(header.cluster));
        }
        if header.group != own.group {
            return Err(PeerMisbehaved::WrongGroup(header.group));
        }
        if header.epoch != own.epoch {
            return Err(PeerMisbehaved::WrongEpoch(header.epoch));
        }
        let index = self.config.configuration.index_of(header.node);
        let from = index.filter(|index| *index != self.me);
        let from = from.ok_or(PeerMisbehaved::NotAMember(header.node))?;
        let on_record = self.is_on_record(header, from);
        let Some(peer) = self.peers.get_mut(from.place()) else {
            return Err(PeerMisbehaved::NotAMember(header.node));
        };
        if on_record && header.boot < peer.boot {
            return Err(PeerMisbehaved::StaleBoot(header.node, header.boot));
        }
        if on_record && header.boot > peer.boot {
            peer.reboot(header.boot);
            self.on_peer_rebooted(from);
        }
        if on_record && let Some(peer) = self.peers.get_mut(from.place()) {
            // The record of an incarnation never changes, and a later boot has another header.
            peer.header = Some(*header);
        }
        Ok(from)
    }

    /// Whether the message makes sense coming from `from`, before anything looks at it.
    pub(super) fn judge_message(
        &mut self,
        header: &Header,
        from: MemberIndex,
        message: &Message<'_, D>,
    ) -> Result<(), PeerMisbehaved> {
        // Whoever lost its disk may still learn; everything else takes the disk on record (R10).
        if !matches!(message, Message::Learn { .. }) {
            self.judge_incarnation(header, from)?;
        }
        let node = header.node;
        match *message {
            Message::Beat(beat) => {
                judge_round(node, beat.leader)?;
                judge_round(node, beat.promised)?;
                judge_slot(node, beat.decided)
            }
            Message::Prepare { ballot, from } => {
                judge_owner(node, ballot, node)?;
                judge_slot(node, from)
            }
            Message::Promise { ballot, from, end, limit, decided, retained, proposals } => {
                judge_owner(node, ballot, self.header.node)?;
                judge_slot(node, limit)?;
                judge_slot(node, decided)?;
                judge_slot(node, retained)?;
                if from > end || end > limit {
                    return Err(PeerMisbehaved::SlotsNotContiguous(node, from));
                }
                self.judge_sizes(node, proposals)?;
                judge_report(node, ballot, from, end, proposals)
            }
            Message::Accept { ballot, from, proposals, decided } => {
                judge_owner(node, ballot, node)?;
                judge_slot(node, decided)?;
                self.judge_sizes(node, proposals)?;
                judge_run(node, from, proposals)?;
                if proposals.iter().any(|proposal| proposal.ballot != ballot) {
                    return Err(PeerMisbehaved::BadBallot(node, ballot));
                }
                Ok(())
            }
            Message::Accepted { ballot, end, resend: _ } => {
                judge_owner(node, ballot, self.header.node)?;
                judge_slot(node, end)
            }
            Message::Nack { refused, promised } => {
                judge_owner(node, refused, self.header.node)?;
                judge_round(node, promised)?;
                if promised > refused {
                    Ok(())
                } else {
                    Err(PeerMisbehaved::BadBallot(node, promised))
                }
            }
            Message::Learn { from } => judge_slot(node, from),
            Message::Learned { from, proposals, decided } => {
                judge_slot(node, decided)?;
                self.judge_sizes(node, proposals)?;
                judge_run(node, from, proposals)?;
                proposals.iter().try_for_each(|proposal| judge_round(node, proposal.ballot))
            }
        }
    }

    fn judge_sizes(&self, node: NodeId, proposals: &[Proposal<D>]) -> Result<(), PeerMisbehaved> {
        let max = self.config.limits.decree_bytes_max;
        let too_large = |proposal: &Proposal<D>| proposal.decree.size_bytes() > max;
        if proposals.iter().any(too_large) {
            return Err(PeerMisbehaved::TooLarge(node));
        }
        Ok(())
    }
}

/// A ballot that `owner` owns, within bounds.
fn judge_owner(node: NodeId, ballot: Ballot, owner: NodeId) -> Result<(), PeerMisbehaved> {
    if ballot.node != owner || ballot.is_zero() {
        return Err(PeerMisbehaved::BadBallot(node, ballot));
    }
    judge_round(node, ballot)
}

fn judge_round(node: NodeId, ballot: Ballot) -> Result<(), PeerMisbehaved> {
    if ballot.round >= Ballot::ROUND_LIMIT {
        return Err(PeerMisbehaved::BadBallot(node, ballot));
    }
    Ok(())
}

fn judge_slot(node: NodeId, slot: Slot) -> Result<(), PeerMisbehaved> {
    if slot >= Slot::LIMIT {
        return Err(PeerMisbehaved::SlotsNotContiguous(node, slot));
    }
    Ok(())
}

/// Consecutive slots from `from` on.
fn judge_run<D>(node: NodeId, from: Slot, proposals: &[Proposal<D>]) -> Result<(), PeerMisbehaved> {
    judge_slot(node, from)?;
    let mut expected = from;
    for proposal in proposals {
        judge_slot(node, proposal.slot)?;
        if proposal.slot != expected {
            return Err(PeerMisbehaved::SlotsNotContiguous(node, expected));
        }
        expected = expected.next();
    }
    Ok(())
}

/// A proposal for each slot of `from..end`, at a ballot that can have come before the promise.
fn judge_report<D>(
    node: NodeId,
    promised: Ballot,
    from: Slot,
    end: Slot,
    proposals: &[Proposal<D>],
) -> Result<(), PeerMisbehaved> {
    judge_run(node, from, proposals)?;
    // R1: no log has a gap above `decided`, so a part without proposals is an empty one.
    if from.plus(proposals.len() as u64) != end {
        return Err(PeerMisbehaved::SlotsNotContiguous(node, end));
    }
    for proposal in proposals {
        if proposal.ballot > promised || proposal.ballot.is_zero() {
            return Err(PeerMisbehaved::BadBallot(node, proposal.ballot));
        }
    }
    Ok(())
}
