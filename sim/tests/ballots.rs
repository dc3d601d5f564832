//! Ballots, quorums and slots: what may be counted, what may be proposed, what may be believed.

use synod_core::{
    Action, Ballot, Boot, ClusterId, Config, Configuration, Event, GroupId, Header, Incarnation,
    Instant, Message, NodeId, NodeSet, Proposal, Recovered, Replica, Slot, Standing, WriteId,
};
use synod_sim::checkers::DecreeId;
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// The decree that `ballot` proposed in `slot`, as far as anybody voted for it.
fn decree(t: &mut Cluster, slot: Slot, ballot: Ballot) -> Option<DecreeId> {
    let votes = t.world().checkers().images().votes(slot);
    votes.iter().find(|votes| votes.ballot == ballot).map(|votes| votes.decree)
}

/// S10: a proposer that crashes at any point between choosing a ballot and having it durable never
/// uses that ballot for two values. The checkers remember every ballot and every proposal.
#[test]
fn no_crash_makes_a_proposer_use_a_ballot_twice() {
    for step in 0..80 {
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
        if step % 2 == 0 {
            t.crash(campaigner);
        } else {
            t.crash_losing_all(campaigner);
        }
        t.restart(first);
        t.restart(campaigner);
        t.propose(campaigner, ["y"]);
        t.run_until(|t| t.leader().is_some());
        t.settle();
        t.assert_one_log();
        assert_eq!(t.log(b).first().map(String::as_str), Some("a"));
        t.ends_well();
    }
}

/// S10, the rule: no message of a ballot leaves its proposer before the ballot is durable there,
/// and a ballot that was lost is no ballot.
#[test]
fn nothing_of_a_ballot_leaves_before_it_is_durable() {
    let mut t = Cluster::of(3).seed(190).with_leader();
    let [first, b, c] = t.by_role();
    t.decide(["a"]);
    t.settle();
    let old = t.promised(b);
    t.crash(first);
    t.stall_disk(b);
    t.stall_disk(c);
    let all = Kinds::ALL.without(MessageKind::Beat);
    let said = t.hold([b, c], [b, c], all);
    t.run_until(|t| t.promised(b) > old || t.promised(c) > old);
    t.run_for(ms(400));
    assert_eq!(t.held(said), 0, "it speaks of a ballot that it may forget");
    for member in [b, c] {
        t.crash_losing_all(member);
        t.resume_disk(member);
        t.restart(member);
        assert_eq!(t.promised(member), old);
    }
    t.discard(said);
    t.restart(first);
    t.run_until(|t| t.agreed_leader().is_some());
    t.settle();
    t.assert_same_log(["a"]);
    t.ends_well();
}

/// S10 in full: a proposer gets x to one acceptor, loses its own write of it, comes back, and gets
/// y decided with another acceptor in the same slot. It is another ballot, and y stays.
#[test]
fn a_proposer_that_forgot_a_value_proposes_another_in_a_higher_ballot() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(120 + seed).with_leader();
        let [r3, r1, r2] = t.by_role();
        t.settle();
        t.isolate(r3);
        t.elect(r1);
        t.run_until(|t| t.decided(r1) == t.next_slot(r1));
        t.run_for(ms(200));
        let (slot, low) = (t.next_slot(r1), t.promised(r1));
        t.stall_disk(r1);
        t.propose(r1, ["x"]);
        t.run_until(|t| t.voters(slot, low).contains(r2));
        t.crash_losing_all(r1);
        t.resume_disk(r1);
        t.heal();
        t.isolate(r2);
        t.restart(r1);
        t.elect(r1);
        let high = t.promised(r1);
        assert!(high > low, "ballot {low} is used for a second value");
        t.decide(["y"]);
        t.run_until(|t| t.slot_of("y").is_some());
        assert_eq!(t.voters(slot, low), NodeSet::of(r2));
        assert!(t.voters(slot, high).len() >= 2);
        t.crash(r1);
        t.heal();
        t.elect(r2);
        t.settle();
        t.restart(r1);
        t.settle();
        assert_eq!(t.slot_of("x"), None, "x was offered by a process that died");
        t.assert_same_log(["y"]);
        t.ends_well();
    }
}

