//! What the hosts of the tests share: a log of encoded records, a state machine that remembers
//! every decree, and a source of chance.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Replay, Stamp};
use synod_core::{
    Body, Boot, ClusterId, Config, Configuration, GroupId, Header, Incarnation, Kind, NodeId,
    Proposal, Record, Recovered, Slot, WriteId,
};

/// The configuration of member `id` of `count`, with a window small enough to be full at times.
pub(crate) fn config(id: u64, count: u64) -> Config {
    let ids: Vec<NodeId> = (1..=count).map(NodeId).collect();
    let members = Configuration::first(&ids).expect("a sound set");
    let mut config = Config::new(ClusterId(7), GroupId(0), NodeId(id), members);
    config.limits.window = 64;
    config.limits.run_slots_max = 16;
    config
}

/// Encoded records, one after the other. What is not synced is lost in a crash.
#[derive(Default)]
pub(crate) struct Log {
    bytes: BytesMut,
    /// The end of each write that is not synced.
    open: VecDeque<(WriteId, usize)>,
    /// The end of what is synced.
    synced: usize,
}

impl Log {
    /// Appends a record; it is not durable yet.
    pub(crate) fn append(&mut self, header: &Header, id: WriteId, record: &Record<'_, Bytes>) {
        let (position, durable_upto) = (self.bytes.len() as u64, self.synced as u64);
        let stamp = Stamp { generation: header.boot, position, durable_upto };
        record::encode(header, &stamp, record, &mut self.bytes);
        self.open.push_back((id, self.bytes.len()));
    }

    /// Makes the oldest `count` writes durable and names the last of them.
    pub(crate) fn sync(&mut self, count: usize) -> Option<WriteId> {
        let (id, end) = self.open.drain(..count.min(self.open.len())).next_back()?;
        self.synced = end;
        Some(id)
    }

    /// The writes that are not synced.
    pub(crate) fn in_flight(&self) -> usize {
        self.open.len()
    }

    /// Loses what is not synced.
    pub(crate) fn crash(&mut self) {
        self.open.clear();
        self.bytes.truncate(self.synced);
    }

    /// What the log holds for the next run of the process.
    pub(crate) fn recover(&self, incarnation: Incarnation, boot: Boot) -> Recovered<Bytes> {
        let mut replay = Replay::new();
        self.each(|record| replay.push(record));
        replay.finish(incarnation, boot, Slot::ZERO).expect("a sound log")
    }

    /// The decided slots `from..end`: the last record of a slot wins, a learned one most.
    pub(crate) fn read(&self, from: Slot, end: Slot) -> Vec<Proposal<Bytes>> {
        let mut found: Vec<Option<(bool, Proposal<Bytes>)>> = vec![None; (end - from) as usize];
        self.each(|record| {
            let (learned, run) = match record.body {
                Body::Accepted(run) => (false, run),
                Body::Learned(run) => (true, run),
                Body::Mark | Body::Roster { .. } => return,
            };
            for proposal in run.iter().filter(|p| p.slot >= from && p.slot < end) {
                let place = &mut found[(proposal.slot - from) as usize];
                if learned || place.as_ref().is_none_or(|(known, _)| !known) {
                    *place = Some((learned, proposal.clone()));
                }
            }
        });
        found.into_iter().map(|found| found.expect("decided slots are in the log").1).collect()
    }

    fn each(&self, mut take: impl FnMut(&Record<'_, Bytes>)) {
        let mut rest = Bytes::copy_from_slice(&self.bytes);
        let mut decoder = record::Decoder::new();
        while !rest.is_empty() {
            let decoded = decoder.decode(&rest).expect("a sound record");
            take(&decoded.record);
            let len = decoded.len;
            rest = rest.split_off(len);
        }
    }
}

/// A state machine that remembers what it applied.
#[derive(Default)]
pub(crate) struct Machine {
    /// What was applied, by slot; empty for a no-op.
    pub(crate) applied: Vec<Bytes>,
}

impl Machine {
    /// Applies a run and returns its end.
    pub(crate) fn apply(&mut self, chosen: &[Proposal<Bytes>]) -> Slot {
        for proposal in chosen {
            assert_eq!(proposal.slot, self.end(), "in order, without gaps or repeats");
            self.applied.push(match &proposal.decree {
                Kind::Noop => Bytes::new(),
                Kind::App(decree) => decree.clone(),
            });
        }
        self.end()
    }

    pub(crate) fn end(&self) -> Slot {
        Slot(self.applied.len() as u64)
    }

    /// The decrees that are no no-ops.
    pub(crate) fn decrees(&self) -> usize {
        self.applied.iter().filter(|decree| !decree.is_empty()).count()
    }
}

/// Whether all of them applied the same, as far as they got.
pub(crate) fn assert_agreement<'a>(machines: impl Iterator<Item = &'a Machine> + Clone) {
    for one in machines.clone() {
        for other in machines.clone() {
            let shared = one.applied.len().min(other.applied.len());
            assert!(one.applied[..shared] == other.applied[..shared], "two decrees for one slot");
        }
    }
}

/// xorshift: chance that a seed repeats.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
