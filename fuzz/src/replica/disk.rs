//! The disk of the lone replica: records as bytes, and what they say.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Decoder, Replay, Stamp};
use synod_core::{
    Ballot, Body, Boot, Event, Header, Incarnation, Proposal, Record, Recovered, Slot, WriteId,
};

/// A log in the real format, with writes in flight in front of it.
#[derive(Debug)]
pub(crate) struct Disk {
    pending: VecDeque<(WriteId, Bytes)>,
    /// The replica was told that a write failed: nothing is confirmed any more in this run.
    pub(crate) failed: bool,
    durable: BytesMut,
    /// What the durable records say.
    pub(crate) facts: Facts,
}

/// What records say, worked out apart from [`Replay`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) promised: Ballot,
    /// The highest ballot of any proposal: a promise too, once the log was recovered (R8).
    implied: Ballot,
    pub(crate) mark: Slot,
    pub(crate) votes: bool,
    pub(crate) slots: BTreeMap<Slot, Fact>,
}

/// What records say of one slot.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// The content in the latest record.
    pub(crate) latest: Proposal<Bytes>,
    /// The highest ballot it was ever accepted in.
    pub(crate) accepted: Ballot,
    /// It was learned as chosen.
    pub(crate) learned: bool,
}

impl Facts {
    fn note(&mut self, record: &Record<'_, Bytes>) {
        self.promised = self.promised.max(record.promised);
        self.mark = self.mark.max(record.decided);
        match record.body {
            Body::Mark => {}
            Body::Accepted(run) => run.iter().for_each(|proposal| self.note_slot(proposal, false)),
            Body::Learned(run) => run.iter().for_each(|proposal| self.note_slot(proposal, true)),
            Body::Roster { votes, .. } => self.votes = votes,
        }
    }

    fn note_slot(&mut self, proposal: &Proposal<Bytes>, learned: bool) {
        self.implied = self.implied.max(proposal.ballot);
        let latest = proposal.clone();
        let fact = self.slots.entry(proposal.slot).or_insert_with(|| Fact {
            latest: latest.clone(),
            accepted: Ballot::ZERO,
            learned: false,
        });
        fact.latest = latest;
        fact.learned |= learned;
        if !learned {
            fact.accepted = fact.accepted.max(proposal.ballot);
        }
    }
}

impl Disk {
    /// The disk of a member that its peers have met, or of one that is new.
    pub(crate) fn formatted(header: &Header, votes: bool) -> Self {
        let (pending, failed, durable, facts) = Default::default();
        let mut disk = Self { pending, failed, durable, facts };
        if votes {
            let body = Body::Roster { votes, members: &[] };
            disk.write(
                WriteId(0),
                header,
                &Record { promised: Ballot::ZERO, decided: Slot::ZERO, body },
            );
            disk.persist(1);
        }
        disk
    }

    /// A write goes on its way.
    pub(crate) fn write(&mut self, id: WriteId, header: &Header, record: &Record<'_, Bytes>) {
        let mut out = BytesMut::new();
        record::encode(header, &Stamp::default(), record, &mut out);
        self.pending.push_back((id, out.freeze()));
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// The oldest `count` writes are durable now; returns the last of them.
    pub(crate) fn persist(&mut self, count: usize) -> Option<WriteId> {
        let mut upto = None;
        for _ in 0..count {
            let Some((id, bytes)) = self.pending.pop_front() else { break };
            let mut decoder = Decoder::new();
            let decoded = decoder.decode(&bytes).expect("a replica writes what it can read back");
            self.facts.note(&decoded.record);
            self.durable.extend_from_slice(&bytes);
            upto = Some(id);
        }
        upto
    }

    /// As [`Self::persist`], and what the host hears of it, unless it heard of a failure before.
    pub(crate) fn confirm(&mut self, count: usize) -> Option<Event<'static, Bytes>> {
        let upto = if self.failed { None } else { self.persist(count) };
        upto.map(|upto| Event::Persisted { upto })
    }

    /// What all records say, confirmed or not.
    pub(crate) fn written(&self) -> Facts {
        let mut facts = self.facts.clone();
        let mut decoder = Decoder::new();
        for (_, bytes) in &self.pending {
            let decoded = decoder.decode(bytes).expect("a replica writes what it can read back");
            facts.note(&decoded.record);
        }
        facts
    }

    /// Crash and recovery: the oldest `kept` of the writes in flight made it.
    pub(crate) fn recover(
        &mut self,
        kept: usize,
        incarnation: Incarnation,
        boot: Boot,
    ) -> Recovered<Bytes> {
        self.persist(kept);
        self.pending.clear();
        self.failed = false;
        self.facts.promised = self.facts.promised.max(self.facts.implied);
        let (mut replay, mut decoder) = (Replay::new(), Decoder::new());
        let mut log = self.durable.clone().freeze();
        while !log.is_empty() {
            let decoded = decoder.decode(&log).expect("a sound log");
            replay.push(&decoded.record);
            let len = decoded.len;
            log = log.slice(len..);
        }
        replay.finish(incarnation, boot, Slot::ZERO).expect("a log without gaps")
    }
}
