//! Who leads: beats, campaigns, and stepping down (R12, B1 to B4).
//!
//! Every replica beats to every other, and a beat says whom its sender hears and which leader it
//! follows. There is no probe phase of its own: a replica campaigns only when a set that is a
//! quorum of both phases hears it, is heard by it and reports no leader. A replica that was cut
//! off hears no such set, and its ballot does not grow.

use super::Replica;
use crate::contracts::{ensures, requires};
use crate::{Ballot, Beat, Decree, Instant, MemberIndex, NodeId, NodeSet};

/// The state of elections.
#[derive(Clone, Debug)]
pub(super) struct Election {
    followed: Option<Followed>,
    /// The leader that the host was told of last.
    pub(super) announced: Option<Ballot>,
    /// When to campaign; set while everything speaks for it.
    campaign_at: Option<Instant>,
    /// Somebody else was promised a ballot and gets its chance until then.
    quiet_until: Instant,
    /// The highest round heard of, first-hand.
    highest_round: u64,
    /// The latest round of this leader.
    round: u64,
    /// When the latest rounds were sent, by round.
    rounds: [(u64, Instant); ROUNDS_KEPT],
    pub(super) next_beat: Instant,
    /// A beat is owed to all.
    pub(super) beat_owed: bool,
    /// A beat is owed to the leader: it answers its round.
    pub(super) answer_owed: Option<MemberIndex>,
    random: Random,
}

/// The leader that this replica hears.
#[derive(Clone, Copy, Debug)]
struct Followed {
    ballot: Ballot,
    heard_at: Instant,
    round: u64,
}

/// Answers to older rounds prove nothing.
const ROUNDS_KEPT: usize = 64;

impl Election {
    pub(super) fn new(seed: u64, promised: Ballot, now: Instant) -> Self {
        Self {
            followed: None,
            announced: None,
            campaign_at: None,
            quiet_until: now,
            highest_round: promised.round,
            round: 0,
            rounds: [(0, Instant::ZERO); ROUNDS_KEPT],
            next_beat: now,
            beat_owed: true,
            answer_owed: None,
            random: Random(seed),
        }
    }

    /// The ballot of the leader that this replica hears.
    pub(super) fn followed(&self) -> Option<Ballot> {
        self.followed.map(|leader| leader.ballot)
    }

    pub(super) const fn campaign_at(&self) -> Option<Instant> {
        self.campaign_at
    }

    /// Begins the next round of a leader.
    pub(super) const fn begin_round(&mut self, now: Instant) {
        self.round += 1;
        self.rounds[self.round as usize % ROUNDS_KEPT] = (self.round, now);
    }

    /// When `round` was sent, if it is one of the latest.
    const fn round_sent_at(&self, round: u64) -> Option<Instant> {
        let (kept, sent_at) = self.rounds[round as usize % ROUNDS_KEPT];
        if kept == round && round > 0 { Some(sent_at) } else { None }
    }
}

impl<D: Decree> Replica<D> {
    /// A beat arrived.
    pub(super) fn on_beat(&mut self, from: MemberIndex, beat: Beat) {
        self.signs.raise_all();
        let hears_me = beat.hears.contains(self.me);
        let peer = &mut self.peers[from.place()];
        peer.note_beat(self.now, &beat, hears_me);
        peer.my_incarnation = beat.roster[self.me.place()];
        self.claim_vote();
        let highest = &mut self.election.highest_round;
        *highest = (*highest).max(beat.promised.round);
        let node = self.config.configuration.members()[from.place()];
        if beat.leader.node == node && !beat.leader.is_zero() {
            self.on_leader_beat(from, beat);
        } else if self.election.followed().is_some_and(|ballot| ballot.node == node) {
            // The leader says itself that it leads no more.
            self.lose_leader();
        }
        let Some(own) = self.phase2.ballot().or_else(|| self.phase1.ballot()) else { return };
        if beat.promised > own {
            self.on_nack(own, beat.promised);
        } else if beat.leader == own {
            let sent_at = self.election.round_sent_at(beat.round);
            let progress = &mut self.peers[from.place()].progress;
            progress.answered_at = sent_at.unwrap_or_default().max(progress.answered_at);
            // It may have lost the last notice; the next one is not kept back.
            progress.told = progress.told.min(beat.decided);
            progress.waits_for = self.window.end();
        }
    }

