//! Damage to what was durable is reported and never cut off (R11, S36); what was never durable is
//! cut off for good (S62).

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record,
    Recovered, Slot, WriteId,
};
use synod_log::{
    Damage, DeviceFault, Fault, FileLog, Identity, Keep, Log, LogConfig, LogError, Most, OpenError,
    Operation, ReadBack, SimDevice,
};

type Opened = Result<(FileLog<SimDevice>, Recovered<Bytes>), OpenError>;

const HEADER: u64 = 4096;

fn open(device: &SimDevice) -> Opened {
    open_as(device, identity(), Incarnation(7))
}

fn open_as(device: &SimDevice, identity: Identity, incarnation: Incarnation) -> Opened {
    let config = LogConfig { segment_bytes: 8192, record_bytes_max: 1024 };
    FileLog::open(device.clone(), identity, config, incarnation)
}

fn identity() -> Identity {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    Identity { cluster: ClusterId(1), group: GroupId(0), epoch, node: NodeId(1) }
}

fn damage(device: &SimDevice) -> Damage {
    match open(device) {
        Err(OpenError::Damaged(damage)) => damage,
        Err(other) => panic!("not reported as damage: {other}"),
        Ok((_, recovered)) => panic!("it starts, with {recovered:?}"),
    }
}

const fn ballot(round: u64) -> Ballot {
    Ballot { round, node: NodeId(1) }
}

/// A record of one slot, of 208 bytes.
fn put(log: &mut FileLog<SimDevice>, slot: u64) {
    let decree = Kind::App(Bytes::from(vec![slot as u8; 56]));
    let run = [Proposal { slot: Slot(slot), ballot: ballot(slot + 1), decree }];
    let record =
        Record { promised: ballot(slot + 1), decided: Slot(slot), body: Body::Accepted(&run) };
    log.stage(WriteId(slot + 1), record).expect("staged");
}

fn put_synced(log: &mut FileLog<SimDevice>, slot: u64) {
    put(log, slot);
    let ticket = log.write().expect("a write").expect("one record");
    log.sync(ticket).expect("synced");
}

/// Five slots, each synced before the next is written, and no mark behind the last.
fn five() -> (SimDevice, u64) {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    for slot in 0..5 {
        put_synced(&mut log, slot);
    }
    let bytes = device.contents(FIRST).expect("a segment");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("records") as u64 + 1;
    (device.kill(), (end - HEADER).next_multiple_of(8) / 5)
}

const FIRST: &str = "00000000.seg";

#[test]
fn every_flipped_byte_of_what_is_proven_is_reported() {
    let (device, record) = five();
    let proven = HEADER + 4 * record;
    for offset in HEADER..proven {
        let device = device.fork();
        assert!(device.rot(FIRST, offset, 1 << (offset % 8)));
        let found = damage(&device);
        let nth = (offset - HEADER) / record;
        assert_eq!(found.fault, Fault::Record);
        assert_eq!(found.offset, HEADER + nth * record, "the start of the bad record");
        assert_eq!(found.position, nth * record);
        assert_eq!(found.proven, 4 * record);
        assert_eq!(found.from, Slot(nth), "the first slot that may be affected");
        assert_eq!(found.legible_again, Some(Slot(nth + 1)));
    }
}

#[test]
fn every_flipped_byte_of_a_header_is_reported() {
    let (device, _) = five();
    for offset in (0..HEADER).step_by(11) {
        let alone = device.fork();
        assert!(alone.rot(FIRST, offset, 0x04));
        assert_eq!(damage(&alone).fault, Fault::Header);
    }
    // Another start, so that the segment is sealed by the next.
    drop(open(&device).expect("it starts"));
    for offset in (0..HEADER).step_by(7) {
        let device = device.fork();
        assert!(device.rot(FIRST, offset, 0x40));
        assert_eq!(damage(&device).fault, Fault::Header);
        let second = device.fork();
        assert!(second.rot(FIRST, offset, 0x40), "put it back");
        assert!(second.rot("00000001.seg", offset, 0x40));
        let found = damage(&second);
        assert_eq!((found.fault, found.from), (Fault::Header, Slot(5)));
    }
}

