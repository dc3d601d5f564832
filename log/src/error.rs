//! What can go wrong with a log, each with its cause and its mend.

use std::fmt;
use std::io;

use synod_core::{ClusterId, Epoch, GroupId, NodeId, Slot, WriteId};

/// A call to the device that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IoFailure {
    /// What the log was about to do, as a verb.
    pub doing: &'static str,
    /// The file or directory.
    pub file: String,
    /// The kind of the error.
    pub kind: io::ErrorKind,
    /// The error in the device's own words.
    pub cause: String,
}

impl IoFailure {
    pub(crate) fn new(doing: &'static str, file: impl fmt::Display, error: &io::Error) -> Self {
        let (file, cause) = (file.to_string(), error.to_string());
        Self { doing, file, kind: error.kind(), cause }
    }

    /// Whether space, or a quota of it, ran out.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// A log failed. Every error of staging, writing and syncing is terminal: nothing staged since the
/// last durable write is ever called durable, and each later call returns the same error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogError {
    /// The device failed. After a failed sync nobody knows what is on the disk, so trying again
    /// would be a guess: the log stops, and its next start finds out.
    Device(IoFailure),
    /// No space for another segment, or the limit of an in-memory log is reached. What was
    /// reported durable is safe.
    Full {
        /// The file, or what else is full.
        what: String,
        /// How much was wanted, in bytes.
        wanted_bytes: u64,
    },
    /// A record is larger than the log was configured for.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Write ids did not ascend: a fault of the host.
    OutOfOrder {
        /// The id staged last.
        last: WriteId,
        /// The id that came after it.
        id: WriteId,
    },
    /// What was read back is not what was written. Returned by readers only, and not terminal.
    Damaged(Damage),
}

/// Bytes that were durable and cannot be read any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// What is wrong.
    pub fault: Fault,
    /// The segment file.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// Where in the log's endless stream of bytes.
    pub position: u64,
    /// Everything below this position was known to be durable.
    pub proven: u64,
    /// Slots from here on may be affected: the end of those that stand before the damage.
    pub from: Slot,
    /// The first slot that is legible behind the damage, if any is.
    pub legible_again: Option<Slot>,
}

/// What is wrong with a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A record is not legible although it was durable.
    Record,
    /// The header of the file is not legible.
    Header,
    /// The file is not there.
    Missing,
    /// The file is shorter than it was made, or it is sealed and the segment after it is missing.
    Short,
    /// The file is legible, but it is another one than its name and its neighbours say.
    Misplaced,
}

/// A log could not be opened. Nothing was changed, apart from leftovers of an interrupted start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// The device failed.
    Device(IoFailure),
    /// A running process has the directory open.
    InUse {
        /// The directory.
        directory: String,
        /// The process, as far as the lock file tells.
        pid: Option<u32>,
    },
    /// The path leads to something that is no directory.
    NotADirectory {
        /// The path.
        path: String,
    },
    /// This user may not.
    Denied {
        /// What, as a verb.
        doing: &'static str,
        /// The path.
        path: String,
    },
    /// No space for the next segment.
    Full {
        /// The file.
        file: String,
        /// Its size.
        wanted_bytes: u64,
    },
    /// The log belongs to another cluster.
    OtherCluster {
        /// The file that says so.
        file: String,
        /// What it says.
        found: ClusterId,
        /// What was asked for.
        wanted: ClusterId,
    },
    /// The log belongs to another group.
    OtherGroup {
        /// The file that says so.
        file: String,
        /// What it says.
        found: GroupId,
        /// What was asked for.
        wanted: GroupId,
    },
    /// The log belongs to another node.
    OtherNode {
        /// The file that says so.
        file: String,
        /// What it says.
        found: NodeId,
        /// What was asked for.
        wanted: NodeId,
    },
    /// The log was written under another set of members.
    OtherMembers {
        /// The file that says so.
        file: String,
        /// The configuration of the log.
        found: Epoch,
        /// The configuration asked for.
        wanted: Epoch,
    },
    /// A segment is no file of this program.
    NotASegment {
        /// The file.
        file: String,
    },
    /// The log was written by a newer version of this program.
    NewerVersion {
        /// The file.
        file: String,
        /// The version of its format.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A record is sound, but this program cannot read it.
    Unreadable {
        /// The file.
        file: String,
        /// Where, and why.
        what: String,
    },
    /// Something that was durable cannot be read.
    Damaged(Damage),
    /// Each record is legible, but together they make no log: a fault of the program that wrote
    /// them.
    Inconsistent {
        /// The directory or file.
        file: String,
        /// What does not fit.
        what: String,
    },
    /// A limit of the configuration is out of its range.
    Config {
        /// Which.
        name: &'static str,
        /// The rule that it breaks.
        rule: String,
    },
}

impl From<IoFailure> for LogError {
    fn from(failure: IoFailure) -> Self {
        Self::Device(failure)
    }
}

impl From<IoFailure> for OpenError {
    fn from(failure: IoFailure) -> Self {
        if failure.kind == io::ErrorKind::PermissionDenied {
            return Self::Denied { doing: failure.doing, path: failure.file };
        }
        Self::Device(failure)
    }
}

