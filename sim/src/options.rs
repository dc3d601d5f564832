//! The options of a run, all drawn from its seed (a swarm: runs differ in kind, not in degree).

mod draw;
mod fault;

use std::fmt;
use std::time::Duration;

use synod_core::service::ServiceLimits;
use synod_core::{Limits, Quorums, Timeouts};

pub use fault::Fault;

use crate::clock::ms;
use crate::mischief::{Cause, Withheld};
use crate::violation::counted;

/// Everything that a seed decides about the kind of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Members, 1 to 9.
    pub nodes: usize,
    /// Whether node ids lie far apart, up to 2^63.
    pub sparse_ids: bool,
    /// Quorum sizes.
    pub quorums: Quorums,
    /// How long faults last.
    pub faults_for: Duration,
    /// The limits of every replica.
    pub limits: Limits,
    /// The limits of every service.
    pub service: ServiceLimits,
    /// The timeouts of every replica.
    pub timeouts: Timeouts,
    /// Whether replicas hand requests on to the leader.
    pub forward: bool,
    /// Whether hosts report links that come up and break.
    pub hints: bool,
    /// Whether state machines keep their state over a crash.
    pub durable_machines: bool,
    /// At the end only a quorum heals; the others stay down or cut off.
    pub heal_core_only: bool,
    /// Disks may be lost and damaged beyond what any cluster survives. Then no progress is asked
    /// for in the end, only that no answer is wrong.
    pub over_the_limit: bool,
    /// The network.
    pub network: NetworkOptions,
    /// The disks.
    pub disk: DiskOptions,
    /// The clocks and the processes.
    pub process: ProcessOptions,
    /// Faults that come and go.
    pub nemesis: NemesisOptions,
    /// The clients.
    pub client: ClientOptions,
    /// Faults that are drawn and do not happen: none in a plain seed.
    pub withheld: Withheld,
}

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkOptions {
    /// The least delay.
    pub delay_least_nanos: u64,
    /// The mean of the exponential delay on top.
    pub delay_nanos: u64,
    /// How often the delay is of the tail instead.
    pub tail_ppm: u32,
    /// The mean delay of the tail.
    pub tail_nanos: u64,
    /// Loss.
    pub loss_ppm: u32,
    /// Doubling at once.
    pub double_ppm: u32,
    /// Old frames that come again.
    pub replay_ppm: u32,
    /// How much later, in the mean.
    pub replay_nanos: u64,
    /// Flipped bits and cut frames.
    pub damage_ppm: u32,
    /// Frames that get the tail of another one.
    pub splice_ppm: u32,
    /// Frames that reach another member.
    pub misdirect_ppm: u32,
    /// Frames of strangers: of another cluster, group, configuration, node or life of a disk.
    pub foreign_ppm: u32,
    /// Requests that a member garbles before it hands them on.
    pub garble_ppm: u32,
    /// Links that always lose and delay more than others.
    pub uneven_ppm: u32,
    /// Whether links remember what they carried, for floods.
    pub remembers: bool,
    /// Frames under way on one link; more are lost.
    pub capacity: u32,
}

/// How disks behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskOptions {
    /// The least time of a sync.
    pub sync_least_nanos: u64,
    /// The mean of the exponential time on top.
    pub sync_nanos: u64,
    /// How often a sync stalls.
    pub stall_ppm: u32,
    /// For how long, in the mean.
    pub stall_nanos: u64,
    /// How often a sync fails.
    pub fail_ppm: u32,
    /// How often one of the next few operations of any kind fails, in each turn that may write,
    /// and in each start.
    pub error_ppm: u32,
    /// How often a read fails.
    pub read_error_ppm: u32,
    /// How often a call does less than it was asked to.
    pub short_ppm: u32,
    /// The mean time of a read.
    pub read_nanos: u64,
    /// How often a host settles its log when it is idle.
    pub settle_ppm: u32,
    /// What the device writes whole or not at all.
    pub sector_bytes: usize,
    /// The largest records that one segment has room for.
    pub segment_records: u64,
}

/// How processes and their clocks run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessOptions {
    /// The mean time between an input and the turn that takes it in.
    pub turn_nanos: u64,
    /// Clock rates lie within so much of the true one.
    pub drift_ppm: u64,
    /// Clocks start up to so far apart.
    pub offset_nanos: u64,
    /// How often a process is stopped between sampling its clock and reading its inputs.
    pub doze_ppm: u32,
    /// For how long, in the mean.
    pub doze_nanos: u64,
    /// How often a process dies right behind an action.
    pub die_at_action_ppm: u32,
    /// How often timers are starved: what was due now comes late, and all that falls due meanwhile.
    pub late_timer_ppm: u32,
    /// How late, in the mean.
    pub late_timer_nanos: u64,
}

