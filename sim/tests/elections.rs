//! Elections under partial connectivity: who may lead, and who must not disturb.

use std::time::Duration;

use synod_core::{Ballot, MemberIndex, Message, NodeSet, Slot, Standing};
use synod_sim::clock::nanos;
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

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
    t.ends_well();
}

/// S01 (OmniPaxos): only one member still reaches a quorum. Within four timeouts it leads and
/// decides, although the old leader is alive and beats to it, and nothing acknowledged is lost.
#[test]
fn the_hub_takes_over_from_a_leader_without_quorum() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(1 + 1_000 * seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.decide(["before"]);
        t.world().hub(r3);
        let limit = t.now().plus(4 * t.election_nanos());
        for (member, value) in [(r1, "1"), (r2, "2"), (r3, "3"), (r4, "4"), (r5, "5")] {
            t.propose(member, [value]);
        }
        t.run_until(|t| t.leads(r3));
        t.propose(r3, ["after"]);
        t.run_until(|t| t.is_acknowledged("after"));
        assert!(t.now() <= limit, "it took until {} instead of {limit}", t.now());
        t.heal();
        t.settle();
        t.assert_one_log();
        let log = t.log(r1);
        for value in ["before", "1", "2", "3", "4", "5", "after"] {
            let kept = log.iter().any(|applied| applied == value);
            assert!(kept || !t.is_acknowledged(value), "{value} of seed {seed} is lost");
        }
        assert!(log.contains(&"before".to_owned()));
        t.ends_well();
    }
}

/// S01, the variant of openraft #2080: the leader keeps one link into a triangle, one member is
/// alone. One of the triangle leads and decides within four timeouts.
#[test]
fn a_triangle_takes_over_from_a_leader_that_reaches_one_of_it() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(2 + 1_000 * seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.isolate(r2);
        t.cut(r1, [r4, r5]);
        let limit = t.now().plus(4 * t.election_nanos());
        t.propose(r1, ["lost"]);
        t.run_until(|t| t.leads(r3) || t.leads(r4) || t.leads(r5));
        t.decide(["after"]);
        assert!(t.now() <= limit, "it took until {} instead of {limit}", t.now());
        t.run_until(|t| !t.leads(r1));
        t.heal();
        t.settle();
        t.assert_one_log();
        let log = t.log(r2);
        assert!(log.contains(&"after".to_owned()));
        assert!(!t.is_acknowledged("lost") || log.contains(&"lost".to_owned()));
        t.ends_well();
    }
}

/// S02 (OmniPaxos): the only member that can win has the shortest log. It learns what it lacks
/// before it leads, and nothing that was decided changes its slot.
#[test]
fn the_shortest_log_wins_when_nobody_else_can() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(3 + 1_000 * seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.decide(["a", "b", "c"]);
        t.settle();
        let short = t.decided(r3);
        let news = [MessageKind::Accept, MessageKind::Notice, MessageKind::Learned];
        let held = t.hold([r1, r2, r4, r5], r3, news);
        t.decide(["d", "e", "f", "g", "h"]);
        let end = t.decided(r1);
        t.run_until(|t| [r2, r4, r5].iter().all(|member| t.decided(*member) == end));
        assert_eq!(t.decided(r3), short);
        let values = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let slots = values.map(|value| t.slot_of(value));

        t.isolate(r1);
        t.world().hub(r3);
        t.discard(held);
        t.within_timeouts(6, |t| t.leads(r3));
        assert!(t.decided(r3) >= end, "it leads and does not know what was decided");
        t.propose(r3, ["i"]);
        t.run_until(|t| t.is_acknowledged("i"));
        t.heal();
        t.settle();
        t.assert_same_log(["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        assert_eq!(values.map(|value| t.slot_of(value)), slots);
        t.ends_well();
    }
}

/// S03 (OmniPaxos issue 1, palantir/atlasdb #1686): in a chain the ends do not depose each other's
/// leader again and again. A hundred timeouts, and a request every ten milliseconds.
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
            t.run_for(ms(10));
        }
        assert!(t.log(r2).len() > applied, "nothing was applied in window {window}");
    }
    assert!(sent >= 8_000, "{sent} requests in a hundred timeouts");
    let changes = t.world().stats().leaders - before.leaders;
    assert!(changes <= 2, "{changes} leaders after the cut");
    let grown = t.promised(r2).round - ballot.round;
    assert!(grown <= 2, "the ballot grew by {grown} rounds");
    t.heal();
    t.settle();
    t.assert_one_log();
    t.ends_well();
}

