//! The cluster without faults: it forms, elects, decides, recovers.

mod common;

use common::Cluster;

#[test]
fn a_formed_cluster_elects_and_decides() {
    for count in [1, 2, 3, 4, 5, 7, 9] {
        let mut cluster = Cluster::formed(count);
        cluster.run(1500);
        let leader = cluster.leader().expect("a leader");
        cluster.propose(leader, "abc");
        cluster.run(300);
        for id in 1..=count {
            assert_eq!(cluster.letters(id), ".abc", "node {id} of {count}");
        }
    }
}

#[test]
fn a_fresh_group_forms_once_all_have_met() {
    let mut cluster = Cluster::with(3, false, |_| {});
    cluster.node(3).is_up = false;
    cluster.run(3000);
    assert_eq!(cluster.leader(), None, "two of three fresh disks may be wiped ones");
    cluster.restart(3);
    cluster.run(2000);
    assert!(cluster.leader().is_some());
}

#[test]
fn the_next_leader_keeps_what_was_decided() {
    let mut cluster = Cluster::formed(3);
    cluster.run(1500);
    let first = cluster.leader().expect("a leader");
    cluster.propose(first, "ab");
    cluster.run(100);
    cluster.crash(first, 0);
    cluster.run(2500);
    let second = cluster.leader().expect("another leader");
    assert_ne!(first, second);
    cluster.propose(second, "c");
    cluster.run(100);
    cluster.restart(first);
    cluster.run(1000);
    for id in 1..=3 {
        assert_eq!(cluster.letters(id), ".ab.c", "node {id}");
    }
}
