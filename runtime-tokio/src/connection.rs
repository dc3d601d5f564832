//! A connection from a peer that has proven who it is: the loop reads it itself.
//!
//! A task of its own would cost a wake-up for each batch of frames, and a queue between the two.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use synod_core::{Header, Instant};
use tokio::net::TcpStream;

use crate::accept::Life;
use crate::acks::Acks;
use crate::buffers::Buffers;
use crate::clock;
use crate::faults::Fault;
use crate::framing::{FrameError, FrameReader};
use crate::link::Identity;

/// The way in from one peer. Dropped, it closes the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who speaks, as the handshake has it.
    pub(crate) header: Header,
    from: SocketAddr,
    reader: FrameReader<TcpStream>,
    identity: Arc<Identity>,
    acks: Acks,
    /// Something came since `silent_since`.
    was_heard: bool,
    silent_since: Instant,
    _life: Life,
}

impl Connection {
    pub(crate) fn new(
        header: Header,
        stream: TcpStream,
        from: SocketAddr,
        identity: Arc<Identity>,
        life: Life,
    ) -> Self {
        let bytes = identity.transport.receive_buffer_bytes;
        let reader = FrameReader::new(stream, bytes, identity.frame_bytes_max);
        let silent_since = clock::now();
        Self {
            header,
            from,
            reader,
            identity,
            acks: Acks::default(),
            was_heard: false,
            silent_since,
            _life: life,
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
                self.acks.put_off(self.reader.get_ref());
                Some(frames)
            }
            Ok(None) => {
                tracing::info!("node {node} closed its connection from {from}");
                None
            }
            Err(FrameError::Io(error)) => {
                faults.report(
                    Fault::LinkLost,
                    format_args!("the connection of node {node} from {from} broke: {error}"),
                );
                None
            }
            Err(FrameError::Garbage(error)) => {
                faults.report(
                    Fault::BadFrame,
                    format_args!("closed the connection of node {node} from {from}: {error}"),
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
                format_args!("closed the connection of node {node} from {from}: silent"),
            );
        }
        is_silent
    }
}
