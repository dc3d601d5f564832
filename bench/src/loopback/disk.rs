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

    /// Appends records, each as one batch, and syncs once.
    ///
    /// # Panics
    /// When the device fails.
    pub(super) fn append(&mut self, batches: impl IntoIterator<Item = Bytes>) {
        let ballot = Ballot { round: 1, node: NodeId(1) };
        for bytes in batches {
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
