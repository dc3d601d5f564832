//! Somebody comes to lead who lacks a ring of slots and more. The first report that it gets is of
//! a member that lags as far behind; then it learns what it lacks, and gets reports on slots that
//! have the places of the first ones in its ring.

use synod_core::{Ballot, MemberIndex, NodeSet, Slot, Standing};

use super::Nemesis;
use super::plots::{self, Next, Plot};
use crate::clock::nanos;
use crate::kinds::{Kinds, MessageKind};
use crate::network::Verdict;
use crate::world::World;

/// Who lags, and how far it is with that.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    leader: MemberIndex,
    ballot: Ballot,
    /// It will come to lead.
    pub(super) one: MemberIndex,
    /// It reports first.
    witness: MemberIndex,
    /// What is in force.
    rules: Vec<u32>,
    stage: Stage,
    /// How often still it is looked, before the one comes to lead or from then on.
    looks: u32,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The witness has to hold something that it does not know to be decided.
    Strand,
    /// The others go on, until what is open there has the place of what the witness holds.
    Fill,
    /// Nothing more is decided; this slot has to be accepted by somebody else, in so many looks.
    Freeze(Slot, u32),
    /// The one has to ask for promises; it does so since the last look.
    Lead(bool),
    /// It learns, and leads.
    Learn,
}

/// What a member has decided, and the end of what it holds.
pub(super) fn cursors(world: &World, member: MemberIndex) -> Option<(Slot, Slot)> {
    let replica = world.service(member)?.replica();
    Some((replica.decided(), replica.next_slot()))
}

impl Nemesis {
    pub(super) fn begin_ring(&mut self, world: &mut World, one: MemberIndex) -> Next {
        let (leader, ballot) = plots::leader(world)?;
        let (members, quorums) = (world.nodes.len(), world.options.quorums);
        let others = world.members().filter(|member| *member != leader && *member != one);
        let mut others: Vec<MemberIndex> = others.collect();
        self.plots.shuffle(&mut others);
        // The others decide without the two, and are a quorum with them when the leader is gone.
        let is_possible =
            one != leader && members >= quorums.phase2 + 2 && members > quorums.both();
        let witness = *others.first().filter(|_| is_possible && others.len() > 1)?;
        let mut ring = Ring {
            leader,
            ballot,
            one,
            witness,
            rules: Vec::new(),
            stage: Stage::Strand,
            looks: FILL_LOOKS,
        };
        self.leave_out(world, &mut ring, one);
        Some((LOOK_NANOS, Plot::Ring(ring)))
    }

    /// `member` hears of nothing that is proposed, decided or chosen.
    fn leave_out(&mut self, world: &mut World, ring: &mut Ring, member: MemberIndex) {
        let kinds = [MessageKind::Accept, MessageKind::Notice, MessageKind::Learned];
        let everyone = NodeSet::first(world.nodes.len());
        self.silence(world, ring, (everyone, NodeSet::of(member)), Kinds::from(kinds));
    }

    fn silence(
        &mut self,
        world: &mut World,
        ring: &mut Ring,
        (from, to): (NodeSet, NodeSet),
        kinds: Kinds,
    ) {
        let rule = world.network.add_rule(from, to, kinds, Verdict::Drop(u32::MAX));
        self.rules.push(rule);
        ring.rules.push(rule);
    }

    /// Takes the last rule back.
    fn relent(&mut self, world: &mut World, ring: &mut Ring) {
        let last = ring.rules.pop();
        self.lift_all(world, last.as_slice());
    }

    pub(super) fn step_ring(&mut self, world: &mut World, mut ring: Ring) -> Next {
        let is_early = matches!(ring.stage, Stage::Strand | Stage::Fill | Stage::Freeze(..));
        let gone = is_early && plots::led_by(world, ring.leader) != Some(ring.ballot);
        if gone || ring.looks == 0 {
            return self.end_ring(world, &ring);
        }
        ring.looks -= 1;
        let wait = match ring.stage {
            Stage::Strand => self.strand(world, &mut ring),
            Stage::Fill => self.fill(world, &mut ring),
            Stage::Freeze(slot, left) => self.freeze(world, &mut ring, (slot, left)),
            Stage::Lead(_) | Stage::Learn => self.let_lead(world, &mut ring),
        };
        match wait {
            Some(wait) => Some((wait, Plot::Ring(ring))),
            None => self.end_ring(world, &ring),
        }
    }

