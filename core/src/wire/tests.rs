//! Frames, there and back, and every way to refuse one.

use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    Ballot, Beat, Boot, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, Limits, NodeId,
    NodeSet, Proposal, Slot,
};

/// Every field of another value, so that two that are swapped do not pass.
fn header() -> Header {
    Header {
        cluster: ClusterId(0x0101_0203_0405_0607),
        group: GroupId(0x1112_1314_1516_1718),
        epoch: Epoch { number: 1, first: Slot(0x2122), digest: 0x3132_3334_3536_3738 },
        node: NodeId(3),
        incarnation: Incarnation(0x4142_4344_4546_4748),
        boot: Boot(9),
    }
}

const fn ballot(round: u64, node: u64) -> Ballot {
    Ballot { round, node: NodeId(node) }
}

fn app(slot: u64, ballot: Ballot, decree: &'static [u8]) -> Proposal<Bytes> {
    Proposal { slot: Slot(slot), ballot, decree: Kind::App(Bytes::from_static(decree)) }
}

/// A run of one ballot with a no-op and an empty decree in it.
fn run() -> Vec<Proposal<Bytes>> {
    let noop = Proposal { slot: Slot(9), ballot: ballot(4, 2), decree: Kind::Noop };
    vec![
        app(7, ballot(4, 2), b"x"),
        app(8, ballot(4, 2), b"decree"),
        noop,
        app(10, ballot(4, 2), b""),
    ]
}

/// A run whose ballots change, with a gap in it.
fn patchwork() -> Vec<Proposal<Bytes>> {
    vec![
        app(7, ballot(1, 1), b"a"),
        app(8, ballot(4, 2), b"bc"),
        app(12, ballot(4, 2), b"d"),
        app(11, ballot(0, 0), b"e"),
    ]
}

/// One message of each kind, and the variants that are encoded otherwise.
fn messages<'a>(
    run: &'a [Proposal<Bytes>],
    patchwork: &'a [Proposal<Bytes>],
) -> Vec<Message<'a, Bytes>> {
    let mut beat = Beat {
        leader: ballot(4, 2),
        round: 77,
        promised: ballot(5, 1),
        decided: Slot(6),
        hears: NodeSet(0b1_0000_0101),
        ..Beat::default()
    };
    for (place, incarnation) in beat.roster.iter_mut().enumerate() {
        *incarnation = Incarnation(0xA0 + place as u64);
    }
    let promise = |from, proposals| Message::Promise {
        ballot: ballot(4, 2),
        from: Slot(from),
        end: Slot(11),
        limit: Slot(20),
        decided: Slot(5),
        retained: Slot(2),
        proposals,
    };
    vec![
        Message::Beat(beat),
        Message::Prepare { ballot: ballot(4, 2), from: Slot(7) },
        promise(7, run),
        promise(3, patchwork),
        Message::Accept { ballot: ballot(4, 2), from: Slot(7), proposals: run, decided: Slot(6) },
        Message::Accept { ballot: ballot(4, 2), from: Slot(7), proposals: &[], decided: Slot(6) },
        Message::Accepted { ballot: ballot(4, 2), end: Slot(11), resend: true },
        Message::Nack { refused: ballot(4, 2), promised: ballot(5, 1) },
        Message::Learn { from: Slot(7) },
        Message::Learned { from: Slot(7), proposals: patchwork, decided: Slot(30) },
    ]
}

fn frame(payload: &Payload<'_>) -> Bytes {
    let mut out = BytesMut::new();
    encode(&header(), payload, &mut out);
    out.freeze()
}

#[test]
fn every_message_comes_back() {
    let (run, patchwork) = (run(), patchwork());
    let mut decoder = Decoder::new(&Limits::default());
    for message in messages(&run, &patchwork) {
        let payload = Payload::Replica(message);
        let frame = frame(&payload);
        assert_eq!(frame.len(), encoded_len(&payload), "{payload:?}");
        assert_eq!(frame_len(&frame, frame.len()), Ok(Some(frame.len())));
        assert_eq!(decoder.decode(&frame), Ok((header(), payload)));
    }
}
