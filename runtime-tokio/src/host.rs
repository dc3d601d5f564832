//! What a loop does with the outputs of its service: it encodes, sends, writes, reads and answers.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use synod_core::service::{Outcome, Output, RequestId};
use synod_core::wire::{self, Parts, Payload};
use synod_core::{Ballot, Configuration, Header, Message, NodeId, NodeSet, WriteId};
use tokio::sync::watch;

use crate::buffers::Buffers;
use crate::caller::Caller;
use crate::checksum;
use crate::log_side::LogSide;
use crate::pipe::Gathered;
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
    /// For frames to send.
    buffers: Buffers,
    /// For those with large decrees.
    parts: Parts,
    gathered: Vec<Bytes>,
    pub(crate) leader: watch::Sender<Option<Ballot>>,
}

impl<R> Host<R> {
    pub(crate) fn new(
        configuration: Configuration,
        queues: Vec<Option<Arc<SendQueue>>>,
        log: LogSide,
        reads: ReadThread,
        leader: watch::Sender<Option<Ballot>>,
    ) -> Self {
        let (waiting, buffers) = (Waiting::new(), Buffers::new(SENT_RESTING_BYTES_MAX));
        let (parts, gathered) = (Parts::new(COPIED_BYTES_MAX), Vec::new());
        Self { configuration, queues, log, reads, waiting, buffers, parts, gathered, leader }
    }

