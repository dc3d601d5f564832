//! raft-rs behind the loop: messages that need no sync leave before it, the others after it.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use protobuf::{CodedInputStream, Message as _};
use raft::eraftpb::{Entry, Message};
use raft::{RawNode, StateRole};

use super::disk::Disk;
use super::engine::Engine;
use super::wires::Wires;
use crate::core::client::Applier;
use crate::core::raft::{Store, apply, entry, proposal, server};
use crate::core::tail::LONG;

/// One of three replicas.
pub(super) struct RaftRs {
    place: usize,
    raw: RawNode<Store>,
    applier: Applier,
    fresh: Vec<Entry>,
    ticks: u64,
}

impl RaftRs {
    pub(super) fn new(place: usize) -> Self {
        let raw = server(place as u64 + 1, LONG);
        Self { place, raw, applier: Applier::default(), fresh: Vec::new(), ticks: 0 }
    }
}

fn send(messages: Vec<Message>, wires: &mut Wires) {
    for message in messages {
        wires.frame(message.to as usize - 1, |frame| {
            let written = message.write_to_writer(&mut frame.writer());
            written.expect("memory takes everything");
        });
    }
}

fn persist(entries: &[Entry], disk: &mut Disk) {
    let mut batch = BytesMut::new();
    for entry in entries {
        batch.put_u64_le(entry.term);
        batch.put_u64_le(entry.index);
        batch.put_u32_le(entry.data.len() as u32);
        batch.put_slice(&entry.data);
    }
    if !batch.is_empty() {
        disk.append([batch.freeze()]);
    }
}

impl Engine for RaftRs {
    fn leads(&self) -> bool {
        self.place == 0 && self.raw.raft.state == StateRole::Leader
    }

    fn submit(&mut self, command: Bytes) {
        self.fresh.push(entry(command));
    }

    fn receive(&mut self, _: usize, frame: Bytes, _: &mut Wires) {
        let mut message = Message::default();
        let mut input = CodedInputStream::from_carllerche_bytes(&frame);
        message.merge_from(&mut input).expect("a sound frame");
        self.raw.step(message).expect("nobody misbehaves");
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.place == 0 && self.ticks == 2 {
            self.raw.campaign().expect("it may campaign");
        }
        self.raw.tick();
    }

    fn turn(
        &mut self,
        wires: &mut Wires,
        mut disk: Option<&mut Disk>,
        answers: &mut Vec<u64>,
    ) -> io::Result<()> {
        if !self.fresh.is_empty() {
            let room = Vec::with_capacity(self.fresh.len());
            let fresh = std::mem::replace(&mut self.fresh, room);
            self.raw.step(proposal(self.place as u64 + 1, fresh)).expect("the leader takes it");
        }
        let Self { raw, applier, .. } = self;
        while raw.has_ready() {
            let mut ready = raw.ready();
            send(ready.take_messages(), wires);
            let mut answered = |number| answers.push(number);
            apply(&ready.take_committed_entries(), applier, &mut answered);
            if let Some(disk) = &mut disk
                && !ready.entries().is_empty()
            {
                wires.flush()?;
                persist(ready.entries(), disk);
            }
            raw.mut_store().append(ready.take_entries());
            if let Some(hard) = ready.hs() {
                raw.mut_store().hard = hard.clone();
            }
            send(ready.take_persisted_messages(), wires);
            let mut light = raw.advance_append(ready);
            if let Some(commit) = light.commit_index() {
                raw.mut_store().hard.commit = commit;
            }
            send(light.take_messages(), wires);
            apply(&light.take_committed_entries(), applier, &mut answered);
            raw.advance_apply();
        }
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applier.applied()
    }
}
