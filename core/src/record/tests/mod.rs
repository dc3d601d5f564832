//! Records, there and back.

mod faults;
mod replay;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::checksum::crc32c;
use crate::wire::{FieldError, seal};
use crate::{
    Ballot, Body, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, NodeId, Proposal, Record,
    Slot,
};

/// No two fields alike, so that a swap does not pass.
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

const STAMP: Stamp = Stamp { generation: Boot(10), position: 0x5150, durable_upto: 0x5148 };

const fn ballot(round: u64, node: u64) -> Ballot {
    Ballot { round, node: NodeId(node) }
}

fn run() -> Vec<Proposal<Bytes>> {
    let app = |slot, ballot, decree: &'static [u8]| Proposal {
        slot: Slot(slot),
        ballot,
        decree: Kind::App(Bytes::from_static(decree)),
    };
    let noop = Proposal { slot: Slot(9), ballot: ballot(4, 2), decree: Kind::Noop };
    vec![app(7, ballot(4, 2), b"x"), app(8, ballot(3, 1), b"decree"), noop]
}

const ROSTER: &[(NodeId, Incarnation)] =
    &[(NodeId(1), Incarnation(0xA1)), (NodeId(2), Incarnation::NONE), (NodeId(3), Incarnation(3))];

/// One record of each body, and the variants that are encoded otherwise.
fn records(run: &[Proposal<Bytes>]) -> Vec<Record<'_, Bytes>> {
    let bodies = [
        Body::Mark,
        Body::Accepted(run),
        Body::Accepted(&[]),
        Body::Learned(run),
        Body::Roster { votes: true, members: ROSTER },
        Body::Roster { votes: false, members: &[] },
    ];
    let record = |body| Record { promised: ballot(4, 2), decided: Slot(6), body };
    bodies.into_iter().map(record).collect()
}

fn bytes_of(record: &Record<'_, Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    encode(&header(), &STAMP, record, &mut out);
    let into = |memory: &mut [u8]| encode_into(&header(), &STAMP, record, memory);
    crate::wire::assert_fits_exactly(&out, into);
    out.freeze()
}

#[test]
fn every_record_comes_back() {
    let run = run();
    let mut decoder = Decoder::new();
    for record in records(&run) {
        let mut bytes = BytesMut::from(&bytes_of(&record)[..]);
        let len = bytes.len();
        assert_eq!(len, encoded_len(&record));
        assert_eq!(len % ALIGNMENT, 0);
        // More may follow.
        bytes.extend_from_slice(b"more of the log");
        let decoded = Decoded { header: header(), stamp: STAMP, record, len };
        assert_eq!(decoder.decode(&bytes.freeze()), Ok(decoded));
    }
}

/// A change of the format must be noticed: raise `VERSION` with it.
#[test]
fn the_bytes_are_those_on_record() {
    let mut text = String::new();
    let run = run();
    for record in records(&run) {
        let name = match record.body {
            Body::Mark => "mark",
            Body::Accepted(_) => "accepted",
            Body::Learned(_) => "learned",
            Body::Roster { .. } => "roster",
        };
        text.push_str(&format!("{name}\n"));
        for line in bytes_of(&record).chunks(32) {
            let line: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("    {line}\n"));
        }
    }
    let golden = include_str!("../golden.txt");
    assert!(text == golden, "the format changed; the records are now\n{text}");
}

#[test]
fn records_follow_each_other() {
    let (run, mut log) = (run(), BytesMut::new());
    for record in records(&run) {
        encode(&header(), &STAMP, &record, &mut log);
    }
    let (mut log, mut decoder) = (log.freeze(), Decoder::new());
    for record in records(&run) {
        assert_eq!(claimed_len(&log), Ok(Some(encoded_len(&record))));
        let decoded = decoder.decode(&log).expect("a sound record");
        assert_eq!(decoded.record, record);
        let len = decoded.len;
        log = log.slice(len..);
    }
    assert!(log.is_empty());
}

#[test]
fn decrees_are_not_copied() {
    let run = run();
    let record = Record { promised: ballot(4, 2), decided: Slot(6), body: Body::Accepted(&run) };
    let bytes = bytes_of(&record);
    let mut decoder = Decoder::new();
    let decoded = decoder.decode(&bytes).expect("a sound record");
    let Body::Accepted(proposals) = decoded.record.body else { panic!("another body came back") };
    let range = bytes.as_ptr_range();
    for proposal in proposals {
        if let Kind::App(decree) = &proposal.decree {
            let decree = decree.as_ptr_range();
            assert!(range.start <= decree.start && decree.end <= range.end);
        }
    }
    assert!(!bytes.is_unique());
    decoder.clear();
    assert!(bytes.is_unique(), "the decoder lets go of the bytes when told");
}

#[test]
fn the_same_decree_bytes_stand_in_frame_and_record() {
    use crate::Message;
    use crate::wire::{self, Payload};

    let run = run();
    let record = Record { promised: ballot(4, 2), decided: Slot(6), body: Body::Accepted(&run) };
    let message =
        Message::Accept { ballot: ballot(4, 2), from: Slot(7), proposals: &run, decided: Slot(6) };
    let mut frame = BytesMut::new();
    wire::encode(&header(), &Payload::Replica(message), &mut frame);
    let record = bytes_of(&record);
    let len = frame.len() - wire::FRAME_BYTES_MIN - 36;
    assert_eq!(frame[frame.len() - len..], record[RECORD_BYTES_MIN..RECORD_BYTES_MIN + len]);
}

#[test]
fn a_checksum_of_the_hosts_own_is_used_both_ways() {
    fn other(seed: u32, bytes: &[u8]) -> u32 {
        !crc32c(!seed, bytes)
    }
    let record = Record { promised: ballot(4, 2), decided: Slot(6), body: Body::Mark };
    let mut out = BytesMut::new();
    encode_with(other, &header(), &STAMP, &record, &mut out);
    let bytes = out.freeze();
    assert!(Decoder::with_crc(other).decode(&bytes).is_ok());
    let refused = Decoder::default().decode(&bytes).expect_err("the checksum is another");
    assert!(matches!(refused, RecordError::Checksum { .. }));
}
