//! The nemesis: faults that begin at random moments and end some time later.

mod effect;
mod hearsay;
mod leaders;
mod links;
mod plots;
mod revival;
mod rings;
mod stale;
mod tails;
#[cfg(test)]
mod tests;

use leaders::Relay;
use plots::Plot;
use revival::Revival;
use synod_core::MemberIndex;

use crate::atlas::Harm;
use crate::clock::Moment;
use crate::mischief::Cause;
use crate::network::Release;
use crate::node::Item;
use crate::options::{Fault, NemesisOptions};
use crate::prng::{PPM, Prng};
use crate::starting::Trouble;
use crate::world::World;
use effect::Before;

/// How a fault ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The node starts again.
    Start(MemberIndex),
    /// The node dies, and starts again.
    Restart(MemberIndex),
    /// All links are mended.
    Mend,
    /// The link is toggled, and again, so many times.
    Toggle {
        /// One end.
        from: MemberIndex,
        /// The other end.
        to: MemberIndex,
        /// How often still.
        left: u32,
    },
    /// The disk goes on.
    Flow(MemberIndex),
    /// A rule is lifted, and what it held is let go.
    Lift {
        /// The rule.
        rule: u32,
        /// How.
        order: Release,
    },
    /// All links of a member are clogged.
    Clog {
        /// The member.
        member: MemberIndex,
        /// Until when.
        until: Moment,
    },
    /// Another quorum, and only that one, gets messages from now on; so many more times.
    Quorum {
        /// How often still.
        left: u32,
    },
    /// The process has its speed back.
    Hurry(MemberIndex),
    /// The clock is right again.
    Clock(MemberIndex),
    /// There is room on the disk again, and the node is started anew.
    Room(MemberIndex),
    /// It is looked whether the next leader is there.
    Relay,
    /// Only `one`, which was left behind, can lead from now on.
    Behind {
        /// The member.
        one: MemberIndex,
        /// The rule that left it behind.
        rule: u32,
    },
    /// It is looked whether the next leadership of a revival is there.
    Revive,
    /// The power fails, if several writes are under way there; or it is looked again.
    Tear {
        /// The member whose disk stalls.
        member: MemberIndex,
        /// How often still.
        left: u32,
    },
    /// The next step of what is under way.
    Plot,
    /// Two members get their own disks back.
    GiveBack {
        /// One.
        one: MemberIndex,
        /// The other.
        other: MemberIndex,
    },
}

/// Begins and ends faults.
#[derive(Clone, Debug)]
pub struct Nemesis {
    options: NemesisOptions,
    prng: Prng,
    /// What came later draws from a stream of its own.
    more: Prng,
    /// What follows the leaders, too.
    leaders: Prng,
    /// What plots draw from.
    plots: Prng,
    /// The leaderships that leave proposals behind, while they come and go.
    relay: Option<Relay>,
    /// What tears tails.
    tails: Prng,
    /// What brings the past back.
    revivals: Prng,
    /// The past that is to come back, while it is made.
    revival: Option<Revival>,
    /// While it is under way, no other fault begins.
    plot: Option<Plot>,
    /// The rules that it made and has not lifted.
    rules: Vec<u32>,
    /// The members that have the disks of each other.
    exchanged: Vec<(MemberIndex, MemberIndex)>,
}

impl Nemesis {
    /// A nemesis of a run.
    #[must_use]
    pub fn new(options: NemesisOptions, seed: u64) -> Self {
        let (prng, more) = (Prng::new(seed, "nemesis"), Prng::new(seed, "more nemesis"));
        Self {
            options,
            prng,
            more,
            leaders: Prng::new(seed, "leaders"),
            plots: Prng::new(seed, "plots"),
            relay: None,
            tails: Prng::new(seed, "tails"),
            revivals: Prng::new(seed, "revivals"),
            revival: None,
            plot: None,
            rules: Vec::new(),
            exchanged: Vec::new(),
        }
    }

    /// When the next fault begins.
    pub fn next_at(&mut self, now: Moment) -> Moment {
        let idle = self.options.every_nanos == 0 || self.options.weights.iter().all(|w| *w == 0);
        if idle { Moment::NEVER } else { now.plus(self.wait(self.options.every_nanos)) }
    }

    /// Begins a fault; says how and when it ends.
    pub fn begin(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) {
        if self.plot.is_some() {
            return;
        }
        let (fault, member) = self.pick(world);
        let end_at = world.now().plus(self.wait(self.options.lasts_nanos));
        if !world.gate.strikes(Cause::Begin(fault), true) {
            return;
        }
        world.trace.note(world.now, member, "fault", fault as u64, || format!("{fault:?}"));
        let before = Before::look(world, member);
        let end = self.strike(world, (fault, member), end_at, ends);
        before.compare(fault, world, member);
        ends.extend(end.map(|end| (end_at, end)));
    }

