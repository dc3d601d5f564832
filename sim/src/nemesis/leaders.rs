//! Faults that follow the leaders: one leadership after the other leaves something behind that
//! nobody else knows of, or somebody who was left behind comes to lead.

use synod_core::{MemberIndex, NodeSet, Standing};

use super::{End, Nemesis};
use crate::clock::{Moment, nanos};
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Release, Verdict, Weather};
use crate::world::World;

/// Leaderships that leave proposals behind: the accepts of each reach one member, and no answer
/// reaches anybody, so nothing is decided; then the next one must come about without them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    /// Those who are kept apart for now.
    out: NodeSet,
    /// The member that gets accepts.
    confidant: MemberIndex,
    /// What keeps them from everybody else.
    rules: [u32; 2],
    /// How many leaderships are still to come, this one included.
    left: u32,
    /// How often still it is looked whether somebody leads.
    looks: u32,
    /// Whether somebody did at the last look.
    led: bool,
}

impl Nemesis {
    /// Several leaderships in a row leave proposals behind on the same slots.
    pub(super) fn relay(
        &mut self,
        world: &mut World,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        if self.relay.is_none() && world.nodes.len() > 2 {
            let left = self.leaders.within(2, 4) as u32;
            self.relay_to(world, NodeSet::EMPTY, left, ends);
        }
        None
    }

    /// The next leadership, without `out`.
    fn relay_to(
        &mut self,
        world: &mut World,
        out: NodeSet,
        left: u32,
        ends: &mut Vec<(Moment, End)>,
    ) {
        let everyone = NodeSet::first(world.nodes.len());
        let rest: Vec<MemberIndex> = everyone.iter().filter(|m| !out.contains(*m)).collect();
        let confidant = self.leaders.pick(&rest);
        let rules = [
            (everyone.without(confidant), Kinds::of(MessageKind::Accept)),
            (everyone, Kinds::of(MessageKind::Accepted)),
        ];
        let rules = rules.map(|(to, kinds)| {
            let rule = world.network.add_rule(everyone, to, kinds, Verdict::Drop(u32::MAX));
            self.rules.push(rule);
            rule
        });
        world.split(out);
        world.trace.note(world.now, confidant, "relay", out.0.into(), || {
            format!("{left} left, {:b} kept apart", out.0)
        });
        let looks = LOOKS_MAX;
        self.relay = Some(Relay { out, confidant, rules, left, looks, led: false });
        self.look_later(world, ends);
    }

    fn look_later(&mut self, world: &World, ends: &mut Vec<(Moment, End)>) {
        let mean = nanos(world.options.timeouts.election) / 4;
        ends.push((world.now().plus(self.leaders.exponential(mean).max(1)), End::Relay));
    }

    /// Looks whether somebody leads among those who are not kept apart, and has for a moment.
    pub(super) fn look_at_relay(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) {
        let Some(mut relay) = self.relay else { return };
        let leads = |member: &MemberIndex| {
            !relay.out.contains(*member)
                && world.service(*member).is_some_and(|s| s.replica().standing() == LEADS)
        };
        let leader = world.members().find(leads);
        if relay.looks > 0 && !(leader.is_some() && relay.led) {
            (relay.looks, relay.led) = (relay.looks - 1, leader.is_some());
            self.relay = Some(relay);
            self.look_later(world, ends);
            return;
        }
        self.end_relay(world);
        let Some(leader) = leader else { return };
        // Both know what it proposed; or only the leader is taken away.
        let knows = NodeSet::of(leader);
        let both = if self.leaders.chance(600_000) { knows.with(relay.confidant) } else { knows };
        let rest = |out: NodeSet| world.nodes.len() - out.len();
        let out = if rest(both) >= world.options.quorums.both() { both } else { knows };
        if rest(out) < world.options.quorums.both() {
            return;
        }
        if relay.left > 1 {
            self.relay_to(world, out, relay.left - 1, ends);
            return;
        }
        // At last the others lead, with everything that was left behind among them.
        world.split(knows);
        let lasts = nanos(world.options.timeouts.election) * 4;
        ends.push((world.now().plus(lasts), End::Mend));
    }

    /// Whatever the present leadership was kept from, it is not any more.
    fn end_relay(&mut self, world: &mut World) {
        let Some(relay) = self.relay.take() else { return };
        for rule in relay.rules {
            self.lift(world, rule, Release::InOrder);
        }
        world.mend();
    }

    /// A few members hear of no proposal for a while, and then one of them is the only one that
    /// can come to lead, behind links that lose much.
    pub(super) fn leave_behind(&mut self, world: &mut World, one: MemberIndex) -> Option<End> {
        let spare = world.nodes.len() - world.options.quorums.both();
        if spare == 0 {
            return None;
        }
        let mut members: Vec<MemberIndex> = world.members().filter(|m| *m != one).collect();
        self.leaders.shuffle(&mut members);
        let more = self.leaders.below(spare as u64) as usize;
        let behind = members.into_iter().take(more).fold(NodeSet::of(one), NodeSet::with);
        let kinds = Kinds::from([MessageKind::Accept, MessageKind::Notice, MessageKind::Learned]);
        let everyone = NodeSet::first(world.nodes.len());
        let rule = world.network.add_rule(everyone, behind, kinds, Verdict::Drop(u32::MAX));
        self.rules.push(rule);
        Some(End::Behind { one, rule })
    }

    /// From now on only `one` can come to lead.
    pub(super) fn lead_from_behind(
        &mut self,
        world: &mut World,
        (one, rule): (MemberIndex, u32),
        ends: &mut Vec<(Moment, End)>,
    ) {
        self.lift(world, rule, Release::InOrder);
        let everyone = NodeSet::first(world.nodes.len());
        let prepare = Kinds::of(MessageKind::Prepare);
        let others = everyone.without(one);
        let rule = world.network.add_rule(others, everyone, prepare, Verdict::Drop(u32::MAX));
        self.rules.push(rule);
        let leads = |member: &MemberIndex| {
            world.service(*member).is_some_and(|s| s.replica().standing() == LEADS)
        };
        if let Some(leader) = world.members().find(leads).filter(|leader| *leader != one) {
            world.split(NodeSet::of(leader));
        }
        let loss_ppm = self.leaders.below(600_000) as u32;
        for from in others.iter() {
            world.network.set_weather(from, one, Weather { loss_ppm, slow_nanos: 0 });
        }
        let lasts = nanos(world.options.timeouts.election) * self.leaders.within(3, 8);
        let at = world.now().plus(lasts);
        ends.push((at, End::Lift { rule, order: Release::InOrder }));
        ends.push((at, End::Mend));
    }
}

const LEADS: Standing = Standing::Leading;

/// How often at most it is looked whether somebody leads.
const LOOKS_MAX: u32 = 40;
