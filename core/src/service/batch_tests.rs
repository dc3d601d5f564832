//! Tests of the format: round trips, and each way in which bytes can be wrong.

use alloc::vec::Vec;

use super::*;

const ORIGIN: Origin = Origin { node: NodeId(2), incarnation: Incarnation(77), boot: Boot(5) };
const OTHER: Origin = Origin { node: NodeId(3), incarnation: Incarnation(78), boot: Boot(1) };

fn head() -> Head {
    Head { ballot: Ballot { round: 9, node: NodeId(1) }, previous: Some(Slot(41)) }
}

fn run(exclusive: bool, requests: &[(u64, &[u8])]) -> Bytes {
    let mut out = BytesMut::new();
    let mut writer = Writer::run(&mut out, exclusive, requests[0].0);
    for (number, body) in requests {
        writer.request(*number, body);
    }
    writer.end_run(requests.len());
    out.freeze()
}

fn decree() -> Bytes {
    let forwarded = Run::read(&run(false, &[(30, b"p"), (33, b"qq")])).expect("a sound run");
    let mut out = BytesMut::new();
    let mut writer = Writer::decree(&mut out, head());
    writer.segment(ORIGIN, 7);
    writer.request(7, b"abc");
    writer.request(9, b"");
    writer.end_segment(2);
    writer.copy_of(OTHER, &forwarded);
    writer.end_decree();
    out.freeze()
}

fn entries(mut batch: Batch) -> Vec<(Origin, u64, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some(origin) = batch.next_segment() {
        batch.drain_segment(|number, body| found.push((origin, number, body.to_vec())));
    }
    found
}

/// `bytes` with one byte changed.
fn with(bytes: &Bytes, at: usize, value: u8) -> Bytes {
    let mut changed = bytes.to_vec();
    changed[at] = value;
    changed.into()
}

#[test]
fn a_decree_comes_back_as_it_was_made() {
    let (found, batch) = Batch::open(decree()).expect("a sound decree");
    assert_eq!(found, head());
    let expected = [
        (ORIGIN, 7, b"abc".to_vec()),
        (ORIGIN, 9, b"".to_vec()),
        (OTHER, 30, b"p".to_vec()),
        (OTHER, 33, b"qq".to_vec()),
    ];
    assert_eq!(entries(batch), expected);
}

#[test]
fn the_decree_that_opens_a_leadership_is_a_head() {
    let mut out = BytesMut::new();
    let opening = Head { previous: None, ..head() };
    Writer::decree(&mut out, opening).end_decree();
    let bytes = out.freeze();
    assert_eq!(bytes.len(), DECREE_HEAD_BYTES);
    let (found, batch) = Batch::open(bytes.clone()).expect("a sound decree");
    assert_eq!((found, entries(batch).len()), (opening, 0));
    // It has no predecessor, so it names none.
    assert_eq!(Batch::open(with(&bytes, 24, 1)), Err(FieldError::Redundant.into()));
}

#[test]
fn a_run_loses_what_was_taken() {
    let all = Run::read(&run(false, &[(10, b"a"), (12, b"bb"), (13, b"ccc")])).expect("sound");
    assert_eq!((all.base, all.last, all.count), (10, 13, 3));
    assert_eq!(all.clone().behind(9), Some(all.clone()));
    assert_eq!(all.clone().behind(13), None);
    for taken in [10, 11] {
        let rest = all.clone().behind(taken).expect("two are left");
        assert_eq!((rest.base, rest.count, rest.last), (10, 2, 13));
        let mut out = BytesMut::new();
        let mut writer = Writer::decree(&mut out, head());
        writer.copy_of(ORIGIN, &rest);
        writer.end_decree();
        let (_, batch) = Batch::open(out.freeze()).expect("a sound decree");
        let expected = [(ORIGIN, 12, b"bb".to_vec()), (ORIGIN, 13, b"ccc".to_vec())];
        assert_eq!(entries(batch), expected);
    }
}

