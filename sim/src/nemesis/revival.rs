//! A past that comes back: what one member proposed in two leaderships in a row, and nobody heard,
//! is found again behind the decrees of a third.
//!
//! The second leadership of that member opens above what it left behind in the first. While it is
//! kept apart, another one opens a third leadership below that, as it knows nothing of both. Then
//! the first member comes back, and proposes again what it holds: the opening of its second
//! leadership is chosen behind that of the third. It must have no effect (R14).

use synod_core::{MemberIndex, NodeSet, Slot};

use super::plots::led_by;
use super::{End, Nemesis};
use crate::clock::{Moment, nanos};
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Release, Verdict};
use crate::world::World;

/// Leaderships that follow each other so that a decree of the past comes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Revival {
    /// The member that is not heard.
    one: MemberIndex,
    stage: Stage,
    /// What is waited for must come before this.
    until: Moment,
    /// The end of what the member had left behind, or of what was chosen, when the stage began.
    end: Slot,
    /// What keeps the others from leading, and the proposals of the member back.
    rules: [u32; 2],
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The member leads, and leaves something behind.
    First,
    /// It leads again, and has opened its leadership.
    Second,
    /// Another one leads, and its opening is chosen.
    Third,
}

impl Nemesis {
    /// Begins with the member that leads, or with `or_else`.
    pub(super) fn revive(
        &mut self,
        world: &mut World,
        or_else: MemberIndex,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let spare = world.nodes.len() - world.options.quorums.both();
        if self.revival.is_some() || spare == 0 || world.options.service.pipeline < 2 {
            return None;
        }
        let one = world.members().find(|member| led_by(world, *member).is_some());
        let one = one.unwrap_or(or_else);
        let everyone = NodeSet::first(world.nodes.len());
        let kinds = [MessageKind::Prepare, MessageKind::Accept];
        let rules = [everyone.without(one), NodeSet::of(one)].into_iter().zip(kinds);
        let mut rules = rules.map(|(from, kind)| self.drop_all(world, from, kind));
        let rules = [rules.next()?, rules.next()?];
        let (stage, until) = (Stage::First, patience(world));
        self.revival = Some(Revival { one, stage, until, end: Slot::ZERO, rules });
        self.look_for_revival(world, ends);
        None
    }

    fn drop_all(&mut self, world: &mut World, from: NodeSet, kind: MessageKind) -> u32 {
        let everyone = NodeSet::first(world.nodes.len());
        let kinds = Kinds::of(kind);
        let rule = world.network.add_rule(from, everyone, kinds, Verdict::Drop(u32::MAX));
        self.rules.push(rule);
        rule
    }

    fn look_for_revival(&mut self, world: &World, ends: &mut Vec<(Moment, End)>) {
        let mean = nanos(world.options.timeouts.heartbeat) / 16;
        ends.push((world.now().plus(self.revivals.exponential(mean).max(1)), End::Revive));
    }

    /// Goes on when what is waited for has happened.
    pub(super) fn look_at_revival(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) {
        let Some(mut revival) = self.revival.take() else { return };
        let came = match revival.stage {
            Stage::First => revival.left_behind(world),
            Stage::Second => revival.opened(world),
            Stage::Third => revival.succeeded(world),
        };
        if came.is_none() && world.now() >= revival.until {
            return self.end_revival(world, &revival);
        }
        if let Some(end) = came {
            (revival.until, revival.end) = (patience(world), end);
            let Revival { one, stage, .. } = revival;
            world.trace.note(world.now, one, "revival", end.0, || format!("after {stage:?}"));
            match stage {
                Stage::First => {
                    world.kill(one);
                    world.start_at(one, world.now());
                    revival.stage = Stage::Second;
                }
                Stage::Second => {
                    self.end_revival(world, &revival);
                    world.split(NodeSet::of(one));
                    revival.end = world.checkers.images().chosen_end();
                    revival.stage = Stage::Third;
                }
                Stage::Third => return self.come_back(world, one, ends),
            }
        }
        self.revival = Some(revival);
        self.look_for_revival(world, ends);
    }

    /// From now on only `one` can come to lead, and whoever led last is kept apart.
    fn come_back(&mut self, world: &mut World, one: MemberIndex, ends: &mut Vec<(Moment, End)>) {
        world.mend();
        let last =
            world.members().find(|member| *member != one && led_by(world, *member).is_some());
        if let Some(last) = last {
            world.split(NodeSet::of(last));
        }
        let others = NodeSet::first(world.nodes.len()).without(one);
        let rule = self.drop_all(world, others, MessageKind::Prepare);
        let at = patience(world);
        ends.push((at, End::Lift { rule, order: Release::InOrder }));
        ends.push((at, End::Mend));
    }

    fn end_revival(&mut self, world: &mut World, revival: &Revival) {
        for rule in revival.rules {
            self.lift(world, rule, Release::InOrder);
        }
        world.mend();
    }
}

impl Revival {
    /// The end of what the member holds for certain above all that is chosen, while it leads.
    fn left_behind(&self, world: &World) -> Option<Slot> {
        led_by(world, self.one)?;
        let images = world.checkers.images();
        let (last, _) = images.of(self.one).accepted.last_key_value()?;
        (*last >= images.chosen_end()).then(|| last.next())
    }

    /// The end of what it holds once more, in a later ballot, with more behind it.
    fn opened(&self, world: &World) -> Option<Slot> {
        let ballot = led_by(world, self.one)?;
        let accepted = &world.checkers.images().of(self.one).accepted;
        let (last, vote) = accepted.last_key_value()?;
        (vote.ballot == ballot && *last >= self.end).then(|| last.next())
    }

    /// The end of what is chosen, when another one leads and added to it.
    fn succeeded(&self, world: &World) -> Option<Slot> {
        let others = || world.members().filter(|member| *member != self.one);
        others().find(|member| led_by(world, *member).is_some())?;
        let end = world.checkers.images().chosen_end();
        (end > self.end).then_some(end)
    }
}

/// The ballot that `member` leads in.
/// How long each leadership is waited for.
fn patience(world: &World) -> Moment {
    world.now().plus(nanos(world.options.timeouts.election) * ELECTIONS)
}

/// So many election timeouts.
const ELECTIONS: u64 = 8;
