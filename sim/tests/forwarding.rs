//! Requests that are handed on to a leader: never late, never doubled, never out of order.

use synod_sim::kinds::MessageKind;
use synod_sim::ms;
use synod_sim::scenario::Cluster;

/// S64 (R14): a forward that was delayed past a change of leaders is not applied after the
/// caller's next request. Also when its first addressee leads again: that is another leadership.
#[test]
fn a_late_forward_does_not_overtake_backwards() {
    for seed in 0..20 {
        let leads_again = seed % 2 == 0;
        let mut t = Cluster::of(3).seed(3_000 + seed).with_leader();
        let [r1, r2, r3] = t.by_role();
        let held = t.hold(r2, r1, MessageKind::Forward);
        t.propose(r2, ["1"]);
        t.run_for(ms(20));
        assert!(t.held(held) > 0, "the request was handed on");
        t.isolate(r1);
        t.elect(r3);
        t.propose(r2, ["2"]);
        t.run_until(|t| t.is_acknowledged("2"));
        t.heal();
        if leads_again {
            t.isolate(r3);
            t.elect(r1);
            t.heal();
        }
        t.release(held);
        t.propose(r2, ["3"]);
        t.run_until(|t| t.is_acknowledged("3"));
        t.settle();
        t.assert_one_log();
        let [first, second, third] = ["1", "2", "3"].map(|value| t.slot_of(value));
        assert!(first.is_none_or(|first| Some(first) < second), "{first:?} and {second:?}");
        assert!(second < third);
        assert!(t.heard("1").is_some());
        t.ends_well();
    }
}

/// A forward that comes twice is taken once.
#[test]
fn a_doubled_forward_is_applied_once() {
    let mut t = Cluster::of(3).with(|o| o.network.double_ppm = 1_000_000).seed(3_100).with_leader();
    let [_, b, c] = t.by_role();
    for round in 0..50 {
        t.propose(b, [format!("b{round}").as_str()]);
        t.propose(c, [format!("c{round}").as_str()]);
        t.run_for(ms(3));
    }
    t.settle();
    t.assert_one_log();
    assert_eq!(t.log(b).len(), 100);
    t.ends_well();
}

/// Forwards that overtake each other are applied in the order of submission.
#[test]
fn forwards_that_overtake_each_other_keep_their_order() {
    let slow = |o: &mut synod_sim::Options| {
        o.network.delay_nanos = 20_000_000;
        o.service.batch_requests_max = 4;
    };
    let mut t = Cluster::of(3).with(slow).seed(3_200).with_leader();
    let [_, b, _] = t.by_role();
    for round in 0..100 {
        t.propose(b, [format!("v{round}").as_str()]);
        t.run_for(ms(1));
    }
    t.settle();
    let expected: Vec<String> = (0..100).map(|round| format!("v{round}")).collect();
    t.assert_same_log(expected.iter().map(String::as_str));
    t.ends_well();
}

/// A request that no leader can be found for is refused for certain when its time is up, and is
/// never applied.
#[test]
fn without_a_leader_a_request_is_refused_in_time() {
    let patience = |o: &mut synod_sim::Options| o.service.request_timeout = ms(1_000);
    let mut t = Cluster::of(3).with(patience).seed(3_300).with_leader();
    let [a, b, c] = t.by_role();
    t.cut(a, [b, c]);
    t.cut(b, c);
    t.run_until(|t| !t.leads(a));
    t.run_for(ms(1_000));
    t.propose(b, ["x"]);
    t.run_for(ms(1_500));
    assert_eq!(t.heard("x"), Some(synod_sim::checkers::Heard::Refused));
    t.heal();
    t.settle();
    t.assert_one_log();
    assert!(t.log(b).is_empty());
    t.ends_well();
}