/// One client at `at` that asks again 20 ms after each answer, for so many minutes, while `disturb`
/// is called every 300 ms. Returns how many of its requests were applied.
fn one_client_for(
    minutes: usize,
    t: &mut Cluster,
    at: MemberIndex,
    mut disturb: impl FnMut(&mut Cluster, usize),
) -> usize {
    let mut sent: usize = 0;
    for toggle in 0..200 * minutes {
        disturb(t, toggle);
        for _ in 0..15 {
            let last = format!("v{}", sent.saturating_sub(1));
            if sent == 0 || t.heard(&last).is_some() {
                t.propose(at, [format!("v{sent}").as_str()]);
                sent += 1;
            }
            t.run_for(ms(20));
        }
    }
    (0..sent).filter(|number| t.is_acknowledged(&format!("v{number}"))).count()
}

/// S04 (Cloudflare, November 2020): for ten minutes one member hears the leader badly or not at
/// all, and is heard. Who talks to the third member notices little: at least half of what a
/// faultless network gives. The half-deaf member lags; it never campaigns.
#[test]
fn a_flapping_half_open_link_deposes_nobody() {
    let calm = {
        let mut t = Cluster::of(3).seed(5).with_leader();
        let [_, _, b] = t.by_role();
        10 * one_client_for(1, &mut t, b, |_, _| ())
    };
    let mut t = Cluster::of(3).seed(5).with_leader();
    let [leader, a, b] = t.by_role();
    let before = *t.world().stats();
    let ballot = t.promised(leader);
    let mut lagged = 0;
    let applied = one_client_for(10, &mut t, b, |t, toggle| {
        lagged += usize::from(t.decided(a) < t.decided(leader));
        assert_ne!(t.standing(a), Some(Standing::Preparing), "the half-deaf member campaigns");
        t.lose(leader, a, if toggle % 2 == 0 { 1_000_000 } else { 300_000 });
    });
    assert!(calm > 20_000, "{calm} requests in ten calm minutes");
    assert!(applied * 2 >= calm, "{applied} requests, {calm} without the fault");
    assert!(lagged > 200, "the status of the half-deaf member shows no lag");
    let changes = t.world().stats().leaders - before.leaders;
    assert_eq!(changes, 0, "{changes} leaders in ten minutes");
    assert_eq!(t.promised(a), ballot, "the half-deaf member raises ballots");
    t.heal();
    t.settle();
    t.assert_one_log();
    t.ends_well();
}

/// S06 (hashicorp/raft #503): a leader whose disk stalls while its links are fine gives up within
/// the limit, another leads, everybody who asked has an answer, and its late completions are
/// harmless.
#[test]
fn a_leader_with_a_stalled_disk_steps_down() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(6 + 1_000 * seed).with_leader();
        let [leader, b, c] = t.by_role();
        t.stall_disk(leader);
        let stall = nanos(t.world().options().timeouts.disk_stall);
        let limit = t.now().plus(stall + 2 * t.election_nanos());
        let mut sent = 0;
        while !t.leads(b) && !t.leads(c) {
            assert!(t.now() < limit, "nobody took over from a leader that cannot write");
            t.propose(leader, [format!("v{sent}").as_str()]);
            sent += 1;
            t.run_for(ms(20));
        }
        t.run_until(|t| !t.leads(leader));
        t.propose(t.leader().expect("one of them leads"), ["z"]);
        t.run_until(|t| t.is_acknowledged("z"));
        t.resume_disk(leader);
        t.settle();
        t.assert_one_log();
        for number in 0..sent {
            assert!(t.heard(&format!("v{number}")).is_some(), "v{number} has no outcome");
        }
        t.ends_well();
    }
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
    t.ends_well();
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
    t.ends_well();
}