/// How often faults begin, and how long they last, in the mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NemesisOptions {
    /// The time between two faults; zero for none.
    pub every_nanos: u64,
    /// How long a fault lasts.
    pub lasts_nanos: u64,
    /// How likely each fault is, in the order of [`Fault::ALL`].
    pub weights: [u32; Fault::COUNT],
}

/// What clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientOptions {
    /// The mean time between two bursts of submits.
    pub every_nanos: u64,
    /// The largest burst.
    pub burst_max: u64,
    /// The largest body.
    pub body_max: u64,
    /// How often a request must have a decree of its own.
    pub exclusive_ppm: u32,
    /// How often a request names a deadline.
    pub deadline_ppm: u32,
    /// How often a request names the leadership that it is meant for.
    pub only_in_ppm: u32,
    /// Clients with one operation open at a time.
    pub sessions: usize,
    /// The mean time between an outcome and the next operation of a session.
    pub think_nanos: u64,
    /// The mean time that a session waits for an outcome before it goes on without.
    pub patience_nanos: u64,
    /// How often a session tries again what was refused.
    pub retries_max: u32,
    /// How often a session submits anywhere instead of where it did before.
    pub wander_ppm: u32,
    /// How often a request is larger than any replica takes.
    pub oversize_ppm: u32,
    /// How often an operation has no bytes at all.
    pub empty_ppm: u32,
    /// The registers that the clients of the swarm use.
    pub keys: u16,
    /// How often they use the same one.
    pub hot_ppm: u32,
}

impl Options {
    /// The options of a story: nothing goes wrong unless it is told to.
    #[must_use]
    pub fn calm(nodes: usize, seed: u64) -> Self {
        let limits = Limits {
            window: 64,
            past_bytes_max: 1 << 20,
            decree_bytes_max: 4096,
            run_slots_max: 16,
            run_bytes_max: 4096,
            writes_in_flight_max: 4,
        };
        let timeouts = Timeouts::default();
        Self {
            seed,
            nodes,
            sparse_ids: false,
            quorums: Quorums::majority(nodes),
            faults_for: Duration::ZERO,
            service: service_limits(&limits, 8, 16),
            limits,
            timeouts,
            forward: true,
            hints: false,
            durable_machines: false,
            heal_core_only: false,
            over_the_limit: false,
            network: NetworkOptions::default(),
            disk: DiskOptions::default(),
            process: ProcessOptions::default(),
            nemesis: NemesisOptions { every_nanos: 0, lasts_nanos: 0, weights: [0; Fault::COUNT] },
            client: ClientOptions::calm(),
            withheld: Withheld::default(),
        }
    }
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            delay_least_nanos: 200_000,
            delay_nanos: 200_000,
            tail_ppm: 0,
            tail_nanos: 0,
            loss_ppm: 0,
            double_ppm: 0,
            replay_ppm: 0,
            replay_nanos: 0,
            damage_ppm: 0,
            splice_ppm: 0,
            misdirect_ppm: 0,
            foreign_ppm: 0,
            garble_ppm: 0,
            uneven_ppm: 0,
            remembers: false,
            capacity: 10_000,
        }
    }
}

impl NetworkOptions {
    /// The same delays, and no fault.
    #[must_use]
    pub fn sound(self) -> Self {
        let Self { delay_least_nanos, delay_nanos, .. } = self;
        Self { delay_least_nanos, delay_nanos, ..Self::default() }
    }
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            sync_least_nanos: 100_000,
            sync_nanos: 100_000,
            stall_ppm: 0,
            stall_nanos: 0,
            fail_ppm: 0,
            error_ppm: 0,
            read_error_ppm: 0,
            short_ppm: 0,
            read_nanos: 100_000,
            settle_ppm: 0,
            sector_bytes: 512,
            segment_records: 8,
        }
    }
}

impl DiskOptions {
    /// The same speed, and no fault.
    #[must_use]
    pub const fn sound(self) -> Self {
        Self { stall_ppm: 0, fail_ppm: 0, error_ppm: 0, read_error_ppm: 0, ..self }
    }
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            turn_nanos: 20_000,
            drift_ppm: 0,
            offset_nanos: 0,
            doze_ppm: 0,
            doze_nanos: 0,
            die_at_action_ppm: 0,
            late_timer_ppm: 0,
            late_timer_nanos: 0,
        }
    }
}

