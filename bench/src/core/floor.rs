//! No protocol: the leader copies commands into a batch, hands it to two others, and applies and
//! answers once one of them has it. The same copies, the same outcomes, nothing else.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Cluster;
use super::client::{Applier, Client};

/// Three replicas on one thread.
#[derive(Debug, Default)]
pub struct Floor {
    /// What was submitted and is in no batch yet.
    queue: VecDeque<Bytes>,
    /// Batches that the leader waits for.
    sent: VecDeque<Bytes>,
    chunk: BytesMut,
    followers: [Follower; 2],
    leader: Applier,
    answers: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Follower {
    inbox: VecDeque<Bytes>,
    /// Batches held, and how many of them are known to be held by two.
    held: VecDeque<Bytes>,
    got: u64,
    applier: Applier,
}

impl Floor {
    fn batch(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let bytes: usize = self.queue.iter().map(|command| command.len() + 4).sum();
        if self.chunk.capacity() < bytes && !self.chunk.try_reclaim(bytes) {
            self.chunk = BytesMut::with_capacity(bytes.max(256 << 10));
        }
        for command in self.queue.drain(..) {
            self.chunk.put_u32_le(command.len() as u32);
            self.chunk.put_slice(&command);
        }
        let batch = self.chunk.split().freeze();
        for follower in &mut self.followers {
            follower.inbox.push_back(batch.clone());
        }
        self.sent.push_back(batch);
    }

    fn apply(mut batch: &[u8], applier: &mut Applier, mut answered: impl FnMut(u64)) {
        while !batch.is_empty() {
            let len = batch.get_u32_le() as usize;
            let (command, rest) = batch.split_at(len);
            answered(applier.apply(command));
            batch = rest;
        }
    }
}

impl Cluster for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn submit(&mut self, command: Bytes) {
        self.queue.push_back(command);
    }

    fn turn(&mut self, client: &mut Client) {
        self.batch();
        for follower in &mut self.followers {
            while let Some(batch) = follower.inbox.pop_front() {
                follower.got += 1;
                follower.held.push_back(batch);
            }
        }
        while let Some(batch) = self.sent.pop_front() {
            let answers = &mut self.answers;
            Self::apply(&batch, &mut self.leader, |number| answers.push_back(number));
        }
        for follower in &mut self.followers {
            while let Some(batch) = follower.held.pop_front() {
                Self::apply(&batch, &mut follower.applier, |_| {});
            }
        }
        while let Some(number) = self.answers.pop_front() {
            client.answer(number);
        }
    }

    fn applied(&self) -> [u64; 3] {
        let [first, second] = &self.followers;
        [self.leader.applied(), first.applier.applied(), second.applier.applied()]
    }
}
