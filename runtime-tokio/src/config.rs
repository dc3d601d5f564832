//! What a node is told when it starts: where its peers are, where its data lies, and every limit.

use std::path::PathBuf;
use std::time::Duration;

use synod_core::{ClusterId, NodeId};

use crate::StartError;

/// A member of the group and where it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// `host:port`. A name is resolved anew at each attempt to connect, so it may move.
    pub address: String,
}

/// Where a node keeps its log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Data {
    /// In memory. What a node accepted is gone when it stops, and it comes back as another
    /// incarnation, **without a vote**. For trials, tests and the like.
    Memory {
        /// A log that holds more bytes of decrees fails, like a full disk.
        bytes_max: usize,
    },
    /// In files in this directory, which is created when it does not exist. One node, one
    /// directory.
    Directory(PathBuf),
}

/// The limits and timeouts of the transport and of the queue of submits.
///
/// A link to a peer holds at most `send_queue_bytes_max` of frames to send, and one from a peer
/// `receive_batches_max + 1` batches of frames received, each of `receive_buffer_bytes` or of one
/// frame, whichever is larger. With the defaults and frames of a little over 1 MiB these are
/// 16 MiB and 5 MiB per peer at the very worst, and twice that with the room that large buffers
/// have to spare. Large buffers are used again: a node keeps at most 64 MiB of those that frames
/// came in and 16 MiB of those that frames were sent from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transport {
    /// Bytes that wait to be sent to one peer. When a frame does not fit it is dropped, and the
    /// protocol sends again later. Must hold the largest frame.
    pub send_queue_bytes_max: usize,
    /// Batches of frames that one turn of the loop takes from one peer. The rest waits in the
    /// socket of that peer.
    pub receive_batches_max: usize,
    /// Bytes read from a socket at once; more when larger frames came lately.
    pub receive_buffer_bytes: usize,
    /// Connections that have not ended their handshake yet. Further ones are closed at once.
    pub unproven_connections_max: usize,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// How long one attempt to connect may take, names resolved.
    pub connect_timeout: Duration,
    /// A link whose bytes the peer's machine does not take for so long is closed and dialled anew.
    pub stall_timeout: Duration,
    /// A connection from a peer that brings nothing for so long is closed. At least ten heartbeats.
    pub silence_timeout: Duration,
    /// The wait before the second attempt to connect. Doubles with each failure, with jitter.
    pub redial_min: Duration,
    /// The longest wait between two attempts to connect.
    pub redial_max: Duration,
    /// Submits that wait for the loop. Further ones are refused: busy.
    pub submits_waiting_max: usize,
    /// How long a shutdown waits for requests in flight before they end as unknown.
    pub shutdown_timeout: Duration,
    /// How long the loop looks for input, after a turn in which a command went on, before it
    /// sleeps, and the thread of a log in files for records after a sync; zero to sleep at once,
    /// 10 ms at most. A node through which no command goes spends nothing on this. What it buys is
    /// latency: to be woken takes tens of microseconds. Where all cores are busy it buys nothing.
    pub busy_poll: Duration,
    /// For how long of that, from the beginning, the loop of a node whose log is in memory keeps
    /// its core; otherwise cores are given away between two looks. Zero where processes share
    /// cores: kept from another process, they are kept from whoever is to answer.
    pub keep_core: Duration,
}

impl Member {
    /// Checks the form of the address. Whether its name means anything shows when it is dialled,
    /// and may be otherwise the next time.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let parts = self.address.rsplit_once(':');
        let is_sound = parts.is_some_and(|(host, port)| {
            // An IPv6 address stands in brackets, or its last part would pass for a port.
            let is_host = !host.is_empty() && (host.starts_with('[') || !host.contains(':'));
            is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        let Self { node, address } = self;
        if is_sound {
            Ok(())
        } else {
            Err(StartError::Address { node: *node, address: address.clone() })
        }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            send_queue_bytes_max: 16 << 20,
            receive_batches_max: 4,
            receive_buffer_bytes: 64 << 10,
            unproven_connections_max: 64,
            handshake_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            stall_timeout: Duration::from_secs(3),
            silence_timeout: Duration::from_secs(5),
            redial_min: Duration::from_millis(20),
            redial_max: Duration::from_secs(1),
            submits_waiting_max: 1 << 14,
            shutdown_timeout: Duration::from_secs(5),
            busy_poll: Duration::from_micros(100),
            keep_core: Duration::from_micros(50),
        }
    }
}

