//! What a network does to the bytes themselves: it damages frames, joins the head of one to the
//! tail of another, brings them to somebody else, and carries those of strangers.

use std::fmt;

use bytes::{Bytes, BytesMut};
use synod_core::{Header, Incarnation, MemberIndex, PeerMisbehaved};

use super::{Envelope, Network};
use crate::mischief::Cause;

/// How the bytes of a frame came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    /// As an honest member made them for this receiver.
    Honest,
    /// Made up by a story.
    Forged,
    /// A bit is flipped, or the end is missing. It must not decode.
    Damaged,
    /// The head of one frame and the tail of another. It must not decode.
    Spliced,
    /// Meant for another member. Nothing in it says so.
    Misdirected,
    /// Encoded well, with requests that fit no decree. They must be refused without effect.
    Garbled,
    /// Encoded well, by somebody who does not belong here. It must be refused without effect.
    Foreign(Stranger),
}

/// What is wrong with the header of a foreign frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stranger {
    /// Of another cluster.
    Cluster,
    /// Of another group.
    Group,
    /// Of another configuration.
    Epoch,
    /// Of no member.
    Node,
    /// Of another life of the sender's disk.
    Incarnation,
}

impl Made {
    /// Whether the codec must take it.
    #[must_use]
    pub const fn must_decode(self) -> bool {
        match self {
            Self::Honest | Self::Forged | Self::Misdirected | Self::Garbled | Self::Foreign(_) => {
                true
            }
            Self::Damaged | Self::Spliced => false,
        }
    }

    /// Whether an honest member can be blamed for it.
    #[must_use]
    pub const fn is_honest(self) -> bool {
        match self {
            Self::Honest => true,
            Self::Forged
            | Self::Misdirected
            | Self::Garbled
            | Self::Foreign(_)
            | Self::Damaged
            | Self::Spliced => false,
        }
    }
}

impl Stranger {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Cluster, Self::Group, Self::Epoch, Self::Node, Self::Incarnation];

    /// An honest header, made his.
    #[must_use]
    pub fn header(self, honest: &Header, bits: u64) -> Header {
        let mut header = *honest;
        let other = bits | 1;
        match self {
            Self::Cluster => header.cluster.0 ^= other,
            Self::Group => header.group.0 ^= other,
            Self::Epoch if bits & 2 == 0 => header.epoch.digest ^= other,
            Self::Epoch => header.epoch.number += 1,
            // No member has an id this high.
            Self::Node => header.node.0 = u64::MAX - (bits & 0xFF),
            Self::Incarnation => header.incarnation = Incarnation(header.incarnation.0 ^ other),
        }
        header
    }

    /// Whether this is how a replica refuses him.
    #[must_use]
    pub const fn is_told_by(self, fault: &PeerMisbehaved) -> bool {
        match fault {
            PeerMisbehaved::WrongCluster(_) => matches!(self, Self::Cluster),
            PeerMisbehaved::WrongGroup(_) => matches!(self, Self::Group),
            PeerMisbehaved::WrongEpoch(_) => matches!(self, Self::Epoch),
            PeerMisbehaved::NotAMember(_) => matches!(self, Self::Node),
            PeerMisbehaved::StaleIncarnation(..) => matches!(self, Self::Incarnation),
            PeerMisbehaved::StaleBoot(..)
            | PeerMisbehaved::BadBallot(..)
            | PeerMisbehaved::SlotsNotContiguous(..)
            | PeerMisbehaved::TooLarge(_)
            | PeerMisbehaved::MalformedRequests(_) => false,
        }
    }
}

impl Network {
    /// Sometimes harms what is sent.
    pub(super) fn tamper(&mut self, envelope: Envelope) -> Envelope {
        let envelope = self.damage(envelope);
        let envelope = self.splice(envelope);
        self.misdirect(envelope)
    }

    /// Sometimes flips a bit or cuts the frame short. The receiver's codec must refuse it.
    fn damage(&mut self, mut envelope: Envelope) -> Envelope {
        if !self.gate.strikes(Cause::Damage, self.prng.chance(self.options.damage_ppm)) {
            return envelope;
        }
        self.counts.damaged += 1;
        let mut bytes = BytesMut::from(&envelope.frame[..]);
        if self.prng.chance(250_000) {
            let keep = self.prng.below(bytes.len() as u64) as usize;
            bytes.truncate(keep);
        } else {
            let place = self.prng.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << self.prng.below(8);
        }
        envelope.frame = bytes.freeze();
        envelope.made = Made::Damaged;
        envelope
    }

    /// Sometimes gives the frame the tail of the frame that was sent last, on any link.
    fn splice(&mut self, mut envelope: Envelope) -> Envelope {
        if self.options.splice_ppm == 0 {
            return envelope;
        }
        let drawn = self.tampering.chance(self.options.splice_ppm);
        let strikes = self.gate.strikes(Cause::Splice, drawn);
        if envelope.made == Made::Damaged {
            // Nor is it kept for the next one: a sound head could mend it.
            if strikes {
                self.gate.in_vain(Cause::Splice);
            }
            return envelope;
        }
        let last = std::mem::replace(&mut self.last_frame, envelope.frame.clone());
        if !strikes {
            return envelope;
        }
        let head = self.tampering.below(envelope.frame.len() as u64) as usize;
        let mut bytes = BytesMut::from(&envelope.frame[..head]);
        bytes.extend_from_slice(last.get(head..).unwrap_or_default());
        // What was sent twice has the tail of its copy: then nothing has happened to it.
        if bytes != envelope.frame && bytes != last {
            envelope.frame = bytes.freeze();
            envelope.made = Made::Spliced;
        } else {
            self.gate.in_vain(Cause::Splice);
        }
        envelope
    }

