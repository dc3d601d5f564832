//! The loop of a node: one task that owns the service, and with it all state of the protocol.
//!
//! One turn: wait for anything; take in everything that is ready; sample the clock, **after** the
//! last input was read; hand all of it to the service; pull and do every output; wake the links
//! once; set the timer; again.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use bytes::Bytes;
use synod_core::service::{Input, Outcome, Service, StateMachine, Why};
use synod_core::wire::{self, Decoder, Payload};
use synod_core::{Event, Header, Instant, MemberIndex, PeerMisbehaved};
use tokio::task::{JoinSet, yield_now};

use crate::busy_poll::{self, BusyPoll};
use crate::faults::Fault;
use crate::handle::{Order, Submit};
use crate::host::Host;
use crate::link::Identity;
use crate::read_thread::ReadAnswer;
use crate::sources::{LinkChange, Sources, Turn};
use crate::{LinkStatus, NodeError, NodeStatus, clock};

/// The loop of one node.
pub(crate) struct EventLoop<M: StateMachine> {
    pub(crate) service: Service<M>,
    pub(crate) host: Host<M::Reply>,
    pub(crate) sources: Sources<M::Reply>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) decoder: Decoder,
    /// Frames taken in, by index of the peer.
    pub(crate) received: Vec<u64>,
    /// The links and the acceptor, which end with the loop, however it ends.
    pub(crate) tasks: JoinSet<()>,
    /// Set when a shutdown began: when it is to end at the latest.
    pub(crate) ends_by: Option<Instant>,
}

