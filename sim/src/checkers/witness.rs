//! The log as a witness of linearizability: the requests, replayed in the order of the log on a
//! fresh machine, explain every reply that was heard and every state that a replica was in, and
//! that order is one in which whatever ended before something else began lies before it.
//!
//! Linear in the length of the run, for any state machine. A request whose outcome nobody heard
//! may lie anywhere, or nowhere.

use synod_core::Slot;
use synod_core::service::{At, StateMachine};

use super::history::{Heard, History, Place};
use super::order::{HINT, Order};
use crate::machine::Machine;
use crate::violation::{Checked, Violation, check};

/// Judges a whole run, whose log is `order`. Returns how many requests were replayed.
///
/// # Errors
/// Linearizable, Outcomes.
pub fn judge(history: &History, order: &Order, machine: Machine) -> Result<u64, Violation> {
    let replayed = replay(history, order, machine)?;
    real_time(history)?;
    untrue(history)?;
    Ok(replayed)
}

/// Every reply and every state of the run is that of a machine that nothing ever happened to.
fn replay(history: &History, order: &Order, mut machine: Machine) -> Result<u64, Violation> {
    let mut replayed = 0;
    for (at, requests, digest) in order.decrees() {
        machine.before_decree(at);
        for (within, (key, reply)) in requests.iter().enumerate() {
            let Some(request) = history.get(*key) else { continue };
            let alone = machine.apply(at, &request.body);
            let place = Place { slot: at.slot, within };
            check!(
                Linearizable,
                alone == *reply,
                "the replicas reply {reply:x} to {key:?} at {place}; a fresh machine that applies \
                 the same requests replies {alone:x} (digests of the replies), that is, {}; {HINT}",
                machine.tell_reply(0).unwrap_or_default()
            );
            if let Some(Heard::Applied { slot, reply: heard }) = request.heard {
                check!(
                    Linearizable,
                    slot == at.slot && heard == alone,
                    "the client of {key:?} heard {heard:x} in slot {slot}; at {place} a fresh \
                     machine replies {alone:x} (digests of the replies); {HINT}"
                );
            }
            replayed += 1;
        }
        let Some(digest) = digest else { continue };
        machine.after_decree(at);
        let alone = machine.digest();
        check!(
            Linearizable,
            alone == digest,
            "after slot {} the replicas have the digest {digest:x}; a fresh machine that applies \
             the same requests has {alone:x}; {HINT}",
            at.slot
        );
    }
    Ok(replayed)
}