/// S07 (etcd #8243, raft-rs #42): one cohort promised a higher ballot, the other has the longer
/// log. A refusal teaches the higher ballot, so somebody leads, and what was decided stays. Also
/// when only one of those that promised the lower ballot is heard when it asks.
#[test]
fn two_cohorts_that_refuse_each_other_find_a_leader() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(9 + 1_000 * seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.decide(["a"]);
        t.settle();
        let news = [MessageKind::Accept, MessageKind::Notice, MessageKind::Learned];
        let held = t.hold([r1, r2, r3], [r4, r5], news);
        t.decide(["nine"]);
        let slot = t.slot_of("nine");
        t.crash(r1);
        t.discard(held);
        let all = NodeSet::first(5);
        let asked = (seed % 2 == 1).then(|| t.hold([r3, r4, r5], all, MessageKind::Prepare));
        // A campaign of each of the others that reached one member only, so far ahead that nobody
        // gets there without being told.
        let round = t.promised(r2).round + 1_000;
        for (from, to) in [(r5, r4), (r4, r5)] {
            let node = t.world().node(from).id;
            let (ballot, from_slot) = (Ballot { round, node }, t.decided(to));
            t.forge(from, to, Message::Prepare { ballot, from: from_slot });
        }
        t.run_until(|t| t.promised(r4).round == round && t.promised(r5).round == round);
        assert!(t.promised(r2).round < round && t.promised(r3).round < round);
        t.within_timeouts(10, |t| [r2, r3, r4, r5].iter().any(|member| t.leads(*member)));
        t.settle();
        if let Some(asked) = asked {
            assert!(t.leads(r2));
            t.discard(asked);
        }
        t.restart(r1);
        t.settle();
        t.assert_same_log(["a", "nine"]);
        assert_eq!(t.slot_of("nine"), slot);
        t.ends_well();
    }
}

/// S07, mixed builds: two members campaign without asking anybody first, as a build without that
/// restraint would, whenever they know no leader. Somebody leads all the same, and for good.
#[test]
fn members_that_campaign_blindly_do_not_keep_a_leader_away() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(12 + 1_000 * seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.decide(["a"]);
        t.settle();
        t.crash(r1);
        let limit = t.now().plus(20 * t.election_nanos());
        let is_led = |t: &Cluster| {
            let leader = t.agreed_leader().and_then(|ballot| t.member(ballot.node));
            leader.is_some_and(|leader| t.leads(leader))
        };
        while !is_led(&t) {
            assert!(t.now() < limit, "nobody leads");
            for blind in [r4, r5] {
                let leaderless = t.world().service(blind).is_some_and(|service| {
                    service.replica().leader().is_none()
                        && service.replica().standing() == Standing::Following
                });
                let highest = [r2, r3, r4, r5].map(|member| t.promised(member).round);
                let round = highest.into_iter().max().unwrap_or_default() + 1;
                let ballot = Ballot { round, node: t.world().node(blind).id };
                for other in [r2, r3, r4, r5].into_iter().filter(|other| *other != blind) {
                    if leaderless {
                        t.forge(blind, other, Message::Prepare { ballot, from: Slot::ZERO });
                    }
                }
            }
            t.run_for(ms(400));
        }
        t.decide(["b"]);
        t.restart(r1);
        t.settle();
        t.assert_same_log(["a", "b"]);
        t.ends_well();
    }
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
    assert!(t.promised(c).round + 4 <= t.promised(leader).round, "it is not far behind");
    t.crash(leader);
    t.heal();
    t.within_timeouts(10, |t| t.leader().is_some());
    t.settle();
    t.restart(leader);
    t.settle();
    t.assert_same_log(["v0", "v1", "v2", "v3"]);
    t.ends_well();
}

