//! Crashes: whatever a crash loses, at whatever moment, everything reported durable comes back and
//! the log starts (D2, S36, S43).

mod script;
mod story;

use script::{Fate, Script};
use synod_log::{Keep, SimDevice};

/// Cuts the power in every change that a run makes, and then in every change that the start after
/// it makes, and checks the start after that.
fn every_crash_point(sector_bytes: usize, seed: u64) {
    let steps = 30;
    let before = aged_disk(sector_bytes, seed);
    let (clean, mut script) = (before.0.fork(), before.1.clone());
    let start = clean.changes();
    assert_eq!(script.run(&clean, steps), Fate::Finished);
    let changes = clean.changes() - start;
    assert!(changes > 20, "the run changes the disk {changes} times");
    let mut twice = 0;
    for at in 0..changes {
        for keep in keeps(seed ^ at) {
            let (device, mut script) = (before.0.fork(), before.1.clone());
            device.power_fails_at(at);
            assert_eq!(script.run(&device, steps), Fate::PowerFailed);
            let device = device.power_cut(keep);
            // Each start after a crash, and for a part of the crashes each crash of that start.
            drop(script.clone().open(&device.fork()).expect("a log starts after any crash"));
            if matches!(keep, Keep::Some(some) if some % 3 == at % 3) {
                twice += every_crash_point_of_a_start(&device, &script);
            }
        }
    }
    assert!(twice > changes / 2, "starts were interrupted {twice} times");
}

/// Returns how often a start was interrupted.
fn every_crash_point_of_a_start(device: &SimDevice, script: &Script) -> u64 {
    let clean = device.fork();
    let start = clean.changes();
    drop(script.clone().open(&clean).expect("a log starts after any crash"));
    let changes = clean.changes() - start;
    for at in 0..changes {
        for keep in [Keep::Nothing, Keep::Everything, Keep::Some(at)] {
            let (device, mut script) = (device.fork(), script.clone());
            device.power_fails_at(at);
            assert!(script.open(&device).is_err(), "the power failed during the start");
            let device = device.power_cut(keep);
            drop(script.open(&device).expect("a log starts after a crash of a start"));
        }
    }
    changes
}

/// A disk with some history, so that there are segments behind the active one.
fn aged_disk(sector_bytes: usize, seed: u64) -> (SimDevice, Script) {
    let (mut device, mut script) = (SimDevice::new(sector_bytes), Script::new(seed));
    for run in 0..2 {
        assert_eq!(script.run(&device, 30), Fate::Finished);
        device = device.power_cut(Keep::Some(run));
    }
    (device, script)
}

fn keeps(seed: u64) -> [Keep; 5] {
    let some = |nth: u64| Keep::Some(seed.wrapping_mul(3).wrapping_add(nth));
    [Keep::Nothing, Keep::Everything, some(0), some(1), some(2)]
}

#[test]
fn every_crash_point_with_small_sectors() {
    every_crash_point(512, 1);
}

#[test]
fn every_crash_point_with_large_sectors() {
    every_crash_point(4096, 2);
}

/// The very first start: no crash leaves a directory that cannot be used, and an incarnation that
/// was used stays.
#[test]
fn every_crash_point_of_formatting() {
    for sector_bytes in [512, 4096] {
        let clean = SimDevice::new(sector_bytes);
        assert_eq!(Script::new(3).run(&clean, 6), Fate::Finished);
        for at in 0..clean.changes() {
            for keep in keeps(at) {
                let (device, mut script) = (SimDevice::new(sector_bytes), Script::new(3));
                device.power_fails_at(at);
                assert_eq!(script.run(&device, 6), Fate::PowerFailed);
                every_crash_point_of_a_start(&device.power_cut(keep), &script);
            }
        }
    }
}

/// Long random lives: runs that end in power cuts, killed processes, and failing disks.
#[test]
fn random_lives() {
    for seed in 0..200 {
        let sector_bytes = if seed % 2 == 0 { 512 } else { 4096 };
        story::life(sector_bytes, seed);
    }
}
