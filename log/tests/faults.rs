//! A device that fails: the log stops, calls nothing durable any more, and its next start finds
//! out what is there (D4, S35).

use bytes::Bytes;
use synod_core::{
    Ballot, Body, Boot, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record,
    Recovered, Slot, WriteId,
};
use synod_log::{
    Device, DeviceFault, FileLog, Identity, Keep, Log, LogConfig, LogError, MemoryLog, OpenError,
    Operation, SimDevice, Ticket,
};

type Opened = Result<(FileLog<SimDevice>, Recovered<Bytes>), OpenError>;

fn open(device: &SimDevice) -> Opened {
    let config = LogConfig { segment_bytes: 8192, record_bytes_max: 2048 };
    FileLog::open(device.clone(), identity(), config, Incarnation(7))
}

fn identity() -> Identity {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    Identity { cluster: ClusterId(1), group: GroupId(0), epoch, node: NodeId(1) }
}

const fn promise(round: u64) -> Record<'static, Bytes> {
    let promised = Ballot { round, node: NodeId(1) };
    Record { promised, decided: Slot::ZERO, body: Body::Mark }
}

fn write(log: &mut FileLog<SimDevice>, round: u64) -> Result<Ticket, LogError> {
    log.stage(WriteId(round), promise(round))?;
    Ok(log.write()?.expect("one record was staged"))
}

fn assert_stopped(log: &mut FileLog<SimDevice>, why: &LogError, durable: u64) {
    assert_eq!(log.stage(WriteId(99), promise(99)).as_ref(), Err(why));
    assert_eq!(log.write().as_ref(), Err(why));
    assert_eq!(log.settle().as_ref(), Err(why));
    assert_eq!(log.durable(), WriteId(durable), "nothing later is called durable");
}

/// After a failed sync the system shows the bytes, a later sync succeeds, and the disk never gets
/// them ("fsyncgate"). So the log never syncs again; its next start writes them again.
#[test]
fn a_failed_sync_is_final() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    let first = write(&mut log, 1).expect("a write");
    assert_eq!(log.sync(first), Ok(WriteId(1)));
    let second = write(&mut log, 2).expect("a write");
    device.inject(Operation::Sync, 0, DeviceFault::Error);
    let why = log.sync(second).expect_err("the sync fails");
    assert!(why.to_string().contains("cannot sync simulated disk/00000000.seg"), "{why}");
    assert!(why.to_string().contains("stopped"), "{why}");
    // The device is sound again, and the log does not try.
    assert_eq!(log.sync(second).as_ref(), Err(&why));
    assert_eq!(log.sync(first).as_ref(), Err(&why));
    assert_stopped(&mut log, &why, 1);

    for power in [None, Some(Keep::Nothing), Some(Keep::Everything)] {
        let device = device.fork();
        let device = power.map_or_else(|| device.kill(), |keep| device.power_cut(keep));
        let (log, found) = open(&device).expect("it starts");
        drop(log);
        // Whatever the start has found stays from then on, come what may.
        let (_, again) = open(&device.power_cut(Keep::Nothing)).expect("it starts");
        assert!(found.promised.round >= 1);
        assert_eq!(again.promised, found.promised, "{power:?}");
        assert!(again.boot > found.boot);
    }
}

#[test]
fn a_failed_write_is_final() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    let ticket = write(&mut log, 1).expect("a write");
    assert_eq!(log.sync(ticket), Ok(WriteId(1)));
    device.inject(Operation::Write, 0, DeviceFault::Error);
    let why = write(&mut log, 2).expect_err("the write fails");
    assert!(why.to_string().contains("cannot write"), "{why}");
    assert_stopped(&mut log, &why, 1);
    let (_, found) = open(&device.power_cut(Keep::Nothing)).expect("it starts");
    assert_eq!(found.promised.round, 1);
}

/// Whatever fails while the log goes on to its next segment, nothing unsynced is called durable.
#[test]
fn every_failure_of_a_roll_is_final() {
    let operations = [
        Operation::Create,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
        Operation::SyncDirectory,
        Operation::Truncate,
    ];
    for operation in operations {
        let device = SimDevice::new(512);
        let (mut log, _) = open(&device).expect("a new log");
        // Written in one go, so that the roll is the only thing that can fail but for the first
        // write and sync.
        for round in 1..=40 {
            log.stage(WriteId(round), promise(round)).expect("staged");
        }
        let nth = u64::from(operation == Operation::Write);
        device.inject(operation, nth, DeviceFault::Error);
        let why = log.write().expect_err("the roll fails");
        // The full segment is synced before the next is made.
        let durable = log.durable().0;
        assert_eq!(durable, if operation == Operation::Sync { 0 } else { 30 }, "{operation:?}");
        assert_stopped(&mut log, &why, durable);
        let (_, found) = open(&device.kill().power_cut(Keep::Some(3))).expect("it starts");
        assert!(found.promised.round >= durable, "{operation:?}");
    }
}

#[test]
fn short_writes_and_reads_are_no_failures() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    for nth in 0..50 {
        device.inject(Operation::Write, nth, DeviceFault::Short(1 + nth as usize % 70));
    }
    let ticket = write(&mut log, 1).expect("a write");
    assert_eq!(log.sync(ticket), Ok(WriteId(1)));
    let device = device.power_cut(Keep::Nothing);
    for nth in 0..50 {
        device.inject(Operation::Read, nth, DeviceFault::Short(1 + nth as usize % 70));
    }
    let (_, found) = open(&device).expect("it starts");
    assert_eq!(found.promised.round, 1);
}