    /// Begins this fault; how it ends, at `end_at`.
    fn strike(
        &mut self,
        world: &mut World,
        (fault, member): (Fault, MemberIndex),
        end_at: Moment,
        ends: &mut Vec<(Moment, End)>,
    ) -> Option<End> {
        let lasts = self.options.lasts_nanos;
        match fault {
            Fault::Crash => Self::crash(world, member),
            Fault::CrashAll => self.crash_all(world, ends),
            Fault::Pause => Self::pause(world, member, end_at),
            Fault::LongPause => Self::pause(world, member, end_at.plus(lasts * LONGER_THAN_ALL)),
            Fault::Partition => self.partition(world),
            Fault::OneWay => self.one_way(world),
            Fault::Flap => self.flap(world, member, ends),
            Fault::Clog => self.clog(world, end_at),
            Fault::Stall => Self::stall(world, member),
            Fault::FailDisk => {
                world.fail_disk(member);
                Some(End::Restart(member))
            }
            Fault::Clock => self.clock(world, member),
            Fault::Hub => {
                world.hub(member);
                Some(End::Mend)
            }
            Fault::ShutDown => {
                world.give(member, Item::ShutDown);
                Some(End::Restart(member))
            }
            Fault::Wipe => Self::wipe(world, member),
            Fault::LoseKind => Some(self.lose_kind(world, member)),
            Fault::HoldKind => Some(self.hold_kind(world, member)),
            Fault::BadLinks => self.bad_links(world),
            Fault::Swizzle => self.swizzle(world, end_at, ends),
            Fault::CutLeader => self.cut_leader(world, member),
            Fault::Chain => self.chain(world),
            Fault::Flood => {
                world.flood(member);
                None
            }
            Fault::MinimalQuorum => self.minimal_quorum(world, ends),
            Fault::SlowNode => {
                world.slow_down(member, self.more.within(1, lasts / 4));
                Some(End::Hurry(member))
            }
            Fault::WildClock => self.wild_clock(world, member),
            Fault::FullDisk => {
                world.fill_disk(member, true);
                Some(End::Room(member))
            }
            Fault::Misread => self.misread(world, member),
            Fault::ExchangeDisks => self.exchange_disks(world, member),
            Fault::BitRot => self.harm(world, member, Harm::Rot),
            Fault::LostWrite => self.harm(world, member, Harm::LostWrite),
            Fault::StrayWrite => self.harm(world, member, Harm::StrayWrite),
            Fault::BadSector => self.harm(world, member, Harm::BadSector),
            Fault::LostFile => self.harm(world, member, Harm::LostFile),
            Fault::Relay => self.relay(world, ends),
            Fault::LeaveBehind => self.leave_behind(world, member),
            Fault::Revive => self.revive(world, member, ends),
            Fault::DeadTail => self.dead_tail(world, member, ends),
            Fault::StaleAnswers | Fault::Hearsay | Fault::RingBehind => {
                self.plot(world, (fault, member), ends)
            }
        }
    }

    /// A fault and its victim, which keeps its disk where the promise needs that.
    fn pick(&mut self, world: &World) -> (Fault, MemberIndex) {
        let fault = self.draw();
        let member = self.member(world);
        let may_lose = world.is_whole(member) && world.may_lose_disk(member);
        let fault = if fault.takes_a_disk() && !may_lose { Fault::Crash } else { fault };
        (fault, member)
    }

    fn crash(world: &mut World, member: MemberIndex) -> Option<End> {
        world.kill(member);
        Some(End::Start(member))
    }

    fn crash_all(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) -> Option<End> {
        for member in world.members() {
            world.kill(member);
            let start_at = world.now().plus(self.wait(self.options.lasts_nanos));
            ends.push((start_at, End::Start(member)));
        }
        None
    }

    fn stall(world: &mut World, member: MemberIndex) -> Option<End> {
        world.set_stalled(member, true);
        Some(End::Flow(member))
    }

    fn pause(world: &mut World, member: MemberIndex, until: Moment) -> Option<End> {
        world.pause(member, until);
        None
    }

    fn clock(&mut self, world: &mut World, member: MemberIndex) -> Option<End> {
        let jump = self.wait(self.options.lasts_nanos);
        let drift = world.options.process.drift_ppm;
        let rate = u64::from(PPM) - drift + self.prng.below(2 * drift + 1);
        world.adjust_clock(member, jump, rate);
        None
    }

    fn wipe(world: &mut World, member: MemberIndex) -> Option<End> {
        world.wipe(member);
        Some(End::Start(member))
    }

