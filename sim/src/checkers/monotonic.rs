//! Monotonic: on each node the decided and delivered cursors never go back within a run, the
//! promise and the boot number never go back across runs.

use synod_core::{Ballot, Boot, MemberIndex, Slot};

use crate::violation::{Checked, check};

/// What a node shows of itself after each turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursors {
    /// The run.
    pub boot: Boot,
    /// Its promise.
    pub promised: Ballot,
    /// Its decided cursor.
    pub decided: Slot,
    /// Its delivered cursor.
    pub delivered: Slot,
    /// Its applied cursor.
    pub applied: Slot,
}

/// Remembers what each node showed last.
#[derive(Clone, Debug)]
pub struct Monotonic {
    last: Vec<Cursors>,
    /// What each state machine held at the start of its run. It may be ahead of the log.
    held: Vec<Slot>,
}

impl Monotonic {
    /// Nothing was shown yet.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { last: vec![Cursors::default(); nodes], held: vec![Slot::ZERO; nodes] }
    }

    /// A run of `node` starts with a state machine that holds everything below `applied`.
    pub fn on_start(&mut self, node: MemberIndex, applied: Slot) {
        self.held[node.place()] = applied;
    }

    /// The disk of `node` is lost, and its runs are counted anew.
    pub fn on_wiped(&mut self, node: MemberIndex) {
        self.last[node.place()] = Cursors::default();
    }

    /// `node` shows `now`, while everything below `chosen_end` is chosen.
    ///
    /// # Errors
    /// Monotonic; Durability when a cursor is ahead of what is chosen.
    pub fn on_turn(&mut self, node: MemberIndex, now: Cursors, chosen_end: Slot) -> Checked {
        let last = &mut self.last[node.place()];
        if *last == now {
            return Ok(());
        }
        let same_run = now.boot == last.boot;
        let sound = now.boot >= last.boot
            && (now.promised >= last.promised || !same_run)
            && (!same_run || (now.decided >= last.decided && now.delivered >= last.delivered))
            && (!same_run || now.applied >= last.applied)
            && now.applied <= now.delivered
            && now.delivered <= now.decided.max(self.held[node.place()]);
        check!(Monotonic, sound, "member {} went from {last:?} to {now:?}", node.0);
        check!(
            Durability,
            now.decided <= chosen_end,
            "member {} calls everything below {} decided; chosen by durable votes is everything \
             below {chosen_end}",
            node.0,
            now.decided
        );
        *last = now;
        Ok(())
    }
}
