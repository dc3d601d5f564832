//! A run of one seed: faults and clients, then healing, then convergence with no further traffic,
//! then one more request at each healthy member, which must be applied.

use std::fmt;
use std::time::Duration;

use synod_core::service::StateMachine as _;
use synod_core::{Ballot, MemberIndex, NodeId, NodeSet, Slot, Standing};

use crate::app::fleet::{Fleet, TIMERS};
use crate::app::registers::RegisterApp;
use crate::app::{Application, Tally};
use crate::checkers::{Heard, RequestKey};
use crate::clock::{Moment, nanos};
use crate::coverage::Coverage;
use crate::meter::{Part, Shares};
use crate::mischief::Strikes;
use crate::nemesis::{End, Nemesis};
use crate::network::Counts;
use crate::node::Item;
use crate::options::Options;
use crate::panics;
use crate::prng::{PPM, Prng};
use crate::trace::{Event, Lines};
use crate::violation::{Property, Violation};
use crate::world::{Stats, World};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The kind of run.
    pub options: Options,
    /// What went wrong, if anything did.
    pub violation: Option<Violation>,
    /// Counts.
    pub stats: Stats,
    /// Whether its disks suffered more than any cluster survives.
    pub is_beyond: bool,
    /// Counts of the network.
    pub network: Counts,
    /// Faults that struck, by cause, withheld ones included.
    pub struck: Strikes,
    /// Counts of the judges of client histories.
    pub tally: Tally,
    /// Faults that happened, by cause.
    pub happened: Strikes,
    /// Which faults happened in which phase.
    pub coverage: Coverage,
    /// How long it lasted, in simulated time.
    pub lasted: Moment,
    /// Different requests that were applied.
    pub applied: u64,
    /// Slots chosen.
    pub chosen: Slot,
    /// The hash of everything that happened.
    pub hash: u64,
    /// Where the time went, when it was measured.
    pub shares: Shares,
    /// The ids of the members, as ballots name them.
    pub ids: Vec<NodeId>,
    /// What happened, when it was asked for.
    pub events: Vec<Event>,
}

/// Runs `options` to its end, with registers and their clients.
#[must_use]
pub fn run(options: Options, lines: Lines) -> Report {
    let mut run = Run::new(options, lines, &RegisterApp::default());
    run.go(&mut |_| true);
    run.report()
}

/// As [`run`], but a panic, as of a broken contract of the core, is a violation like any other,
/// and what happened before it is in the report.
#[must_use]
pub fn run_caught(options: Options, lines: Lines) -> Report {
    run_watched(options, lines, &mut |_| true)
}

/// As [`run_caught`], and `watch` looks at the world after every step, and may say that it has
/// seen enough: then the run ends there, with no violation.
#[must_use]
pub fn run_watched(options: Options, lines: Lines, watch: Watch<'_>) -> Report {
    run_application(options, lines, &RegisterApp::default(), watch)
}

/// As [`run_watched`], with this application.
#[must_use]
pub fn run_application(
    options: Options,
    lines: Lines,
    app: &dyn Application,
    watch: Watch<'_>,
) -> Report {
    let mut run = Run::new(options, lines, app);
    if let Err(said) = panics::caught(|| run.go(watch)) {
        run.world.fail(panics::blame(&said));
    }
    run.report()
}

/// Looks at the world after a step; false ends the run.
pub type Watch<'w> = &'w mut dyn FnMut(&World) -> bool;

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Faults and clients.
    Faults,
    /// No fault, no client: it must converge.
    Converging,
    /// One more request at each member must be applied.
    Proving,
}

struct Run {
    /// As drawn; those of the world become sound in the end.
    options: Options,
    world: World,
    phase: Phase,
    nemesis: Nemesis,
    fleet: Fleet,
    prng: Prng,
    ends: Vec<(Moment, End)>,
    scheduled: Vec<End>,
    /// The members that are healed in the end.
    core: NodeSet,
    /// When the phase began.
    since: Moment,
    /// Everything below was held by the whole core then.
    held: Slot,
    proofs: Vec<RequestKey>,
}

const CLIENT: u64 = 0;
const NEMESIS: u64 = 1;
const HEAL: u64 = 2;
const LOOK: u64 = 3;
/// From here on a token is a place in `scheduled`.
const ENDS: u64 = 16;

