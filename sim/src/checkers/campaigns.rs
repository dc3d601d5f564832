//! Campaigns (R12): a member asks for promises only when a quorum of both phases has told it that
//! they hear it and follow no other leader. What it was told is watched from outside, beat by beat.
//! And it waits for a time that chance draws, so that not all of them campaign at once (B1).

use synod_core::{Ballot, Beat, Instant, MemberIndex, NodeId, Quorums};

use crate::violation::{Checked, check};

/// What each member was told, and whether that let it campaign.
#[derive(Clone, Debug)]
pub struct Campaigns {
    members: Vec<NodeId>,
    quorums: Quorums,
    nodes: Vec<Told>,
    /// How many campaigns began at the very moment when the last one agreed.
    hasty: u32,
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
    /// When the quorum that agrees became one.
    since: Option<Instant>,
    /// The highest promise that it wrote.
    promised: Ballot,
}

impl Campaigns {
    /// Nobody was told anything.
    #[must_use]
    pub fn new(members: &[NodeId], quorums: Quorums) -> Self {
        let agrees = vec![false; members.len()];
        let (last, promised) = (Ballot::ZERO, Ballot::ZERO);
        let told = Told { agrees, may: false, last, since: None, promised };
        let nodes = vec![told; members.len()];
        let mut campaigns = Self { members: members.to_vec(), quorums, nodes, hasty: 0 };
        for place in 0..members.len() {
            campaigns.on_start(MemberIndex(place as u8));
        }
        campaigns
    }

    /// A run starts, and knows nothing of what earlier ones were told.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.nodes[node.place()].agrees.fill(false);
        self.nodes[node.place()].since = None;
        self.nodes[node.place()].may = self.has_quorum(node);
    }

    /// `node` took in a beat of `from`.
    pub fn on_beat(&mut self, now: Instant, node: MemberIndex, from: MemberIndex, beat: &Beat) {
        let had_quorum = self.has_quorum(node);
        let free = beat.leader.is_zero() || beat.leader.node == self.members[node.place()];
        let agrees = beat.hears.contains(node) && free;
        self.nodes[node.place()].agrees[from.place()] = agrees;
        let has_quorum = self.has_quorum(node);
        self.nodes[node.place()].may |= has_quorum;
        if has_quorum && !had_quorum {
            self.nodes[node.place()].since = Some(now);
        }
    }

    /// `node` writes a record with this promise; an own one is a campaign.
    ///
    /// # Errors
    /// Campaigns.
    pub fn on_promised(&mut self, now: Instant, node: MemberIndex, promised: Ballot) -> Checked {
        let told = &mut self.nodes[node.place()];
        let is_new = promised > told.promised && promised.node == self.members[node.place()];
        told.promised = told.promised.max(promised);
        if is_new && told.since == Some(now) {
            self.hasty += 1;
        }
        check!(
            Campaigns,
            self.hasty < HASTY_MAX,
            "member {} campaigns with {promised} as soon as a quorum agrees, as others did before: \
             chance has no part in it",
            node.0
        );
        Ok(())
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

/// Chance may draw no wait at all, less than once in a million times; not so often in one run.
const HASTY_MAX: u32 = 3;