/// S11 (Raft's figure 8, logcabin #44): three members hold x, but not by votes of one ballot. That
/// decides nothing, and the proposal of the highest ballot wins.
#[test]
fn votes_of_different_ballots_are_not_added_up() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(200 + seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        let (slot, b1) = (t.next_slot(r1), t.promised(r1));
        // b1: x is accepted by r1 and r2.
        let held = t.hold(r1, [r3, r4, r5], MessageKind::Accept);
        t.propose(r1, ["x"]);
        t.run_until(|t| t.voters(slot, b1) == NodeSet::of(r1).with(r2));
        t.cut([r1, r2], [r3, r4, r5]);
        t.discard(held);
        // b3: r5, promised by r3 and r4, proposes another decree there, and nobody gets it.
        let silent = t.hold(r5, [r3, r4], MessageKind::Accept);
        t.elect(r5);
        let b3 = t.promised(r5);
        t.run_until(|t| t.voters(slot, b3) == NodeSet::of(r5));
        t.crash(r5);
        t.discard(silent);
        // b4: r1, promised by r2 and r3, proposes x again; the accept to r2 is lost.
        t.heal();
        t.isolate(r4);
        let lost = t.hold(r1, r2, MessageKind::Accept);
        t.elect(r1);
        let b4 = t.promised(r1);
        t.run_until(|t| t.voters(slot, b4) == NodeSet::of(r1).with(r3));
        t.run_for(ms(300));
        assert_eq!(decree(&mut t, slot, b1), decree(&mut t, slot, b4), "x again");
        assert!(!t.is_acknowledged("x"), "votes of {b1} and {b4} were added up");
        assert!(t.decided(r1) <= slot);
        t.crash(r1);
        t.discard(lost);
        // b5: r5, promised by r2 and r4, sees x in b1 and its own in b3.
        t.heal();
        t.isolate(r3);
        t.restart(r5);
        t.elect(r5);
        let b5 = t.promised(r5);
        t.run_until(|t| t.voters(slot, b5).len() >= 3);
        assert_eq!(decree(&mut t, slot, b3), decree(&mut t, slot, b5), "the highest ballot wins");
        t.decide(["y"]);
        t.heal();
        t.restart(r1);
        t.settle();
        t.assert_same_log(["y"]);
        t.ends_well();
    }
}

/// Makes the tails of S12. r1 in b1 has v0..v4 in five slots, of which r2 has two and r3 five; all
/// others lack them. r4 in b2 proposes v0 and v1 again, opens its leadership in the third slot, and
/// has w in the fourth, which only r5 gets, and which r4 may lose. Returns the first slot and both
/// ballots; r1 is gone or cut off, r4 is gone.
fn tails(t: &mut Cluster, r1_dies: bool, r4_forgets: bool) -> (Slot, [Ballot; 2]) {
    let [r1, r2, r3, r4, r5] = t.by_role();
    t.decide(["a"]);
    t.settle();
    let (slot, b1) = (t.next_slot(r1), t.promised(r1));
    let votes = t.hold([r2, r3], r1, MessageKind::Accepted);
    let rest = t.hold(r1, [r4, r5], Kinds::from([MessageKind::Accept, MessageKind::Learned]));
    let mut held = vec![votes, rest];
    // One by one: what overtakes another is not taken.
    for (place, value) in ["v0", "v1", "v2", "v3", "v4"].into_iter().enumerate() {
        let mut voters = NodeSet::of(r1).with(r2).with(r3);
        if place >= 2 {
            voters = voters.without(r2);
            held.push(t.hold(r1, r2, MessageKind::Accept));
        }
        t.propose(r1, [value]);
        t.run_until(|t| t.voters(slot.plus(place as u64), b1) == voters);
    }
    if r1_dies {
        t.crash(r1);
    } else {
        t.isolate(r1);
    }
    for held in held {
        t.discard(held);
    }
    t.isolate(r3);
    t.elect(r4);
    let b2 = t.promised(r4);
    t.run_until(|t| t.voters(slot.plus(2), b2) == NodeSet::of(r2).with(r4).with(r5));
    let deaf = t.hold(r4, r2, MessageKind::Accept);
    if r4_forgets {
        t.stall_disk(r4);
    }
    t.propose(r4, ["w"]);
    t.run_until(|t| t.voters(slot.plus(3), b2).contains(r5));
    t.run_for(ms(50));
    t.crash_losing_all(r4);
    t.resume_disk(r4);
    t.discard(deaf);
    t.heal();
    if !r1_dies {
        t.isolate(r1);
    }
    (slot, [b1, b2])
}

