//! The thread that reads decided decrees back from the log, so that the loop never waits for it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::{Bytes, BytesMut};
use synod_core::wire::{self, Payload};
use synod_core::{Header, Limits, Message, NodeId, Proposal, Slot};
use synod_log::{LogError, Most, ReadBack};
use tokio::sync::mpsc;

use crate::checksum;

/// What to read. Each is answered once.
#[derive(Debug)]
pub(crate) enum ReadRequest {
    /// For a peer that lags.
    CatchUp { header: Header, to: NodeId, from: Slot, end: Slot, decided: Slot },
    /// For the state machine here.
    ReadBack { from: Slot, end: Slot },
}

/// What was read: as much as one message holds.
#[derive(Debug)]
pub(crate) enum ReadAnswer {
    /// A frame for the peer with everything below `end`; none when nothing could be read.
    CatchUp { to: NodeId, end: Slot, frame: Option<Bytes> },
    /// Decided decrees from the slot asked for on.
    ReadBack(Result<Vec<Proposal<Bytes>>, LogError>),
}

/// The way to the thread. Dropped, it has the thread end.
#[derive(Debug)]
pub(crate) struct ReadThread {
    // Not bounded by itself: a replica has one request out per peer and one for itself.
    requests: Sender<ReadRequest>,
}

impl ReadThread {
    /// Starts the thread.
    pub(crate) fn start(
        reader: impl ReadBack,
        node: NodeId,
        limits: &Limits,
    ) -> io::Result<(Self, mpsc::Receiver<ReadAnswer>)> {
        let (requests, incoming) = channel();
        // Each answer may be as large as a message: few of them wait for the loop.
        let (answers, outgoing) = mpsc::channel(2);
        let most = Most::of_a_message(limits);
        let name = format!("synod-read-{node}");
        let serve = move || serve(reader, most, &incoming, &answers);
        thread::Builder::new().name(name).spawn(serve)?;
        Ok((Self { requests }, outgoing))
    }

    /// Hands a request over.
    pub(crate) fn ask(&self, request: ReadRequest) {
        // The thread ends before its owner only by a panic, which was a fault of ours; what is not
        // answered is asked for again.
        let _ = self.requests.send(request);
    }
}

fn serve(
    mut reader: impl ReadBack,
    most: Most,
    requests: &Receiver<ReadRequest>,
    answers: &mpsc::Sender<ReadAnswer>,
) {
    while let Ok(request) = requests.recv() {
        let answer = match request {
            ReadRequest::ReadBack { from, end } => {
                ReadAnswer::ReadBack(reader.read(from, end, most))
            }
            ReadRequest::CatchUp { header, to, from, end, decided } => {
                let chosen = reader.read(from, end, most).unwrap_or_else(|error| {
                    // Another peer may be able to help; the log itself goes on.
                    tracing::error!("node {to} cannot be served from slot {from} on: {error}");
                    Vec::new()
                });
                learned(&header, to, from, decided, &chosen)
            }
        };
        if answers.blocking_send(answer).is_err() {
            return;
        }
    }
}

fn learned(
    header: &Header,
    to: NodeId,
    from: Slot,
    decided: Slot,
    chosen: &[Proposal<Bytes>],
) -> ReadAnswer {
    if chosen.is_empty() {
        return ReadAnswer::CatchUp { to, end: from, frame: None };
    }
    let message = Message::Learned { from, proposals: chosen, decided };
    let payload = Payload::Replica(message);
    let mut frame = BytesMut::with_capacity(wire::encoded_len(&payload));
    wire::encode_with(checksum::crc32c, header, &payload, &mut frame);
    let end = from.plus(chosen.len() as u64);
    ReadAnswer::CatchUp { to, end, frame: Some(frame.freeze()) }
}
