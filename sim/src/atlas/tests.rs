//! Damage is where a log must notice it, and only there.

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record, Slot,
    WriteId,
};
use synod_log::{FileLog, Identity, Keep, Log, LogConfig, Operation, ReadBack};

use super::*;

const HARMS: [Harm; 5] =
    [Harm::Rot, Harm::LostWrite, Harm::StrayWrite, Harm::BadSector, Harm::LostFile];

fn open(device: &SimDevice) -> Result<FileLog<SimDevice>, OpenError> {
    let config = LogConfig { segment_bytes: 8192, record_bytes_max: 1024 };
    let epoch = Epoch { number: 1, ..Epoch::default() };
    let (cluster, group, node) = (ClusterId(1), GroupId(1), NodeId(1));
    let identity = Identity { cluster, group, epoch, node };
    FileLog::open(device.clone(), identity, config, Incarnation(9)).map(|(log, _)| log)
}

/// A log of so many slots, each synced before the next is written, and then the power fails.
fn log(slots: u64) -> SimDevice {
    filled(slots).power_cut(Keep::Nothing)
}

fn filled(slots: u64) -> SimDevice {
    let device = SimDevice::new(512);
    let mut log = open(&device).expect("a new log");
    for slot in 0..slots {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let bytes = vec![slot as u8 + 1; 100 + 7 * slot as usize];
        let run = [Proposal { slot: Slot(slot), ballot, decree: Kind::App(Bytes::from(bytes)) }];
        let body = Body::Accepted(&run);
        let record = Record { promised: ballot, decided: Slot(slot), body };
        log.stage(WriteId(slot + 1), record).expect("staged");
        let ticket = log.write().expect("written").expect("one record");
        log.sync(ticket).expect("synced");
    }
    device
}

#[test]
fn every_harm_is_noticed_and_named() {
    let device = log(40);
    for harm in HARMS {
        let mut struck = 0;
        for seed in 0..300 {
            let harmed = device.fork();
            let prng = &mut Prng::new(seed, "atlas");
            let Some(told) = harm.strike(&harmed, 512, prng) else { continue };
            struck += 1;
            let error = open(&harmed).expect_err("damaged");
            assert!(told.is_told_by(&error), "seed {seed}: {told:?}, and it says {error}");
            assert_ne!(harmed.media(), device.media(), "seed {seed}: {told:?}");
        }
        assert!(struck > 100, "{harm:?}: {struck}");
    }
}

#[test]
fn a_report_that_names_another_place_does_not_count() {
    let device = log(40);
    let told = Harm::LostWrite.strike(&device, 512, &mut Prng::new(1, "atlas")).expect("a place");
    let error = open(&device).expect_err("damaged");
    assert!(told.is_told_by(&error));
    assert!(!Harmed { offset: told.offset + 8, ..told.clone() }.is_told_by(&error));
    assert!(!Harmed { file: "00000099.seg".into(), ..told.clone() }.is_told_by(&error));
    assert!(!Harmed { is_header: true, ..told.clone() }.is_told_by(&error));
    assert!(!Harmed { harm: Harm::LostFile, ..told }.is_told_by(&error));
}

/// R11: the last record has no proof behind it, and is let be.
#[test]
fn what_nothing_proves_is_let_be() {
    let device = log(1);
    for seed in 0..200 {
        let prng = &mut Prng::new(seed, "atlas");
        for harm in [Harm::LostWrite, Harm::StrayWrite, Harm::BadSector, Harm::LostFile] {
            assert_eq!(harm.strike(&device, 512, prng), None);
        }
        assert!(!misread(&device, prng));
    }
    assert!(open(&device).is_ok());
}

/// A file whose name is not durable may be another one after a power cut.
#[test]
fn names_that_are_not_settled_are_let_be() {
    let device = log(40);
    device.inject(Operation::SyncDirectory, 0, synod_log::DeviceFault::Error);
    assert!(open(&device).is_err());
    let device = device.kill();
    if device.list().expect("a list").len() != device.media().len() {
        for seed in 0..50 {
            let prng = &mut Prng::new(seed, "atlas");
            assert!(HARMS.iter().all(|harm| harm.strike(&device, 512, prng).is_none()));
        }
    }
}

#[test]
fn a_misread_keeps_a_log_shut_once() {
    let device = log(40);
    let mut struck = 0;
    for seed in 0..100 {
        let device = device.fork();
        if !misread(&device, &mut Prng::new(seed, "atlas")) {
            continue;
        }
        struck += 1;
        let error = open(&device).expect_err("it reads something else");
        assert!(matches!(error, OpenError::Damaged(_)), "seed {seed}: {error}");
        let log = open(&device.kill()).expect("the disk is fine");
        assert_eq!(log.reader().retained(), Slot(0));
    }
    assert!(struck > 30, "{struck}");
}

