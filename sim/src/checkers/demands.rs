//! Demands: a request that is conditional on a leadership is applied under that one or never
//! (A10), and an exclusive one shares its decree with no other (A3).

use std::collections::BTreeMap;

use synod_core::service::Request;
use synod_core::{Ballot, MemberIndex, Slot};

use super::history::{Applied, Place, RequestKey};
use crate::violation::{Checked, check};

/// What requests demanded when they were taken.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Only those that demand something.
    made: BTreeMap<RequestKey, Demand>,
    /// The slots whose decree belongs to one request alone.
    alone: BTreeMap<Slot, RequestKey>,
}

#[derive(Clone, Copy, Debug)]
struct Demand {
    only_in: Option<Ballot>,
    exclusive: bool,
}

impl Demands {
    /// A request is taken.
    pub fn on_submit(&mut self, request: &Request) {
        let Request { only_in, exclusive, .. } = *request;
        if only_in.is_some() || exclusive {
            self.made.insert(RequestKey::of(&request.body), Demand { only_in, exclusive });
        }
    }

    /// A request is applied at `place` for the first time by any replica; those of a slot in their
    /// order.
    ///
    /// # Errors
    /// Demands.
    pub fn on_first_applied(
        &mut self,
        node: MemberIndex,
        place: Place,
        applied: &Applied,
    ) -> Checked {
        let key = applied.key;
        let owner = self.alone.get(&place.slot);
        check!(
            Demands,
            owner.is_none(),
            "member {} applies {key:?} at {place}, but that decree is {owner:?} alone",
            node.0
        );
        let Some(Demand { only_in, exclusive }) = self.made.get(&key).copied() else {
            return Ok(());
        };
        let ballot = applied.ballot;
        check!(
            Demands,
            only_in.is_none_or(|wanted| wanted == ballot),
            "member {} applies {key:?} at {place} under {ballot}; it was meant for {only_in:?}",
            node.0
        );
        check!(
            Demands,
            !exclusive || place.within == 0,
            "member {} applies {key:?} at {place}, which wants a decree of its own",
            node.0
        );
        if exclusive {
            self.alone.insert(place.slot, key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_core::NodeId;

    use super::*;

    const BALLOT: Ballot = Ballot { round: 3, node: NodeId(1) };

    fn request(body: &'static str) -> Request {
        Request::new(Bytes::from_static(body.as_bytes()))
    }

    fn apply(demands: &mut Demands, body: &str, within: usize, ballot: Ballot) -> Checked {
        let (slot, key) = (Slot(5), RequestKey::of(body.as_bytes()));
        let applied = Applied { slot, ballot, key, reply: 0 };
        demands.on_first_applied(MemberIndex(0), Place { slot, within }, &applied)
    }

    #[test]
    fn a_request_for_another_leadership_is_not_applied() {
        let mut demands = Demands::default();
        demands.on_submit(&Request { only_in: Some(BALLOT), ..request("a") });
        demands.on_submit(&request("b"));
        apply(&mut demands, "a", 0, BALLOT).expect("it was meant for that one");
        let later = Ballot { round: 4, ..BALLOT };
        apply(&mut demands, "b", 1, later).expect("it demands nothing");
        apply(&mut demands, "a", 2, later).expect_err("it was meant for another");
    }

    #[test]
    fn an_exclusive_request_is_first_and_last() {
        let mut demands = Demands::default();
        demands.on_submit(&Request { exclusive: true, ..request("a") });
        apply(&mut demands, "b", 0, BALLOT).expect("nothing is in that decree yet");
        apply(&mut demands, "a", 1, BALLOT).expect_err("another is in it");
        let mut demands = Demands::default();
        demands.on_submit(&Request { exclusive: true, ..request("a") });
        apply(&mut demands, "a", 0, BALLOT).expect("it is the first");
        apply(&mut demands, "b", 1, BALLOT).expect_err("the decree is its own");
    }
}
