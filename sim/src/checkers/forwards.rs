//! Bounds of what services hand on to each other (R14): how large a forward is, whom it goes to and
//! how it is numbered, and that nobody is told of more than it ever handed on.

use std::collections::BTreeMap;

use synod_core::service::ServiceMessage;
use synod_core::{Ballot, Limits, MemberIndex, NodeId, NodeSet};

use super::history::Caller;
use crate::violation::{Checked, check};

/// What was handed on so far.
#[derive(Clone, Debug)]
pub struct Forwards {
    members: Vec<NodeId>,
    decree_bytes_max: usize,
    /// The ballot that each caller forwards in, and the number of its last forward.
    lines: BTreeMap<Caller, (Ballot, u64)>,
    /// The highest number that any run of a member gave a forward in a ballot.
    numbers: BTreeMap<(MemberIndex, Ballot), u64>,
    /// The most requests that one run of each member took.
    taken: Vec<u64>,
    /// The leadership of the last decree that each member applied in its present run.
    reached: Vec<Ballot>,
}

impl Forwards {
    /// Nothing handed on yet.
    #[must_use]
    pub fn new(members: &[NodeId], limits: &Limits) -> Self {
        Self {
            members: members.to_vec(),
            decree_bytes_max: limits.decree_bytes_max,
            lines: BTreeMap::new(),
            numbers: BTreeMap::new(),
            taken: vec![0; members.len()],
            reached: vec![Ballot::ZERO; members.len()],
        }
    }

    /// A request was taken; `number` counts those of its caller.
    pub fn on_submit(&mut self, caller: Caller, number: u64) {
        let taken = &mut self.taken[caller.node.place()];
        *taken = number.max(*taken);
    }

