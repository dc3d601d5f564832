//! A disk in memory: what was written is durable at once.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::record::Replay;
use synod_core::{Ballot, Body, Boot, Incarnation, NodeId, Proposal, Record, Recovered, Slot};

#[derive(Clone)]
pub(crate) struct Disk {
    incarnation: Incarnation,
    boot: u64,
    records: Vec<Written>,
    /// What a reader of the log finds per slot.
    slots: BTreeMap<Slot, (bool, Proposal<Bytes>)>,
}

/// A record with its content owned.
#[derive(Clone)]
struct Written {
    promised: Ballot,
    decided: Slot,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Mark,
    Accepted(Vec<Proposal<Bytes>>),
    Learned(Vec<Proposal<Bytes>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

impl Disk {
    pub(crate) fn formatted(incarnation: u64) -> Self {
        let incarnation = Incarnation(incarnation);
        Self { incarnation, boot: 0, records: Vec::new(), slots: BTreeMap::new() }
    }

    pub(crate) fn write(&mut self, record: &Record<'_, Bytes>) {
        let content = match record.body {
            Body::Mark => Content::Mark,
            Body::Accepted(run) => {
                self.keep(run, false);
                Content::Accepted(run.to_vec())
            }
            Body::Learned(run) => {
                self.keep(run, true);
                Content::Learned(run.to_vec())
            }
            Body::Roster { votes, members } => Content::Roster(votes, members.to_vec()),
        };
        let (promised, decided) = (record.promised, record.decided);
        self.records.push(Written { promised, decided, content });
    }

    fn keep(&mut self, run: &[Proposal<Bytes>], learned: bool) {
        for proposal in run {
            let held = self.slots.get(&proposal.slot).is_some_and(|(learned, _)| *learned);
            if learned || !held {
                self.slots.insert(proposal.slot, (learned, proposal.clone()));
            }
        }
    }

    /// At most three slots at a time, so that readers have to ask more than once.
    pub(crate) fn read(&self, from: Slot, end: Slot) -> Vec<Proposal<Bytes>> {
        self.slots.range(from..end).take(3).map(|(_, (_, proposal))| proposal.clone()).collect()
    }

    /// What a new run finds.
    pub(crate) fn recover(&mut self) -> Recovered<Bytes> {
        self.boot += 1;
        let mut replay = Replay::new();
        for Written { promised, decided, content } in &self.records {
            let body = match content {
                Content::Mark => Body::Mark,
                Content::Accepted(run) => Body::Accepted(run),
                Content::Learned(run) => Body::Learned(run),
                Content::Roster(votes, members) => Body::Roster { votes: *votes, members },
            };
            replay.push(&Record { promised: *promised, decided: *decided, body });
        }
        replay.finish(self.incarnation, Boot(self.boot), Slot::ZERO).expect("a sound log")
    }
}