impl<M: StateMachine> EventLoop<M> {
    /// Runs until the node is shut down or fails.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let mut turn = Turn::default();
        let mut busy_poll = BusyPoll::new(&self.identity.transport, self.host.log.is_instant());
        loop {
            self.begin(&mut turn, &mut busy_poll).await;
            // Nothing is read from here to the end of the turn: what was taken in is judged by a
            // clock that is sampled after it.
            let now = clock::now();
            let failed = self.take_in(now, &mut turn);
            if self.drain(now) {
                busy_poll.stir();
            }
            if let Some(error) = failed {
                self.end().await;
                return Err(error);
            }
            let is_over =
                self.ends_by.is_some_and(|ends_by| now >= ends_by || self.service.is_drained());
            if is_over {
                self.end().await;
                return Ok(());
            }
        }
    }

    /// Waits for anything to do, and takes it.
    async fn begin(&mut self, turn: &mut Turn<M::Reply>, busy_poll: &mut BusyPoll) {
        let (deadline, now) = (self.deadline(), clock::now());
        if deadline <= now {
            // Something is due already. Whoever had an outcome in the turn before goes first: what
            // it submits now travels in the same message as the news that were kept back.
            yield_now().await;
            self.glance(turn).await;
            return;
        }
        self.sources.arm(deadline, now);
        busy_poll.begin(now);
        if !self.look(turn, busy_poll, deadline, now).await {
            poll_fn(|cx| self.sources.poll(cx, turn)).await;
        }
    }

    /// Takes what is there, without waiting for it. Says whether there was anything.
    async fn glance(&mut self, turn: &mut Turn<M::Reply>) -> bool {
        poll_fn(|cx| Poll::Ready(self.sources.poll(cx, turn).is_ready())).await
    }

    /// Looks for something to do for as long as the loop is to stay awake, and takes it. False when
    /// it is to sleep.
    async fn look(
        &mut self,
        turn: &mut Turn<M::Reply>,
        busy_poll: &BusyPoll,
        deadline: Instant,
        mut now: Instant,
    ) -> bool {
        while busy_poll.is_awake(now) {
            if self.glance(turn).await || now >= deadline {
                return true;
            }
            if busy_poll.gives_way(now) {
                thread::yield_now();
            }
            // Other tasks of this runtime go first.
            yield_now().await;
            now = clock::now();
        }
        false
    }

    fn deadline(&self) -> Instant {
        let deadline = self.service.deadline();
        self.ends_by.map_or(deadline, |ends_by| deadline.min(ends_by))
    }

    /// Hands everything to the service. Returns why the node cannot go on, if so.
    fn take_in(&mut self, now: Instant, turn: &mut Turn<M::Reply>) -> Option<NodeError> {
        if let Some(upto) = turn.persisted.take() {
            self.tell(now, Event::Persisted { upto });
        }
        let mut failed = turn.failed.take();
        for change in turn.links.drain(..) {
            self.tell(
                now,
                match change {
                    LinkChange::Up(peer) => Event::PeerUp { peer },
                    LinkChange::Down(peer) => Event::PeerDown { peer },
                },
            );
        }
        for (peer, frames) in turn.frames.drain(..) {
            self.take_frames(now, peer, frames);
        }
        self.decoder.clear();
        for answer in turn.answers.drain(..) {
            failed = failed.or(self.take_answer(now, answer));
        }
        for submit in turn.submits.drain(..) {
            self.take_submit(now, submit);
        }
        if mem::take(&mut turn.is_abandoned) {
            self.shut_down(now);
        }
        for order in turn.orders.drain(..) {
            match order {
                // A caller that is gone does not want to know.
                Order::Status(to) => drop(to.send(self.status())),
                Order::ShutDown => self.shut_down(now),
            }
        }
        if failed.is_some() {
            self.tell(now, Event::PersistFailed);
        } else if now >= self.service.deadline() {
            self.tell(now, Event::DeadlineReached);
        }
        failed
    }

    /// Pulls every output and does it. Says whether a command went on.
    fn drain(&mut self, now: Instant) -> bool {
        let mut is_progress = false;
        let header = self.service.replica().header();
        while let Some(output) = self.service.poll() {
            is_progress |= busy_poll::is_progress(&output);
            if let Some(upto) = self.host.take(&header, output) {
                self.tell(now, Event::Persisted { upto });
            }
        }
        self.host.flush();
        is_progress
    }

    fn tell(&mut self, now: Instant, event: Event<'_, Bytes>) {
        let outcome = self.service.handle(now, Input::Replica(event));
        debug_assert!(outcome.is_ok(), "only messages can misbehave");
    }

    fn take_submit(&mut self, now: Instant, submit: Submit<M::Reply>) {
        match self.service.submit(now, submit.request) {
            Ok(id) => self.host.waiting.add(id, submit.caller),
            Err(rejected) => submit.caller.answer(Outcome::Refused(rejected.why)),
        }
    }

    /// Takes whole frames, back to back. The first bad one ends the connection that it came by.
    fn take_frames(&mut self, now: Instant, peer: MemberIndex, mut frames: Bytes) {
        let bytes_max = self.identity.frame_bytes_max;
        while !frames.is_empty() {
            // A connection that was hung up has nothing more to say.
            let Some(inbound) = &self.sources.inbound[peer.place()] else { return };
            let speaker = inbound.header;
            // The reader has cut them so.
            let length = wire::frame_len(&frames, bytes_max).ok().flatten();
            let frame = frames.split_to(length.unwrap_or(frames.len()).min(frames.len()));
            self.received[peer.place()] += 1;
            if self.take_frame(now, &speaker, &frame).is_err() {
                self.sources.hang_up(peer);
                self.tell(now, Event::PeerDown { peer: speaker.node });
            }
        }
    }

    /// Takes one frame. An error ends the connection; it has been told.
    fn take_frame(&mut self, now: Instant, speaker: &Header, frame: &Bytes) -> Result<(), Fault> {
        let faults = &self.identity.faults;
        let (header, payload) = match self.decoder.decode(frame) {
            Ok(decoded) => decoded,
            Err(error) => {
                faults.report(
                    Fault::BadFrame,
                    format_args!("closed the connection of node {}: {error}", speaker.node),
                );
                return Err(Fault::BadFrame);
            }
        };
        let said = (header.node, header.incarnation, header.boot);
        if said != (speaker.node, speaker.incarnation, speaker.boot) {
            faults.report(
                Fault::OtherSpeaker,
                format_args!(
                    "closed the connection of node {} in run {}: a frame on it is of node {} in \
                     run {}, which is somebody else's or was recorded earlier",
                    speaker.node, speaker.boot.0, header.node, header.boot.0
                ),
            );
            return Err(Fault::OtherSpeaker);
        }
        let input = match payload {
            Payload::Replica(message) => Input::Replica(Event::Received { header, message }),
            Payload::Service(message) => Input::Service { header, message },
        };
        let Err(misbehaved) = self.service.handle(now, input) else { return Ok(()) };
        faults.report(Fault::Misbehaved, format_args!("dropped a message: {misbehaved}"));
        if is_mended_by_hanging_up(&misbehaved) { Err(Fault::Misbehaved) } else { Ok(()) }
    }

    fn take_answer(&mut self, now: Instant, answer: ReadAnswer) -> Option<NodeError> {
        match answer {
            ReadAnswer::CatchUp { to, end, frame } => {
                if let Some(frame) = frame {
                    self.host.send_frame(to, frame);
                }
                self.tell(now, Event::CaughtUp { to, end });
                None
            }
            ReadAnswer::ReadBack(Ok(chosen)) => {
                let outcome = self.service.handle(now, Input::ReadBack { chosen: &chosen });
                debug_assert!(outcome.is_ok(), "only messages can misbehave");
                None
            }
            ReadAnswer::ReadBack(Err(error)) => Some(NodeError::ReadBack(error)),
        }
    }

    fn shut_down(&mut self, now: Instant) {
        if self.ends_by.is_none() {
            self.ends_by = Some(now.after(self.identity.transport.shutdown_timeout));
            self.service.shut_down(now);
        }
    }

    fn status(&self) -> NodeStatus {
        let peers = self.host.configuration.members().iter().enumerate();
        let links = peers.filter_map(|(place, peer)| {
            let queue = self.host.queues[place].as_ref()?.tally();
            Some(LinkStatus {
                peer: *peer,
                is_up: queue.is_open,
                queued_bytes: queue.bytes,
                frames_sent: queue.sent,
                frames_dropped: queue.dropped,
                frames_received: self.received[place],
            })
        });
        let faults = &self.identity.faults;
        NodeStatus {
            service: self.service.status(),
            links: links.collect(),
            faults: Fault::ALL.iter().map(|fault| (*fault, faults.count(*fault))).collect(),
        }
    }

    /// Refuses what was never taken, closes every connection, and waits for the log to be settled.
    async fn end(self) {
        let Self { host, mut sources, mut tasks, .. } = self;
        for submit in sources.submits.close() {
            submit.caller.answer(Outcome::Refused(Why::ShuttingDown));
        }
        tasks.shutdown().await;
        drop(host);
        while sources.reports.recv().await.is_some() {}
    }
}

/// Whether a peer that misbehaves so may come right on a new connection. The others are told of,
/// and their messages dropped, for as long as an administrator lets it be so.
const fn is_mended_by_hanging_up(misbehaved: &PeerMisbehaved) -> bool {
    match misbehaved {
        PeerMisbehaved::WrongCluster(_)
        | PeerMisbehaved::WrongGroup(_)
        | PeerMisbehaved::NotAMember(_)
        | PeerMisbehaved::BadBallot(..)
        | PeerMisbehaved::SlotsNotContiguous(..)
        | PeerMisbehaved::TooLarge(_)
        | PeerMisbehaved::MalformedRequests(_)
        | PeerMisbehaved::StaleBoot(..) => true,
        PeerMisbehaved::WrongEpoch(_) | PeerMisbehaved::StaleIncarnation(..) => false,
    }
}
