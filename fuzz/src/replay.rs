//! Target: from records to bytes and back to the state of a replica.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Decoder, Replay, ReplayError, Stamp};
use synod_core::{Ballot, Body, Boot, Header, Incarnation, Proposal, Record, Recovered, Slot};

use crate::plan::RecordPlan;

/// Any records in any order: replayed as they are, replayed from their bytes, and worked out by
/// definition, they amount to the same. Returns the number of open slots, if there is a state.
///
/// # Panics
/// When two of the three differ.
pub fn replay(plans: &[RecordPlan]) -> Option<usize> {
    let mut direct = Replay::new();
    let mut twin = Twin::default();
    let mut log = BytesMut::new();
    for plan in plans {
        let loan = plan.loan();
        let record = plan.record(&loan);
        direct.push(&record);
        twin.push(&record);
        record::encode(&Header::default(), &Stamp::default(), &record, &mut log);
    }
    let direct = finish(direct);
    assert_eq!(finish(from_bytes(log.freeze())), direct);
    assert_eq!(twin.finish(Incarnation(7), Boot(3)), direct);
    direct.ok().map(|recovered| recovered.accepted.len())
}

fn finish(replay: Replay<Bytes>) -> Outcome {
    replay.finish(Incarnation(7), Boot(3), Slot::ZERO)
}

pub(crate) type Outcome = Result<Recovered<Bytes>, ReplayError>;

fn from_bytes(mut log: Bytes) -> Replay<Bytes> {
    let (mut replay, mut decoder) = (Replay::new(), Decoder::new());
    while !log.is_empty() {
        let decoded = decoder.decode(&log).expect("a record just encoded");
        replay.push(&decoded.record);
        let len = decoded.len;
        log = log.slice(len..);
    }
    replay
}

/// The definition: keep all that was ever said of each slot, choose at the end.
#[derive(Debug, Default)]
pub(crate) struct Twin {
    promised: Ballot,
    decided: Slot,
    said: BTreeMap<Slot, Vec<(bool, Proposal<Bytes>)>>,
    roster: Option<(bool, Vec<(synod_core::NodeId, Incarnation)>)>,
}

impl Twin {
    pub(crate) fn push(&mut self, record: &Record<'_, Bytes>) {
        self.promised = self.promised.max(record.promised);
        self.decided = self.decided.max(record.decided);
        match record.body {
            Body::Mark => {}
            Body::Accepted(run) => self.say(false, run),
            Body::Learned(run) => self.say(true, run),
            Body::Roster { votes, members } => self.roster = Some((votes, members.to_vec())),
        }
    }

    fn say(&mut self, learned: bool, run: &[Proposal<Bytes>]) {
        for proposal in run {
            self.promised = self.promised.max(proposal.ballot);
            self.said.entry(proposal.slot).or_default().push((learned, proposal.clone()));
        }
    }

    pub(crate) const fn promised(&self) -> Ballot {
        self.promised
    }

    pub(crate) const fn decided(&self) -> Slot {
        self.decided
    }

    /// The end of the slots of which anything is known.
    pub(crate) fn end(&self) -> Slot {
        self.said.last_key_value().map_or(self.decided, |(slot, _)| slot.next().max(self.decided))
    }

    /// What counts of all that was said of a slot.
    pub(crate) fn proposal(&self, slot: Slot) -> Option<Proposal<Bytes>> {
        let said = self.said.get(&slot)?;
        let learned = said.iter().rfind(|(learned, _)| *learned);
        // `max_by_key` takes the last of equals.
        let counts = learned.or_else(|| said.iter().max_by_key(|(_, p)| p.ballot));
        counts.map(|(_, proposal)| proposal.clone())
    }

    pub(crate) fn finish(mut self, incarnation: Incarnation, boot: Boot) -> Outcome {
        let (votes, roster) = self.roster.take().unwrap_or_default();
        let mut accepted = Vec::new();
        for (slot, said_of) in (self.decided.0..).map(Slot).zip(self.said.range(self.decided..)) {
            if *said_of.0 != slot {
                return Err(ReplayError::Gap { slot });
            }
            accepted.extend(self.proposal(slot));
        }
        Ok(Recovered {
            incarnation,
            boot,
            promised: self.promised,
            decided: self.decided,
            retained: Slot::ZERO,
            applied: Slot::ZERO,
            accepted,
            roster,
            votes,
        })
    }
}
