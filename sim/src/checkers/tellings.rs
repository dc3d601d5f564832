//! Tellings (C4): as soon as a member has made durable what its leader proposed, it tells it so, in
//! the same turn. A vote that nobody hears of costs the leader the time until it asks.
//!
//! Only what is certain from outside is demanded: the member hears that leader, has promised
//! nobody else anything, and its disk holds all slots in that ballot from its mark on.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_core::{
    Ballot, Beat, Body, Instant, MemberIndex, Message, NodeId, Proposal, Record, Slot, WriteId,
};

use super::Taken;
use super::images::Image;
use crate::violation::{Checked, check};

/// What each member has to tell.
#[derive(Clone, Debug)]
pub struct Tellings {
    members: Vec<NodeId>,
    election: Duration,
    nodes: Vec<Follower>,
}

/// What one member has to tell in its present run.
#[derive(Clone, Debug, Default)]
struct Follower {
    /// The highest ballot that it met.
    bound: Ballot,
    /// The leader whose proposals it takes, and when it heard that one last.
    follows: Option<(Ballot, Instant)>,
    /// Slots that it accepted from there, on their way to the disk.
    written: VecDeque<(WriteId, Slot)>,
    /// Those of them that are durable, from what was told on.
    durable: BTreeSet<Slot>,
    /// The end that it told that leader last.
    told: Slot,
}

impl Follower {
    fn forget_slots(&mut self) {
        self.written.clear();
        self.durable.clear();
    }

    /// It meets a ballot: of whoever has a lower one nothing is certain any more.
    fn meet(&mut self, ballot: Ballot) {
        self.bound = self.bound.max(ballot);
        if self.follows.is_some_and(|(leader, _)| leader < ballot) {
            self.follows = None;
            self.forget_slots();
        }
    }

    /// The leader that it follows speaks, or a new one.
    fn hear(&mut self, leader: Ballot, now: Instant) {
        if leader < self.bound {
            return;
        }
        if self.follows.is_none_or(|(known, _)| known != leader) {
            self.forget_slots();
            self.told = Slot::ZERO;
        }
        self.follows = Some((leader, now));
    }

    fn lose(&mut self, gone: impl Fn(Ballot) -> bool) {
        if self.follows.is_some_and(|(leader, _)| gone(leader)) {
            self.follows = None;
            self.forget_slots();
        }
    }

    /// The end of the slots that are durable in one piece from `mark` on, or from what was told.
    fn end(&self, mark: Slot) -> Slot {
        let mut end = mark.max(self.told);
        while self.durable.contains(&end) {
            end = end.next();
        }
        end
    }
}

impl Tellings {
    /// Nobody follows anybody.
    #[must_use]
    pub fn new(members: &[NodeId], election: Duration) -> Self {
        let nodes = vec![Follower::default(); members.len()];
        Self { members: members.to_vec(), election, nodes }
    }

    /// A run starts with this promise.
    pub fn on_start(&mut self, node: MemberIndex, promised: Ballot) {
        self.nodes[node.place()] = Follower { bound: promised, ..Follower::default() };
    }

    /// `node` took in a message of `from`.
    pub fn on_taken(&mut self, now: Instant, node: MemberIndex, from: MemberIndex, what: &Taken) {
        let sender = self.members[from.place()];
        let follower = &mut self.nodes[node.place()];
        match *what {
            Taken::Prepare(ballot) => follower.meet(ballot),
            // It prepares itself, and follows nobody.
            Taken::Promise(..) => {}
            Taken::Accept(ballot) => {
                follower.meet(ballot);
                follower.hear(ballot, now);
            }
            Taken::Beat(Beat { leader, .. }) if leader.node == sender && !leader.is_zero() => {
                follower.meet(leader);
                if follower.follows.is_some_and(|(known, _)| known == leader) {
                    follower.hear(leader, now);
                }
            }
            // It says itself that it leads no more.
            Taken::Beat(_) => follower.lose(|ballot| ballot.node == sender),
        }
    }

    /// `node` took in chosen decrees: what it holds in memory may be those from now on.
    pub fn on_learned(&mut self, node: MemberIndex) {
        self.nodes[node.place()].forget_slots();
    }

    /// The host told `node` that its link to `peer` broke.
    pub fn on_peer_down(&mut self, node: MemberIndex, peer: MemberIndex) {
        let peer = self.members[peer.place()];
        self.nodes[node.place()].lose(|ballot| ballot.node == peer);
    }

    /// A record was handed to the host of `node`.
    pub fn on_persist(&mut self, node: MemberIndex, id: WriteId, record: &Record<'_, Bytes>) {
        let follower = &mut self.nodes[node.place()];
        follower.meet(record.promised);
        let Body::Accepted(run) = record.body else { return };
        let Some((leader, _)) = follower.follows else { return };
        let is_of = |proposal: &&Proposal<Bytes>| proposal.ballot == leader;
        for proposal in run.iter().filter(is_of) {
            follower.written.push_back((id, proposal.slot));
        }
    }

    /// The host of `node` reported everything up to `upto` durable.
    pub fn on_persisted(&mut self, node: MemberIndex, upto: WriteId) {
        let follower = &mut self.nodes[node.place()];
        let count = follower.written.partition_point(|(id, _)| *id <= upto);
        follower.durable.extend(follower.written.drain(..count).map(|(_, slot)| slot));
    }

    /// `node` says something.
    pub fn on_send(&mut self, node: MemberIndex, message: &Message<'_, Bytes>) {
        let Message::Accepted { ballot, end, .. } = message else { return };
        let follower = &mut self.nodes[node.place()];
        if follower.follows.is_some_and(|(leader, _)| leader == *ballot) {
            follower.told = *end;
            follower.durable = follower.durable.split_off(end);
        }
    }

