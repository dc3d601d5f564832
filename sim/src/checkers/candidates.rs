//! Candidates (R6): whoever was told in a promise that more is decided than it knows learns that
//! first, and only then asks for promises again. What is reported to it before is of no use.

use synod_core::{Ballot, MemberIndex, Slot};

use crate::violation::{Checked, check};

/// What promises told each member in its present run.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The highest ballot of which a promise arrived, and the highest `decided` in its promises.
    told: Vec<(Ballot, Slot)>,
}

impl Candidates {
    /// Nobody has asked for promises.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { told: vec![(Ballot::ZERO, Slot::ZERO); members] }
    }

    /// A run starts.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.told[node.place()] = (Ballot::ZERO, Slot::ZERO);
    }

    /// `node` took in a part of a promise.
    pub fn on_promise(&mut self, node: MemberIndex, ballot: Ballot, decided: Slot) {
        let told = &mut self.told[node.place()];
        if ballot > told.0 {
            *told = (ballot, decided);
        } else if ballot == told.0 {
            told.1 = told.1.max(decided);
        }
    }

    /// `node` asks for promises, from its own `decided` on.
    ///
    /// # Errors
    /// Campaigns.
    pub fn on_prepare(&self, node: MemberIndex, ballot: Ballot, from: Slot) -> Checked {
        let (promised, decided) = self.told[node.place()];
        check!(
            Campaigns,
            promised != ballot || from >= decided,
            "member {} asks for promises of {ballot} from {from} on; promises of it told that \
             everything below {decided} is decided",
            node.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use synod_core::NodeId;

    use super::*;

    const A: MemberIndex = MemberIndex(0);

    const fn ballot(round: u64) -> Ballot {
        Ballot { round, node: NodeId(1) }
    }

    #[test]
    fn what_is_decided_is_learned_before_more_is_asked() {
        let mut candidates = Candidates::new(2);
        candidates.on_prepare(A, ballot(2), Slot(3)).expect("nobody has told it anything");
        candidates.on_promise(A, ballot(2), Slot(9));
        candidates.on_promise(A, ballot(2), Slot(5));
        candidates.on_promise(A, ballot(1), Slot(50));
        candidates.on_prepare(A, ballot(2), Slot(8)).expect_err("it lacks the last one");
        candidates.on_prepare(A, ballot(2), Slot(9)).expect("it has learned them");
        candidates.on_prepare(A, ballot(3), Slot(3)).expect("another ballot");
        candidates.on_prepare(MemberIndex(1), ballot(2), Slot(3)).expect("another member");
        candidates.on_promise(A, ballot(3), Slot(4));
        candidates.on_prepare(A, ballot(3), Slot(3)).expect_err("it lacks one");
        candidates.on_start(A);
        candidates.on_prepare(A, ballot(3), Slot(3)).expect("another run was told nothing");
    }
}