    fn on_leader_beat(&mut self, from: MemberIndex, beat: Beat) {
        if beat.leader < self.acceptor.promised {
            self.refuse(from, beat.leader, Some(beat.round));
            return;
        }
        self.hear_leader(beat.leader, Some(beat.round));
        self.election.answer_owed = Some(from);
    }

    /// The owner of `ballot` leads, as it says itself. The ballot is at least the promised one.
    pub(super) fn hear_leader(&mut self, ballot: Ballot, round: Option<u64>) {
        if let Some(known) = self.election.followed.as_mut().filter(|f| f.ballot >= ballot) {
            if known.ballot == ballot {
                known.heard_at = self.now;
                known.round = known.round.max(round.unwrap_or(0));
            }
            return;
        }
        // A leader of a higher ballot ends an own attempt at once (A10).
        self.stop_proposing();
        self.signs.raise_all();
        let round = round.unwrap_or(0);
        self.election.followed = Some(Followed { ballot, heard_at: self.now, round });
        self.election.campaign_at = None;
    }

    /// Nobody leads, as far as this replica knows. It says so at once.
    pub(super) fn lose_leader(&mut self) {
        self.signs.raise_all();
        self.election.followed = None;
        self.election.beat_owed = true;
    }

    /// A higher ballot was promised to somebody: it gets its chance, and the old leader is none.
    pub(super) fn election_granted(&mut self) {
        self.election.quiet_until = self.now.after(self.config.timeouts.election);
        if self.election.followed().is_some_and(|ballot| ballot < self.acceptor.promised) {
            self.lose_leader();
        }
    }

    /// A ballot of this proposer was refused.
    pub(super) fn on_nack(&mut self, refused: Ballot, promised: Ballot) {
        self.election.highest_round = self.election.highest_round.max(promised.round);
        if self.phase1.ballot() == Some(refused) || self.phase2.ballot() == Some(refused) {
            self.step_down();
        }
    }

    /// Stops leading or preparing, and says so at once.
    pub(super) fn step_down(&mut self) {
        self.signs.raise_all();
        self.stop_proposing();
        self.election.beat_owed = true;
    }

    /// Stops leading or preparing, if it does.
    pub(super) fn stop_proposing(&mut self) {
        if self.phase1.ballot().is_some() || self.phase2.ballot().is_some() {
            self.signs.raise_all();
        }
        self.phase1.stop();
        self.phase2.stop();
    }

    /// A link was made: both ends tell how far they are.
    pub(super) fn on_peer_up(&mut self, node: NodeId) {
        let Some(peer) = self.config.configuration.index_of(node) else { return };
        self.peers[peer.place()].progress.probe = true;
        self.election.beat_owed = true;
    }

    /// A link broke: the peer counts as silent until it is heard again.
    pub(super) fn on_peer_down(&mut self, node: NodeId) {
        let Some(peer) = self.config.configuration.index_of(node) else { return };
        self.peers[peer.place()].heard_at = None;
        if self.election.followed().is_some_and(|ballot| ballot.node == node) {
            self.lose_leader();
        }
        if self.learner.ask.is_some_and(|ask| ask.peer == peer) {
            self.learner.ask = None;
        }
    }

    /// Whether the peer was heard lately.
    pub(super) fn is_heard(&self, peer: MemberIndex) -> bool {
        let heard_at = self.peers[peer.place()].heard_at;
        heard_at.is_some_and(|at| self.now.0.saturating_sub(at.0) < self.patience)
    }

    /// The beat to send now.
    pub(super) fn beat(&self) -> Beat {
        let hears = self.others().filter(|peer| self.is_heard(*peer));
        let followed = self.election.followed;
        let leading = self.phase2.ballot();
        Beat {
            leader: leading.or_else(|| self.election.followed()).unwrap_or_default(),
            round: match leading {
                Some(_) => self.election.round,
                None => followed.map_or(0, |leader| leader.round),
            },
            promised: self.acceptor.promised_durably,
            decided: self.learner.decided,
            hears: hears.fold(NodeSet::EMPTY, NodeSet::with),
            roster: *self.roster.durable(),
        }
    }