    /// Sometimes brings the frame to another member, perhaps to the one that sent it.
    fn misdirect(&mut self, mut envelope: Envelope) -> Envelope {
        let drawn = self.tampering.chance(self.options.misdirect_ppm);
        if !self.gate.strikes(Cause::Misdirect, drawn) {
            return envelope;
        }
        if !envelope.made.is_honest() {
            self.gate.in_vain(Cause::Misdirect);
            return envelope;
        }
        let to = MemberIndex(self.tampering.below(self.members as u64) as u8);
        if to != envelope.to {
            envelope.to = to;
            envelope.made = Made::Misdirected;
        } else {
            self.gate.in_vain(Cause::Misdirect);
        }
        envelope
    }

    /// Whether a stranger says now what `honest` says, who he is then, and his header.
    pub(crate) fn stranger(&mut self, honest: &Header) -> Option<(Stranger, Header)> {
        let drawn = self.tampering.chance(self.options.foreign_ppm);
        if !self.gate.strikes(Cause::Foreign, drawn) {
            return None;
        }
        let stranger = self.tampering.pick(&Stranger::ALL);
        let bits = self.tampering.bits();
        Some((stranger, stranger.header(honest, bits)))
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honest => f.pad("honest"),
            Self::Forged => f.pad("forged"),
            Self::Damaged => f.pad("damaged"),
            Self::Spliced => f.pad("spliced"),
            Self::Misdirected => f.pad("misdirected"),
            Self::Garbled => f.pad("garbled"),
            Self::Foreign(stranger) => write!(f, "of another {stranger:?}"),
        }
    }
}

/// What nothing was sent before.
pub(super) const NO_FRAME: Bytes = Bytes::new();

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::BytesMut;
    use synod_core::wire::{self, Decoder, Payload};
    use synod_core::{Ballot, Boot, Limits, Message, NodeId, Slot};

    use super::*;
    use crate::clock::Moment;
    use crate::kinds::MessageKind;
    use crate::options::NetworkOptions;
    use crate::prng::PPM;

    fn frame(header: &Header, slot: u64) -> Bytes {
        let mut frame = BytesMut::new();
        let message = Message::Learn { from: Slot(slot) };
        wire::encode_with(crc32c::crc32c_append, header, &Payload::Replica(message), &mut frame);
        frame.freeze()
    }

    /// What arrives of a thousand frames from member 0 to member 1, each with another slot.
    fn sent(options: NetworkOptions) -> Vec<Envelope> {
        let mut network = Network::new(3, options, 5);
        let mut arrivals = Vec::new();
        let header = Header { node: NodeId(1), boot: Boot(1), ..Header::default() };
        for number in 0..1_000 {
            let (from, to) = (MemberIndex(0), MemberIndex(1));
            let (kind, frame) = (MessageKind::Learn, frame(&header, number));
            let envelope = Envelope { number, from, to, kind, frame, made: Made::Honest };
            network.send(Moment::ZERO, envelope, &mut arrivals);
        }
        arrivals.into_iter().map(|(_, envelope)| envelope).collect()
    }

    #[test]
    fn damaged_and_spliced_frames_do_not_decode_and_all_others_do() {
        let sound = NetworkOptions::default();
        let damage = sent(NetworkOptions { damage_ppm: PPM / 2, ..sound });
        let splice = sent(NetworkOptions { splice_ppm: PPM / 2, ..sound });
        for (made, envelopes) in [(Made::Damaged, damage), (Made::Spliced, splice)] {
            let mut decoder = Decoder::with_crc(crc32c::crc32c_append, &Limits::default());
            let struck = envelopes.iter().filter(|envelope| envelope.made == made).count();
            assert!((300..700).contains(&struck), "{struck} {made}");
            for envelope in &envelopes {
                let decoded = decoder.decode(&envelope.frame).is_ok();
                assert_eq!(decoded, envelope.made.must_decode(), "{envelope}");
            }
        }
    }

    #[test]
    fn misdirected_frames_reach_somebody_else() {
        let options = NetworkOptions { misdirect_ppm: PPM, ..NetworkOptions::default() };
        let envelopes = sent(options);
        let reached: BTreeSet<u8> = envelopes.iter().map(|envelope| envelope.to.0).collect();
        assert_eq!(reached.len(), 3, "the sender too");
        for envelope in envelopes {
            assert_eq!(envelope.made.is_honest(), envelope.to == MemberIndex(1));
        }
    }

    #[test]
    fn a_stranger_differs_in_one_thing() {
        let honest = Header { node: NodeId(1), boot: Boot(1), ..Header::default() };
        for stranger in Stranger::ALL {
            for bits in 0..16 {
                let header = stranger.header(&honest, bits);
                let differs = [
                    header.cluster != honest.cluster,
                    header.group != honest.group,
                    header.epoch != honest.epoch,
                    header.node != honest.node,
                    header.incarnation != honest.incarnation,
                ];
                let at = Stranger::ALL.iter().position(|s| *s == stranger).expect("listed");
                for (place, differs) in differs.into_iter().enumerate() {
                    assert_eq!(differs, place == at, "{stranger:?} {bits}");
                }
                assert_eq!(header.boot, honest.boot);
            }
        }
    }

    #[test]
    fn only_the_right_refusal_counts() {
        let refusal = PeerMisbehaved::WrongCluster(synod_core::ClusterId(3));
        assert!(Stranger::Cluster.is_told_by(&refusal));
        assert!(!Stranger::Group.is_told_by(&refusal));
        let late = PeerMisbehaved::StaleBoot(NodeId(1), Boot(1));
        let ballot = PeerMisbehaved::BadBallot(NodeId(1), Ballot::ZERO);
        assert!(Stranger::ALL.iter().all(|s| !s.is_told_by(&late) && !s.is_told_by(&ballot)));
    }
}
