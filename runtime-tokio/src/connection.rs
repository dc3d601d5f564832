//! A connection with a peer that has proven who it is: the loop reads it itself. What goes out on
//! it is the business of its [link](crate::link).
//!
//! A task of its own would cost a wake-up for each batch of frames, and a queue between the two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use synod_core::{Header, Instant};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::oneshot;

use crate::buffers::Buffers;
use crate::clock;
use crate::faults::Fault;
use crate::framing::{FrameError, FrameReader};
use crate::known::Life;
use crate::link::Identity;

/// The way in from one peer. Dropped, it has the link close the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who speaks, as the handshake has it.
    pub(crate) header: Header,
    /// Where that is.
    pub(crate) from: SocketAddr,
    reader: FrameReader<OwnedReadHalf>,
    identity: Arc<Identity>,
    /// Something came since `silent_since`.
    was_heard: bool,
    silent_since: Instant,
    _life: Life,
    /// Its end is what the link waits for.
    _is_read: oneshot::Sender<()>,
}

impl Connection {
    pub(crate) fn new(
        header: Header,
        way_in: OwnedReadHalf,
        from: SocketAddr,
        identity: Arc<Identity>,
        life: Life,
        is_read: oneshot::Sender<()>,
    ) -> Self {
        let bytes = identity.transport.receive_buffer_bytes;
        let reader = FrameReader::new(way_in, bytes, identity.frame_bytes_max);
        let silent_since = clock::now();
        Self {
            header,
            from,
            reader,
            identity,
            was_heard: false,
            silent_since,
            _life: life,
            _is_read: is_read,
        }
    }

    /// The next frames, one or more, back to back. `None` when the connection is to be dropped,
    /// which has been told then.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
    ) -> Poll<Option<Bytes>> {
        let (node, from, faults) = (self.header.node, self.from, &self.identity.faults);
        let frames = match ready!(self.reader.poll_next(cx, buffers)) {
            Ok(Some(frames)) => {
                self.was_heard = true;
                Some(frames)
            }
            Ok(None) => {
                faults.report(
                    Fault::LinkLost,
                    format_args!("node {node} at {from} closed the connection"),
                );
                None
            }
            Err(FrameError::Io(error)) => {
                faults.report(
                    Fault::LinkLost,
                    format_args!("the connection with node {node} at {from} broke: {error}"),
                );
                None
            }
            Err(FrameError::Garbage(error)) => {
                faults.report(
                    Fault::BadFrame,
                    format_args!("closed the connection with node {node} at {from}: {error}"),
                );
                None
            }
        };
        Poll::Ready(frames)
    }

    /// Whether nothing has come for so long that the connection is to be dropped, which has been
    /// told then. To be asked at least every heartbeat.
    pub(crate) fn is_silent(&mut self, now: Instant) -> bool {
        if std::mem::take(&mut self.was_heard) {
            self.silent_since = now;
        }
        let is_silent = now.since(self.silent_since) >= self.identity.transport.silence_timeout;
        if is_silent {
            let (node, from) = (self.header.node, self.from);
            self.identity.faults.report(
                Fault::LinkLost,
                format_args!("closed the connection with node {node} at {from}: it is silent"),
            );
        }
        is_silent
    }
}
