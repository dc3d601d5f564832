//! The disk of one node: the production log on a simulated device, which loses in a crash what a
//! device may lose.

use std::fmt;

use bytes::Bytes;
use synod_core::{Incarnation, Limits, Proposal, Record, Recovered, Slot, WriteId};
use synod_log::{
    DeviceFault, FileLog, FileReader, Identity, Keep, Log, LogConfig, LogError, Most, OpenError,
    Operation, ReadBack, SimDevice, Ticket,
};

use crate::atlas::{self, Graves, Tail};
use crate::options::DiskOptions;
use crate::prng::Prng;

/// A disk that outlives the runs of its node.
pub struct Disk {
    device: SimDevice,
    identity: Identity,
    config: LogConfig,
    most: Most,
    incarnation: Incarnation,
    open: Option<Open>,
    failing: bool,
    /// What starts have cut off.
    graves: Graves,
}

/// The log of the present run.
struct Open {
    log: FileLog<SimDevice>,
    reader: FileReader<SimDevice>,
}

impl Disk {
    /// An empty disk. Its log is formatted as `incarnation` when it is first opened.
    #[must_use]
    pub fn new(
        identity: Identity,
        limits: &Limits,
        options: &DiskOptions,
        incarnation: Incarnation,
    ) -> Self {
        let mut config = LogConfig::for_limits(limits);
        let records = options.segment_records * config.record_bytes_max as u64;
        config.segment_bytes = SEGMENT_HEADER_ROOM + records;
        Self {
            device: SimDevice::new(options.sector_bytes),
            identity,
            config,
            most: Most::of_a_message(limits),
            incarnation,
            open: None,
            failing: false,
            graves: Graves::default(),
        }
    }

    /// Opens the log, as a node does when it starts.
    ///
    /// # Errors
    /// Why the log does not open. After a fault of the device it may be opened again.
    pub fn recover(&mut self) -> Result<Recovered<Bytes>, OpenError> {
        let Self { device, identity, config, incarnation, graves, .. } = self;
        let tail = Tail::of(device);
        let opened = FileLog::open(device.clone(), *identity, *config, *incarnation);
        let (log, recovered) = opened?;
        if let Some(tail) = tail {
            graves.bury(tail);
        }
        let reader = log.reader();
        self.open = Some(Open { log, reader });
        Ok(recovered)
    }

    /// Takes a record into the log's memory.
    ///
    /// # Errors
    /// When the log has failed, or does not take the record.
    pub fn stage(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<(), LogError> {
        self.open.as_mut().map_or(Ok(()), |open| open.log.stage(id, record))
    }

    /// Hands everything staged to the device. `None` when nothing was.
    ///
    /// # Errors
    /// When the device failed.
    pub fn write(&mut self) -> Result<Option<Ticket>, LogError> {
        self.open.as_mut().map_or(Ok(None), |open| open.log.write())
    }

    /// Makes everything written up to `ticket` durable.
    ///
    /// # Errors
    /// When the device failed.
    pub fn sync(&mut self, ticket: Ticket) -> Result<WriteId, LogError> {
        self.open.as_mut().map_or(Ok(WriteId(0)), |open| open.log.sync(ticket))
    }

    /// What a host does when it is idle: proves the last records durable (R11).
    ///
    /// # Errors
    /// When the device failed.
    pub fn settle(&mut self) -> Result<(), LogError> {
        self.open.as_mut().map_or(Ok(()), |open| open.log.settle().map(|_| ()))
    }

    /// Everything up to this write is durable.
    #[must_use]
    pub fn durable(&self) -> WriteId {
        self.open.as_ref().map_or(WriteId(0), |open| open.log.durable())
    }

    /// The next sync fails, and with it everything after, until the node starts anew.
    pub fn fail(&mut self) {
        self.failing = true;
        self.device.inject(Operation::Sync, 0, DeviceFault::Error);
    }

    /// One of the coming operations of the device goes wrong. When it fails the log is of no use
    /// until the node starts anew.
    pub fn inject(&mut self, operation: Operation, nth: u64, fault: DeviceFault) {
        let fails = matches!(fault, DeviceFault::Error | DeviceFault::Full);
        self.failing |= fails && operation != Operation::Read;
        self.device.inject(operation, nth, fault);
    }

    /// There is no room for another file, or there is again.
    pub fn set_full(&mut self, full: bool) {
        self.device.set_capacity(if full { 0 } else { u64::MAX });
    }

    /// Gives this node the device of another one, and that one its own.
    pub fn exchange(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.device, &mut other.device);
        std::mem::swap(&mut self.graves, &mut other.graves);
    }

    /// The process ended without the power failing: what was to go wrong in its run does not.
    pub fn end_run(&mut self) {
        self.open = None;
        self.failing = false;
        self.device = self.device.kill();
    }

    /// The disk of a node that is down works again.
    pub fn repair(&mut self) {
        self.end_run();
        self.set_full(false);
    }

    /// Whether it was told to fail in this run.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    /// The process dies, and mostly the power fails too: then of what was not synced any part may
    /// be kept, sector by sector.
    pub fn crash(&mut self, prng: &mut Prng) {
        self.open = None;
        self.failing = false;
        let seed = prng.bits();
        self.device = match prng.below(10) {
            0 | 1 => self.device.kill(),
            2 => self.device.power_cut(Keep::Nothing),
            3 => self.device.power_cut(Keep::Everything),
            _ => self.device.power_cut(Keep::Some(seed)),
        };
    }

    /// The power fails, and of what was not synced this much is kept.
    pub fn cut_power(&mut self, keep: Keep) {
        self.open = None;
        self.failing = false;
        self.device = self.device.power_cut(keep);
    }

    /// The decided decrees from `from` on, as many as fit one message.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&mut self, from: Slot, end: Slot) -> Result<Vec<Proposal<Bytes>>, LogError> {
        let most = self.most;
        self.open.as_mut().map_or(Ok(Vec::new()), |open| open.reader.read(from, end, most))
    }

    /// Where the log ends just before something that was cut off, the device shows that again.
    /// Whether it does.
    pub fn open_grave(&mut self) -> bool {
        Tail::of(&self.device).is_some_and(|tail| self.graves.open(&self.device, &tail))
    }

    /// Whether the log ends where an earlier run had written something that a start then cut off.
    #[must_use]
    pub fn is_at_grave(&self) -> bool {
        self.graves.are_at_end_of(&self.device)
    }

    /// The power fails, and the first of several writes that were not synced is torn. Whether
    /// there were several.
    pub fn tear(&mut self) -> bool {
        self.open = None;
        self.failing = false;
        let (device, torn) = atlas::tear(&self.device);
        self.device = device;
        torn
    }

    /// The device, to look at or to harm.
    #[must_use]
    pub const fn device(&self) -> &SimDevice {
        &self.device
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, incarnation, failing, .. } = self;
        write!(f, "Disk({}, {incarnation:?}, failing {failing})", identity.node)
    }
}

/// More than the header of a segment takes.
const SEGMENT_HEADER_ROOM: u64 = 4096;
