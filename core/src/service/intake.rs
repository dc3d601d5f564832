//! The leader's side of forwarding: what other members have handed on (R14).

use alloc::collections::VecDeque;

use super::ServiceLimits;
use super::batch::{Run, SEGMENT_HEAD_BYTES};
use super::origin::Origin;
use super::pending::Load;
use crate::contracts::{ensures, requires};
use crate::{Ballot, MEMBERS_MAX, MemberIndex};

/// Requests that were forwarded to this replica in a ballot of its own, and not yet proposed.
///
/// **A request is taken only in the ballot that its forwarder named, at most once, and never behind
/// a later one of the same origin.** One number per origin, `last`, sees to all three: what is at
/// or below it is a repetition, and what does not follow it leaves a gap and is dropped whole. The
/// numbers live as long as the ballot. Nobody else ever takes requests in this ballot, and this
/// replica never leads in it again after it stopped (C2), so nothing needs to be remembered.
///
/// So a forwarder may send again *in the same ballot* whatever may have been lost.
#[derive(Debug)]
pub(super) struct Intake {
    limits: ServiceLimits,
    /// The ballot that requests are taken in; zero while there is none.
    ballot: Ballot,
    /// By [`MemberIndex`].
    takings: [Taking; MEMBERS_MAX],
    /// Some member may be owed an answer.
    owes: bool,
    /// In the order of arrival.
    runs: VecDeque<(MemberIndex, Origin, Run)>,
}

/// What was taken of one member in the current ballot.
#[derive(Clone, Copy, Debug, Default)]
struct Taking {
    origin: Origin,
    /// The number of the last request taken; 0 for none.
    last: u64,
    /// The highest number of a forward that arrived.
    number: u64,
    /// The member is to be told `last`.
    owed: bool,
    /// Not yet proposed.
    load: Load,
}

/// A forward that arrived, found sound.
#[derive(Clone, Debug)]
pub(super) struct Forward {
    pub(super) number: u64,
    pub(super) after: u64,
    /// `None` when the forwarder only asks.
    pub(super) run: Option<Run>,
}

impl Intake {
    pub(super) fn new(limits: ServiceLimits) -> Self {
        let takings = [Taking::default(); MEMBERS_MAX];
        Self { limits, ballot: Ballot::ZERO, takings, owes: false, runs: VecDeque::new() }
    }

    /// This replica acts in `ballot` now, or in none of its own. What was taken in another one and
    /// not proposed is dropped: its forwarders notice when a later leadership begins.
    pub(super) fn enter(&mut self, ballot: Option<Ballot>) {
        let ballot = ballot.unwrap_or(Ballot::ZERO);
        if ballot != self.ballot {
            self.ballot = ballot;
            self.takings = [Taking::default(); MEMBERS_MAX];
            self.runs.clear();
        }
    }

    /// Whether a forward for `ballot` concerns this replica now.
    pub(super) fn acts_in(&self, ballot: Ballot) -> bool {
        !ballot.is_zero() && ballot == self.ballot
    }

    /// Takes what a member forwarded in the current ballot, as far as it follows what was taken.
    pub(super) fn take(&mut self, member: MemberIndex, origin: Origin, forward: Forward) {
        let taking = &mut self.takings[member.place()];
        if taking.origin != origin {
            // The member was restarted. What its earlier run had forwarded keeps its place.
            *taking = Taking { origin, ..Taking::default() };
        }
        taking.number = taking.number.max(forward.number);
        let last = taking.last;
        let Some(run) = forward.run.filter(|_| forward.after <= last) else {
            // It asks, or something before it is missing.
            taking.owed = true;
            self.owes = true;
            return;
        };
        let Some(run) = run.behind(last) else { return };
        let bytes = run.requests.len();
        let more = Load {
            requests: taking.load.requests + run.count as usize,
            bytes: taking.load.bytes + bytes,
        };
        if taking.load.requests > 0 && !more.fits(&self.limits) {
            // The forwarder keeps to the same limits unless it was configured otherwise. It asks
            // after a while and sends again.
            return;
        }
        requires!(R14ForwardInOrder, run.last > last);
        taking.last = run.last;
        taking.load = more;
        ensures!(R14ForwardInOrder, taking.last > last);
        self.runs.push_back((member, origin, run));
    }