/// S12: tails of different length and ballot. Per slot the highest ballot wins, never the longest
/// log, and who lost a slot does not hear success.
#[test]
fn the_highest_ballot_wins_not_the_longest_log() {
    for seed in 0..8 {
        let r1_dies = seed % 2 == 0;
        let one_slot = |o: &mut synod_sim::Options| o.limits.run_slots_max = 1;
        let mut t = Cluster::of(5).with(one_slot).seed(300 + seed).with_leader();
        let [r1, r2, _, r4, r5] = t.by_role();
        let (slot, [b1, b2]) = tails(&mut t, r1_dies, false);
        let contested = slot.plus(3);
        assert_eq!(t.voters(contested, b2), NodeSet::of(r4).with(r5));
        // b3: r2, the shortest, promised by r3, the longest, and by r5.
        t.elect(r2);
        let b3 = t.promised(r2);
        t.run_until(|t| t.decided(r2) > contested);
        assert_eq!(decree(&mut t, contested, b3), decree(&mut t, contested, b2));
        assert_ne!(decree(&mut t, contested, b3), decree(&mut t, contested, b1));
        t.decide(["z"]);
        t.heal();
        t.restart(r1);
        t.restart(r4);
        t.settle();
        t.assert_one_log();
        assert_eq!(t.slot_of("v0"), Some(slot));
        assert_eq!(t.slot_of("v1"), Some(slot.next()));
        assert_eq!(t.slot_of("w"), Some(contested));
        for value in ["v2", "v3", "v4"] {
            assert!(!t.is_acknowledged(value) || t.slot_of(value) > Some(contested), "{value}");
            // Whoever asked a process that died has no answer; any other has one.
            assert_eq!(t.heard(value).is_none(), r1_dies, "{value}");
        }
        t.ends_well();
    }
}

/// S12, the variant in which nobody of the quorum knows of w: the older proposal may win, and then
/// the newer one that only an absent member holds is overwritten.
#[test]
fn a_higher_ballot_that_the_quorum_does_not_know_is_overwritten() {
    for seed in 0..8 {
        let one_slot = |o: &mut synod_sim::Options| o.limits.run_slots_max = 1;
        let mut t = Cluster::of(5).with(one_slot).seed(350 + seed).with_leader();
        let [r1, r2, _, r4, r5] = t.by_role();
        let (slot, [b1, b2]) = tails(&mut t, true, true);
        let contested = slot.plus(3);
        assert_eq!(t.voters(contested, b2), NodeSet::of(r5));
        // b3: r2, promised by r3 and by r4, which forgot w.
        t.isolate(r5);
        t.restart(r4);
        t.elect(r2);
        let b3 = t.promised(r2);
        t.decide(["z"]);
        assert_eq!(decree(&mut t, contested, b3), decree(&mut t, contested, b1));
        t.heal();
        t.restart(r1);
        t.settle();
        t.assert_one_log();
        assert_eq!(t.slot_of("w"), None, "w was offered by a process that died");
        t.ends_well();
    }
}

/// An accept that comes behind a higher promise is refused: the deposed leader gets no vote more,
/// and what it proposed was not chosen.
#[test]
fn an_accept_behind_a_higher_promise_is_refused() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(380 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.settle();
        let (slot, low) = (t.next_slot(r1), t.promised(r1));
        let late = t.hold(r1, [r2, r3], MessageKind::Accept);
        t.propose(r1, ["x"]);
        t.run_until(|t| t.voters(slot, low) == NodeSet::of(r1));
        t.isolate(r1);
        let votes = t.hold([r2, r3], [r2, r3], MessageKind::Accept);
        t.elect(r2);
        t.heal();
        t.release(late);
        t.run_for(ms(20));
        assert_eq!(t.voters(slot, low), NodeSet::of(r1), "a vote below what was promised");
        t.release(votes);
        t.decide(["y"]);
        t.settle();
        t.assert_one_log();
        assert_ne!(t.slot_of("x"), Some(slot));
        t.ends_well();
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
    t.ends_well();
}

