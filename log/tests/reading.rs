//! Reading back is bounded by what is asked for, not by the length of the log (D6).

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record, Slot,
    WriteId,
};
use synod_log::{
    FileDevice, FileLog, Identity, Log, LogConfig, Most, ReadBack, STRETCH_BYTES, SimDevice,
};

const RECORD_MAX: usize = 64 << 10;
const SLOTS: u64 = 5000;

fn open(device: &SimDevice) -> FileLog<SimDevice> {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    let (cluster, group, node) = (ClusterId(1), GroupId(0), NodeId(1));
    let identity = Identity { cluster, group, epoch, node };
    let config = LogConfig { segment_bytes: 1 << 20, record_bytes_max: RECORD_MAX };
    FileLog::open(device.clone(), identity, config, Incarnation(7)).expect("it opens").0
}

/// Several megabytes in several segments, every tenth slot twice.
fn written() -> SimDevice {
    let device = SimDevice::new(4096);
    let mut log = open(&device);
    let mut id = 0;
    for slot in 0..SLOTS {
        for round in 1..=1 + u64::from(slot % 10 == 0) {
            id += 1;
            let decree = Kind::App(Bytes::from(vec![slot as u8; 1000]));
            let ballot = Ballot { round, node: NodeId(1) };
            let run = [Proposal { slot: Slot(slot), ballot, decree }];
            let (decided, body) = (Slot(slot), Body::Accepted(&run));
            log.stage(WriteId(id), Record { promised: ballot, decided, body }).expect("staged");
        }
        if slot % 64 == 0 {
            log.settle().expect("settled");
        }
    }
    log.settle().expect("settled");
    device.kill()
}

#[test]
fn a_read_costs_what_it_returns_and_a_stretch_more() {
    let device = written();
    let log = open(&device);
    assert!(log.recovery().position > 16 * STRETCH_BYTES, "the log is long");
    assert!(log.recovery().segments > 4);
    let mut reader = log.reader();
    for from in [0, 1, 1234, 2500, SLOTS - 1] {
        for slots in [1, 10, 300] {
            let before = device.bytes_read();
            let most = Most { slots, bytes: 1 << 20 };
            let run = reader.read(Slot(from), Slot(SLOTS), most).expect("a read");
            assert_eq!(run.len() as u64, (slots as u64).min(SLOTS - from));
            let read = device.bytes_read() - before;
            let bound = 1300 * slots as u64 + 2 * (STRETCH_BYTES + RECORD_MAX as u64);
            assert!(read <= bound, "{read} bytes for {slots} slots from {from}");
        }
    }
    // Asked for everything with a limit of bytes, it does not read everything.
    let before = device.bytes_read();
    let most = Most { slots: usize::MAX, bytes: 10_000 };
    assert_eq!(reader.read(Slot(7), Slot(SLOTS), most).expect("a read").len(), 10);
    assert!(device.bytes_read() - before <= STRETCH_BYTES + RECORD_MAX as u64);
}

#[test]
fn the_whole_log_reads_back_after_a_start() {
    let device = written();
    let mut reader = open(&device).reader();
    let mut slot = 0;
    while slot < SLOTS {
        let most = Most { slots: 777, bytes: 300_000 };
        for proposal in reader.read(Slot(slot), Slot(SLOTS), most).expect("a read") {
            assert_eq!(proposal.slot, Slot(slot));
            assert_eq!(proposal.ballot.round, 1 + u64::from(slot % 10 == 0), "the last word");
            assert_eq!(proposal.decree, Kind::App(Bytes::from(vec![slot as u8; 1000])));
            slot += 1;
        }
    }
}

/// Logs go to a thread of their own, and readers to others.
#[test]
fn logs_and_readers_are_send() {
    fn is_send<T: Send + 'static>() {}
    is_send::<FileLog<FileDevice>>();
    is_send::<FileLog<SimDevice>>();
    is_send::<<FileLog<FileDevice> as Log>::Reader>();
    is_send::<synod_log::MemoryLog>();
}
