//! What can be wrong with the bytes where a record is looked for.

use core::fmt;

use super::VERSION;
use crate::wire::FieldError;

/// Why no record could be read.
///
/// [`RecordError::is_sealed`] parts the two cases that a log must treat differently: there is no
/// whole record here, or there is one and this program cannot read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// No record starts here.
    Magic,
    /// A record may start here, but it does not end within the bytes handed in.
    Incomplete {
        /// The bytes that it takes to tell.
        needed: usize,
    },
    /// The length is not one that a record can have.
    Length {
        /// The length claimed.
        claimed: u32,
    },
    /// The record is damaged or torn.
    Checksum {
        /// The checksum that the record carries.
        claimed: u32,
        /// The checksum of the bytes that are there.
        computed: u32,
    },
    /// A sound record of a version of the format that this program does not know.
    Version {
        /// The version of the record.
        found: u8,
    },
    /// A sound record with a kind of body that this version does not know.
    Kind(u8),
    /// The checksum is right, but a field is not.
    Field(FieldError),
}

impl RecordError {
    /// Whether a whole record with a right checksum is here, which this program cannot read. Such
    /// a record was written on purpose and must not be overwritten; all else is damage or the torn
    /// end of the log.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        match self {
            Self::Magic | Self::Incomplete { .. } | Self::Length { .. } | Self::Checksum { .. } => {
                false
            }
            Self::Version { .. } | Self::Kind(_) | Self::Field(_) => true,
        }
    }
}

impl From<FieldError> for RecordError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("no record starts here"),
            Self::Incomplete { needed } => {
                write!(f, "the record does not end within the bytes present: it takes {needed}")
            }
            Self::Length { claimed } => write!(f, "no record is {claimed} bytes long"),
            Self::Checksum { claimed, computed } => write!(
                f,
                "the record is damaged or torn: checksum {claimed:#010x} claimed, \
                 {computed:#010x} found"
            ),
            Self::Version { found } => write!(
                f,
                "the record is of version {found} of the log format and this program reads version \
                 {VERSION}: start a newer program on this log"
            ),
            Self::Kind(kind) => {
                write!(f, "record kind {kind} is not known here: start a newer program on this log")
            }
            Self::Field(error) => write!(f, "a sealed record makes no sense: {error}"),
        }
    }
}

impl core::error::Error for RecordError {}
