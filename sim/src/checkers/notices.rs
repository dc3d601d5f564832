//! Notices (C4): a leader that hears that a member lags tells it, in the same turn, how far the
//! cluster is. So what is lost is said again for as long as the member lags.

use synod_core::{Boot, MemberIndex, NodeSet, Slot};

use crate::violation::{Checked, check};

/// Who said in the present turn of each member that it lags.
#[derive(Clone, Debug)]
pub struct Notices {
    owed: Vec<Vec<Answer>>,
}

/// What a member said of itself.
#[derive(Clone, Copy, Debug)]
struct Answer {
    from: MemberIndex,
    /// The run that said so.
    boot: Boot,
    decided: Slot,
}

impl Notices {
    /// Nobody lags.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { owed: vec![Vec::new(); members] }
    }

    /// A turn of `node` begins.
    pub fn begin_turn(&mut self, node: MemberIndex) {
        self.owed[node.place()].clear();
    }

    /// `from` follows `node`, and says in this run that it has decided everything below `decided`.
    pub fn on_answer(&mut self, node: MemberIndex, from: (MemberIndex, Boot), decided: Slot) {
        let (from, boot) = from;
        self.owed[node.place()].push(Answer { from, boot, decided });
    }

    /// `node` hears this run of `from`. What an earlier one said is void, and nobody speaks to it
    /// until it says more.
    pub fn on_run(&mut self, node: MemberIndex, from: MemberIndex, boot: Boot) {
        self.owed[node.place()].retain(|answer| answer.from != from || answer.boot >= boot);
    }

    /// The host told `node` that its link to `peer` broke.
    pub fn on_peer_down(&mut self, node: MemberIndex, peer: MemberIndex) {
        self.owed[node.place()].retain(|answer| answer.from != peer);
    }

    /// `node` tells these how far it is.
    pub fn on_notice(&mut self, node: MemberIndex, to: NodeSet, decided: Slot) {
        self.owed[node.place()]
            .retain(|answer| !to.contains(answer.from) || answer.decided >= decided);
    }

    /// Everything that was due in this turn of `node` is out. It leads, and has `decided`.
    ///
    /// # Errors
    /// Notices.
    pub fn on_drained(&self, node: MemberIndex, decided: Slot) -> Checked {
        let forgotten = self.owed[node.place()].iter().find(|answer| answer.decided < decided);
        check!(
            Notices,
            forgotten.is_none(),
            "member {} leads and has decided {decided}; it does not answer a member that lags, \
             with what it knows: {forgotten:?}",
            node.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);
    const C: MemberIndex = MemberIndex(2);
    const ONE: Boot = Boot(1);

    #[test]
    fn whoever_lags_must_be_told() {
        let mut notices = Notices::new(3);
        notices.on_answer(A, (B, ONE), Slot(4));
        notices.on_drained(A, Slot(4)).expect("it does not lag");
        notices.on_drained(A, Slot(5)).expect_err("it lags");
        notices.on_notice(A, NodeSet::of(C), Slot(5));
        notices.on_notice(A, NodeSet::of(B), Slot(4));
        notices.on_drained(A, Slot(5)).expect_err("another was told, or nothing new");
        notices.on_notice(A, NodeSet::of(B), Slot(5));
        notices.on_drained(A, Slot(5)).expect("it was told");
        notices.on_answer(A, (C, ONE), Slot(0));
        notices.on_peer_down(A, C);
        notices.on_drained(A, Slot(5)).expect("there is no way to it");
        notices.on_answer(A, (C, ONE), Slot(0));
        notices.begin_turn(A);
        notices.on_drained(A, Slot(5)).expect("that was in another turn");
    }

    #[test]
    fn what_an_earlier_run_said_is_void() {
        let mut notices = Notices::new(3);
        notices.on_answer(A, (B, ONE), Slot(0));
        notices.on_run(A, B, ONE);
        notices.on_run(A, C, Boot(2));
        notices.on_drained(A, Slot(5)).expect_err("it lags");
        notices.on_run(A, B, Boot(2));
        notices.on_drained(A, Slot(5)).expect("another run has not said how far it is");
    }
}