/// Whatever ended before something else began lies before it.
fn real_time(history: &History) -> Checked {
    let placed = history.all().filter_map(|(key, request)| {
        let (place, _) = request.applied?;
        let told = matches!(request.heard, Some(Heard::Applied { .. }));
        Some((place, *key, request.began, request.ended.filter(|_| told)))
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort_unstable();
    // Of those that lie behind, the one that ended first.
    let mut first = None;
    for (place, key, began, ended) in placed.into_iter().rev() {
        if let Some((earlier, behind, at)) = first {
            check!(
                Linearizable,
                earlier >= began,
                "{behind:?} lies at {at}, behind {key:?} at {place}, which began after the first \
                 had ended"
            );
        }
        if let Some(ended) = ended {
            first = first.min(Some((ended, key, place))).or(Some((ended, key, place)));
        }
    }
    Ok(())
}

/// What was heard to be applied is in the log, and what was heard to be refused is not.
fn untrue(history: &History) -> Checked {
    for (key, request) in history.all() {
        let Some(heard) = request.heard else { continue };
        let fits = match heard {
            Heard::Applied { .. } => request.applied.is_some(),
            Heard::Refused => request.applied.is_none(),
            Heard::Unknown => true,
        };
        let where_to = request.applied;
        check!(Outcomes, fits, "{key:?} is heard to be {heard:?}, and its place is {where_to:?}");
    }
    Ok(())
}

/// A decree of the log as the replicas applied it: where, what with which replies, and the digest
/// of the state behind it, once one replica was through.
pub type Decree<'o> = (At, &'o [(super::RequestKey, u64)], Option<u64>);

impl Order {
    /// The decrees that had an effect, in order.
    pub fn decrees(&self) -> impl Iterator<Item = Decree<'_>> {
        let slots: std::collections::BTreeSet<Slot> = self.slots().collect();
        slots.into_iter().filter_map(|slot| self.decree(slot))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_core::{Ballot, Body, Boot, Incarnation, Kind, MemberIndex, NodeId, Proposal};
    use synod_core::{Quorums, Record, WriteId};

    use super::super::history::{Applied, Caller, RequestKey, Sealed};
    use super::super::images::Images;
    use super::*;
    use crate::app::Application;
    use crate::app::Tag;
    use crate::app::registers::{Done, Operation, RegisterApp};
    use crate::machine::digest_of;
    use crate::violation::Property;

    const NODE: MemberIndex = MemberIndex(0);
    const BALLOT: Ballot = Ballot { round: 1, node: NodeId(1) };

    /// A run in which one member applies one request a slot.
    struct Run {
        history: History,
        images: Images,
        order: Order,
        submits: u64,
    }

    impl Run {
        fn new() -> Self {
            let images = Images::new(1, Quorums::majority(1));
            Self { history: History::default(), images, order: Order::new(1), submits: 0 }
        }

        fn submit(&mut self, operation: Operation) -> Bytes {
            self.submits += 1;
            let tag = Tag { client: 1, serial: self.submits as u32 };
            let body = Bytes::from(tag.body(&operation.encode(3, 0)));
            let caller = Caller { node: NODE, incarnation: Incarnation(1), boot: Boot(1) };
            self.history.on_submit(body.clone(), caller, self.submits);
            body
        }

        fn apply(&mut self, slot: u64, body: &Bytes, done: Done) {
            let (key, slot) = (RequestKey::of(body), Slot(slot));
            let decree = Kind::App(body.clone());
            let run = [Proposal { slot, ballot: BALLOT, decree }];
            let accepted = Body::Accepted(&run);
            let record = Record { promised: BALLOT, decided: Slot::ZERO, body: accepted };
            let id = WriteId(slot.0 + 1);
            self.images.on_persist(NODE, id, &record);
            self.images.on_persisted(NODE, id).expect("a vote, which chooses");
            let reply = digest_of(&done);
            let applied = Applied { slot, ballot: BALLOT, key, reply };
            self.order.on_applied(&self.images, NODE, &applied).expect("in order");
            let request = self.history.get_mut(key).expect("submitted");
            request.applied = Some((Place { slot, within: 0 }, reply));
        }

        fn hear(&mut self, slot: u64, body: &Bytes, done: Done) {
            let heard = Heard::Applied { slot: Slot(slot), reply: digest_of(&done) };
            let _ = self.history.hear(RequestKey::of(body), heard).expect("the first outcome");
        }

        fn judge(&self) -> Result<u64, Property> {
            let machine = RegisterApp::default().machine(false);
            judge(&self.history, &self.order, machine).map_err(|violation| violation.property)
        }
    }

    #[test]
    fn a_log_that_explains_every_reply_is_a_witness() {
        let mut run = Run::new();
        let put = run.submit(Operation::Put(7));
        let get = run.submit(Operation::Get);
        // Both were under way at once, so the read may lie before the write.
        run.apply(0, &get, Done::Held(0));
        run.apply(1, &put, Done::Written);
        run.hear(1, &put, Done::Written);
        run.hear(0, &get, Done::Held(0));
        // Nobody heard of this one, and the next one sees its effect.
        let lost = run.submit(Operation::Put(8));
        run.apply(2, &lost, Done::Written);
        let later = run.submit(Operation::Get);
        run.apply(3, &later, Done::Held(8));
        run.hear(3, &later, Done::Held(8));
        assert_eq!(run.judge(), Ok(4));
    }

    #[test]
    fn a_reply_that_no_fresh_machine_gives_is_noticed() {
        let mut run = Run::new();
        let put = run.submit(Operation::Put(7));
        run.apply(0, &put, Done::Written);
        run.hear(0, &put, Done::Written);
        let get = run.submit(Operation::Get);
        run.apply(1, &get, Done::Held(0));
        assert_eq!(run.judge(), Err(Property::Linearizable), "the write is lost");
    }

    #[test]
    fn a_state_that_no_fresh_machine_is_in_is_noticed() {
        let mut run = Run::new();
        let put = run.submit(Operation::Put(7));
        run.apply(0, &put, Done::Written);
        let at = At { slot: Slot(0), ballot: BALLOT };
        run.order.on_sealed(NODE, &Sealed { at, digest: 12 }).expect("the first");
        assert_eq!(run.judge(), Err(Property::Linearizable));
    }

    #[test]
    fn a_reply_heard_of_another_operation_is_noticed() {
        let mut run = Run::new();
        let get = run.submit(Operation::Get);
        run.apply(0, &get, Done::Held(0));
        run.hear(0, &get, Done::Written);
        assert_eq!(run.judge(), Err(Property::Linearizable));
    }

    #[test]
    fn an_order_against_time_is_noticed() {
        let mut run = Run::new();
        let early = run.submit(Operation::Put(7));
        let heard = |run: &mut Run| run.hear(1, &early, Done::Written);
        heard(&mut run);
        let late = run.submit(Operation::Put(8));
        run.apply(0, &late, Done::Written);
        run.apply(1, &early, Done::Written);
        assert_eq!(run.judge(), Err(Property::Linearizable));
    }

    #[test]
    fn an_outcome_that_is_not_true_is_noticed() {
        let mut run = Run::new();
        let put = run.submit(Operation::Put(7));
        run.hear(0, &put, Done::Written);
        assert_eq!(run.judge(), Err(Property::Outcomes), "it is in no slot");

        let mut run = Run::new();
        let put = run.submit(Operation::Put(7));
        let _ = run.history.hear(RequestKey::of(&put), Heard::Refused).expect("the first");
        run.apply(0, &put, Done::Written);
        assert_eq!(run.judge(), Err(Property::Outcomes), "it was refused");
    }
}
