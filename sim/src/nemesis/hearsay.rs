//! A member hears an old leader still, whose beats come again and again, and learns what the next
//! one decided from a third, who does not lead.

use synod_core::{Ballot, MemberIndex, NodeSet};

use super::Nemesis;
use super::plots::{self, Next, Plot};
use crate::clock::nanos;
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Envelope, Verdict};
use crate::world::World;

/// Who hears what of whom.
#[derive(Clone, Debug)]
pub(super) struct Hearsay {
    /// It hears the old leader.
    one: MemberIndex,
    leader: MemberIndex,
    ballot: Ballot,
    /// It tells what is decided.
    third: MemberIndex,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// A beat of the leader is to be copied by this rule; so often it is still looked for.
    Copying(u32, u32),
    /// It comes again and again, so often still.
    Echoing { beat: Envelope, left: u64, rules: [u32; 3] },
}

impl Nemesis {
    pub(super) fn begin_hearsay(&mut self, world: &mut World) -> Next {
        let (leader, ballot) = plots::leader(world)?;
        if !world.options.forward || world.nodes.len() < 3 {
            return None;
        }
        let mut others: Vec<MemberIndex> = world.members().filter(|m| *m != leader).collect();
        self.plots.shuffle(&mut others);
        let (one, third) = (others[0], others[1]);
        let (from, to) = (NodeSet::of(leader), NodeSet::of(one));
        let beats = Kinds::of(MessageKind::Beat);
        let copies = world.network.add_rule(from, to, beats, Verdict::Copy(1));
        let stage = Stage::Copying(copies, LOOKS_MAX);
        let wait = nanos(world.options.timeouts.heartbeat);
        Some((wait, Plot::Hearsay(Hearsay { one, leader, ballot, third, stage })))
    }

    pub(super) fn step_hearsay(&mut self, world: &mut World, hearsay: Hearsay) -> Next {
        let wait = nanos(world.options.timeouts.heartbeat) / 2;
        match hearsay.stage {
            Stage::Copying(copies, looks) => {
                let leads = plots::led_by(world, hearsay.leader) == Some(hearsay.ballot);
                if !leads || looks == 0 {
                    world.network.remove_rule(copies);
                    return None;
                }
                let Some(beat) = world.network.take_held(copies, 0) else {
                    let stage = Stage::Copying(copies, looks - 1);
                    return Some((wait, Plot::Hearsay(Hearsay { stage, ..hearsay })));
                };
                world.network.remove_rule(copies);
                let rules = self.only_hearsay(world, &hearsay);
                world.kill(hearsay.leader);
                world.start_at(hearsay.leader, world.now().plus(wait));
                let election = world.options.timeouts.election;
                let left = nanos(election) * ELECTIONS / wait.max(1);
                let stage = Stage::Echoing { beat, left, rules };
                Some((1, Plot::Hearsay(Hearsay { stage, ..hearsay })))
            }
            Stage::Echoing { beat, left, rules } => {
                if left == 0 {
                    self.lift_all(world, &rules);
                    return None;
                }
                world.send_again(beat.clone());
                let stage = Stage::Echoing { beat, left: left - 1, rules };
                Some((wait, Plot::Hearsay(Hearsay { stage, ..hearsay })))
            }
        }
    }

    /// Nobody but the third reaches the one, and that only with beats and chosen decrees; and the
    /// third does not come to lead.
    fn only_hearsay(&mut self, world: &mut World, hearsay: &Hearsay) -> [u32; 3] {
        let everyone = NodeSet::first(world.nodes.len());
        let (one, third) = (NodeSet::of(hearsay.one), NodeSet::of(hearsay.third));
        let rest = Kinds::ALL.without(MessageKind::Beat).without(MessageKind::Learned);
        let prepare = Kinds::of(MessageKind::Prepare);
        let silenced = [
            (everyone.without(hearsay.third), one, Kinds::ALL),
            (third, one, rest),
            (third, everyone, prepare),
        ];
        silenced.map(|(from, to, kinds)| {
            let rule = world.network.add_rule(from, to, kinds, Verdict::Drop(u32::MAX));
            self.rules.push(rule);
            rule
        })
    }
}

impl World {
    /// A frame comes once more.
    fn send_again(&mut self, envelope: Envelope) {
        let now = self.now;
        self.network.force(now, envelope, &mut self.arrivals);
        self.post_arrivals();
    }
}

/// How long the old leader is heard, in election timeouts.
const ELECTIONS: u64 = 8;

/// How often at most it is looked for a beat.
const LOOKS_MAX: u32 = 20;
