//! Ballots, quorums and slots: what may be counted, what may be proposed, what may be believed.

use synod_core::{
    Ballot, Boot, ClusterId, Header, Incarnation, MemberIndex, Message, Proposal, Slot,
};
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// S10: a proposer that crashes at any point between choosing a ballot and having it durable never
/// uses that ballot for two values. The checkers remember every ballot and every proposal.
#[test]
fn no_crash_makes_a_proposer_use_a_ballot_twice() {
    for step in 0..60 {
        let mut t = Cluster::of(3).seed(100 + step).with_leader();
        let [first, b, c] = t.by_role();
        t.decide(["a"]);
        t.crash(first);
        let promised = t.promised(b).max(t.promised(c));
        t.run_until(|t| t.promised(b) > promised || t.promised(c) > promised);
        let campaigner = if t.promised(b) > promised { b } else { c };
        t.propose(campaigner, ["x"]);
        for _ in 0..step {
            t.step();
        }
        t.crash(campaigner);
        t.restart(first);
        t.restart(campaigner);
        t.propose(campaigner, ["y"]);
        t.run_until(|t| t.leader().is_some());
        t.settle();
        t.assert_one_log();
        assert_eq!(t.log(b).first().map(String::as_str), Some("a"));
    }
}

/// S11: three members hold a value, but not by votes of one ballot. That decides nothing, and the
/// value of the highest ballot wins.
#[test]
fn votes_of_different_ballots_are_not_added_up() {
    for seed in 0..10 {
        let mut t = Cluster::of(5).seed(200 + seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        // b1: x reaches r2 only.
        let held = t.hold(r1, [r3, r4, r5], MessageKind::Accept);
        t.propose(r1, ["x"]);
        t.run_for(ms(5));
        t.cut([r1, r2], [r3, r4, r5]);
        t.discard(held);
        // b3: whoever leads the other side proposes in the same slot, and nobody gets it.
        let silent = t.hold([r3, r4, r5], [r3, r4, r5], MessageKind::Accept);
        t.run_until(|t| [r3, r4, r5].iter().any(|member| t.leads(*member)));
        let high = t.leader().expect("one of three leads");
        t.run_for(ms(5));
        t.discard(silent);
        t.crash(high);
        // b4: the others without one, and what they propose does not reach r2.
        let rest: Vec<MemberIndex> =
            [r3, r4, r5].into_iter().filter(|member| *member != high).collect();
        t.heal();
        t.isolate(rest[1]);
        let late = t.hold([r1, rest[0]], r2, MessageKind::Accept);
        t.run_for(ms(3_000));
        t.discard(late);
        let leader = t.leader().unwrap_or(r1);
        t.crash(leader);
        t.restart(high);
        t.heal();
        t.run_until(|t| t.leader().is_some());
        t.restart(leader);
        t.settle();
        t.assert_one_log();
        assert!(t.is_acknowledged("x") <= t.log(high).contains(&"x".to_owned()));
    }
}

/// S12: tails of different length and ballot. Per slot the highest ballot wins, never the longest
/// log, and who lost a slot does not hear success.
#[test]
fn the_highest_ballot_wins_not_the_longest_log() {
    for seed in 0..10 {
        let one_slot = |o: &mut synod_sim::Options| o.limits.run_slots_max = 1;
        let mut t = Cluster::of(5).with(one_slot).seed(300 + seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.decide(["a"]);
        t.settle();
        let votes = t.hold([r2, r3], r1, MessageKind::Accepted);
        let rest = t.hold(r1, [r4, r5], Kinds::from([MessageKind::Accept, MessageKind::Learned]));
        t.propose(r1, ["v5", "v6"]);
        t.run_for(ms(20));
        let second = t.hold(r1, r2, MessageKind::Accept);
        t.propose(r1, ["v7", "v8"]);
        t.run_for(ms(20));
        t.crash(r1);
        for held in [votes, rest, second] {
            t.discard(held);
        }
        // b2: without r3, and its accepts reach one other only.
        t.isolate(r3);
        t.run_until(|t| [r2, r4, r5].iter().any(|member| t.leads(*member)));
        let middle = t.leader().expect("one of three leads");
        let others: Vec<MemberIndex> =
            [r2, r4, r5].into_iter().filter(|member| *member != middle).collect();
        let deaf = t.hold(middle, others[0], MessageKind::Accept);
        t.propose(middle, ["w7"]);
        t.run_for(ms(50));
        t.crash(middle);
        t.discard(deaf);
        // b3: with r3, which has the longest log.
        t.heal();
        t.run_until(|t| t.leader().is_some());
        t.propose(others[0], ["z"]);
        t.run_until(|t| t.heard("z").is_some());
        t.restart(r1);
        t.restart(middle);
        t.settle();
        t.assert_one_log();
        for value in ["v5", "v6", "v7", "v8", "w7"] {
            assert!(!t.is_acknowledged(value) || t.slot_of(value).is_some(), "{value}");
        }
    }
}

/// S13: a slot that two of five have was not acknowledged, whoever counts.
#[test]
fn two_of_five_do_not_decide() {
    let mut t = Cluster::of(5).seed(400).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    let held = t.hold(r1, [r3, r4, r5], MessageKind::Accept);
    t.propose(r1, ["x"]);
    t.run_for(ms(100));
    assert_eq!(t.heard("x"), None);
    t.crash(r1);
    t.crash(r2);
    t.discard(held);
    t.run_until(|t| [r3, r4, r5].iter().any(|member| t.leads(*member)));
    t.decide(["y"]);
    t.restart(r1);
    t.restart(r2);
    t.settle();
    t.assert_same_log(["y"]);
}

/// S15: an acceptor's writes of three ballots complete late and in a burst. What it says names
/// what is durable, in that ballot.
#[test]
fn late_completions_of_older_ballots_count_for_nothing() {
    for seed in 0..10 {
        let mut t = Cluster::of(5).seed(500 + seed).with_leader();
        let [a, b, c, d, e] = t.by_role();
        // W1: b writes what a proposes; nobody else gets it.
        t.stall_disk(b);
        let held = t.hold(a, [c, d, e], MessageKind::Accept);
        t.propose(a, ["a1", "a2"]);
        t.run_for(ms(20));
        t.isolate(a);
        t.discard(held);
        // W2: another leads and overwrites.
        t.run_until(|t| [c, d, e].iter().any(|member| t.leads(*member)));
        t.propose(t.leader().expect("one of three leads"), ["c1"]);
        t.run_for(ms(100));
        let second = t.leader().expect("one of three leads");
        t.crash(second);
        t.heal();
        // W3: a third ballot, while b still owes all answers.
        t.run_until(|t| t.leader().is_some_and(|leader| leader != second));
        t.run_for(ms(200));
        t.resume_disk(b);
        t.restart(second);
        t.settle();
        t.assert_one_log();
    }
}

/// S16: messages of another cluster, another configuration, another disk or an earlier run of a
/// member are refused by the core itself, whatever ballot they carry.
#[test]
fn messages_of_other_lives_are_refused() {
    let mut t = Cluster::of(3).seed(600).with_leader();
    let [leader, b, c] = t.by_role();
    t.decide(["a"]);
    t.settle();
    let process = t.world().node(b).process.as_ref();
    let own: Header = process.expect("b is up").header;
    let mut wrong = [own; 5];
    wrong[0].cluster = ClusterId(99);
    wrong[1].epoch.number += 1;
    wrong[2].epoch.digest ^= 1;
    wrong[3].incarnation = Incarnation(77);
    wrong[4].boot = Boot(own.boot.0 - 1);
    let promised = t.promised(c);
    let decided = t.decided(c);
    let ballot = Ballot { round: promised.round + 50, node: own.node };
    let forged = [Proposal { slot: decided, ballot, decree: synod_core::Kind::Noop }];
    for header in wrong {
        t.forge_as(header, c, Message::Prepare { ballot, from: Slot::ZERO });
        let end = decided.next();
        t.forge_as(header, c, Message::Learned { from: decided, proposals: &forged, decided: end });
        t.run_for(ms(20));
        assert_eq!(t.promised(c), promised, "{header:?}");
        assert_eq!(t.decided(c), decided, "{header:?}");
    }
    t.decide(["b"]);
    t.settle();
    assert!(t.leads(leader));
    t.assert_same_log(["a", "b"]);
}

/// S18: a new leader that knows less does not make a member forget what it knows to be decided.
#[test]
fn decided_never_goes_back() {
    let mut t = Cluster::of(5).seed(700).with_leader();
    let [r5, r1, r2, r3, r4] = t.by_role();
    // e1 is decided by r5, r1 and r2; only r1 hears of it.
    let held = t.hold(r5, [r3, r4], MessageKind::Accept);
    let news = Kinds::from([MessageKind::Notice, MessageKind::Beat, MessageKind::Learned]);
    let quiet = t.hold([r5, r1], [r2, r3, r4], news);
    t.propose(r5, ["e1"]);
    t.run_until(|t| t.is_acknowledged("e1"));
    t.run_until(|t| t.decided(r1) == t.decided(r5));
    let known = t.decided(r1);
    t.isolate(r5);
    t.isolate(r1);
    t.discard(held);
    t.discard(quiet);
    t.run_until(|t| [r2, r3, r4].iter().any(|member| t.leads(*member)));
    let leader = t.leader().expect("one of three leads");
    let votes = t.hold([r2, r3, r4], leader, MessageKind::Accepted);
    t.mend(r1, [r2, r3, r4]);
    t.run_for(ms(1_000));
    assert!(t.decided(r1) >= known);
    t.release(votes);
    t.heal();
    t.settle();
    t.assert_same_log(["e1"]);
}

/// S56 (R3): a notice that says "decided" covers only what a member accepted in that very ballot;
/// an accept of an older one is no such thing.
#[test]
fn a_notice_does_not_cover_a_stale_accept() {
    let mut t = Cluster::of(3).seed(800).with_leader();
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
    // r3 hears what is decided, and none of the decrees.
    let decrees = Kinds::from([MessageKind::Accept, MessageKind::Learned]);
    let held = t.hold([r1, r2], r3, decrees);
    t.heal();
    t.run_for(ms(2_000));
    assert!(t.log(r3).is_empty(), "{:?}", t.log(r3));
    t.release(held);
    t.settle();
    t.assert_same_log(["y"]);
}

/// S57 (R4): a deposed leader that learns a decision of another ballot by catch-up does not
/// announce it in its own: who holds something else there would believe it.
#[test]
fn a_deposed_leader_announces_nothing_it_did_not_count() {
    let mut t = Cluster::of(5).seed(900).with_leader();
    let [r1, r2, r3, r4, r5] = t.by_role();
    let held = t.hold(r1, [r2, r3, r4], MessageKind::Accept);
    t.propose(r1, ["w"]);
    t.run_for(ms(5));
    t.discard(held);
    t.cut([r1, r5], [r2, r3, r4]);
    let from = t.decided(r1);
    // r1 must not notice by itself that it lost its quorum before it hears what was decided.
    t.run_until(|t| [r2, r3, r4].iter().any(|member| t.leads(*member)));
    let ballot = t.promised(t.leader().expect("one of three leads"));
    t.decide(["v"]);
    let end = t.decided(t.leader().expect("still"));
    let images = t.world().checkers().images();
    let taught: Vec<Proposal<bytes::Bytes>> = (from.0..end.0)
        .map(|slot| {
            let slot = Slot(slot);
            let decree = images.chosen(slot).expect("decided is chosen").bytes.clone();
            Proposal { slot, ballot, decree }
        })
        .collect();
    t.forge(r2, r1, Message::Learned { from, proposals: &taught, decided: end });
    t.run_for(ms(3_000));
    assert!(!t.log(r5).contains(&"w".to_owned()));
    t.heal();
    t.settle();
    // The slots where w was are v's; w may have been offered again behind it.
    t.assert_one_log();
    assert_eq!(t.log(r5).first().map(String::as_str), Some("v"));
}
