//! The interface that every log has.

use bytes::Bytes;
use synod_core::{ClusterId, Epoch, GroupId, Limits, NodeId, Proposal, Record, Slot, WriteId};

use crate::{LogError, OpenError};

/// A log: records go in, in three steps, and decided decrees can be read back.
///
/// The steps are apart so that a thread, or a simulated disk, can stand between them:
///
/// 1. [`stage`](Self::stage) takes a record into memory,
/// 2. [`write`](Self::write) hands everything staged to the device in one go (group commit),
/// 3. [`sync`](Self::sync) makes it durable.
///
/// Only what `sync` returned is durable, and with it everything before: completion is a watermark.
/// **Any error is terminal.** The log fails each later call with the same error and calls nothing
/// durable any more; the host reports [`Event::PersistFailed`](synod_core::Event::PersistFailed).
pub trait Log {
    /// Reads decided decrees back, from another thread too.
    type Reader: ReadBack;

    /// Takes a record, which goes behind all earlier ones. Decrees are copied; no I/O is done.
    ///
    /// What is staged is kept in memory until `write`. A replica hands out at most
    /// [`writes_in_flight_max`](Limits::writes_in_flight_max) records that are not durable yet,
    /// which bounds it.
    ///
    /// # Errors
    /// When the record is too large, ids do not ascend, or the log failed before.
    fn stage(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<(), LogError>;

    /// Hands everything staged to the device. `None` when nothing was.
    ///
    /// # Errors
    /// When the device fails or is full, or the log failed before.
    fn write(&mut self) -> Result<Option<Ticket>, LogError>;

    /// Makes everything written up to `ticket`, and perhaps more, durable; returns up to where.
    ///
    /// # Errors
    /// When the device fails, or the log failed before.
    fn sync(&mut self, ticket: Ticket) -> Result<WriteId, LogError>;

    /// Everything up to this write is durable.
    fn durable(&self) -> WriteId;

    /// Call when idle and before a shutdown: writes out what is pending, proves the last records
    /// durable by a mark behind them (rule R11), and makes the next segment ready, so that a later
    /// write need not wait for it. Blocks. Costs nothing when there is nothing to do.
    ///
    /// # Errors
    /// When the device fails or is full, or the log failed before.
    fn settle(&mut self) -> Result<WriteId, LogError>;

    /// A reader of this log.
    fn reader(&self) -> Self::Reader;

    /// Whether no call ever waits for a device, as in memory: a host may then make all of them
    /// where it must not be held up.
    fn is_instant(&self) -> bool {
        false
    }
}

/// What was handed to the device by one [`Log::write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "nothing is durable before it is synced"]
pub struct Ticket {
    upto: WriteId,
}

impl Ticket {
    pub(crate) const fn new(upto: WriteId) -> Self {
        Self { upto }
    }

    /// The last write that is covered.
    #[must_use]
    pub const fn upto(self) -> WriteId {
        self.upto
    }
}

/// Reads decided decrees back from a log.
pub trait ReadBack: Clone + Send + 'static {
    /// The decrees of the slots in `from..end`, without gaps, starting at `from`: as many as
    /// `most` allows, but at least one. Empty when `from` is not in the log (any more).
    ///
    /// Pre-condition: all slots below `end` are decided and were written by [`Log::write`]. What
    /// an open slot holds may not be chosen, and is never asked for by a replica.
    ///
    /// Of several records for a slot the last one counts, and a learned one outranks accepted ones
    /// (rule R5).
    ///
    /// # Errors
    /// When the device fails or what is read is damaged. The log itself goes on.
    fn read(&mut self, from: Slot, end: Slot, most: Most)
    -> Result<Vec<Proposal<Bytes>>, LogError>;

    /// The first slot that can still be read.
    fn retained(&self) -> Slot;
}

/// How much one call of [`ReadBack::read`] may return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Most {
    /// At most so many slots; at least 1.
    pub slots: usize,
    /// At most so many bytes of decrees, unless the first decree alone is larger.
    pub bytes: usize,
}

impl Most {
    /// As much as fits one message.
    #[must_use]
    pub const fn of_a_message(limits: &Limits) -> Self {
        Self { slots: limits.run_slots_max, bytes: limits.run_bytes_max }
    }
}

/// Whose log it is. Written into the segments, and compared at every start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// The configuration that the replica acts under.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeId,
}

