//! Storage: what a disk may lose, what it may not, and what nobody may say before it is durable.
//! The log is the production one, on a simulated device.

use synod_core::{Ballot, MemberIndex, Message, Slot, Standing};
use synod_log::Device;
use synod_sim::kinds::MessageKind;
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// S35 (PostgreSQL's fsync, 2018): after a failed sync a member never again calls anything durable
/// from that log, also when a later sync would succeed; what it wrote is not counted.
#[test]
fn a_failed_sync_stops_the_member() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(1_000 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        let (slot, ballot) = (t.next_slot(r1), t.promised(r1));
        t.isolate(r3);
        t.fail_disk(r2);
        t.propose(r1, ["five"]);
        t.run_for(ms(50));
        let said = t.hold(r2, r1, [MessageKind::Accepted, MessageKind::Promise]);
        t.run_for(ms(250));
        assert_eq!(t.heard("five"), None, "r1 alone and a failed disk are no quorum");
        t.propose(r1, ["six"]);
        t.run_for(ms(10_000));
        assert!(!t.is_acknowledged("five") && !t.is_acknowledged("six"));
        assert_eq!(t.held(said), 0, "it votes from a log that failed");
        assert!(!t.voters(slot, ballot).contains(r2));
        t.discard(said);
        t.crash(r1);
        t.crash_losing_all(r2);
        t.restart(r2);
        t.heal();
        t.elect(r3);
        t.decide(["b"]);
        assert_eq!(t.slot_of("five"), None, "what r1 alone has was not decided");
        t.restart(r1);
        t.settle();
        t.assert_same_log(["a", "b"]);
        t.ends_well();
    }
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
        t.ends_well();
    }
}

/// The members of a set, by their bits among `order`.
fn chosen(order: [MemberIndex; 3], bits: usize) -> impl Iterator<Item = MemberIndex> {
    (0..3).filter(move |place| bits >> place & 1 == 1).map(move |place| order[place])
}

/// S41 and S43: power cuts at every point of a write, on each member in turn, on every majority
/// and on all at once. What was acknowledged is there afterwards.
#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    for victims in 1..8 {
        for step in 0..60 {
            let mut t = Cluster::of(3).seed(1_300 + step).with_leader();
            let order = t.by_role();
            t.decide(["a"]);
            t.propose(order[0], ["x", "y"]);
            for _ in 0..step {
                t.step();
            }
            for member in chosen(order, victims) {
                t.crash_losing_all(member);
            }
            let acknowledged: Vec<&str> =
                ["x", "y"].into_iter().filter(|value| t.is_acknowledged(value)).collect();
            t.run_for(ms(10));
            for member in chosen(order, victims) {
                t.restart(member);
            }
            t.run_until(|t| t.agreed_leader().is_some());
            t.settle();
            t.assert_one_log();
            let log = t.log(order[0]);
            assert!(log.contains(&"a".to_owned()), "victims {victims:b} at step {step}");
            for value in acknowledged {
                assert!(log.contains(&value.to_owned()), "victims {victims:b} at step {step}");
            }
            t.ends_well();
        }
    }
}

/// S43 (etcd #14143), the promise: power cuts at every point of an election, on one member, on a
/// majority and on all. Whoever promised has not forgotten it, and never promises or proposes
/// twice (the checkers remember); what was decided before stays.
#[test]
fn no_power_cut_makes_a_member_forget_a_promise() {
    for victims in 1..8 {
        for step in 0..40 {
            let mut t = Cluster::of(3).seed(1_350 + step).with_leader();
            let order = t.by_role();
            t.decide(["a"]);
            t.settle();
            let is_asked = |t: &Cluster| {
                t.members().into_iter().any(|m| t.standing(m) == Some(Standing::Preparing))
            };
            t.crash(order[0]);
            t.run_until(is_asked);
            t.restart(order[0]);
            for _ in 0..step {
                t.step();
            }
            for member in chosen(order, victims) {
                t.crash_losing_all(member);
            }
            t.run_for(ms(10));
            for member in chosen(order, victims) {
                t.restart(member);
            }
            t.run_until(|t| t.agreed_leader().is_some());
            t.decide(["b"]);
            t.settle();
            t.assert_same_log(["a", "b"]);
            t.ends_well();
        }
    }
}

