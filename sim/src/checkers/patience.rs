//! Patience (B1): a member follows the leader that it hears, and gives whoever it promised a
//! ballot the time of an election before it campaigns itself.
//!
//! All times are of the member's own clock, as its host told it.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_core::{Ballot, Beat, Instant, MemberIndex, NodeId};

use super::Taken;
use crate::violation::{Checked, check};

/// Whom each member hears, and whom it gave a chance.
#[derive(Clone, Debug)]
pub struct Patience {
    members: Vec<NodeId>,
    election: Duration,
    nodes: Vec<Kept>,
}

/// What one member has to keep to in its present run.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// The highest promise that it wrote.
    promised: Ballot,
    /// When it was first asked for a promise of each ballot above.
    asked: BTreeMap<Ballot, Instant>,
    /// The latest promise to somebody else, and when that one asked.
    granted: Option<(Ballot, Instant)>,
    /// The ballot of it: no leader below is followed.
    deposes: Ballot,
    /// The highest leader that it heard while it had no vote.
    voteless: Ballot,
    /// It does not follow anybody below, who was asked or spoke before.
    bound: Ballot,
    /// The leader in its last beat.
    says: Ballot,
    /// The leader that it says it follows, and when it heard that one last.
    heard: Option<(Ballot, Instant)>,
    /// A leader that was heard in the present turn.
    fresh: Option<(Ballot, Instant)>,
}

impl Kept {
    /// A leader speaks.
    fn hear(&mut self, leader: Ballot, votes: bool, now: Instant) {
        if !votes {
            self.voteless = self.voteless.max(leader);
        }
        self.lose(|known| known < leader);
        if leader >= self.bound.max(self.promised) {
            self.fresh = Some((leader, now));
        }
    }

    /// Somebody asks for a promise, or leads, in this ballot.
    fn bind(&mut self, ballot: Ballot) {
        self.bound = self.bound.max(ballot);
        self.lose(|known| known < ballot);
    }

    /// Whatever it heard of leaders that `gone` names does not bind it any more.
    fn lose(&mut self, gone: impl Fn(Ballot) -> bool) {
        self.heard = self.heard.filter(|(ballot, _)| !gone(*ballot));
        self.fresh = self.fresh.filter(|(ballot, _)| !gone(*ballot));
    }
}

impl Patience {
    /// Nobody was heard. `election` is how long a member that is not heard is waited for.
    #[must_use]
    pub fn new(members: &[NodeId], election: Duration) -> Self {
        let nodes = vec![Kept::default(); members.len()];
        Self { members: members.to_vec(), election, nodes }
    }

    /// A run starts with this promise.
    pub fn on_start(&mut self, node: MemberIndex, promised: Ballot) {
        self.nodes[node.place()] = Kept { promised, ..Kept::default() };
    }

    /// `node` took in a message of `from`. A member without a vote (`votes`) is bound by none of
    /// its promises, and follows whom it hears (R10).
    pub fn on_taken(
        &mut self,
        now: Instant,
        (node, votes): (MemberIndex, bool),
        from: MemberIndex,
        what: &Taken,
    ) {
        let sender = self.members[from.place()];
        let kept = &mut self.nodes[node.place()];
        match *what {
            Taken::Beat(Beat { leader, .. }) if leader.node == sender && !leader.is_zero() => {
                kept.hear(leader, votes, now);
            }
            // It says itself that it leads no more.
            Taken::Beat(_) => kept.lose(|ballot| ballot.node == sender),
            Taken::Promise(..) => {}
            Taken::Accept(ballot) => {
                kept.bind(ballot);
                kept.hear(ballot, votes, now);
            }
            Taken::Prepare(ballot) => {
                kept.bind(ballot);
                kept.asked.entry(ballot).or_insert(now);
            }
        }
    }

    /// The host told `node` that its link to `peer` broke.
    pub fn on_peer_down(&mut self, node: MemberIndex, peer: MemberIndex) {
        let peer = self.members[peer.place()];
        self.nodes[node.place()].lose(|ballot| ballot.node == peer);
    }

    /// `node` beats.
    ///
    /// # Errors
    /// Patience.
    pub fn on_beat_sent(&mut self, now: Instant, node: MemberIndex, beat: &Beat) -> Checked {
        let kept = &mut self.nodes[node.place()];
        check!(
            Patience,
            beat.leader.is_zero() || beat.leader >= kept.deposes || beat.leader <= kept.voteless,
            "member {} follows {}, and gave {} a chance",
            node.0,
            beat.leader,
            kept.deposes
        );
        if let Some((leader, at)) = kept.heard {
            check!(
                Patience,
                beat.leader >= leader || now.since(at) >= self.election,
                "member {} drops its leader {leader} for {}, and heard it {:?} ago",
                node.0,
                beat.leader,
                now.since(at)
            );
            kept.heard = kept.heard.filter(|_| beat.leader == leader);
        }
        kept.says = beat.leader;
        Ok(())
    }

