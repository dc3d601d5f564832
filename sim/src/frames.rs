//! Frames: how a process takes one in, and how it sends one.

use bytes::BytesMut;
use synod_core::service::{Input, ServiceMessage};
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Event, Header, MemberIndex, NodeSet, PeerMisbehaved};

use crate::checkers::images::hash;
use crate::checkers::{Caller, Taken};
use crate::garbled::is_refused;
use crate::kinds::MessageKind;
use crate::meter::Part;
use crate::network::{Envelope, Made};
use crate::node::Process;
use crate::strangers::{Standpoint, no_effect};
use crate::trace::Told;
use crate::turn::own;
use crate::violation::{Checked, check};
use crate::world::{DEADLINE, World};

impl World {
    pub(crate) fn take_frame(
        &mut self,
        member: MemberIndex,
        process: &mut Process,
        envelope: &Envelope,
    ) -> Checked {
        let Process { service, decoder, told, .. } = process;
        // Honest bytes are those that were sent, and noted then.
        let bytes = if envelope.made.is_honest() { 0 } else { hash(&envelope.frame) };
        let detail = envelope.number ^ bytes;
        self.trace.tell(self.now, member, "gets", detail, || Told::came(envelope));
        let frame = &envelope.frame;
        let decoded = match self.meter.during(Part::Network, move || decoder.decode(frame)) {
            Ok(decoded) => decoded,
            Err(error) => {
                check!(
                    Contract,
                    !envelope.made.must_decode(),
                    "{envelope} does not decode as it was encoded: {error}"
                );
                return Ok(());
            }
        };
        check!(Contract, envelope.made.must_decode(), "{envelope} is taken for a whole frame");
        let (header, payload) = decoded;
        let mut before = None;
        if let Made::Foreign(stranger) = envelope.made {
            if !self.can_tell(member, stranger, envelope.kind) {
                return Ok(());
            }
            // What is due anyway is no effect of the frame.
            own(service.handle(*told, Input::Replica(DEADLINE)))?;
            before = Some((stranger, Standpoint::of(service)));
        }
        let looked_at = match &payload {
            Payload::Replica(message) => Taken::of(message),
            Payload::Service(_) => None,
        };
        let answer = answer_in(&payload);
        let outer = self.meter.enter(Part::Core);
        let taken = match payload {
            Payload::Replica(message) => {
                service.handle(*told, Input::Replica(Event::Received { header, message }))
            }
            Payload::Service(message) => service.handle(*told, Input::Service { header, message }),
        };
        self.meter.enter(outer);
        if taken.is_ok() {
            self.checkers.on_taken(member, (envelope.from, header.boot), looked_at.as_ref());
            if envelope.kind == MessageKind::Learned {
                self.checkers.on_learned(member);
            }
            if let Some(answer) = answer {
                self.checkers.on_service_taken(caller(member, &process.header), answer);
            }
        }
        if let Some((stranger, before)) = before {
            // Whoever has stopped does not look at anything.
            if service.replica().is_stopped() && taken.is_ok() {
                return Ok(());
            }
            return no_effect(envelope, stranger, &taken, &before, &Standpoint::of(service));
        }
        if envelope.made == Made::Garbled {
            let late = taken.is_err_and(|fault| self.is_late(&fault, envelope.from));
            return is_refused(envelope, &taken, (late, service.replica().is_stopped()));
        }
        taken.or_else(|fault| self.blame(member, envelope, &fault))
    }

    /// A member refuses a message: it has to have a reason.
    fn blame(
        &mut self,
        member: MemberIndex,
        envelope: &Envelope,
        fault: &PeerMisbehaved,
    ) -> Checked {
        self.stats.blamed += 1;
        self.trace.tell(self.now, member, "blames", envelope.number, || {
            let text = format!("{}: {fault}", Told::came(envelope).text);
            Told { text, ..Told::came(envelope) }
        });
        let late = self.is_late(fault, envelope.from);
        check!(
            Contract,
            late || !envelope.made.is_honest(),
            "member {} blames the honest {envelope}: {fault}",
            member.0
        );
        Ok(())
    }

