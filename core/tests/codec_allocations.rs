//! The codecs do not allocate in steady state: neither per frame, per record nor per decree.

mod counting;

use bytes::{Bytes, BytesMut};
use counting::allocations;
use synod_core::record::{self, Stamp};
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Body, Header, Kind, Limits, Message, NodeId, Proposal, Record, Slot};

fn run() -> Vec<Proposal<Bytes>> {
    let ballot = Ballot { round: 4, node: NodeId(2) };
    let decree = || Kind::App(Bytes::from(vec![7; 100]));
    (0..200).map(|slot| Proposal { slot: Slot(slot), ballot, decree: decree() }).collect()
}

/// A buffer as a host's: one block of memory from which frames are split off.
fn buffer() -> BytesMut {
    let mut whole = BytesMut::with_capacity(1 << 20);
    let _ = whole.split();
    whole
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(10)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn frames_are_encoded_and_decoded_without_allocating() {
    let run = run();
    let payload = Payload::Replica(Message::Accept {
        ballot: Ballot { round: 4, node: NodeId(2) },
        from: Slot(0),
        proposals: &run,
        decided: Slot(0),
    });
    let (header, mut out) = (Header::default(), buffer());
    let mut decoder = wire::Decoder::new(&Limits::default());
    let count = allocations(|| {
        for _ in 0..20 {
            wire::encode(&header, &payload, &mut out);
            let frame = out.split().freeze();
            assert_eq!(decoder.decode(&frame), Ok((header, payload.clone())));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_small_buffer_grows_once() {
    let run = run();
    let record = Record { promised: Ballot::ZERO, decided: Slot(0), body: Body::Learned(&run) };
    let payload =
        Payload::Replica(Message::Learned { from: Slot(0), proposals: &run, decided: Slot(0) });
    let header = Header::default();
    let frame = allocations(|| wire::encode(&header, &payload, &mut BytesMut::new()));
    assert_eq!(frame, 1);
    let stamp = Stamp::default();
    let record = allocations(|| record::encode(&header, &stamp, &record, &mut BytesMut::new()));
    assert_eq!(record, 1);
}

#[test]
fn records_are_encoded_and_decoded_without_allocating() {
    let run = run();
    let record = Record { promised: Ballot::ZERO, decided: Slot(0), body: Body::Accepted(&run) };
    let (header, stamp, mut out) = (Header::default(), Stamp::default(), buffer());
    let mut decoder = record::Decoder::new();
    let mut turn = || {
        record::encode(&header, &stamp, &record, &mut out);
        let bytes = out.split().freeze();
        let decoded = decoder.decode(&bytes).expect("a sound record");
        assert_eq!(decoded.record, record);
    };
    // The first record sizes the scratch.
    turn();
    let count = allocations(|| (0..20).for_each(|_| turn()));
    assert_eq!(count, 0);
}
