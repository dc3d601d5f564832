//! Targets: the log on a disk that crashes, fails, rots, or was made up altogether.
//!
//! [`log`] lets an honest replica write for a while on a disk that loses what it may lose, and
//! compares every start with what was staged and what was called durable. In the end the segment
//! files are [harmed](Harm), as rot, misdirected writes and clumsy hands do it. A log may refuse
//! them; if it opens, it must hold a prefix of what was written, and everything that an unharmed
//! record or header still proves durable.
//!
//! [`forged`](fn@forged) opens directories that nobody ever wrote. They may be refused, always
//! with the same words; what opens must be a log that works.

mod author;
mod forged;
mod harm;
mod image;
mod life;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use synod_core::{Body, ClusterId, Epoch, GroupId, Incarnation, NodeId, Recovered, WriteId};
use synod_log::{DeviceFault, FileLog, Identity, Keep, Log, LogConfig, OpenError, Operation};
use synod_log::{SimDevice, Ticket};

pub use author::Says;
pub use forged::{Forged, forged};
pub use harm::Harm;

use crate::plan::{Few, Many};
use crate::replay::Twin;
use crate::shorten::Story;
use author::Note;
use life::Life;

/// The life of a log, and what becomes of its files.
#[derive(Clone, Debug, Arbitrary)]
pub struct Case {
    /// Makes segments larger, by so many times 64 bytes.
    room: u8,
    /// What becomes of the files in the end.
    harms: Few<Harm>,
    ops: Many<Op>,
}

impl Story for Case {
    fn leave_out(&mut self, from: usize, end: usize) {
        self.ops.0.drain(from..end);
    }

    fn len(&self) -> usize {
        self.ops.0.len()
    }
}

/// Something that happens to a log.
#[derive(Clone, Debug)]
pub enum Op {
    /// The replica hands out a record.
    Stage(Says),
    /// What is staged is handed to the device.
    Write,
    /// What was written last is made durable.
    Sync,
    /// The log is idle.
    Settle,
    /// The process ends, and with it what the device was told to get wrong.
    Kill,
    /// The power goes.
    PowerCut(Kept),
    /// The power goes, and something goes wrong while the log starts again.
    BadStart(Kept, Trouble),
    /// Something is about to go wrong.
    Trouble(Trouble),
}

/// What is about to go wrong.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Trouble {
    /// One of the coming calls to the device, counted by kind.
    Fault(Call, u8, Wrong),
    /// The power, in the middle of one of the coming changes.
    Power(u8),
}

/// Mostly records come and are made durable.
impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.arbitrary::<u8>()? % 32 {
            0..6 => Self::Write,
            6..10 => Self::Sync,
            10 => Self::Settle,
            11 => Self::Kill,
            12 => Self::PowerCut(u.arbitrary()?),
            13 => Self::BadStart(u.arbitrary()?, u.arbitrary()?),
            14 => Self::Trouble(u.arbitrary()?),
            _record => Self::Stage(u.arbitrary()?),
        })
    }
}

/// What a power cut keeps.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Kept {
    Nothing,
    Everything,
    Some(u8),
}

impl Kept {
    fn keep(self) -> Keep {
        match self {
            Self::Nothing => Keep::Nothing,
            Self::Everything => Keep::Everything,
            Self::Some(seed) => Keep::Some(seed.into()),
        }
    }
}

/// A call to the device.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Call {
    Create,
    Read,
    Write,
    Sync,
    Truncate,
    Rename,
    Remove,
    SyncDirectory,
}

impl Call {
    const fn operation(self) -> Operation {
        match self {
            Self::Create => Operation::Create,
            Self::Read => Operation::Read,
            Self::Write => Operation::Write,
            Self::Sync => Operation::Sync,
            Self::Truncate => Operation::Truncate,
            Self::Rename => Operation::Rename,
            Self::Remove => Operation::Remove,
            Self::SyncDirectory => Operation::SyncDirectory,
        }
    }
}

