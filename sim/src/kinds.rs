//! The kinds of messages, as rules and traces name them.

use std::fmt;

use synod_core::Message;
use synod_core::service::ServiceMessage;
use synod_core::wire::Payload;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MessageKind {
    /// A heartbeat.
    Beat,
    /// 1a.
    Prepare,
    /// 1b.
    Promise,
    /// 2a with proposals.
    Accept,
    /// 2a without: what is decided, or a probe.
    Notice,
    /// 2b.
    Accepted,
    /// A refusal.
    Nack,
    /// A question for chosen decrees.
    Learn,
    /// Chosen decrees.
    Learned,
    /// Requests handed on to the leader.
    Forward,
    /// The answer to such.
    Taken,
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kinds(u16);

impl MessageKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Beat,
        Self::Prepare,
        Self::Promise,
        Self::Accept,
        Self::Notice,
        Self::Accepted,
        Self::Nack,
        Self::Learn,
        Self::Learned,
        Self::Forward,
        Self::Taken,
    ];

    /// What `payload` is.
    #[must_use]
    pub const fn of(payload: &Payload<'_>) -> Self {
        match payload {
            Payload::Replica(message) => match message {
                Message::Beat(_) => Self::Beat,
                Message::Prepare { .. } => Self::Prepare,
                Message::Promise { .. } => Self::Promise,
                Message::Accept { proposals: [], .. } => Self::Notice,
                Message::Accept { .. } => Self::Accept,
                Message::Accepted { .. } => Self::Accepted,
                Message::Nack { .. } => Self::Nack,
                Message::Learn { .. } => Self::Learn,
                Message::Learned { .. } => Self::Learned,
            },
            Payload::Service(message) => match message {
                ServiceMessage::Forward { .. } => Self::Forward,
                ServiceMessage::Taken { .. } => Self::Taken,
            },
        }
    }
}

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self(u16::MAX);

    /// One kind.
    #[must_use]
    pub const fn of(kind: MessageKind) -> Self {
        Self(1 << kind as u16)
    }

    /// These and `kind`.
    #[must_use]
    pub const fn and(self, kind: MessageKind) -> Self {
        Self(self.0 | 1 << kind as u16)
    }

    /// These without `kind`.
    #[must_use]
    pub const fn without(self, kind: MessageKind) -> Self {
        Self(self.0 & !(1 << kind as u16))
    }

    /// The set as a number, for a trace.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn has(self, kind: MessageKind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }
}

impl From<MessageKind> for Kinds {
    fn from(kind: MessageKind) -> Self {
        Self::of(kind)
    }
}

impl<const N: usize> From<[MessageKind; N]> for Kinds {
    fn from(kinds: [MessageKind; N]) -> Self {
        kinds.iter().fold(Self(0), |set, kind| set.and(*kind))
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        for kind in MessageKind::ALL.into_iter().filter(|kind| self.has(*kind)) {
            write!(f, "{gap}{kind}")?;
            gap = " ";
        }
        Ok(())
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Beat => "beat",
            Self::Prepare => "1a",
            Self::Promise => "1b",
            Self::Accept => "2a",
            Self::Notice => "notice",
            Self::Accepted => "2b",
            Self::Nack => "nack",
            Self::Learn => "learn",
            Self::Learned => "learned",
            Self::Forward => "forward",
            Self::Taken => "taken",
        })
    }
}