    /// Campaigns when everything has spoken for it through the jitter.
    pub(super) fn consider_campaign(&mut self) {
        if !self.may_campaign() {
            self.election.campaign_at = None;
            return;
        }
        let jitter = self.config.timeouts.election_jitter;
        let election = &mut self.election;
        let at = *election.campaign_at.get_or_insert_with(|| {
            let share = election.random.next() >> 32;
            let nanos = (jitter.as_nanos() * u128::from(share)) >> 32;
            // Less than the jitter, which is a day at most.
            self.now.after(core::time::Duration::from_nanos(nanos as u64))
        });
        if self.now >= at {
            self.campaign();
        }
    }

    /// R12: a quorum of both phases and this replica hear each other, and none of them knows a
    /// leader.
    fn may_campaign(&self) -> bool {
        let is_idle = self.phase1.ballot().is_none() && self.phase2.ballot().is_none();
        is_idle
            && self.next_ballot().round < Ballot::ROUND_LIMIT
            && self.roster.votes_durably()
            && self.election.followed.is_none()
            && self.now >= self.election.quiet_until
            && !self.disk_is_stalled()
            && self.leaderless_quorum().len() >= self.config.configuration.quorums().both()
    }

    /// The members that hear this replica, are heard by it, and know no other leader.
    fn leaderless_quorum(&self) -> NodeSet {
        let own = self.config.node;
        let agrees = |peer: &MemberIndex| {
            let belief = &self.peers[peer.place()];
            let knows_none = belief.leader.is_zero() || belief.leader.node == own;
            self.is_heard(*peer) && belief.hears_me && knows_none
        };
        self.others().filter(agrees).fold(NodeSet::of(self.me), NodeSet::with)
    }

    /// The ballot of the next campaign: above every ballot promised or heard of.
    fn next_ballot(&self) -> Ballot {
        let highest = self.election.highest_round.max(self.acceptor.promised.round);
        Ballot { round: highest + 1, node: self.config.node }
    }

    /// Starts phase 1 in a ballot above every ballot heard of (C2).
    fn campaign(&mut self) {
        let both = self.config.configuration.quorums().both();
        requires!(R12QuorumAgrees, self.leaderless_quorum().len() >= both);
        let ballot = self.next_ballot();
        ensures!(C2BallotFresh, ballot > self.acceptor.promised);
        self.promise(ballot);
        self.election.highest_round = ballot.round;
        self.election.campaign_at = None;
        self.start_phase1(ballot);
    }

    /// The leader as the host is told of it: oneself only once the barrier is decided (A11).
    pub(super) fn visible_leader(&self) -> Option<Ballot> {
        match self.phase2.ballot() {
            Some(ballot) => self.is_established().then_some(ballot),
            None => self.election.followed(),
        }
    }

    /// Whether the leader that is followed has been silent for too long.
    pub(super) fn leader_is_silent(&self) -> bool {
        let timeout = self.config.timeouts.election;
        self.election.followed.is_some_and(|leader| self.now.since(leader.heard_at) >= timeout)
    }
}

/// splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"): the only
/// chance in the core, and it comes from the configured seed.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_round_long_past_proves_nothing() {
        let mut election = Election::new(1, Ballot::ZERO, Instant::ZERO);
        assert_eq!(election.round_sent_at(0), None, "there is no round 0");
        let last = ROUNDS_KEPT as u64 + 1;
        (1..=last).for_each(|round| election.begin_round(Instant(1000 + round)));
        assert_eq!(election.round_sent_at(1), None, "its place is taken by the last one");
        assert_eq!(election.round_sent_at(2), Some(Instant(1002)));
        assert_eq!(election.round_sent_at(last), Some(Instant(1000 + last)));
        assert_eq!(election.round_sent_at(last + 1), None, "no such round was sent");
    }

    #[test]
    fn chance_is_that_of_the_published_generator() {
        let mut random = Random(1_234_567);
        let drawn: [u64; 3] = core::array::from_fn(|_| random.next());
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!(drawn[..2], published);
        assert_eq!(drawn[2], 9_817_491_932_198_370_423);
    }
}
