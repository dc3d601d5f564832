//! Catching up, and an idle cluster that lost its last message.

use synod_core::NodeSet;
use synod_sim::kinds::MessageKind;
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// S17: the last message of any kind is lost, and nothing else ever happens. Everything is decided
/// everywhere all the same.
#[test]
fn losing_the_last_message_of_any_kind_wedges_nothing() {
    for kind in MessageKind::ALL {
        for count in [1, 4, 8] {
            let mut t = Cluster::of(5).seed(2_000 + u64::from(count)).with_leader();
            let [_, b, ..]: [_; 5] = t.by_role();
            let everyone = NodeSet::first(5);
            t.drop_next(count, everyone, everyone, kind);
            t.propose(b, ["x"]);
            t.within_timeouts(10, |t| t.heard("x").is_some() && t.is_settled());
            t.assert_one_log();
        }
    }
}

/// S17, the messages of an election: the leader dies, and one round of each kind is lost.
#[test]
fn losing_the_messages_of_an_election_wedges_nothing() {
    use MessageKind::{Accept, Accepted, Beat, Nack, Prepare, Promise};
    for kind in [Beat, Prepare, Promise, Nack, Accept, Accepted] {
        for count in [1, 4, 12] {
            let mut t = Cluster::of(5).seed(2_100 + u64::from(count)).with_leader();
            let [leader, ..]: [_; 5] = t.by_role();
            t.decide(["a"]);
            t.crash(leader);
            let everyone = NodeSet::first(5);
            t.drop_next(count, everyone, everyone, kind);
            t.run_for(ms(1));
            t.within_timeouts(20, |t| t.leader().is_some() && t.is_settled());
            t.assert_same_log(["a"]);
        }
    }
}

/// S17, the messages of catching up: a member returns, nobody says anything new, and one round of
/// each kind is lost.
#[test]
fn losing_the_messages_of_catching_up_wedges_nothing() {
    use MessageKind::{Accept, Beat, Learn, Learned, Notice};
    for kind in [Learn, Learned, Notice, Accept, Beat] {
        for count in [1, 3, 10] {
            let mut t = Cluster::of(3).seed(2_200 + u64::from(count)).with_leader();
            let [_, _, c] = t.by_role();
            t.isolate(c);
            t.decide(["a", "b", "c", "d"]);
            t.run_for(ms(2_000));
            let everyone = NodeSet::first(3);
            t.drop_next(count, everyone, everyone, kind);
            t.heal();
            t.within_timeouts(10, |t| t.is_settled() && t.log(c).len() == 4);
        }
    }
}

/// S47: a member that comes back to an idle cluster gets everything, from a log that is much
/// longer than the window, though no leader has anything to send.
#[test]
fn a_member_that_returns_to_an_idle_cluster_gets_everything() {
    let mut t = Cluster::of(3).seed(2_300).with_leader();
    let [leader, _, c] = t.by_role();
    t.crash(c);
    for round in 0..300 {
        t.propose(leader, [format!("v{round}").as_str()]);
        t.run_for(ms(2));
    }
    t.run_until(|t| t.is_acknowledged("v299"));
    t.run_for(ms(1_000));
    t.restart(c);
    t.settle();
    assert_eq!(t.log(c).len(), 300);
    t.assert_one_log();
}

/// S53: a member that is unreachable for long costs the others nothing, and is fed from the log
/// when it returns.
#[test]
fn an_unreachable_member_costs_the_others_nothing() {
    let mut t = Cluster::of(3).seed(2_400).with_leader();
    let [leader, b, c] = t.by_role();
    t.cut_one_way(c, [leader, b]);
    let mut slowest = 0;
    for round in 0..2_000 {
        let value = format!("v{round}");
        let start = t.now();
        t.propose(leader, [value.as_str()]);
        t.run_until(|t| t.is_acknowledged(&value));
        slowest = slowest.max(t.now().0 - start.0);
    }
    assert!(slowest < 100_000_000, "one request took {slowest} ns");
    assert!(t.leads(leader));
    t.heal();
    t.settle();
    assert_eq!(t.log(c).len(), 2_000);
    t.assert_one_log();
}

/// S59 (R6): what a campaigner lacks and its quorum has decided it learns first; it proposes
/// nothing there.
#[test]
fn what_others_decided_long_ago_is_learned_not_proposed() {
    let mut t = Cluster::of(3).seed(2_500).with_leader();
    let [r1, r2, r3] = t.by_role();
    t.decide(["a"]);
    t.settle();
    t.crash(r3);
    for round in 0..200 {
        t.propose(r1, [format!("v{round}").as_str()]);
        t.run_for(ms(2));
    }
    t.run_until(|t| t.is_acknowledged("v199"));
    // Nobody brings r3 up to date before it campaigns, and r2 does not campaign itself.
    let held = t.hold([r1, r2], r3, [MessageKind::Learned, MessageKind::Accept]);
    t.crash(r1);
    t.restart(r3);
    let prepares = t.hold(r2, r3, MessageKind::Prepare);
    t.run_for(ms(3_000));
    t.discard(prepares);
    t.release(held);
    t.run_until(|t| t.leads(r2) || t.leads(r3));
    t.decide(["z"]);
    t.settle();
    assert_eq!(t.log(r3).len(), 202);
    t.assert_one_log();
}

/// Accepts that overtake each other are asked for again, but the questions and answers do not
/// breed: each message that is late must not make more than one other late.
#[test]
fn overtaking_accepts_do_not_start_a_storm() {
    for seed in 0..10 {
        let reordering = |o: &mut synod_sim::Options| {
            o.limits.run_slots_max = 1;
            o.limits.window = 32;
            o.service.pipeline = 32;
            o.network.delay_nanos = 2_000_000;
            o.process.turn_nanos = 0;
            o.timeouts.heartbeat = ms(11);
            o.timeouts.election = ms(44);
            o.timeouts.election_jitter = ms(11);
            o.timeouts.step_down = ms(55);
            o.timeouts.resend = ms(11);
        };
        let mut t = Cluster::of(5).with(reordering).seed(2_600 + seed).with_leader();
        let [leader, a, b, _, _] = t.by_role();
        t.cut(leader, [a, b]);
        for round in 0..30 {
            t.propose(leader, [format!("v{round}").as_str()]);
        }
        t.run_for(ms(40));
        t.heal();
        let before = t.world().network().counts().sent;
        for round in 30..130 {
            t.propose(leader, [format!("v{round}").as_str()]);
        }
        t.settle();
        let sent = t.world().network().counts().sent - before;
        assert!(sent < 60_000, "{sent} messages for 130 requests of seed {seed}");
    }
}
