//! The simulated disk loses what a real one may lose, and nothing else.

use std::collections::BTreeSet;

use synod_log::{Device, DeviceFault, DeviceFile, Keep, Operation, SimDevice, SimFile};

const NAME: &str = "file";

/// A file of 8 sectors of 512 bytes, durable and all zeros.
fn synced() -> (SimDevice, SimFile) {
    let device = SimDevice::new(512);
    let file = device.create(NAME, 4096).expect("made");
    file.sync().expect("synced");
    device.sync_directory().expect("synced");
    (device, file)
}

/// The first byte of each sector after a power cut.
fn after(device: &SimDevice, keep: Keep) -> Vec<u8> {
    let device = device.fork().power_cut(keep);
    device.contents(NAME).expect("the file").chunks(512).map(|sector| sector[0]).collect()
}

fn write(file: &SimFile, bytes: &[u8], offset: u64) {
    assert_eq!(file.write_at(bytes, offset).expect("written"), bytes.len());
}

#[test]
fn what_was_synced_survives_and_the_rest_may() {
    let (device, file) = synced();
    write(&file, &[1; 512], 0);
    file.sync().expect("synced");
    write(&file, &[2; 1024], 512);
    assert_eq!(after(&device, Keep::Nothing), [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(after(&device, Keep::Everything), [1, 2, 2, 0, 0, 0, 0, 0]);
    for seed in 0..100 {
        assert_eq!(after(&device, Keep::Some(seed))[0], 1, "seed {seed}");
    }
}

/// Each sector keeps or loses each write by itself: torn writes, and later ones without earlier.
#[test]
fn every_combination_of_sectors_occurs() {
    let (device, file) = synced();
    write(&file, &[1; 1024], 0);
    write(&file, &[2; 1024], 512);
    let seen: BTreeSet<_> = (0..2000).map(|seed| after(&device, Keep::Some(seed))).collect();
    // The first sector: old or 1; the second: old, 1 or 2; the third: old or 2.
    assert_eq!(seen.len(), 2 * 3 * 2);
}

#[test]
fn a_sector_is_never_torn() {
    let device = SimDevice::new(4096);
    let file = device.create(NAME, 4096).expect("made");
    file.sync().expect("synced");
    device.sync_directory().expect("synced");
    write(&file, &[1; 3000], 500);
    for seed in 0..100 {
        let cut = device.fork().power_cut(Keep::Some(seed));
        let bytes = cut.contents(NAME).expect("the file");
        assert!(bytes[500..3500].iter().all(|byte| *byte == bytes[500]), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let (device, file) = synced();
    write(&file, &[1; 4096], 0);
    for seed in 0..50 {
        assert_eq!(after(&device, Keep::Some(seed)), after(&device, Keep::Some(seed)));
    }
}

#[test]
fn names_are_kept_in_order_of_their_changes() {
    let device = SimDevice::new(512);
    for name in ["a", "b"] {
        device.create(name, 10).expect("made").sync().expect("synced");
    }
    device.rename("a", "c").expect("renamed");
    device.remove("b").expect("removed");
    let list = |keep| {
        let mut names = device.fork().power_cut(keep).list().expect("a list");
        names.sort();
        names.concat()
    };
    assert_eq!(list(Keep::Nothing), "");
    assert_eq!(list(Keep::Everything), "c");
    let seen: BTreeSet<_> = (0..200).map(|seed| list(Keep::Some(seed))).collect();
    assert_eq!(seen, ["", "a", "ab", "bc", "c"].map(String::from).into());
    device.sync_directory().expect("synced");
    assert_eq!(list(Keep::Nothing), "c");
}

#[test]
fn an_unsynced_file_may_have_any_length() {
    let device = SimDevice::new(512);
    device.create(NAME, 4096).expect("made");
    device.sync_directory().expect("synced");
    let cut = |seed| device.fork().power_cut(Keep::Some(seed));
    let lens: BTreeSet<_> =
        (0..50).map(|seed| cut(seed).contents(NAME).expect("the file").len()).collect();
    assert!(lens.len() > 10, "{lens:?}");
}

/// After a failed sync the bytes are seen, and no later sync brings them to the disk.
#[test]
fn a_failed_sync_leaves_bytes_that_are_only_seen() {
    let (device, file) = synced();
    write(&file, &[1; 4096], 0);
    device.inject(Operation::Sync, 0, DeviceFault::Error);
    file.sync().expect_err("injected");
    let mut seen = [0; 4096];
    assert_eq!(file.read_at(&mut seen, 0).expect("read"), 4096);
    assert_eq!(seen, [1; 4096]);
    file.sync().expect("the next one succeeds");
    let kept = after(&device, Keep::Everything);
    assert!(kept.contains(&0), "some of it is gone: {kept:?}");
    // Written again, it can be synced.
    write(&file, &[1; 4096], 0);
    file.sync().expect("synced");
    assert_eq!(after(&device, Keep::Nothing), [1; 8]);
}

#[test]
fn a_killed_process_loses_nothing_and_its_handles_are_dead() {
    let (device, file) = synced();
    write(&file, &[1; 512], 0);
    let next = device.kill();
    assert_eq!(next.contents(NAME).expect("the file")[0], 1);
    file.sync().expect_err("a handle of the killed process");
    device.list().expect_err("a handle of the killed process");
    // Still not durable.
    assert_eq!(after(&next, Keep::Nothing)[0], 0);
}

#[test]
fn the_power_fails_in_the_middle_of_a_change() {
    let (device, file) = synced();
    device.power_fails_at(1);
    write(&file, &[1; 512], 0);
    file.write_at(&[2; 1024], 512).expect_err("the power fails");
    file.sync().expect_err("no power");
    let seen: BTreeSet<_> = (0..500).map(|seed| after(&device, Keep::Some(seed))).collect();
    assert_eq!(seen.len(), 8, "any of the three sectors is old or new");
}

#[test]
fn writes_go_astray_and_get_lost() {
    let (device, file) = synced();
    device.inject(Operation::Write, 0, DeviceFault::Lost);
    device.inject(Operation::Write, 1, DeviceFault::Misdirected(1024));
    write(&file, &[1; 512], 0);
    write(&file, &[2; 512], 512);
    assert_eq!(after(&device, Keep::Everything), [0, 0, 0, 2, 0, 0, 0, 0]);
}

#[test]
fn space_is_limited() {
    let (device, _) = synced();
    device.set_capacity(5000);
    let error = device.create("more", 1000).expect_err("too much");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    device.create("more", 904).expect("it fits");
}

#[test]
fn a_misread_is_wrong_once() {
    let (device, file) = synced();
    write(&file, &[1; 512], 0);
    write(&file, &[2; 512], 512);
    let read = |from| {
        let mut bytes = [9; 1024];
        assert_eq!(file.read_at(&mut bytes, from).expect("read"), 1024);
        [bytes[0], bytes[511], bytes[512], bytes[1023]]
    };
    assert!(device.misread(NAME, 100, 412, None));
    assert_eq!(read(1024), [0; 4], "does not meet it");
    assert_eq!(read(0), [1, 0, 2, 2], "as before anything was written");
    assert_eq!(read(0), [1, 1, 2, 2]);
    assert!(device.misread(NAME, 0, 512, Some(512)));
    assert_eq!(read(0), [2, 2, 2, 2], "from another place");
    assert_eq!(read(0), [1, 1, 2, 2]);
    assert!(device.misread(NAME, 0, 512, None));
    let next = device.kill();
    let mut bytes = [0; 8];
    let file = next.open(NAME).expect("the file");
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), 8);
    assert_eq!(bytes, [1; 8], "forgotten with the process");
    assert!(!next.misread("none", 0, 1, None));
}

#[test]
fn an_interrupted_call_does_nothing() {
    let (device, file) = synced();
    device.inject(Operation::Write, 0, DeviceFault::Interrupted);
    let error = file.write_at(&[1; 8], 0).expect_err("injected");
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
    device.inject(Operation::Read, 0, DeviceFault::Interrupted);
    let mut bytes = [9; 8];
    file.read_at(&mut bytes, 0).expect_err("injected");
    file.read_at(&mut bytes, 0).expect("read");
    assert_eq!(bytes, [0; 8]);
}

#[test]
fn what_is_replaced_on_the_disk_stays() {
    let (device, file) = synced();
    write(&file, &[1; 1024], 0);
    file.sync().expect("synced");
    write(&file, &[2; 512], 1024);
    assert_eq!(device.media()[0].1[..1536], [[1; 512], [1; 512], [0; 512]].concat());
    assert!(device.overwrite(NAME, 512, &[7; 512]));
    assert!(!device.overwrite(NAME, 4000, &[7; 512]), "behind the end");
    assert!(!device.overwrite("none", 0, &[7]));
    assert_eq!(after(&device, Keep::Nothing)[..3], [1, 7, 0]);
    assert_eq!(after(&device, Keep::Everything)[..3], [1, 7, 2]);
    assert!(device.lose_file(NAME));
    assert!(!device.lose_file(NAME));
    assert_eq!(device.power_cut(Keep::Everything).contents(NAME), None);
}