    /// Everything that was due in this turn of `node` is out; this is on its disk.
    ///
    /// # Errors
    /// Notices.
    pub fn on_drained(&self, now: Instant, node: MemberIndex, image: &Image) -> Checked {
        let follower = &self.nodes[node.place()];
        let Some((leader, at)) = follower.follows else { return Ok(()) };
        if !image.votes || image.promised != leader || now.since(at) >= self.election {
            return Ok(());
        }
        let (end, told) = (follower.end(image.decided), follower.told);
        check!(
            Notices,
            end <= told.max(image.decided),
            "member {} follows {leader} and holds all slots below {end} durably in that ballot, \
             but told it last of those below {told}",
            node.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synod_core::Kind;

    use super::*;
    use crate::violation::Property;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    const C: MemberIndex = MemberIndex(2);
    /// A leadership of B, and a later one of C.
    const LOW: Ballot = Ballot { round: 2, node: NodeId(2) };
    const HIGH: Ballot = Ballot { round: 3, node: NodeId(3) };

    fn image(promised: Ballot, decided: u64) -> Image {
        let mut image = Image::default();
        (image.promised, image.votes, image.decided) = (promised, true, Slot(decided));
        image
    }

    fn at(slot: u64, ballot: Ballot) -> Proposal<Bytes> {
        Proposal { slot: Slot(slot), ballot, decree: Kind::Noop }
    }

    /// A accepts these slots in `ballot`, and they are durable.
    fn accept(tellings: &mut Tellings, from: MemberIndex, ballot: Ballot, slots: &[u64]) {
        tellings.on_taken(Instant(100), A, from, &Taken::Accept(ballot));
        for slot in slots {
            let (id, run) = (WriteId(*slot), [at(*slot, ballot)]);
            let body = Body::Accepted(&run);
            let record = Record { promised: ballot, decided: Slot(4), body };
            tellings.on_persist(A, id, &record);
            tellings.on_persisted(A, id);
        }
    }

    fn tell(tellings: &mut Tellings, ballot: Ballot, end: u64) {
        tellings.on_send(A, &Message::Accepted { ballot, end: Slot(end), resend: false });
    }

    fn drained(tellings: &Tellings, now: u64, ballot: Ballot) -> Checked {
        tellings.on_drained(Instant(now), A, &image(ballot, 4))
    }

    fn tellings() -> Tellings {
        Tellings::new(&[NodeId(1), NodeId(2), NodeId(3)], Duration::from_nanos(50))
    }

    #[test]
    fn what_is_durable_is_told_at_once() {
        let mut tellings = tellings();
        drained(&tellings, 100, LOW).expect("nobody leads");
        accept(&mut tellings, B, LOW, &[4, 5]);
        let broken = drained(&tellings, 100, LOW).expect_err("B waits");
        assert_eq!(broken.property, Property::Notices);
        tell(&mut tellings, LOW, 5);
        drained(&tellings, 100, LOW).expect_err("it was told of the first only");
        tell(&mut tellings, LOW, 6);
        drained(&tellings, 100, LOW).expect("it was told of both");
        accept(&mut tellings, C, HIGH, &[4]);
        drained(&tellings, 100, HIGH).expect_err("what B was told, C does not know");
        tell(&mut tellings, HIGH, 5);
        drained(&tellings, 100, HIGH).expect("now it does");
    }

    #[test]
    fn nothing_is_owed_where_nothing_is_certain() {
        let reasons: [fn(&mut Tellings); 7] = [
            |t| t.on_taken(Instant(100), A, C, &Taken::Prepare(HIGH)),
            |t| t.on_taken(Instant(100), A, B, &Taken::Beat(Beat::default())),
            |t| {
                t.on_taken(
                    Instant(100),
                    A,
                    C,
                    &Taken::Beat(Beat { leader: HIGH, ..Beat::default() }),
                )
            },
            |t| t.on_learned(A),
            |t| t.on_peer_down(A, B),
            |t| t.on_start(A, LOW),
            |t| {
                let record = Record { promised: HIGH, decided: Slot(4), body: Body::Mark };
                t.on_persist(A, WriteId(9), &record);
            },
        ];
        for reason in reasons {
            let mut tellings = tellings();
            accept(&mut tellings, B, LOW, &[4]);
            drained(&tellings, 149, LOW).expect_err("B waits");
            reason(&mut tellings);
            drained(&tellings, 149, LOW).expect("there is a reason");
        }
        let mut tellings = tellings();
        accept(&mut tellings, B, LOW, &[4]);
        drained(&tellings, 150, LOW).expect("B is silent");
        drained(&tellings, 149, HIGH).expect("another was promised");
        let mut voteless = image(LOW, 4);
        voteless.votes = false;
        tellings.on_drained(Instant(149), A, &voteless).expect("it has no vote");
        tellings.on_taken(
            Instant(140),
            A,
            B,
            &Taken::Beat(Beat { leader: LOW, ..Beat::default() }),
        );
        drained(&tellings, 150, LOW).expect_err("B is heard again");
        let mut tellings = self::tellings();
        accept(&mut tellings, B, LOW, &[5, 6]);
        drained(&tellings, 100, LOW).expect("slot 4 is missing");
        let mut tellings = self::tellings();
        tellings.on_start(A, HIGH);
        accept(&mut tellings, B, LOW, &[4]);
        drained(&tellings, 100, LOW).expect("it promised another before");
    }
}
