//! What the network does to messages, it does as often as asked, and to no others.

use super::*;

fn envelope(number: u64) -> Envelope {
    Envelope {
        number,
        from: MemberIndex(0),
        to: MemberIndex(1),
        kind: MessageKind::Accept,
        frame: Bytes::from_static(b"frame"),
        made: Made::Honest,
    }
}

fn sound() -> Network {
    Network::new(3, NetworkOptions::default().sound(), 1)
}

#[test]
fn a_cut_has_a_direction() {
    let mut network = sound();
    let mut arrivals = Vec::new();
    network.set_cut(MemberIndex(1), MemberIndex(0), true);
    assert_eq!(network.send(Moment::ZERO, envelope(1), &mut arrivals), Fate::Sent);
    network.set_cut(MemberIndex(0), MemberIndex(1), true);
    assert_eq!(network.send(Moment::ZERO, envelope(2), &mut arrivals), Fate::Cut);
    assert!(!network.arrive(&envelope(1)), "cut while it was under way");
    network.heal();
    assert!(network.arrive(&envelope(1)));
    assert_eq!(arrivals.len(), 1);
}

#[test]
fn what_a_rule_copies_arrives_and_comes_once_more() {
    let mut network = sound();
    let (from, to) = (NodeSet::first(1), NodeSet::first(3));
    let rule = network.add_rule(from, to, Kinds::of(MessageKind::Accept), Verdict::Copy(2));
    let mut arrivals = Vec::new();
    for number in 1..4 {
        let fate = network.send(Moment::ZERO, envelope(number), &mut arrivals);
        assert_eq!(fate, Fate::Sent);
    }
    assert_eq!(arrivals.len(), 3, "all arrive");
    network.close_rule(rule);
    network.send(Moment::ZERO, envelope(4), &mut arrivals);
    arrivals.clear();
    network.release(Moment::ZERO, rule, Release::InOrder, &mut arrivals);
    let again: Vec<u64> = arrivals.iter().map(|(_, envelope)| envelope.number).collect();
    assert_eq!(again, [1, 2], "so many were copied");
}

#[test]
fn what_a_rule_holds_comes_back_in_order() {
    let mut network = sound();
    let (from, to) = (NodeSet::first(1), NodeSet::first(3));
    let rule = network.add_rule(from, to, Kinds::of(MessageKind::Accept), Verdict::Hold);
    let mut arrivals = Vec::new();
    for number in 1..4 {
        let fate = network.send(Moment::ZERO, envelope(number), &mut arrivals);
        assert_eq!(fate, Fate::Held);
    }
    assert!(arrivals.is_empty());
    let held: Vec<u64> = network.remove_rule(rule).iter().map(|e| e.number).collect();
    assert_eq!(held, [1, 2, 3]);
    assert_eq!(network.send(Moment::ZERO, envelope(4), &mut arrivals), Fate::Sent);
}

#[test]
fn what_is_let_go_comes_in_its_order_or_in_another() {
    for (order, sorted) in [(Release::InOrder, true), (Release::Shuffled, false)] {
        let mut network = sound();
        let everyone = NodeSet::first(3);
        let rule = network.add_rule(everyone, everyone, Kinds::ALL, Verdict::Hold);
        let mut arrivals = Vec::new();
        for number in 0..20 {
            network.send(Moment::ZERO, envelope(number), &mut arrivals);
        }
        network.release(Moment(5), rule, order, &mut arrivals);
        arrivals.sort_by_key(|(at, _)| *at);
        assert_eq!(arrivals.len(), 20);
        assert_eq!(arrivals.is_sorted_by_key(|(_, envelope)| envelope.number), sorted);
    }
}

#[test]
fn uneven_links_keep_their_ways_until_all_is_healed() {
    let options = NetworkOptions {
        uneven_ppm: 1_000_000,
        tail_nanos: 1_000_000_000,
        ..NetworkOptions::default()
    };
    let mut network = Network::new(3, options, 2);
    let lost = |network: &mut Network| {
        let before = network.counts().lost;
        let mut arrivals = Vec::new();
        for number in 0..1_000 {
            network.send(Moment::ZERO, envelope(number), &mut arrivals);
        }
        let slow = arrivals.iter().filter(|(at, _)| at.0 > 50_000_000).count();
        (network.counts().lost - before, slow)
    };
    let (first, slow) = lost(&mut network);
    assert!(first > 10 && slow > 100, "{first} {slow}");
    network.mend();
    assert!(lost(&mut network).0 > 10);
    network.heal();
    assert_eq!(lost(&mut network), (0, 0));
}

#[test]
fn a_drop_rule_lapses() {
    let mut network = sound();
    let everyone = NodeSet::first(3);
    network.add_rule(everyone, everyone, Kinds::ALL, Verdict::Drop(2));
    let mut arrivals = Vec::new();
    let fates = [1, 2, 3].map(|n| network.send(Moment::ZERO, envelope(n), &mut arrivals));
    assert_eq!(fates, [Fate::Dropped, Fate::Dropped, Fate::Sent]);
}

#[test]
fn a_clogged_link_releases_in_a_burst() {
    let mut network = sound();
    network.clog(MemberIndex(0), MemberIndex(1), Moment(1_000_000_000));
    let mut arrivals = Vec::new();
    for number in 0..10 {
        network.send(Moment::ZERO, envelope(number), &mut arrivals);
    }
    assert_eq!(arrivals.len(), 10);
    assert!(arrivals.iter().all(|(at, _)| *at >= Moment(1_000_000_000)));
}

#[test]
fn loss_doubling_replay_and_damage_happen_as_often_as_asked() {
    let options = NetworkOptions {
        loss_ppm: 200_000,
        double_ppm: 100_000,
        replay_ppm: 100_000,
        damage_ppm: 100_000,
        ..NetworkOptions::default()
    };
    let mut network = Network::new(3, options, 9);
    let mut arrivals = Vec::new();
    for number in 0..10_000 {
        network.send(Moment(number), envelope(number), &mut arrivals);
        for (_, envelope) in arrivals.drain(..) {
            network.arrive(&envelope);
        }
    }
    let counts = network.counts();
    assert!((1_800..2_200).contains(&counts.lost), "{counts:?}");
    assert!((1_300..1_900).contains(&counts.doubled), "{counts:?}");
    assert!((600..1_000).contains(&counts.damaged), "{counts:?}");
}
