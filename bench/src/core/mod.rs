//! The workload P1: three replicas on one thread, queues in memory, no I/O. What is counted is the
//! protocol's own work: time, instructions and allocations per command.

pub(crate) mod client;
pub(crate) mod floor;
pub(crate) mod omnipaxos;
pub(crate) mod openraft;
pub(crate) mod raft;
pub(crate) mod synod;
pub(crate) mod tail;

use bytes::Bytes;
use client::Client;
use synod_core::Limits;
use synod_core::service::ServiceLimits;

/// Three replicas on one thread.
pub(crate) trait Cluster {
    /// Takes a command at the leader.
    fn submit(&mut self, command: Bytes);
    /// Lets every replica take in what has arrived and do what is due; outcomes go to `client`.
    fn turn(&mut self, client: &mut Client);
    /// Lets the replicas that lag learn what was decided last.
    fn settle(&mut self);
    /// How many commands each replica has applied.
    fn applied(&self) -> Vec<u64>;

    /// Runs `commands` with `window` of them outstanding. It is here so that nobody pays for a call
    /// by table with each command.
    ///
    /// # Panics
    /// When a command is lost, doubled or reordered on any replica, or nothing moves any more.
    fn run(&mut self, client: &mut Client, commands: u64, window: u64) {
        let end = client.submitted() + commands;
        let mut idle = 0;
        while client.submitted() < end || client.outstanding() > 0 {
            while client.outstanding() < window && client.submitted() < end {
                self.submit(client.command());
            }
            let before = client.outstanding();
            self.turn(client);
            idle = if client.outstanding() == before { idle + 1 } else { 0 };
            assert!(idle < IDLE_TURNS_MAX, "nothing moves any more");
        }
    }
}

/// Who takes turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contender {
    /// The core and the service, messages handed on as values.
    Synod,
    /// The same with every message in its frame and every record in its log format, checksums
    /// included.
    SynodCodec,
    /// The same copies and outcomes without a protocol.
    Floor,
    /// The peers.
    Omnipaxos,
    OmnipaxosBatch,
    RaftRs,
    Openraft,
}

impl Contender {
    pub(crate) const ALL: [Self; 7] = [
        Self::Synod,
        Self::SynodCodec,
        Self::Floor,
        Self::Omnipaxos,
        Self::OmnipaxosBatch,
        Self::RaftRs,
        Self::Openraft,
    ];

    /// As tables and command lines have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Synod => "synod",
            Self::SynodCodec => "synod+codec",
            Self::Floor => "floor",
            Self::Omnipaxos => "omnipaxos",
            Self::OmnipaxosBatch => "omnipaxos-batch",
            Self::RaftRs => "raft-rs",
            Self::Openraft => "openraft",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contender| contender.name() == name)
    }

    /// Three replicas that have a leader.
    pub(crate) fn start(self, window: u64) -> Box<dyn Cluster> {
        match self {
            Self::Synod => Box::new(synod::Synod::new(3, window, false)),
            Self::SynodCodec => Box::new(synod::Synod::new(3, window, true)),
            Self::Floor => Box::new(floor::Floor::default()),
            Self::Omnipaxos => Box::new(omnipaxos::Omnipaxos::new(false)),
            Self::OmnipaxosBatch => Box::new(omnipaxos::Omnipaxos::new(true)),
            Self::RaftRs => Box::new(raft::RaftRs::new()),
            Self::Openraft => Box::new(openraft::Openraft::new()),
        }
    }
}

/// So many commands take all memory into use that a replica of Synod keeps of the past. Before that
/// each decree is written to memory that the system has yet to find.
pub(crate) fn fill(size: usize, window: u64) -> u64 {
    let decrees = 2 * Limits::default().window as u64;
    let fit = (ServiceLimits::default().batch_bytes_max / size).max(1) as u64;
    decrees * window.min(fit)
}

/// Checks that all replicas have applied all commands.
///
/// # Panics
/// When one has not.
pub(crate) fn check(cluster: &mut dyn Cluster, client: &Client) {
    for _ in 0..SETTLE_MAX {
        if cluster.applied().iter().all(|applied| *applied == client.submitted()) {
            return;
        }
        cluster.settle();
    }
    panic!("{:?} of {} applied", cluster.applied(), client.submitted());
}

const IDLE_TURNS_MAX: u32 = 10_000;
const SETTLE_MAX: u32 = 1_000;
/// After so many turns the clocks of a cluster go on: heartbeats are a part of the work.
const TURNS_PER_TICK: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn commands_are_applied(contender: Contender) {
        for (size, window) in [(8, 1), (64, 64), (1024, 1024)] {
            let mut cluster = contender.start(window);
            let mut client = Client::new(size);
            cluster.run(&mut client, 5 * window + 3, window);
            check(&mut *cluster, &client);
            assert_eq!(client.outstanding(), 0);
        }
    }

    #[test]
    fn every_contender_applies_every_command_on_three_replicas() {
        for contender in Contender::ALL {
            commands_are_applied(contender);
        }
    }

    #[test]
    fn groups_of_other_sizes_apply_every_command() {
        for members in [1, 5, 7] {
            let mut cluster = synod::Synod::new(members, 64, true);
            let mut client = Client::new(64);
            cluster.run(&mut client, 1_000, 64);
            check(&mut cluster, &client);
            assert_eq!(cluster.applied(), vec![1_000; members as usize]);
        }
    }

    #[test]
    fn names_are_told_apart() {
        for contender in Contender::ALL {
            assert_eq!(Contender::named(contender.name()), Some(contender));
        }
        assert_eq!(Contender::named("somebody"), None);
    }

    /// Loses the second command on one replica.
    struct Forgetful(floor::Floor);

    impl Cluster for Forgetful {
        fn submit(&mut self, command: Bytes) {
            self.0.submit(command);
        }

        fn turn(&mut self, client: &mut Client) {
            self.0.turn(client);
        }

        fn settle(&mut self) {
            self.0.settle();
        }

        fn applied(&self) -> Vec<u64> {
            let mut applied = self.0.applied();
            applied[1] -= 1;
            applied
        }
    }

    #[test]
    #[should_panic(expected = "[3, 2, 3] of 3 applied")]
    fn a_lost_command_is_noticed() {
        let mut cluster = Forgetful(floor::Floor::default());
        let mut client = Client::new(8);
        cluster.run(&mut client, 3, 1);
        check(&mut cluster, &client);
    }
}
