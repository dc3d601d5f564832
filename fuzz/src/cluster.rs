//! Target: a whole cluster of the simulator, driven by bytes.
//!
//! The bytes are the choices of the network, the disks and the clients: which message arrives
//! next, once or twice or never, how many writes a disk completes, who dies and what its disk
//! keeps. All checkers of the simulator watch. In the end everything is healed, and the cluster
//! must agree, without a client's help, and then do what clients ask for.

use std::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};
use synod_core::{MemberIndex, NodeSet, Quorums};
use synod_log::Keep;
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::scenario::{Cluster, Held};
use synod_sim::{Options, ms};

use crate::plan::{Many, Rarely};
use crate::shorten::Story;

/// A cluster, and what happens to it.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    seed: u8,
    shape: Shape,
    ops: Many<Op>,
}

/// What kind of cluster.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Shape {
    /// Three, mostly.
    members: u8,
    /// Phase 2 needs one member less than a majority, and phase 1 one more.
    flexible: Rarely<()>,
    hints: bool,
    durable_machines: bool,
    refuse_to_forward: Rarely<()>,
    batch: u8,
    /// The story begins before the members have met.
    unformed: Rarely<()>,
    /// Beats arrive by themselves while other messages wait to be chosen.
    beats_flow: bool,
}

impl Story for Case {
    fn leave_out(&mut self, from: usize, end: usize) {
        self.ops.0.drain(from..end);
    }

    fn len(&self) -> usize {
        self.ops.0.len()
    }
}

/// Something that happens. Members are named by any number.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// So many things happen by themselves.
    Steps(u8),
    /// Time passes, in milliseconds.
    Wait(u16),
    Submit {
        at: u8,
        count: u8,
    },
    /// One of the messages under way arrives; those behind it stay.
    Deliver(u8),
    /// So many arrive in the order in which they were sent.
    DeliverAll(u8),
    /// One arrives, and stays under way.
    Copy(u8),
    Lose(u8),
    /// From now on messages wait to be chosen.
    Hold,
    /// From now on they arrive by themselves; those that wait arrive at once, or never.
    Flow(bool),
    Stall(u8),
    /// A stalled disk completes the oldest so many writes.
    Complete(u8, u8),
    Resume(u8),
    Die(u8, Kept),
    Start(u8),
    /// The next sync fails.
    FailDisk(u8),
    /// The disk is replaced by an empty one.
    Wipe(u8),
    Pause(u8, u16),
    Clock(u8, u16),
    Cut(u8, u8),
    Isolate(u8),
    Mend,
}

/// What a disk keeps of what was not synced.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Kept {
    Nothing,
    Everything,
    Some(u8),
}

/// Messages and writes most of the time, faults once in a while.
impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 64 {
            0..10 => Self::Steps(u.arbitrary()?),
            10..14 => Self::Wait(u.arbitrary()?),
            14..20 => Self::Submit { at: u.arbitrary()?, count: u.arbitrary()? },
            20..30 => Self::Deliver(u.arbitrary()?),
            30..34 => Self::DeliverAll(u.arbitrary()?),
            34..36 => Self::Copy(u.arbitrary()?),
            36..38 => Self::Lose(u.arbitrary()?),
            38..40 => Self::Hold,
            40..42 => Self::Flow(u.arbitrary()?),
            42..44 => Self::Stall(u.arbitrary()?),
            44..47 => Self::Complete(u.arbitrary()?, u.arbitrary()?),
            47 => Self::Resume(u.arbitrary()?),
            48..51 => Self::Die(u.arbitrary()?, u.arbitrary()?),
            51..54 => Self::Start(u.arbitrary()?),
            54 => Self::FailDisk(u.arbitrary()?),
            55 => Self::Wipe(u.arbitrary()?),
            56 => Self::Pause(u.arbitrary()?, u.arbitrary()?),
            57 => Self::Clock(u.arbitrary()?, u.arbitrary()?),
            58..60 => Self::Cut(u.arbitrary()?, u.arbitrary()?),
            60 => Self::Isolate(u.arbitrary()?),
            _mend => Self::Mend,
        })
    }
}

