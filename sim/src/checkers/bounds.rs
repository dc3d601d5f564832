//! Bounds: writes in flight, slots and bytes of a message, and the window.

use bytes::Bytes;
use synod_core::{Limits, MemberIndex, Message, Proposal, Slot};

use super::images::Images;
use crate::violation::{Checked, check};

/// A write was handed out; `images` has it already.
///
/// # Errors
/// Bounds.
pub fn on_persist(images: &Images, limits: &Limits, node: MemberIndex) -> Checked {
    let in_flight = images.in_flight(node);
    check!(
        Bounds,
        in_flight <= limits.writes_in_flight_max,
        "member {} has {in_flight} writes in flight, the limit is {}",
        node.0,
        limits.writes_in_flight_max
    );
    Ok(())
}

/// A message leaves.
///
/// # Errors
/// Bounds.
pub fn on_send(
    images: &Images,
    limits: &Limits,
    node: MemberIndex,
    message: &Message<'_, Bytes>,
) -> Checked {
    match message {
        Message::Promise { proposals, .. } | Message::Learned { proposals, .. } => {
            run(limits, node, proposals, message.name())
        }
        Message::Accept { proposals, .. } => {
            run(limits, node, proposals, message.name())?;
            let end = proposals.last().map_or(Slot::ZERO, |last| last.slot.next());
            let limit = images.chosen_end().plus(2 * limits.window as u64);
            check!(
                Bounds,
                end <= limit,
                "member {} proposes up to {end}, but no replica keeps slots from {limit} on",
                node.0
            );
            Ok(())
        }
        Message::Beat(_)
        | Message::Prepare { .. }
        | Message::Accepted { .. }
        | Message::Nack { .. }
        | Message::Learn { .. } => Ok(()),
    }
}

fn run(limits: &Limits, node: MemberIndex, run: &[Proposal<Bytes>], name: &str) -> Checked {
    let bytes: usize = run.iter().map(|proposal| proposal.decree.size_bytes()).sum();
    check!(
        Bounds,
        run.len() <= limits.run_slots_max,
        "member {} sends {} slots in one {name}, the limit is {}",
        node.0,
        run.len(),
        limits.run_slots_max
    );
    check!(
        Bounds,
        bytes <= limits.run_bytes_max || run.len() == 1,
        "member {} sends {bytes} bytes in one {name}, the limit is {}",
        node.0,
        limits.run_bytes_max
    );
    Ok(())
}