    /// Messages of an earlier run are late, not wrong, and a member whose disk was replaced is
    /// refused for good. Nothing else can be held against an honest member.
    fn is_late(&self, fault: &PeerMisbehaved, from: MemberIndex) -> bool {
        match fault {
            PeerMisbehaved::StaleBoot(..) => true,
            PeerMisbehaved::StaleIncarnation(..) => self.nodes[from.place()].wiped,
            PeerMisbehaved::WrongCluster(_)
            | PeerMisbehaved::WrongGroup(_)
            | PeerMisbehaved::WrongEpoch(_)
            | PeerMisbehaved::NotAMember(_)
            | PeerMisbehaved::BadBallot(..)
            | PeerMisbehaved::SlotsNotContiguous(..)
            | PeerMisbehaved::TooLarge(_)
            | PeerMisbehaved::MalformedRequests(_) => false,
        }
    }

    pub(crate) fn transmit(
        &mut self,
        member: MemberIndex,
        process: &Process,
        to: NodeSet,
        payload: &Payload<'_>,
    ) -> Checked {
        self.send(member, &process.header, to, payload)
    }

    pub(crate) fn send(
        &mut self,
        member: MemberIndex,
        header: &Header,
        to: NodeSet,
        payload: &Payload<'_>,
    ) -> Checked {
        let outer = self.meter.enter(Part::Checkers);
        match payload {
            Payload::Replica(message) => {
                self.checkers.on_send(member, header.boot, to, message)?;
            }
            Payload::Service(message) => {
                self.checkers.on_service_send(caller(member, header), to, message)?;
            }
        }
        self.meter.enter(Part::Network);
        let kind = MessageKind::of(payload);
        let mut frame = BytesMut::new();
        wire::encode_with(crc32c::crc32c_append, header, payload, &mut frame);
        let bytes = checksum(&frame);
        let frame = frame.freeze();
        for receiver in to.iter().filter(|receiver| receiver.place() < self.nodes.len()) {
            let number = self.next_frame;
            self.next_frame += 1;
            let envelope = Envelope {
                number,
                from: member,
                to: receiver,
                kind,
                frame: frame.clone(),
                made: Made::Honest,
            };
            let fate = self.network.send(self.now, envelope, &mut self.arrivals);
            self.trace.tell(self.now, member, "sends", number ^ bytes, || {
                Told::sent(number, receiver, payload, fate)
            });
        }
        self.send_garbled((member, to), header, payload);
        if let Some((stranger, header)) = self.network.stranger(header) {
            self.send_as_stranger(member, to, payload, stranger, &header);
        }
        self.meter.enter(outer);
        self.post_arrivals();
        Ok(())
    }
}

/// What a leader says that it took, if this is such an answer.
fn answer_in(payload: &Payload<'_>) -> Option<(Ballot, u64, u64)> {
    match *payload {
        Payload::Service(ServiceMessage::Taken { ballot, number, last }) => {
            Some((ballot, number, last))
        }
        Payload::Service(ServiceMessage::Forward { .. }) | Payload::Replica(_) => None,
    }
}

/// The run of `member` that says things with this header.
const fn caller(member: MemberIndex, header: &Header) -> Caller {
    Caller { node: member, incarnation: header.incarnation, boot: header.boot }
}

/// The checksum that a frame carries, moved out of the way of its number.
pub(crate) fn checksum(frame: &[u8]) -> u64 {
    let bytes = frame.get(CHECKSUM).and_then(|bytes| bytes.try_into().ok());
    u64::from(u32::from_le_bytes(bytes.unwrap_or_default())) << 32
}

/// Where a frame carries it.
const CHECKSUM: std::ops::Range<usize> = 8..12;

#[cfg(test)]
mod tests {
    use synod_core::{Boot, ClusterId, Configuration, GroupId, Incarnation, NodeId};

    use super::*;

    #[test]
    fn a_frame_that_says_something_else_has_another_checksum() {
        let configuration = Configuration::first(&[NodeId(1)]).expect("a member");
        let header = Header {
            cluster: ClusterId(1),
            group: GroupId(1),
            epoch: configuration.epoch(),
            node: NodeId(1),
            incarnation: Incarnation(1),
            boot: Boot(1),
        };
        let sums = [1, 2].map(|last| {
            let message = ServiceMessage::Taken { ballot: Ballot::ZERO, number: 1, last };
            let mut frame = BytesMut::new();
            let payload = Payload::Service(message);
            wire::encode_with(crc32c::crc32c_append, &header, &payload, &mut frame);
            assert_eq!(
                checksum(&frame) >> 32,
                u64::from({
                    let rest = [&frame[..8], &frame[12..]].concat();
                    crc32c::crc32c(&rest)
                })
            );
            checksum(&frame)
        });
        assert_ne!(sums[0], sums[1]);
    }
}
