//! Frames of those who do not belong here: encoded well, and to be refused without effect.

use std::fmt;

use bytes::BytesMut;
use synod_core::service::Service;
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Header, MemberIndex, NodeSet, PeerMisbehaved, Slot, Standing};

use crate::frames::checksum;
use crate::kinds::MessageKind;
use crate::machine::Machine;
use crate::network::{Envelope, Made, Stranger};
use crate::trace::Told;
use crate::violation::{Checked, check};
use crate::world::World;

impl World {
    /// Somebody who does not belong here says the same.
    pub(crate) fn send_as_stranger(
        &mut self,
        member: MemberIndex,
        to: NodeSet,
        payload: &Payload<'_>,
        stranger: Stranger,
        header: &Header,
    ) {
        let kind = MessageKind::of(payload);
        let Some(receiver) = to.iter().find(|receiver| receiver.place() < self.nodes.len()) else {
            return;
        };
        let (way, made) = ((member, receiver), Made::Foreign(stranger));
        let what = format_args!("{kind} of another {stranger:?}");
        self.send_made_up(way, (header, payload), made, ("stranger", what));
    }

    /// A frame that `from` never meant goes out on its way; the transcript is told so.
    pub(crate) fn send_made_up(
        &mut self,
        (from, to): (MemberIndex, MemberIndex),
        (header, payload): (&Header, &Payload<'_>),
        made: Made,
        (word, what): (&'static str, fmt::Arguments<'_>),
    ) {
        let kind = MessageKind::of(payload);
        let mut frame = BytesMut::new();
        wire::encode_with(crc32c::crc32c_append, header, payload, &mut frame);
        let number = self.next_frame;
        self.next_frame += 1;
        let bytes = checksum(&frame);
        let frame = frame.freeze();
        let envelope = Envelope { number, from, to, kind, frame, made };
        let fate = self.network.send(self.now, envelope, &mut self.arrivals);
        self.trace.tell(self.now, from, word, number ^ bytes, || Told {
            text: format!("→ m{} {what}  #{number}", to.0),
            message: Some(number),
            kind: Some(kind),
            peer: Some(to),
            fate: Some(fate),
            ..Told::default()
        });
    }

    /// Whether `member` can tell that what this stranger says is not of a member. Another
    /// incarnation is known for one only to who has met all members, as whoever has its vote has
    /// (R10); and a member that lost its disk may ask for what is chosen.
    pub(crate) fn can_tell(
        &self,
        member: MemberIndex,
        stranger: Stranger,
        kind: MessageKind,
    ) -> bool {
        match stranger {
            Stranger::Cluster | Stranger::Group | Stranger::Epoch | Stranger::Node => true,
            Stranger::Incarnation => {
                kind != MessageKind::Learn && self.checkers.images().of(member).votes
            }
        }
    }
}

/// What a replica has come to. Nothing of it may change by a frame of a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standpoint {
    promised: Ballot,
    decided: Slot,
    applied: Slot,
    next_slot: Slot,
    standing: Standing,
    leader: Option<Ballot>,
}

impl Standpoint {
    pub(crate) fn of(service: &Service<Machine>) -> Self {
        let replica = service.replica();
        Self {
            promised: replica.promised(),
            decided: replica.decided(),
            applied: replica.applied(),
            next_slot: replica.next_slot(),
            standing: replica.standing(),
            leader: replica.leader(),
        }
    }
}

/// A frame of a stranger is refused, for the right reason, and changes nothing.
pub(crate) fn no_effect(
    envelope: &Envelope,
    stranger: Stranger,
    taken: &Result<(), PeerMisbehaved>,
    before: &Standpoint,
    after: &Standpoint,
) -> Checked {
    let refused = taken.as_ref().is_err_and(|fault| stranger.is_told_by(fault));
    check!(
        Contract,
        refused,
        "{envelope} is of another {stranger:?}, and what is said of it is {taken:?}"
    );
    check!(
        Contract,
        before == after,
        "{envelope} is of another {stranger:?}, and had an effect: {before:?} became {after:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use synod_core::{ClusterId, GroupId};

    use super::*;
    use crate::violation::Property;

    #[test]
    fn a_stranger_that_is_heard_is_a_violation() {
        let (from, to) = (MemberIndex(0), MemberIndex(1));
        let (kind, made) = (MessageKind::Beat, Made::Foreign(Stranger::Group));
        let envelope = Envelope { number: 1, from, to, kind, frame: Bytes::new(), made };
        let before = Standpoint {
            promised: Ballot::ZERO,
            decided: Slot(3),
            applied: Slot(3),
            next_slot: Slot(3),
            standing: Standing::Following,
            leader: None,
        };
        let judge = |taken, after| no_effect(&envelope, Stranger::Group, &taken, &before, &after);
        let refused = Err(PeerMisbehaved::WrongGroup(GroupId(7)));
        assert_eq!(judge(refused, before), Ok(()));
        let heard = judge(Ok(()), before).expect_err("it was taken in");
        assert_eq!(heard.property, Property::Contract);
        judge(Err(PeerMisbehaved::WrongCluster(ClusterId(7))), before).expect_err("another reason");
        let moved = Standpoint { decided: Slot(4), ..before };
        judge(refused, moved).expect_err("it had an effect");
    }
}
