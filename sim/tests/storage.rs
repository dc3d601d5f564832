//! Storage: what a disk may lose, what it may not, and what nobody may say before it is durable.
//! The log is the production one, on a simulated device.

use synod_core::MemberIndex;
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// S35: after a failed sync a member never again calls anything durable: what it wrote is not
/// counted, also when a later sync would succeed.
#[test]
fn a_failed_sync_stops_the_member() {
    let mut t = Cluster::of(3).seed(1_000).with_leader();
    let [r1, r2, r3] = t.by_role();
    t.decide(["a"]);
    t.settle();
    t.isolate(r3);
    t.fail_disk(r2);
    t.propose(r1, ["five"]);
    t.run_for(ms(300));
    assert_eq!(t.heard("five"), None, "r1 alone and a failed disk are no quorum");
    t.propose(r1, ["six"]);
    t.run_for(ms(300));
    assert_eq!(t.heard("six"), None);
    t.crash(r1);
    t.crash(r2);
    t.restart(r2);
    t.heal();
    t.run_until(|t| t.leads(r2) || t.leads(r3));
    t.decide(["b"]);
    t.restart(r1);
    t.settle();
    t.assert_one_log();
    assert!(t.log(r3).contains(&"a".to_owned()));
}

/// S36 (i): a torn tail is cut off, and what is written behind the cut is found by the next start
/// and by the one after.
#[test]
fn a_torn_tail_is_cut_off_for_good() {
    for seed in 0..30 {
        let mut t = Cluster::of(3).seed(1_100 + seed).with_leader();
        let [r1, r2, _] = t.by_role();
        t.decide(["a"]);
        for round in 0..3 {
            let values = [format!("x{round}"), format!("y{round}"), format!("z{round}")];
            t.stall_disk(r2);
            t.propose(r1, values.iter().map(String::as_str));
            t.run_for(ms(20));
            t.crash(r2);
            t.resume_disk(r2);
            t.restart(r2);
            t.run_for(ms(5));
        }
        t.settle();
        t.assert_one_log();
        assert_eq!(t.log(r2).len(), 10, "seed {seed}");
    }
}

/// S41 and S43: power cuts at every point of a write, on one member, on a majority and on all at
/// once. What was acknowledged is there afterwards.
#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    for victims in 1..=3 {
        for step in 0..40 {
            let mut t = Cluster::of(3).seed(1_300 + step).with_leader();
            let [r1, r2, r3] = t.by_role();
            t.decide(["a"]);
            t.propose(r1, ["x", "y"]);
            for _ in 0..step {
                t.step();
            }
            let order: [MemberIndex; 3] = if step % 2 == 0 { [r1, r2, r3] } else { [r3, r2, r1] };
            for member in order.into_iter().take(victims) {
                t.crash_losing_all(member);
            }
            let acknowledged: Vec<&str> =
                ["x", "y"].into_iter().filter(|value| t.is_acknowledged(value)).collect();
            t.run_for(ms(10));
            for member in order.into_iter().take(victims) {
                t.restart(member);
            }
            t.run_until(|t| t.agreed_leader().is_some());
            t.settle();
            t.assert_one_log();
            let log = t.log(r1);
            assert!(log.contains(&"a".to_owned()), "{victims} victims at step {step}");
            for value in acknowledged {
                assert!(log.contains(&value.to_owned()), "{victims} victims at step {step}");
            }
        }
    }
}

/// S41 (iii): a cluster of one does not answer before its own sync.
#[test]
fn a_cluster_of_one_answers_after_its_sync() {
    let mut t = Cluster::of(1).seed(1_400).with_leader();
    let [only] = t.by_role();
    t.stall_disk(only);
    t.propose(only, ["x"]);
    t.run_for(ms(500));
    assert_eq!(t.heard("x"), None);
    t.crash_losing_all(only);
    t.resume_disk(only);
    t.restart(only);
    t.settle();
    assert!(t.log(only).is_empty());
    t.decide(["y"]);
    t.crash_losing_all(only);
    t.restart(only);
    t.settle();
    t.assert_same_log(["y"]);
}

/// S58 (R5): a member that learned a decree and lost it in a crash does not find a mark that says
/// "decided" over the stale accept below.
#[test]
fn a_mark_never_outlives_its_decree() {
    for seed in 0..20 {
        let mut t = Cluster::of(3).seed(1_500 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.stall_disk(r1);
        let held = t.hold(r1, r2, MessageKind::Accept);
        t.propose(r1, ["x"]);
        t.run_for(ms(20));
        t.crash_losing_all(r1);
        t.discard(held);
        t.resume_disk(r1);
        t.isolate(r3);
        t.restart(r1);
        t.run_until(|t| t.leads(r1) || t.leads(r2));
        t.decide(["y"]);
        // r3 learns in memory; its disk answers nothing, and any part of what it wrote survives.
        t.stall_disk(r3);
        t.heal();
        t.run_for(ms(30 + 10 * seed));
        t.crash(r3);
        t.resume_disk(r3);
        let held = t.hold([r1, r2], r3, Kinds::ALL);
        t.restart(r3);
        t.run_for(ms(500));
        assert!(!t.log(r3).contains(&"x".to_owned()), "seed {seed}");
        t.release(held);
        t.settle();
        t.assert_same_log(["y"]);
    }
}

/// S60 (R2): what a member learned and did not persist it does not vote for; after a crash it is
/// told again.
#[test]
fn a_member_votes_from_its_disk_not_from_memory() {
    for seed in 0..10 {
        let mut t = Cluster::of(3).seed(1_600 + seed).with_leader();
        let [r1, _, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        t.isolate(r3);
        t.decide(["b", "c", "d", "e", "f"]);
        t.stall_disk(r3);
        t.heal();
        t.run_for(ms(300));
        t.propose(r1, ["g"]);
        t.run_for(ms(100));
        t.crash_losing_all(r3);
        t.resume_disk(r3);
        t.restart(r3);
        t.settle();
        t.assert_same_log(["a", "b", "c", "d", "e", "f", "g"]);
    }
}

/// S62 (R11): two writes in flight, and the power fails on all members: the first may be torn and
/// the second whole. Every member starts, and nothing behind the tear comes back.
#[test]
fn torn_first_and_whole_second_starts() {
    for seed in 0..40 {
        let mut t = Cluster::of(3).seed(1_700 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        let long = "w".repeat(1_500);
        for member in [r1, r2, r3] {
            t.stall_disk(member);
        }
        for round in 0..3 {
            t.propose(r1, [format!("{round}{long}").as_str()]);
            t.run_for(ms(3));
        }
        for member in [r1, r2, r3] {
            t.crash(member);
            t.resume_disk(member);
        }
        for member in [r1, r2, r3] {
            t.restart(member);
        }
        t.run_until(|t| t.agreed_leader().is_some());
        t.decide(["b"]);
        t.settle();
        t.assert_one_log();
        assert!(t.log(r3).contains(&"a".to_owned()));
    }
}
