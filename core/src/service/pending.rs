//! The requests of this service that have no outcome yet: one queue, four cursors.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use bytes::Bytes;

use super::batch::{REQUEST_HEAD_BYTES, SEGMENT_HEAD_BYTES};
use super::share::Share;
use super::{Request, RequestId, ServiceLimits, Why};
use crate::contracts::{ensures, invariant, requires};
use crate::time::nanos;
use crate::{Ballot, Instant, NodeId};

/// Deadlines are rounded up to multiples of this, so that the queue is searched for lapsed ones at
/// most a thousand times a second.
const GRAIN_NANOS: u64 = 1_000_000;

/// The requests that this service accepted, by number, in the order of their submission.
///
/// Invariant: `oldest <= sent <= offered <= next`, and `next - oldest <= requests_pending_max`.
///
/// ```text
///   oldest              sent              offered               next
///     | in doubt: offered to a leader in    | queued: nobody was  |
///     | `ballot`, and not applied so far    | offered them        |
///     |                   | to be sent once more, in `ballot`     |
/// ```
///
/// **All that is in doubt was offered in one ballot.** A request is offered in a later one only
/// when none of an earlier one is in doubt: then the requests of each ballot are a piece of the
/// queue, ballots grow along the queue, and so does the order in which they are applied (A3). When
/// a later leadership has begun, what is in doubt can no longer be applied, for certain (see
/// `delivery`), and all of it becomes queued again by moving two cursors.
///
/// Invariant: `ballot` never goes back, also while nothing is in doubt: a request whose outcome is
/// unknown may yet be applied in it.
#[derive(Debug)]
pub(super) struct Pending {
    /// A ring: request `n` is at `n & mask`.
    entries: Box<[Entry]>,
    mask: u64,
    limits: ServiceLimits,
    oldest: u64,
    sent: u64,
    offered: u64,
    next: u64,
    ballot: Ballot,
    /// Of the live requests: all, and those in doubt.
    live: Load,
    in_doubt: Load,
    /// The deadline of a request that names none, from its submission.
    timeout_nanos: u64,
    /// No live request has a deadline more than two grains earlier.
    earliest: Instant,
    /// Outcomes on their way to the caller, other than those of applied requests.
    ended: VecDeque<(RequestId, Ended)>,
}

/// A number of requests and the bytes of their bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Load {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

/// Requests that go together: those that wait to be sent, up to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered {
    pub(super) end: u64,
    pub(super) load: Load,
}

/// An outcome that is not "applied".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    Refused(Why),
    Unknown(Ballot),
}

/// A request at its place in the ring. Dead ones have their outcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// `None` once the request has its outcome.
    body: Option<Bytes>,
    /// It is exclusive or conditional: most requests are neither, and these need no second look.
    is_special: bool,
    pub(super) exclusive: bool,
    /// The ballot that it is conditional on; zero for none.
    only_in: Ballot,
    deadline: Instant,
}

/// Requests that are being applied. What they weigh is taken off the queue at the end, at once.
pub(super) struct Settling<'a> {
    pending: &'a mut Pending,
    ballot: Ballot,
    /// Everything below has its outcome.
    reached: u64,
    /// The request taken last, 0 for none.
    last: u64,
    load: Load,
    /// What nobody was offered, so that it should not have been applied.
    strays: Load,
}

#[cold]
#[inline(never)]
fn one_more(mut load: Load, bytes: usize) -> Load {
    load.add(bytes);
    load
}

impl Settling<'_> {
    /// Request `number` was applied. Whether its caller still waits for that.
    #[inline(always)]
    pub(super) fn take(&mut self, number: u64) -> bool {
        let Pending { oldest, next, offered, ballot, .. } = *self.pending;
        if number.wrapping_sub(oldest) >= next - oldest {
            return false;
        }
        let Some(body) = self.pending.at(number).body.take() else { return false };
        invariant!(A3OriginOrder, number < offered);
        invariant!(A3OriginOrder, ballot == self.ballot);
        self.load.add(body.len());
        if number >= offered {
            self.strays = one_more(self.strays, body.len());
        }
        if number == self.reached {
            self.reached = number + 1;
        }
        self.last = number;
        true
    }

    /// All of the decree is applied.
    pub(super) fn end(self) {
        let Self { pending, ballot: _, reached, last, load, strays } = self;
        pending.live.remove_all(load);
        pending.in_doubt.add_all(strays);
        pending.in_doubt.remove_all(load);
        pending.oldest = reached;
        pending.forget_dead();
        // The leader takes the requests of an origin in order, and each leadership gets a prefix
        // of its decrees applied: whoever is still in doubt comes later.
        ensures!(A3OriginOrder, pending.oldest > last);
    }
}

