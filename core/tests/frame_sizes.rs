//! The longest frame, which hosts set memory aside for: what each part of it is worth.

use bytes::Bytes;
use synod_core::wire::{Payload, encoded_len, frame_bytes_max};
use synod_core::{
    Ballot, Beat, Incarnation, Kind, Limits, Message, NodeId, NodeSet, Proposal, Slot,
};

/// Limits as small as they come.
fn least() -> Limits {
    Limits { decree_bytes_max: 1, run_slots_max: 1, run_bytes_max: 1, ..Limits::default() }
}

/// A run in which each proposal spells out its slot and its ballot, and holds nothing else.
fn spelled_out(count: usize) -> Vec<Proposal<Bytes>> {
    let proposal = |place: u64| Proposal {
        slot: Slot(1000 - 10 * place),
        ballot: Ballot { round: 5 + place, node: NodeId(1) },
        decree: Kind::Noop,
    };
    (0..count as u64).map(proposal).collect()
}

/// A beat holds no proposal and is longer than what stands before those in any other message. With
/// the least limits the frame is not long enough for it by accident.
#[test]
fn a_beat_fits_whatever_the_limits_are() {
    let ballot = Ballot { round: 7, node: NodeId(1) };
    let beat = Beat {
        leader: ballot,
        round: 3,
        promised: ballot,
        decided: Slot(9),
        hears: NodeSet::first(3),
        roster: std::array::from_fn(|_| Incarnation::NONE),
    };
    let payload = Payload::Replica(Message::Beat(beat));
    let (len, most) = (encoded_len(&payload), frame_bytes_max(&least()));
    assert!(len <= most, "{len} bytes, of {most}");
}

/// One slot more in a run is room for one proposal more, in the encoding that takes most, and for
/// no byte beside it.
#[test]
fn a_slot_more_in_a_run_makes_room_for_a_proposal_more() {
    let len = |count| {
        let ballot = Ballot { round: 9, node: NodeId(2) };
        let (from, run) = (Slot(1), spelled_out(count));
        let message = Message::Accept { ballot, from, decided: from, proposals: &run };
        encoded_len(&Payload::Replica(message))
    };
    let most = |count| frame_bytes_max(&Limits { run_slots_max: count, ..least() });
    for count in 1..=4 {
        assert_eq!(most(count + 1) - most(count), len(count + 1) - len(count), "{count}");
    }
}