/// S13 (openraft #1802): the ends 10, 6, 5, 3 and 0 are decided up to 5, and 6 was acknowledged to
/// nobody. The two that had it crash, and another decree takes its slot.
#[test]
fn ends_at_different_heights_are_decided_up_to_the_third() {
    for seed in 0..8 {
        let one_slot = |o: &mut synod_sim::Options| o.limits.run_slots_max = 1;
        let mut t = Cluster::of(5).with(one_slot).seed(420 + seed).with_leader();
        let [r3, r4, r1, r2, r5] = t.by_role();
        let (base, ballot) = (t.decided(r3), t.promised(r3));
        let names: Vec<String> = (1..=10).map(|number| format!("v{number}")).collect();
        let mut held = Vec::new();
        for (to, values) in [(r5, 0..3), (r2, 3..5), (r1, 5..6), (r4, 6..10)] {
            held.push(t.hold(r3, to, MessageKind::Accept));
            t.propose(r3, names[values].iter().map(String::as_str));
            t.run_for(ms(30));
        }
        let ends = [(r3, 10), (r4, 6), (r1, 5), (r2, 3), (r5, 0)];
        for (member, end) in ends {
            for number in 0..10 {
                let voted = t.voters(base.plus(number), ballot).contains(member);
                assert_eq!(voted, number < end, "the end of {member:?} is not {end}");
            }
        }
        assert_eq!(t.decided(r3), base.plus(5));
        for (place, value) in names.iter().enumerate() {
            assert_eq!(t.is_acknowledged(value), place < 5, "{value}");
        }
        t.crash(r3);
        t.crash(r4);
        for held in held {
            t.discard(held);
        }
        t.elect(r1);
        t.decide(["y"]);
        t.restart(r3);
        t.restart(r4);
        t.settle();
        t.assert_same_log(["v1", "v2", "v3", "v4", "v5", "y"]);
        t.ends_well();
    }
}

/// S15 (etcd's asynchronous storage writes, openraft #1960): an acceptor's writes of three ballots
/// complete late, one by one. The first holds the same decree as the last, and the answer to the
/// last ballot waits for the last write all the same.
#[test]
fn late_completions_of_older_ballots_count_for_nothing() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(500 + seed).with_leader();
        let [a, b, c, d, e] = t.by_role();
        let (slot, b1) = (t.next_slot(a), t.promised(a));
        // W1: b writes what a proposes; nobody else gets it.
        t.stall_disk(b);
        let held = t.hold(a, [c, d, e], MessageKind::Accept);
        t.propose(a, ["a1"]);
        t.run_for(ms(20));
        t.isolate(a);
        t.discard(held);
        // W2: c leads with d and e, and its decree in that slot reaches only b.
        let held = t.hold(c, [d, e], MessageKind::Accept);
        t.elect(c);
        t.run_for(ms(100));
        t.crash(c);
        t.discard(held);
        // W3: a leads with d and e, and proposes a1 again; b's vote would decide it.
        t.heal();
        let held = t.hold(a, e, MessageKind::Accept);
        t.elect(a);
        let b3 = t.promised(a);
        t.run_until(|t| t.voters(slot, b3) == NodeSet::of(a).with(d));
        t.run_for(ms(300));
        assert!(t.voters(slot, b1).contains(a) && !t.voters(slot, b1).contains(b));
        let mut older = 0;
        let limit = t.now().after(ms(10_000));
        while !t.voters(slot, b3).contains(b) {
            assert!(t.now() < limit, "b never votes in {b3}");
            t.run_for(ms(20));
            assert!(t.decided(a) <= slot, "decided by a vote that is not durable in {b3}");
            older += usize::from(t.voters(slot, b1).contains(b));
            t.complete_writes(b, 1);
        }
        assert!(older > 0, "the write of {b1} completed first");
        t.run_until(|t| t.decided(a) > slot);
        t.resume_disk(b);
        t.discard(held);
        t.restart(c);
        t.settle();
        t.assert_one_log();
        assert_eq!(t.slot_of("a1"), Some(slot));
        t.ends_well();
    }
}

