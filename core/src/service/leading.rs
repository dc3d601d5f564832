//! The leader's half of a service: decrees out of what has piled up.

use super::batch::{Head, Writer};
use super::pending::Gathered;
use super::share::Share;
use super::{At, Service, StateMachine};
use crate::{Ballot, Standing};

/// What goes into the next decree.
struct Contents {
    own: Option<Gathered>,
    /// Forwarded runs, from the oldest on.
    runs: usize,
    /// The size of the decree.
    bytes: usize,
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

    /// Proposes decrees while few enough are in flight: what arrives meanwhile piles up and shares
    /// the next one.
    pub(super) fn propose_what_piled_up(&mut self) {
        let Some(ballot) = self.stance.leads else { return };
        let opens = self.tail.is_none_or(|tail| tail.ballot != ballot);
        if !opens && !self.pending.has_unsent() && self.intake.is_empty() {
            return;
        }
        while self.replica.room() > 0 && self.undecided() < self.limits.pipeline as u64 {
            let opens = self.tail.is_none_or(|tail| tail.ballot != ballot);
            let contents = if opens { Some(Contents::none()) } else { self.contents(ballot) };
            let Some(contents) = contents else { return };
            if !self.propose(ballot, &contents) {
                return;
            }
        }
    }

    /// Decrees in flight, those of earlier leaders that are proposed again included.
    fn undecided(&self) -> u64 {
        self.replica.next_slot().since(self.replica.decided())
    }

    /// Chooses what goes into the next decree; `None` when nothing waits. Own and forwarded
    /// requests take turns in going first, and the first leaves half of the room to the second.
    fn contents(&mut self, ballot: Ballot) -> Option<Contents> {
        let has_own = self.pending.has_unsent() && self.pending.may_offer_in(ballot);
        let has_both = has_own && !self.intake.is_empty();
        let own_first = self.own_first;
        self.own_first = !own_first;
        let mut contents = Contents::none();
        let mut share = Share::new(&self.limits);
        if has_both {
            share = share.halved();
        }
        for own_turn in [own_first, !own_first] {
            if own_turn && has_own {
                self.add_own(ballot, &mut share, &mut contents);
            } else if !own_turn {
                self.add_runs(&mut share, &mut contents);
            }
            share = share.whole(&self.limits);
        }
        contents.bytes = share.bytes;
        (contents.own.is_some() || contents.runs > 0).then_some(contents)
    }

    fn add_own(&mut self, ballot: Ballot, share: &mut Share, contents: &mut Contents) {
        let mut with_segment = *share;
        with_segment.begin_segment();
        let gathered = self
            .pending
            .gather(ballot, |entry| with_segment.add(entry.body().len(), entry.exclusive));
        if gathered.load.requests > 0 {
            *share = with_segment;
            contents.own = Some(gathered);
        }
    }

    fn add_runs(&mut self, share: &mut Share, contents: &mut Contents) {
        for (_, run) in self.intake.runs() {
            let mut more = *share;
            more.begin_segment();
            if !more.add_many(run.count as usize, run.requests.len(), run.exclusive) {
                break;
            }
            contents.runs += 1;
            *share = more;
        }
    }

    /// Proposes a decree with these contents. When the replica gives it back, nothing has changed
    /// and the requests stay where they are.
    fn propose(&mut self, ballot: Ballot, contents: &Contents) -> bool {
        let previous = self.tail.filter(|tail| tail.ballot == ballot).map(|tail| tail.slot);
        let (origin, pending, intake) = (self.origin, &self.pending, &self.intake);
        let decree = self.chunks.write(contents.bytes, |out| {
            let mut writer = Writer::decree(out, Head { ballot, previous });
            if let Some(own) = contents.own {
                writer.segment(origin, own.from);
                for number in own.from..own.end {
                    if let Some(entry) = pending.entry(number) {
                        writer.request(number, entry.body());
                    }
                }
                writer.end_segment();
            }
            for (origin, run) in intake.runs().take(contents.runs) {
                writer.copy_of(origin, run);
            }
            writer.end_decree();
        });
        let Ok(slot) = self.replica.propose(self.now, decree, Some(ballot)) else { return false };
        self.tail = Some(At { slot, ballot });
        self.counters.proposed += 1;
        if let Some(own) = contents.own {
            self.pending.mark_gathered(&own, ballot);
        }
        self.intake.proposed(contents.runs);
        true
    }
}

impl Contents {
    /// The decree that opens a leadership is empty: it is proposed before anything else, so that
    /// requests in doubt since an earlier leadership become certain at once (see `delivery`).
    const fn none() -> Self {
        Self { own: None, runs: 0, bytes: super::batch::DECREE_HEAD_BYTES }
    }
}