/// What R11 cannot tell from a torn write, and says so: rot of the last records, as long as no
/// later record proves them. This is why an idle log writes a mark.
#[test]
fn rot_behind_the_last_proof_is_taken_for_a_torn_write_until_a_mark_proves_it() {
    let (device, record) = five();
    let last = HEADER + 4 * record + 100;
    let unmarked = device.fork();
    assert!(unmarked.rot(FIRST, last, 1));
    let (log, recovered) = open(&unmarked).expect("it starts");
    assert_eq!(recovered.promised, ballot(4));
    assert_eq!(log.recovery().position, 4 * record);
    assert_eq!(log.recovery().torn_bytes, record.next_multiple_of(8));

    let marked = SimDevice::new(512);
    let (mut log, _) = open(&marked).expect("a new log");
    for slot in 0..5 {
        put_synced(&mut log, slot);
    }
    log.settle().expect("settled");
    let marked = marked.power_cut(Keep::Nothing);
    assert!(marked.rot(FIRST, last, 1));
    let found = damage(&marked);
    assert_eq!((found.position, found.proven), (4 * record, 5 * record));
    // The mark itself proves nothing that is not proven without it.
    assert!(marked.rot(FIRST, last, 1), "put it back");
    assert!(marked.rot(FIRST, HEADER + 5 * record + 20, 1));
    let (_, recovered) = open(&marked).expect("it starts");
    assert_eq!(recovered.promised, ballot(5));
}

/// A promise that stands in a mark alone is no mark of an idle log: were it to rot unproven, the
/// member would promise again what it has refused.
#[test]
fn a_promise_without_slots_is_proven_when_the_log_settles() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    put_synced(&mut log, 0);
    log.settle().expect("settled");
    let before = device.contents(FIRST).expect("a segment");
    let end = before.iter().rposition(|byte| *byte != 0).expect("records") as u64 + 1;
    let record = Record { promised: ballot(9), decided: Slot(1), body: Body::Mark };
    log.stage(WriteId(2), record).expect("staged");
    log.settle().expect("settled");
    let device = device.power_cut(Keep::Nothing);
    let (_, recovered) = open(&device.fork()).expect("it starts");
    assert_eq!(recovered.promised, ballot(9));
    assert!(device.rot(FIRST, end.next_multiple_of(8) + 20, 1));
    assert_eq!(damage(&device).fault, Fault::Record);
}

#[test]
fn every_byte_of_a_sealed_segment_is_proven() {
    let (device, record) = five();
    drop(open(&device).expect("a start seals what it found"));
    for offset in HEADER..HEADER + 5 * record {
        let device = device.fork();
        assert!(device.rot(FIRST, offset, 0x10));
        assert_eq!(damage(&device).position, (offset - HEADER) / record * record);
    }
}

/// Two writes are in flight; the power goes; the first is torn and the second is whole (S62).
#[test]
fn torn_first_whole_second() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    put_synced(&mut log, 0);
    put(&mut log, 1);
    let first = log.write().expect("a write").expect("one record");
    put(&mut log, 2);
    let second = log.write().expect("a write").expect("one record");
    assert!(first.upto() < second.upto());
    let record = log.recovery().position + five().1;
    // Everything reached the disk but a few bytes in the middle of the first write.
    let device = device.power_cut(Keep::Everything);
    assert!(device.rot(FIRST, HEADER + record + record / 2, 0xFF));

    for start in 1..4 {
        let (mut log, recovered) = open(&device).expect("it starts");
        assert_eq!(recovered.promised, ballot(start), "the second write stays dead");
        let end = Slot(recovered.decided.0 + recovered.accepted.len() as u64);
        assert_eq!(end, Slot(start));
        // A record as long as the torn one, so that the next stands just where the second was.
        put_synced(&mut log, start);
    }
    let (log, _) = open(&device).expect("it starts");
    let run = log.reader().read(Slot(0), Slot(4), ALL).expect("four slots");
    let rounds: Vec<u64> = run.iter().map(|proposal| proposal.ballot.round).collect();
    assert_eq!(rounds, [1, 2, 3, 4]);
}

/// The bytes of an older record, with a right checksum, at a place where they do not belong: a
/// recycled block, a misdirected write (S36).
#[test]
fn stale_bytes_are_no_records() {
    let (device, record) = five();
    let mut bytes = device.contents(FIRST).expect("a segment");
    let at = |nth: u64| (HEADER + nth * record) as usize..(HEADER + (nth + 1) * record) as usize;
    let first = bytes[at(0)].to_vec();
    bytes[at(5)].copy_from_slice(&first);
    device.put(FIRST, &bytes);
    let (_, recovered) = open(&device.fork()).expect("it starts");
    assert_eq!(recovered.promised, ballot(5), "the copy behind the end is not read");
    bytes[at(2)].copy_from_slice(&first);
    device.put(FIRST, &bytes);
    let found = damage(&device);
    assert_eq!((found.position, found.from), (2 * record, Slot(2)));
}

