//! Tests of the queue and its cursors.

use alloc::vec::Vec;

use super::super::batch::DECREE_HEAD_BYTES;
use super::*;
use crate::NodeId;

const B1: Ballot = Ballot { round: 1, node: NodeId(1) };
const B2: Ballot = Ballot { round: 2, node: NodeId(2) };

fn queue(texts: &[&'static str]) -> Pending {
    let limits = ServiceLimits { requests_pending_max: 8, ..ServiceLimits::default() };
    let mut pending = Pending::new(limits);
    for text in texts {
        pending.push(Instant(1), request(text)).expect("there is room");
    }
    pending
}

fn request(text: &'static str) -> Request {
    Request::new(Bytes::from_static(text.as_bytes()))
}

/// Sends everything that is queued, and returns it.
fn send(pending: &mut Pending, ballot: Ballot) -> Vec<(u64, Bytes)> {
    let mut sent = Vec::new();
    let mut end = pending.sent();
    while let Some((number, entry)) = pending.peek(end, ballot) {
        sent.push((number, Bytes::copy_from_slice(entry.body())));
        end = number + 1;
    }
    pending.mark_sent(end, ballot);
    sent
}

/// A decree with one request was applied.
fn applied(pending: &mut Pending, number: u64, ballot: Ballot) -> bool {
    let mut settling = pending.settle(ballot);
    let waits = settling.take(number);
    settling.end();
    waits
}

fn numbers(sent: &[(u64, Bytes)]) -> Vec<u64> {
    sent.iter().map(|(number, _)| *number).collect()
}

fn ended(pending: &mut Pending) -> Vec<(u64, Ended)> {
    core::iter::from_fn(|| pending.pop_ended()).map(|(id, ended)| (id.0, ended)).collect()
}

#[test]
fn requests_leave_in_the_order_of_their_numbers() {
    let mut pending = queue(&["a", "bb", "ccc"]);
    assert_eq!(numbers(&send(&mut pending, B1)), [1, 2, 3]);
    assert_eq!(pending.in_doubt(), Load { requests: 3, bytes: 6 });
    for number in 1..=3 {
        assert!(applied(&mut pending, number, B1));
        assert!(!applied(&mut pending, number, B1), "A1: one outcome");
    }
    assert!(pending.is_drained());
    assert_eq!((pending.live(), pending.in_doubt()), (Load::default(), Load::default()));
}

#[test]
fn nothing_is_offered_in_two_ballots_at_a_time() {
    let mut pending = queue(&["a", "b"]);
    send(&mut pending, B1);
    assert!(pending.may_offer_in(B1));
    assert!(!pending.may_offer_in(B2));
    assert_eq!(pending.offer_again(), 2);
    assert!(pending.may_offer_in(B2));
    pending.push(Instant(1), request("c")).expect("there is room");
    assert_eq!(numbers(&send(&mut pending, B2)), [1, 2, 3]);
    assert!(!pending.may_offer_in(B1), "ballots never go back");
}

#[test]
fn ballots_do_not_go_back_behind_an_unknown_outcome() {
    let mut pending = queue(&["a"]);
    send(&mut pending, B2);
    pending.give_up();
    assert_eq!(ended(&mut pending), [(1, Ended::Unknown(B2))]);
    // The request may yet be applied in B2, and what is offered in B1 must not come after it.
    assert!(!pending.may_offer_in(B1));
    assert!(pending.may_offer_in(B2));
}

#[test]
fn what_was_lost_is_sent_again_in_the_same_ballot_and_stays_in_doubt() {
    let mut pending = queue(&["a", "b", "c"]);
    send(&mut pending, B1);
    pending.rewind_behind(1);
    assert_eq!(pending.in_doubt().requests, 3);
    assert!(!pending.may_offer_in(B2));
    assert_eq!(numbers(&send(&mut pending, B1)), [2, 3]);
    assert_eq!(pending.in_doubt().requests, 3);
    assert!(applied(&mut pending, 1, B1));
    pending.rewind_behind(0);
    assert_eq!(numbers(&send(&mut pending, B1)), [2, 3], "what is applied is not sent again");
}

#[test]
fn a_deadline_refuses_what_is_queued_and_leaves_in_doubt_what_is_sent() {
    let mut pending = queue(&["a"]);
    let grain = GRAIN_NANOS;
    let soon = Request { deadline: Some(Instant(5 * grain - 1)), ..request("b") };
    let later = Request { deadline: Some(Instant(7 * grain)), ..request("c") };
    pending.push(Instant(1), soon.clone()).expect("there is room");
    send(&mut pending, B1);
    pending.push(Instant(1), later).expect("there is room");
    pending.push(Instant(1), soon).expect("there is room");
    assert_eq!(pending.deadline(), Instant(5 * grain));
    pending.expire(Instant(5 * grain - 1), Why::NoLeader);
    assert_eq!(ended(&mut pending), []);
    pending.expire(Instant(5 * grain), Why::NoLeader);
    let expected = [(2, Ended::Unknown(B1)), (4, Ended::Refused(Why::NoLeader))];
    assert_eq!(ended(&mut pending), expected);
    assert_eq!(pending.deadline(), Instant(7 * grain));
    // The one that was given up may be applied all the same; nobody is told.
    assert!(applied(&mut pending, 1, B1));
    assert!(!applied(&mut pending, 2, B1));
    assert_eq!(numbers(&send(&mut pending, B1)), [3]);
}

#[test]
fn a_request_for_another_leadership_is_refused_on_the_way() {
    let mut pending = queue(&["a"]);
    let guarded = Request { only_in: Some(B2), ..request("b") };
    pending.push(Instant(1), guarded.clone()).expect("there is room");
    pending.push(Instant(1), request("c")).expect("there is room");
    assert_eq!(numbers(&send(&mut pending, B1)), [1, 3]);
    assert_eq!(ended(&mut pending), [(2, Ended::Refused(Why::OtherBallot(B1)))]);
    pending.push(Instant(1), guarded).expect("there is room");
    pending.offer_again();
    assert_eq!(numbers(&send(&mut pending, B2)), [1, 3, 4]);
}

#[test]
fn places_are_used_again_when_the_oldest_has_its_outcome() {
    let mut pending = queue(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    send(&mut pending, B1);
    for number in 1..=100 {
        let back = pending.push(Instant(1), request("x")).expect_err("eight are the limit");
        assert_eq!(back, request("x"));
        assert!(applied(&mut pending, number, B1));
        let id = pending.push(Instant(1), request("y")).expect("there is room");
        assert_eq!(id, RequestId(number + 8));
        assert_eq!(numbers(&send(&mut pending, B1)), [number + 8]);
    }
    assert_eq!(pending.live(), Load { requests: 8, bytes: 8 });
}

#[test]
fn refusing_what_is_queued_leaves_alone_what_is_sent() {
    let mut pending = queue(&["a"]);
    send(&mut pending, B1);
    pending.push(Instant(1), request("b")).expect("there is room");
    pending.refuse_queued(Why::ShuttingDown);
    assert_eq!(ended(&mut pending), [(2, Ended::Refused(Why::ShuttingDown))]);
    assert!(!pending.is_drained());
    assert!(applied(&mut pending, 1, B1));
    assert!(pending.is_drained());
}

#[test]
fn only_numbers_in_the_queue_have_an_entry() {
    let mut pending = queue(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    let held = |pending: &Pending| (1..40).filter(|at| pending.entry(*at).is_some()).count();
    assert_eq!(held(&pending), 8, "a full ring holds each place once");
    send(&mut pending, B1);
    for number in 1..=8 {
        assert!(applied(&mut pending, number, B1));
    }
    pending.push(Instant(1), request("i")).expect("there is room");
    assert_eq!(held(&pending), 1, "places are used again, numbers are not");
    assert_eq!(pending.entry(9).map(Entry::body), Some(&b"i"[..]));
}

#[test]
fn a_full_queue_is_gathered_once_around() {
    let mut pending = queue(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    let mut numbers = Vec::new();
    let mut share = Share::new(&ServiceLimits::default());
    let gathered = pending.gather(B1, &mut share, |number, body| {
        assert_eq!(body.len(), 1);
        numbers.push(number);
    });
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((gathered.end, gathered.load), (9, Load { requests: 8, bytes: 8 }));
}

#[test]
fn no_more_bytes_are_gathered_than_a_decree_may_have() {
    let text = "twenty bytes of text";
    let two = DECREE_HEAD_BYTES + 2 * (REQUEST_HEAD_BYTES + text.len());
    for (most, expected) in [(two - 1, 1), (two, 2), (two + 1, 2), (0, 1)] {
        let mut pending = queue(&[text, text, text]);
        let limits = ServiceLimits { batch_bytes_max: most, ..ServiceLimits::default() };
        let mut share = Share::new(&limits);
        let gathered = pending.gather(B1, &mut share, |_, _| {});
        assert_eq!(gathered.load, Load { requests: expected, bytes: expected * text.len() });
    }
}

#[test]
fn a_segment_gets_room_for_what_waits() {
    let mut pending = queue(&["a", "bb", "cccc"]);
    let heads = |requests| SEGMENT_HEAD_BYTES + requests * REQUEST_HEAD_BYTES;
    assert_eq!(pending.unsent_bytes(1000), heads(3) + 7);
    assert_eq!(pending.unsent_bytes(20), SEGMENT_HEAD_BYTES + 20);
    assert_eq!(pending.unsent_bytes(0), heads(1) + 1, "the first goes, however large");
    pending.mark_sent(3, B1);
    assert_eq!(pending.unsent_bytes(1000), heads(1) + 4, "what was sent needs none");
}