/// S15, the form of openraft #1960: completions of a fresh group of one are reported out of order.
/// A late older one hides no newer one, and what was proposed is decided.
#[test]
fn a_late_older_completion_hides_no_newer_one() {
    let configuration = Configuration::first(&[NodeId(1)]).expect("one member");
    let config = Config::new(ClusterId(1), GroupId(1), NodeId(1), configuration);
    let recovered = Recovered::formatted(Incarnation(7));
    let mut replica: Replica<u8> =
        Replica::new(config, recovered, Instant::ZERO).expect("a sound configuration");
    let mut now = Instant::ZERO;
    let mut last = WriteId(0);
    while replica.standing() != Standing::Leading || replica.room() == 0 {
        now = replica.deadline();
        replica.handle(now, Event::DeadlineReached).expect("no peer to blame");
        last = writes(&mut replica).max(last);
        replica.handle(now, Event::Persisted { upto: last }).expect("no peer to blame");
    }
    writes(&mut replica);
    let first = replica.propose(now, 1, None).expect("it leads");
    let older = writes(&mut replica);
    let second = replica.propose(now, 2, None).expect("it leads");
    let newer = writes(&mut replica);
    assert!(newer > older);
    assert!(replica.decided() <= first);
    replica.handle(now, Event::Persisted { upto: newer }).expect("no peer to blame");
    assert_eq!(replica.decided(), second.next());
    replica.handle(now, Event::Persisted { upto: older }).expect("no peer to blame");
    assert_eq!(replica.decided(), second.next());
    let third = replica.propose(now, 3, None).expect("it leads");
    writes(&mut replica);
    replica.handle(now, Event::Persisted { upto: newer }).expect("no peer to blame");
    assert_eq!(replica.decided(), third, "an old report made a new write durable");
}

/// Takes every action of a replica; the last write among them, or zero.
fn writes(replica: &mut Replica<u8>) -> WriteId {
    let mut last = WriteId(0);
    while let Some(action) = replica.poll() {
        if let Action::Persist { id, .. } = action {
            last = id;
        }
    }
    last
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
    t.ends_well();
}

/// S18: a new leader that knows less, and hears no vote, does not make a member forget what it
/// knows to be decided. Instead the others learn it.
#[test]
fn decided_never_goes_back() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(700 + seed).with_leader();
        let [r5, r1, r2, r3, r4] = t.by_role();
        t.settle();
        // e1 is decided by r5, r1 and r2; only r1 hears of it.
        let held = t.hold(r5, [r3, r4], MessageKind::Accept);
        let news = Kinds::from([MessageKind::Notice, MessageKind::Beat, MessageKind::Learned]);
        let quiet = t.hold([r5, r1], [r2, r3, r4], news);
        let (slot, ballot) = (t.next_slot(r5), t.promised(r5));
        t.propose(r5, ["e1"]);
        t.run_until(|t| t.is_acknowledged("e1") && t.decided(r1) == t.decided(r5));
        let known = t.decided(r1);
        assert_eq!(t.voters(slot, ballot), NodeSet::of(r5).with(r1).with(r2));
        assert!([r2, r3, r4].iter().all(|member| t.decided(*member) <= slot));
        t.isolate(r5);
        t.isolate(r1);
        t.discard(held);
        t.discard(quiet);
        // r4 leads r2 and r3, knows e1 as accepted, and hears no vote.
        let votes = t.hold([r1, r2, r3], r4, MessageKind::Accepted);
        t.elect(r4);
        assert!(t.decided(r4) <= slot);
        t.mend(r1, [r2, r3, r4]);
        let end = t.now().after(ms(3_000));
        while t.now() < end {
            assert!(t.decided(r1) >= known, "decided went back");
            t.step();
        }
        // A leader counts votes and asks nobody (R4); the others learn what one of them knows.
        assert!([r2, r3].iter().all(|member| t.decided(*member) >= known));
        t.release(votes);
        t.heal();
        t.settle();
        t.assert_same_log(["e1"]);
        t.ends_well();
    }
}
