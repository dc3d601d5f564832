//! The loop that every runtime shares: pull actions, hand them to the host.

use crate::{Action, Ballot, Decree, Event, Instant, Message, NodeId, NodeSet, Proposal};
use crate::{Record, Replica, Slot, WriteId};

/// Whether a write is durable when [`Host::persist`] returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// Durable now, and with it every earlier write. Persistent memory answers so.
    Done,
    /// Reported later, with [`Event::Persisted`].
    Pending,
}

/// One method per [`Action`]. A host does what it is told and never decides an order.
pub trait Host<D> {
    /// Append a record to the log.
    fn persist(&mut self, id: WriteId, record: Record<'_, D>) -> Persistence;
    /// Send one message to each of `to`.
    fn send(&mut self, to: NodeSet, message: Message<'_, D>);
    /// Apply chosen decrees. Returns the end of what is applied now, when that is known at once;
    /// otherwise the host reports [`Event::Applied`] later.
    fn deliver(&mut self, chosen: &[Proposal<D>]) -> Option<Slot>;
    /// Read decided slots from the log and apply them.
    fn deliver_from_log(&mut self, from: Slot, end: Slot);
    /// Read decided slots from the log and send them to a peer.
    fn catch_up(&mut self, to: NodeId, from: Slot, end: Slot, decided: Slot);
    /// The leader changed.
    fn leader_changed(&mut self, leader: Option<Ballot>);
}

/// Pulls every action that is due and hands it to `host`. Call once per turn of the loop, after
/// all events of the turn are in.
pub fn drain<D: Decree>(replica: &mut Replica<D>, now: Instant, host: &mut impl Host<D>) {
    while let Some(action) = replica.poll() {
        let answer = match action {
            Action::Persist { id, record } => match host.persist(id, record) {
                Persistence::Done => Some(Event::Persisted { upto: id }),
                Persistence::Pending => None,
            },
            Action::Send { to, message } => {
                host.send(to, message);
                None
            }
            Action::Deliver { chosen } => host.deliver(chosen).map(|end| Event::Applied { end }),
            Action::DeliverFromLog { from, end } => {
                host.deliver_from_log(from, end);
                None
            }
            Action::CatchUp { to, from, end, decided } => {
                host.catch_up(to, from, end, decided);
                None
            }
            Action::LeaderChanged { leader } => {
                host.leader_changed(leader);
                None
            }
        };
        if let Some(event) = answer {
            let outcome = replica.handle(now, event);
            debug_assert!(outcome.is_ok(), "only messages can misbehave");
        }
    }
}
