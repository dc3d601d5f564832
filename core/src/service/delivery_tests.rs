//! Tests of the rule that keeps leaderships apart, and of the ways into the state machine.

use alloc::string::String;
use alloc::vec;

use bytes::BytesMut;

use super::super::batch::Writer;
use super::*;
use crate::{Ballot, Boot, Incarnation, NodeId};

const B1: Ballot = Ballot { round: 1, node: NodeId(1) };
const B2: Ballot = Ballot { round: 2, node: NodeId(2) };
const B3: Ballot = Ballot { round: 3, node: NodeId(1) };
const ORIGIN: Origin = Origin { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };

#[derive(Default)]
struct Text(String);

impl StateMachine for Text {
    type Reply = usize;

    fn apply(&mut self, _at: At, request: &[u8]) -> usize {
        self.0.push_str(core::str::from_utf8(request).expect("text"));
        self.0.len()
    }

    fn before_decree(&mut self, _at: At) {
        self.0.push('(');
    }

    fn after_decree(&mut self, _at: At) {
        self.0.push(')');
    }
}

fn decree(ballot: Ballot, previous: Option<u64>, requests: &[(u64, &str)]) -> Kind<Bytes> {
    let mut out = BytesMut::new();
    let mut writer = Writer::decree(&mut out, Head { ballot, previous: previous.map(Slot) });
    if let Some((first, _)) = requests.first() {
        writer.segment(ORIGIN, *first);
        requests.iter().for_each(|(number, text)| writer.request(*number, text.as_bytes()));
        writer.end_segment(requests.len());
    }
    writer.end_decree();
    Kind::App(out.freeze())
}

/// Decrees from slot `first` on. The ballot they were chosen in does not matter.
fn chosen(first: u64, decrees: Vec<Kind<Bytes>>) -> Vec<Proposal<Bytes>> {
    let slots = (first..).map(Slot);
    slots.zip(decrees).map(|(slot, decree)| Proposal { slot, ballot: B3, decree }).collect()
}

/// Applies the decree that is open, and opens the next.
fn step(delivery: &mut Delivery, machine: &mut Text) -> Step {
    delivery.apply_open(machine, ORIGIN, |_, _| {});
    delivery.open_next(machine)
}

/// Applies everything at hand; how many decrees were void or malformed.
fn run(delivery: &mut Delivery, machine: &mut Text) -> (usize, usize) {
    let (mut void, mut malformed) = (0, 0);
    while !delivery.is_idle() {
        match step(delivery, machine) {
            Step::Void => void += 1,
            Step::Malformed => malformed += 1,
            Step::Idle | Step::Reached(_) | Step::Opened(_) => {}
        }
    }
    (void, malformed)
}

fn apply(decrees: Vec<Kind<Bytes>>) -> (String, (usize, usize)) {
    let (mut delivery, mut machine) = (Delivery::new(None), Text::default());
    let end = decrees.len() as u64;
    delivery.take(&chosen(0, decrees));
    let counts = run(&mut delivery, &mut machine);
    assert_eq!(delivery.applied(), Slot(end), "also what has no effect counts as applied");
    (machine.0, counts)
}

#[test]
fn decrees_of_one_leadership_follow_each_other() {
    let decrees = vec![
        Kind::Noop,
        decree(B1, None, &[]),
        decree(B1, Some(1), &[(1, "a"), (2, "b")]),
        Kind::Noop,
        decree(B1, Some(2), &[(3, "c")]),
    ];
    assert_eq!(apply(decrees), (String::from("()(ab)(c)"), (0, 0)));
}

#[test]
fn a_decree_whose_predecessor_is_missing_is_void_and_so_is_what_follows() {
    let decrees = vec![
        decree(B1, None, &[]),
        Kind::Noop, // took the slot of request 1
        decree(B1, Some(1), &[(2, "b")]),
        decree(B1, Some(2), &[(3, "c")]),
    ];
    assert_eq!(apply(decrees), (String::from("()"), (2, 0)));
}

#[test]
fn a_decree_behind_a_later_leadership_is_void() {
    let decrees = vec![
        decree(B1, None, &[]),
        decree(B1, Some(0), &[(1, "a")]),
        decree(B2, None, &[]),
        decree(B2, Some(2), &[(2, "b")]),
        decree(B1, Some(1), &[(3, "x")]),
        decree(B1, None, &[]),
        decree(B2, Some(3), &[(4, "d")]),
    ];
    assert_eq!(apply(decrees), (String::from("()(a)()(b)(d)"), (2, 0)));
}

