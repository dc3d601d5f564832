//! Origin order: the requests of one caller are applied in the order in which it submitted them
//! (A3), and nothing is applied before what was known to be applied when it was submitted (the
//! real-time order that linearizability asks for).

use std::collections::BTreeMap;

use super::history::{Caller, History, Place, RequestKey};
use crate::violation::{Checked, check};

/// The last request of each caller that was applied.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    last: BTreeMap<Caller, u64>,
}

impl Origin {
    /// A request is applied at `place` for the first time by any replica.
    ///
    /// # Errors
    /// Origin order.
    pub fn on_first_applied(
        &mut self,
        history: &History,
        key: RequestKey,
        place: Place,
    ) -> Checked {
        let Some(request) = history.get(key) else { return Ok(()) };
        let caller = request.caller;
        if let Some(last) = self.last.get(&caller) {
            check!(
                OriginOrder,
                request.number > *last,
                "number {} of member {} run {} is applied at {place} after its number {last}",
                request.number,
                caller.node.0,
                caller.boot.0
            );
        }
        self.last.insert(caller, request.number);
        check!(
            OriginOrder,
            request.floor.is_none_or(|floor| place > floor),
            "{key:?} is applied at {place}, but was submitted when {:?} was known to be applied",
            request.floor
        );
        Ok(())
    }
}
