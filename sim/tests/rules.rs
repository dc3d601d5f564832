//! Schedules that break a core which lacks a rule of ARCHITECTURE.md: what a notice covers, what a
//! deposed leader may still say, and what a disk that was replaced may still do.

use synod_core::{MemberIndex, Message, NodeSet, Proposal, Slot};
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// A leader proposes in a slot, and only the third member accepts; then the second one leads, and
/// the third is cut off with what nobody else holds.
fn stale_accept(seed: u64) -> (Cluster, [MemberIndex; 3], Slot) {
    let mut t = Cluster::of(3).seed(seed).with_leader();
    let [r1, r2, r3] = t.by_role();
    t.settle();
    let (slot, b1) = (t.next_slot(r1), t.promised(r1));
    t.stall_disk(r1);
    let held = t.hold(r1, r2, MessageKind::Accept);
    t.propose(r1, ["x"]);
    t.run_until(|t| t.voters(slot, b1) == NodeSet::of(r3));
    t.crash_losing_all(r1);
    t.discard(held);
    t.resume_disk(r1);
    t.isolate(r3);
    t.restart(r1);
    t.elect(r2);
    (t, [r1, r2, r3], slot)
}

/// S56 (R3): a notice that says "decided" covers only what a member accepted in that very ballot;
/// an accept of an older one is no such thing.
#[test]
fn a_notice_does_not_cover_a_stale_accept() {
    for seed in 0..8 {
        let (mut t, [r1, r2, r3], slot) = stale_accept(800 + seed);
        let b2 = t.promised(r2);
        t.decide(["y"]);
        // r3 hears what is decided, and none of the decrees.
        let decrees = Kinds::from([MessageKind::Accept, MessageKind::Learned]);
        let held = t.hold([r1, r2], r3, decrees);
        t.heal();
        t.run_for(ms(2_000));
        assert_eq!(t.promised(r3), b2, "the notices reach it");
        assert!(t.decided(r2) > slot && t.decided(r3) <= slot);
        assert!(t.log(r3).is_empty(), "{:?}", t.log(r3));
        t.release(held);
        t.settle();
        t.assert_same_log(["y"]);
        t.ends_well();
    }
}

/// S58 (R5): a member that learned a decree and lost it in a crash does not find a mark that says
/// "decided" over the stale accept below.
#[test]
fn a_mark_never_outlives_its_decree() {
    for seed in 0..20 {
        let (mut t, [r1, r2, r3], slot) = stale_accept(1_500 + seed);
        t.decide(["y"]);
        // r3 learns in memory; its disk answers nothing, and any part of what it wrote survives.
        t.stall_disk(r3);
        t.heal();
        t.run_until(|t| t.decided(r3) > slot);
        t.run_for(ms(10 * seed));
        t.crash(r3);
        t.resume_disk(r3);
        let held = t.hold([r1, r2], r3, Kinds::ALL);
        t.restart(r3);
        t.run_for(ms(500));
        assert!(!t.log(r3).contains(&"x".to_owned()), "seed {seed}");
        t.release(held);
        t.settle();
        t.assert_same_log(["y"]);
        t.ends_well();
    }
}