/// S09 (the motive of pre-votes; hashicorp/raft #605, #609): a member that was cut off for a
/// thousand election timeouts comes back under load, and nobody notices: no other leader, no
/// higher ballot, no request that takes longer than a timeout.
#[test]
fn a_member_that_returns_after_long_disturbs_nobody() {
    let mut t = Cluster::of(3).seed(11).with_leader();
    let [leader, b, c] = t.by_role();
    let before = *t.world().stats();
    let ballot = t.promised(c);
    t.isolate(c);
    for round in 0..100 {
        t.propose(b, [format!("u{round}").as_str()]);
        t.run_for(Duration::from_nanos(10 * t.election_nanos()));
    }
    assert_eq!(t.promised(c), ballot, "its ballot grew while it was alone");
    t.heal();
    for round in 0..200 {
        let value = format!("v{round}");
        t.propose(b, [value.as_str()]);
        t.within_timeouts(1, |t| t.is_acknowledged(&value));
        t.run_for(ms(5));
    }
    t.settle();
    assert_eq!(t.world().stats().leaders, before.leaders);
    assert_eq!(t.promised(leader), ballot);
    assert!(t.leads(leader));
    assert_eq!(t.log(c).len(), 300);
    t.ends_well();
}

/// S22, as far as there are requests and no reads: a slot is decided, only the leader knows, and it
/// dies. The next leader is none, for those who ask, before it has decided everything that may have
/// been decided before; what is asked of it comes behind.
#[test]
fn a_new_leader_first_decides_what_may_have_been_decided() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(40 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.settle();
        let news = [MessageKind::Notice, MessageKind::Beat, MessageKind::Learned];
        let quiet = t.hold(r1, [r2, r3], news);
        t.propose(r1, ["five"]);
        t.run_until(|t| t.is_acknowledged("five"));
        let slot = t.slot_of("five").expect("decided");
        t.crash(r1);
        t.discard(quiet);
        assert!(t.decided(r2) <= slot && t.decided(r3) <= slot);
        let votes = t.hold([r2, r3], [r2, r3], MessageKind::Accepted);
        t.run_until(|t| t.leads(r2) || t.leads(r3));
        let next = t.leader().expect("one of them leads");
        t.propose(next, ["read"]);
        t.run_for(ms(300));
        let is_established = |t: &mut Cluster| {
            t.world().service(next).is_some_and(|service| service.replica().is_established())
        };
        assert!(!is_established(&mut t), "it answers before it knows what was decided");
        assert_eq!(t.heard("read"), None);
        t.release(votes);
        t.run_until(|t| t.is_acknowledged("read"));
        assert!(is_established(&mut t));
        assert!(t.slot_of("read") > Some(slot));
        t.restart(r1);
        t.settle();
        t.assert_same_log(["five", "read"]);
        t.ends_well();
    }
}

/// S24, as far as there are no leases: a leader is stopped for long, or its clock runs at half
/// speed, while another leads and decides. When it goes on it acknowledges nothing by itself, and
/// everything that it was asked meanwhile comes behind.
#[test]
fn a_leader_that_was_stopped_decides_nothing_alone() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(60 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        if seed % 2 == 0 {
            t.pause(r1, ms(3_000));
        } else {
            t.world().adjust_clock(r1, 0, 500_000);
            t.isolate(r1);
        }
        t.run_for(ms(1));
        t.propose(r1, ["x"]);
        t.run_until(|t| t.leads(r2) || t.leads(r3));
        let next = t.leader().filter(|leader| *leader != r1).expect("another leads");
        t.propose(next, ["w"]);
        t.run_until(|t| t.is_acknowledged("w"));
        assert!(!t.is_acknowledged("x"), "it decides although another leads");
        t.run_for(ms(3_000));
        t.heal();
        t.settle();
        t.assert_one_log();
        assert!(t.slot_of("x").is_none_or(|slot| Some(slot) > t.slot_of("w")));
        assert!(t.heard("x").is_some());
        t.ends_well();
    }
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
        t.ends_well();
    }
}