impl Entry {
    /// The body of a live request.
    #[inline]
    pub(super) fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    const fn is_live(&self) -> bool {
        self.body.is_some()
    }
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.requests += 1;
        self.bytes += bytes;
    }

    const fn add_all(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.remove_all(Self { requests: 1, bytes });
    }

    fn remove_all(&mut self, other: Self) {
        self.requests -= other.requests;
        self.bytes -= other.bytes;
    }

    /// Whether one node may have so much at the leader.
    pub(super) fn fits(&self, limits: &ServiceLimits) -> bool {
        self.requests <= limits.forward_requests_max && self.bytes <= limits.forward_bytes_max
    }
}

impl Pending {
    pub(super) fn new(limits: ServiceLimits) -> Self {
        let capacity = limits.requests_pending_max.next_power_of_two();
        let first = 1;
        Self {
            entries: (0..capacity).map(|_| Entry::default()).collect(),
            mask: capacity as u64 - 1,
            limits,
            oldest: first,
            sent: first,
            offered: first,
            next: first,
            ballot: Ballot::ZERO,
            live: Load::default(),
            in_doubt: Load::default(),
            timeout_nanos: nanos(limits.request_timeout),
            earliest: Instant::NEVER,
            ended: VecDeque::new(),
        }
    }

    /// Queues a request, unless there is no room for it.
    // What most requests leave at its default need not be looked at where it is known.
    #[inline(always)]
    pub(super) fn push(&mut self, now: Instant, request: Request) -> Result<RequestId, Request> {
        let full = self.next - self.oldest >= self.limits.requests_pending_max as u64;
        let bytes = request.body.len();
        if full || self.live.bytes + bytes > self.limits.pending_bytes_max {
            return Err(request);
        }
        let usual = Instant(now.0.saturating_add(self.timeout_nanos));
        let deadline = request.deadline.unwrap_or(usual);
        if deadline.0.saturating_add(GRAIN_NANOS) < self.earliest.0 {
            self.earliest = round_up(deadline);
        }
        let Request { body, exclusive, deadline: _, only_in } = request;
        let number = self.next;
        // No leadership has the zero ballot, so whoever asks for it asks in vain.
        let only_in = only_in
            .map_or(Ballot::ZERO, |wanted| if wanted == Ballot::ZERO { NEVER_LED } else { wanted });
        let is_special = exclusive || only_in != Ballot::ZERO;
        *self.at(number) = Entry { body: Some(body), is_special, exclusive, only_in, deadline };
        self.live.add(bytes);
        self.next += 1;
        self.check_invariants();
        Ok(RequestId(number))
    }

    /// Whether requests may be offered to the leader of `ballot` now.
    pub(super) fn may_offer_in(&self, ballot: Ballot) -> bool {
        ballot == self.ballot || (ballot > self.ballot && self.oldest == self.offered)
    }

    /// The next request to send in `ballot`, at number `from` or behind, and its number. Refuses
    /// those on the way that are conditional on another ballot.
    pub(super) fn peek(&mut self, from: u64, ballot: Ballot) -> Option<(u64, &Entry)> {
        let mut number = from.max(self.oldest);
        while number < self.next {
            let entry = self.at(number);
            // One that was offered already was not conditional, or on this very ballot.
            if entry.is_live() && entry.only_in != Ballot::ZERO && entry.only_in != ballot {
                self.end(number, Ended::Refused(Why::OtherBallot(ballot)));
                self.forget_dead();
            } else if entry.is_live() {
                return Some((number, self.at(number)));
            }
            number += 1;
        }
        None
    }

