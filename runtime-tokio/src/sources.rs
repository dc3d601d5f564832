//! Everything that a loop waits for, and what one turn of it takes in.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use synod_core::{Configuration, Instant, MemberIndex, NodeId, WriteId};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::buffers::Buffers;
use crate::connection::Connection;
use crate::handle::{Order, Submit};
use crate::link::LinkEvent;
use crate::log_thread::LogReport;
use crate::read_thread::ReadAnswer;
use crate::submits::SubmitReceiver;
use crate::{NodeError, clock};

/// Everything that a loop waits for. Each source is bounded, and what it holds when a turn begins
/// is taken in as a whole.
pub(crate) struct Sources<R> {
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    /// Connections with peers, by index.
    pub(crate) inbound: Vec<Option<Connection>>,
    pub(crate) reports: mpsc::Receiver<LogReport>,
    pub(crate) answers: mpsc::Receiver<ReadAnswer>,
    pub(crate) submits: SubmitReceiver<R>,
    pub(crate) orders: mpsc::Receiver<Order>,
    configuration: Configuration,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires. It may be earlier than need be, which costs a turn, never later.
    armed: Instant,
    batches_max: usize,
    /// For frames received, from all peers.
    buffers: Buffers,
    is_abandoned: bool,
}

/// What one turn takes in.
pub(crate) struct Turn<R> {
    pub(crate) links: Vec<LinkChange>,
    /// Whole frames, back to back.
    pub(crate) frames: Vec<(MemberIndex, Bytes)>,
    pub(crate) persisted: Option<WriteId>,
    pub(crate) failed: Option<NodeError>,
    pub(crate) answers: Vec<ReadAnswer>,
    pub(crate) submits: Vec<Submit<R>>,
    pub(crate) orders: Vec<Order>,
    /// Nobody holds a handle any more.
    pub(crate) is_abandoned: bool,
}

/// A change of a link that the replica is told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LinkChange {
    Up(NodeId),
    Down(NodeId),
}

impl<R> Sources<R> {
    pub(crate) fn new(
        configuration: Configuration,
        batches_max: usize,
        events: mpsc::Receiver<LinkEvent>,
        reports: mpsc::Receiver<LogReport>,
        answers: mpsc::Receiver<ReadAnswer>,
        submits: SubmitReceiver<R>,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let inbound = configuration.members().iter().map(|_| None).collect();
        let timer = Box::pin(tokio::time::sleep(std::time::Duration::ZERO));
        let armed = Instant::ZERO;
        let is_abandoned = false;
        Self {
            events,
            inbound,
            reports,
            answers,
            submits,
            orders,
            configuration,
            timer,
            armed,
            batches_max,
            buffers: Buffers::new(RECEIVED_RESTING_BYTES_MAX),
            is_abandoned,
        }
    }

    /// Ready when there is something to do; takes in all that is ready.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, turn: &mut Turn<R>) -> Poll<()> {
        let mut is_ready = self.poll_links(cx, turn);
        is_ready |= self.poll_frames(cx, turn);
        is_ready |= self.poll_log(cx, turn);
        is_ready |= self.poll_callers(cx, turn);
        if self.timer.as_mut().poll(cx).is_ready() {
            // The next call of `arm` sets it anew.
            self.armed = Instant::NEVER;
            self.drop_silent(turn);
            is_ready = true;
        }
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has the next turn begin at `deadline` at the latest.
    pub(crate) fn arm(&mut self, deadline: Instant, now: Instant) {
        // Deadlines mostly move on. The timer is not moved with them: it fires early, once, and is
        // set to what holds then.
        if deadline < self.armed {
            let (at, armed) = clock::timer_for(deadline, now);
            self.timer.as_mut().reset(at);
            self.armed = armed;
        }
    }

    /// Closes the connection with a peer.
    pub(crate) fn hang_up(&mut self, peer: MemberIndex) {
        self.inbound[peer.place()] = None;
    }

