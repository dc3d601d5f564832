//! Faults of links: which are cut, clogged, slow, or picky about what they carry.

use synod_core::{MemberIndex, NodeSet, Standing};

use super::{End, Nemesis};
use crate::clock::Moment;
use crate::kinds::{Kinds, MessageKind};
use crate::network::{Release, Verdict, Weather};
use crate::node::Item;
use crate::prng::PPM;
use crate::world::World;

impl Nemesis {
    pub(super) fn partition(&mut self, world: &mut World) -> Option<End> {
        let side = self.side(world);
        world.split(side);
        Some(End::Mend)
    }

    pub(super) fn flap(
        &mut self,
        world: &World,
        from: MemberIndex,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let to = self.member(world);
        let left = 2 + self.prng.below(20) as u32;
        ends.push((world.now(), End::Toggle { from, to, left }));
        None
    }

    pub(super) fn minimal_quorum(
        &mut self,
        world: &World,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let left = self.more.below(4) as u32;
        ends.push((world.now(), End::Quorum { left }));
        None
    }

    /// A side of a partition: one member alone as often as any other split.
    fn side(&mut self, world: &World) -> NodeSet {
        if self.prng.chance(500_000) {
            return NodeSet::of(self.member(world));
        }
        NodeSet(self.prng.below(1 << world.nodes.len()) as u16)
    }

    pub(super) fn one_way(&mut self, world: &mut World) -> Option<End> {
        let deaf = self.prng.chance(300_000);
        let silent = !deaf && self.prng.chance(400_000);
        let chosen = self.member(world);
        for from in world.members() {
            for to in world.members().filter(|to| *to != from) {
                let cut = (deaf && to == chosen)
                    || (silent && from == chosen)
                    || (!deaf && !silent && self.prng.chance(300_000));
                if cut {
                    world.network.set_cut(from, to, true);
                }
            }
        }
        Some(End::Mend)
    }

    pub(super) fn clog(&mut self, world: &mut World, until: Moment) -> Option<End> {
        let some = 100_000 + self.prng.below(900_000) as u32;
        for from in world.members() {
            for to in world.members() {
                if self.prng.chance(some) {
                    world.network.clog(from, to, until);
                }
            }
        }
        None
    }

    /// One or two kinds are lost: of one member, to one member, or of all.
    pub(super) fn lose_kind(&mut self, world: &mut World, member: MemberIndex) -> End {
        let rule = self.rule(world, member, Verdict::Drop(u32::MAX));
        End::Lift { rule, order: Release::InOrder }
    }

    /// One or two kinds are held for a while.
    pub(super) fn hold_kind(&mut self, world: &mut World, member: MemberIndex) -> End {
        let rule = self.rule(world, member, Verdict::Hold);
        let order = self.more.pick(&[Release::InOrder, Release::Shuffled]);
        End::Lift { rule, order }
    }

    fn rule(&mut self, world: &mut World, member: MemberIndex, verdict: Verdict) -> u32 {
        let mut kinds = Kinds::of(self.more.pick(&MessageKind::ALL));
        if self.more.chance(300_000) {
            kinds = kinds.and(self.more.pick(&MessageKind::ALL));
        }
        let (one, all) = (NodeSet::of(member), NodeSet::first(world.nodes.len()));
        let (from, to) = self.more.pick(&[(one, all), (one, all), (all, one), (all, all)]);
        world.trace.note(world.now, member, "rule", u64::from(kinds.bits()), || {
            format!("{verdict:?} {kinds} {:b}→{:b}", from.0, to.0)
        });
        let rule = world.network.add_rule(from, to, kinds, verdict);
        self.rules.push(rule);
        rule
    }

    pub(super) fn lift(&mut self, world: &mut World, rule: u32, order: Release) {
        self.rules.retain(|mine| *mine != rule);
        world.let_go(rule, order);
    }

    /// Some directions lose up to nine of ten messages, or are slow.
    pub(super) fn bad_links(&mut self, world: &mut World) -> Option<End> {
        let some = 100_000 + self.more.below(900_000) as u32;
        for from in world.members() {
            for to in world.members().filter(|to| *to != from) {
                if !self.more.chance(some) {
                    continue;
                }
                let loss_ppm = self.more.below(u64::from(PPM) * 9 / 10) as u32;
                let slow_nanos = self.more.below(self.options.lasts_nanos);
                let weather = self.more.pick(&[
                    Weather { loss_ppm, slow_nanos: 0 },
                    Weather { loss_ppm: 0, slow_nanos },
                    Weather { loss_ppm, slow_nanos },
                ]);
                world.network.set_weather(from, to, weather);
            }
        }
        Some(End::Mend)
    }

