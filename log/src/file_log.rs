//! The log in segment files.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Stamp};
use synod_core::{Ballot, Body, Boot, Header, Incarnation, Record, Recovered, Slot, WriteId};

use crate::device::write_full;
use crate::index::{Index, Range};
use crate::recovery::{self, Contents, Survey};
use crate::segment::{SegmentHeader, segment_name};
use crate::segment_file::{Segment, cut, establish, remove, reserve, rewrite};
use crate::{Device, DeviceFile, FileReader, Identity, IoFailure, Log, LogConfig, LogError};
use crate::{OpenError, Ticket};

/// A log in the segment files of a [`Device`]. See the [crate](crate) for what it promises.
pub struct FileLog<D: Device> {
    device: D,
    config: LogConfig,
    /// On every record.
    header: Header,
    active: Segment<D::File>,
    /// The next segment's file, as far as it is ready.
    spare: Option<D::File>,
    staged: Staged,
    /// The end of what was handed to the device. Invariant: `proven <= synced <= written`.
    written: u64,
    written_upto: WriteId,
    /// Everything below is durable.
    synced: u64,
    synced_upto: WriteId,
    /// Everything below is named durable by a record or a header (R11).
    proven: u64,
    /// The end of the last record that is more than the mark of an idle log.
    last_body_end: u64,
    index: Arc<Mutex<Index>>,
    recovery: Recovery,
    failed: Option<LogError>,
}

/// What the last start found and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The segments that were read; 0 for a log that was just formatted.
    pub segments: u64,
    /// The records in them.
    pub records: u64,
    /// The position where the log goes on.
    pub position: u64,
    /// The length of the torn tail that was cut off there, in bytes: writes that a crash
    /// interrupted, none of which was ever reported durable.
    pub torn_bytes: u64,
}

/// Records that are encoded and not written.
#[derive(Default)]
struct Staged {
    bytes: BytesMut,
    records: Vec<StagedRecord>,
    /// The last id, written or not.
    upto: WriteId,
    /// Of the record staged last.
    promised: Ballot,
    decided: Slot,
}

struct StagedRecord {
    upto: WriteId,
    len: usize,
    slots: Range,
    stamp: Stamp,
    /// More than the mark of an idle log.
    has_body: bool,
}

impl<D: Device> FileLog<D> {
    /// Opens the log of a directory, or formats an empty one as `incarnation`, which is to be drawn
    /// at random and is not used otherwise.
    ///
    /// Every start is a boot of its own: a new generation of the log, durable before this returns.
    /// A torn tail is cut off durably (R11).
    ///
    /// # Errors
    /// When the log is not the one that `identity` names, is damaged, or the device fails. The log
    /// is as it was then, and can be opened again.
    pub fn open(
        device: D,
        identity: Identity,
        config: LogConfig,
        incarnation: Incarnation,
    ) -> Result<(Self, Recovered<Bytes>), OpenError> {
        config.check()?;
        if incarnation == Incarnation::NONE {
            let rule = "a new incarnation is drawn at random and is not 0".to_owned();
            return Err(OpenError::Config { name: "incarnation", rule });
        }
        let Survey { segments, leftovers } = recovery::survey(&device, &identity)?;
        let Some(last) = segments.last() else {
            // Nothing of this incarnation was ever used before its first header was durable.
            remove(&device, &leftovers)?;
            let header = first_header(identity, &config, incarnation);
            let log = Self::start(device, config, header, Index::new(Slot::ZERO))?;
            return Ok((log, Recovered::formatted(incarnation)));
        };
        let contents = recovery::read(&device, &segments)?;
        rewrite(&device, last, &contents)?;
        remove(&device, &leftovers)?;
        let header = next_header(identity, &config, last, contents.end);
        let Contents { replay, index, end, records, torn_bytes, .. } = contents;
        let finished = replay.finish(last.incarnation, header.generation, last.retained);
        let recovered = finished.map_err(|error| OpenError::Inconsistent {
            file: device.describe(""),
            what: error.to_string(),
        })?;
        let mut log = Self::start(device, config, header, index)?;
        log.recovery =
            Recovery { segments: segments.len() as u64, records, position: end, torn_bytes };
        if header.number != last.number {
            let name = segment_name(last.number);
            let file = log.device.open(&name);
            let file = file.map_err(|e| IoFailure::new("open", log.device.describe(&name), &e))?;
            cut(&log.device, &Segment { header: *last, file }, end)?;
        }
        Ok((log, recovered))
    }