impl fmt::Display for IoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.file, self.cause)
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(failure) => write!(
                f,
                "{failure}. The log has stopped and calls nothing durable any more; what was \
                 reported durable before is not affected. Check the disk, then restart this node"
            ),
            Self::Full { what, wanted_bytes } => write!(
                f,
                "no space: {what} needs {wanted_bytes} more bytes. The log has stopped; what was \
                 reported durable before is not affected. Make space, then restart this node"
            ),
            Self::TooLarge { bytes, bytes_max } => write!(
                f,
                "a record of {bytes} bytes is larger than the {bytes_max} that the log was \
                 configured for: raise `record_bytes_max`"
            ),
            Self::OutOfOrder { last, id } => {
                write!(f, "write {} was staged after write {}: write ids must ascend", id.0, last.0)
            }
            Self::Damaged(damage) => write!(
                f,
                "{damage}. The log goes on, but cannot read this back, and will not open again: \
                 check the disk, and replace the directory while enough other replicas run"
            ),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, file, offset, position, proven, from, legible_again } = self;
        write!(f, "the log is damaged: {file}")?;
        match fault {
            Fault::Record => write!(f, " holds no legible record at byte {offset}")?,
            Fault::Header => write!(f, " has no legible header at byte {offset}")?,
            Fault::Missing => f.write_str(" is missing")?,
            Fault::Short => {
                write!(
                    f,
                    " ends at byte {offset}, before its end, or the next segment is missing"
                )?;
            }
            Fault::Misplaced => f.write_str(" is not the file that its name says")?,
        }
        write!(f, " (position {position} of the log; known durable up to {proven})")?;
        write!(f, ". Affected are slots from {from} on")?;
        if let Some(slot) = legible_again {
            write!(f, "; records are legible again from slot {slot} on")?;
        }
        Ok(())
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(failure) => write!(f, "{failure}. Check the disk, then try again"),
            Self::InUse { directory, pid: Some(pid) } => write!(
                f,
                "{directory} is in use by the running process {pid}: stop that one first, or give \
                 this node a directory of its own"
            ),
            Self::InUse { directory, pid: None } => write!(
                f,
                "{directory} is in use by a running process: stop that one first, or give this \
                 node a directory of its own"
            ),
            Self::NotADirectory { path } => {
                write!(f, "{path} is no directory: name a directory, or move the file away")
            }
            Self::Denied { doing, path } => write!(
                f,
                "no permission to {doing} {path}: run as its owner, or change its owner or mode"
            ),
            Self::Full { file, wanted_bytes } => write!(
                f,
                "no space for {file}, which needs {wanted_bytes} bytes: make space, then start \
                 again. Nothing is lost"
            ),
            Self::OtherCluster { .. }
            | Self::OtherGroup { .. }
            | Self::OtherNode { .. }
            | Self::OtherMembers { .. } => self.fmt_identity(f),
            Self::NotASegment { file } => write!(
                f,
                "{file} has the name of a log segment but is none: give the log a directory of \
                 its own, or move the file away if it was put there by mistake"
            ),
            Self::NewerVersion { file, found, known } => write!(
                f,
                "{file} is written in version {found} of the format, and this program knows up to \
                 version {known}: start the newer program"
            ),
            Self::Unreadable { file, what } => {
                write!(f, "{file} holds a sound record that this program cannot read: {what}")
            }
            Self::Damaged(damage) => write!(
                f,
                "{damage}. This replica may have voted for what is lost, so it does not start. Do \
                 not remove or edit segments. Check the disk; restore the whole directory only \
                 if the copy was taken after this replica last ran; otherwise move it away and \
                 start with an empty one: the replica then learns everything from its peers"
            ),
            Self::Inconsistent { file, what } => write!(
                f,
                "{file} is legible but makes no log: {what}. Keep a copy of the directory and \
                 report it; then start with an empty one"
            ),
            Self::Config { name, rule } => write!(f, "`{name}` is out of its range: {rule}"),
        }
    }
}

impl OpenError {
    /// The identity errors, which share their mend.
    fn fmt_identity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster { file, found, wanted } => {
                write!(f, "{file} belongs to cluster {:#x}, not to {:#x}", found.0, wanted.0)?
            }
            Self::OtherGroup { file, found, wanted } => {
                write!(f, "{file} belongs to group {}, not to {}", found.0, wanted.0)?;
            }
            Self::OtherNode { file, found, wanted } => {
                write!(f, "{file} belongs to node {found}, not to {wanted}")?;
            }
            Self::OtherMembers { file, found, wanted } => {
                write!(
                    f,
                    "{file} was written under configuration {found}, and this node was told \
                     {wanted}: a list of members must not be edited once a group has run. Put \
                     the old list back"
                )?;
                return Ok(());
            }
            Self::Device(_)
            | Self::InUse { .. }
            | Self::NotADirectory { .. }
            | Self::Denied { .. }
            | Self::Full { .. }
            | Self::NotASegment { .. }
            | Self::NewerVersion { .. }
            | Self::Unreadable { .. }
            | Self::Damaged(_)
            | Self::Inconsistent { .. }
            | Self::Config { .. } => {}
        }
        f.write_str(": correct the path or the name, or give this node a directory of its own")
    }
}

impl std::error::Error for IoFailure {}
impl std::error::Error for LogError {}
impl std::error::Error for OpenError {}
impl std::error::Error for Damage {}