    /// Does one output. Returns up to where the log is durable now, if that is news.
    pub(crate) fn take(&mut self, header: &Header, output: Output<'_, R>) -> Option<WriteId> {
        match output {
            Output::Persist { id, record } => {
                let upto = self.log.append(id, record);
                // The messages that go with a record come before it.
                self.send_queued();
                return upto;
            }
            Output::Send { to, payload } => {
                self.send(header, to, &payload);
                if matches!(payload, Payload::Replica(Message::Accepted { .. })) {
                    self.send_queued();
                }
            }
            Output::ReadBack { from, end } => self.reads.ask(ReadRequest::ReadBack { from, end }),
            Output::CatchUp { to, from, end, decided } => {
                let header = *header;
                self.reads.ask(ReadRequest::CatchUp { header, to, from, end, decided });
            }
            Output::LeaderChanged { leader } => {
                // A11: outcomes are told before the leadership that they belong to is.
                self.waiting.hand_over();
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

    /// Tells the callers what was gathered for them, and has the links send what was queued.
    pub(crate) fn flush(&mut self) {
        self.waiting.hand_over();
        self.send_queued();
    }

    /// Has the links send what was queued. Others wait for accepts and for answers to them: both
    /// leave before the state machine of this node goes on.
    fn send_queued(&self) {
        for queue in self.queues.iter().flatten() {
            queue.flush();
        }
    }

    /// Encodes once for all receivers, into memory of its own, but for large decrees, which are
    /// sent from where they are: a queue that is slow to empty holds on to its own frames, to at
    /// most as many bytes again, and to the chunks that such decrees were cut from.
    fn send(&mut self, header: &Header, to: NodeSet, payload: &Payload<'_>) {
        if self.parts.lends(payload) {
            self.send_parts(header, to, payload);
            return;
        }
        let mut buffer = self.buffers.take(wire::encoded_len(payload));
        wire::encode_with(checksum::crc32c, header, payload, &mut buffer.bytes);
        let frame = buffer.split();
        self.buffers.rest(buffer);
        for peer in to.iter() {
            if let Some(Some(queue)) = self.queues.get(peer.place()) {
                queue.push(frame.clone());
            }
        }
    }

    fn send_parts(&mut self, header: &Header, to: NodeSet, payload: &Payload<'_>) {
        self.parts.encode_with(checksum::crc32c, header, payload);
        self.gathered.extend(self.parts.drain());
        for peer in to.iter() {
            if let Some(Some(queue)) = self.queues.get(peer.place()) {
                queue.push_parts(&self.gathered);
            }
        }
        self.gathered.clear();
    }
}

/// The callers that wait for outcomes, in the order of their requests.
pub(crate) struct Waiting<R> {
    /// The request that the first place stands for.
    first: u64,
    /// Dropped before the callers: what was known is told before what nobody will ever know.
    gathered: Gathered<R>,
    callers: VecDeque<Option<Caller<R>>>,
}

impl<R> Waiting<R> {
    pub(crate) const fn new() -> Self {
        Self { first: 1, callers: VecDeque::new(), gathered: Gathered::new() }
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

    /// A request has its outcome. Its caller has it too, or will when what was gathered is handed
    /// over.
    pub(crate) fn resolve(&mut self, id: RequestId, outcome: Outcome<R>) {
        let place = id.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let caller = place.and_then(|place| self.callers.get_mut(place)).and_then(Option::take);
        debug_assert!(caller.is_some(), "one outcome for each request taken (A1)");
        if let Some(caller) = caller {
            caller.answer_with(outcome, &mut self.gathered);
        }
        while let Some(None) = self.callers.front() {
            self.callers.pop_front();
            self.first += 1;
        }
    }

    /// Hands over what was gathered for a pipe.
    pub(crate) fn hand_over(&mut self) {
        self.gathered.hand_over();
    }
}

/// Larger decrees are sent from where they are.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// Buffers of sent frames that no queue holds any more have at most so many bytes.
const SENT_RESTING_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use synod_core::service::{Request, Why};
    use synod_core::{Body, Incarnation, Limits, MemberIndex, Record};
    use synod_log::{Log, MemoryLog};
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::submits::{self, SubmitReceiver};
    use crate::{Handle, Pipe};

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

    #[tokio::test]
    async fn a_caller_has_its_outcome_before_a_leadership_is_told() {
        let mut host = host_of(vec![None]);

        let (handle, mut submits) = handle_of_no_node();
        let mut pipe = handle.pipe(1);
        pipe.submit(Request::default()).expect("there is room");
        let caller = submits.close().remove(0).caller;
        host.waiting.add(RequestId(1), caller);
        let outcome = Outcome::Unknown { ballot: Ballot::ZERO };
        host.take(&Header::default(), Output::Outcome { id: RequestId(1), outcome });
        let mut out = Vec::new();
        let mut poll = |pipe: &mut Pipe<u64>| {
            pipe.poll_outcomes(&mut Context::from_waker(Waker::noop()), &mut out)
        };
        assert!(poll(&mut pipe).is_pending(), "it is told with the others of its turn");
        host.take(&Header::default(), Output::LeaderChanged { leader: None });
        assert_eq!(poll(&mut pipe), Poll::Ready(1));
    }

    #[tokio::test]
    async fn what_others_wait_for_leaves_before_the_turn_is_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (near, (far, _)) = (near.expect("an end"), far.expect("an end"));
        let queue = Arc::new(SendQueue::new(1 << 16));
        let (_way_in, way_out) = near.into_split();
        queue.open(Arc::new(way_out));
        let mut host = host_of(vec![None, Some(queue)]);
        let send = |host: &mut Host<u64>, message| {
            let (to, payload) = (NodeSet::of(MemberIndex(1)), Payload::Replica(message));
            host.take(&Header::default(), Output::Send { to, payload });
        };
        let arrived = || far.try_read(&mut [0; 1 << 10]).is_ok();
        let (ballot, end) = (Ballot::ZERO, synod_core::Slot(1));

        send(&mut host, Message::Accepted { ballot, end, resend: false });
        far.readable().await.expect("an answer leaves at once");
        assert!(arrived());
        let (proposals, decided) = (&[][..], end);
        send(&mut host, Message::Accept { ballot, from: end, proposals, decided });
        assert!(!arrived(), "there is a record to be handed over first");
        let record = Record { promised: ballot, decided: end, body: Body::Mark };
        assert_eq!(
            host.take(&Header::default(), Output::Persist { id: WriteId(1), record }),
            Some(WriteId(1))
        );
        far.readable().await.expect("an accept leaves with its record");
        assert!(arrived());
        send(&mut host, Message::Beat(synod_core::Beat::default()));
        assert!(!arrived(), "nobody waits for a beat");
        host.flush();
        far.readable().await.expect("what was queued leaves at the end of a turn");
        assert!(arrived());
    }

    #[tokio::test]
    async fn a_large_decree_is_sent_from_where_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (_way_in, way_out) = near.expect("an end").into_split();
        let (mut far, _) = far.expect("an end");
        let queue = Arc::new(SendQueue::new(1 << 20));
        queue.open(Arc::new(way_out));
        let mut host = host_of(vec![None, Some(queue)]);
        for (len, is_copied) in [(COPIED_BYTES_MAX, true), (COPIED_BYTES_MAX + 1, false)] {
            let (ballot, from) = (Ballot::ZERO, synod_core::Slot(1));
            let decree = Bytes::from(vec![7; len]);
            let app = synod_core::Kind::App(decree.clone());
            let proposals = [synod_core::Proposal { slot: from, ballot, decree: app }];
            let message = Message::Accept { ballot, from, proposals: &proposals, decided: from };
            let (to, payload) = (NodeSet::of(MemberIndex(1)), Payload::Replica(message));
            let mut whole = bytes::BytesMut::new();
            wire::encode(&Header::default(), &payload, &mut whole);
            host.take(&Header::default(), Output::Send { to, payload });
            drop(proposals);
            assert_eq!(decree.is_unique(), is_copied);
            host.flush();
            assert!(decree.is_unique(), "what was sent is let go of");
            let mut got = vec![0; whole.len()];
            far.read_exact(&mut got).await.expect("the frame");
            assert_eq!(got, whole);
        }
    }

    #[tokio::test]
    async fn a_loop_that_dies_amid_a_turn_tells_first_what_it_knew() {
        let (handle, mut submits) = handle_of_no_node();
        let mut pipe = handle.pipe(4);
        for _ in 0..4 {
            pipe.submit(Request::default()).expect("there is room");
        }
        let mut waiting = Waiting::new();
        for (id, submit) in (1..).zip(submits.close()) {
            waiting.add(RequestId(id), submit.caller);
        }
        for id in [1, 2] {
            let (slot, ballot) = (synod_core::Slot(id), Ballot::ZERO);
            waiting.resolve(RequestId(id), Outcome::Applied { reply: id, slot, ballot });
        }
        // The state machine panics while it applies the next decree.
        drop(waiting);
        let mut outcomes = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pipe.poll_outcomes(&mut cx, &mut outcomes).is_ready());
        let numbers: Vec<u64> = outcomes.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
    }

    /// The host of node 1 with a log in memory, and a queue to each other member.
    fn host_of(queues: Vec<Option<Arc<SendQueue>>>) -> Host<u64> {
        let (log, _) = MemoryLog::new(Incarnation(1), 1 << 10);
        let (reads, _answers) =
            ReadThread::start(log.reader(), NodeId(1), &Limits::default()).expect("a thread");
        let (log, _reports) = LogSide::start(log, NodeId(1), 1, Duration::ZERO).expect("no thread");
        let members: Vec<NodeId> = (1..).map(NodeId).take(queues.len()).collect();
        let configuration = Configuration::first(&members).expect("a sound set");
        let (leader, _leader) = watch::channel(None);
        Host::new(configuration, queues, log, reads, leader)
    }

    fn handle_of_no_node() -> (Handle<u64>, SubmitReceiver<u64>) {
        let (submits, receiver) = submits::queue(8);
        let (orders, _) = mpsc::channel(1);
        let ((_, leader), (_, ended)) = (watch::channel(None), watch::channel(None));
        (Handle { submits, orders, leader, ended }, receiver)
    }
}
