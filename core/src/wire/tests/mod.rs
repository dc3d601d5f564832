//! Frames, there and back, and every way to refuse one.

mod faults;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::checksum::crc32c;
use crate::service::ServiceMessage;
use crate::{
    Ballot, Beat, Boot, ClusterId, Epoch, GroupId, Header, Incarnation, Kind, Limits, NodeId,
    NodeSet, Proposal, Slot,
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
    assert_fits_exactly(&out, |memory| encode_into(&header(), payload, memory));
    out.freeze()
}

/// The samples of the protocol and one message of each kind of the service.
fn payloads<'a>(
    run: &'a [Proposal<Bytes>],
    patchwork: &'a [Proposal<Bytes>],
) -> Vec<(&'static str, Payload<'a>)> {
    let (requests, empty) = (Bytes::from_static(b"requests"), Bytes::new());
    let forward =
        |requests| ServiceMessage::Forward { ballot: ballot(4, 2), number: 5, after: 3, requests };
    let taken = ServiceMessage::Taken { ballot: ballot(4, 2), number: 5, last: 4 };
    let protocol = messages(run, patchwork).into_iter();
    let service = [forward(requests), forward(empty), taken].into_iter();
    protocol
        .map(|message| (message.name(), Payload::Replica(message)))
        .chain(service.map(|message| (message.name(), Payload::Service(message))))
        .collect()
}

/// The frames of all samples.
fn frames() -> Vec<Bytes> {
    let (run, patchwork) = (run(), patchwork());
    payloads(&run, &patchwork).iter().map(|(_, payload)| frame(payload)).collect()
}

/// `frame` with `bytes` in place of what stands at `at`, under a checksum that is right again: what
/// a faulty or hostile sender may send.
fn forged(frame: &[u8], at: usize, bytes: &[u8]) -> Bytes {
    let mut frame = frame.to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    resealed(frame)
}

/// `frame` with its length and its checksum set right.
fn resealed(mut frame: Vec<u8>) -> Bytes {
    let len = frame.len() as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    seal(crc32c, &mut frame, PREFIX_BYTES);
    frame.into()
}

fn decoder() -> Decoder {
    Decoder::new(&Limits::default())
}

/// Why `frame` is refused.
fn refusal(frame: &Bytes) -> WireError {
    decoder().decode(frame).expect_err("the frame must be refused")
}

#[test]
fn every_message_comes_back() {
    let (run, patchwork) = (run(), patchwork());
    let mut decoder = decoder();
    for (_, payload) in payloads(&run, &patchwork) {
        let frame = frame(&payload);
        assert_eq!(frame.len(), encoded_len(&payload), "{payload:?}");
        assert_eq!(frame_len(&frame, frame.len()), Ok(Some(frame.len())));
        assert_eq!(decoder.decode(&frame), Ok((header(), payload)));
    }
}

/// A change of the format must be noticed: raise `VERSION` with it.
#[test]
fn the_bytes_are_those_on_record() {
    let mut text = String::new();
    let (run, patchwork) = (run(), patchwork());
    for (name, payload) in payloads(&run, &patchwork) {
        let frame = frame(&payload);
        text.push_str(&format!("{name}\n"));
        for line in frame.chunks(36) {
            let line: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            text.push_str(&format!("    {line}\n"));
        }
    }
    let golden = include_str!("../golden.txt");
    assert!(text == golden, "the format changed; the frames are now\n{text}");
}

#[test]
fn frames_of_a_stream_are_cut_apart() {
    let mut stream = BytesMut::new();
    let payload = Payload::Replica(Message::Learn { from: Slot(1) });
    encode(&header(), &payload, &mut stream);
    encode(&header(), &payload, &mut stream);
    let len = encoded_len(&payload);
    assert_eq!(stream.len(), 2 * len, "each frame is appended");
    for end in 0..PREFIX_BYTES {
        assert_eq!(frame_len(&stream[..end], len), Ok(None), "{end} bytes tell nothing yet");
    }
    let mut decoder = decoder();
    while let Ok(Some(len)) = frame_len(&stream, len) {
        let frame = stream.split_to(len).freeze();
        assert_eq!(decoder.decode(&frame), Ok((header(), payload.clone())));
    }
    assert!(stream.is_empty());
}

/// The address range of `bytes`.
fn range(bytes: &[u8]) -> Range<*const u8> {
    bytes.as_ptr_range()
}

#[test]
fn decrees_are_not_copied() {
    let run = run();
    let message =
        Message::Accept { ballot: ballot(4, 2), from: Slot(7), proposals: &run, decided: Slot(6) };
    let frame = frame(&Payload::Replica(message));
    let mut decoder = decoder();
    let (_, payload) = decoder.decode(&frame).expect("a sound frame");
    let Payload::Replica(Message::Accept { proposals, .. }) = payload else {
        panic!("another message came back: {payload:?}")
    };
    for (proposal, sent) in proposals.iter().zip(&run) {
        if let (Kind::App(decree), Kind::App(sent)) = (&proposal.decree, &sent.decree) {
            assert_eq!(decree, sent);
            if !decree.is_empty() {
                assert!(range(&frame).start <= range(decree).start);
                assert!(range(decree).end <= range(&frame).end);
            }
        }
    }
    // The decrees keep the memory of the frame; the decoder lets go of it when told.
    assert!(!frame.is_unique());
    decoder.clear();
    assert!(frame.is_unique());
}