/// How far a cluster got, so that a test can tell whether its inputs reach anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Reached {
    pub delivered: bool,
    pub copied: bool,
    pub completed: bool,
    pub died: bool,
    pub wiped: bool,
    pub second_leader: bool,
    pub applied: u64,
}

impl Reached {
    /// One bit for each.
    #[must_use]
    pub fn bits(self) -> u64 {
        let Self { delivered, copied, completed, died, wiped, second_leader, applied } = self;
        crate::target::bits([delivered, copied, completed, died, wiped, second_leader, applied > 4])
    }
}

/// Runs `case`. Returns what it reached.
///
/// # Panics
/// When a checker of the simulator objects, or a healed cluster does not come to rest.
#[must_use]
pub fn cluster(case: &Case) -> Reached {
    let mut drive = Drive::new(case);
    for op in case.ops.0.iter().take(OPS_MAX) {
        drive.apply(*op);
    }
    drive.heal();
    drive.reached
}

/// Longer stories take longer and show nothing new.
const OPS_MAX: usize = 400;

/// More messages than this do not wait: the oldest arrive.
const WAITING_MAX: usize = 200;

struct Drive {
    t: Cluster,
    members: usize,
    kinds: Kinds,
    held: Option<Held>,
    submitted: u64,
    reached: Reached,
}

impl Drive {
    fn new(case: &Case) -> Self {
        let shape = case.shape;
        let members = [3, 3, 3, 5, 2, 1].get(usize::from(shape.members) % 6).copied().unwrap_or(3);
        let change = |options: &mut Options| shape.change(members, options);
        let mut t = Cluster::of(members).seed(case.seed.into()).with(change);
        if shape.unformed.0.is_none() {
            t = t.with_leader();
        }
        let but_beats = Kinds::ALL.without(MessageKind::Beat);
        let kinds = if shape.beats_flow { but_beats } else { Kinds::ALL };
        Self { t, members, kinds, held: None, submitted: 0, reached: Reached::default() }
    }

    fn member(&self, number: u8) -> MemberIndex {
        MemberIndex(number % self.members as u8)
    }