impl Run {
    fn new(options: Options, lines: Lines, app: &dyn Application) -> Self {
        let mut nemesis = Nemesis::new(options.nemesis, options.seed);
        let first_fault = nemesis.next_at(Moment::ZERO);
        let heal_at = Moment::ZERO.after(options.faults_for);
        let mut fleet = Fleet::new(&options, app.crowd(&options));
        let machine = app.machine(options.durable_machines);
        let mut world = World::of(options.clone(), lines, &machine);
        world.listen();
        fleet.begin(&mut world);
        world.tell(Moment::ZERO.plus(options.client.every_nanos), CLIENT);
        world.tell(first_fault, NEMESIS);
        world.tell(heal_at, HEAL);
        Self {
            world,
            phase: Phase::Faults,
            nemesis,
            fleet,
            prng: Prng::new(options.seed, "healing"),
            options,
            ends: Vec::new(),
            scheduled: Vec::new(),
            core: NodeSet::EMPTY,
            since: Moment::ZERO,
            held: Slot::ZERO,
            proofs: Vec::new(),
        }
    }

    fn go(&mut self, watch: Watch<'_>) {
        while let Some(told) = self.world.step() {
            if !watch(&self.world) {
                return;
            }
            if self.world.stats().happenings > HAPPENINGS_MAX {
                let story = format!("{HAPPENINGS_MAX} things happened and it is not over");
                self.world.fail(Violation::new(Property::Bounds, story));
                return;
            }
            let outer = self.world.meter.enter(Part::Clients);
            let heard = self.fleet.listen(&mut self.world);
            self.world.meter.enter(outer);
            if let Err(violation) = heard {
                self.world.fail(violation);
                return;
            }
            let Some(token) = told else { continue };
            match token {
                CLIENT => self.clients(),
                NEMESIS => self.fault(),
                HEAL => self.heal(),
                LOOK => {
                    if self.look() {
                        return self.judge();
                    }
                }
                timer if timer >= TIMERS => self.fleet.wake(&mut self.world, timer),
                end => self.end(end),
            }
        }
    }

    /// The run is over: what its clients heard is judged as a whole.
    fn judge(&mut self) {
        for member in self.world.members() {
            self.world.audit(member);
        }
        if self.world.violation().is_some() {
            return;
        }
        let outer = self.world.meter.enter(Part::Checkers);
        let alone = self.world.node(MemberIndex(0)).machine.fresh();
        let judged = self.world.checkers().on_end(alone).and_then(|replayed| {
            self.fleet.tally_mut().replayed += replayed;
            self.world.meter.enter(Part::Clients);
            self.fleet.judge()
        });
        self.world.meter.enter(outer);
        if let Err(violation) = judged {
            self.world.fail(violation);
        }
    }

    fn report(self) -> Report {
        let mut world = self.world;
        Report {
            options: self.options,
            violation: world.violation().cloned(),
            stats: *world.stats(),
            is_beyond: world.is_beyond,
            coverage: world.coverage(),
            shares: world.meter.shares(),
            network: world.network().counts(),
            struck: world.struck(),
            tally: *self.fleet.tally(),
            happened: world.happened(),
            lasted: world.now(),
            applied: world.checkers().applied_requests(),
            chosen: world.checkers().images().chosen_end(),
            hash: world.trace().hash(),
            ids: world.nodes.iter().map(|node| node.id).collect(),
            events: world.trace.take(),
        }
    }

    fn clients(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        let outer = self.world.meter.enter(Part::Clients);
        let next = self.fleet.burst(&mut self.world);
        self.world.meter.enter(outer);
        self.world.tell(next, CLIENT);
    }

    fn fault(&mut self) {
        if self.phase != Phase::Faults {
            return;
        }
        self.nemesis.begin(&mut self.world, &mut self.ends);
        self.schedule_ends();
        let next = self.nemesis.next_at(self.world.now());
        self.world.tell(next, NEMESIS);
    }

    fn end(&mut self, token: u64) {
        let Some(end) = self.scheduled.get((token - ENDS) as usize).copied() else { return };
        if self.phase != Phase::Faults {
            return;
        }
        self.nemesis.end(&mut self.world, end, &mut self.ends);
        self.schedule_ends();
    }

    fn schedule_ends(&mut self) {
        for (at, end) in self.ends.drain(..) {
            self.world.tell(at, ENDS + self.scheduled.len() as u64);
            self.scheduled.push(end);
        }
    }