/// S41 (Zab's epochs; etcd #14370): a member lacks three decided slots and gets them together with
/// a new ballot. It crashes at every point between: the ballot, the slots, the sync, the answer. It
/// has not voted for what it does not have, so the next leader finds all of them.
#[test]
fn no_crash_point_makes_a_laggard_vote_for_what_it_lacks() {
    let mut decided = 0;
    for step in 0..100 {
        let mut t = Cluster::of(3).seed(1_380 + step).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        t.isolate(r3);
        t.decide(["b", "c", "d"]);
        t.run_until(|t| t.decided(r2) == t.decided(r1));
        t.crash(r1);
        t.heal();
        let asked = t.hold(r3, r2, MessageKind::Prepare);
        t.run_until(|t| t.standing(r2) == Some(Standing::Preparing));
        t.propose(r2, ["e"]);
        for _ in 0..step {
            t.step();
        }
        if step % 3 == 0 {
            t.crash(r3);
        } else {
            t.crash_losing_all(r3);
        }
        let acknowledged = t.is_acknowledged("e");
        decided += usize::from(acknowledged);
        t.discard(asked);
        // r2 is gone; r1 has the three slots, and r3 what its disk kept.
        t.crash(r2);
        t.restart(r1);
        t.restart(r3);
        t.elect(if step % 2 == 0 { r1 } else { r3 });
        t.settle();
        let log = t.log(r3);
        assert_eq!(log[..4], ["a", "b", "c", "d"], "step {step}");
        assert!(!acknowledged || log.len() == 5, "step {step}: e was acknowledged");
        t.restart(r2);
        t.settle();
        t.assert_one_log();
        t.ends_well();
    }
    assert!((10..90).contains(&decided), "{decided} of 100 crashes came behind the vote");
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
    t.ends_well();
}

/// S42 (etcd 3.5): state machines that keep their state, and a crash at every point around their
/// saving it. State and place are saved as one, so no restart applies anything twice or not at all:
/// the checkers compare every reply with that of the others.
#[test]
fn a_durable_state_machine_applies_everything_once() {
    for step in 0..100 {
        let durable = |o: &mut synod_sim::Options| o.durable_machines = true;
        let mut t = Cluster::of(3).with(durable).seed(1_450 + step).with_leader();
        let order: [MemberIndex; 3] = t.by_role();
        t.decide(["a", "b"]);
        t.propose(order[0], ["x", "y", "z"]);
        for _ in 0..step {
            t.step();
        }
        let victim = order[step as usize % 3];
        t.crash_losing_all(victim);
        t.run_for(ms(step));
        t.restart(victim);
        t.run_until(|t| t.agreed_leader().is_some());
        t.decide(["c"]);
        t.settle();
        t.assert_one_log();
        for value in ["a", "b", "c"] {
            assert_eq!(t.log(victim).iter().filter(|applied| *applied == value).count(), 1);
        }
        let world = t.world();
        let digest = |member| world.service(member).map(|service| service.status().digest);
        let digests = order.map(digest);
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "step {step}: {digests:?}");
        t.ends_well();
    }
}

/// S30 (R10; KIP-853, TigerBeetle #2996): a member whose disk was replaced by an empty one does not
/// vote. With the only other member that knows slot 5 gone too, the cluster waits rather than lose
/// it.
#[test]
fn a_replaced_disk_does_not_vote() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(1_480 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        t.isolate(r3);
        t.decide(["five"]);
        let slot = t.slot_of("five");
        t.world().wipe(r2);
        t.crash(r1);
        t.heal();
        t.restart(r2);
        let promised = t.promised(r3);
        let votes = t.hold(r2, r3, [MessageKind::Promise, MessageKind::Accepted]);
        let limit = t.now().plus(20 * t.election_nanos());
        while t.now() < limit {
            t.step();
            assert!(!t.leads(r2) && !t.leads(r3), "an empty disk has voted");
        }
        assert_eq!(t.held(votes), 0, "an empty disk promises");
        assert_eq!(t.promised(r3), promised);
        t.discard(votes);
        t.restart(r1);
        t.run_until(|t| t.leads(r1) || t.leads(r3));
        t.decide(["b"]);
        t.settle();
        assert_eq!(t.slot_of("five"), slot);
        t.assert_same_log(["a", "five", "b"]);
        t.ends_well();
    }
}

