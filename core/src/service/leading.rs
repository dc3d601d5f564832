//! The leader's half of a service: decrees out of what has piled up.

use bytes::Bytes;

use super::batch::{DECREE_HEAD_BYTES, Head, Writer};
use super::intake::Intake;
use super::origin::Origin;
use super::pending::{Gathered, Pending};
use super::share::Share;
use super::{At, Service, StateMachine};
use crate::{Ballot, Standing};

/// What goes into the next decree.
struct Contents {
    own: Option<Gathered>,
    /// Forwarded runs, from the oldest on.
    runs: usize,
}

impl<M: StateMachine> Service<M> {
    /// The ballot in which this replica leads.
    pub(super) fn leads_in(&self) -> Option<Ballot> {
        match self.replica.standing() {
            Standing::Leading => self.replica.leader(),
            Standing::Following | Standing::Preparing => None,
        }
    }

    /// The ballot in which this replica leads or is about to.
    pub(super) fn acts_in(&self) -> Option<Ballot> {
        match self.replica.standing() {
            Standing::Following => None,
            Standing::Preparing => Some(self.replica.promised()),
            Standing::Leading => self.replica.leader(),
        }
    }

    /// Whether this replica leads in a ballot in which it has proposed nothing yet.
    pub(super) fn must_open(&self) -> bool {
        let opens = |ballot| self.tail.is_none_or(|tail| tail.ballot != ballot);
        self.stance.leads.is_some_and(opens)
    }

    /// Proposes decrees while few enough are in flight: what arrives meanwhile piles up and shares
    /// the next one.
    pub(super) fn propose_what_piled_up(&mut self) {
        let Some(ballot) = self.stance.leads else { return };
        if !self.must_open() && !self.pending.has_unsent() && self.intake.is_empty() {
            return;
        }
        while self.replica.room() > 0 && self.undecided() < self.limits.pipeline as u64 {
            let opens = self.must_open();
            let waits = self.pending.has_unsent() || !self.intake.is_empty();
            if !(opens || waits) || !self.propose_next(ballot, opens) {
                return;
            }
        }
    }

    /// Decrees in flight, those of earlier leaders that are proposed again included.
    fn undecided(&self) -> u64 {
        self.replica.next_slot().since(self.replica.decided())
    }

    /// Proposes the next decree, with what waits; an empty one if it `opens` the leadership. When
    /// nothing waits, or the replica gives it back, nothing has changed and this is `false`.
    #[inline(never)]
    fn propose_next(&mut self, ballot: Ballot, opens: bool) -> bool {
        let (decree, contents) = self.write_decree(ballot, opens);
        if !opens && contents.is_empty() {
            return false;
        }
        let Ok(slot) = self.replica.propose(self.now, decree, Some(ballot)) else { return false };
        self.tail = Some(At { slot, ballot });
        self.counters.proposed += 1;
        if !opens {
            self.own_first = !self.own_first;
        }
        if let Some(own) = contents.own {
            self.pending.mark_gathered(&own, ballot);
        }
        for member in self.intake.members(contents.runs) {
            self.replica.tell_promptly(member, slot.next());
        }
        self.intake.proposed(contents.runs);
        true
    }

    /// Writes the next decree. Own and forwarded requests take turns in going first, and the first
    /// leaves half of the room to the second.
    ///
    /// The decree that opens a leadership is empty: it is proposed before anything else, so that
    /// requests in doubt since an earlier leadership become certain at once (see `delivery`).
    fn write_decree(&mut self, ballot: Ballot, opens: bool) -> (Bytes, Contents) {
        let previous = self.tail.filter(|tail| tail.ballot == ballot).map(|tail| tail.slot);
        let has_own = !opens && self.pending.has_unsent() && self.pending.may_offer_in(ballot);
        let has_runs = !opens && !self.intake.is_empty();
        let own_first = self.own_first;
        let Self { chunks, pending, intake, limits, origin, .. } = self;
        let mut share = Share::new(limits);
        if has_own && has_runs {
            share = share.halved();
        }
        let mut contents = Contents { own: None, runs: 0 };
        if has_runs && !own_first {
            contents.runs = count_runs(intake, &mut share);
            share = share.whole(limits);
        }
        let most = limits.batch_bytes_max;
        let room = pending.unsent_bytes(most) + intake.segment_bytes(most);
        let decree = chunks.write(DECREE_HEAD_BYTES + room, |out| {
            let mut writer = Writer::decree(out, Head { ballot, previous });
            if has_own {
                contents.own = write_own(pending, ballot, *origin, &mut share, &mut writer);
            }
            if has_runs && own_first {
                share = share.whole(limits);
                contents.runs = count_runs(intake, &mut share);
            }
            for (origin, run) in intake.runs().take(contents.runs) {
                writer.copy_of(origin, run);
            }
            writer.end_decree();
        });
        (decree, contents)
    }
}

/// Writes own requests, as many as may go, as one segment.
fn write_own(
    pending: &mut Pending,
    ballot: Ballot,
    origin: Origin,
    share: &mut Share,
    writer: &mut Writer<'_>,
) -> Option<Gathered> {
    let mut with_segment = *share;
    with_segment.begin_segment();
    let (first, entry) = pending.peek(pending.sent(), ballot)?;
    let mut trial = with_segment;
    if !trial.add(entry.body().len(), entry.exclusive) {
        return None;
    }
    writer.segment(origin, first);
    let write = |number, body: &[u8]| writer.request(number, body);
    let gathered = pending.gather(ballot, &mut with_segment, write);
    writer.end_segment(gathered.load.requests);
    *share = with_segment;
    Some(gathered)
}

/// How many of the forwarded runs may go, from the oldest on.
fn count_runs(intake: &Intake, share: &mut Share) -> usize {
    let mut count = 0;
    for (_, run) in intake.runs() {
        let mut more = *share;
        more.begin_segment();
        if !more.add_many(run.count as usize, run.requests.len(), run.exclusive) {
            break;
        }
        count += 1;
        *share = more;
    }
    count
}

impl Contents {
    const fn is_empty(&self) -> bool {
        self.own.is_none() && self.runs == 0
    }
}
