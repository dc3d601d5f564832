//! Answers (R12): whoever takes in a beat of the leader that it follows names that round, or a
//! later one, in the beat that answers it. A leader whose rounds are not answered gives up, though
//! everybody hears it.

use synod_core::{Ballot, Beat, MemberIndex, NodeId};

use crate::violation::{Checked, check};

/// The rounds that each member has heard of in its present turn.
#[derive(Clone, Debug)]
pub struct Answers {
    members: Vec<NodeId>,
    heard: Vec<Vec<(Ballot, u64)>>,
}

impl Answers {
    /// Nobody heard anything.
    #[must_use]
    pub fn new(members: &[NodeId]) -> Self {
        Self { members: members.to_vec(), heard: vec![Vec::new(); members.len()] }
    }

    /// A turn of `node` begins.
    pub fn begin_turn(&mut self, node: MemberIndex) {
        self.heard[node.place()].clear();
    }

    /// `node` took in a beat of `from`. Only a leader itself begins rounds.
    pub fn on_beat(&mut self, node: MemberIndex, from: MemberIndex, beat: &Beat) {
        let (name, heard) = (self.members[from.place()], &mut self.heard[node.place()]);
        if beat.leader.node == name {
            heard.retain(|(leader, _)| *leader >= beat.leader);
            heard.push((beat.leader, beat.round));
        } else {
            // It leads no more, as it says. Perhaps it was followed: then whoever is heard next is
            // followed anew, by its first word.
            heard.clear();
        }
    }

    /// `node` took in a message of this ballot: a lower one is followed anew, if it is again.
    pub fn on_ballot(&mut self, node: MemberIndex, ballot: Ballot) {
        self.heard[node.place()].retain(|(leader, _)| *leader >= ballot);
    }

    /// The host told `node` that a link broke: it may follow anew, from the start.
    pub fn on_peer_down(&mut self, node: MemberIndex) {
        self.heard[node.place()].clear();
    }

    /// `node` beats.
    ///
    /// # Errors
    /// Reigns.
    pub fn on_beat_sent(&self, node: MemberIndex, beat: &Beat) -> Checked {
        let heard = &self.heard[node.place()];
        let skipped =
            heard.iter().find(|(leader, round)| *leader == beat.leader && *round > beat.round);
        check!(
            Reigns,
            skipped.is_none(),
            "member {} follows {} and answers its round {}, but has just heard {skipped:?}",
            node.0,
            beat.leader,
            beat.round
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);

    fn beat(of: u64, round: u64) -> Beat {
        Beat { leader: Ballot { round: 1, node: NodeId(of) }, round, ..Beat::default() }
    }

    #[test]
    fn the_round_that_was_heard_is_answered() {
        let mut answers = Answers::new(&[NodeId(1), NodeId(2)]);
        answers.on_beat(A, B, &beat(1, 9));
        answers.on_beat_sent(A, &beat(1, 0)).expect("a follower begins no round");
        answers.on_beat(A, B, &beat(2, 5));
        answers.on_beat_sent(A, &beat(2, 5)).expect("that very round");
        answers.on_beat_sent(A, &beat(2, 6)).expect("a later one");
        answers.on_beat_sent(A, &beat(2, 4)).expect_err("an earlier one");
        answers.on_beat_sent(A, &beat(2, 0)).expect_err("none");
        answers.on_beat_sent(A, &beat(3, 0)).expect("another leader");
        answers.on_beat_sent(B, &beat(2, 0)).expect("another member");
        answers.on_beat(A, B, &beat(1, 0));
        answers.on_beat_sent(A, &beat(2, 0)).expect("it leads no more, as it said");
        answers.on_beat(A, B, &beat(2, 5));
        answers.on_peer_down(A);
        answers.on_beat_sent(A, &beat(2, 0)).expect("it follows anew");
        answers.on_beat(A, B, &beat(2, 5));
        answers.begin_turn(A);
        answers.on_beat_sent(A, &beat(2, 0)).expect("that was in another turn");
    }

    #[test]
    fn who_is_followed_again_is_followed_anew() {
        let ballot = |round| Ballot { round, node: NodeId(2) };
        let told = |round| Beat { leader: ballot(round), round: 5, ..Beat::default() };
        let stale = Beat { leader: ballot(1), round: 4, ..Beat::default() };
        let mut answers = Answers::new(&[NodeId(1), NodeId(2), NodeId(3)]);
        answers.on_beat(A, B, &told(1));
        answers.on_ballot(A, ballot(1));
        answers.on_beat_sent(A, &stale).expect_err("it was followed all along");
        answers.on_ballot(A, ballot(2));
        answers.on_beat_sent(A, &stale).expect("a higher ballot came between");
        answers.on_beat(A, B, &told(1));
        answers.on_beat(A, B, &told(2));
        answers.on_beat_sent(A, &stale).expect("a higher leadership came between");
        answers.on_beat(A, B, &told(1));
        answers.on_beat(A, MemberIndex(2), &Beat::default());
        answers.on_beat_sent(A, &stale).expect("another that was followed leads no more");
    }
}
