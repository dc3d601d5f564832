//! Asked (C4): whoever takes in a prepare of the ballot that it has promised reports in the same
//! turn, however often it was asked before. So a promise that is lost comes with the next prepare.

use synod_core::{Ballot, MemberIndex, NodeSet};

use super::Images;
use crate::violation::{Checked, check};

/// Who asked each member for promises in its present turn, and has no answer.
#[derive(Clone, Debug)]
pub struct Asked {
    open: Vec<Vec<(MemberIndex, Ballot)>>,
}

impl Asked {
    /// Nobody was asked.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { open: vec![Vec::new(); members] }
    }

    /// A turn of `node` begins.
    pub fn begin_turn(&mut self, node: MemberIndex) {
        self.open[node.place()].clear();
    }

    /// `node` took in a prepare of `from`.
    pub fn on_prepare(&mut self, node: MemberIndex, from: MemberIndex, ballot: Ballot) {
        self.open[node.place()].push((from, ballot));
    }

    /// `node` sends a part of its promise.
    pub fn on_promise(&mut self, node: MemberIndex, to: NodeSet, ballot: Ballot) {
        self.open[node.place()].retain(|(from, asked)| *asked != ballot || !to.contains(*from));
    }

    /// Everything that was due in this turn of `node` is out. While its disk works the answer may
    /// have to wait for that.
    ///
    /// # Errors
    /// Campaigns.
    pub fn on_drained(&self, images: &Images, node: MemberIndex) -> Checked {
        let image = images.of(node);
        if !image.votes || image.replaced || images.in_flight(node) > 0 {
            return Ok(());
        }
        let open = self.open[node.place()].iter().find(|(_, ballot)| *ballot == image.promised);
        check!(
            Campaigns,
            open.is_none(),
            "member {} has promised {} and its disk rests; it does not report to whoever asks for \
             that promise: {open:?}",
            node.0,
            image.promised
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synod_core::{Body, Boot, Incarnation, NodeId, Quorums, Record, Recovered, Slot, WriteId};

    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    const BALLOT: Ballot = Ballot { round: 3, node: NodeId(2) };

    /// A may vote, and has promised a ballot of B durably.
    fn promised() -> Images {
        let mut images = Images::new(3, Quorums::majority(3));
        let formatted = Recovered { boot: Boot(1), ..Recovered::formatted(Incarnation(7)) };
        images.on_recovered(A, &formatted).expect("an empty log");
        let roster = Body::Roster { votes: true, members: &[] };
        write(&mut images, 1, roster);
        images.on_persisted(A, WriteId(1)).expect("sound");
        images
    }

    fn write(images: &mut Images, id: u64, body: Body<'_, bytes::Bytes>) {
        let record = Record { promised: BALLOT, decided: Slot::ZERO, body };
        images.on_persist(A, WriteId(id), &record);
    }

    #[test]
    fn whoever_is_asked_again_reports_again() {
        let images = promised();
        let mut asked = Asked::new(3);
        asked.on_drained(&images, A).expect("nobody asked");
        for _ in 0..2 {
            asked.begin_turn(A);
            asked.on_prepare(A, B, BALLOT);
            asked.on_promise(A, NodeSet::of(B), BALLOT);
            asked.on_drained(&images, A).expect("it reports");
        }
        asked.on_prepare(A, B, BALLOT);
        asked.on_promise(A, NodeSet::of(MemberIndex(2)), BALLOT);
        asked.on_promise(A, NodeSet::of(B), Ballot { round: 2, ..BALLOT });
        asked.on_drained(&images, A).expect_err("to another, and in another ballot");
        asked.begin_turn(A);
        asked.on_drained(&images, A).expect("that was in another turn");
        asked.on_prepare(A, B, Ballot { round: 2, ..BALLOT });
        asked.on_drained(&images, A).expect("it has promised more than that");
    }

    #[test]
    fn a_report_may_wait_for_the_disk() {
        let mut images = promised();
        let mut asked = Asked::new(3);
        write(&mut images, 2, Body::Mark);
        asked.on_prepare(A, B, BALLOT);
        asked.on_drained(&images, A).expect("something is being written");
        images.on_persisted(A, WriteId(2)).expect("sound");
        asked.on_drained(&images, A).expect_err("nothing is");
        images.on_wiped(A);
        asked.on_drained(&images, A).expect("whoever lost its disk has no vote");
    }
}