impl ProcessOptions {
    /// The same speed, and no fault.
    #[must_use]
    pub const fn sound(self) -> Self {
        Self { doze_ppm: 0, die_at_action_ppm: 0, late_timer_ppm: 0, ..self }
    }
}

fn service_limits(limits: &Limits, pipeline: usize, batch: usize) -> ServiceLimits {
    ServiceLimits {
        requests_pending_max: 256,
        pending_bytes_max: 1 << 20,
        request_bytes_max: limits.decree_bytes_max - ServiceLimits::OVERHEAD_BYTES,
        batch_bytes_max: limits.decree_bytes_max,
        batch_requests_max: batch,
        pipeline,
        forward_requests_max: 64,
        forward_bytes_max: limits.decree_bytes_max * 4,
        request_timeout: ms(10_000),
    }
}

impl ClientOptions {
    /// No client at all.
    const fn calm() -> Self {
        Self {
            every_nanos: 0,
            burst_max: 0,
            body_max: 64,
            exclusive_ppm: 0,
            deadline_ppm: 0,
            only_in_ppm: 0,
            sessions: 0,
            think_nanos: 0,
            patience_nanos: 0,
            retries_max: 0,
            wander_ppm: 0,
            oversize_ppm: 0,
            empty_ppm: 0,
            keys: 1,
            hot_ppm: 0,
        }
    }
}

/// All of it, so that a report of a failure says what kind of run it was.
impl Options {
    /// What kind of run it is, in two lines: what holds of it, and which faults begin in it.
    fn brief(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.forward, "members hand on requests"),
            (self.hints, "hints of links"),
            (self.durable_machines, "durable machines"),
            (self.heal_core_only, "only a quorum heals"),
            (self.over_the_limit, "over the limit"),
        ];
        for (_, words) in flags.iter().filter(|(is_so, _)| *is_so) {
            write!(f, ", {words}")?;
        }
        write!(f, "\n  faults by weight:")?;
        let weights = Fault::ALL.iter().zip(self.nemesis.weights);
        for (fault, weight) in weights.filter(|(_, weight)| *weight > 0) {
            write!(f, " {} {weight}", Cause::Begin(*fault))?;
        }
        Ok(())
    }
}

/// The sizes of quorums in words.
pub(crate) fn in_words(quorums: Quorums) -> String {
    format!("quorums of {} and {}", quorums.phase1, quorums.phase2)
}

/// What kind of run it is, in short; with `#` everything that was drawn.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, quorums, faults_for, limits, service, timeouts, .. } = self;
        let (members, quorums) = (counted(*nodes as u64, "member"), in_words(*quorums));
        write!(f, "seed {seed}: {members}, {quorums}, faults for {faults_for:?}")?;
        if !f.alternate() {
            return self.brief(f);
        }
        writeln!(f)?;
        writeln!(f, "  limits   {limits:?}")?;
        writeln!(f, "  service  {service:?}")?;
        writeln!(f, "  timeouts {timeouts:?}")?;
        writeln!(
            f,
            "  forward {}, hints {}, durable machines {}, heal core only {}, sparse ids {}, \
             over the limit {}",
            self.forward,
            self.hints,
            self.durable_machines,
            self.heal_core_only,
            self.sparse_ids,
            self.over_the_limit
        )?;
        writeln!(f, "  network  {:?}", self.network)?;
        writeln!(f, "  disk     {:?}", self.disk)?;
        writeln!(f, "  process  {:?}", self.process)?;
        let Self { nemesis: NemesisOptions { every_nanos, lasts_nanos, weights }, .. } = self;
        write!(f, "  nemesis  every {every_nanos} ns for {lasts_nanos} ns:")?;
        for (fault, weight) in Fault::ALL.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            write!(f, " {fault:?} {weight}")?;
        }
        writeln!(f)?;
        write!(f, "  client   {:?}", self.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_options_and_another_seed_others() {
        let shown = |seed| Options::draw(seed, None, None).to_string();
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
    }

    #[test]
    fn every_drawn_option_is_one_that_the_core_takes() {
        for seed in 0..2_000 {
            let options = Options::draw(seed, None, None);
            assert_eq!(options.quorums.check(options.nodes), Ok(()), "{options}");
            assert!(options.timeouts.election >= options.timeouts.heartbeat * 3, "{options}");
        }
    }
}