#[test]
fn a_predecessor_is_one_of_the_same_leadership_and_a_leadership_opens_once() {
    let decrees = vec![
        decree(B1, None, &[]),
        // Slot 0 is where its predecessor was, and is another's.
        decree(B2, Some(0), &[(1, "x")]),
        decree(B1, None, &[(1, "y")]),
        decree(B1, Some(0), &[(1, "a")]),
    ];
    assert_eq!(apply(decrees), (String::from("()(a)"), (2, 0)));
}

#[test]
fn a_leadership_whose_opening_is_missing_has_no_effect() {
    let decrees = vec![
        decree(B1, Some(7), &[(1, "x")]),
        decree(B1, None, &[]),
        decree(B2, Some(0), &[(1, "y")]),
        decree(B1, Some(1), &[(1, "a")]),
    ];
    assert_eq!(apply(decrees), (String::from("()(a)"), (2, 0)));
}

#[test]
fn a_decree_that_cannot_be_read_is_applied_as_nothing() {
    let decrees = vec![
        decree(B1, None, &[]),
        Kind::App(Bytes::from_static(b"garbage")),
        Kind::App(Bytes::new()),
        decree(B1, Some(0), &[(1, "a")]),
    ];
    assert_eq!(apply(decrees), (String::from("()(a)"), (0, 2)));
}

#[test]
fn own_requests_are_answered_in_order_and_the_end_is_told_once() {
    let other = Origin { node: NodeId(2), ..ORIGIN };
    for (own, expected) in [(ORIGIN, vec![(5, 2), (7, 3)]), (other, vec![])] {
        let (mut delivery, mut machine) = (Delivery::new(None), Text::default());
        delivery.take(&chosen(0, vec![decree(B1, None, &[(5, "a"), (7, "b")])]));
        let at = At { slot: Slot(0), ballot: B1 };
        let mut answers = Vec::new();
        let mut step = || {
            delivery.apply_open(&mut machine, own, |number, reply| answers.push((number, reply)));
            delivery.open_next(&mut machine)
        };
        assert!(matches!(step(), Step::Opened(found) if found == at));
        assert!(matches!(step(), Step::Reached(Slot(1))));
        assert!(matches!(step(), Step::Idle));
        assert_eq!(answers, expected);
        assert_eq!(delivery.last(), Some(at));
        assert_eq!(machine.0, "(ab)");
    }
}

#[test]
fn what_the_state_machine_holds_is_not_applied_again() {
    let last = At { slot: Slot(3), ballot: B2 };
    let (mut delivery, mut machine) = (Delivery::new(Some(last)), Text::default());
    delivery.take(&chosen(2, vec![decree(B2, None, &[]), decree(B2, Some(2), &[(1, "x")])]));
    assert!(matches!(step(&mut delivery, &mut machine), Step::Reached(Slot(4))));
    let decrees = vec![decree(B1, Some(1), &[(1, "y")]), decree(B2, Some(3), &[(2, "b")])];
    delivery.take(&chosen(4, decrees));
    assert_eq!(run(&mut delivery, &mut machine), (1, 0));
    assert_eq!(machine.0, "(b)");
}

#[test]
fn what_is_read_back_comes_in_parts_and_is_told_at_the_end() {
    let (mut delivery, mut machine) = (Delivery::new(None), Text::default());
    delivery.read_back(Slot(0), Slot(3));
    assert_eq!(delivery.pop_question(), Some((Slot(0), Slot(3))));
    assert_eq!(delivery.pop_question(), None, "one question at a time");
    assert!(!delivery.is_at_rest());
    let all = chosen(0, vec![decree(B1, None, &[]), Kind::Noop, Kind::Noop, Kind::Noop]);
    delivery.take_answer(&[]);
    delivery.take_answer(&all[1..]);
    assert!(delivery.is_idle(), "the first slot asked for is not in it");
    delivery.take_answer(&all[..1]);
    assert_eq!(delivery.pop_question(), None, "first what is at hand");
    assert!(matches!(step(&mut delivery, &mut machine), Step::Opened(_)));
    assert!(matches!(step(&mut delivery, &mut machine), Step::Idle));
    assert_eq!(delivery.pop_question(), Some((Slot(1), Slot(3))));
    delivery.take_answer(&all[1..]);
    assert!(
        matches!(step(&mut delivery, &mut machine), Step::Reached(Slot(3))),
        "no more than asked"
    );
    assert!(delivery.is_at_rest());
}
