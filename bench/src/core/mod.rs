//! The workload P1: three replicas on one thread, queues in memory, no I/O. What is counted is the
//! protocol's own work: instructions and allocations per command.

pub mod client;
pub mod floor;
pub mod synod;

use bytes::Bytes;
use client::Client;

/// Three replicas on one thread.
pub trait Cluster {
    /// As tables show it.
    fn name(&self) -> &'static str;
    /// Takes a command at the leader.
    fn submit(&mut self, command: Bytes);
    /// Lets every replica take in what has arrived and do what is due; outcomes go to `client`.
    fn turn(&mut self, client: &mut Client);
    /// Lets the replicas that lag learn what was decided last.
    fn settle(&mut self) {}
    /// How many commands each replica has applied.
    fn applied(&self) -> [u64; 3];
}

/// Runs `commands` with `window` of them outstanding.
///
/// # Panics
/// When a command is lost, doubled or reordered on any replica, or nothing moves any more.
pub fn run(cluster: &mut dyn Cluster, client: &mut Client, commands: u64, window: u64) {
    let end = client.submitted() + commands;
    let mut idle = 0;
    while client.submitted() < end || client.outstanding() > 0 {
        while client.outstanding() < window && client.submitted() < end {
            cluster.submit(client.command());
        }
        let before = client.outstanding();
        cluster.turn(client);
        idle = if client.outstanding() == before { idle + 1 } else { 0 };
        assert!(idle < 10_000, "{} has come to a halt", cluster.name());
    }
}

/// Checks that all replicas have applied all commands.
///
/// # Panics
/// When one has not.
pub fn check(cluster: &mut dyn Cluster, client: &Client) {
    for _ in 0..1_000 {
        if cluster.applied() == [client.submitted(); 3] {
            return;
        }
        cluster.settle();
    }
    panic!("{}: {:?} of {} applied", cluster.name(), cluster.applied(), client.submitted());
}