/// S57 (R4): a deposed leader that learns a decision of another ballot by catch-up does not
/// announce it in its own: who holds something else there would believe it.
#[test]
fn a_deposed_leader_announces_nothing_it_did_not_count() {
    for seed in 0..8 {
        // It must not notice by itself that it lost its quorum before it hears what was decided.
        let patient = |o: &mut synod_sim::Options| o.timeouts.step_down = ms(60_000);
        let mut t = Cluster::of(5).with(patient).seed(900 + seed).with_leader();
        let [r1, r2, r3, r4, r5] = t.by_role();
        t.settle();
        let (slot, b1) = (t.next_slot(r1), t.promised(r1));
        let held = t.hold(r1, [r2, r3, r4], MessageKind::Accept);
        t.propose(r1, ["w"]);
        t.run_until(|t| t.voters(slot, b1) == NodeSet::of(r1).with(r5));
        let apart = [
            // What r5 asks for is no notice.
            t.hold(r1, r5, MessageKind::Learned),
            t.hold([r1, r5], [r2, r3, r4], Kinds::ALL),
            t.hold([r2, r3, r4], [r1, r5], Kinds::ALL),
        ];
        t.discard(held);
        t.elect(r2);
        let b2 = t.promised(r2);
        t.propose(r2, ["v"]);
        t.run_until(|t| t.is_acknowledged("v"));
        let end = t.decided(r2);
        let images = t.world().checkers().images();
        let taught: Vec<Proposal<bytes::Bytes>> = (slot.0..end.0)
            .map(|number| {
                let slot = Slot(number);
                let decree = images.chosen(slot).expect("decided is chosen").bytes.clone();
                Proposal { slot, ballot: b2, decree }
            })
            .collect();
        assert!(t.leads(r1) && t.promised(r1) == b1, "it has not heard of {b2}");
        t.forge(r2, r1, Message::Learned { from: slot, proposals: &taught, decided: end });
        t.run_until(|t| t.decided(r1) == end);
        assert!(!t.leads(r1), "it knows that another ballot has won");
        t.run_for(ms(3_000));
        assert!(t.decided(r5) <= slot, "it was told of a decision that it cannot have");
        assert!(!t.log(r5).contains(&"w".to_owned()));
        for held in apart {
            t.discard(held);
        }
        t.settle();
        // The slot where w was is another's; w may have been offered again behind it.
        t.assert_one_log();
        assert_eq!(t.log(r5).first().map(String::as_str), Some("v"));
        assert_ne!(t.slot_of("w"), Some(slot));
        t.ends_well();
    }
}

/// S61 (R10): a member promises a high ballot, and the promise is delayed. Its disk is replaced,
/// and it reads what the others know, which is nothing of that promise. It does not vote, so what
/// a lower ballot gets chosen has a quorum without it, and the late promise does no harm.
#[test]
fn a_promise_that_was_wiped_still_binds() {
    for seed in 0..8 {
        let slow = |o: &mut synod_sim::Options| {
            o.timeouts.step_down = ms(60_000);
            o.timeouts.election = ms(2_000);
        };
        let mut t = Cluster::of(5).with(slow).seed(950 + seed).with_leader();
        let [r4, r1, r2, r3, r5] = t.by_role();
        t.decide(["a"]);
        t.settle();
        let (slot, low) = (t.next_slot(r4), t.promised(r4));
        // r5 campaigns while it does not hear r4. Only r1 hears of that, and its promise is late.
        t.isolate(r4);
        let asked = t.hold(r5, [r2, r3], MessageKind::Prepare);
        // Who hears only r5 does not campaign.
        let others = t.hold([r1, r2, r3], [r1, r2, r3], MessageKind::Beat);
        let late = t.hold(r1, r5, Kinds::ALL.without(MessageKind::Beat));
        t.run_until(|t| {
            t.promised(r1) == t.promised(r5) && t.promised(r5) > low && t.held(late) > 0
        });
        let high = t.promised(r1);
        assert!(high > low);
        t.isolate(r5);
        t.world().wipe(r1);
        t.mend(r4, [r1, r2, r3]);
        t.restart(r1);
        // r4, in its lower ballot, reaches r1 and r3, and r1 has no vote to give.
        let unheard = t.hold(r4, r2, MessageKind::Accept);
        t.propose(r4, ["x"]);
        t.run_for(ms(500));
        assert_eq!(t.promised(r4), low);
        assert_eq!(t.voters(slot, low), NodeSet::of(r3).with(r4));
        assert!(!t.is_acknowledged("x"), "a disk that was replaced has voted");
        for held in [asked, others, unheard] {
            t.discard(held);
        }
        // The late promise arrives: r5 has r1's, r2's and its own.
        t.isolate(r4);
        t.isolate(r3);
        t.mend(r5, [r1, r2]);
        t.release(late);
        t.run_for(ms(4_000));
        t.heal();
        t.settle();
        t.assert_one_log();
        assert_eq!(t.log(r5).first().map(String::as_str), Some("a"));
        assert!(!t.is_acknowledged("x") || t.slot_of("x").is_some());
        t.ends_well();
    }
}