    fn poll_links(&mut self, cx: &mut Context<'_>, turn: &mut Turn<R>) -> bool {
        let mut is_ready = false;
        while let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            is_ready = true;
            match event {
                LinkEvent::Up(connection) => {
                    let node = connection.header.node;
                    // The handshake let members pass only. The connection before this one, if
                    // there is one, closes by being dropped.
                    if let Some(peer) = self.configuration.index_of(node) {
                        self.inbound[peer.place()] = Some(*connection);
                        turn.links.push(LinkChange::Up(node));
                    }
                }
                LinkEvent::Down(node) => {
                    let Some(peer) = self.configuration.index_of(node) else { continue };
                    // What was dropped here was told here.
                    if self.inbound[peer.place()].take().is_some() {
                        turn.links.push(LinkChange::Down(node));
                    }
                }
            }
        }
        is_ready
    }

    /// Closes connections that bring nothing. The timer fires once per heartbeat at least.
    fn drop_silent(&mut self, turn: &mut Turn<R>) {
        let now = clock::now();
        for inbound in &mut self.inbound {
            if let Some(silent) = inbound.take_if(|open| open.is_silent(now)) {
                turn.links.push(LinkChange::Down(silent.header.node));
            }
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>, turn: &mut Turn<R>) -> bool {
        let mut is_ready = false;
        for (place, inbound) in self.inbound.iter_mut().enumerate() {
            // At most nine members.
            let peer = MemberIndex(place as u8);
            // A socket that is read as fast as its frames are taken out here must not keep the
            // turn from its end.
            for _ in 0..self.batches_max {
                let Some(open) = inbound else { break };
                match open.poll_next(cx, &mut self.buffers) {
                    Poll::Pending => break,
                    Poll::Ready(Some(frames)) => turn.frames.push((peer, frames)),
                    Poll::Ready(None) => {
                        turn.links.push(LinkChange::Down(open.header.node));
                        *inbound = None;
                    }
                }
                is_ready = true;
            }
        }
        is_ready
    }

    fn poll_log(&mut self, cx: &mut Context<'_>, turn: &mut Turn<R>) -> bool {
        let mut is_ready = false;
        while turn.failed.is_none()
            && let Poll::Ready(report) = self.reports.poll_recv(cx)
        {
            is_ready = true;
            match report {
                Some(LogReport::Persisted(upto)) => turn.persisted = Some(upto),
                Some(LogReport::Failed(error)) => turn.failed = Some(NodeError::Log(error)),
                None => turn.failed = Some(NodeError::LogThread),
            }
        }
        while turn.failed.is_none()
            && let Poll::Ready(answer) = self.answers.poll_recv(cx)
        {
            is_ready = true;
            match answer {
                Some(answer) => turn.answers.push(answer),
                None => turn.failed = Some(NodeError::LogThread),
            }
        }
        is_ready
    }

    fn poll_callers(&mut self, cx: &mut Context<'_>, turn: &mut Turn<R>) -> bool {
        if self.is_abandoned {
            return false;
        }
        let mut is_ready = false;
        while let Poll::Ready(order) = self.orders.poll_recv(cx) {
            is_ready = true;
            match order {
                Some(order) => turn.orders.push(order),
                None => {
                    self.is_abandoned = true;
                    turn.is_abandoned = true;
                    break;
                }
            }
        }
        is_ready | self.submits.poll_recv(cx, &mut turn.submits, SUBMITS_PER_TURN).is_ready()
    }
}

impl<R> Default for Turn<R> {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            frames: Vec::new(),
            persisted: None,
            failed: None,
            answers: Vec::new(),
            submits: Vec::new(),
            orders: Vec::new(),
            is_abandoned: false,
        }
    }
}

/// More submits wait for the next turn, so that a flood of them delays no frame for long.
const SUBMITS_PER_TURN: usize = 1024;

/// Buffers of received frames that nobody holds any more have at most so many bytes.
const RECEIVED_RESTING_BYTES_MAX: usize = 64 << 20;
