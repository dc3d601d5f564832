//! Reigns (R12, B4): a member says that it leads only while a quorum proves it, with answers to
//! rounds that it sent lately, and while its disk keeps up. And it tells its host so only when
//! something that it proposed itself is chosen (A11).
//!
//! All times are of the member's own clock. It looks once per heartbeat, so that is its grace.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use synod_core::{
    Ballot, Beat, Instant, MemberIndex, NodeId, Proposal, Quorums, Slot, Timeouts, WriteId,
};

use super::Taken;
use crate::violation::{Checked, check};

/// Who leads, as it says itself, and what proves it.
#[derive(Clone, Debug)]
pub struct Reigns {
    members: Vec<NodeId>,
    quorum: usize,
    timeouts: Timeouts,
    nodes: Vec<Reign>,
}

/// The leadership of one member in its present run.
#[derive(Clone, Debug, Default)]
struct Reign {
    /// Zero while it does not lead.
    ballot: Ballot,
    /// Since when it does.
    since: Instant,
    /// When each round of it was first sent.
    rounds: BTreeMap<u64, Instant>,
    /// By member: when the latest round that it answered was sent.
    proven: Vec<Instant>,
    /// The latest ballot in which it proposed anything, and the lowest slot of that. What leaves
    /// first need not be lowest: to a member that was restarted it is whatever is new.
    proposed: (Ballot, Slot),
    /// Writes that are not reported durable, and when they were handed out.
    writes: VecDeque<(WriteId, Instant)>,
}

impl Reigns {
    /// Nobody leads.
    #[must_use]
    pub fn new(members: &[NodeId], quorums: Quorums, timeouts: Timeouts) -> Self {
        let nodes = vec![Reign::default(); members.len()];
        Self { members: members.to_vec(), quorum: quorums.phase2, timeouts, nodes }
    }