#[test]
fn a_full_disk_is_reported_before_anything_is_lost() {
    let device = SimDevice::new(512);
    device.set_capacity(8000);
    let why = open(&device).expect_err("there is no space for a segment");
    assert!(matches!(&why, OpenError::Full { wanted_bytes: 8192, .. }), "{why}");
    assert!(why.to_string().contains("make space"), "{why}");

    device.set_capacity(9000);
    let (mut log, recovered) = open(&device).expect("enough for one segment");
    assert_eq!(recovered.boot, Boot(1), "the start that failed did not count");
    assert_eq!(log.settle(), Ok(WriteId(0)), "the next segment is not needed yet");
    let (mut round, mut durable) = (0, WriteId(0));
    let why = loop {
        round += 1;
        match write(&mut log, round).and_then(|ticket| log.sync(ticket)) {
            Ok(upto) => durable = upto,
            Err(why) => break why,
        }
    };
    assert!(matches!(why, LogError::Full { wanted_bytes: 8192, .. }), "{why}");
    assert!(why.to_string().contains("00000001.new"), "{why}");
    assert_eq!(durable, WriteId(30));
    assert_stopped(&mut log, &why, 30);

    let device = device.power_cut(Keep::Nothing);
    assert!(matches!(open(&device), Err(OpenError::Full { .. })), "still full");
    device.set_capacity(1 << 20);
    let (_, found) = open(&device).expect("it starts once there is space");
    assert_eq!(found.promised.round, 30);
}

/// A process that is started again and again, and never writes, does not fill the disk.
#[test]
fn starts_without_writes_leave_one_segment() {
    let device = SimDevice::new(512);
    device.set_capacity(3 * 8192);
    for boot in 1..50 {
        let (log, recovered) = open(&device).expect("it starts");
        assert_eq!(recovered.boot, Boot(boot));
        drop(log);
    }
    assert_eq!(device.list().expect("a list"), ["00000000.seg"]);
}

#[test]
fn records_that_are_too_large_are_refused() {
    let device = SimDevice::new(512);
    let (mut log, _) = open(&device).expect("a new log");
    let decree = Kind::App(Bytes::from(vec![0; 2000]));
    let run = [Proposal { slot: Slot(0), ballot: Ballot::ZERO, decree }];
    let record = Record { body: Body::Accepted(&run), ..promise(1) };
    let why = log.stage(WriteId(1), record).expect_err("too large");
    assert!(matches!(why, LogError::TooLarge { bytes_max: 2048, .. }), "{why}");
    assert!(why.to_string().contains("record_bytes_max"), "{why}");
    assert_stopped(&mut log, &why, 0);
}

#[test]
fn a_full_memory_log_fails_like_a_full_disk() {
    let (mut log, _) = MemoryLog::new(Incarnation(1), 100);
    for slot in 0..3 {
        let decree = Kind::App(Bytes::from(vec![0; 40]));
        let run = [Proposal { slot: Slot(slot), ballot: Ballot::ZERO, decree }];
        let record = Record { body: Body::Accepted(&run), ..promise(1) };
        log.stage(WriteId(slot + 1), record).expect("staged");
        let written = log.write();
        if slot < 2 {
            let ticket = written.expect("there is space").expect("one record");
            assert_eq!(log.sync(ticket), Ok(WriteId(slot + 1)));
        } else {
            assert!(matches!(written, Err(LogError::Full { wanted_bytes: 20, .. })));
        }
    }
    assert_eq!(log.durable(), WriteId(2));
}

#[test]
fn limits_out_of_range_are_named() {
    let open = |segment_bytes, record_bytes_max, incarnation| {
        let config = LogConfig { segment_bytes, record_bytes_max };
        let opened = FileLog::open(SimDevice::new(512), identity(), config, incarnation);
        opened.expect_err("out of range").to_string()
    };
    assert!(open(1 << 20, 1000, Incarnation(1)).contains("`record_bytes_max`"));
    assert!(open(5000, 1024, Incarnation(1)).contains("`segment_bytes`"));
    assert!(open(u64::MAX, 1024, Incarnation(1)).contains("`segment_bytes`"));
    assert!(open(1 << 20, 1024, Incarnation::NONE).contains("`incarnation`"));
}

/// Limits may change between runs: what is in the log stays legible.
#[test]
fn a_log_with_larger_records_than_configured_now_still_opens() {
    let device = SimDevice::new(512);
    let large = LogConfig { segment_bytes: 1 << 20, record_bytes_max: 1 << 19 };
    let (mut log, _) =
        FileLog::open(device.clone(), identity(), large, Incarnation(7)).expect("a new log");
    let decree = Kind::App(Bytes::from(vec![9; 400_000]));
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let run = [Proposal { slot: Slot(0), ballot, decree }];
    log.stage(WriteId(1), Record { body: Body::Accepted(&run), ..promise(1) }).expect("staged");
    log.settle().expect("settled");
    let (_, found) = open(&device.kill()).expect("it starts with smaller limits");
    assert_eq!(found.accepted, run);
}
