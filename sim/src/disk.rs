//! The disk of one node: records as bytes of the production format, some of them durable.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use synod_core::record::{self, Replay, Stamp};
use synod_core::{Body, Boot, Header, Incarnation, Proposal, Record, Recovered, Slot, WriteId};

use crate::prng::Prng;

/// What was handed to the disk by one [`Disk::write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(pub WriteId);

/// A disk that outlives the runs of its node.
#[derive(Clone, Debug)]
pub struct Disk {
    incarnation: Incarnation,
    generation: Boot,
    durable: Vec<Bytes>,
    pending: VecDeque<(WriteId, Bytes)>,
    written: WriteId,
    position: u64,
    durable_position: u64,
    slots: BTreeMap<Slot, (bool, Proposal<Bytes>)>,
    failing: bool,
}

impl Disk {
    /// A disk just formatted.
    #[must_use]
    pub const fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            generation: Boot(0),
            durable: Vec::new(),
            pending: VecDeque::new(),
            written: WriteId(0),
            position: 0,
            durable_position: 0,
            slots: BTreeMap::new(),
            failing: false,
        }
    }

    /// Reads the log, as a node does when it starts.
    ///
    /// # Errors
    /// When the records make no log.
    pub fn recover(&mut self) -> Result<Recovered<Bytes>, String> {
        self.generation = Boot(self.generation.0 + 1);
        self.written = WriteId(0);
        self.failing = false;
        self.slots.clear();
        let mut replay = Replay::new();
        let mut decoder = record::Decoder::new();
        for bytes in &self.durable {
            let decoded = decoder.decode(bytes).map_err(|error| format!("{error:?}"))?;
            replay.push(&decoded.record);
            index(&mut self.slots, &decoded.record);
        }
        let recovered = replay.finish(self.incarnation, self.generation, Slot::ZERO);
        recovered.map_err(|error| format!("{error:?}"))
    }

    /// Takes a record.
    pub fn stage(&mut self, header: &Header, id: WriteId, record: &Record<'_, Bytes>) {
        let stamp = Stamp {
            generation: self.generation,
            position: self.position,
            durable_upto: self.durable_position,
        };
        let mut bytes = BytesMut::new();
        record::encode(header, &stamp, record, &mut bytes);
        self.position += bytes.len() as u64;
        self.pending.push_back((id, bytes.freeze()));
        index(&mut self.slots, record);
    }

    /// Hands everything staged to the device.
    pub fn write(&mut self) -> Option<Ticket> {
        let last = self.pending.back().map_or(WriteId(0), |(id, _)| *id);
        if last <= self.written {
            return None;
        }
        self.written = last;
        Some(Ticket(last))
    }

    /// Makes everything written up to `ticket` durable. `None` when the device failed.
    pub fn sync(&mut self, ticket: Ticket) -> Option<WriteId> {
        if self.failing {
            return None;
        }
        while let Some((id, _)) = self.pending.front() {
            if *id > ticket.0 {
                break;
            }
            if let Some((_, bytes)) = self.pending.pop_front() {
                self.durable_position += bytes.len() as u64;
                self.durable.push(bytes);
            }
        }
        Some(ticket.0)
    }

    /// From now on every sync fails, until the node starts anew.
    pub const fn fail(&mut self) {
        self.failing = true;
    }

    /// Whether syncs fail.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failing
    }

    /// The power fails, or the process dies: of what was not durable any part may be kept. A log
    /// reads back the part before the first hole.
    pub fn crash(&mut self, prng: &mut Prng) {
        let keep = prng.below(self.pending.len() as u64 + 1) as usize;
        self.durable.extend(self.pending.drain(..).take(keep).map(|(_, bytes)| bytes));
        self.pending.clear();
        self.position = self.durable.iter().map(|bytes| bytes.len() as u64).sum();
        self.durable_position = self.position;
    }

    /// The decided decrees from `from` on, as many as the limits allow.
    #[must_use]
    pub fn read(
        &self,
        from: Slot,
        end: Slot,
        bytes_max: usize,
        slots_max: usize,
    ) -> Vec<Proposal<Bytes>> {
        let mut bytes = 0;
        let mut run = Vec::new();
        let mut slot = from;
        while slot < end && run.len() < slots_max {
            let Some((_, proposal)) = self.slots.get(&slot) else { break };
            bytes += proposal.decree.size_bytes();
            if bytes > bytes_max && !run.is_empty() {
                break;
            }
            run.push(proposal.clone());
            slot = slot.next();
        }
        run
    }
}

/// Notes where the slots of a record are: the last one counts, and a learned one outranks.
fn index(slots: &mut BTreeMap<Slot, (bool, Proposal<Bytes>)>, record: &Record<'_, Bytes>) {
    let (run, learned) = match record.body {
        Body::Accepted(run) => (run, false),
        Body::Learned(run) => (run, true),
        Body::Mark | Body::Roster { .. } => return,
    };
    for proposal in run {
        let held = slots.get(&proposal.slot);
        if learned || held.is_none_or(|(was_learned, _)| !was_learned) {
            slots.insert(proposal.slot, (learned, proposal.clone()));
        }
    }
}