    /// A run starts, and does not lead.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.nodes[node.place()] = Reign::default();
    }

    /// The ballot in which `node` says that it leads, zero for none.
    #[must_use]
    pub fn of(&self, node: MemberIndex) -> Ballot {
        self.nodes[node.place()].ballot
    }

    /// `node` hands a write out.
    pub fn on_persist(&mut self, now: Instant, node: MemberIndex, id: WriteId) {
        self.nodes[node.place()].writes.push_back((id, now));
    }

    /// `node` writes or sends proposals.
    pub fn on_proposed(&mut self, node: MemberIndex, proposals: &[Proposal<Bytes>]) {
        let own = self.members[node.place()];
        let Some(Proposal { slot, ballot, .. }) = proposals.first() else { return };
        let proposed = &mut self.nodes[node.place()].proposed;
        let is_lower = *ballot == proposed.0 && *slot < proposed.1;
        if ballot.node == own && (*ballot > proposed.0 || is_lower) {
            *proposed = (*ballot, *slot);
        }
    }

    /// `node` tells its host that it leads in `ballot`; all below `chosen` is chosen.
    ///
    /// # Errors
    /// Reigns.
    pub fn on_announced(&self, node: MemberIndex, ballot: Ballot, chosen: Slot) -> Checked {
        let (proposed, first) = self.nodes[node.place()].proposed;
        check!(
            Reigns,
            proposed == ballot && first < chosen,
            "member {} tells that it leads in {ballot}; only {chosen} slots are chosen, and what \
             it proposed begins with {first} in {proposed}",
            node.0
        );
        Ok(())
    }

    /// Everything up to `upto` is reported durable to `node`.
    pub fn on_persisted(&mut self, node: MemberIndex, upto: WriteId) {
        let writes = &mut self.nodes[node.place()].writes;
        while writes.front().is_some_and(|(id, _)| *id <= upto) {
            writes.pop_front();
        }
    }

    /// `node` took in a message of `from`.
    pub fn on_taken(&mut self, node: MemberIndex, from: MemberIndex, what: &Taken) {
        let reign = &mut self.nodes[node.place()];
        let Taken::Beat(Beat { leader, round, .. }) = *what else { return };
        if leader.is_zero() || leader != reign.ballot {
            return;
        }
        if let Some(sent_at) = reign.rounds.get(&round) {
            let proven = &mut reign.proven[from.place()];
            *proven = (*proven).max(*sent_at);
        }
    }

    /// `node` beats.
    ///
    /// # Errors
    /// Reigns.
    pub fn on_beat_sent(&mut self, now: Instant, node: MemberIndex, beat: &Beat) -> Checked {
        let members = self.members.len();
        let Timeouts { heartbeat, step_down, disk_stall, .. } = self.timeouts;
        let reign = &mut self.nodes[node.place()];
        let leads = beat.leader.node == self.members[node.place()] && !beat.leader.is_zero();
        if !leads {
            reign.ballot = Ballot::ZERO;
            return Ok(());
        }
        if beat.leader != reign.ballot {
            // The promises of a quorum are its first proof.
            (reign.ballot, reign.proven) = (beat.leader, vec![now; members]);
            reign.since = now;
            reign.rounds.clear();
        }
        reign.rounds.entry(beat.round).or_insert(now);
        reign.proven[node.place()] = now;
        let lately = |at: &&Instant| now.since(**at) < step_down + heartbeat;
        let proofs = reign.proven.iter().filter(lately).count();
        check!(
            Reigns,
            proofs >= self.quorum,
            "member {} says at {now:?} that it leads in {}, but the rounds that were answered \
             were sent at {:?}",
            node.0,
            beat.leader,
            reign.proven
        );
        // It may have come to lead since it looked last.
        let has_looked = now.since(reign.since) >= heartbeat;
        let oldest = reign.writes.front().copied().filter(|_| has_looked);
        check!(
            Reigns,
            oldest.is_none_or(|(_, at)| now.since(at) < disk_stall + heartbeat),
            "member {} says at {now:?} that it leads in {}, but its disk stalls: {oldest:?}",
            node.0,
            beat.leader
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use synod_core::Kind;

    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    const OWN: Ballot = Ballot { round: 3, node: NodeId(1) };

    fn beat(round: u64) -> Beat {
        Beat { leader: OWN, round, ..Beat::default() }
    }

    /// A leads since 100, and sent round 1 then.
    fn leading() -> Reigns {
        let timeouts = Timeouts {
            heartbeat: Duration::from_nanos(10),
            step_down: Duration::from_nanos(50),
            disk_stall: Duration::from_nanos(200),
            ..Timeouts::default()
        };
        let members = [NodeId(1), NodeId(2), NodeId(3)];
        let mut reigns = Reigns::new(&members, Quorums::majority(3), timeouts);
        reigns.on_beat_sent(Instant(100), A, &beat(1)).expect("it was promised");
        reigns
    }

    #[test]
    fn a_leader_is_proven_from_when_its_rounds_were_sent() {
        let mut reigns = leading();
        reigns.on_beat_sent(Instant(159), A, &beat(2)).expect("lately enough");
        reigns.on_beat_sent(Instant(160), A, &beat(3)).expect_err("no answer");
        let mut reigns = leading();
        reigns.on_beat_sent(Instant(140), A, &beat(2)).expect("lately enough");
        reigns.on_taken(A, B, &Taken::Beat(beat(1)));
        reigns.on_beat_sent(Instant(160), A, &beat(2)).expect_err("an answer to the first round");
        reigns.on_taken(A, B, &Taken::Beat(beat(2)));
        reigns.on_beat_sent(Instant(160), A, &beat(2)).expect("answered");
        reigns.on_taken(A, B, &Taken::Beat(beat(77)));
        reigns.on_beat_sent(Instant(200), A, &beat(2)).expect_err("no such round was sent");
        reigns.on_beat_sent(Instant(200), A, &Beat::default()).expect("it leads no more");
    }

    #[test]
    fn a_leader_is_none_before_anything_of_it_is_chosen() {
        let mut reigns = leading();
        let proposal = |slot| Proposal { slot: Slot(slot), ballot: OWN, decree: Kind::Noop };
        reigns.on_announced(A, OWN, Slot(9)).expect_err("it proposed nothing");
        reigns.on_proposed(A, &[proposal(4), proposal(5)]);
        reigns.on_proposed(A, &[proposal(6)]);
        reigns.on_announced(A, OWN, Slot(4)).expect_err("nothing of it is chosen");
        reigns.on_announced(A, OWN, Slot(5)).expect("its first proposal is");
        reigns.on_announced(A, OWN, Slot(3)).expect_err("not even the lowest");
        reigns.on_proposed(A, &[proposal(2)]);
        reigns.on_announced(A, OWN, Slot(2)).expect_err("nothing of it is chosen");
        reigns.on_announced(A, OWN, Slot(3)).expect("the lowest left later than the others");
        let next = Ballot { round: 4, ..OWN };
        reigns.on_announced(A, next, Slot(9)).expect_err("that was another leadership");
    }

    #[test]
    fn a_leader_whose_disk_stalls_is_noticed() {
        let after = |upto: u64| {
            let mut reigns = leading();
            reigns.on_persist(Instant(100), A, WriteId(1));
            reigns.on_persist(Instant(200), A, WriteId(2));
            reigns.on_persisted(A, WriteId(upto));
            reigns.on_beat_sent(Instant(105), A, &beat(2)).expect("both are new");
            for now in [140, 180, 220, 260, 300] {
                reigns.on_beat_sent(Instant(now), A, &beat(now)).expect("answered");
                reigns.on_taken(A, B, &Taken::Beat(beat(now)));
            }
            reigns.on_beat_sent(Instant(310), A, &beat(310))
        };
        let mut late = leading();
        late.on_beat_sent(Instant(110), A, &Beat::default()).expect("it leads no more");
        late.on_persist(Instant(100), A, WriteId(1));
        let next = Beat { leader: Ballot { round: 4, ..OWN }, round: 1, ..Beat::default() };
        late.on_beat_sent(Instant(400), A, &next).expect("it has not looked yet");
        late.on_beat_sent(Instant(410), A, &next).expect_err("it has");
        after(0).expect_err("a write takes too long");
        after(1).expect("the other is not old enough");
    }
}