#[test]
fn a_log_that_says_too_little_is_noticed() {
    let whole = filled(40);
    audit(&whole, 1, false).expect("each record says that the one before is durable");
    assert!(audit(&whole, 1, true).is_err(), "nothing proves the last record");
    let sealed = charts(&whole).into_iter().find(|chart| chart.sealed.is_some()).expect("sealed");
    let longer = sealed.bytes.iter().copied().chain([0; 100]).collect::<Vec<u8>>();
    whole.put(&sealed.name, &longer);
    assert!(audit(&whole, 1, false).is_err(), "the sealed segment is not cut");

    let device = SimDevice::new(512);
    let mut log = open(&device).expect("a new log");
    let write = |log: &mut FileLog<SimDevice>, id, syncs| {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let run = [Proposal { slot: Slot(id), ballot, decree: Kind::Noop }];
        let body = Body::Accepted(&run);
        log.stage(WriteId(id), Record { promised: ballot, decided: Slot(0), body })
            .expect("staged");
        let ticket = log.write().expect("written").expect("one record");
        if syncs {
            log.sync(ticket).expect("synced");
        }
    };
    for (id, syncs) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        write(&mut log, id, syncs);
    }
    audit(&device, 3, false).expect("two were not durable when the fourth was written");
    assert!(audit(&device, 2, false).is_err(), "not more than one could be");
    log.settle().expect("settled");
    audit(&device, 3, true).expect("a mark proves the last record");
}

#[test]
fn a_settled_log_proves_a_mark_that_says_something_new() {
    let device = filled(3).power_cut(Keep::Nothing);
    let mut log = open(&device).expect("sound");
    let mark = |log: &mut FileLog<SimDevice>, id, round| {
        let promised = Ballot { round, node: NodeId(1) };
        let record = Record { promised, decided: Slot(2), body: Body::Mark };
        log.stage(WriteId(id), record).expect("staged");
        let ticket = log.write().expect("written").expect("one record");
        log.sync(ticket).expect("synced");
    };
    audit_settled(&device).expect("nothing is in the segment of this run");
    mark(&mut log, 1, 1);
    audit_settled(&device).expect("it repeats what the run before said");
    mark(&mut log, 2, 7);
    audit_settled(&device).expect_err("nothing proves the promise");
    mark(&mut log, 3, 7);
    audit_settled(&device).expect("the mark behind it does");
    mark(&mut log, 4, 8);
    log.settle().expect("settled");
    audit_settled(&device).expect("settled");
}

#[test]
fn what_was_cut_off_shows_again_where_a_later_run_ends() {
    let device = filled(2).kill();
    let record = |round| {
        let promised = Ballot { round, node: NodeId(1) };
        Record { promised, decided: Slot(2), body: Body::Mark }
    };
    let mut log = open(&device).expect("sound");
    for id in 1..=2 {
        log.stage(WriteId(id), record(6 + id)).expect("staged");
        let _ = log.write().expect("written").expect("one record");
    }
    let (device, torn) = tear(&device);
    assert!(torn, "the first of two");
    let mut graves = Graves::default();
    let tail = Tail::of(&device).expect("a segment");
    assert!(!graves.open(&device, &tail), "nothing was cut off yet");
    let mut log = open(&device).expect("the tail is cut off");
    graves.bury(tail);
    assert!(!graves.are_at_end_of(&device), "the torn one stood here");
    log.stage(WriteId(1), record(3)).expect("staged");
    let ticket = log.write().expect("written").expect("one record");
    log.sync(ticket).expect("synced");
    assert!(graves.are_at_end_of(&device), "the whole one stood here");
    let device = device.power_cut(Keep::Nothing);
    let (before, tail) = (device.media(), Tail::of(&device).expect("a segment"));
    assert!(graves.open(&device, &tail));
    assert_ne!(device.media(), before, "it shows again");
    let log = open(&device).expect("a torn tail");
    assert!(log.recovery().torn_bytes > 0, "what shows is taken for that");
}

#[test]
fn a_record_in_the_place_of_another_shows_once() {
    let mut found = 0;
    for seed in 0..40 {
        let device = log(12);
        let mut log = open(&device).expect("sound");
        let ballot = Ballot { round: 1, node: NodeId(1) };
        for id in 1..=4 {
            let run = [Proposal { slot: Slot(11 + id), ballot, decree: Kind::Noop }];
            let body = Body::Accepted(&run);
            let record = Record { promised: ballot, decided: Slot(11 + id), body };
            log.stage(WriteId(id), record).expect("staged");
            let ticket = log.write().expect("written").expect("one record");
            log.sync(ticket).expect("synced");
        }
        let drawn = misread_slot(&device, Slot(14), &mut Prng::new(seed, "atlas"));
        let Some(slot) = drawn else { continue };
        assert!(slot < Slot(14), "{slot}");
        let most = synod_log::Most { slots: 1, bytes: 1000 };
        let mut reader = log.reader();
        reader.read(slot, slot.next(), most).expect_err("another record shows");
        reader.read(slot, slot.next(), most).expect("only once");
        found += 1;
    }
    assert!(found > 10, "{found}");
}
