//! A replica that writes at random, and remembers what it was promised.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_core::{
    Ballot, Body, Boot, ClusterId, Epoch, GroupId, Incarnation, Kind, NodeId, Proposal, Record,
    Recovered, Slot, WriteId,
};
use synod_log::{
    FileLog, Identity, Log, LogConfig, LogError, Most, OpenError, ReadBack, SimDevice, Ticket,
};

/// Writes records and checks what comes back.
///
/// The promise of the record number `n`, from 1, is of round `n`. So the promise that is recovered
/// says how many records survived.
#[derive(Clone)]
pub(crate) struct Script {
    chance: u64,
    /// All records that may be in the log, in order.
    history: Vec<Written>,
    /// So many of them were reported durable.
    durable: usize,
    boot: Boot,
    life: Option<Incarnation>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Finished,
    PowerFailed,
}

#[derive(Clone)]
struct Written {
    decided: Slot,
    body: Owned,
}

#[derive(Clone)]
enum Owned {
    Mark,
    Accepted(Vec<Proposal<Bytes>>),
    Learned(Vec<Proposal<Bytes>>),
    Roster(bool, Vec<(NodeId, Incarnation)>),
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        let (history, life) = (Vec::new(), None);
        Self { chance: seed, history, durable: 0, boot: Boot(0), life }
    }

    /// Opens the log and checks that it holds what it must.
    pub(crate) fn open(&mut self, device: &SimDevice) -> Result<FileLog<SimDevice>, OpenError> {
        let fresh = Incarnation(self.below(1 << 40) + 1);
        let (log, recovered) = FileLog::open(device.clone(), identity(), config(), fresh)?;
        let survived = recovered.promised.round as usize;
        assert!(survived >= self.durable, "{survived} of {} durable records", self.durable);
        assert!(survived <= self.history.len(), "a record out of nowhere");
        self.history.truncate(survived);
        // What a start has found is as durable as if it had been reported.
        self.durable = survived;
        assert!(recovered.boot > self.boot, "{:?} was used before", recovered.boot);
        self.boot = recovered.boot;
        let life = *self.life.get_or_insert(recovered.incarnation);
        assert_eq!(recovered.incarnation, life, "an incarnation that was used stays");
        assert_eq!(recovered, self.expected());
        self.check_reads(&log);
        Ok(log)
    }

    /// Opens the log and does `steps` things at random.
    pub(crate) fn run(&mut self, device: &SimDevice, steps: usize) -> Fate {
        let Ok(mut log) = self.open(device) else { return Fate::PowerFailed };
        match self.steps(&mut log, steps) {
            Ok(()) => Fate::Finished,
            Err(_) => Fate::PowerFailed,
        }
    }

    fn steps(&mut self, log: &mut FileLog<SimDevice>, steps: usize) -> Result<(), LogError> {
        let base = self.history.len();
        let mut tickets: Vec<Ticket> = Vec::new();
        for _ in 0..steps {
            match self.below(10) {
                0..5 => {
                    let written = self.compose();
                    self.history.push(written);
                    let id = WriteId((self.history.len() - base) as u64);
                    log.stage(id, self.record(self.history.len() - 1))?;
                }
                5..7 => tickets.extend(log.write()?),
                7..9 => {
                    // Any of the tickets that are out: later ones cover earlier ones.
                    if !tickets.is_empty() {
                        let nth = self.below(tickets.len() as u64) as usize;
                        let upto = log.sync(tickets.remove(nth))?;
                        self.durable = self.durable.max(base + upto.0 as usize);
                    }
                }
                _ => {
                    let upto = log.settle()?;
                    self.durable = self.durable.max(base + upto.0 as usize);
                    assert_eq!(self.durable, self.history.len(), "settled is durable");
                    self.check_reads(log);
                }
            }
            // A segment that is full is synced before the next one, whoever asked for it.
            let durable = base + log.durable().0 as usize;
            assert!(durable >= self.durable, "the watermark does not go back");
            self.durable = durable;
        }
        Ok(())
    }

    /// The next record that a replica could write after those in the history.
    fn compose(&mut self) -> Written {
        let (decided, end) = self.open_slots();
        let round = self.history.len() as u64 + 1;
        let (decided, body) = match self.below(8) {
            // New slots.
            0..4 => {
                let count = 1 + self.below(3);
                (decided, Owned::Accepted(self.propose(end, count, round)))
            }
            // Slots that are open, again, under a higher ballot.
            4 if end > decided => {
                let from = decided.plus(self.below(end - decided));
                let count = 1 + self.below(end - from);
                (decided, Owned::Accepted(self.propose(from, count, round)))
            }
            5 => {
                let run = self.propose(decided, 2, round);
                (decided.plus(2), Owned::Learned(run))
            }
            6 => {
                let met = Incarnation(self.below(100));
                (decided, Owned::Roster(round.is_multiple_of(2), vec![(NodeId(2), met)]))
            }
            _ => (decided.plus(self.below(end - decided + 1)), Owned::Mark),
        };
        Written { decided, body }
    }

    /// The highest mark, and the end of all slots.
    fn open_slots(&self) -> (Slot, Slot) {
        let decided = self.history.iter().map(|written| written.decided).max().unwrap_or_default();
        let runs = self.history.iter().filter_map(|written| match &written.body {
            Owned::Accepted(run) | Owned::Learned(run) => run.last(),
            Owned::Mark | Owned::Roster(..) => None,
        });
        let end = runs.map(|last| last.slot.next()).max().unwrap_or_default();
        (decided, end.max(decided))
    }

    fn propose(&mut self, from: Slot, count: u64, round: u64) -> Vec<Proposal<Bytes>> {
        let slots = (0..count).map(|nth| from.plus(nth));
        let propose = |slot| {
            let len = match self.below(8) {
                0 => 2500,
                1 => 0,
                _ => self.below(300) as usize,
            };
            let fill = self.below(256) as u8;
            let decree = Kind::App(Bytes::from(vec![fill; len]));
            Proposal { slot, ballot: ballot(round), decree }
        };
        slots.map(propose).collect()
    }

    fn record(&self, nth: usize) -> Record<'_, Bytes> {
        let written = &self.history[nth];
        let body = match &written.body {
            Owned::Mark => Body::Mark,
            Owned::Accepted(run) => Body::Accepted(run),
            Owned::Learned(run) => Body::Learned(run),
            Owned::Roster(votes, members) => Body::Roster { votes: *votes, members },
        };
        Record { promised: ballot(nth as u64 + 1), decided: written.decided, body }
    }

    /// What the records in the history amount to, found the slow and simple way.
    fn expected(&self) -> Recovered<Bytes> {
        let mut state = Recovered::formatted(self.life.unwrap_or_default());
        state.boot = self.boot;
        state.promised = ballot(self.history.len() as u64);
        for written in &self.history {
            state.decided = state.decided.max(written.decided);
            if let Owned::Roster(votes, members) = &written.body {
                state.votes = *votes;
                state.roster.clone_from(members);
            }
        }
        let last = self.last_words();
        state.accepted = last.range(state.decided..).map(|(_, (_, p))| p.clone()).collect();
        if self.history.is_empty() {
            state.promised = Ballot::ZERO;
        }
        state
    }

    /// The last word on each slot; learned ones outrank accepted ones.
    fn last_words(&self) -> BTreeMap<Slot, (bool, Proposal<Bytes>)> {
        let mut last: BTreeMap<Slot, (bool, Proposal<Bytes>)> = BTreeMap::new();
        for written in &self.history {
            let (learned, run): (bool, &[_]) = match &written.body {
                Owned::Accepted(run) => (false, run),
                Owned::Learned(run) => (true, run),
                Owned::Mark | Owned::Roster(..) => (false, &[]),
            };
            for proposal in run {
                if learned || last.get(&proposal.slot).is_none_or(|(learned, _)| !learned) {
                    last.insert(proposal.slot, (learned, proposal.clone()));
                }
            }
        }
        last
    }

    /// Everything decided reads back, in pieces.
    fn check_reads(&self, log: &FileLog<SimDevice>) {
        let (last, mut reader) = (self.last_words(), log.reader());
        let end = self.history.iter().map(|written| written.decided).max().unwrap_or_default();
        let mut from = Slot::ZERO;
        while from < end {
            let run = reader.read(from, end, Most { slots: 5, bytes: 1000 }).expect("a read");
            assert!(!run.is_empty(), "slot {from} of {end} is not there");
            for proposal in run {
                assert_eq!(proposal, last[&from].1);
                from = from.next();
            }
        }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767);
        (self.chance >> 33) % end
    }
}

fn ballot(round: u64) -> Ballot {
    if round == 0 { Ballot::ZERO } else { Ballot { round, node: NodeId(1) } }
}

fn identity() -> Identity {
    let epoch = Epoch { number: 1, ..Epoch::default() };
    Identity { cluster: ClusterId(1), group: GroupId(0), epoch, node: NodeId(1) }
}

/// Segments of a few records, so that runs roll.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 14_000, record_bytes_max: 9_000 }
}