    /// Everything is healed, or only a quorum is, and the others stay away for good.
    fn heal(&mut self) {
        self.phase = Phase::Converging;
        self.fleet.stop();
        let world = &mut self.world;
        world.trace.remark(world.now, MemberIndex(0), "heals", || {
            String::from("faults and clients end").into()
        });
        self.nemesis.give_up(world);
        let whole = |world: &World| {
            let votes = world.members().filter(|member| world.is_whole(*member));
            votes.collect::<Vec<MemberIndex>>()
        };
        let mut members = whole(world);
        // A group forms when all its members have met (R10); before that a quorum is not enough.
        let core_only = world.options.heal_core_only && world.has_formed();
        if core_only {
            self.prng.shuffle(&mut members);
            members.truncate(world.options.quorums.both());
        }
        if world.is_beyond {
            // Nothing can be asked of anybody.
            members.clear();
        }
        self.core = members.into_iter().fold(NodeSet::EMPTY, NodeSet::with);
        world.become_sound();
        let whole = self.core;
        for member in world.members() {
            world.set_stalled(member, false);
            world.finish_sync(member);
            world.resume(member);
            let node = world.node(member);
            let ended = node.process.as_ref().is_some_and(|process| {
                let asked = process.inbox.iter().any(|item| matches!(item, Item::ShutDown));
                process.log_failed || process.shutting_down || asked
            });
            if ended || node.disk.is_failing() {
                world.kill(member);
            }
            if world.node(member).process.is_none() {
                world.repair_disk(member);
            }
            world.fill_disk(member, false);
            if whole.contains(member) || world.is_beyond {
                world.start_at(member, world.now());
            } else if self.prng.chance(500_000) {
                world.kill(member);
            }
        }
        if core_only {
            world.split(whole);
            // Half of those who stay away are not silent: the core hears them, and they are deaf.
            if Prng::new(world.options.seed, "outsiders").chance(PPM / 2) {
                for outsider in world.members().filter(|member| !whole.contains(*member)) {
                    for member in whole.iter() {
                        world.network.set_cut(outsider, member, false);
                    }
                }
            }
        }
        if world.options.hints {
            for member in world.members() {
                world.hint_up(member);
            }
        }
        self.since = self.world.now();
        self.held = self.core.iter().map(|member| self.held_by(member)).min().unwrap_or_default();
        self.look_again();
    }

    /// Everything below is decided on the disk of a member, and in its machine.
    fn held_by(&self, member: MemberIndex) -> Slot {
        let node = self.world.node(member);
        let running = node.process.as_ref().map(|process| process.service.machine().end());
        let decided = self.world.checkers().images().of(member).decided;
        running.unwrap_or_else(|| node.machine.end()).min(decided)
    }

    /// A bound on how long a healthy cluster may take, in election timeouts and in what it takes
    /// to bring a replica up to date one slot at a time. What was queued when the faults ended is
    /// still to be chosen, so the bound grows with what is.
    fn patience(&self) -> Moment {
        let timeouts = &self.world.options.timeouts;
        let election = timeouts.election + timeouts.election_jitter + timeouts.step_down;
        let reads = Duration::from_nanos(self.world.options.disk.read_nanos * 4);
        let slot = timeouts.resend + timeouts.heartbeat * 4 + reads;
        let slots = self.world.checkers().images().chosen_end().since(self.held) as u32 + 10;
        let rate = u64::from(PPM) - self.world.options.process.drift_ppm;
        let time = nanos(election * ELECTIONS_MAX + slot * slots) / rate * 1_000_000;
        self.since.plus(time)
    }

    fn look_again(&mut self) {
        let next = self.world.now().after(self.world.options.timeouts.heartbeat);
        self.world.tell(next, LOOK);
    }

    /// Whether the run is over.
    fn look(&mut self) -> bool {
        let missing = match self.phase {
            Phase::Faults => None,
            Phase::Converging => self.not_converged(),
            Phase::Proving => self.not_proven(),
        };
        let lasts = self.world.options.timeouts.election * BEYOND_ELECTIONS;
        if self.world.is_beyond && self.world.now() < self.since.after(lasts) {
            // Nothing need come of it; but whatever does must be right.
            self.look_again();
            return false;
        }
        let Some(missing) = missing else {
            if self.phase == Phase::Proving {
                return true;
            }
            self.prove();
            self.look_again();
            return false;
        };
        if self.world.now() > self.patience() {
            let story = format!("{:?} for too long: {missing}", self.phase);
            self.world.fail(Violation::new(Property::Convergence, story));
            return true;
        }
        self.look_again();
        false
    }

    /// What keeps the core from having converged.
    fn not_converged(&self) -> Option<String> {
        let world = &self.world;
        let chosen = world.checkers().images().chosen_end();
        let mut first = None;
        for member in self.core.iter() {
            let node = world.node(member);
            let Some(process) = &node.process else {
                return Some(format!("member {} is down", member.0));
            };
            let replica = process.service.replica();
            let (decided, applied) = (replica.decided(), replica.applied());
            if let Some(open) = process.requests.values().next() {
                return Some(format!("member {} has no outcome for {open:?}", member.0));
            }
            if !process.inbox.is_empty() {
                return Some(format!("member {} has not read its inputs", member.0));
            }
            let state = (decided, process.service.machine().digest(), replica.leader());
            if decided < chosen || applied != decided || replica.leader().is_none() {
                return Some(format!(
                    "member {} decided {decided} and applied {applied} of {chosen} slots; {}",
                    member.0,
                    leader_in_words(replica.leader(), replica.standing())
                ));
            }
            if replica.standing() == Standing::Leading && replica.next_slot() > decided {
                return Some(format!("member {} waits for votes", member.0));
            }
            let (other, expected) = *first.get_or_insert((member, state));
            if expected != state {
                let told = |(decided, digest, leader): State| {
                    let leads = leader_in_words(leader, Standing::Following);
                    format!("{decided} slots decided, the digest {digest:x}; {leads}")
                };
                return Some(format!(
                    "member {} has {}, and member {} has {}",
                    member.0,
                    told(state),
                    other.0,
                    told(expected)
                ));
            }
        }
        None
    }

