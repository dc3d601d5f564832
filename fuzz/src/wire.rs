//! Targets: frames.

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use synod_core::checksum::crc32c;
use synod_core::service::ServiceMessage;
use synod_core::wire::{
    self, Decoder, FRAME_BYTES_MIN, MAGIC, Payload, VERSION, WireError, frame_bytes_max, frame_len,
};
use synod_core::{Header, Limits, Message, Proposal};

use crate::forge::{Damage, Layout, measure, seal};
use crate::plan::{BallotPlan, HeaderPlan, MessagePlan};

const LAYOUT: Layout = Layout { length_at: 0, checksum_at: 8 };

const LIMITS: Limits = Limits {
    window: 16,
    past_bytes_max: 1 << 20,
    decree_bytes_max: 1 << 12,
    run_slots_max: 64,
    run_bytes_max: 1 << 12,
    writes_in_flight_max: 1,
};

/// Any bytes from a socket: as they are, and behind a prefix, length and checksum that are right.
/// Returns how many of the two were taken for a frame.
///
/// # Panics
/// When a frame that was taken is not the one encoding of what it says.
pub fn bytes(bytes: &[u8]) -> usize {
    let as_they_are = decode(bytes).is_ok();
    let Some((kind, body)) = bytes.split_first() else { return 0 };
    let prefix = [&[0; 4], &MAGIC[..], &[VERSION, *kind], &[0; 4]].concat();
    let mut forged = [&prefix, body].concat();
    measure(&mut forged, LAYOUT);
    seal(&mut forged, LAYOUT);
    let forged = decode(&forged);
    assert!(!matches!(forged, Err(WireError::Checksum { .. })), "the checksum is right");
    usize::from(as_they_are) + usize::from(forged.is_ok())
}

/// A message, and what happens to its frame.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    header: HeaderPlan,
    message: AnyPlan,
    damage: Damage,
}

#[derive(Clone, Debug, Arbitrary)]
enum AnyPlan {
    Replica(MessagePlan),
    Forward { ballot: BallotPlan, number: u64, after: u64, requests: Vec<u8> },
    Taken { ballot: BallotPlan, number: u64, last: u64 },
}

impl Case {
    /// The frame of the message, without the damage.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.with(|header, payload| wire::encode(&header, &payload, &mut out));
        out.freeze()
    }

    fn with<R>(&self, then: impl FnOnce(Header, Payload<'_>) -> R) -> R {
        let proposals;
        let payload = match &self.message {
            AnyPlan::Replica(plan) => {
                proposals = plan.proposals();
                Payload::Replica(plan.message(&proposals))
            }
            AnyPlan::Forward { ballot, number, after, requests } => {
                Payload::Service(ServiceMessage::Forward {
                    ballot: ballot.ballot(),
                    number: *number,
                    after: *after,
                    requests: Bytes::copy_from_slice(requests),
                })
            }
            AnyPlan::Taken { ballot, number, last } => {
                let (ballot, number, last) = (ballot.ballot(), *number, *last);
                Payload::Service(ServiceMessage::Taken { ballot, number, last })
            }
        };
        then(self.header.header(), payload)
    }
}

/// A message comes back from its frame; a damaged frame is refused or says something else.
/// Returns whether the damaged one was taken.
///
/// # Panics
/// When a message does not come back, or a damaged frame passes for a sound one.
pub fn message(case: &Case) -> bool {
    let frame = case.frame();
    case.with(|header, payload| {
        assert_eq!(frame.len(), wire::encoded_len(&payload));
        // Up to here decrees are copied: any length will do.
        let copied = frame.last().map_or(0, |byte| usize::from(*byte) % 32);
        let mut parts = wire::Parts::new(copied);
        parts.encode_with(crc32c, &header, &payload);
        assert_eq!(parts.drain().collect::<Vec<_>>().concat(), frame);
        let mut decoder = Decoder::new(&LIMITS);
        match decoder.decode(&frame) {
            Ok(decoded) => assert_eq!(decoded, (header, payload)),
            Err(error) => assert!(exceeds_limits(&payload, &frame), "{error}: {payload:?}"),
        }
    });
    let damaged = case.damage.done_to(&frame, LAYOUT);
    decode(&damaged).is_ok() && damaged != frame
}

fn exceeds_limits(payload: &Payload<'_>, frame: &Bytes) -> bool {
    frame.len() > frame_bytes_max(&LIMITS) || run(payload).len() > LIMITS.run_slots_max
}

/// Decodes `bytes`. What is taken lies within `bytes`, and encodes to them again.
fn decode(bytes: &[u8]) -> Result<(), WireError> {
    let frame = Bytes::copy_from_slice(bytes);
    let longest = frame_bytes_max(&LIMITS);
    let mut decoder = Decoder::new(&LIMITS);
    let (header, payload) = decoder.decode(&frame)?;
    assert_eq!(frame_len(bytes, longest), Ok(Some(bytes.len())), "prefix and frame agree");
    assert!(bytes.len() >= FRAME_BYTES_MIN);
    assert!(run(&payload).len() <= LIMITS.run_slots_max);
    let held: usize = run(&payload).iter().map(|proposal| proposal.decree.size_bytes()).sum();
    assert!(held <= bytes.len(), "decrees lie in the frame");
    let mut again = BytesMut::new();
    wire::encode(&header, &payload, &mut again);
    assert_eq!(again, bytes, "there is one encoding");
    Ok(())
}

fn run<'a>(payload: &'a Payload<'_>) -> &'a [Proposal<Bytes>] {
    match payload {
        Payload::Replica(
            Message::Promise { proposals, .. }
            | Message::Accept { proposals, .. }
            | Message::Learned { proposals, .. },
        ) => proposals,
        Payload::Replica(
            Message::Beat(_)
            | Message::Prepare { .. }
            | Message::Accepted { .. }
            | Message::Nack { .. }
            | Message::Learn { .. },
        )
        | Payload::Service(_) => &[],
    }
}
