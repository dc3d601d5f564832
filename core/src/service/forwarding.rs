//! The forwarder's half of a service, and the messages between services (R14, A13).
//!
//! A request is forwarded in one ballot at a time (`pending`), and the leader of that ballot takes
//! it at most once and in order (`intake`). So a forward that may have been lost is simply sent
//! again *to the same leadership*; to another one only when it is certain that the first will never
//! get it applied (`delivery`). No answer is needed in the usual case: requests are applied here
//! too, and that tells. Only when nothing moves for a while does the forwarder ask.

use bytes::Bytes;

use super::batch::{DECREE_HEAD_BYTES, RUN_HEAD_BYTES, Run, SEGMENT_HEAD_BYTES, Writer};
use super::intake::Forward;
use super::origin::Origin;
use super::share::Share;
use super::{Service, ServiceMessage, StateMachine};
use crate::{Ballot, Header, Instant, MemberIndex, NodeId, NodeSet, PeerMisbehaved};

/// What a run grows by when it becomes the only segment of a decree.
const HEADS_BYTES: usize = DECREE_HEAD_BYTES + SEGMENT_HEAD_BYTES - RUN_HEAD_BYTES;

/// What was sent to the leader of one ballot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    ballot: Ballot,
    /// Forwards made in this ballot.
    number: u64,
    /// The last request sent, and not called back by a rewind.
    last: u64,
    /// Answers to forwards below this were acted on: they were sent before the last rewind.
    heeded: u64,
    /// When to ask, if nothing moves before.
    ask_at: Instant,
}

impl Line {
    fn enter(&mut self, ballot: Ballot) {
        if self.ballot != ballot {
            *self = Self { ballot, ..Self::default() };
        }
    }
}

impl<M: StateMachine> Service<M> {
    /// The leadership elsewhere, as the replica has it.
    pub(super) fn leader_elsewhere(&self) -> Option<(Ballot, MemberIndex)> {
        let ballot = self.replica.leader().filter(|_| self.forward)?;
        let member = self.replica.config().configuration.index_of(ballot.node)?;
        (ballot.node != self.origin.node).then_some((ballot, member))
    }

    /// The leadership elsewhere that requests may be forwarded to now.
    fn forwards_to(&self) -> Option<(Ballot, MemberIndex)> {
        let (ballot, member) = self.stance.elsewhere?;
        // What is offered to a leadership that has a successor would be in vain.
        let is_past = self.delivery.last().is_some_and(|last| last.ballot > ballot);
        let is_free = self.pending.may_offer_in(ballot);
        (is_free && !is_past).then_some((ballot, member))
    }

    /// The next forward, if one is due.
    pub(super) fn pop_forward(&mut self) -> Option<(NodeSet, ServiceMessage)> {
        if !self.pending.has_unsent() && self.pending.in_doubt().requests == 0 {
            return None;
        }
        let (ballot, member) = self.forwards_to()?;
        self.line.enter(ballot);
        let after = self.line.last;
        let requests = match self.next_run(ballot) {
            Some(run) => run,
            None if self.now >= self.ask_at()? => Bytes::new(),
            None => return None,
        };
        self.line.number += 1;
        self.line.ask_at = self.now.after(self.replica.config().timeouts.resend);
        self.counters.forwarded += u64::from(!requests.is_empty());
        let number = self.line.number;
        Some((NodeSet::of(member), ServiceMessage::Forward { ballot, number, after, requests }))
    }

    /// Whether something may be in doubt at a leader elsewhere, who is then to be asked at times.
    pub(super) fn may_ask(&self) -> bool {
        self.stance.leads.is_none() && self.pending.in_doubt().requests > 0
    }

    /// When to ask the leader what it took; `None` when nothing that it was offered is in doubt.
    pub(super) fn ask_at(&self) -> Option<Instant> {
        let (ballot, _) = self.forwards_to()?;
        let waits = self.pending.in_doubt().requests > 0 && self.line.ballot == ballot;
        waits.then_some(self.line.ask_at)
    }