    /// Members are clogged one by one; once all are, they are let go one by one in another order.
    pub(super) fn swizzle(
        &mut self,
        world: &World,
        end_at: Moment,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let mut members: Vec<MemberIndex> = world.members().collect();
        self.more.shuffle(&mut members);
        members.truncate(self.more.within(1, members.len() as u64) as usize);
        let step = (end_at.0 - world.now().0) / (2 * members.len() as u64) + 1;
        let mut until: Vec<Moment> =
            (1..=members.len() as u64).map(|place| end_at.plus(step * place)).collect();
        self.more.shuffle(&mut until);
        for (place, (member, until)) in members.into_iter().zip(until).enumerate() {
            let at = world.now().plus(step * place as u64);
            ends.push((at, End::Clog { member, until }));
        }
        None
    }

    /// The leader keeps fewer members than a quorum; or it only hears them, or only reaches them.
    /// Clients reach every member at all times.
    pub(super) fn cut_leader(&mut self, world: &mut World, or_else: MemberIndex) -> Option<End> {
        let leads = |member: &MemberIndex| {
            world.service(*member).is_some_and(|s| s.replica().standing() == Standing::Leading)
        };
        let leader = world.members().find(leads).unwrap_or(or_else);
        let mut others: Vec<MemberIndex> = world.members().filter(|m| *m != leader).collect();
        self.more.shuffle(&mut others);
        let kept = self.more.below(world.options.quorums.phase2.max(2) as u64 - 1) as usize;
        let (hears, reaches) = self.more.pick(&[(false, false), (true, false), (false, true)]);
        for other in others.into_iter().skip(kept) {
            world.network.set_cut(leader, other, !reaches);
            world.network.set_cut(other, leader, !hears);
        }
        world.hint_cuts();
        Some(End::Mend)
    }

    /// Each member reaches its neighbours in a drawn chain, and rarely anybody else: who reaches
    /// whom is not transitive.
    pub(super) fn chain(&mut self, world: &mut World) -> Option<End> {
        let mut members: Vec<MemberIndex> = world.members().collect();
        self.more.shuffle(&mut members);
        for (place, one) in members.iter().enumerate() {
            for other in members.iter().skip(place + 2) {
                let cut = !self.more.chance(100_000);
                world.network.set_cut(*one, *other, cut);
                world.network.set_cut(*other, *one, cut);
            }
        }
        world.hint_cuts();
        Some(End::Mend)
    }

    /// Nobody outside a drawn quorum gets any message.
    pub(super) fn only_a_quorum(&mut self, world: &mut World) {
        let mut members: Vec<MemberIndex> = world.members().collect();
        self.more.shuffle(&mut members);
        for deaf in members.split_off(world.options.quorums.both().min(members.len())) {
            for from in world.members().filter(|from| *from != deaf) {
                world.network.set_cut(from, deaf, true);
            }
        }
        world.hint_cuts();
    }
}

impl World {
    /// Cuts every link between `side` and the others, both ways.
    pub fn split(&mut self, side: NodeSet) {
        for from in self.members() {
            for to in self.members() {
                if side.contains(from) != side.contains(to) {
                    self.network.set_cut(from, to, true);
                }
            }
        }
        self.hint_cuts();
    }

    /// Cuts every link except those of `centre`.
    pub fn hub(&mut self, centre: MemberIndex) {
        for from in self.members() {
            for to in self.members() {
                if from != to && from != centre && to != centre {
                    self.network.set_cut(from, to, true);
                }
            }
        }
        self.hint_cuts();
    }

    /// Mends every link.
    pub fn mend(&mut self) {
        self.network.mend();
        if self.options.hints {
            for member in self.members() {
                self.hint_up(member);
            }
        }
    }

    /// Tells the ends of cut links, when the hosts of this run do so.
    pub(super) fn hint_cuts(&mut self) {
        if !self.options.hints {
            return;
        }
        for from in self.members() {
            for to in self.members() {
                if self.network.is_cut(from, to) {
                    self.give(from, Item::PeerDown(to));
                }
            }
        }
    }

    /// Lifts a rule of the network and lets go what it held.
    pub(crate) fn let_go(&mut self, rule: u32, order: Release) {
        let now = self.now;
        self.network.release(now, rule, order, &mut self.arrivals);
        self.post_arrivals();
    }

    /// Clogs every link of `member`, both ways.
    pub fn clog(&mut self, member: MemberIndex, until: Moment) {
        self.trace.note(self.now, member, "clog", until.0, || format!("until {until}"));
        for other in self.members() {
            self.network.clog(member, other, until);
            self.network.clog(other, member, until);
        }
    }

    /// `member` gets once more everything that its links remember.
    pub fn flood(&mut self, member: MemberIndex) {
        let now = self.now;
        let count = self.network.flood(now, member, &mut self.arrivals);
        self.trace.note(now, member, "flood", count as u64, || format!("{count} old frames"));
        self.post_arrivals();
    }
}
