//! No protocol: the leader copies commands into a batch, hands it to two others, and applies and
//! answers once one of them says that it has it. The same copies, queues and outcomes as a service
//! must make, nothing else.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Cluster;
use super::client::{Applier, Client};

/// Three replicas on one thread.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    /// Commands without an outcome, which a service keeps to offer them again.
    pending: VecDeque<(u64, Bytes)>,
    /// How many of these are in a batch.
    batched: usize,
    next_id: u64,
    chunk: BytesMut,
    /// Batches without an outcome, from place `answered` on.
    sent: VecDeque<Bytes>,
    answered: u64,
    letters: Vec<Letter>,
    followers: [Follower; 2],
    leader: Applier,
    outcomes: VecDeque<Outcome>,
}

#[derive(Debug, Default)]
struct Follower {
    /// Batches that are not applied yet, from place `applied` on.
    held: VecDeque<Bytes>,
    applied: u64,
    answers: Vec<Letter>,
    applier: Applier,
}

#[derive(Debug)]
enum Letter {
    /// A batch, and how many batches both have.
    Batch { bytes: Bytes, done: u64 },
    /// The sender has all batches below.
    Has(u64),
}

/// What came of a command: which, where, and the answer.
#[derive(Debug)]
struct Outcome {
    id: u64,
    place: u64,
    answer: u64,
}

impl Floor {
    fn batch(&mut self) {
        let fresh = self.pending.range(self.batched..);
        if fresh.len() == 0 {
            return;
        }
        let bytes: usize = fresh.clone().map(|(_, command)| command.len() + HEAD_BYTES).sum();
        if self.chunk.capacity() < bytes && !self.chunk.try_reclaim(bytes) {
            self.chunk = BytesMut::with_capacity(bytes.max(CHUNK_BYTES));
        }
        for (id, command) in fresh {
            self.chunk.put_u64_le(*id << 32 | command.len() as u64);
            self.chunk.put_slice(command);
        }
        self.batched = self.pending.len();
        let bytes = self.chunk.split().freeze();
        self.sent.push_back(bytes.clone());
        self.letters.push(Letter::Batch { bytes, done: self.answered });
    }

    /// The first follower's answer decides; the second one's comes too late to matter.
    fn answer(&mut self, has: u64) {
        while self.answered < has {
            let Some(batch) = self.sent.pop_front() else { return };
            let place = self.answered;
            self.answered += 1;
            apply(&batch, &mut self.leader, |answer| {
                let Some((id, _)) = self.pending.pop_front() else { return };
                self.batched -= 1;
                self.outcomes.push_back(Outcome { id, place, answer });
            });
        }
    }
}

impl Follower {
    fn take(&mut self, letter: &Letter) {
        match letter {
            Letter::Batch { bytes, done } => {
                self.apply_below(*done);
                self.held.push_back(bytes.clone());
                self.answers.push(Letter::Has(self.applied + self.held.len() as u64));
            }
            Letter::Has(_) => {}
        }
    }

    fn apply_below(&mut self, done: u64) {
        while self.applied < done {
            let Some(batch) = self.held.pop_front() else { return };
            apply(&batch, &mut self.applier, |_| {});
            self.applied += 1;
        }
    }
}

fn apply(mut batch: &[u8], applier: &mut Applier, mut answered: impl FnMut(u64)) {
    while !batch.is_empty() {
        let len = (batch.get_u64_le() & u64::from(u32::MAX)) as usize;
        let (command, rest) = batch.split_at(len);
        answered(applier.apply(command));
        batch = rest;
    }
}

impl Cluster for Floor {
    fn submit(&mut self, command: Bytes) {
        self.pending.push_back((self.next_id, command));
        self.next_id += 1;
    }

    fn turn(&mut self, client: &mut Client) {
        self.batch();
        for letter in self.letters.drain(..) {
            for follower in &mut self.followers {
                follower.take(&letter);
            }
        }
        for place in 0..self.followers.len() {
            while let Some(Letter::Has(has)) = self.followers[place].answers.pop() {
                self.answer(has);
            }
        }
        while let Some(Outcome { id, place, answer }) = self.outcomes.pop_front() {
            debug_assert!(id == answer && place < self.answered);
            client.answer(answer);
        }
    }

    fn settle(&mut self) {
        for follower in &mut self.followers {
            follower.apply_below(self.answered);
        }
    }

    fn applied(&self) -> Vec<u64> {
        let [first, second] = &self.followers;
        vec![self.leader.applied(), first.applier.applied(), second.applier.applied()]
    }
}

/// The number of a command and its length.
const HEAD_BYTES: usize = 8;
const CHUNK_BYTES: usize = 256 << 10;