/// The second of two writes in flight is whole and dead (see above). Its bytes turn up in the next
/// segment, in a recycled block, at the very position that they name: only their generation tells.
#[test]
fn a_dead_record_of_an_earlier_generation_stays_dead() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    put_synced(&mut log, 0);
    put(&mut log, 1);
    put(&mut log, 2);
    let _ = log.write().expect("a write").expect("two records");
    let device = device.power_cut(Keep::Everything);
    let record = five().1 as usize;
    let dead = device.contents(FIRST).expect("a segment")[HEADER as usize..][2 * record..]
        [..record]
        .to_vec();
    assert!(device.rot(FIRST, HEADER + record as u64 + 8, 1), "the first is torn");

    let (mut log, _) = open(&device).expect("it starts");
    put_synced(&mut log, 1);
    let device = device.power_cut(Keep::Nothing);
    let mut bytes = device.contents("00000001.seg").expect("the segment of the next run");
    bytes[HEADER as usize..][record..][..record].copy_from_slice(&dead);
    device.put("00000001.seg", &bytes);
    let (_, recovered) = open(&device).expect("it starts");
    assert_eq!(recovered.promised, ballot(2));
}

/// A sound record at the right position, of the right generation, from the disk of somebody else.
#[test]
fn a_record_of_another_log_is_no_record() {
    let own = (identity(), Incarnation(7));
    let others = [
        (Identity { cluster: ClusterId(2), ..own.0 }, own.1),
        (Identity { group: GroupId(2), ..own.0 }, own.1),
        (Identity { node: NodeId(2), ..own.0 }, own.1),
        (own.0, Incarnation(8)),
        own,
    ];
    for other in others {
        let ours = SimDevice::new(512);
        let (mut log, _) = open(&ours).expect("a new log");
        put_synced(&mut log, 0);
        let theirs = SimDevice::new(512);
        let (mut log, _) = open_as(&theirs, other.0, other.1).expect("a new log");
        put_synced(&mut log, 0);
        put_synced(&mut log, 1);
        let mut bytes = ours.contents(FIRST).expect("a segment");
        let stranger = &theirs.contents(FIRST).expect("a segment")[HEADER as usize..];
        let record = five().1 as usize;
        bytes[HEADER as usize..][record..2 * record].copy_from_slice(&stranger[record..2 * record]);
        let ours = ours.kill();
        ours.put(FIRST, &bytes);
        let (_, recovered) = open(&ours).expect("it starts");
        assert_eq!(recovered.promised, ballot(if other == own { 2 } else { 1 }), "{other:?}");
    }
}

#[test]
fn a_lost_write_is_reported_once_it_was_proven() {
    for fault in [DeviceFault::Lost, DeviceFault::Misdirected(1024)] {
        let device = SimDevice::new(512);
        let (mut log, _) = open(&device).expect("a new log");
        put_synced(&mut log, 0);
        device.inject(Operation::Write, 0, fault);
        put_synced(&mut log, 1);
        put_synced(&mut log, 2);
        put_synced(&mut log, 3);
        let found = damage(&device.kill());
        assert_eq!(found.from, Slot(1), "{fault:?}");
    }
}

/// Three runs: three segments.
fn three_segments() -> SimDevice {
    let device = SimDevice::new(512);
    for run in 0..3 {
        let (mut log, _) = open(&device).expect("a log");
        for slot in 0..3 {
            put_slot_of_run(&mut log, run * 3 + slot, slot);
        }
    }
    device.kill()
}

fn put_slot_of_run(log: &mut FileLog<SimDevice>, slot: u64, nth: u64) {
    let run = [Proposal { slot: Slot(slot), ballot: ballot(1), decree: Kind::Noop }];
    let record = Record { promised: ballot(1), decided: Slot(slot), body: Body::Accepted(&run) };
    log.stage(WriteId(nth + 1), record).expect("staged");
    log.settle().expect("settled");
}

#[test]
fn a_missing_segment_is_reported() {
    for (number, slot) in [(0, 0), (1, 3)] {
        let device = three_segments();
        remove(&device, number);
        let found = damage(&device);
        assert_eq!((found.fault, found.from), (Fault::Missing, Slot(slot)));
    }
    // The newest leaves no trace but that the one before it is cut.
    let device = three_segments();
    remove(&device, 2);
    let found = damage(&device);
    assert_eq!(found.fault, Fault::Short);
    assert!(found.file.ends_with("00000001.seg"));
}