    /// `node` writes a record with this promise.
    ///
    /// # Errors
    /// Patience.
    pub fn on_promised(&mut self, now: Instant, node: MemberIndex, promised: Ballot) -> Checked {
        let kept = &mut self.nodes[node.place()];
        if promised <= kept.promised {
            return Ok(());
        }
        kept.promised = promised;
        let asked = kept.asked.get(&promised).copied();
        kept.asked = kept.asked.split_off(&promised);
        if promised.node != self.members[node.place()] {
            if let Some(at) = asked {
                (kept.granted, kept.deposes) = (Some((promised, at)), promised);
            }
            return Ok(());
        }
        let Some((granted, at)) = kept.granted else { return Ok(()) };
        check!(
            Patience,
            now.since(at) >= self.election,
            "member {} campaigns with {promised} only {:?} after it gave {granted} a chance",
            node.0,
            now.since(at)
        );
        Ok(())
    }

    /// A turn of `node` ends. Whom it heard in it binds it from now on, if it says so.
    pub fn on_turn(&mut self, node: MemberIndex) {
        let kept = &mut self.nodes[node.place()];
        let says = kept.says;
        if let Some(fresh) = kept.fresh.take().filter(|(ballot, _)| *ballot == says) {
            kept.heard = Some(fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    const OWN: Ballot = Ballot { round: 3, node: NodeId(1) };
    const OTHER: Ballot = Ballot { round: 2, node: NodeId(2) };

    fn patience() -> Patience {
        Patience::new(&[NodeId(1), NodeId(2)], Duration::from_nanos(100))
    }

    fn follows(leader: Ballot) -> Beat {
        Beat { leader, ..Beat::default() }
    }

    /// A follows B, which it heard at 50.
    fn following() -> Patience {
        let mut patience = patience();
        patience.on_beat_sent(Instant(10), A, &follows(OTHER)).expect("nobody was heard");
        patience.on_taken(Instant(50), (A, true), B, &Taken::Beat(follows(OTHER)));
        patience.on_turn(A);
        patience
    }

    #[test]
    fn a_leader_that_is_heard_is_followed() {
        let none = follows(Ballot::ZERO);
        let mut patience = following();
        patience.on_beat_sent(Instant(149), A, &follows(OTHER)).expect("it follows");
        patience.on_beat_sent(Instant(149), A, &none).expect_err("too early");
        patience.on_beat_sent(Instant(150), A, &none).expect("it was silent for long");
        let reasons: [fn(&mut Patience); 4] = [
            |p| p.on_peer_down(A, B),
            |p| p.on_taken(Instant(60), (A, true), B, &Taken::Beat(Beat::default())),
            |p| p.on_taken(Instant(60), (A, true), B, &Taken::Prepare(OWN)),
            |p| p.on_start(A, Ballot::ZERO),
        ];
        for reason in reasons {
            let mut patience = following();
            reason(&mut patience);
            patience.on_beat_sent(Instant(70), A, &none).expect("there is a reason");
        }
        let mut patience = following();
        let higher = Ballot { round: 4, ..OTHER };
        patience.on_taken(Instant(60), (A, true), B, &Taken::Beat(follows(higher)));
        patience.on_taken(Instant(60), (A, true), B, &Taken::Beat(none));
        patience.on_turn(A);
        patience.on_beat_sent(Instant(60), A, &none).expect("a higher one came and went");
        let mut patience = following();
        patience.on_taken(Instant(60), (A, true), B, &Taken::Accept(OTHER));
        patience.on_turn(A);
        patience.on_beat_sent(Instant(155), A, &none).expect_err("heard once more");
    }

    #[test]
    fn whoever_was_promised_a_ballot_gets_its_chance() {
        let granted = || {
            let mut patience = patience();
            patience.on_taken(Instant(50), (A, true), B, &Taken::Prepare(OTHER));
            patience.on_promised(Instant(60), A, OTHER).expect("a promise to another");
            patience
        };
        granted().on_promised(Instant(149), A, OWN).expect_err("too early");
        granted().on_promised(Instant(150), A, OWN).expect("time enough");
        let mut old = granted();
        old.on_beat_sent(Instant(70), A, &follows(Ballot { round: 1, ..OTHER }))
            .expect_err("it follows whom it promised to refuse");
        let lower = follows(Ballot { round: 1, ..OTHER });
        old.on_taken(Instant(80), (A, false), B, &Taken::Beat(lower));
        old.on_beat_sent(Instant(90), A, &lower).expect("its promise binds nobody");
        let mut again = granted();
        again.on_start(A, OTHER);
        again.on_promised(Instant(70), A, OTHER).expect("repeated");
        again.on_promised(Instant(70), A, OWN).expect("a new run knows nothing of it");
    }
}
