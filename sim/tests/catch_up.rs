//! Catching up, and an idle cluster that lost its last message.

use std::time::Duration;

use synod_core::{MemberIndex, NodeSet, Slot, Standing};
use synod_sim::kinds::{Kinds, MessageKind};
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// Loses the next `count` messages of `kind`, whoever sends them, lets `act` happen, and waits
/// until all that is known is known everywhere, with no further word from a client. Returns how
/// many were lost.
fn losing(
    t: &mut Cluster,
    (count, kind): (u32, MessageKind),
    patience: Duration,
    act: impl FnOnce(&mut Cluster),
) -> u64 {
    let everyone = NodeSet::first(t.members().len());
    let before = t.world().network().counts().lost;
    t.drop_next(count, everyone, everyone, kind);
    let limit = t.now().after(patience);
    act(t);
    t.settle();
    assert!(t.now() <= limit, "settled at {} instead of {limit}: {count} of {kind}", t.now());
    t.world().network().counts().lost - before
}

/// S17 (OmniPaxos): a healthy cluster decides one request, the only round of answers is lost, and
/// nothing else ever happens. A few resend timeouts later it is decided everywhere.
#[test]
fn losing_the_only_round_of_accepted_wedges_nothing() {
    for seed in 0..8 {
        let mut t = Cluster::of(5).seed(2_050 + seed).with_leader();
        let [leader, ..]: [_; 5] = t.by_role();
        t.settle();
        let few = t.world().options().timeouts.resend * 3;
        let lost = losing(&mut t, (4, MessageKind::Accepted), few, |t| t.propose(leader, ["x"]));
        assert_eq!(lost, 4);
        assert!(t.is_acknowledged("x"));
        t.assert_same_log(["x"]);
        t.ends_well();
    }
}

/// S17, each kind of message that a write takes, of which the last one, one round, or more are
/// lost. A forward goes to the leader, and the question after it is answered with taken.
#[test]
fn losing_the_messages_of_a_write_wedges_nothing() {
    use MessageKind::{Accept, Accepted, Beat, Forward, Notice, Taken};
    for (kind, most) in
        [(Accept, 4), (Accepted, 4), (Notice, 4), (Beat, 40), (Forward, 2), (Taken, 2)]
    {
        for count in 1..=most {
            let mut t = Cluster::of(5).seed(2_000 + u64::from(count)).with_leader();
            let [leader, b, ..]: [_; 5] = t.by_role();
            t.settle();
            let at = if matches!(kind, Forward | Taken) { b } else { leader };
            if kind == Taken {
                t.drop_next(1, b, leader, Forward);
            }
            let few = t.world().options().timeouts.resend * (2 + most.min(4));
            let lost = losing(&mut t, (count, kind), few, |t| {
                t.propose(at, ["x"]);
                t.run_until(|t| t.is_settled() && t.heard("x").is_some());
                // Beats go on, and so does their loss.
                t.run_for(if kind == Beat { ms(200) } else { ms(0) });
            });
            assert!(lost >= 1, "no {kind} was lost");
            assert!(t.is_acknowledged("x"), "{count} of {kind}");
            t.assert_same_log(["x"]);
            t.ends_well();
        }
    }
}

/// S17, the messages of an election: the leader dies, and the last one, one round, or more of each
/// kind are lost.
#[test]
fn losing_the_messages_of_an_election_wedges_nothing() {
    use MessageKind::{Accept, Accepted, Beat, Prepare, Promise};
    for kind in [Beat, Prepare, Promise, Accept, Accepted] {
        for count in [1, 2, 3, 6, 12] {
            let mut t = Cluster::of(5).seed(2_100 + u64::from(count)).with_leader();
            let [leader, ..]: [_; 5] = t.by_role();
            t.decide(["a"]);
            t.settle();
            let patience = Duration::from_nanos(6 * t.election_nanos());
            let lost = losing(&mut t, (count, kind), patience, |t| {
                t.crash(leader);
                t.run_until(|t| t.leader().is_some());
            });
            assert_eq!(lost, u64::from(count), "{kind}");
            t.assert_same_log(["a"]);
            t.ends_well();
        }
    }
}

