//! Random lives of a disk.

use synod_log::{DeviceFault, Keep, Operation, SimDevice};

use crate::script::Script;

/// A dozen runs, each ended by chance: by a power cut, by a killed process, by an error of the
/// disk, by a full disk; and starts that are interrupted too.
pub(crate) fn life(sector_bytes: usize, seed: u64) {
    let (mut device, mut script) = (SimDevice::new(sector_bytes), Script::new(seed));
    for run in 0..12 {
        plan(&device, &mut script);
        script.run(&device, 60);
        device = match script.below(4) {
            0 => device.kill(),
            1 => device.power_cut(Keep::Nothing),
            _ => device.power_cut(Keep::Some(seed << 8 | run)),
        };
    }
    drop(script.open(&device).expect("the log starts"));
}

/// Plans what ends the run, if the steps do not.
fn plan(device: &SimDevice, script: &mut Script) {
    let nth = script.below(40);
    match script.below(8) {
        0..3 => device.power_fails_at(nth),
        3 => device.inject(Operation::Sync, nth, DeviceFault::Error),
        4 => device.inject(Operation::Write, nth, DeviceFault::Error),
        5 => {
            let fault = if nth.is_multiple_of(2) { DeviceFault::Error } else { DeviceFault::Full };
            device.inject(Operation::Create, nth % 4, fault);
        }
        6 => {
            let names = [
                Operation::SyncDirectory,
                Operation::Rename,
                Operation::Remove,
                Operation::Truncate,
            ];
            device.inject(names[nth as usize % 4], nth / 4 % 3, DeviceFault::Error);
        }
        _ => {
            for nth in 0..20 {
                device.inject(Operation::Write, nth, DeviceFault::Short(nth as usize * 37));
                device.inject(Operation::Read, nth, DeviceFault::Short(nth as usize * 101));
            }
        }
    }
}