#[test]
fn parts_are_the_frame_and_large_decrees_are_not_copied() {
    let (run, patchwork) = (run(), patchwork());
    for (_, payload) in payloads(&run, &patchwork) {
        for copied in [0, 1, 5, 6] {
            let mut parts = Parts::new(copied);
            // What was not drained is gone.
            parts.encode_with(crc32c, &Header::default(), &payload);
            parts.encode_with(crc32c, &header(), &payload);
            assert_eq!(parts.len(), encoded_len(&payload));
            let lends = parts.lends(&payload);
            let gathered: Vec<_> = parts.drain().collect();
            assert!(parts.is_empty());
            assert_eq!(gathered.concat(), frame(&payload), "{payload:?}");
            assert!(gathered.iter().all(|part| !part.is_empty()));
            let proposals = match &payload {
                Payload::Replica(message) => message.proposals(),
                Payload::Service(_) => &[],
            };
            let mut lent = 0;
            for proposal in proposals {
                let Kind::App(decree) = &proposal.decree else { continue };
                let is_lent = gathered.iter().any(|part| range(part) == range(decree));
                assert_eq!(is_lent, decree.len() > copied, "{decree:?} {copied}");
                lent += usize::from(is_lent);
            }
            assert_eq!(lends, lent > 0);
            assert!((lent..=2 * lent + 1).contains(&gathered.len()));
        }
    }
}

#[test]
fn a_checksum_of_the_hosts_own_is_used_both_ways() {
    fn other(seed: u32, bytes: &[u8]) -> u32 {
        !crc32c(!seed, bytes)
    }
    let payload = Payload::Replica(Message::Learn { from: Slot(1) });
    let mut out = BytesMut::new();
    encode_with(other, &header(), &payload, &mut out);
    let frame = out.freeze();
    let mut with_other = Decoder::with_crc(other, &Limits::default());
    assert_eq!(with_other.decode(&frame), Ok((header(), payload)));
    assert!(matches!(refusal(&frame), WireError::Checksum { .. }));
}

/// What the limits allow fits into the longest frame that they allow, in the worst encoding.
#[test]
fn the_longest_frame_has_room_for_what_the_limits_allow() {
    let limits = Limits { run_slots_max: 3, run_bytes_max: 8, ..Limits::default() };
    for decree_bytes_max in [1, 8, 100] {
        let limits = Limits { decree_bytes_max, ..limits };
        let longest = frame_bytes_max(&limits);
        let decrees = [8.max(decree_bytes_max), 0, 0];
        let run: Vec<_> = (0u64..)
            .zip(decrees)
            .map(|(place, len)| Proposal {
                slot: Slot(90 - 10 * place),
                ballot: ballot(5 + place, 1),
                decree: Kind::App(Bytes::from(vec![7; len])),
            })
            .collect();
        let requests = Bytes::from(vec![7; 8.max(decree_bytes_max)]);
        let forward =
            ServiceMessage::Forward { ballot: ballot(4, 2), number: 1, after: 0, requests };
        let protocol = messages(&run, &run).into_iter().map(Payload::Replica);
        for payload in protocol.chain([Payload::Service(forward)]) {
            assert!(encoded_len(&payload) <= longest, "{payload:?}");
            let frame = frame(&payload);
            assert_eq!(Decoder::new(&limits).decode(&frame), Ok((header(), payload)));
        }
        assert_eq!(frame_len(&[0xFF; 8], longest), oversize(u32::MAX, longest));
        let exact = [(longest as u32).to_le_bytes(), [b'S', b'y', 1, 1]].concat();
        assert_eq!(frame_len(&exact, longest), Ok(Some(longest)));
        assert_eq!(frame_len(&exact, longest - 1), oversize(longest as u32, longest - 1));
    }
}

#[test]
fn requests_are_not_copied() {
    let requests = Bytes::from_static(b"requests");
    let message = ServiceMessage::Forward { ballot: ballot(4, 2), number: 1, after: 0, requests };
    let frame = frame(&Payload::Service(message));
    let mut decoder = decoder();
    let Ok((_, Payload::Service(ServiceMessage::Forward { requests, .. }))) =
        decoder.decode(&frame)
    else {
        panic!("another message came back")
    };
    assert_eq!(range(&requests).end, range(&frame).end);
}

fn oversize(claimed: u32, max: usize) -> Result<Option<usize>, WireError> {
    Err(WireError::Oversize { claimed, max })
}

/// What is encoded into given memory is what is appended to a buffer; what does not fit leaves the
/// memory alone.
pub(crate) fn assert_fits_exactly(
    expected: &[u8],
    encode_into: impl Fn(&mut [u8]) -> Option<usize>,
) {
    let mut memory = alloc::vec![0xA5; expected.len() + 3];
    assert_eq!(encode_into(&mut memory), Some(expected.len()));
    assert_eq!(&memory[..expected.len()], expected);
    assert_eq!(memory[expected.len()..], [0xA5; 3]);
    let mut small = alloc::vec![0xA5; expected.len() - 1];
    assert_eq!(encode_into(&mut small), None);
    assert!(small.iter().all(|byte| *byte == 0xA5));
}