    /// Ends a fault, or one turn of it.
    pub fn end(&mut self, world: &mut World, end: End, ends: &mut Vec<(Moment, End)>) {
        // A plot goes on as it began, if it did.
        if end != End::Plot && !world.gate.strikes(Cause::End, true) {
            return;
        }
        match end {
            End::Start(member) => world.start_at(member, world.now()),
            End::Restart(member) => {
                world.kill(member);
                world.start_at(member, world.now());
            }
            End::Mend => world.mend(),
            End::Toggle { from, to, left } => {
                let cut = !world.network.is_cut(from, to);
                world.network.set_cut(from, to, cut && left > 0);
                if left > 0 {
                    let at = world.now().plus(self.wait(self.options.lasts_nanos / 8));
                    ends.push((at, End::Toggle { from, to, left: left - 1 }));
                }
            }
            End::Flow(member) => world.set_stalled(member, false),
            End::Lift { rule, order } => self.lift(world, rule, order),
            End::Clog { member, until } => world.clog(member, until),
            End::Quorum { left } => {
                world.mend();
                if left > 0 {
                    self.only_a_quorum(world);
                    let at = world.now().plus(self.wait(self.options.lasts_nanos / 2));
                    ends.push((at, End::Quorum { left: left - 1 }));
                }
            }
            End::Hurry(member) => world.slow_down(member, 0),
            End::Clock(member) => world.mend_clock(member),
            End::Room(member) => {
                world.fill_disk(member, false);
                world.kill(member);
                world.start_at(member, world.now());
            }
            End::Relay => self.look_at_relay(world, ends),
            End::Revive => self.look_at_revival(world, ends),
            End::Tear { member, left } => self.look_at_tail(world, (member, left), ends),
            End::Behind { one, rule } => self.lead_from_behind(world, (one, rule), ends),
            End::Plot => self.plot_on(world, ends),
            End::GiveBack { one, other } => self.give_back(world, one, other),
        }
    }

    /// Ends what must not last beyond the faults: its rules, and exchanges of disks.
    pub fn give_up(&mut self, world: &mut World) {
        self.plot = None;
        for rule in std::mem::take(&mut self.rules) {
            world.let_go(rule, Release::InOrder);
        }
        for (one, other) in std::mem::take(&mut self.exchanged) {
            world.exchange_disks(one, other);
        }
    }

    /// A record shows in the place of another, to whoever reads next or to a reader at once.
    fn misread(&mut self, world: &mut World, member: MemberIndex) -> Option<End> {
        if self.leaders.chance(500_000) {
            world.probe_reader(member, &mut self.leaders);
        } else {
            world.misread(member);
        }
        None
    }

    /// Damages a disk at rest, and now and then one that is in use.
    fn harm(&mut self, world: &mut World, member: MemberIndex, harm: Harm) -> Option<End> {
        let in_use = self.more.chance(300_000);
        if !in_use {
            world.kill(member);
        }
        // Most places of a disk have no proof, or are too close to it.
        let _ = (0..TRIES).any(|_| world.harm(member, harm));
        (!in_use).then_some(End::Start(member))
    }

    /// Two nodes get the disks of each other, and must not start on them.
    fn exchange_disks(&mut self, world: &mut World, one: MemberIndex) -> Option<End> {
        let others = world.members().filter(|other| {
            let images = world.checkers.images();
            let sound = |member| world.node(member).trouble == Trouble::default();
            *other != one
                && sound(one)
                && sound(*other)
                && images.of(one).votes
                && images.of(*other).votes
        });
        let others: Vec<MemberIndex> = others.collect();
        if others.is_empty() {
            return None;
        }
        let other = self.more.pick(&others);
        world.kill(one);
        world.kill(other);
        world.exchange_disks(one, other);
        world.start_at(one, world.now());
        world.start_at(other, world.now());
        self.exchanged.push((one, other));
        Some(End::GiveBack { one, other })
    }

    fn give_back(&mut self, world: &mut World, one: MemberIndex, other: MemberIndex) {
        self.exchanged.retain(|pair| *pair != (one, other));
        world.exchange_disks(one, other);
        world.start_at(one, world.now());
        world.start_at(other, world.now());
    }

    fn wild_clock(&mut self, world: &mut World, member: MemberIndex) -> Option<End> {
        let rate = self.more.pick(&[0, 10_000, 100_000, 3_000_000, 10_000_000]);
        let back = self.more.chance(300_000);
        if back {
            let nanos = self.more.exponential(self.options.lasts_nanos);
            world.set_clock_back(member, nanos);
        } else {
            world.adjust_clock(member, 0, rate);
        }
        Some(End::Clock(member))
    }

    fn draw(&mut self) -> Fault {
        let total: u32 = self.options.weights.iter().sum();
        let mut drawn = self.prng.below(u64::from(total)) as u32;
        for (fault, weight) in Fault::ALL.iter().zip(self.options.weights) {
            if drawn < weight {
                return *fault;
            }
            drawn -= weight;
        }
        Fault::Crash
    }

    fn wait(&mut self, mean: u64) -> u64 {
        self.prng.exponential(mean).max(1)
    }

    fn member(&mut self, world: &World) -> MemberIndex {
        MemberIndex(self.prng.below(world.nodes.len() as u64) as u8)
    }
}

/// How often a place for damage is looked for.
const TRIES: u32 = 16;

/// How many times longer than other faults a long pause lasts.
const LONGER_THAN_ALL: u64 = 20;