    /// A run starts.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.reached[node.place()] = Ballot::ZERO;
    }

    /// `node` has applied a decree of this leadership.
    pub fn on_sealed(&mut self, node: MemberIndex, ballot: Ballot) {
        let reached = &mut self.reached[node.place()];
        *reached = ballot.max(*reached);
    }

    /// A service sends something to another one.
    ///
    /// # Errors
    /// Bounds.
    pub fn on_send(&mut self, by: Caller, to: NodeSet, message: &ServiceMessage) -> Checked {
        let name = message.name();
        let mut receivers = to.iter();
        let (Some(receiver), None) = (receivers.next(), receivers.next()) else {
            check!(Bounds, false, "member {} sends a {name} to {} members", by.node.0, to.len());
            return Ok(());
        };
        match message {
            ServiceMessage::Forward { ballot, number, after, requests } => {
                self.forward(by, receiver, *ballot, *number)?;
                check!(
                    Bounds,
                    requests.len() < self.decree_bytes_max,
                    "member {} forwards {} bytes, and no decree has {}",
                    by.node.0,
                    requests.len(),
                    self.decree_bytes_max
                );
                self.knows(by, by.node, *after, "forwards behind its")
            }
            ServiceMessage::Taken { ballot, number, last } => {
                check!(
                    Bounds,
                    ballot.node == self.members[by.node.place()],
                    "member {} says what was taken in {ballot}, which is not its own",
                    by.node.0
                );
                let most = self.numbers.get(&(receiver, *ballot)).copied().unwrap_or(0);
                check!(
                    Bounds,
                    *number <= most,
                    "member {} answers forward {number} of member {} in {ballot}, of {most}",
                    by.node.0,
                    receiver.0
                );
                self.knows(by, receiver, *last, "says that it took, of another, the")
            }
        }
    }

    /// Forwards go to the owner of their ballot, and are numbered from 1 in each.
    fn forward(&mut self, by: Caller, to: MemberIndex, ballot: Ballot, number: u64) -> Checked {
        check!(
            Bounds,
            ballot.node == self.members[to.place()] && to != by.node,
            "member {} forwards to member {} what is meant for {ballot}",
            by.node.0,
            to.0
        );
        let reached = self.reached[by.node.place()];
        check!(
            Bounds,
            ballot >= reached,
            "member {} forwards in {ballot}, and has applied what {reached} decided: it is in vain",
            by.node.0
        );
        let last = self.lines.insert(by, (ballot, number));
        let next = match last {
            Some((before, last)) if before == ballot => last + 1,
            Some(_) | None => 1,
        };
        check!(
            Bounds,
            number == next && last.is_none_or(|(before, _)| before <= ballot),
            "member {} numbers a forward in {ballot} {number}, after {last:?}",
            by.node.0
        );
        let most = self.numbers.entry((by.node, ballot)).or_default();
        *most = number.max(*most);
        Ok(())
    }

    /// `number` is that of a request that some run of `owner` took.
    fn knows(&self, by: Caller, owner: MemberIndex, number: u64, word: &str) -> Checked {
        let most = self.taken[owner.place()];
        check!(
            Bounds,
            number <= most,
            "member {} {word} request {number}; member {} took {most} at most",
            by.node.0,
            owner.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_core::{Boot, Incarnation};

    use super::*;
    use crate::violation::Property;

    const MEMBERS: [NodeId; 3] = [NodeId(7), NodeId(8), NodeId(9)];
    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    /// A leadership of B.
    const BALLOT: Ballot = Ballot { round: 2, node: NodeId(8) };

    fn caller(node: MemberIndex, boot: u64) -> Caller {
        Caller { node, incarnation: Incarnation(1), boot: Boot(boot) }
    }

    fn forward(ballot: Ballot, number: u64, after: u64, bytes: usize) -> ServiceMessage {
        let requests = Bytes::from(vec![1; bytes]);
        ServiceMessage::Forward { ballot, number, after, requests }
    }

    /// A took two requests and made two forwards to B.
    fn sound() -> Forwards {
        let limits = Limits { decree_bytes_max: 100, ..Limits::default() };
        let mut forwards = Forwards::new(&MEMBERS, &limits);
        let a = caller(A, 1);
        forwards.on_submit(a, 1);
        forwards.on_submit(a, 2);
        for (number, after) in [(1, 0), (2, 1)] {
            let message = forward(BALLOT, number, after, 99);
            forwards.on_send(a, NodeSet::of(B), &message).expect("sound");
        }
        forwards
    }

    fn breaks(by: Caller, to: NodeSet, message: &ServiceMessage) {
        let broken = sound().on_send(by, to, message).expect_err("it is out of bounds");
        assert_eq!(broken.property, Property::Bounds);
    }

    #[test]
    fn forwards_are_numbered_and_go_to_the_leader_they_are_meant_for() {
        let (a, b) = (caller(A, 1), NodeSet::of(B));
        sound().on_send(a, b, &forward(BALLOT, 3, 2, 0)).expect("sound");
        // Another ballot, and another run, begin to count anew.
        let later = Ballot { round: 3, ..BALLOT };
        sound().on_send(a, b, &forward(later, 1, 0, 9)).expect("sound");
        sound().on_send(caller(A, 2), b, &forward(BALLOT, 1, 0, 9)).expect("sound");
        breaks(a, b, &forward(BALLOT, 2, 0, 9));
        breaks(a, b, &forward(BALLOT, 4, 0, 9));
        breaks(a, b, &forward(Ballot { round: 1, ..BALLOT }, 1, 0, 9));
        breaks(a, NodeSet::of(MemberIndex(2)), &forward(BALLOT, 3, 0, 9));
        breaks(a, b.with(A), &forward(BALLOT, 3, 0, 9));
        breaks(caller(B, 1), b, &forward(BALLOT, 1, 0, 9));
    }

    #[test]
    fn nothing_is_forwarded_to_a_leadership_of_the_past() {
        let mut forwards = sound();
        let (a, b) = (caller(A, 1), NodeSet::of(B));
        forwards.on_sealed(A, BALLOT);
        forwards.on_sealed(B, Ballot { round: 9, ..BALLOT });
        forwards.on_send(a, b, &forward(BALLOT, 3, 2, 9)).expect("its leadership goes on");
        forwards.on_sealed(A, Ballot { round: 3, ..BALLOT });
        forwards.on_send(a, b, &forward(BALLOT, 4, 2, 9)).expect_err("it has a successor");
        forwards.on_start(A);
        forwards.on_send(a, b, &forward(BALLOT, 4, 2, 9)).expect("a new run knows of none");
    }

    #[test]
    fn a_forward_fits_a_decree_and_names_what_was_taken() {
        let (a, b) = (caller(A, 1), NodeSet::of(B));
        breaks(a, b, &forward(BALLOT, 3, 2, 100));
        breaks(a, b, &forward(BALLOT, 3, 3, 9));
    }

    #[test]
    fn nobody_is_told_of_more_than_it_handed_on() {
        let (b, a) = (caller(B, 1), NodeSet::of(A));
        let taken = |ballot, number, last| ServiceMessage::Taken { ballot, number, last };
        sound().on_send(b, a, &taken(BALLOT, 2, 2)).expect("sound");
        breaks(b, a, &taken(BALLOT, 3, 2));
        breaks(b, a, &taken(BALLOT, 2, 3));
        breaks(b, a, &taken(Ballot { node: MEMBERS[0], ..BALLOT }, 0, 0));
        breaks(b, NodeSet::of(MemberIndex(2)), &taken(BALLOT, 1, 0));
    }
}
