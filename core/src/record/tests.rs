//! Records, there and back, and every way to refuse one.

use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    Ballot, Body, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, NodeId, Proposal, Record,
    Slot,
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
