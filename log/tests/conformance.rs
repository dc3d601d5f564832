//! Every log passes the one conformance suite (D7).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use synod_core::{ClusterId, Epoch, GroupId, Incarnation, NodeId, Recovered};
use synod_log::conformance::{Fixture, run};
use synod_log::{FileDevice, FileLog, Identity, Keep, LogConfig, MemoryLog, OpenError, SimDevice};

struct InMemory;

impl Fixture for InMemory {
    type Log = MemoryLog;
    type Error = OpenError;

    fn open(
        &mut self,
        incarnation: Incarnation,
    ) -> Result<(MemoryLog, Recovered<Bytes>), OpenError> {
        Ok(MemoryLog::new(incarnation, 1 << 20))
    }

    fn survives(&self) -> bool {
        false
    }
}

struct InFiles(PathBuf);

impl InFiles {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("synod-conformance-{}-{count}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for InFiles {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Fixture for InFiles {
    type Log = FileLog<FileDevice>;
    type Error = OpenError;

    fn open(
        &mut self,
        incarnation: Incarnation,
    ) -> Result<(Self::Log, Recovered<Bytes>), OpenError> {
        FileLog::open(FileDevice::open(&self.0)?, identity(), small(), incarnation)
    }

    fn survives(&self) -> bool {
        true
    }
}

fn identity() -> Identity {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    Identity { cluster: ClusterId(1), group: GroupId(2), epoch, node: NodeId(3) }
}

/// Segments so small that every test rolls.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, record_bytes_max: 8 << 10 }
}

/// A simulated disk on which the power goes after every run; what is not synced is lost in part.
struct OnCrashingDisk {
    device: SimDevice,
    runs: u64,
}

impl Fixture for OnCrashingDisk {
    type Log = FileLog<SimDevice>;
    type Error = OpenError;

    fn open(
        &mut self,
        incarnation: Incarnation,
    ) -> Result<(Self::Log, Recovered<Bytes>), OpenError> {
        self.runs += 1;
        self.device = self.device.power_cut(Keep::Some(self.runs));
        FileLog::open(self.device.clone(), identity(), small(), incarnation)
    }

    fn survives(&self) -> bool {
        true
    }
}

#[test]
fn file_log_conforms_on_a_crashing_disk() {
    for sector_bytes in [512, 4096] {
        run(|| OnCrashingDisk { device: SimDevice::new(sector_bytes), runs: 0 });
    }
}

#[test]
fn memory_log_conforms() {
    run(|| InMemory);
}

#[test]
fn file_log_conforms() {
    run(InFiles::new);
}