#[test]
fn each_fault_of_a_decree_is_named() {
    let sound = decree();
    let segment = DECREE_HEAD_BYTES;
    let first = segment + SEGMENT_HEAD_BYTES;
    let second = first + REQUEST_HEAD_BYTES + 3;
    let open = |bytes: Bytes| Batch::open(bytes).map(|_| ());
    let field = |error: FieldError| Err(Malformed::Field(error));
    assert_eq!(open(with(&sound, 0, 2)), Err(Malformed::Version(2)));
    assert_eq!(open(with(&sound, 1, 2)), field(FieldError::Flags(2)));
    assert_eq!(open(with(&sound, 4, 1)), field(FieldError::Reserved));
    assert_eq!(open(with(&sound, 15, 0xFF)), field(FieldError::Round(9 + (0xFF << 56))));
    assert_eq!(open(with(&sound, 31, 0xFF)), field(FieldError::Slot(41 + (0xFF << 56))));
    assert_eq!(open(with(&sound, segment + 24, 0)), Err(Malformed::Number(0)));
    assert_eq!(open(with(&sound, segment + 31, 0xFF)), Err(Malformed::Number(7 + (0xFF << 56))));
    assert_eq!(open(with(&sound, segment + 32, 0)), Err(Malformed::Empty));
    assert_eq!(open(with(&sound, segment + 32, 200)), field(FieldError::Count(200)));
    assert_eq!(open(with(&sound, segment + 36, 200)), field(FieldError::Short));
    assert_eq!(open(with(&sound, first + 4, 200)), field(FieldError::Short));
    assert_eq!(open(with(&sound, second, 0)), Err(Malformed::Number(7)));
    // One segment less leaves its bytes over; one more is not there.
    assert_eq!(open(with(&sound, 2, 1)), field(FieldError::Excess(59)));
    assert_eq!(open(with(&sound, 2, 3)), field(FieldError::Short));
    for len in 0..sound.len() {
        assert!(Batch::open(sound.slice(..len)).is_err(), "the first {len} bytes are no decree");
    }
}

#[test]
fn each_fault_of_a_run_is_named() {
    let sound = run(true, &[(5, b"abc")]);
    let read = |bytes: Bytes| Run::read(&bytes).map(|_| ());
    let field = |error: FieldError| Err(Malformed::Field(error));
    assert_eq!(read(sound.clone()), Ok(()));
    assert_eq!(read(with(&sound, 0, 0)), Err(Malformed::Version(0)));
    assert_eq!(read(with(&sound, 1, 3)), field(FieldError::Flags(3)));
    assert_eq!(read(with(&sound, 3, 1)), field(FieldError::Reserved));
    assert_eq!(read(with(&sound, 4, 0)), Err(Malformed::Empty));
    assert_eq!(read(with(&sound, 4, 3)), field(FieldError::Count(3)));
    assert_eq!(read(with(&sound, 8, 0)), Err(Malformed::Number(0)));
    let three = run(false, &[(5, b""), (7, b""), (8, b"")]);
    let last = RUN_HEAD_BYTES + 2 * REQUEST_HEAD_BYTES;
    assert_eq!(read(with(&three, last, 1)), Err(Malformed::Number(6)));
    assert_eq!(read(with(&run(false, &[(5, b""), (6, b"")]), 1, 1)), Err(Malformed::NotAlone));
    let mut longer = sound.to_vec();
    longer.push(0);
    assert_eq!(read(longer.into()), field(FieldError::Excess(1)));
    for len in 0..sound.len() {
        assert!(Run::read(&sound.slice(..len)).is_err(), "the first {len} bytes are no run");
    }
}

/// Whatever single byte is wrong: an error or other requests, never a panic and never a loop.
#[test]
fn no_changed_byte_panics() {
    let sound = decree();
    for at in 0..sound.len() {
        for value in 0..=u8::MAX {
            if let Ok((_, batch)) = Batch::open(with(&sound, at, value)) {
                assert!(entries(batch).len() <= 4);
            }
        }
    }
}