/// The limits of a file log.
///
/// Memory: what is staged (see [`Log::stage`]), 40 bytes of index for each [`STRETCH_BYTES`] of
/// log, and per reader at most `STRETCH_BYTES + record_bytes_max` at a time, besides what it
/// returns.
///
/// [`STRETCH_BYTES`]: crate::STRETCH_BYTES
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The size of a segment file, all of it reserved when the file is made. While it runs a log
    /// keeps up to one segment ready besides the one that it writes.
    pub segment_bytes: u64,
    /// The largest record.
    pub record_bytes_max: usize,
}

impl LogConfig {
    /// Fits every record of a replica with these limits; segments of 64 MiB, or of eight records
    /// when that is more.
    #[must_use]
    pub const fn for_limits(limits: &Limits) -> Self {
        let run = if limits.run_bytes_max > limits.decree_bytes_max {
            limits.run_bytes_max
        } else {
            limits.decree_bytes_max
        };
        let record_bytes_max = run + limits.run_slots_max * PROPOSAL_OVERHEAD + RECORD_OVERHEAD;
        let eight = crate::segment::HEADER_BYTES + 8 * record_bytes_max as u64;
        let segment_bytes = if eight > SEGMENT_BYTES { eight } else { SEGMENT_BYTES };
        Self { segment_bytes, record_bytes_max }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let Self { segment_bytes, record_bytes_max } = *self;
        let config = |name, rule: String| Err(OpenError::Config { name, rule });
        if !(1024..=RECORD_LIMIT).contains(&record_bytes_max) {
            let rule = format!("1024 to {RECORD_LIMIT} bytes, not {record_bytes_max}");
            return config("record_bytes_max", rule);
        }
        let least = crate::segment::HEADER_BYTES + record_bytes_max as u64;
        if !(least..=SEGMENT_LIMIT).contains(&segment_bytes) {
            let rule = format!(
                "{least} (its header and one record) to {SEGMENT_LIMIT} bytes, not {segment_bytes}"
            );
            return config("segment_bytes", rule);
        }
        Ok(())
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::for_limits(&Limits::default())
    }
}

const SEGMENT_BYTES: u64 = 64 << 20;
/// The largest record that can be configured: a decree and a run are at most 1 GiB each.
const RECORD_LIMIT: usize = (1 << 30) + (64 << 20);
const SEGMENT_LIMIT: u64 = 1 << 40;
/// More than a proposal takes in a record besides its decree.
const PROPOSAL_OVERHEAD: usize = 48;
/// More than a record takes besides its proposals: its header, or a roster of nine members.
const RECORD_OVERHEAD: usize = 1024;

#[cfg(test)]
mod tests {
    use synod_core::{Ballot, Body, Kind, record};

    use super::*;

    #[test]
    fn every_record_within_the_limits_fits() {
        let limits = Limits {
            decree_bytes_max: 4000,
            run_bytes_max: 1000,
            run_slots_max: 50,
            ..Limits::default()
        };
        let config = LogConfig::for_limits(&limits);
        assert_eq!(config.check(), Ok(()));
        let len = |decrees: &[usize]| {
            // The worst case: no proposal continues the one before it.
            let propose = |(nth, bytes): (usize, &usize)| Proposal {
                slot: Slot(1000 * nth as u64),
                ballot: Ballot { round: 1 + nth as u64, node: NodeId(1 << 60) },
                decree: Kind::App(Bytes::from(vec![0; *bytes])),
            };
            let run: Vec<_> = decrees.iter().enumerate().map(propose).collect();
            let (promised, decided) = (Ballot::ZERO, Slot::ZERO);
            record::encoded_len(&Record { promised, decided, body: Body::Accepted(&run) })
        };
        assert!(len(&[20; 50]) <= config.record_bytes_max);
        assert!(len(&[4000]) <= config.record_bytes_max);
    }

    #[test]
    fn the_largest_limits_make_a_sound_configuration() {
        let limits = Limits {
            decree_bytes_max: 1 << 30,
            run_bytes_max: 1 << 30,
            run_slots_max: 1 << 16,
            ..Limits::default()
        };
        assert_eq!(LogConfig::for_limits(&limits).check(), Ok(()));
        assert_eq!(LogConfig::default().check(), Ok(()));
        assert_eq!(LogConfig::default().segment_bytes, 64 << 20);
    }
}
