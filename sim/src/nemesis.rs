//! The nemesis: faults that begin at random moments and end some time later.

use synod_core::{MemberIndex, NodeSet};

use crate::clock::Moment;
use crate::mischief::Cause;
use crate::node::Item;
use crate::options::{Fault, NemesisOptions};
use crate::prng::{PPM, Prng};
use crate::world::World;

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
}

/// Begins and ends faults.
#[derive(Clone, Debug)]
pub struct Nemesis {
    options: NemesisOptions,
    prng: Prng,
}

impl Nemesis {
    /// A nemesis of a run.
    #[must_use]
    pub fn new(options: NemesisOptions, seed: u64) -> Self {
        Self { options, prng: Prng::new(seed, "nemesis") }
    }

    /// When the next fault begins.
    pub fn next_at(&mut self, now: Moment) -> Moment {
        let idle = self.options.every_nanos == 0 || self.options.weights.iter().all(|w| *w == 0);
        if idle { Moment::NEVER } else { now.plus(self.wait(self.options.every_nanos)) }
    }

    /// Begins a fault; says how and when it ends.
    pub fn begin(&mut self, world: &mut World, ends: &mut Vec<(Moment, End)>) {
        let fault = self.draw();
        let member = self.member(world);
        let end_at = world.now().plus(self.wait(self.options.lasts_nanos));
        if !world.gate.strikes(Cause::Begin(fault), true) {
            return;
        }
        world.trace.note(world.now, member, "fault", fault as u64, || format!("{fault:?}"));
        match fault {
            Fault::Crash => {
                world.kill(member);
                ends.push((end_at, End::Start(member)));
            }
            Fault::CrashAll => {
                for member in world.members() {
                    world.kill(member);
                    let start_at = world.now().plus(self.wait(self.options.lasts_nanos));
                    ends.push((start_at, End::Start(member)));
                }
            }
            Fault::Pause => world.pause(member, end_at),
            Fault::Partition => {
                let side = self.side(world);
                world.split(side);
                ends.push((end_at, End::Mend));
            }
            Fault::OneWay => {
                self.one_way(world);
                ends.push((end_at, End::Mend));
            }
            Fault::Flap => {
                let (from, to) = (member, self.member(world));
                let left = 2 + self.prng.below(20) as u32;
                ends.push((world.now(), End::Toggle { from, to, left }));
            }
            Fault::Clog => self.clog(world, end_at),
            Fault::Stall => {
                world.set_stalled(member, true);
                ends.push((end_at, End::Flow(member)));
            }
            Fault::FailDisk => {
                world.fail_disk(member);
                ends.push((end_at, End::Restart(member)));
            }
            Fault::Clock => {
                let jump = self.wait(self.options.lasts_nanos);
                let drift = world.options.process.drift_ppm;
                let rate = u64::from(PPM) - drift + self.prng.below(2 * drift + 1);
                world.adjust_clock(member, jump, rate);
            }
            Fault::Hub => {
                world.hub(member);
                ends.push((end_at, End::Mend));
            }
            Fault::ShutDown => {
                world.give(member, Item::ShutDown);
                ends.push((end_at, End::Restart(member)));
            }
            Fault::Wipe => {
                // The group must have formed, and a quorum of members with a vote must be left.
                let formed = world.checkers.images().all().iter().filter(|image| image.votes);
                if formed.count() > world.options.quorums.both() && world.has_formed() {
                    world.wipe(member);
                } else {
                    world.kill(member);
                }
                ends.push((end_at, End::Start(member)));
            }
        }
    }

    /// Ends a fault, or one turn of it.
    pub fn end(&mut self, world: &mut World, end: End, ends: &mut Vec<(Moment, End)>) {
        if !world.gate.strikes(Cause::End, true) {
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
        }
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

    /// A side of a partition: one member alone as often as any other split.
    fn side(&mut self, world: &World) -> NodeSet {
        if self.prng.chance(500_000) {
            return NodeSet::of(self.member(world));
        }
        NodeSet(self.prng.below(1 << world.nodes.len()) as u16)
    }

    fn one_way(&mut self, world: &mut World) {
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
    }

    fn clog(&mut self, world: &mut World, until: Moment) {
        let some = 100_000 + self.prng.below(900_000) as u32;
        for from in world.members() {
            for to in world.members() {
                if self.prng.chance(some) {
                    world.network.clog(from, to, until);
                }
            }
        }
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
    fn hint_cuts(&mut self) {
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
}