impl Transport {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the first one that is out of its range, and the range.
    pub(crate) fn check(
        &self,
        frame_bytes_max: usize,
        heartbeat: Duration,
    ) -> Result<(), StartError> {
        let at_least_frame = self.send_queue_bytes_max >= frame_bytes_max;
        let whole = [
            ("send_queue_bytes_max", at_least_frame, "at least the largest frame"),
            ("receive_batches_max", in_range(self.receive_batches_max, 1, 1 << 10), "1 to 1024"),
            (
                "receive_buffer_bytes",
                in_range(self.receive_buffer_bytes, 1 << 10, 1 << 26),
                "1 KiB to 64 MiB",
            ),
            (
                "unproven_connections_max",
                in_range(self.unproven_connections_max, 1, 1 << 14),
                "1 to 16384",
            ),
            ("submits_waiting_max", in_range(self.submits_waiting_max, 1, 1 << 20), "1 to 1048576"),
            ("handshake_timeout", !self.handshake_timeout.is_zero(), "more than zero"),
            ("connect_timeout", !self.connect_timeout.is_zero(), "more than zero"),
            ("stall_timeout", !self.stall_timeout.is_zero(), "more than zero"),
            ("silence_timeout", self.silence_timeout >= heartbeat * 10, "at least ten heartbeats"),
            ("redial_min", !self.redial_min.is_zero(), "more than zero"),
            ("redial_max", self.redial_max >= self.redial_min, "at least redial_min"),
            ("busy_poll", self.busy_poll <= BUSY_POLL_MAX, "at most 10 ms"),
            ("keep_core", self.keep_core <= BUSY_POLL_MAX, "at most 10 ms"),
        ];
        match whole.into_iter().find(|(_, sound, _)| !sound) {
            Some((name, _, range)) => Err(StartError::Limit { name, range }),
            None => Ok(()),
        }
    }
}

/// The id of the cluster called `name`: FNV-1a over the name. Names with the same id are as
/// unlikely as two random 64-bit numbers that are equal.
#[must_use]
pub fn cluster_named(name: &str) -> ClusterId {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    ClusterId(hash)
}

/// Whoever polls for longer wants a core of its own, and a runtime that has it.
const BUSY_POLL_MAX: Duration = Duration::from_millis(10);

fn in_range(value: usize, min: usize, max: usize) -> bool {
    (min..=max).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert!(Transport::default().check(1 << 21, Duration::from_millis(50)).is_ok());
    }

    #[test]
    fn bad_limits_are_named() {
        let named = |change: fn(&mut Transport)| {
            let mut transport = Transport::default();
            change(&mut transport);
            match transport.check(1 << 21, Duration::from_millis(50)) {
                Err(StartError::Limit { name, .. }) => name,
                other => panic!("a bad limit gave {other:?}"),
            }
        };
        assert_eq!(named(|t| t.send_queue_bytes_max = (1 << 21) - 1), "send_queue_bytes_max");
        assert_eq!(named(|t| t.receive_batches_max = 0), "receive_batches_max");
        assert_eq!(named(|t| t.receive_buffer_bytes = 0), "receive_buffer_bytes");
        assert_eq!(named(|t| t.unproven_connections_max = 0), "unproven_connections_max");
        assert_eq!(named(|t| t.submits_waiting_max = 0), "submits_waiting_max");
        assert_eq!(named(|t| t.handshake_timeout = Duration::ZERO), "handshake_timeout");
        assert_eq!(named(|t| t.connect_timeout = Duration::ZERO), "connect_timeout");
        assert_eq!(named(|t| t.stall_timeout = Duration::ZERO), "stall_timeout");
        assert_eq!(named(|t| t.silence_timeout = Duration::from_millis(499)), "silence_timeout");
        assert_eq!(named(|t| t.redial_min = Duration::ZERO), "redial_min");
        assert_eq!(named(|t| t.redial_max = Duration::from_millis(1)), "redial_max");
        assert_eq!(named(|t| t.busy_poll = Duration::from_millis(11)), "busy_poll");
        assert_eq!(named(|t| t.keep_core = Duration::from_millis(11)), "keep_core");
    }

    #[test]
    fn bad_addresses_are_named() {
        let check = |address: &str| Member { node: NodeId(3), address: address.into() }.check();
        for sound in ["10.0.0.1:7000", "localhost:1", "[::1]:65535", "db-1.example:80"] {
            assert!(check(sound).is_ok(), "{sound}");
        }
        for bad in ["", "10.0.0.1", ":7000", "host:", "host:seven", "host:70000", "h:0", "::1:80"] {
            match check(bad) {
                Err(StartError::Address { node, address }) => {
                    assert_eq!((node, address.as_str()), (NodeId(3), bad));
                }
                other => panic!("{bad} gave {other:?}"),
            }
        }
    }

    #[test]
    fn names_make_different_clusters() {
        assert_ne!(cluster_named("left"), cluster_named("right"));
        assert_eq!(cluster_named("left"), cluster_named("left"));
    }
}
