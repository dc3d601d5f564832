//! The observer from outside: what is chosen follows from the disks alone, and every message is
//! held against the disk of its sender.

use std::collections::{BTreeMap, HashMap};

use synod_core::{Ballot, Message, Proposal, Slot};

use super::{Owned, Written, decree_of};

/// What the observer has seen.
pub(crate) struct Oracle {
    quorum: usize,
    disks: Vec<Disk>,
    /// By slot and ballot: the decree, and the disks that hold it.
    votes: HashMap<(u64, Ballot), (u64, u16)>,
    /// What every accept of a ballot said of a slot.
    proposed: HashMap<(u64, Ballot), u64>,
    chosen: BTreeMap<u64, u64>,
    /// Everything below is chosen.
    chosen_to: u64,
}

/// What is durable at one node.
#[derive(Default)]
struct Disk {
    is_wiped: bool,
    promised: Ballot,
    /// The highest ballot of a proposal: after a restart it counts as promised (R8).
    highest: Ballot,
    mark: u64,
    slots: BTreeMap<u64, Ballot>,
}

impl Oracle {
    pub(crate) fn new(nodes: usize, quorum: usize) -> Self {
        Self {
            quorum,
            disks: (0..nodes).map(|_| Disk::default()).collect(),
            votes: HashMap::new(),
            proposed: HashMap::new(),
            chosen: BTreeMap::new(),
            chosen_to: 0,
        }
    }

    /// How many slots from 0 on are chosen.
    pub(crate) fn chosen_to(&self) -> u64 {
        self.chosen_to
    }

    pub(crate) fn wiped(&mut self, place: usize) {
        self.disks[place] = Disk { is_wiped: true, ..Disk::default() };
    }

    pub(crate) fn restarted(&mut self, place: usize) {
        let disk = &mut self.disks[place];
        disk.promised = disk.promised.max(disk.highest);
    }

    /// A record reached the disk at `place`.
    pub(crate) fn durable(&mut self, place: usize, written: &Written) {
        let disk = &mut self.disks[place];
        assert!(written.promised >= disk.promised, "a promise went back on disk");
        assert!(written.decided.0 >= disk.mark, "a mark went back on disk");
        disk.promised = written.promised;
        match &written.body {
            Owned::Accepted(run) => {
                for proposal in run {
                    self.disks[place].highest = self.disks[place].highest.max(proposal.ballot);
                    let key = (proposal.slot.0, proposal.ballot);
                    self.disks[place].slots.insert(key.0, key.1);
                    if !self.disks[place].is_wiped {
                        self.vote(place, key, decree_of(&proposal.decree));
                    }
                }
            }
            Owned::Learned(run) => {
                for proposal in run {
                    disk.highest = disk.highest.max(proposal.ballot);
                    disk.slots.insert(proposal.slot.0, proposal.ballot);
                }
                self.must_be_chosen("a learned record", run);
            }
            Owned::Mark | Owned::Roster(..) => {}
        }
        let disk = &mut self.disks[place];
        for slot in disk.mark..written.decided.0 {
            assert!(disk.slots.contains_key(&slot), "R5: a mark covers a slot not in the log");
        }
        disk.mark = written.decided.0;
        disk.slots = disk.slots.split_off(&disk.mark);
        assert!(disk.mark <= self.chosen_to, "R5: a mark covers a slot that is not chosen");
    }

    fn vote(&mut self, place: usize, key: (u64, Ballot), decree: u64) {
        let vote = self.votes.entry(key).or_insert((decree, 0));
        assert_eq!(vote.0, decree, "two decrees for slot {} in {:?}", key.0, key.1);
        vote.1 |= 1 << place;
        if vote.1.count_ones() as usize >= self.quorum {
            let chosen = *self.chosen.entry(key.0).or_insert(decree);
            assert_eq!(chosen, decree, "two decrees chosen for slot {}", key.0);
            while self.chosen.contains_key(&self.chosen_to) {
                self.chosen_to += 1;
            }
        }
    }

    fn must_be_chosen(&self, what: &str, run: &[Proposal<u64>]) {
        for proposal in run {
            let (slot, decree) = (proposal.slot.0, decree_of(&proposal.decree));
            let chosen = self.chosen.get(&slot);
            assert_eq!(chosen, Some(&decree), "{what} of slot {slot}, which is not chosen");
        }
    }

    /// Decrees were handed to the state machine at `place`.
    pub(crate) fn delivered(&self, place: usize, run: &[Proposal<u64>]) {
        self.must_be_chosen(&format!("a delivery at place {place}"), run);
    }

    fn notice(&self, decided: Slot) {
        assert!(decided.0 <= self.chosen_to, "a notice of slot {decided}, which is not chosen");
    }

    /// A message leaves `place`: it may say only what the disk there justifies.
    pub(crate) fn sent(&mut self, place: usize, message: &Message<'_, u64>) {
        let disk = &self.disks[place];
        let votes = |what: &str, ballot: Ballot| {
            assert!(!disk.is_wiped, "R10: {what} of a wiped disk");
            assert_eq!(disk.promised, ballot, "{what} at place {place} without a durable promise");
        };
        match *message {
            Message::Beat(beat) => {
                self.notice(beat.decided);
                assert!(beat.promised <= disk.promised, "a beat tells what is not durable");
            }
            Message::Prepare { ballot, .. } => votes("a prepare", ballot),
            Message::Promise { ballot, from, end, decided, proposals, .. } => {
                votes("a promise", ballot);
                self.notice(decided);
                self.report(place, from.max(Slot(disk.mark)), end, proposals);
            }
            Message::Accept { ballot, proposals, decided, .. } => {
                votes("an accept", ballot);
                self.notice(decided);
                for proposal in proposals {
                    let (key, decree) = ((proposal.slot.0, ballot), decree_of(&proposal.decree));
                    let known = *self.proposed.entry(key).or_insert(decree);
                    assert_eq!(known, decree, "two decrees proposed in {ballot:?}");
                }
            }
            Message::Accepted { ballot, end, .. } => {
                votes("an accepted", ballot);
                for slot in disk.mark..end.0 {
                    let held = disk.slots.get(&slot);
                    assert_eq!(held, Some(&ballot), "R2: accepted what is not durable: {slot}");
                }
            }
            Message::Nack { promised, .. } => {
                assert!(promised <= disk.promised, "a nack tells what is not durable");
            }
            Message::Learn { .. } => {}
            Message::Learned { proposals, decided, .. } => {
                self.must_be_chosen("a message", proposals);
                self.notice(decided);
            }
        }
    }

    /// R7: a part of a promise tells each slot as the disk has it.
    fn report(&self, place: usize, from: Slot, end: Slot, proposals: &[Proposal<u64>]) {
        let slots = &self.disks[place].slots;
        for slot in from.0..end.0 {
            let told = proposals.iter().find(|p| p.slot.0 == slot).map(|p| p.ballot);
            assert_eq!(told.as_ref(), slots.get(&slot), "R7: slot {slot} is not told as it is");
        }
    }
}