    fn end_ring(&mut self, world: &mut World, ring: &Ring) -> Next {
        self.lift_all(world, &ring.rules);
        if matches!(ring.stage, Stage::Lead(_) | Stage::Learn) {
            world.mend();
        }
        None
    }

    /// What the witness holds and neither of the two knows to be decided.
    fn stranded(world: &World, ring: &Ring) -> Option<Option<(Slot, Slot)>> {
        let (known, held) = cursors(world, ring.witness)?;
        let known = known.max(cursors(world, ring.one)?.0);
        Some((known < held).then_some((known, held)))
    }

    fn strand(&mut self, world: &mut World, ring: &mut Ring) -> Option<u64> {
        if Self::stranded(world, ring)?.is_some() {
            let witness = ring.witness;
            self.leave_out(world, ring, witness);
            ring.stage = Stage::Fill;
        } else {
            // Perhaps nobody asks for anything: that is not waited for so long.
            ring.looks = ring.looks.saturating_sub(STRAND_COST);
        }
        Some(LOOK_NANOS)
    }

    fn fill(&mut self, world: &mut World, ring: &mut Ring) -> Option<u64> {
        let Some((known, held)) = Self::stranded(world, ring)? else {
            // What was on its way told more.
            self.relent(world, ring);
            ring.stage = Stage::Strand;
            return Some(LOOK_NANOS);
        };
        let (decided, _) = cursors(world, ring.leader)?;
        let slots = world.options.limits.window as u64 * 2;
        let open = world.options.service.pipeline.min(world.options.limits.window) as u64;
        let meets = |slot: &u64| {
            let behind = slot.saturating_sub(known.0);
            behind >= slots && behind % slots < held.since(known)
        };
        if let Some(slot) = (decided.0..decided.0 + open).rev().find(meets) {
            let everyone = NodeSet::first(world.nodes.len());
            self.silence(world, ring, (everyone, everyone), Kinds::of(MessageKind::Accepted));
            ring.stage = Stage::Freeze(Slot(slot), FREEZE_LOOKS);
        }
        Some(LOOK_NANOS)
    }

    fn freeze(
        &mut self,
        world: &mut World,
        ring: &mut Ring,
        (slot, left): (Slot, u32),
    ) -> Option<u64> {
        let is_passed = cursors(world, ring.leader)?.0 > slot;
        if is_passed || left == 0 {
            self.relent(world, ring);
            ring.stage = Stage::Fill;
            return Some(LOOK_NANOS);
        }
        let mut others = world.members().filter(|member| {
            ![ring.leader, ring.one, ring.witness].contains(member)
                && cursors(world, *member).is_some_and(|(d, end)| d <= slot && slot < end)
        });
        if others.next().is_some() {
            world.split(NodeSet::of(ring.leader));
            // Who hears no beats campaigns no more.
            let others = NodeSet::first(world.nodes.len()).without(ring.one);
            self.silence(world, ring, (others, others), Kinds::of(MessageKind::Beat));
            (ring.stage, ring.looks) = (Stage::Lead(false), LEAD_LOOKS);
        } else {
            ring.stage = Stage::Freeze(slot, left - 1);
        }
        Some(LOOK_NANOS)
    }

    fn let_lead(&mut self, world: &mut World, ring: &mut Ring) -> Option<u64> {
        let standing = world.service(ring.one)?.replica().standing();
        let wait = nanos(world.options.timeouts.heartbeat) / 2;
        match ring.stage {
            Stage::Lead(true) if standing == Standing::Preparing => {
                // The rules that left the two out came first.
                let rest = ring.rules.split_off(2.min(ring.rules.len()));
                let first = std::mem::replace(&mut ring.rules, rest);
                self.lift_all(world, &first);
                ring.stage = Stage::Learn;
            }
            Stage::Lead(_) => ring.stage = Stage::Lead(standing == Standing::Preparing),
            Stage::Learn if standing == Standing::Preparing => {}
            Stage::Strand | Stage::Fill | Stage::Freeze(..) | Stage::Learn => return None,
        }
        Some(wait)
    }
}

/// How often it is looked while others go on.
const LOOK_NANOS: u64 = 500_000;

/// What a look at the witness in vain costs, in looks at the leader.
const STRAND_COST: u32 = 7;

/// How often at most it is looked before the one comes to lead: four seconds long.
const FILL_LOOKS: u32 = 8_000;

/// How often at most it is looked whether the slot is accepted.
const FREEZE_LOOKS: u32 = 200;

/// How often at most it is looked whether the one leads.
const LEAD_LOOKS: u32 = 120;