    /// Submits one more request at each member of the core that takes one.
    fn prove(&mut self) {
        self.phase = Phase::Proving;
        self.since = self.world.now();
        for member in self.core.iter() {
            let forwards = self.world.options.forward;
            let leads = self.world.service(member).map(|s| s.replica().standing());
            if !forwards && leads != Some(Standing::Leading) {
                continue;
            }
            self.proofs.extend(self.fleet.prove(&mut self.world, member));
        }
    }

    fn not_proven(&self) -> Option<String> {
        let history = self.world.checkers().history();
        let applied = |key| history.get(key).is_some_and(|request| request.applied.is_some());
        if let Some(key) = self.proofs.iter().find(|key| !applied(**key)) {
            let heard = match history.get(*key).and_then(|request| request.heard) {
                None => "its client has heard nothing of it",
                Some(Heard::Applied { .. }) => "its client heard that it was",
                Some(Heard::Refused) => "it was refused",
                Some(Heard::Unknown) => "nobody knows what became of it",
            };
            return Some(format!("{key:?} is not applied, and {heard}"));
        }
        self.not_converged()
    }
}

/// How far a member is that has converged: slots decided, the digest of its state, who leads.
type State = (Slot, u64, Option<Ballot>);

/// Whom a member takes for the leader, and what it does itself.
fn leader_in_words(leader: Option<Ballot>, standing: Standing) -> String {
    let leads = leader.map_or_else(|| "nobody leads".into(), |ballot| format!("{ballot} leads"));
    match standing {
        Standing::Following | Standing::Leading => leads,
        Standing::Preparing => leads + ", and it prepares",
    }
}

/// No run of the swarm comes near: what does is a storm of messages.
const HAPPENINGS_MAX: u64 = 10_000_000;

/// A healthy cluster settles within so many election timeouts, besides the time to catch up.
const ELECTIONS_MAX: u32 = 40;

/// How long a cluster that has lost too much is watched.
const BEYOND_ELECTIONS: u32 = 20;

impl World {
    /// From now on nothing fails any more. Rules of a story stay.
    pub(crate) fn become_sound(&mut self) {
        self.is_sound = true;
        self.network.heal();
        self.options.disk = self.options.disk.sound();
        self.options.process = self.options.process.sound();
        for member in self.members() {
            self.mend_clock(member);
            self.slow_down(member, 0);
            self.nodes[member.place()].starved_until = Moment::ZERO;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stats, network, lasted, applied, chosen, hash, .. } = self;
        writeln!(
            f,
            "{} happenings in {lasted}; {chosen} slots chosen, {applied} requests applied, \
             {} leaderships, {} crashes, {} of {} messages lost; hash {hash:016x}",
            stats.happenings, stats.leaders, stats.crashes, network.lost, network.sent
        )?;
        match &self.violation {
            Some(violation) => write!(f, "VIOLATION {violation}"),
            None => write!(f, "passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ms;

    /// A run at the moment when its faults are over.
    fn healed() -> Run {
        let mut options = Options::draw(3, Some(3), Some(ms(1_000)));
        options.heal_core_only = false;
        let mut run = Run::new(options, Lines::None, &RegisterApp::default());
        while run.phase == Phase::Faults {
            let told = run.world.step().expect("a sound run goes on");
            match told {
                Some(HEAL) => run.heal(),
                Some(CLIENT) => run.clients(),
                Some(_) | None => {}
            }
        }
        run
    }

    #[test]
    fn a_cluster_that_does_not_converge_is_noticed() {
        let mut run = healed();
        run.go(&mut |_| true);
        assert_eq!(run.report().violation, None);

        let mut run = healed();
        run.world.split(NodeSet::of(MemberIndex(0)));
        run.go(&mut |_| true);
        let violation = run.report().violation.expect("one member is cut off");
        assert_eq!(violation.property, Property::Convergence);

        let mut run = healed();
        let healed_at = run.world.now();
        while run.world.now() == healed_at {
            let _ = run.world.step();
        }
        run.world.kill(MemberIndex(1));
        run.go(&mut |_| true);
        let violation = run.report().violation.expect("one member is down");
        assert_eq!(violation.property, Property::Convergence);
    }
}