fn remove(device: &SimDevice, number: u64) {
    use synod_log::Device;
    device.remove(&format!("{number:08}.seg")).expect("it was there");
}

#[test]
fn segments_that_change_places_are_reported() {
    let device = three_segments();
    let (first, second) = (device.contents(FIRST), device.contents("00000001.seg"));
    device.put(FIRST, &second.expect("a segment"));
    device.put("00000001.seg", &first.expect("a segment"));
    assert_eq!(damage(&device).fault, Fault::Misplaced);
}

#[test]
fn a_segment_of_another_life_is_reported() {
    let (device, other) = (three_segments(), three_segments());
    // The same history on another disk, but for the incarnation.
    let mut bytes = other.contents("00000001.seg").expect("a segment");
    bytes[40] ^= 1;
    let checksum = crc32c::crc32c(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&checksum.to_le_bytes());
    device.put("00000001.seg", &bytes);
    assert_eq!(damage(&device).fault, Fault::Misplaced);
}

#[test]
fn a_segment_that_was_cut_is_reported() {
    let (device, record) = five();
    let bytes = device.contents(FIRST).expect("a segment");
    for len in [HEADER, HEADER + record, HEADER + 5 * record, 8191] {
        device.put(FIRST, &bytes[..len as usize]);
        assert_eq!(damage(&device).fault, Fault::Short, "{len} bytes");
    }
    device.put(FIRST, &bytes[..100]);
    assert_eq!(damage(&device).fault, Fault::Header);
}

#[test]
fn the_report_names_file_offset_slots_and_what_to_do() {
    let (device, record) = five();
    assert!(device.rot(FIRST, HEADER + record + 5, 2));
    let text = OpenError::Damaged(damage(&device)).to_string();
    let offset = format!("at byte {}", HEADER + record);
    let position = format!("position {record} of the log");
    for part in [FIRST, &offset, &position, "slots from 1 on", "from slot 2 on", "empty one"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// A reader notices too, and the log goes on.
#[test]
fn a_reader_reports_what_rots_while_the_log_runs() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    for slot in 0..3 {
        put_synced(&mut log, slot);
    }
    let mut reader = log.reader();
    assert_eq!(reader.read(Slot(0), Slot(3), ALL).map(|run| run.len()), Ok(3));
    assert!(device.rot(FIRST, HEADER + 300, 1));
    let Err(LogError::Damaged(found)) = reader.read(Slot(0), Slot(3), ALL) else {
        panic!("the damage was not noticed");
    };
    assert_eq!(found.offset, HEADER + five().1);
    put_synced(&mut log, 3);
}

/// A sound record, at another place than it names.
#[test]
fn a_reader_reports_a_misplaced_record() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    for slot in 0..3 {
        put_synced(&mut log, slot);
    }
    let record = five().1 as usize;
    let mut bytes = device.contents(FIRST).expect("a segment");
    let records = &mut bytes[HEADER as usize..];
    records.copy_within(..record, record);
    device.put(FIRST, &bytes);
    let Err(LogError::Damaged(found)) = log.reader().read(Slot(0), Slot(3), ALL) else {
        panic!("the damage was not noticed");
    };
    assert_eq!(found.position, record as u64);
}

/// A decree may hold what looks like records, even true copies of records of this very log.
#[test]
fn records_inside_decrees_prove_nothing() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    put_synced(&mut log, 0);
    put_synced(&mut log, 1);
    let record = five().1 as usize;
    let bytes = device.contents(FIRST).expect("a segment");
    let copy = &bytes[HEADER as usize..][record..2 * record];
    // At each alignment that a decree can have.
    let decree = Kind::App(Bytes::from([copy, &[0; 1], copy, &[0; 3], copy].concat()));
    let run = [Proposal { slot: Slot(2), ballot: ballot(3), decree }];
    let body = Body::Accepted(&run);
    log.stage(WriteId(3), Record { promised: ballot(3), decided: Slot(0), body }).expect("staged");
    let _ = log.write().expect("a write");
    let device = device.kill();
    // The record itself is torn, so its decree is searched for evidence.
    assert!(device.rot(FIRST, HEADER + 2 * record as u64 + 4, 1));
    let (log, recovered) = open(&device).expect("it starts");
    assert_eq!(recovered.promised, ballot(2));
    assert!(log.recovery().torn_bytes > 0);
}

const ALL: Most = Most { slots: 1 << 16, bytes: 1 << 30 };