    /// The live request at `number`.
    #[inline]
    pub(super) fn entry(&self, number: u64) -> Option<&Entry> {
        // The mask keeps it in the ring.
        let entry = self.entries.get((number & self.mask) as usize)?;
        let is_held = number.wrapping_sub(self.oldest) < self.next - self.oldest;
        (is_held && entry.is_live()).then_some(entry)
    }

    /// Where the next request to send is looked for.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a request waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.next
    }

    /// Whether nothing waits to be sent or told. What is in doubt at a leader elsewhere is to be
    /// asked for after a while.
    pub(super) fn is_at_rest(&self) -> bool {
        self.sent == self.next && self.ended.is_empty()
    }

    /// Whether number `number` was offered before.
    pub(super) fn is_in_doubt(&self, number: u64) -> bool {
        number < self.offered
    }

    /// Collects what the next decree may take in `ballot`: whatever there is a `share` for goes to
    /// `write`, with its number. Requests that are conditional on another ballot are refused on the
    /// way.
    #[inline]
    pub(super) fn gather(
        &mut self,
        ballot: Ballot,
        share: &mut Share,
        mut write: impl FnMut(u64, &[u8]),
    ) -> Gathered {
        let (mut number, mut end, mut left) = (self.sent, self.sent, *share);
        while number < self.next {
            let entry = &self.entries[(number & self.mask) as usize];
            let Some(body) = &entry.body else {
                number += 1;
                continue;
            };
            if entry.is_special || !left.has_room_for(body.len()) {
                if entry.only_in != Ballot::ZERO && entry.only_in != ballot {
                    self.end(number, Ended::Refused(Why::OtherBallot(ballot)));
                    self.forget_dead();
                    continue;
                }
                if !left.add(body.len(), entry.exclusive) {
                    break;
                }
            } else {
                left.take(body.len());
            }
            write(number, body);
            number += 1;
            end = number;
        }
        let load = left.load_since(share);
        *share = left;
        Gathered { end, load }
    }

    /// What a segment with all that waits to be sent takes; up to `most`, unless the first request
    /// alone takes more.
    pub(super) fn unsent_bytes(&self, most: usize) -> usize {
        let offered = if self.sent == self.offered { self.in_doubt.bytes } else { 0 };
        let heads = REQUEST_HEAD_BYTES * (self.next - self.sent) as usize;
        let first = self.entry(self.sent).map_or(0, |first| first.body().len());
        let most = most.max(REQUEST_HEAD_BYTES + first);
        SEGMENT_HEAD_BYTES + (heads + self.live.bytes - offered).min(most)
    }

    /// What was gathered is offered to the leader of `ballot`.
    pub(super) fn mark_gathered(&mut self, gathered: &Gathered, ballot: Ballot) {
        if self.sent < self.offered {
            // A part of it was offered before.
            self.mark_sent(gathered.end, ballot);
            return;
        }
        requires!(R14ForwardInOrder, self.may_offer_in(ballot));
        self.ballot = ballot;
        self.sent = gathered.end.max(self.sent);
        self.offered = self.sent;
        self.in_doubt.requests += gathered.load.requests;
        self.in_doubt.bytes += gathered.load.bytes;
        self.forget_dead();
    }

    /// Requests below `end` were offered to the leader of `ballot`.
    pub(super) fn mark_sent(&mut self, end: u64, ballot: Ballot) {
        requires!(R14ForwardInOrder, self.may_offer_in(ballot));
        self.ballot = ballot;
        self.sent = end.max(self.sent);
        while self.offered < self.sent {
            let number = self.offered;
            let entry = self.at(number);
            let (live, bytes) = (entry.is_live(), entry.body().len());
            if live {
                self.in_doubt.add(bytes);
            }
            self.offered += 1;
        }
        self.forget_dead();
    }

    /// Requests above `last` did not arrive at the leader of the current ballot: send them again.
    pub(super) fn rewind_behind(&mut self, last: u64) {
        self.sent = self.sent.min((last + 1).max(self.oldest));
        self.check_invariants();
    }

    /// A decree of `ballot` is being applied: its requests are taken off one by one.
    #[inline]
    pub(super) fn settle(&mut self, ballot: Ballot) -> Settling<'_> {
        let reached = self.oldest;
        let (load, strays) = (Load::default(), Load::default());
        Settling { pending: self, ballot, reached, last: 0, load, strays }
    }

    /// What is in doubt will not be applied any more: it is queued again. Returns how many.
    pub(super) fn offer_again(&mut self) -> usize {
        self.sent = self.oldest;
        self.offered = self.oldest;
        let freed = mem::take(&mut self.in_doubt).requests;
        self.check_invariants();
        freed
    }

    /// Ends what has passed its deadline: refused if it is queued, unknown if it is in doubt.
    pub(super) fn expire(&mut self, now: Instant, why: Why) {
        if now < self.earliest {
            return;
        }
        self.earliest = Instant::NEVER;
        for number in self.oldest..self.next {
            let entry = self.at(number);
            let (live, deadline) = (entry.is_live(), entry.deadline);
            if live && deadline <= now {
                let in_doubt = self.is_in_doubt(number);
                let unknown = Ended::Unknown(self.ballot);
                self.end(number, if in_doubt { unknown } else { Ended::Refused(why) });
            } else if live {
                self.earliest = self.earliest.min(round_up(deadline));
            }
        }
        self.forget_dead();
    }

    /// Refuses everything that nobody was offered.
    pub(super) fn refuse_queued(&mut self, why: Why) {
        for number in self.offered..self.next {
            if self.at(number).is_live() {
                self.end(number, Ended::Refused(why));
            }
        }
        self.forget_dead();
    }

    /// Gives up on everything that is in doubt.
    pub(super) fn give_up(&mut self) {
        for number in self.oldest..self.offered {
            if self.at(number).is_live() {
                self.end(number, Ended::Unknown(self.ballot));
            }
        }
        self.forget_dead();
    }

    /// The next outcome other than "applied" that a caller is to be told.
    pub(super) fn pop_ended(&mut self) -> Option<(RequestId, Ended)> {
        self.ended.pop_front()
    }

    /// The highest ballot that requests were offered in.
    pub(super) fn ballot(&self) -> Ballot {
        self.ballot
    }

    /// Requests without an outcome.
    pub(super) fn live(&self) -> Load {
        self.live
    }

    /// Requests without an outcome that a leader was offered.
    pub(super) fn in_doubt(&self) -> Load {
        self.in_doubt
    }

    /// Whether every outcome is known and told.
    pub(super) fn is_drained(&self) -> bool {
        self.live.requests == 0 && self.ended.is_empty()
    }

    /// When [`Pending::expire`] may have something to do.
    pub(super) fn deadline(&self) -> Instant {
        self.earliest
    }

    fn at(&mut self, number: u64) -> &mut Entry {
        // The mask keeps it in the ring.
        &mut self.entries[(number & self.mask) as usize]
    }

    /// Ends a live request.
    fn end(&mut self, number: u64, ended: Ended) {
        let Some(body) = self.at(number).body.take() else {
            requires!(A1OneOutcome, false);
            return;
        };
        self.live.remove(body.len());
        if self.is_in_doubt(number) {
            self.in_doubt.remove(body.len());
        }
        self.ended.push_back((RequestId(number), ended));
    }

    /// Moves `oldest` over what has its outcome.
    #[inline]
    fn forget_dead(&mut self) {
        let mut oldest = self.oldest;
        while oldest < self.next && !self.at(oldest).is_live() {
            oldest += 1;
        }
        self.oldest = oldest;
        self.sent = self.sent.max(self.oldest);
        self.offered = self.offered.max(self.sent);
        self.check_invariants();
    }

    fn check_invariants(&self) {
        invariant!(A1OneOutcome, self.oldest <= self.sent);
        invariant!(A1OneOutcome, self.sent <= self.offered);
        invariant!(A1OneOutcome, self.offered <= self.next);
        invariant!(A1OneOutcome, self.next - self.oldest <= self.entries.len() as u64);
        invariant!(A1OneOutcome, self.oldest == self.offered => self.in_doubt == Load::default());
    }
}

/// A ballot that nobody ever leads in.
const NEVER_LED: Ballot = Ballot { round: Ballot::ROUND_LIMIT, node: NodeId(0) };

fn round_up(deadline: Instant) -> Instant {
    Instant(deadline.0.div_ceil(GRAIN_NANOS).saturating_mul(GRAIN_NANOS))
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "pending_twin.rs"]
mod twin;
