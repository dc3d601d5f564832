//! Elections under partial connectivity: who may lead, and who must not disturb.

use synod_core::{Ballot, MemberIndex, Message};
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// Cuts every link except those of `hub`.
fn leave_only_hub(t: &mut Cluster, hub: MemberIndex) {
    for one in t.members() {
        for other in t.members() {
            if one != other && one != hub && other != hub {
                t.cut(one, other);
            }
        }
    }
}

/// A leader that loses its quorum mid-pipeline may have written, but must not decide.
#[test]
fn cut_off_leader_decides_nothing() {
    let mut t = Cluster::of(3).seed(0x5EED).with_leader();
    let [leader, b, c] = t.by_role();
    let decided = t.decided(leader);

    t.cut(leader, [b, c]);
    t.propose(leader, ["x", "y"]);
    t.run_for(ms(50));
    assert_eq!(t.decided(leader), decided);

    t.within_timeouts(4, |t| t.leads(b) || t.leads(c));
    t.run_until(|t| !t.leads(leader));
    t.decide(["z"]);
    t.heal();
    t.settle();
    t.assert_one_log();
    assert!(t.log(leader).contains(&"z".to_owned()));
}

/// S01: only one member still reaches a quorum, and it takes over although the old leader is
/// alive and beats to it.
#[test]
fn the_hub_takes_over_from_a_leader_without_quorum() {
    let mut t = Cluster::of(5).seed(1).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    t.decide(["before"]);
    leave_only_hub(&mut t, r3);
    for (member, value) in [(r1, "1"), (r2, "2"), (r3, "3"), (r4, "4"), (r5, "5")] {
        t.propose(member, [value]);
    }
    t.within_timeouts(4, |t| t.leads(r3));
    t.propose(r3, ["after"]);
    t.run_until(|t| t.is_acknowledged("after"));
    t.heal();
    t.settle();
    t.assert_one_log();
    assert!(t.log(r1).contains(&"before".to_owned()));
}

/// S01, the variant of a triangle: the leader keeps one link into it, one member is alone.
#[test]
fn a_triangle_takes_over_from_a_leader_that_reaches_one_of_it() {
    let mut t = Cluster::of(5).seed(2).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    t.isolate(r2);
    t.cut(r1, [r4, r5]);
    t.within_timeouts(4, |t| t.leads(r3) || t.leads(r4) || t.leads(r5));
    t.run_until(|t| !t.leads(r1));
    t.decide(["after"]);
    t.heal();
    t.settle();
    t.assert_same_log(["after"]);
}

