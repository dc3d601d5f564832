//! The state machine of the simulator: it remembers a digest of everything it applied, and tells
//! the checkers what it applied.

use synod_core::Slot;
use synod_core::service::{At, StateMachine};

use crate::checkers::{Applied, RequestKey};

/// A state machine whose state is a digest of the requests applied, in order. Its reply is the
/// digest after the request, so that two replicas that differ in anything reply differently.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    digest: u64,
    count: u64,
    /// The state after the last decree, as a durable state machine would keep it.
    saved: Option<Saved>,
    /// Whether `applied` tells of the saved state.
    durable: bool,
    journal: Vec<Applied>,
}

/// State and place in one, so that they cannot part in a crash (S42).
#[derive(Clone, Copy, Debug)]
struct Saved {
    digest: u64,
    count: u64,
    at: At,
}

impl Ledger {
    /// An empty state machine; a durable one keeps its state over a crash.
    #[must_use]
    pub fn new(durable: bool) -> Self {
        Self { durable, ..Self::default() }
    }

    /// What was applied since the last call, in order.
    pub fn take_journal(&mut self, into: &mut Vec<Applied>) {
        into.append(&mut self.journal);
    }

    /// How many requests were applied.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// What is left of it after a crash.
    #[must_use]
    pub fn reopened(&self) -> Self {
        match self.saved {
            Some(saved) if self.durable => Self {
                digest: saved.digest,
                count: saved.count,
                saved: Some(saved),
                durable: true,
                journal: Vec::new(),
            },
            Some(_) | None => Self::new(self.durable),
        }
    }

    /// The end of what the saved state holds.
    #[must_use]
    pub fn saved_end(&self) -> Slot {
        match self.saved {
            Some(saved) if self.durable => saved.at.slot.next(),
            Some(_) | None => Slot::ZERO,
        }
    }
}

impl StateMachine for Ledger {
    type Reply = u64;

    fn apply(&mut self, at: At, request: &[u8]) -> u64 {
        let key = RequestKey::of(request);
        let mixed = u128::from(self.digest ^ key.0) * 0xE703_7ED1_A0B4_28DB;
        self.digest = mixed as u64 ^ (mixed >> 64) as u64 ^ at.slot.0;
        self.count += 1;
        let reply = self.digest;
        self.journal.push(Applied { slot: at.slot, ballot: at.ballot, key, reply });
        reply
    }

    fn after_decree(&mut self, at: At) {
        self.saved = Some(Saved { digest: self.digest, count: self.count, at });
    }

    fn applied(&self) -> Option<At> {
        self.saved.filter(|_| self.durable).map(|saved| saved.at)
    }

    fn digest(&self) -> u64 {
        self.digest
    }
}
