//! Three services and no trouble: one outcome each, one order for all, batches, brackets.

mod service_cluster;

use bytes::Bytes;
use service_cluster::Cluster;
use synod_core::service::{Outcome, Request};

#[test]
fn requests_of_every_member_are_applied_once_and_in_order() {
    let mut t = Cluster::of(3);
    t.elect();
    let mut ids = Vec::new();
    for round in 0..20 {
        for place in 0..3 {
            ids.push((place, t.submit(place, &format!("{place}:{round:02}"))));
        }
        if round % 5 == 0 {
            t.step();
        }
    }
    t.run_until(|t| ids.iter().all(|(place, id)| t.is_applied(*place, *id)));
    t.run_until(|t| (0..3).all(|place| t.journal(place).len() == 60));
    t.assert_same_journals();
    for place in 0..3 {
        let prefix = format!("{place}:");
        let own: Vec<String> =
            t.journal(0).into_iter().filter(|line| line.starts_with(&prefix)).collect();
        assert!(own.is_sorted(), "A3: {own:?}");
        assert_eq!(own.len(), 20);
        assert_eq!(t.service(place).status().digest, t.service(0).status().digest);
        assert_eq!(t.service(place).status().counters.applied, 20, "its own, each once");
    }
}

#[test]
fn a_reply_names_slot_and_leadership() {
    let mut t = Cluster::of(3);
    let (leader, others) = t.elect();
    let ballot = t.service(leader).replica().leader().expect("it leads");
    let id = t.submit(others[0], "x");
    t.run_until(|t| t.is_applied(others[0], id));
    let (at, _) = t.service(others[0]).machine().lines[0];
    let applied = Outcome::Applied { reply: 1, slot: at.slot, ballot };
    assert_eq!(t.outcome(others[0], id), Some(applied));
}

#[test]
fn what_piles_up_shares_a_decree_and_exclusive_requests_do_not() {
    let mut t = Cluster::of(3);
    let (leader, _) = t.elect();
    t.run_until(|t| t.service(leader).machine().decrees.len() == 1);
    for number in 0..10 {
        let exclusive = number == 4 || number == 5;
        let request = Request { exclusive, ..Request::new(Bytes::from(vec![b'a' + number])) };
        t.offer(leader, request).expect("there is room");
    }
    t.drain(leader);
    t.run_until(|t| t.service(leader).is_drained());
    assert_eq!(t.service(leader).machine().sizes(), [4, 1, 1, 4]);
    assert_eq!(t.journal(leader).concat(), "abcdefghij");
}
