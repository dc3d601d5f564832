//! Campaigns (R12): a member asks for promises only when a quorum of both phases has told it that
//! they hear it and follow no other leader. What it was told is watched from outside, beat by beat.

use synod_core::{Ballot, Beat, MemberIndex, NodeId, Quorums};

use crate::violation::{Checked, check};

/// What each member was told, and whether that let it campaign.
#[derive(Clone, Debug)]
pub struct Campaigns {
    members: Vec<NodeId>,
    quorums: Quorums,
    nodes: Vec<Told>,
}

/// What one member was told in its present run.
#[derive(Clone, Debug)]
struct Told {
    /// By each member: whether its last beat agrees to a campaign.
    agrees: Vec<bool>,
    /// Whether a quorum agreed at any time since its last campaign.
    may: bool,
    /// The ballot of that.
    last: Ballot,
}

impl Campaigns {
    /// Nobody was told anything.
    #[must_use]
    pub fn new(members: &[NodeId], quorums: Quorums) -> Self {
        let agrees = vec![false; members.len()];
        let told = Told { agrees, may: false, last: Ballot::ZERO };
        let mut campaigns =
            Self { members: members.to_vec(), quorums, nodes: vec![told; members.len()] };
        for place in 0..members.len() {
            campaigns.on_start(MemberIndex(place as u8));
        }
        campaigns
    }

    /// A run starts, and knows nothing of what earlier ones were told.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.nodes[node.place()].agrees.fill(false);
        self.nodes[node.place()].may = self.has_quorum(node);
    }

    /// `node` took in a beat of `from`.
    pub fn on_beat(&mut self, node: MemberIndex, from: MemberIndex, beat: &Beat) {
        let free = beat.leader.is_zero() || beat.leader.node == self.members[node.place()];
        let agrees = beat.hears.contains(node) && free;
        self.nodes[node.place()].agrees[from.place()] = agrees;
        self.nodes[node.place()].may |= self.has_quorum(node);
    }

    /// `node` asks for promises of `ballot`.
    ///
    /// # Errors
    /// Campaigns.
    pub fn on_prepare(&mut self, node: MemberIndex, ballot: Ballot) -> Checked {
        let has_quorum = self.has_quorum(node);
        let told = &mut self.nodes[node.place()];
        if ballot == told.last {
            return Ok(());
        }
        check!(
            Campaigns,
            told.may,
            "member {} asks for promises of {ballot}, but no quorum told it that it may: {:?}",
            node.0,
            told.agrees
        );
        told.last = ballot;
        told.may = has_quorum;
        Ok(())
    }

    fn has_quorum(&self, node: MemberIndex) -> bool {
        let agrees = &self.nodes[node.place()].agrees;
        let others = agrees.iter().filter(|agrees| **agrees).count();
        others + 1 >= self.quorums.both()
    }
}
