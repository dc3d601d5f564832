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

/// A log of so many slots, each synced before the next is written.
fn log(slots: u64) -> SimDevice {
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
    drop(log);
    device.power_cut(Keep::Nothing)
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