/// S60 (R2): what a member learned and did not persist it does not vote for, although its vote is
/// the one that lacks; after a crash it is told again.
#[test]
fn a_member_votes_from_its_disk_not_from_memory() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(1_600 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        t.isolate(r3);
        t.decide(["b", "c", "d", "e", "f"]);
        t.run_until(|t| t.decided(r2) == t.decided(r1));
        let end = t.decided(r1);
        t.stall_disk(r3);
        t.heal();
        t.run_until(|t| t.decided(r3) == end);
        t.isolate(r2);
        t.propose(r1, ["g"]);
        t.run_for(ms(300));
        assert_eq!(t.heard("g"), None, "it was decided with a vote from memory");
        t.crash_losing_all(r3);
        t.resume_disk(r3);
        t.restart(r3);
        assert!(t.decided(r3) < end, "it lost what it had learned");
        t.within_timeouts(2, |t| t.is_acknowledged("g"));
        t.heal();
        t.settle();
        t.assert_same_log(["a", "b", "c", "d", "e", "f", "g"]);
        t.ends_well();
    }
}

/// S62 (R11): two writes in flight, and the power fails on all members: the first may be torn and
/// the second whole. Every member starts, and nothing behind the tear comes back.
#[test]
fn torn_first_and_whole_second_starts() {
    let mut torn_first = 0;
    for seed in 0..80 {
        let mut t = Cluster::of(3).seed(1_700 + seed).with_leader();
        let all: [MemberIndex; 3] = t.by_role();
        t.decide(["a"]);
        t.settle();
        let long = "w".repeat(1_500);
        for member in all {
            t.stall_disk(member);
        }
        for round in 0..3 {
            t.propose(all[0], [format!("{round}{long}").as_str()]);
            t.run_for(ms(3));
        }
        for member in all {
            t.crash(member);
            t.resume_disk(member);
        }
        let mut dead = Vec::new();
        for member in all {
            let whole = whole_bodies(&mut t, member, &long);
            if let Some(torn) = (0..3).find(|round| !whole.contains(round)) {
                dead.push((member, torn));
                torn_first += usize::from(whole.iter().any(|round| *round > torn));
            }
            t.restart(member);
        }
        // Nothing behind a tear is there, unless another member had it.
        let kept = |torn: usize| dead.iter().filter(|(_, other)| *other <= torn).count() < 3;
        t.run_until(|t| t.agreed_leader().is_some());
        t.decide(["b"]);
        t.settle();
        t.assert_one_log();
        assert!(t.log(all[2]).contains(&"a".to_owned()));
        for round in 0..3 {
            let value = format!("{round}{long}");
            assert!(t.slot_of(&value).is_none() || kept(round), "round {round} of seed {seed}");
        }
        // And once more: what was cut off stays cut off.
        let log = t.log(all[0]);
        for member in all {
            t.crash(member);
            t.restart(member);
        }
        t.run_until(|t| t.agreed_leader().is_some());
        t.settle();
        t.assert_one_log();
        assert_eq!(t.log(all[0]), log, "seed {seed}");
        t.ends_well();
    }
    assert!(torn_first >= 5, "only {torn_first} disks had the first torn and a later one whole");
}

/// Which of the bodies `0long`, `1long`, `2long` a disk holds whole.
fn whole_bodies(t: &mut Cluster, member: MemberIndex, long: &str) -> Vec<usize> {
    let device = t.world().node(member).disk.device().clone();
    let files = device.list().expect("a disk that works");
    let holds = |body: &str| {
        files
            .iter()
            .filter_map(|file| device.contents(file))
            .any(|bytes| bytes.windows(body.len()).any(|part| part == body.as_bytes()))
    };
    (0..3).filter(|round| holds(&format!("{round}{long}"))).collect()
}

/// R10: nobody listens to a member without a vote, so a ballot that only it knows must not keep it
/// from following the leader: nobody would ever climb above that ballot.
#[test]
fn a_member_without_a_vote_follows_whoever_leads() {
    let mut t = Cluster::of(3).seed(0x5EED).with_leader();
    let [leader, b, c] = t.by_role();
    t.decide(["x"]);
    t.world().wipe(c);
    t.restart(c);
    let node = t.world().node(b).id;
    let ballot = Ballot { round: t.promised(leader).round + 5, node };
    t.forge(b, c, Message::Prepare { ballot, from: Slot::ZERO });
    t.within_timeouts(2, |t| t.promised(c) == ballot);

    t.decide(["y"]);
    t.within_timeouts(10, |t| t.log(c) == ["x", "y"]);
    t.within_timeouts(10, |t| t.agreed_leader().is_some());
    assert!(t.leads(leader), "its ballot disturbs nobody");
}
