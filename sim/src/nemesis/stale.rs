//! A leader hears nobody any more but old answers, once more. A leader remembers when its latest
//! rounds were sent, and those answers are to rounds so long past that others stand in their place.

use synod_core::{Ballot, Instant, MemberIndex, NodeSet};

use super::Nemesis;
use super::plots::{self, Next, Plot};
use crate::clock::nanos;
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Release, Verdict};
use crate::world::World;

/// Old answers that come once more.
#[derive(Clone, Debug)]
pub(super) struct Stale {
    leader: MemberIndex,
    ballot: Ballot,
    /// What copies the beats for the leader, and keeps the copies.
    copies: u32,
    /// When that began, by the leader's clock.
    since: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Beats are copied.
    Copying,
    /// Rounds go by.
    Waiting,
    /// The leader is deaf, by this rule; the copies follow.
    Deaf(u32),
    /// The copies were let go.
    Told(u32),
}

impl Nemesis {
    pub(super) fn begin_stale(world: &mut World) -> Next {
        let (leader, ballot) = plots::leader(world)?;
        if world.options.quorums.phase2 < 2 {
            // It needs no answers.
            return None;
        }
        let since = world.node(leader).clock.at(world.now());
        let (everyone, one) = (NodeSet::first(world.nodes.len()), NodeSet::of(leader));
        let beats = Kinds::of(MessageKind::Beat);
        let copies = world.network.add_rule(everyone, one, beats, Verdict::Copy(COPIES_MAX));
        let stale = Stale { leader, ballot, copies, since, stage: Stage::Copying };
        Some((Self::beats(world, &stale, ROUNDS_COPIED), Plot::Stale(stale)))
    }

    pub(super) fn step_stale(&mut self, world: &mut World, stale: Stale) -> Next {
        let (leader, copies) = (stale.leader, stale.copies);
        let leads = plots::led_by(world, leader) == Some(stale.ballot);
        let step_down = nanos(world.options.timeouts.step_down);
        let wait = |world: &World, nanos| plots::true_nanos(world, leader, nanos);
        match stale.stage {
            Stage::Copying if leads => {
                world.network.close_rule(copies);
                let stage = Stage::Waiting;
                Some((Self::beats(world, &stale, 4), Plot::Stale(Stale { stage, ..stale })))
            }
            Stage::Waiting if leads => {
                let gone = world.node(leader).clock.at(world.now()).since(stale.since);
                let heartbeat = nanos(world.options.timeouts.heartbeat);
                if (gone.as_nanos() as u64) < heartbeat * (ROUNDS_REMEMBERED + 2) {
                    return Some((Self::beats(world, &stale, 2), Plot::Stale(stale)));
                }
                let (all, one) = (NodeSet::first(world.nodes.len()), NodeSet::of(leader));
                let deaf = world.network.add_rule(all, one, Kinds::ALL, Verdict::Drop(u32::MAX));
                self.rules.push(deaf);
                let stage = Stage::Deaf(deaf);
                Some((wait(world, step_down / 5 * 4), Plot::Stale(Stale { stage, ..stale })))
            }
            Stage::Deaf(deaf) => {
                world.let_go(copies, Release::InOrder);
                let stage = Stage::Told(deaf);
                Some((wait(world, step_down * 2), Plot::Stale(Stale { stage, ..stale })))
            }
            Stage::Told(deaf) => {
                self.lift_all(world, &[deaf]);
                None
            }
            Stage::Copying | Stage::Waiting => {
                world.network.remove_rule(copies);
                None
            }
        }
    }

    /// So many heartbeats of the leader, in true time.
    fn beats(world: &World, stale: &Stale, count: u64) -> u64 {
        plots::true_nanos(world, stale.leader, nanos(world.options.timeouts.heartbeat) * count)
    }
}

/// How many rounds a leader of the core remembers.
const ROUNDS_REMEMBERED: u64 = 64;

/// The answers to how many rounds are copied: those of more than the time in which a leader whom
/// nobody answers steps down.
const ROUNDS_COPIED: u64 = 16;

/// How many beats are copied at most.
const COPIES_MAX: u32 = 400;