/// S17, refusals: a deposed leader comes back, and whatever tells it so first is lost.
#[test]
fn losing_the_refusals_of_a_deposed_leader_wedges_nothing() {
    for count in [1, 2, 3, 6] {
        // It would step down by itself before anybody has to refuse it.
        let patient = |o: &mut synod_sim::Options| o.timeouts.step_down = ms(60_000);
        let mut t = Cluster::of(5).with(patient).seed(2_150 + u64::from(count)).with_leader();
        let [old, b, ..]: [_; 5] = t.by_role();
        t.isolate(old);
        t.propose(old, ["x"]);
        t.elect(b);
        t.propose(b, ["y"]);
        t.run_until(|t| t.is_acknowledged("y"));
        assert!(t.leads(old));
        let patience = Duration::from_nanos(2 * t.election_nanos());
        let lost = losing(&mut t, (count, MessageKind::Nack), patience, Cluster::heal);
        assert!(lost >= 1, "nobody refused anything");
        assert!(t.leads(b) && !t.leads(old));
        t.ends_well();
    }
}

/// S17, the messages of catching up: a member returns, nobody says anything new, and the last one
/// or more of each kind are lost.
#[test]
fn losing_the_messages_of_catching_up_wedges_nothing() {
    use MessageKind::{Beat, Learn, Learned};
    for kind in [Learn, Learned, Beat] {
        for count in [1, 2, 3, 10] {
            let mut t = Cluster::of(3).seed(2_200 + u64::from(count)).with_leader();
            let [leader, _, c] = t.by_role();
            t.isolate(c);
            // More than the window holds, when it must be read from the log.
            let many = if matches!(kind, Learn | Learned) { 300 } else { 4 };
            for round in 0..many {
                t.propose(leader, [format!("v{round}").as_str()]);
                t.run_for(ms(2));
            }
            t.run_for(ms(2_000));
            t.heal();
            let patience = t.world().options().timeouts.resend * (6 + 2 * count.min(4));
            let lost = losing(&mut t, (count, kind), patience, |_| ());
            assert!(lost >= 1, "no {kind} was lost");
            assert_eq!(t.log(c).len(), many);
            t.assert_one_log();
            t.ends_well();
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
    t.ends_well();
}

/// S48, as far as the log is never cut short: a member comes back under full load, much further
/// behind than the window. It joins the quorum in bounded time, and the others beat on meanwhile.
#[test]
fn a_laggard_joins_the_quorum_under_full_load() {
    let mut t = Cluster::of(3).seed(2_350).with_leader();
    let [leader, b, c] = t.by_role();
    t.crash(c);
    let mut sent = 0;
    let mut load = |t: &mut Cluster, rounds: u32| {
        for _ in 0..rounds {
            t.propose(leader, [format!("v{sent}").as_str()]);
            sent += 1;
            t.run_for(ms(1));
        }
    };
    load(&mut t, 3_000);
    let leaders = t.world().stats().leaders;
    t.restart(c);
    let limit = t.now().plus(4 * t.election_nanos());
    let window = t.world().options().limits.window as u64;
    while t.decided(c).plus(window) < t.decided(leader) {
        assert!(t.now() < limit, "it is at {} of {}", t.decided(c), t.decided(leader));
        load(&mut t, 10);
    }
    // From here on it is needed.
    t.crash(b);
    load(&mut t, 100);
    t.propose(leader, ["last"]);
    t.within_timeouts(1, |t| t.is_acknowledged("last"));
    assert_eq!(t.world().stats().leaders, leaders, "catching up cost the leader its quorum");
    t.restart(b);
    t.settle();
    t.assert_one_log();
    t.ends_well();
}

/// S48, the sender dies in the middle: the member goes on with another one where it was.
#[test]
fn catching_up_survives_the_sender() {
    for seed in 0..8 {
        let mut t = Cluster::of(3).seed(2_360 + seed).with_leader();
        let [leader, b, c] = t.by_role();
        t.crash(c);
        for round in 0..1_000 {
            t.propose(leader, [format!("v{round}").as_str()]);
            t.run_for(ms(1));
        }
        t.run_until(|t| t.is_acknowledged("v999") && t.decided(b) == t.decided(leader));
        let end = t.decided(leader);
        t.restart(c);
        t.run_until(|t| t.decided(c).0 > end.0 / 3);
        let there = t.decided(c);
        assert!(there < end);
        t.crash(leader);
        let learned = t.hold(b, c, MessageKind::Learned);
        t.run_for(ms(1_000));
        assert!(t.decided(c).0 >= there.0, "it forgot what it had");
        t.release(learned);
        t.within_timeouts(6, |t| t.decided(c) >= end);
        t.restart(leader);
        t.settle();
        assert_eq!(t.log(c).len(), 1_000);
        t.assert_one_log();
        t.ends_well();
    }
}

/// One client at `at` that asks every 100 ms for so many minutes; how long the slowest answer
/// took, in nanoseconds.
fn slowest_in(minutes: u32, t: &mut Cluster, at: MemberIndex) -> u64 {
    let mut slowest = 0;
    for round in 0..600 * minutes {
        let value = format!("v{round}");
        let start = t.now();
        t.propose(at, [value.as_str()]);
        t.run_until(|t| t.is_acknowledged(&value));
        slowest = slowest.max(t.now().0 - start.0);
        t.run_for(ms(100).saturating_sub(Duration::from_nanos(t.now().0 - start.0)));
    }
    slowest
}

/// S53: a member that nobody reaches for ten minutes of load, and that is heard all the while (its
/// links take everything and deliver nothing), costs the others nothing. What waits for it is at
/// most a window of decrees. When it returns it is fed from the log.
#[test]
fn an_unreachable_member_costs_the_others_nothing() {
    let calm = {
        let mut t = Cluster::of(3).seed(2_400).with_leader();
        let [leader, _, _] = t.by_role();
        slowest_in(1, &mut t, leader)
    };
    let mut t = Cluster::of(3).seed(2_400).with_leader();
    let [leader, b, c] = t.by_role();
    let leaders = t.world().stats().leaders;
    let accepts = t.hold([leader, b], c, MessageKind::Accept);
    let learned = t.hold([leader, b], c, MessageKind::Learned);
    let rest = t.hold([leader, b], c, Kinds::ALL);
    let slowest = slowest_in(10, &mut t, leader);
    assert!(slowest <= calm * 2, "one request took {slowest} ns, and {calm} without the fault");
    let window = t.world().options().limits.window;
    let waiting = t.held(accepts) + t.held(learned);
    assert!(waiting <= window, "{waiting} messages with decrees wait for one that reads nothing");
    assert!(t.leads(leader));
    assert_eq!(t.world().stats().leaders, leaders);
    for held in [accepts, learned, rest] {
        t.discard(held);
    }
    t.settle();
    assert_eq!(t.log(c).len(), 6_000);
    t.assert_one_log();
    t.ends_well();
}

/// S59 (R6), as far as nothing is trimmed: what a campaigner lacks and its quorum has decided it
/// learns first. It does not lead before, and proposes nothing there.
#[test]
fn what_others_decided_long_ago_is_learned_not_proposed() {
    let mut t = Cluster::of(3).seed(2_500).with_leader();
    let [r1, r2, r3] = t.by_role();
    t.decide(["a"]);
    t.settle();
    let behind = t.decided(r3);
    t.crash(r3);
    for round in 0..200 {
        t.propose(r1, [format!("v{round}").as_str()]);
        t.run_for(ms(2));
    }
    t.run_until(|t| t.is_acknowledged("v199") && t.decided(r2) == t.decided(r1));
    let end = t.decided(r2);
    // Nobody brings r3 up to date before it campaigns, and r2 does not campaign itself.
    let held = t.hold([r1, r2], r3, [MessageKind::Learned, MessageKind::Accept]);
    t.crash(r1);
    t.restart(r3);
    let prepares = t.hold(r2, r3, MessageKind::Prepare);
    t.run_until(|t| t.standing(r3) == Some(Standing::Preparing));
    let limit = t.now().plus(4 * t.election_nanos());
    while t.now() < limit {
        t.step();
        assert!(!t.leads(r3), "it leads below what is decided");
    }
    assert!(t.decided(r3) <= behind);
    t.discard(prepares);
    t.release(held);
    t.elect(r3);
    assert!(t.decided(r3) >= end);
    t.decide(["z"]);
    t.restart(r1);
    t.settle();
    assert_eq!(t.log(r3).len(), 202);
    t.assert_one_log();
    let owner = t.world().node(r3).id;
    let images = t.world().checkers().images();
    for slot in (0..end.0).map(Slot) {
        let mine = images.votes(slot).iter().any(|votes| votes.ballot.node == owner);
        assert!(!mine, "it proposed in slot {slot}, which was decided");
    }
    t.ends_well();
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
        t.ends_well();
    }
}
