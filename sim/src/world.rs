//! The world: one queue of happenings, ordered by time and then by sequence, and everything that
//! they happen to. Nothing here depends on the machine it runs on: the same options give the same
//! run, bit for bit.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use synod_core::service::{Request, Service};
use synod_core::{
    ClusterId, Configuration, Event, GroupId, Incarnation, Instant, MemberIndex, NodeId, NodeSet,
};

use crate::app::Answer;
use crate::checkers::{Applied, Checkers, Sealed};
use crate::clock::{Clock, Moment};
use crate::coverage::{Coverage, Phase};
use crate::disk::Disk;
use crate::machine::{Ledger, Machine};
use crate::meter::{Meter, Part};
use crate::mischief::{Cause, Gate, Strikes};
use crate::network::{Change, Envelope, Network};
use crate::node::{Item, Node, Process, Read};
use crate::options::{DiskOptions, Options, ProcessOptions};
use crate::prng::Prng;
use crate::starting::Trouble;
use crate::trace::{Lines, Told, Trace};
use crate::violation::Violation;
use synod_log::{Identity, Ticket};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A frame reaches its end of a link.
    Arrive(Envelope),
    /// A process takes a turn.
    Turn { member: MemberIndex, life: u32 },
    /// A timer is due.
    Timer { member: MemberIndex, life: u32 },
    /// A sync completes.
    Synced { member: MemberIndex, life: u32, ticket: Ticket },
    /// A read of the log is ready.
    Read { member: MemberIndex, life: u32, read: Read },
    /// A node starts.
    Start { member: MemberIndex },
    /// A process that cannot go on ends, and its node starts again.
    Restart { member: MemberIndex, life: u32 },
    /// Something that whoever drives the world asked to be told of.
    Told(u64),
}

struct Entry {
    at: Moment,
    sequence: u64,
    what: Happening,
}

/// Counts of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Happenings.
    pub happenings: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Times that a replica called itself leader.
    pub leaders: u64,
    /// Requests taken.
    pub taken: u64,
    /// Requests not taken.
    pub rejected: u64,
    /// Outcomes: applied, refused, unknown.
    pub outcomes: [u64; 3],
    /// Messages that a replica refused to take, of honest senders.
    pub blamed: u64,
    /// Starts that a log refused.
    pub refusals: u64,
}

/// A simulated cluster.
pub struct World {
    pub(crate) options: Options,
    pub(crate) now: Moment,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) checkers: Checkers,
    pub(crate) trace: Trace,
    pub(crate) meter: Meter,
    pub(crate) stats: Stats,
    pub(crate) process_prng: Prng,
    pub(crate) disk_prng: Prng,
    /// What came later draws from a stream of its own.
    pub(crate) quirk_prng: Prng,
    /// What garbles requests.
    pub(crate) garble_prng: Prng,
    /// Nothing fails any more.
    pub(crate) is_sound: bool,
    /// More was done to the disks than any cluster survives.
    pub(crate) is_beyond: bool,
    pub(crate) gate: Gate,
    pub(crate) next_frame: u64,
    pub(crate) arrivals: Vec<(Moment, Envelope)>,
    pub(crate) configuration: Configuration,
    /// What clients are told, when anybody listens.
    pub(crate) answers: Option<Vec<Answer>>,
    /// Taken from a machine and given back, so that a turn allocates nothing.
    pub(crate) journal: (Vec<Applied>, Vec<Sealed>),
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    violation: Option<Violation>,
}

impl World {
    /// A cluster whose nodes all start at the beginning of time, on disks just formatted, with
    /// the state machine of stories.
    ///
    /// # Panics
    /// When the options name more members than a group can have.
    #[must_use]
    pub fn new(options: Options, lines: Lines) -> Self {
        let ledger = Machine::new(&Ledger::recipe(), options.durable_machines);
        Self::of(options, lines, &ledger)
    }

