//! What a loop does with the outputs of its service: it encodes, sends, writes, reads and answers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use synod_core::service::{Outcome, Output, RequestId};
use synod_core::wire::{self, Payload};
use synod_core::{Ballot, Configuration, Header, NodeId, NodeSet, WriteId};
use tokio::sync::watch;

use crate::caller::Caller;
use crate::checksum;
use crate::log_side::LogSide;
use crate::queue::SendQueue;
use crate::read_thread::{ReadRequest, ReadThread};

/// Does what a service says.
pub(crate) struct Host<R> {
    pub(crate) configuration: Configuration,
    /// The queues to the peers, by index; none for this node itself.
    pub(crate) queues: Vec<Option<Arc<SendQueue>>>,
    pub(crate) log: LogSide,
    pub(crate) reads: ReadThread,
    pub(crate) waiting: Waiting<R>,
    pub(crate) leader: watch::Sender<Option<Ballot>>,
}

impl<R> Host<R> {
    /// Does one output. Returns up to where the log is durable now, if that is news.
    pub(crate) fn take(&mut self, header: &Header, output: Output<'_, R>) -> Option<WriteId> {
        match output {
            Output::Persist { id, record } => return self.log.append(id, record),
            Output::Send { to, payload } => self.send(header, to, &payload),
            Output::ReadBack { from, end } => self.reads.ask(ReadRequest::ReadBack { from, end }),
            Output::CatchUp { to, from, end, decided } => {
                let header = *header;
                self.reads.ask(ReadRequest::CatchUp { header, to, from, end, decided });
            }
            Output::LeaderChanged { leader } => {
                self.leader.send_replace(leader);
            }
            Output::Outcome { id, outcome } => self.waiting.resolve(id, outcome),
        }
        None
    }

    /// Queues a frame for one peer.
    pub(crate) fn send_frame(&self, to: NodeId, frame: Bytes) {
        let queue =
            self.configuration.index_of(to).and_then(|peer| self.queues[peer.place()].as_ref());
        if let Some(queue) = queue {
            queue.push(frame);
        }
    }

    /// Has the links send what was queued.
    pub(crate) fn flush(&self) {
        for queue in self.queues.iter().flatten() {
            queue.flush();
        }
    }

    /// Encodes once for all receivers, into memory of exactly the length of the frame: a queue
    /// that is slow to empty holds on to its own frames and to nothing else.
    fn send(&self, header: &Header, to: NodeSet, payload: &Payload<'_>) {
        let mut frame = BytesMut::with_capacity(wire::encoded_len(payload));
        wire::encode_with(checksum::crc32c, header, payload, &mut frame);
        let frame = frame.freeze();
        for peer in to.iter() {
            if let Some(Some(queue)) = self.queues.get(peer.place()) {
                queue.push(frame.clone());
            }
        }
    }
}

/// The callers that wait for outcomes, in the order of their requests.
pub(crate) struct Waiting<R> {
    /// The request that the first place stands for.
    first: u64,
    callers: VecDeque<Option<Caller<R>>>,
}

impl<R> Waiting<R> {
    pub(crate) const fn new() -> Self {
        Self { first: 1, callers: VecDeque::new() }
    }

    /// A request was taken. Ids ascend.
    pub(crate) fn add(&mut self, id: RequestId, caller: Caller<R>) {
        if self.callers.is_empty() {
            self.first = id.0;
        }
        while self.first + (self.callers.len() as u64) < id.0 {
            self.callers.push_back(None);
        }
        self.callers.push_back(Some(caller));
    }

    /// A request has its outcome.
    pub(crate) fn resolve(&mut self, id: RequestId, outcome: Outcome<R>) {
        let place = id.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let caller = place.and_then(|place| self.callers.get_mut(place)).and_then(Option::take);
        debug_assert!(caller.is_some(), "one outcome for each request taken (A1)");
        if let Some(caller) = caller {
            caller.answer(outcome);
        }
        while let Some(None) = self.callers.front() {
            self.callers.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use synod_core::service::Why;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn outcomes_find_their_callers_in_any_order() {
        let mut waiting = Waiting::new();
        let mut receivers = Vec::new();
        for id in 1..=5 {
            let (sender, receiver) = oneshot::channel();
            waiting.add(RequestId(id), Caller::Lone(sender));
            receivers.push(receiver);
        }
        for id in [3, 1, 2, 5] {
            waiting.resolve(
                RequestId(id),
                Outcome::Applied { reply: id, slot: synod_core::Slot(id), ballot: Ballot::ZERO },
            );
        }
        assert_eq!(waiting.callers.len(), 2);
        waiting.resolve(RequestId(4), Outcome::Refused(Why::Busy));
        assert!(waiting.callers.is_empty());
        for (place, mut receiver) in receivers.into_iter().enumerate() {
            let outcome = receiver.try_recv().expect("an outcome");
            match outcome {
                Outcome::Applied { reply, .. } => assert_eq!(reply, place as u64 + 1),
                Outcome::Refused(_) => assert_eq!(place, 3),
                Outcome::Unknown { .. } => panic!("nobody said so"),
            }
        }

        let (sender, mut receiver) = oneshot::channel();
        waiting.add(RequestId(9), Caller::Lone(sender));
        waiting.resolve(RequestId(9), Outcome::Unknown { ballot: Ballot::ZERO });
        assert!(receiver.try_recv().is_ok());
    }
}