/// How a call goes wrong. What goes wrong in silence is among the harms.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Wrong {
    Error,
    Full,
    Short(u8),
}

impl Wrong {
    fn fault(self) -> DeviceFault {
        match self {
            Self::Error => DeviceFault::Error,
            Self::Full => DeviceFault::Full,
            Self::Short(bytes) => DeviceFault::Short(usize::from(bytes)),
        }
    }
}

/// How far a log got, so that a test can tell whether its inputs reach anything.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Reached {
    pub rolled: bool,
    pub lost_what_was_not_durable: bool,
    pub kept_what_was_not_durable: bool,
    pub failed: bool,
    pub failed_to_open: bool,
    pub read_back: bool,
    pub harmed_and_refused: bool,
    pub harmed_and_opened: bool,
    pub harmed_and_shorter: bool,
}

impl Reached {
    /// One bit for each.
    #[must_use]
    pub fn bits(self) -> u64 {
        let Self {
            rolled,
            lost_what_was_not_durable,
            kept_what_was_not_durable,
            failed,
            failed_to_open,
            read_back,
            harmed_and_refused,
            harmed_and_opened,
            harmed_and_shorter,
        } = self;
        crate::target::bits([
            rolled,
            lost_what_was_not_durable,
            kept_what_was_not_durable,
            failed,
            failed_to_open,
            read_back,
            harmed_and_refused,
            harmed_and_opened,
            harmed_and_shorter,
        ])
    }
}

/// Runs `case`. Returns what it reached.
///
/// # Panics
/// When a log forgets what it called durable, makes something up, or does not work any more.
#[must_use]
pub fn log(case: &Case) -> Reached {
    let mut life = Life::new(config(case.room));
    for op in case.ops.0.iter().take(OPS_MAX) {
        life.apply(op);
    }
    life.end(&case.harms.0)
}

/// Longer lives take longer and show nothing new.
const OPS_MAX: usize = 300;

type Opened = std::result::Result<(FileLog<SimDevice>, Recovered<Bytes>), OpenError>;

fn open(device: &SimDevice, config: LogConfig) -> Opened {
    FileLog::open(device.clone(), identity(), config, INCARNATION)
}

/// Small segments, so that a log has many.
fn config(room: u8) -> LogConfig {
    LogConfig { segment_bytes: 6144 + 64 * u64::from(room), record_bytes_max: RECORD_BYTES_MAX }
}

const RECORD_BYTES_MAX: usize = 2048;

const INCARNATION: Incarnation = Incarnation(0x1CA2);

fn identity() -> Identity {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    Identity { cluster: ClusterId(7), group: GroupId(8), epoch, node: NodeId(1) }
}

/// A log that opened takes another record, and still has it after the power was cut.
fn goes_on(device: &SimDevice, config: LogConfig, opened: (FileLog<SimDevice>, Recovered<Bytes>)) {
    let (mut log, mut recovered) = opened;
    let note = Note::after(&recovered);
    log.stage(WriteId(1), note.record()).expect("an open log takes records");
    let ticket: Option<Ticket> = log.write().expect("an open log writes");
    let upto = ticket.map(|ticket| log.sync(ticket).expect("an open log syncs"));
    assert_eq!(upto, Some(WriteId(1)));
    drop(log);
    let device = device.power_cut(Keep::Nothing);
    let (_, again) = open(&device, config).expect("a log that was synced opens");
    recovered.boot.0 += 1;
    recovered.promised = recovered.promised.max(note.promised);
    if let Body::Accepted(run) = note.record().body {
        recovered.accepted.extend_from_slice(run);
    }
    assert_eq!(again, recovered, "what was durable, and the record behind it");
}

/// The state that these records amount to.
fn state<'n>(notes: impl IntoIterator<Item = &'n Note>) -> Twin {
    let mut twin = Twin::default();
    notes.into_iter().for_each(|note| twin.push(&note.record()));
    twin
}