    /// The same with machines of this kind.
    ///
    /// # Panics
    /// When the options name more members than a group can have.
    #[must_use]
    pub fn of(options: Options, lines: Lines, machine: &Machine) -> Self {
        let ids = node_ids(&options);
        let configuration = Configuration::first(&ids)
            .and_then(|configuration| configuration.with_quorums(options.quorums));
        let configuration = configuration.expect("options within the limits of the core");
        let mut clock_prng = Prng::new(options.seed, "clocks");
        let nodes = ids.iter().map(|id| {
            let drift = options.process.drift_ppm;
            let rate = 1_000_000 - drift + clock_prng.below(2 * drift + 1);
            let offset = clock_prng.below(options.process.offset_nanos + 1);
            Node {
                id: *id,
                clock: Clock::new(rate, offset),
                disk: Disk::new(
                    Identity {
                        cluster: ClusterId(CLUSTER),
                        group: GroupId(GROUP),
                        epoch: configuration.epoch(),
                        node: *id,
                    },
                    &options.limits,
                    &options.disk,
                    Incarnation(clock_prng.bits().max(1)),
                ),
                machine: machine.fresh(),
                wiped: false,
                trouble: Trouble::default(),
                actions: 0,
                dies_behind: None,
                life: 0,
                paused_until: Moment::ZERO,
                starved_until: Moment::ZERO,
                slow_nanos: 0,
                stalled: false,
                kept_back: Vec::new(),
                process: None,
            }
        });
        let mut world = Self {
            now: Moment::ZERO,
            nodes: nodes.collect(),
            network: Network::new(ids.len(), options.network, options.seed)
                .behind(Gate::new(options.withheld.clone()))
                .watched(lines != Lines::None),
            checkers: Checkers::new(&ids, options.quorums, options.limits, options.timeouts),
            trace: Trace::new(lines, &ids),
            meter: Meter::new(),
            stats: Stats::default(),
            process_prng: Prng::new(options.seed, "process"),
            disk_prng: Prng::new(options.seed, "disk"),
            quirk_prng: Prng::new(options.seed, "quirks"),
            garble_prng: Prng::new(options.seed, "garbling"),
            is_sound: false,
            is_beyond: false,
            gate: Gate::new(options.withheld.clone()),
            next_frame: 1,
            arrivals: Vec::new(),
            configuration,
            answers: None,
            journal: (Vec::new(), Vec::new()),
            sequence: 0,
            queue: BinaryHeap::new(),
            violation: None,
            options,
        };
        for member in world.members() {
            world.schedule(Moment::ZERO, Happening::Start { member });
        }
        world
    }

    /// All members, by index.
    pub fn members(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        NodeSet::first(self.nodes.len()).iter()
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// The options.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The counts so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The checkers, which know the history.
    #[must_use]
    pub const fn checkers(&self) -> &Checkers {
        &self.checkers
    }

    /// The trace.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Looks what the cluster is busy with, for the counts of faults.
    fn look(&mut self) {
        let phase = Phase::of(self);
        self.gate.enter(phase);
        self.gate.coverage().look(phase);
        self.network.gate_mut().enter(phase);
    }

    /// Which faults happened in which phase.
    pub(crate) fn coverage(&mut self) -> Coverage {
        let mut coverage = self.gate.coverage().clone();
        coverage.add(self.network.gate_mut().coverage());
        coverage
    }

    /// How many faults of each cause struck, withheld ones included.
    #[must_use]
    pub fn struck(&self) -> Strikes {
        self.gate.struck().and(self.network.gate().struck())
    }

    /// How many faults of each cause happened.
    #[must_use]
    pub fn happened(&self) -> Strikes {
        self.gate.happened().and(self.network.gate().happened())
    }

    /// The first violation found.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The node at `member`.
    #[must_use]
    pub fn node(&self, member: MemberIndex) -> &Node {
        &self.nodes[member.place()]
    }

    /// The node at `member`, to look into it or to harm it.
    pub fn node_mut(&mut self, member: MemberIndex) -> &mut Node {
        &mut self.nodes[member.place()]
    }

    /// The service at `member`, while it is up.
    #[must_use]
    pub fn service(&self, member: MemberIndex) -> Option<&Service<Machine>> {
        self.nodes[member.place()].process.as_ref().map(|process| &process.service)
    }

    /// Lets the next thing happen. `None` when nothing is left, or when a violation was found;
    /// `Some(Some(token))` when it was something that the driver asked to be told of.
    pub fn step(&mut self) -> Option<Option<u64>> {
        if self.violation.is_some() {
            return None;
        }
        if self.trace.is_watched() {
            self.remark_links();
        }
        let Reverse(entry) = self.queue.pop()?;
        self.now = self.now.max(entry.at);
        self.stats.happenings += 1;
        if self.stats.happenings.is_multiple_of(LOOKS_EVERY) {
            self.look();
        }
        let checked = match entry.what {
            Happening::Told(token) => return Some(Some(token)),
            Happening::Arrive(envelope) => {
                self.arrive(envelope);
                Ok(())
            }
            Happening::Turn { member, life } => self.on_turn(member, life),
            Happening::Timer { member, life } => {
                self.on_timer(member, life);
                Ok(())
            }
            Happening::Synced { member, life, ticket } => {
                self.on_synced(member, life, ticket);
                Ok(())
            }
            Happening::Read { member, life, read } => {
                if self.nodes[member.place()].life == life {
                    self.give(member, Item::Read(read));
                }
                Ok(())
            }
            Happening::Start { member } => self.start(member),
            Happening::Restart { member, life } => self.restart(member, life),
        };
        if let Err(violation) = checked {
            self.violation = Some(violation);
            return None;
        }
        Some(None)
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse(entry)| entry.at)
    }