    /// What the start of this log found.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The life of the disk.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.header.incarnation
    }

    /// Makes the first segment of a run, durably: from then on the boot counts.
    fn start(
        device: D,
        config: LogConfig,
        header: SegmentHeader,
        index: Index,
    ) -> Result<Self, OpenError> {
        let made = reserve(&device, &header).and_then(|file| establish(&device, header, file));
        let active = made.map_err(|failure| match failure.is_full() {
            true => OpenError::Full { file: failure.file, wanted_bytes: header.file_bytes },
            false => failure.into(),
        })?;
        let Identity { cluster, group, epoch, node } = header.identity;
        let (incarnation, boot) = (header.incarnation, header.generation);
        let at = header.start;
        Ok(Self {
            device,
            config,
            header: Header { cluster, group, epoch, node, incarnation, boot },
            active,
            spare: None,
            staged: Staged::default(),
            written: at,
            written_upto: WriteId(0),
            synced: at,
            synced_upto: WriteId(0),
            proven: at,
            last_body_end: at,
            index: Arc::new(Mutex::new(index)),
            recovery: Recovery { position: at, ..Recovery::default() },
            failed: None,
        })
    }

    fn take(&mut self, upto: WriteId, record: &Record<'_, Bytes>) -> Result<(), LogError> {
        let (bytes, bytes_max) = (record::encoded_len(record), self.config.record_bytes_max);
        if bytes > bytes_max {
            return Err(LogError::TooLarge { bytes, bytes_max });
        }
        let staged = &mut self.staged;
        let position = self.written + staged.bytes.len() as u64;
        let generation = self.header.boot;
        let stamp = Stamp { generation, position, durable_upto: self.synced };
        record::encode_with(crc32c::crc32c_append, &self.header, &stamp, record, &mut staged.bytes);
        let slots = Range::of(&record.body);
        let has_body = record.body != Body::Mark || upto != staged.upto;
        staged.records.push(StagedRecord { upto, len: bytes, slots, stamp, has_body });
        staged.upto = upto;
        staged.promised = record.promised;
        staged.decided = record.decided;
        Ok(())
    }

    fn write_staged(&mut self) -> Result<(), LogError> {
        let bytes = std::mem::take(&mut self.staged.bytes);
        let mut records = std::mem::take(&mut self.staged.records);
        let (mut place, mut from) = (0, 0);
        while place < records.len() {
            let room = self.active.header.limit() - self.written;
            let (mut next, mut end) = (place, from);
            while let Some(record) = records.get(next) {
                if (end + record.len - from) as u64 > room {
                    break;
                }
                end += record.len;
                next += 1;
            }
            if next == place {
                // A segment has room for at least one record, so this ends.
                self.roll()?;
                continue;
            }
            self.write_run(&bytes[from..end], &records[place..next])?;
            (place, from) = (next, end);
        }
        records.clear();
        self.staged.records = records;
        self.staged.bytes = bytes;
        self.staged.bytes.clear();
        Ok(())
    }

    /// Writes records that fit the active segment, in one go.
    fn write_run(&mut self, bytes: &[u8], records: &[StagedRecord]) -> Result<(), LogError> {
        let Segment { header, file } = &self.active;
        write_full(file, bytes, header.offset(self.written))
            .map_err(|error| self.failure("write", header.number, &error))?;
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            index.add(header, self.written, record.len as u64, record.slots);
            self.written += record.len as u64;
            self.written_upto = record.upto;
            self.proven = self.proven.max(record.stamp.durable_upto);
            if record.has_body {
                self.last_body_end = self.written;
            }
        }
        Ok(())
    }

    fn sync_active(&mut self) -> Result<(), LogError> {
        if self.synced < self.written {
            let Segment { header, file } = &self.active;
            file.sync().map_err(|error| self.failure("sync", header.number, &error))?;
            self.synced = self.written;
        }
        self.synced_upto = self.written_upto;
        Ok(())
    }

    /// Goes on in the next segment. Its header seals this one, so this one is synced first.
    fn roll(&mut self) -> Result<(), LogError> {
        self.sync_active()?;
        let header = self.next_in_run();
        let file = match self.spare.take() {
            Some(file) => file,
            None => self.reserve_next(&header)?,
        };
        let next = establish(&self.device, header, file)?;
        let sealed = std::mem::replace(&mut self.active, next);
        self.proven = header.start;
        Ok(cut(&self.device, &sealed, header.start)?)
    }

    /// The header of the segment after the active one.
    fn next_in_run(&self) -> SegmentHeader {
        let active = self.active.header;
        SegmentHeader { number: active.number + 1, start: self.written, ..active }
    }

    /// Makes the file of the next segment ready. A full disk is no failure yet: it is one when the
    /// segment is needed.
    fn reserve_spare(&mut self) -> Result<(), LogError> {
        if self.spare.is_some() {
            return Ok(());
        }
        match self.reserve_next(&self.next_in_run()) {
            Ok(file) => self.spare = Some(file),
            Err(LogError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn reserve_next(&self, header: &SegmentHeader) -> Result<D::File, LogError> {
        reserve(&self.device, header).map_err(|failure| match failure.is_full() {
            true => LogError::Full { what: failure.file, wanted_bytes: header.file_bytes },
            false => failure.into(),
        })
    }

    /// Proves the last records by a mark behind them (R11). It repeats promise and mark of the
    /// record before, so it can be lost without harm.
    fn prove(&mut self) -> Result<(), LogError> {
        if self.proven >= self.last_body_end {
            return Ok(());
        }
        let (promised, decided) = (self.staged.promised, self.staged.decided);
        self.take(self.staged.upto, &Record { promised, decided, body: Body::Mark })?;
        self.write_staged()?;
        self.sync_active()
    }

    fn failure(&self, doing: &'static str, number: u64, error: &std::io::Error) -> LogError {
        let file = self.device.describe(&segment_name(number));
        IoFailure::new(doing, file, error).into()
    }

    /// Runs one step, unless the log failed before, and remembers its failure for good.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = step(self);
        if let Err(error) = &result {
            // A failed sync leaves the pages undefined, and the next one may well succeed without
            // having written them. So there is no next one.
            self.failed = Some(error.clone());
        }
        result
    }
}

impl<D: Device> Log for FileLog<D> {
    type Reader = FileReader<D>;

    fn stage(&mut self, id: WriteId, record: Record<'_, Bytes>) -> Result<(), LogError> {
        self.step(|log| {
            if id <= log.staged.upto {
                return Err(LogError::OutOfOrder { last: log.staged.upto, id });
            }
            log.take(id, &record)
        })
    }

    fn write(&mut self) -> Result<Option<Ticket>, LogError> {
        self.step(|log| {
            if log.staged.records.is_empty() {
                return Ok(None);
            }
            log.write_staged()?;
            Ok(Some(Ticket::new(log.written_upto)))
        })
    }

    fn sync(&mut self, ticket: Ticket) -> Result<WriteId, LogError> {
        self.step(|log| {
            if log.synced_upto < ticket.upto() {
                log.sync_active()?;
            }
            Ok(log.synced_upto)
        })
    }

    fn durable(&self) -> WriteId {
        self.synced_upto
    }

    fn settle(&mut self) -> Result<WriteId, LogError> {
        self.step(|log| {
            log.write_staged()?;
            log.sync_active()?;
            log.prove()?;
            log.reserve_spare()?;
            Ok(log.synced_upto)
        })
    }

    fn reader(&self) -> FileReader<D> {
        FileReader::new(&self.device, &self.index, self.header.incarnation)
    }
}

impl<D: Device> std::fmt::Debug for FileLog<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLog")
            .field("header", &self.header)
            .field("written", &self.written)
            .field("synced", &self.synced)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

fn first_header(identity: Identity, config: &LogConfig, incarnation: Incarnation) -> SegmentHeader {
    SegmentHeader {
        identity,
        incarnation,
        number: 0,
        start: 0,
        file_bytes: config.segment_bytes,
        generation: Boot(1),
        oldest: 0,
        retained: Slot::ZERO,
        record_bytes_max: config.record_bytes_max as u64,
    }
}

/// The header of the next run's first segment: it seals `last` at `end`.
fn next_header(
    identity: Identity,
    config: &LogConfig,
    last: &SegmentHeader,
    end: u64,
) -> SegmentHeader {
    // A segment without records is replaced, so that a process that is restarted again and again
    // does not fill the disk.
    let number = if end == last.start { last.number } else { last.number + 1 };
    SegmentHeader {
        identity,
        number,
        start: end,
        file_bytes: config.segment_bytes,
        generation: Boot(last.generation.0 + 1),
        record_bytes_max: config.record_bytes_max as u64,
        ..*last
    }
}