/// S02: the only member that can win has the shortest log; it learns what it lacks, and nothing
/// that was decided changes.
#[test]
fn the_shortest_log_wins_when_nobody_else_can() {
    let mut t = Cluster::of(5).seed(3).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    t.decide(["a", "b", "c"]);
    t.settle();
    let short = t.decided(r3);
    let news = [MessageKind::Accept, MessageKind::Notice, MessageKind::Learned];
    let held = t.hold([r1, r2, r4, r5], r3, news);
    t.decide(["d", "e", "f", "g", "h"]);
    assert_eq!(t.decided(r3), short);

    t.isolate(r1);
    leave_only_hub(&mut t, r3);
    t.discard(held);
    t.within_timeouts(6, |t| t.leads(r3));
    t.propose(r3, ["i"]);
    t.run_until(|t| t.is_acknowledged("i"));
    t.heal();
    t.settle();
    t.assert_same_log(["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
}

/// S03: in a chain the ends do not depose each other's leader again and again.
#[test]
fn a_chain_does_not_play_ping_pong() {
    let mut t = Cluster::of(3).seed(4).with_leader();
    let [r1, r2, r3] = t.by_role();
    let before = *t.world().stats();
    let ballot = t.promised(r1);
    t.cut(r1, r3);
    let mut sent = 0;
    for window in 0..20 {
        let applied = t.log(r2).len();
        let end = t.now().plus(5 * t.election_nanos());
        while t.now() < end {
            t.propose(r2, [format!("v{sent}").as_str()]);
            sent += 1;
            t.run_for(ms(50));
        }
        assert!(t.log(r2).len() > applied, "nothing was applied in window {window}");
    }
    let changes = t.world().stats().leaders - before.leaders;
    assert!(changes <= 2, "{changes} leaders after the cut");
    let grown = t.promised(r2).round - ballot.round;
    assert!(grown <= 4, "the ballot grew by {grown} rounds");
    t.heal();
    t.settle();
    t.assert_one_log();
}

/// S04: a link that flaps for ten minutes, and works in one direction only, costs no throughput
/// elsewhere and deposes nobody.
#[test]
fn a_flapping_half_open_link_deposes_nobody() {
    let mut t = Cluster::of(3).seed(5).with_leader();
    let [leader, a, b] = t.by_role();
    let before = *t.world().stats();
    let ballot = t.promised(leader);
    let mut sent = 0;
    for toggle in 0..2_000 {
        t.lose(leader, a, if toggle % 2 == 0 { 1_000_000 } else { 300_000 });
        t.propose(b, [format!("v{sent}").as_str()]);
        sent += 1;
        t.run_for(ms(300));
    }
    t.run_for(ms(100));
    let applied = (0..sent).filter(|i| t.is_acknowledged(&format!("v{i}"))).count();
    assert!(applied * 2 >= sent, "{applied} of {sent} requests were applied");
    let changes = t.world().stats().leaders - before.leaders;
    assert!(changes <= 1, "{changes} leaders in ten minutes");
    assert!(t.promised(a).round <= ballot.round + 2, "the half-deaf member raises ballots");
}

/// S06: a leader whose disk stalls while its links are fine gives up, another leads, and its late
/// completions are harmless.
#[test]
fn a_leader_with_a_stalled_disk_steps_down() {
    let mut t = Cluster::of(3).seed(6).with_leader();
    let [leader, b, c] = t.by_role();
    t.stall_disk(leader);
    t.propose(leader, ["x", "y"]);
    t.within_timeouts(8, |t| t.leads(b) || t.leads(c));
    t.run_until(|t| !t.leads(leader));
    let next = t.leader().expect("one of them leads");
    t.propose(next, ["z"]);
    t.run_until(|t| t.is_acknowledged("z"));
    t.resume_disk(leader);
    t.settle();
    t.assert_one_log();
}

/// S06, the variant of another member: its stalled disk deposes nobody, and it keeps up again
/// afterwards.
#[test]
fn a_stalled_disk_elsewhere_deposes_nobody() {
    let mut t = Cluster::of(3).seed(7).with_leader();
    let [leader, b, _] = t.by_role();
    t.stall_disk(b);
    for round in 0..40 {
        t.propose(leader, [format!("v{round}").as_str()]);
        t.run_for(ms(100));
    }
    assert!(t.leads(leader));
    assert!(t.is_acknowledged("v39"));
    t.resume_disk(b);
    t.settle();
    assert!(t.leads(leader));
    assert_eq!(t.log(b).len(), 40);
}

/// S06, the variant of short stalls: a disk that stalls for less than the limit, again and again,
/// does not make leadership flap.
#[test]
fn short_stalls_do_not_make_leadership_flap() {
    let mut t = Cluster::of(3).seed(8).with_leader();
    let [leader, _, _] = t.by_role();
    let before = t.world().stats().leaders;
    for round in 0..10 {
        t.stall_disk(leader);
        t.propose(leader, [format!("v{round}").as_str()]);
        t.run_for(ms(1_600));
        t.resume_disk(leader);
        t.run_for(ms(100));
    }
    assert!(t.leads(leader));
    assert_eq!(t.world().stats().leaders, before);
}

/// S07: one cohort promised a higher ballot, the other has the longer log. A refusal teaches the
/// higher ballot, so somebody leads, and what was decided stays.
#[test]
fn two_cohorts_that_refuse_each_other_find_a_leader() {
    let mut t = Cluster::of(5).seed(9).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    t.decide(["a"]);
    t.settle();
    let news = [MessageKind::Accept, MessageKind::Notice, MessageKind::Learned];
    let held = t.hold([r1, r2, r3], [r4, r5], news);
    t.decide(["nine"]);
    t.crash(r1);
    t.discard(held);
    // A campaign of each of the others that reached one member only.
    let round = t.promised(r2).round + 2;
    for (from, to) in [(r5, r4), (r4, r5)] {
        let node = t.world().node(from).id;
        let (ballot, from_slot) = (Ballot { round, node }, t.decided(to));
        t.forge(from, to, Message::Prepare { ballot, from: from_slot });
    }
    t.run_until(|t| t.promised(r4).round == round && t.promised(r5).round == round);
    t.within_timeouts(10, |t| [r2, r3, r4, r5].iter().any(|member| t.leads(*member)));
    t.settle();
    t.assert_same_log(["a", "nine"]);
    t.restart(r1);
    t.settle();
    t.assert_same_log(["a", "nine"]);
}

/// S07, the form of etcd #8243: one member is rounds behind, and the leader dies as it returns.
#[test]
fn a_member_far_behind_in_ballots_still_helps_to_elect() {
    let mut t = Cluster::of(3).seed(10).with_leader();
    let [_, _, c] = t.by_role();
    t.isolate(c);
    for round in 0..4 {
        t.run_until(|t| t.leader().is_some_and(|leader| leader != c && t.leads(leader)));
        t.decide([format!("v{round}").as_str()]);
        let leader = t.leader().expect("somebody leads");
        t.crash(leader);
        t.run_for(ms(100));
        t.restart(leader);
    }
    t.run_until(|t| t.leader().is_some_and(|leader| leader != c));
    t.run_for(ms(2_000));
    let leader = t.leader().expect("somebody leads");
    t.crash(leader);
    t.heal();
    t.within_timeouts(10, |t| t.leader().is_some());
    t.settle();
    t.restart(leader);
    t.settle();
    t.assert_same_log(["v0", "v1", "v2", "v3"]);
}

/// S09: a member that was cut off for a thousand election timeouts comes back under load, and
/// nobody notices.
#[test]
fn a_member_that_returns_after_long_disturbs_nobody() {
    let mut t = Cluster::of(3).seed(11).with_leader();
    let [leader, _, c] = t.by_role();
    let before = *t.world().stats();
    let ballot = t.promised(c);
    t.isolate(c);
    t.run_for(ms(500 * 1_000));
    assert_eq!(t.promised(c), ballot, "its ballot grew while it was alone");
    t.heal();
    for round in 0..100 {
        t.propose(leader, [format!("v{round}").as_str()]);
        t.run_for(ms(20));
    }
    t.settle();
    assert_eq!(t.world().stats().leaders, before.leaders);
    assert!(t.leads(leader));
    assert_eq!(t.log(c).len(), 100);
}

/// Duelling proposers: when all campaign at once, one wins soon.
#[test]
fn duels_end() {
    for seed in 20..40 {
        let mut t = Cluster::of(5).seed(seed).with_leader();
        let [leader, _, _, _, _] = t.by_role();
        let held = t.hold(leader, t.members_but(leader), Kinds::ALL);
        t.within_timeouts(10, |t| t.leader().is_some_and(|other| other != leader));
        t.discard(held);
        t.settle();
    }
}