    /// Asks to be told at `at`: [`Self::step`] returns the token then.
    pub fn tell(&mut self, at: Moment, token: u64) {
        self.schedule(at, Happening::Told(token));
    }

    /// Notes a violation that the driver found.
    pub fn fail(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// Moves the time on without anything happening, up to the next happening.
    pub fn skip_to(&mut self, moment: Moment) {
        let next = self.next_at().unwrap_or(Moment::NEVER);
        self.now = self.now.max(moment.min(next));
    }

    /// A client submits at `member`; lost when the process is down.
    pub fn submit(&mut self, member: MemberIndex, request: Request) {
        self.give(member, Item::Submit(request));
    }

    /// From now on somebody listens to what clients are told.
    pub(crate) fn listen(&mut self) {
        self.answers.get_or_insert_default();
    }

    /// What clients were told since the last call. The buffer is to be given back.
    pub(crate) fn take_answers(&mut self) -> Vec<Answer> {
        self.answers.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Gives the buffer of the answers back.
    pub(crate) fn give_back_answers(&mut self, answers: Vec<Answer>) {
        self.answers = Some(answers);
    }

    /// Hands `item` to the process at `member`, if there is one, and wakes it.
    pub(crate) fn give(&mut self, member: MemberIndex, item: Item) {
        let Some(process) = &mut self.nodes[member.place()].process else { return };
        process.inbox.push(item);
        self.wake(member);
    }

    /// Schedules a turn, unless one is scheduled.
    pub(crate) fn wake(&mut self, member: MemberIndex) {
        let mut delay = self.process_prng.exponential(self.options.process.turn_nanos);
        let node = &mut self.nodes[member.place()];
        if node.slow_nanos > 0 {
            delay += self.quirk_prng.exponential(node.slow_nanos);
        }
        let at = self.now.plus(delay).max(node.paused_until);
        let life = node.life;
        let Some(process) = &mut node.process else { return };
        if process.turn_at.is_none() {
            process.turn_at = Some(at);
            self.schedule(at, Happening::Turn { member, life });
        }
    }

    pub(crate) fn schedule(&mut self, at: Moment, what: Happening) {
        if at == Moment::NEVER {
            return;
        }
        self.sequence += 1;
        self.queue.push(Reverse(Entry { at, sequence: self.sequence, what }));
    }

    /// Puts what the network let through into the queue.
    pub(crate) fn post_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for (at, envelope) in arrivals.drain(..) {
            self.schedule(at, Happening::Arrive(envelope));
        }
        self.arrivals = arrivals;
    }

    fn arrive(&mut self, envelope: Envelope) {
        let link_holds = self.network.arrive(&envelope);
        if !link_holds || self.nodes[envelope.to.place()].process.is_none() {
            self.trace.tell(self.now, envelope.to, "misses", envelope.number, || {
                let why = if link_holds { "is down" } else { "is cut off" };
                let came = Told::came(&envelope);
                Told { text: format!("{}: m{} {why}", came.text, envelope.to.0), ..came }
            });
            return;
        }
        self.give(envelope.to, Item::Frame(envelope));
    }

    /// Tells what became of the links since the last step.
    fn remark_links(&mut self) {
        for Change { from, to, word, until } in self.network.take_changes() {
            self.trace.remark(self.now, from, word, || Told {
                until,
                ..Told::from(format!("→ m{}", to.0)).peer(to)
            });
        }
    }

    fn on_timer(&mut self, member: MemberIndex, life: u32) {
        let now = self.now;
        let node = &mut self.nodes[member.place()];
        let Some(process) = &mut node.process else { return };
        if node.life != life || process.timer_at > now {
            return;
        }
        let ProcessOptions { late_timer_ppm, late_timer_nanos, .. } = self.options.process;
        if self.gate.strikes(Cause::LateTimer, self.quirk_prng.chance(late_timer_ppm)) {
            node.starved_until = now.plus(self.quirk_prng.exponential(late_timer_nanos));
        }
        process.timer_at = Moment::NEVER;
        if node.starved_until > now {
            let at = node.starved_until;
            process.timer_at = at;
            self.schedule(at, Happening::Timer { member, life });
            return;
        }
        self.give(member, Item::Deadline);
    }

    fn on_synced(&mut self, member: MemberIndex, life: u32, ticket: Ticket) {
        let DiskOptions { fail_ppm, settle_ppm, .. } = self.options.disk;
        let node = &mut self.nodes[member.place()];
        if node.life != life {
            return;
        }
        if node.stalled {
            node.kept_back.push(ticket);
            return;
        }
        if self.gate.strikes(Cause::SyncFails, self.disk_prng.chance(fail_ppm)) {
            node.disk.fail();
            self.restart_later(member);
        }
        let node = &mut self.nodes[member.place()];
        let outer = self.meter.enter(Part::Log);
        let synced = node.disk.sync(ticket);
        let idle = node.process.as_ref().is_some_and(|process| process.sync_at <= self.now);
        if !self.is_sound && node.disk.is_at_grave() {
            // Just where something was cut off once, the power fails.
            self.meter.enter(outer);
            self.kill(member);
            self.start_at(member, self.now);
            return;
        }
        let settles = synced.is_ok() && idle && self.disk_prng.chance(settle_ppm);
        let settled = if settles { node.disk.settle() } else { Ok(()) };
        self.meter.enter(outer);
        if settles && settled.is_ok() {
            self.audit_settled(member);
        }
        let item = match synced.and_then(|upto| settled.map(|()| upto)) {
            Ok(upto) => Item::Synced(upto),
            Err(_) => Item::SyncFailed,
        };
        self.give(member, item);
    }

    /// Tells `member` and those it can talk to that their links are up.
    pub(crate) fn hint_up(&mut self, member: MemberIndex) {
        for other in self.members().filter(|other| *other != member) {
            let both = !self.network.is_cut(member, other) && !self.network.is_cut(other, member);
            if both && self.nodes[other.place()].process.is_some() {
                self.give(member, Item::PeerUp(other));
                self.give(other, Item::PeerUp(member));
            }
        }
    }

    /// Sets the timer of a process to what its service asks for.
    pub(crate) fn set_timer(&mut self, member: MemberIndex, process: &mut Process) {
        let deadline: Instant = process.service.deadline();
        let node = &self.nodes[member.place()];
        let earliest = self.now.plus(1).max(node.starved_until);
        let at = node.clock.reaches(deadline).max(earliest);
        if deadline == Instant::NEVER || at >= process.timer_at {
            return;
        }
        process.timer_at = at;
        self.schedule(at, Happening::Timer { member, life: node.life });
    }
}

/// The ids of the members, ascending, so that the place of each is its index.
fn node_ids(options: &Options) -> Vec<NodeId> {
    let mut prng = Prng::new(options.seed, "ids");
    let step = if options.sparse_ids { (1 << 63) / options.nodes as u64 } else { 1 };
    let ids = (0..options.nodes as u64).map(|place| place * step + 1 + prng.below(step));
    ids.map(NodeId).collect()
}

/// How many things happen between two looks at what the cluster is busy with.
const LOOKS_EVERY: u64 = 16;

/// The id of the cluster that is simulated.
pub const CLUSTER: u64 = 0x5111;

/// The id of its only group.
pub const GROUP: u64 = 1;

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// The event that a deadline is.
pub(crate) const DEADLINE: Event<'static, bytes::Bytes> = Event::DeadlineReached;