    /// A request of this service was applied: things move.
    pub(super) fn put_off_asking(&mut self) {
        self.line.ask_at = self.now.after(self.replica.config().timeouts.resend);
    }

    /// Encodes the next requests to be forwarded.
    fn next_run(&mut self, ballot: Ballot) -> Option<Bytes> {
        let mut load = self.pending.in_doubt();
        let mut share = Share::new(&self.limits);
        share.begin_segment();
        let (mut first, mut end, mut alone) = (None, self.pending.sent(), false);
        while let Some((number, entry)) = self.pending.peek(end, ballot) {
            let (bytes, exclusive) = (entry.body().len(), entry.exclusive);
            // What is sent again is counted already.
            if !self.pending.is_in_doubt(number) {
                let is_first = load.requests == 0;
                load.add(bytes);
                if !is_first && !load.fits(&self.limits) {
                    break;
                }
            }
            if !share.add(bytes, exclusive) {
                break;
            }
            first = first.or(Some(number));
            (end, alone) = (number + 1, exclusive);
        }
        let first = first?;
        let pending = &self.pending;
        // A decree has larger heads than a run, so this is room enough.
        let requests = self.chunks.write(share.bytes, |out| {
            let mut writer = Writer::run(out, alone, first);
            let mut count = 0;
            for number in first..end {
                if let Some(entry) = pending.entry(number) {
                    writer.request(number, entry.body());
                    count += 1;
                }
            }
            writer.end_run(count);
        });
        self.pending.mark_sent(end, ballot);
        self.line.last = end - 1;
        Some(requests)
    }

    /// Tells a forwarder how far its requests were taken, if that is due.
    pub(super) fn pop_taken(&mut self) -> Option<(NodeSet, ServiceMessage)> {
        let ballot = self.stance.leads?;
        let (member, number, last) = self.intake.pop_owed()?;
        Some((NodeSet::of(member), ServiceMessage::Taken { ballot, number, last }))
    }

    /// Takes in a message of another service.
    pub(super) fn on_message(
        &mut self,
        header: &Header,
        message: ServiceMessage,
    ) -> Result<(), PeerMisbehaved> {
        self.replica.judge(header)?;
        let node = header.node;
        let Some(member) = self.replica.config().configuration.index_of(node) else {
            return Err(PeerMisbehaved::NotAMember(node));
        };
        if self.replica.is_stopped() {
            return Ok(());
        }
        match message {
            ServiceMessage::Forward { ballot, number, after, requests } => {
                let run = self.read_run(node, &requests)?;
                self.intake.enter(self.acts_in());
                // R14: only in the ballot that the forwarder means. It notices when that is over.
                if self.intake.acts_in(ballot) {
                    let forward = Forward { number, after, run };
                    self.intake.take(member, Origin::of(header), forward);
                }
                Ok(())
            }
            ServiceMessage::Taken { ballot, number, last } => {
                if ballot.node != node {
                    return Err(PeerMisbehaved::BadBallot(node, ballot));
                }
                self.on_taken(ballot, number, last);
                Ok(())
            }
        }
    }

    /// Reads what a member forwarded. F7: nothing is taken that no decree could hold.
    fn read_run(&self, from: NodeId, requests: &Bytes) -> Result<Option<Run>, PeerMisbehaved> {
        if requests.is_empty() {
            return Ok(None);
        }
        if requests.len() + HEADS_BYTES > self.replica.config().limits.decree_bytes_max {
            return Err(PeerMisbehaved::TooLarge(from));
        }
        Run::read(requests).map(Some).map_err(|_| PeerMisbehaved::MalformedRequests(from))
    }

    fn on_taken(&mut self, ballot: Ballot, number: u64, last: u64) {
        let line = &mut self.line;
        let is_news = ballot == line.ballot && number >= line.heeded && last < line.last;
        // What was lost on the way is sent once more, with everything behind it.
        if is_news && self.pending.ballot() == ballot {
            line.last = last;
            line.heeded = line.number + 1;
            self.pending.rewind_behind(last);
        }
    }
}
