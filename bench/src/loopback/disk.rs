//! The log of floor and peers: the same files, records, checksums and syncs as Synod's.

use std::path::PathBuf;

use bytes::Bytes;
use synod_core::{
    Ballot, Body, ClusterId, Configuration, GroupId, Incarnation, Kind, NodeId, Proposal, Record,
    Slot, WriteId,
};
use synod_log::{FileDevice, FileLog, Identity, Log, LogConfig};

/// A log whose records are durable when the call returns.
pub(super) struct Disk {
    log: FileLog<FileDevice>,
    written: u64,
}

impl Disk {
    /// # Panics
    /// When the directory cannot be had.
    pub(super) fn open(directory: PathBuf) -> Self {
        let device = FileDevice::open(directory).expect("the directory is there");
        let members = Configuration::first(&[1, 2, 3].map(NodeId)).expect("a sound set");
        let whose = Identity {
            cluster: ClusterId(1),
            group: GroupId(0),
            epoch: members.epoch(),
            node: NodeId(1),
        };
        let opened = FileLog::open(device, whose, LogConfig::default(), Incarnation(1));
        let (log, _) = opened.expect("a log");
        Self { log, written: 0 }
    }

    /// Appends batches, each as one record unless it is too large for one, and syncs once.
    ///
    /// # Panics
    /// When the device fails.
    pub(super) fn append(&mut self, batches: impl IntoIterator<Item = Bytes>) {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        let mut batches = batches.into_iter();
        let mut rest = Bytes::new();
        loop {
            if rest.is_empty() {
                let Some(batch) = batches.next() else { break };
                rest = batch;
            }
            let bytes = rest.split_to(rest.len().min(RECORD_BYTES_MAX));
            self.written += 1;
            let run = [Proposal { slot: Slot(self.written), ballot, decree: Kind::App(bytes) }];
            let record =
                Record { promised: ballot, decided: Slot::ZERO, body: Body::Accepted(&run) };
            self.log.stage(WriteId(self.written), record).expect("it fits");
        }
        if let Some(ticket) = self.log.write().expect("there is space") {
            self.log.sync(ticket).expect("the device works");
        }
    }
}

/// What one record takes with the default limits.
const RECORD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_any_size_is_stored() {
        let name = format!("synod-bench-disk-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let mut disk = Disk::open(directory.clone());
        let large = Bytes::from(vec![7; 2 * RECORD_BYTES_MAX + 1]);
        disk.append([Bytes::from_static(b"small"), large]);
        assert_eq!(disk.written, 4);
        assert_eq!(disk.log.durable(), WriteId(4));
        drop(disk);
        std::fs::remove_dir_all(directory).expect("it was there");
    }
}
