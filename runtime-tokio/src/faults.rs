//! What goes wrong on the replica port: counted always, logged at a bounded rate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use synod_core::Instant;

use crate::clock;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A fault of a peer, of the network or of a stranger. None of them changes the replica.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every fault, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as status pages show it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

faults! {
    /// What arrived first on a connection is no handshake of this library.
    NoHandshake,
    /// The handshake did not end within its time.
    HandshakeTimeout,
    /// Too many connections had not ended their handshake: the newest was closed.
    TooManyConnections,
    /// A handshake was refused, by this node or by the peer that it dialled.
    Refused,
    /// A peer could not be reached: no such name, nobody listens, no answer.
    Unreachable,
    /// A link broke, or made no progress for too long.
    LinkLost,
    /// A frame is garbage: no magic, an unknown version or kind, a bad checksum, a bad length.
    BadFrame,
    /// A frame names another speaker than the handshake of its connection: another node, or
    /// another life or run of that node. A frame recorded earlier and replayed is caught here.
    OtherSpeaker,
    /// The replica dropped a message and blames its sender.
    Misbehaved,
    /// The port could not take a connection: the process has too many files open.
    AcceptFailed,
}

/// Counts faults and logs them, each kind at most once a second.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    tallies: [Tally; Fault::ALL.len()],
}

#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    /// The count when the last line was written.
    logged: AtomicU64,
    /// When that was, in nanoseconds of [`clock::now`]; 0 for never.
    logged_at: AtomicU64,
}

impl Faults {
    /// Counts `fault` and tells about it in the log, unless a line on its kind was written just
    /// now.
    pub(crate) fn report(&self, fault: Fault, detail: fmt::Arguments<'_>) {
        let tally = &self.tallies[fault as usize];
        let count = tally.count.fetch_add(1, Ordering::Relaxed) + 1;
        let now = clock::now();
        let last = tally.logged_at.load(Ordering::Relaxed);
        if last != 0 && now.since(Instant(last)) < LINE_INTERVAL {
            return;
        }
        // Of several threads that get here at once one writes the line.
        let exchange =
            tally.logged_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed);
        if exchange.is_err() {
            return;
        }
        let unlogged = count.saturating_sub(tally.logged.swap(count, Ordering::Relaxed) + 1);
        if unlogged == 0 {
            tracing::warn!(fault = fault.name(), "{detail}");
        } else {
            tracing::warn!(fault = fault.name(), unlogged, "{detail}");
        }
    }

    /// Counts `fault` without a word.
    pub(crate) fn note(&self, fault: Fault) {
        self.tallies[fault as usize].count.fetch_add(1, Ordering::Relaxed);
    }

    /// How often `fault` occurred since the node started.
    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.tallies[fault as usize].count.load(Ordering::Relaxed)
    }
}

/// The least time between two lines on one kind of fault.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_own_counter() {
        let faults = Faults::default();
        for (place, fault) in Fault::ALL.iter().enumerate() {
            for _ in 0..=place {
                faults.report(*fault, format_args!("trial"));
            }
        }
        for (place, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(faults.count(*fault), place as u64 + 1, "{}", fault.name());
        }
    }

    #[test]
    fn lines_are_few() {
        let faults = Faults::default();
        for _ in 0..1_000 {
            faults.report(Fault::BadFrame, format_args!("trial"));
        }
        let tally = &faults.tallies[Fault::BadFrame as usize];
        assert_eq!(tally.count.load(Ordering::Relaxed), 1_000);
        // The first was logged, and later ones only as seconds passed.
        assert!(tally.logged.load(Ordering::Relaxed) < 1_000);
    }
}
