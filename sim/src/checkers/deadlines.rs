//! Deadlines (A13): while a request has no outcome, its host is asked to come back by its deadline.
//! Nothing else wakes the host in time to tell the caller that it has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use synod_core::service::RequestId;
use synod_core::{Instant, MemberIndex};

use crate::violation::{Checked, check};

/// The requests without an outcome of the present run of each member.
#[derive(Clone, Debug)]
pub struct Deadlines {
    open: Vec<Open>,
}

#[derive(Clone, Debug, Default)]
struct Open {
    deadlines: BTreeMap<RequestId, Instant>,
    by_time: BTreeSet<(Instant, RequestId)>,
}

impl Deadlines {
    /// Nothing was submitted.
    #[must_use]
    pub fn new(members: usize) -> Self {
        Self { open: vec![Open::default(); members] }
    }

    /// A run starts: it knows nothing of the requests of an earlier one.
    pub fn on_start(&mut self, node: MemberIndex) {
        self.open[node.place()] = Open::default();
    }

    /// `node` takes a request that has until `deadline`.
    pub fn on_submit(&mut self, node: MemberIndex, id: RequestId, deadline: Instant) {
        let open = &mut self.open[node.place()];
        open.deadlines.insert(id, deadline);
        open.by_time.insert((deadline, id));
    }

    /// A request has its outcome.
    pub fn on_outcome(&mut self, node: MemberIndex, id: RequestId) {
        let open = &mut self.open[node.place()];
        if let Some(deadline) = open.deadlines.remove(&id) {
            open.by_time.remove(&(deadline, id));
        }
    }

    /// Everything that was due in this turn of `node` is out; its host is asked to come back at
    /// `comes_back`.
    ///
    /// # Errors
    /// Bounds.
    pub fn on_drained(&self, node: MemberIndex, comes_back: Instant) -> Checked {
        let first = self.open[node.place()].by_time.first();
        check!(
            Bounds,
            first.is_none_or(|(deadline, _)| comes_back <= deadline.after(GRACE)),
            "member {} asks its host to come back at {} ms; by then a request is past its \
             deadline: {first:?}",
            node.0,
            comes_back.0 / 1_000_000
        );
        Ok(())
    }
}

/// A service looks for requests past their deadlines in steps of a millisecond.
const GRACE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberIndex = MemberIndex(0);
    const B: MemberIndex = MemberIndex(1);

    fn ms(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[test]
    fn a_host_comes_back_for_the_first_deadline() {
        let mut deadlines = Deadlines::new(2);
        deadlines.on_drained(A, Instant::NEVER).expect("nothing waits");
        deadlines.on_submit(A, RequestId(1), ms(50));
        deadlines.on_submit(A, RequestId(2), ms(40));
        deadlines.on_drained(A, ms(42)).expect("in steps of a millisecond");
        deadlines.on_drained(A, ms(43)).expect_err("too late for the second");
        deadlines.on_drained(B, ms(43)).expect("another member");
        deadlines.on_outcome(A, RequestId(2));
        deadlines.on_drained(A, ms(52)).expect("the second has its outcome");
        deadlines.on_drained(A, ms(53)).expect_err("too late for the first");
        deadlines.on_outcome(A, RequestId(1));
        deadlines.on_drained(A, Instant::NEVER).expect("nothing waits");
    }

    #[test]
    fn requests_of_an_earlier_run_are_gone() {
        let mut deadlines = Deadlines::new(1);
        deadlines.on_submit(A, RequestId(1), ms(1));
        deadlines.on_start(A);
        deadlines.on_drained(A, Instant::NEVER).expect("they went with it");
    }
}
