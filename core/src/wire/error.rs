//! What can be wrong with a frame.

use core::fmt;

use super::{FieldError, VERSION};

/// Why a frame was refused. The bytes behind it on the same stream cannot be trusted either: a
/// host closes the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// The frame claims to be shorter than the shortest frame.
    Undersize {
        /// The length claimed.
        claimed: u32,
    },
    /// The frame claims to be longer than the limits of this replica allow.
    Oversize {
        /// The length claimed.
        claimed: u32,
        /// The longest frame that is taken.
        max: usize,
    },
    /// This is no frame.
    Magic {
        /// What stands where [`MAGIC`](super::MAGIC) should.
        found: [u8; 2],
    },
    /// The sender speaks another version of the format.
    Version {
        /// The version of the frame.
        found: u8,
    },
    /// The frame is not as long as it claims.
    Length {
        /// The length claimed.
        claimed: u32,
        /// The bytes handed in.
        present: usize,
    },
    /// The frame was damaged on its way.
    Checksum {
        /// The checksum that the frame carries.
        claimed: u32,
        /// The checksum of the bytes that arrived.
        computed: u32,
    },
    /// A kind of message that this version does not know.
    Kind(u8),
    /// The checksum is right, but a field is not.
    Field(FieldError),
}

impl From<FieldError> for WireError {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undersize { claimed } => {
                write!(f, "a frame of {claimed} bytes is too short to be one; is this a replica?")
            }
            Self::Oversize { claimed, max } => write!(
                f,
                "a frame of {claimed} bytes exceeds the {max} that the limits allow: the sender is \
                 no replica, or its run_slots_max, run_bytes_max or decree_bytes_max is larger \
                 than here"
            ),
            Self::Magic { found: [a, b] } => {
                write!(f, "{a:#04x} {b:#04x} does not start a frame; is this a replica?")
            }
            Self::Version { found } => write!(
                f,
                "the sender speaks version {found} of the wire format and this replica version \
                 {VERSION}: upgrade the older of the two"
            ),
            Self::Length { claimed, present } => {
                write!(f, "a frame of {claimed} bytes was handed in with {present}")
            }
            Self::Checksum { claimed, computed } => write!(
                f,
                "a frame was damaged on its way: checksum {claimed:#010x} claimed, \
                 {computed:#010x} found"
            ),
            Self::Kind(kind) => write!(f, "message kind {kind} is not known here"),
            Self::Field(error) => write!(f, "a frame makes no sense: {error}"),
        }
    }
}

impl core::error::Error for WireError {}