    /// The runs that wait to be proposed, the oldest first.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Origin, &Run)> {
        self.runs.iter().map(|(_, origin, run)| (*origin, run))
    }

    /// Whose the oldest `count` runs are.
    pub(super) fn members(&self, count: usize) -> impl Iterator<Item = MemberIndex> {
        self.runs.iter().take(count).map(|(member, _, _)| *member)
    }

    /// What segments with all that waits take; up to `most`, unless the first run alone takes more.
    pub(super) fn segment_bytes(&self, most: usize) -> usize {
        let segments = self.runs.iter().map(|(_, _, run)| SEGMENT_HEAD_BYTES + run.requests.len());
        let (first, all) = (segments.clone().next().unwrap_or(0), segments.sum());
        most.max(first).min(all)
    }

    /// Whether nothing waits to be proposed, and nobody is to be told anything.
    pub(super) fn is_at_rest(&self) -> bool {
        self.runs.is_empty() && !self.owes
    }

    /// Whether nothing waits to be proposed.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The oldest `count` runs were proposed.
    pub(super) fn proposed(&mut self, count: usize) {
        for (member, origin, run) in self.runs.drain(..count) {
            let taking = &mut self.takings[member.place()];
            if taking.origin == origin {
                taking.load.requests -= run.count as usize;
                taking.load.bytes -= run.requests.len();
            }
        }
    }

    /// A member that is to be told how far its requests were taken: whom, the highest number of
    /// its forwards, and the number of its last request taken.
    pub(super) fn pop_owed(&mut self) -> Option<(MemberIndex, u64, u64)> {
        if !self.owes {
            return None;
        }
        let Some(place) = self.takings.iter().position(|taking| taking.owed) else {
            self.owes = false;
            return None;
        };
        let taking = &mut self.takings[place];
        taking.owed = false;
        Some((MemberIndex(place as u8), taking.number, taking.last))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use bytes::BytesMut;

    use super::super::batch::Writer;
    use super::*;
    use crate::{Boot, Incarnation, NodeId};

    const BALLOT: Ballot = Ballot { round: 3, node: NodeId(1) };
    const MEMBER: MemberIndex = MemberIndex(1);

    fn origin(boot: u64) -> Origin {
        Origin { node: NodeId(2), incarnation: Incarnation(8), boot: Boot(boot) }
    }

    fn intake() -> Intake {
        let mut intake =
            Intake::new(ServiceLimits { forward_requests_max: 4, ..ServiceLimits::default() });
        intake.enter(Some(BALLOT));
        intake
    }

    fn forward(number: u64, after: u64, requests: &[u64]) -> Forward {
        let run = requests.first().map(|first| {
            let mut out = BytesMut::new();
            let mut writer = Writer::run(&mut out, false, *first);
            requests.iter().for_each(|request| writer.request(*request, b"x"));
            writer.end_run(requests.len());
            Run::read(&out.freeze()).expect("a sound run")
        });
        Forward { number, after, run }
    }

    /// The last request of each run, and how many there are.
    fn held(intake: &Intake) -> Vec<(u64, u32)> {
        intake.runs().map(|(_, run)| (run.last, run.count)).collect()
    }

    #[test]
    fn runs_that_follow_each_other_are_taken() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[4, 5]));
        intake.take(MEMBER, origin(1), forward(2, 5, &[8]));
        assert_eq!(held(&intake), [(5, 2), (8, 1)]);
        assert_eq!(intake.pop_owed(), None, "nobody asked");
    }

    #[test]
    fn a_run_above_the_limits_is_taken_when_nothing_else_waits() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2, 3, 4, 5]));
        assert_eq!(held(&intake), [(5, 5)]);
        intake.take(MEMBER, origin(1), forward(2, 5, &[6]));
        assert_eq!(held(&intake), [(5, 5)], "now something waits");
    }

    #[test]
    fn a_gap_is_dropped_and_told() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1]));
        intake.take(MEMBER, origin(1), forward(3, 2, &[3]));
        assert_eq!(held(&intake), [(1, 1)]);
        assert_eq!(intake.pop_owed(), Some((MEMBER, 3, 1)));
        assert_eq!(intake.pop_owed(), None);
    }

    #[test]
    fn segments_get_room_for_the_runs_that_wait() {
        let mut intake = intake();
        assert_eq!(intake.segment_bytes(1000), 0);
        intake.take(MEMBER, origin(1), forward(1, 0, &[4, 5]));
        intake.take(MEMBER, origin(1), forward(2, 5, &[8]));
        let bytes: Vec<usize> = intake.runs().map(|(_, run)| run.requests.len()).collect();
        let all = 2 * SEGMENT_HEAD_BYTES + bytes[0] + bytes[1];
        assert_eq!(intake.segment_bytes(1000), all);
        assert_eq!(intake.segment_bytes(all - 1), all - 1);
        let first = SEGMENT_HEAD_BYTES + bytes[0];
        assert_eq!(intake.segment_bytes(0), first, "the first goes, however large");
    }

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2]));
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2]));
        intake.take(MEMBER, origin(1), forward(2, 0, &[2, 3]));
        assert_eq!(held(&intake), [(2, 2), (3, 1)]);
        // Also when it was proposed meanwhile.
        intake.proposed(2);
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2]));
        assert!(intake.is_empty());
    }

    #[test]
    fn a_question_is_answered() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(7, 0, &[]));
        assert_eq!(intake.pop_owed(), Some((MEMBER, 7, 0)));
    }

    #[test]
    fn what_exceeds_the_limit_comes_again_later() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2, 3]));
        intake.take(MEMBER, origin(1), forward(2, 3, &[4, 5]));
        assert_eq!(held(&intake), [(3, 3)]);
        intake.proposed(1);
        intake.take(MEMBER, origin(1), forward(3, 3, &[4, 5]));
        assert_eq!(held(&intake), [(5, 2)]);
    }

    #[test]
    fn another_ballot_starts_from_nothing() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1]));
        let next = Ballot { round: 5, ..BALLOT };
        intake.enter(Some(next));
        assert!(intake.is_empty());
        assert!(intake.acts_in(next) && !intake.acts_in(BALLOT));
        intake.take(MEMBER, origin(1), forward(1, 0, &[1]));
        assert_eq!(held(&intake), [(1, 1)]);
        intake.enter(None);
        assert!(!intake.acts_in(Ballot::ZERO), "no ballot is not a ballot");
    }

    #[test]
    fn a_restarted_member_counts_from_the_start() {
        let mut intake = intake();
        intake.take(MEMBER, origin(1), forward(1, 0, &[1, 2, 3]));
        intake.take(MEMBER, origin(2), forward(1, 0, &[1, 2, 3]));
        assert_eq!(held(&intake), [(3, 3), (3, 3)]);
        intake.proposed(2);
        assert_eq!(intake.takings[1].load, Load::default());
    }
}