    fn everybody(&self) -> NodeSet {
        NodeSet::first(self.members)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Steps(count) => self.steps(usize::from(count % 16) + 1),
            Op::Wait(millis) => self.t.run_for(ms(u64::from(millis % 1000) + 1)),
            Op::Submit { at, count } => self.submit(self.member(at), count % 4 + 1),
            Op::Deliver(nth) => self.deliver(nth.into(), false),
            Op::Copy(nth) => self.deliver(nth.into(), true),
            Op::DeliverAll(count) => (0..count % 16 + 1).for_each(|_| self.deliver(0, false)),
            Op::Lose(nth) => {
                if let Some(held) = self.held {
                    let nth = usize::from(nth) % self.t.held(held).max(1);
                    self.t.discard_one(held, nth);
                }
            }
            Op::Hold => {
                let (all, kinds) = (self.everybody(), self.kinds);
                self.held.get_or_insert_with(|| self.t.hold(all, all, kinds));
            }
            Op::Flow(arrive) => self.flow(arrive),
            Op::Stall(at) => self.t.stall_disk(self.member(at)),
            Op::Complete(at, count) => self.complete(self.member(at), count),
            Op::Resume(at) => self.t.resume_disk(self.member(at)),
            Op::Die(at, kept) => self.die(self.member(at), kept),
            Op::Start(at) => self.t.restart(self.member(at)),
            Op::FailDisk(at) => self.t.fail_disk(self.member(at)),
            Op::Wipe(at) => self.wipe(self.member(at)),
            Op::Pause(at, millis) => {
                self.t.pause(self.member(at), ms(u64::from(millis % 2000) + 1));
            }
            Op::Clock(at, millis) => {
                let (at, nanos) = (self.member(at), u64::from(millis % 4000) * 1_000_000);
                self.t.world().adjust_clock(at, nanos, 1_000_000);
            }
            Op::Cut(from, to) => self.t.cut_one_way(self.member(from), self.member(to)),
            Op::Isolate(at) => self.t.isolate(self.member(at)),
            Op::Mend => self.t.heal(),
        }
        self.let_the_oldest_go();
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            if self.t.world().next_at().is_some() {
                self.t.step();
            }
        }
    }

    fn submit(&mut self, at: MemberIndex, count: u8) {
        for _ in 0..count {
            self.submitted += 1;
            let value = self.submitted.to_string();
            self.t.propose(at, [value.as_str()]);
        }
    }

    /// One of the messages under way arrives, and whoever gets it takes it in.
    fn deliver(&mut self, nth: usize, copy: bool) {
        let Some(held) = self.held else { return };
        let nth = nth % self.t.held(held).max(1);
        let arrives = self.t.release_one(held, nth, copy);
        self.reached.delivered |= arrives;
        self.reached.copied |= arrives && copy;
        self.t.run_for(Duration::from_micros(1));
    }

    fn flow(&mut self, arrive: bool) {
        let Some(held) = self.held.take() else { return };
        if arrive {
            self.t.release(held);
        } else {
            self.t.discard(held);
        }
    }

    fn let_the_oldest_go(&mut self) {
        let Some(held) = self.held else { return };
        while self.t.held(held) > WAITING_MAX {
            self.deliver(0, false);
        }
    }

    fn complete(&mut self, at: MemberIndex, count: u8) {
        if self.t.world().node(at).stalled && !self.t.world().node(at).kept_back.is_empty() {
            self.t.complete_writes(at, usize::from(count % 3) + 1);
            self.reached.completed = true;
        }
    }

    fn die(&mut self, at: MemberIndex, kept: Kept) {
        let keep = match kept {
            Kept::Nothing => Keep::Nothing,
            Kept::Everything => Keep::Everything,
            Kept::Some(seed) => Keep::Some(seed.into()),
        };
        self.t.world().cut_power(at, keep);
        self.reached.died = true;
    }

    /// Replaces a disk, unless that would leave too few members that vote (R10).
    fn wipe(&mut self, at: MemberIndex) {
        let world = self.t.world();
        let voters = world.checkers().images().all().iter().filter(|image| image.votes);
        if voters.count() > world.options().quorums.both() && world.has_formed() {
            world.wipe(at);
            self.reached.wiped = true;
        }
    }

    /// Nothing goes wrong any more: all must agree, and then do what clients ask for.
    fn heal(&mut self) {
        self.flow(true);
        self.t.heal();
        for at in self.everybody().iter() {
            self.t.resume_disk(at);
            let now = self.t.world().now();
            self.t.world().pause(at, now);
            let node = self.t.world().node(at);
            let failed = node.process.as_ref().is_some_and(|process| process.log_failed);
            if failed || node.disk.is_failing() {
                self.t.crash(at);
            }
            if self.t.world().node(at).process.is_none() {
                self.t.world().repair_disk(at);
            }
            self.t.restart(at);
        }
        self.t.settle();
        // Whoever is about to lose its leadership, for a clock that jumped, loses it now.
        self.t.run_for(ms(3000));
        self.t.run_until(|t| t.is_settled() && t.leader().is_some());
        self.t.assert_one_log();
        self.submitted += 1;
        let last = self.submitted.to_string();
        self.t.decide([last.as_str()]);
        let stats = *self.t.world().stats();
        self.reached.second_leader = stats.leaders > 1;
        self.reached.applied = self.t.world().checkers().applied_requests();
    }
}

impl Shape {
    fn change(self, members: usize, options: &mut Options) {
        options.hints = self.hints;
        options.durable_machines = self.durable_machines;
        options.forward = self.refuse_to_forward.0.is_none();
        options.service.batch_requests_max = usize::from(self.batch % 4) + 1;
        // Small, so that every limit is reached.
        options.limits.window = 8;
        options.limits.run_slots_max = 3;
        options.limits.writes_in_flight_max = 2;
        options.service.pipeline = 8;
        let majority = Quorums::majority(members);
        if self.flexible.0.is_some() && majority.phase2 > 1 && majority.phase1 < members {
            let (phase1, phase2) = (majority.phase1 + 1, majority.phase2 - 1);
            options.quorums = Quorums { phase1, phase2 };
        }
    }
}
