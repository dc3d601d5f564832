//! Timeouts change at run time, and a replica keeps to the new ones (B1).

mod common;

use std::time::Duration;

use common::Cluster;
use synod_core::{ConfigError, NodeId, Timeouts};

#[test]
fn timeouts_change_at_run_time_or_not_at_all() {
    let mut cluster = Cluster::formed(3);
    cluster.run(1500);
    let first = cluster.leader().expect("a leader");
    let bad = Timeouts { heartbeat: Duration::ZERO, ..Timeouts::default() };
    let refused = cluster.node(first).replica.set_timeouts(bad);
    assert_eq!(refused, Err(ConfigError::Timeout("heartbeat")));
    assert_eq!(cluster.replica(first).config().timeouts, Timeouts::default());

    // With an election timeout of ten seconds the loss of the leader goes unnoticed for that long.
    let patient = Timeouts { election: Duration::from_secs(10), ..Timeouts::default() };
    for id in 1..=3 {
        cluster.node(id).replica.set_timeouts(patient).expect("sound");
    }
    cluster.run(200);
    cluster.crash(first, 0);
    cluster.run(8000);
    assert_eq!(cluster.leader(), None);
    cluster.run(5000);
    assert!(cluster.leader().is_some_and(|next| next != first));
}

/// What is decided is told after `notice` at the latest, and the host is told when to come back.
#[test]
fn a_notice_that_is_kept_back_has_a_deadline() {
    let mut cluster = Cluster::formed(3);
    cluster.run(1500);
    let leader = cluster.leader().expect("a leader");
    let notice = Duration::from_millis(7);
    let timeouts = Timeouts { notice, ..Timeouts::default() };
    cluster.node(leader).replica.set_timeouts(timeouts).expect("sound");
    cluster.run(20);
    let decided = cluster.replica(leader).decided();
    cluster.propose(leader, "x");
    cluster.flush();
    assert_eq!(cluster.replica(leader).decided(), decided.next());
    let now = cluster.clock(leader);
    assert_eq!(cluster.replica(leader).deadline(), now.after(notice));
}

/// A leader that keeps back its notices tells the member that waits for a decree, and no other.
#[test]
fn who_waits_for_a_decree_is_told_at_once() {
    let mut cluster = Cluster::formed(3);
    cluster.run(1500);
    let leader = cluster.leader().expect("a leader");
    let timeouts = Timeouts { notice: Duration::from_millis(7), ..Timeouts::default() };
    cluster.node(leader).replica.set_timeouts(timeouts).expect("sound");
    cluster.run(20);
    let others: Vec<_> = (1..=3).filter(|id| *id != leader).collect();
    let waits = NodeId(others[0]);
    let place = cluster.replica(leader).config().configuration.index_of(waits).expect("a member");
    let before = cluster.replica(leader).decided();
    cluster.node(leader).replica.tell_promptly(place, before.next());
    cluster.propose(leader, "x");
    cluster.flush();
    let decided = [others[0], others[1]].map(|id| cluster.replica(id).decided());
    assert_eq!(decided, [before.next(), before]);
}
